//! What stands between here and the store, and does not heal by itself.
//!
//! It may all the same: a captive portal looks like this, too. So it is waited for like an outage where S3 was
//! reached before.

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("the endpoint does not speak https at this port")]
    NoTls,
    #[error("the endpoint speaks https at this port, not http")]
    OnlyTls,
    /// The endpoint's own host is known.
    #[error("there is no host {0}, a name that includes the bucket's")]
    NoHost(String),
    /// Nor does any other program of this machine know it.
    #[error("the host {0} cannot be resolved")]
    UnknownHost(String),
    #[error("access points are only at AWS, not at {0}")]
    NoAccessPoint(String),
    #[error("the endpoint's certificate {0}")]
    Certificate(CertificateFault),
    #[error("the bucket, the region and the endpoint do not form an address: {0}")]
    NoAddress(String),
}

/// Why a certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    #[error("is not signed by an authority that this machine trusts")]
    Unknown,
    #[error("has expired or is not valid yet, by this machine's clock")]
    NotNow,
    #[error("is not for {0}")]
    OtherHost(String),
    /// It may sign others, so it may not be a server's.
    #[error("is self-signed, and is a CA certificate")]
    Authority,
    #[error("is not accepted: {0}")]
    Other(String),
}

impl Obstacle {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTls => "check --endpoint-url: write http://, or name the port that speaks https",
            Self::OnlyTls => "check --endpoint-url: write https://",
            Self::NoHost(_) => {
                "remove addressing_style from the profile, or set it to path, so that the bucket's name \
                 stands in the path"
            }
            Self::UnknownHost(_) => "check the spelling of --endpoint-url, and the network",
            Self::NoAccessPoint(_) => {
                "leave out --endpoint-url, or remove it from the environment or the profile"
            }
            Self::NoAddress(_) => "check --bucket, --region and --endpoint-url",
            Self::Certificate(fault) => fault.hint(),
        }
    }
}

impl CertificateFault {
    fn hint(&self) -> &'static str {
        match self {
            Self::Unknown => {
                "name its CA, or the certificate itself if it is self-signed, with --ca-bundle, or check for \
                 a proxy in between"
            }
            Self::NotNow => "have the certificate renewed, or set this machine's clock",
            Self::OtherHost(_) => {
                "use another host in --endpoint-url, one that the certificate is for, or check for a proxy in between"
            }
            Self::Authority => {
                "create it again with basicConstraints=CA:FALSE (`openssl req -x509 -addext \
                 basicConstraints=CA:FALSE`), or have a CA sign it: a server cannot use a CA certificate"
            }
            Self::Other(_) => "use a certificate that other programs accept, too",
        }
    }
}
