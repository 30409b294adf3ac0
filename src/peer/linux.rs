//! Linux: one question to `sock_diag` about one socket, as `ss` asks it; where the kernel lacks that, its
//! tables of all sockets.
//!
//! Layouts: `linux/netlink.h` and `linux/inet_diag.h`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::socket_table;

pub(super) fn uid(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    match asked(client, server) {
        Ok(Some(uid)) => Ok(Some(uid)),
        // "Not found" is also what a kernel without the module says.
        Ok(None) | Err(_) => listed(client, server),
    }
}

fn asked(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(SOCK_DIAG)))?;
    // The answer is there when the question has been sent.
    socket.set_nonblocking(true)?;
    socket.write_all(&question(client, server))?;
    let mut answer = [0; 512];
    let length = socket.read(&mut answer)?;
    Ok(owner(&answer[..length]))
}

fn question(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let mut text = Vec::with_capacity(QUESTION_BYTES);
    text.extend((QUESTION_BYTES as u32).to_ne_bytes());
    text.extend(BY_FAMILY.to_ne_bytes());
    text.extend(REQUEST.to_ne_bytes());
    text.extend([0; 8]);
    let family = if client.is_ipv4() { AF_INET } else { AF_INET6 };
    text.extend([family, TCP, 0, 0]);
    text.extend(ALL_STATES.to_ne_bytes());
    text.extend(client.port().to_be_bytes());
    text.extend(server.port().to_be_bytes());
    text.extend(address(client.ip()));
    text.extend(address(server.ip()));
    text.extend([0; 4]);
    text.extend(NO_COOKIE);
    text
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
    }
}

/// The owner in an answer, if it is about an established socket that a program holds.
fn owner(answer: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let (state, inode) = (*answer.get(STATE_AT)?, number(INODE_AT)?);
    (kind == BY_FAMILY && state == ESTABLISHED && inode != 0).then(|| number(UID_AT)).flatten()
}

/// A socket of either family may hold an IPv4 connection.
fn listed(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match std::fs::read_to_string(table) {
            // A machine without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        if let Some(uid) = socket_table::owner(&text, client, server) {
            return Ok(Some(uid));
        }
    }
    Ok(None)
}

const AF_NETLINK: i32 = 16;
/// NETLINK_SOCK_DIAG
const SOCK_DIAG: i32 = 4;
/// SOCK_DIAG_BY_FAMILY
const BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST
const REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TCP: u8 = 6;
const ALL_STATES: u32 = u32::MAX;
/// TCP_ESTABLISHED
const ESTABLISHED: u8 = 1;
/// INET_DIAG_NOCOOKIE, twice.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// `nlmsghdr` and `inet_diag_req_v2`.
const QUESTION_BYTES: usize = 16 + 56;
/// In `nlmsghdr` and `inet_diag_msg`.
const STATE_AT: usize = 16 + 1;
const UID_AT: usize = 16 + 64;
const INODE_AT: usize = 16 + 68;
