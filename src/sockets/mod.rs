//! Listening sockets that the system opened before this program: by systemd, or by launchd.
//!
//! Such a socket outlives the program, so that while it is started anew connections wait instead of being
//! refused; a mount takes that for a slow answer, not for a dead server.

#[cfg(target_os = "macos")]
mod launchd;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::io::{FdFlags, fcntl_setfd};

/// The sockets that were handed over; none if the program was started in another way.
pub fn inherited() -> io::Result<Vec<TcpListener>> {
    let listeners = handed_over()?;
    for listener in &listeners {
        // Programs that this one starts, such as davfs2, would keep the port open after its end.
        fcntl_setfd(listener, FdFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
    }
    Ok(listeners)
}

/// Tells these sockets from all that this machine had before; empty where it cannot.
pub fn identity(listeners: &[tokio::net::TcpListener]) -> String {
    let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
    let inode = |listener| rustix::fs::fstat(listener).map_or(0, |stat| stat.st_ino);
    let inodes: Vec<u64> = listeners.iter().map(inode).collect();
    // macOS tells none.
    if boot.is_empty() || inodes.contains(&0) {
        return String::new();
    }
    format!("{} {inodes:?}", boot.trim())
}

/// Whether a program of somebody else may listen at an address that `localhost` stands for, with the same port.
pub fn share_localhost(listeners: &[tokio::net::TcpListener]) -> bool {
    let addresses: Vec<SocketAddr> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let Some(port) = addresses.first().map(SocketAddr::port) else { return false };
    let is_free = |ip: IpAddr| {
        let is_served = addresses.iter().any(|at| {
            at.port() == port && (at.ip() == ip || (at.ip().is_unspecified() && at.is_ipv4() == ip.is_ipv4()))
        });
        // A machine without IPv6 has no such address.
        !is_served && TcpListener::bind((ip, 0)).is_ok()
    };
    is_free(Ipv4Addr::LOCALHOST.into()) || is_free(Ipv6Addr::LOCALHOST.into())
}

/// Another one after each start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(not(target_os = "macos"))]
fn handed_over() -> io::Result<Vec<TcpListener>> {
    let mut sockets = listenfd::ListenFd::from_env();
    let listeners = (0..sockets.len()).map(|at| sockets.take_tcp_listener(at));
    listeners.filter_map(Result::transpose).collect()
}

#[cfg(target_os = "macos")]
use launchd::handed_over;
