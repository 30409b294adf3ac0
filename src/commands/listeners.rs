//! The sockets of a gateway: handed over by the system, or opened here.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};

use super::CommandError;
use super::owners::{self, Left};
use crate::config::{Config, Listen};
use crate::sockets::DEFAULT_PORT;
use crate::state::{prepare, read_private, write_private};

/// Makes sockets that were handed over to be `config`'s.
pub(super) fn take(
    inherited: Vec<std::net::TcpListener>,
    config: &Config,
) -> Result<Vec<TcpListener>, CommandError> {
    let listeners = inherited.into_iter().map(TcpListener::from_std).collect::<Result<Vec<_>, _>>();
    let mut listeners: Vec<TcpListener> = listeners.context(UNFIT)?;
    let address = |listener: &TcpListener| listener.local_addr().ok();
    // The first one is the gateway's address, whichever order the system knows.
    listeners.sort_by_key(|listener| address(listener).is_none_or(|address| address.is_ipv6()));
    let addresses = listeners.iter().filter_map(address).collect();
    Listen { addresses, is_default: false }.check(&config.access)?;
    Ok(listeners)
}

/// Opens what `config` wants.
///
/// Whoever mounts what is served need not know the port: where the usual one is taken by another program, and
/// nobody asked for it, a free one is used, and again the next time.
pub(super) async fn choose(config: &Config) -> Result<Vec<TcpListener>, CommandError> {
    let left = owners::left_by_others(config).await;
    if config.listen.is_default && (config.detached || config.mount.is_some()) {
        return on_any_port(&config.listen, &config.state_dir, &left).await;
    }
    let is_in_use = |left: &&Left| config.listen.addresses.iter().any(|at| left.entry.is_at(*at));
    match left.iter().find(is_in_use) {
        Some(left) => Err(left.failure()),
        None => bind(&config.listen).await,
    }
}

/// Opens the sockets.
pub async fn bind(listen: &Listen) -> Result<Vec<TcpListener>, CommandError> {
    let mut listeners = Vec::new();
    for address in &listen.addresses {
        match listen_at(*address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let message = anyhow::anyhow!("the port of {address} is taken");
                let hint = "choose another with --listen 127.0.0.1:PORT, or stop the program using it; `s3dav \
                            status` lists gateways";
                return Err(CommandError::hinted(message, hint));
            }
            Err(error) if listen.is_default => {
                tracing::info!(%address, %error, "not serving at this address")
            }
            Err(error) => {
                let message = anyhow::Error::new(error).context(format!("cannot serve at {address}"));
                return Err(CommandError::hinted(message, "is it an address of this machine?"));
            }
        }
    }
    if listeners.is_empty() {
        Err(CommandError::hinted(
            anyhow::anyhow!("this machine has no loopback address"),
            "name an address of this machine with --listen IP:PORT",
        ))
    } else {
        Ok(listeners)
    }
}

async fn on_any_port(
    listen: &Listen,
    state_dir: &Path,
    left: &[Left],
) -> Result<Vec<TcpListener>, CommandError> {
    let is_another_mounts = |port: u16| {
        let mut addresses = listen.addresses.iter().map(|address| SocketAddr::new(address.ip(), port));
        addresses.any(|address| left.iter().any(|left| left.entry.is_at(address)))
    };
    let note = note(state_dir);
    let before = read_private(&note).ok().and_then(|text| text.trim().parse().ok());
    let ports = before.into_iter().chain([DEFAULT_PORT, 0]);
    for port in ports.filter(|port| !is_another_mounts(*port)) {
        let Some(listeners) = on_port(listen, port).await else { continue };
        let port = listeners.first().and_then(|listener| listener.local_addr().ok()).map(|at| at.port());
        if port != Some(DEFAULT_PORT) {
            tracing::info!(port, "the default port is taken; using another one");
        }
        if let Some(port) = port.filter(|port| before != Some(*port)) {
            // Without the note the next mount may be at another address.
            let _ = prepare(state_dir).and_then(|()| write_private(&note, &port.to_string()));
        }
        return Ok(listeners);
    }
    bind(listen).await
}

/// The same port at each address that the machine has; `None` if one of them is taken.
async fn on_port(listen: &Listen, mut port: u16) -> Option<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let ips: Vec<IpAddr> = listen.addresses.iter().map(SocketAddr::ip).collect();
    for ip in ips {
        match listen_at(SocketAddr::new(ip, port)) {
            Ok(listener) => {
                port = listener.local_addr().ok()?.port();
                listeners.push(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => return None,
            // It lacks IPv6, most likely.
            Err(_) => {}
        }
    }
    (!listeners.is_empty()).then_some(listeners)
}

/// Opens the socket for metrics alone.
pub(super) fn bind_for_metrics(address: SocketAddr) -> Result<TcpListener, CommandError> {
    listen_at(address).map_err(|error| {
        let hint = "choose another address with --metrics-listen IP:PORT";
        CommandError::hinted(
            anyhow::Error::new(error).context(format!("metrics cannot be served at {address}")),
            hint,
        )
    })
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port whose last connections are just ending can be had.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn note(state_dir: &Path) -> PathBuf {
    state_dir.join("port")
}

/// In the words of an error.
pub(super) const UNFIT: &str = "the inherited sockets cannot be used";
/// Connections that wait to be accepted: of more the client tries again after a second.
const BACKLOG: u32 = 1024;
