//! Whose program is at the other end of a connection on this machine.
//!
//! The kernel knows the user of every socket, and is asked for that of the client's end when a connection has
//! been accepted. It is asked by the ends' addresses, and so tells who has them *now*: a connection that its
//! client has reset gives its source port free at once, although what was sent before can still be read, and
//! another user's program may get it next. So the accepted socket must still be connected after the answer.
//!
//! On Linux that suffices. A socket that was reset never becomes connected again, and as long as it is
//! connected the kernel lets no second connection come up between the same two ends: so the socket that was
//! found then was the peer.
//!
//! On macOS all connections are read as one list, which takes longer, and nothing promises how soon a reset is
//! seen. There it is looked up once more after that, before anything is read from the connection. What is
//! left: a program that resets its connection between the kernel's copying of the list and the check, and whose
//! port another user's program has got by both readings.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(target_os = "macos", test))]
mod pcblist;
mod shared;
#[cfg(any(target_os = "linux", test))]
mod socket_table;

use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use async_trait::async_trait;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

/// Tells whose connections are.
#[async_trait]
pub trait Owners: Debug + Send + Sync {
    /// The user who holds the socket at `client`, which is connected to `server`; `None` if nobody of this
    /// machine does. Waits for nothing but the kernel.
    async fn uid(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>>;
}

/// Who is at the other end of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A program of this user.
    User(u32),
    /// Nobody whom this machine's kernel knows, such as a program in a network of its own.
    Unknown,
    /// Nobody any more: it sends nothing that would have to be answered.
    Gone,
}

impl Peer {
    /// The one of an accepted connection of which nothing has been read yet.
    pub async fn of(stream: &TcpStream, owners: &dyn Owners) -> io::Result<Self> {
        if has_closed(stream) {
            return Ok(Self::Gone);
        }
        let (Ok(client), Ok(server)) = (stream.peer_addr(), stream.local_addr()) else {
            return Ok(Self::Gone);
        };
        let mut owner = owners.uid(client, server).await?;
        if cfg!(target_os = "macos") && is_connected(stream) && owner != owners.uid(client, server).await? {
            owner = None;
        }
        // Last, on Linux: see above.
        if !is_connected(stream) {
            return Ok(Self::Gone);
        }
        Ok(owner.map_or(Self::Unknown, Self::User))
    }
}

/// It is not after a reset.
fn is_connected(stream: &TcpStream) -> bool {
    // getpeername(2)
    stream.peer_addr().is_ok()
}

/// Whether the other end has ended what it sends, or reset it.
fn has_closed(stream: &TcpStream) -> bool {
    #[cfg(target_os = "linux")]
    let ended = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let ended = PollFlags::empty();
    let mut polled = [PollFd::new(stream, ended)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|count| count > 0)
}

/// The kernel's own word.
#[derive(Debug)]
pub struct Kernel(platform::Asking);

impl Kernel {
    /// Finds out how the kernel can be asked here.
    pub fn open() -> Self {
        Self(platform::Asking::open())
    }

    /// Whether it tells whose program this is: about a connection of the program with itself. Blocks shortly.
    pub fn can_tell(&self) -> bool {
        let own = || -> io::Result<bool> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let client = std::net::TcpStream::connect(listener.local_addr()?)?;
            Ok(self.0.now(client.local_addr()?, client.peer_addr()?)? == Some(own_uid()))
        };
        own().unwrap_or(false)
    }
}

#[async_trait]
impl Owners for Kernel {
    async fn uid(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        self.0.uid(canonical(client), canonical(server)).await
    }
}

/// Whether the kernel tells here whose program this is.
pub fn can_tell() -> bool {
    Kernel::open().can_tell()
}

/// The user that this program runs as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// An IPv4 connection of an IPv6 socket is an IPv4 connection.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(target_os = "macos")]
use macos as platform;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    /// An accepted connection, and the client's end.
    async fn connected(address: &str) -> Option<(TcpStream, std::net::TcpStream)> {
        let listener = tokio::net::TcpListener::bind(address).await.ok()?;
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Some((listener.accept().await.unwrap().0, client))
    }

    #[tokio::test]
    async fn a_connection_has_the_owner_of_its_program_until_it_is_closed() {
        let kernel = Kernel::open();
        assert!(kernel.can_tell());
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Some((accepted, client)) = connected(address).await else { continue };
            assert_eq!(Peer::of(&accepted, &kernel).await.unwrap(), Peer::User(own_uid()));
            let (at, local) = (accepted.peer_addr().unwrap(), accepted.local_addr().unwrap());
            assert_eq!(kernel.uid(local, at).await.unwrap(), Some(own_uid()), "its other end");
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(Peer::of(&accepted, &kernel).await.unwrap(), Peer::Gone);
            drop(client);
            assert_eq!(kernel.uid(at, local).await.unwrap(), None, "it has been closed");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_reset_is_nobodys_whoever_has_its_port() {
        #[derive(Debug)]
        struct Resetting(std::sync::Mutex<Option<std::net::TcpStream>>);
        #[async_trait]
        impl Owners for Resetting {
            async fn uid(&self, _: SocketAddr, _: SocketAddr) -> io::Result<Option<u32>> {
                let client = socket2::Socket::from(self.0.lock().unwrap().take().unwrap());
                client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
                // And somebody else has the port by now.
                Ok(Some(own_uid()))
            }
        }
        let (accepted, client) = connected("127.0.0.1:0").await.unwrap();
        let owners = Resetting(std::sync::Mutex::new(Some(client)));
        assert_eq!(Peer::of(&accepted, &owners).await.unwrap(), Peer::Gone);
    }
}
