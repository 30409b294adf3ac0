//! What is known of a connection before its first request.

use std::net::SocketAddr;

/// The ends of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnInfo {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// By whose program it is, the peer may come in.
    pub is_trusted: bool,
}
