//! Linux: one question to `sock_diag` about one socket, as `ss` asks it; where the kernel lacks that, its
//! tables of all sockets. Which of them is found out once.
//!
//! Layouts: `linux/netlink.h` and `linux/inet_diag.h`.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

use super::shared::Shared;
use super::socket_table;

/// How this kernel is asked.
#[derive(Debug)]
pub(super) struct Asking {
    way: Way,
    /// The user that stands for all whom this user namespace has no name for: they are many, so none.
    nameless: u32,
}

#[derive(Debug)]
enum Way {
    SockDiag(Mutex<SockDiag>),
    /// The tables as text: long to make, so that one reading serves all that wait.
    Tables(Shared<Vec<String>>),
}

impl Asking {
    pub(super) fn open() -> Self {
        let way = match SockDiag::open().and_then(SockDiag::checked) {
            Ok(socket) => Way::SockDiag(Mutex::new(socket)),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "sock_diag is not available; reading the tables of all sockets, which is slower"
                );
                Way::Tables(Shared::new(tables))
            }
        };
        let text = std::fs::read_to_string(OVERFLOW_UID).unwrap_or_default();
        Self { way, nameless: text.trim().parse().unwrap_or(USUAL_OVERFLOW_UID) }
    }

    pub(super) async fn uid(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        let found = match &self.way {
            // Some microseconds, in which nothing is waited for: cheaper than another thread.
            Way::SockDiag(socket) => socket.lock().uid(client, server)?,
            Way::Tables(tables) => listed(&tables.get().await?, client, server),
        };
        Ok(self.named(found))
    }

    /// The same for whoever may block.
    pub(super) fn now(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        let found = match &self.way {
            Way::SockDiag(socket) => socket.lock().uid(client, server)?,
            Way::Tables(_) => listed(&tables()?, client, server),
        };
        Ok(self.named(found))
    }

    fn named(&self, uid: Option<u32>) -> Option<u32> {
        uid.filter(|uid| *uid != self.nameless)
    }
}

/// A socket that asks.
#[derive(Debug)]
struct SockDiag {
    socket: Socket,
    /// Of the latest question; its answer has the same.
    number: u32,
}

impl SockDiag {
    fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(SOCK_DIAG)))?;
        // The answer is there when the question has been sent.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, number: 0 })
    }

    /// Itself, if the kernel answers about a connection that there is: "not found" is also what it says
    /// without the module.
    fn checked(mut self) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let client = std::net::TcpStream::connect(listener.local_addr()?)?;
        let found = self.uid(client.local_addr()?, client.peer_addr()?)?;
        found.map(|_| self).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn uid(&mut self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        self.number = self.number.wrapping_add(1);
        self.socket.write_all(&question(client, server, self.number))?;
        let mut answer = [0; 512];
        loop {
            let length = self.socket.read(&mut answer)?;
            // One that was left lying is not about this.
            if number(&answer[..length], SEQUENCE_AT) == Some(self.number) {
                return refusal(&answer[..length]).map_or_else(|| Ok(owner(&answer[..length])), Err);
            }
        }
    }
}

fn question(client: SocketAddr, server: SocketAddr, number: u32) -> Vec<u8> {
    let mut text = Vec::with_capacity(QUESTION_BYTES);
    text.extend((QUESTION_BYTES as u32).to_ne_bytes());
    text.extend(BY_FAMILY.to_ne_bytes());
    text.extend(REQUEST.to_ne_bytes());
    text.extend(number.to_ne_bytes());
    text.extend([0; 4]);
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
pub(super) fn owner(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let (state, inode) = (*answer.get(STATE_AT)?, number(answer, INODE_AT)?);
    (kind == BY_FAMILY && state == ESTABLISHED && inode != 0).then(|| number(answer, UID_AT)).flatten()
}

/// Why the kernel did not answer; that there is no such socket is an answer.
pub(super) fn refusal(answer: &[u8]) -> Option<io::Error> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = number(answer, ERROR_AT).filter(|_| kind == ERROR)?.wrapping_neg() as i32;
    let error = io::Error::from_raw_os_error(code);
    (error.kind() != io::ErrorKind::NotFound).then_some(error)
}

fn number(answer: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?))
}

/// A socket of either family may hold an IPv4 connection.
fn tables() -> io::Result<Vec<String>> {
    let mut tables = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(table) {
            // A machine without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            text => tables.push(text?),
        }
    }
    Ok(tables)
}

fn listed(tables: &[String], client: SocketAddr, server: SocketAddr) -> Option<u32> {
    tables.iter().find_map(|table| socket_table::owner(table, client, server))
}

/// See `user_namespaces(7)`.
const OVERFLOW_UID: &str = "/proc/sys/kernel/overflowuid";
const USUAL_OVERFLOW_UID: u32 = 65_534;
const AF_NETLINK: i32 = 16;
/// NETLINK_SOCK_DIAG
const SOCK_DIAG: i32 = 4;
/// SOCK_DIAG_BY_FAMILY
const BY_FAMILY: u16 = 20;
/// NLMSG_ERROR; the negated code follows the header.
const ERROR: u16 = 2;
const ERROR_AT: usize = 16;
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
/// `nlmsg_seq` in `nlmsghdr`.
const SEQUENCE_AT: usize = 8;
/// In `nlmsghdr` and `inet_diag_msg`.
const STATE_AT: usize = 16 + 1;
const UID_AT: usize = 16 + 64;
const INODE_AT: usize = 16 + 68;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_this_namespace_has_no_name_for_is_nobody() {
        let asking = Asking::open();
        assert_eq!(asking.named(Some(asking.nameless)), None);
        assert_eq!(asking.named(Some(501)), Some(501));
    }

    #[tokio::test]
    async fn the_tables_say_the_same() {
        let by_tables = Asking { way: Way::Tables(Shared::new(tables)), nameless: USUAL_OVERFLOW_UID };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (client, server) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        assert!(matches!(Asking::open().way, Way::SockDiag(_)));
        assert_eq!(by_tables.uid(client, server).await.unwrap(), Asking::open().now(client, server).unwrap());
        assert_eq!(by_tables.now(server, server).unwrap(), None);
    }
}
