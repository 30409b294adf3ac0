//! The SDK with no more than it needs to reach the S3 server.

use std::net::SocketAddr;

use aws_sdk_s3::Client;

use super::contenders::KEYS;

pub fn client(s3: SocketAddr) -> Client {
    let (key, secret) = KEYS;
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url(format!("http://{s3}"))
        .force_path_style(true)
        .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(aws_sdk_s3::config::ResponseChecksumValidation::WhenRequired)
        .credentials_provider(aws_sdk_s3::config::Credentials::new(key, secret, None, None, "bench"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}
