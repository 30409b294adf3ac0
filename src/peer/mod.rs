//! Whose program is at the other end of a connection on this machine.
//!
//! The kernel knows the user of every socket. That of the client's end is asked for when a connection has
//! been accepted; only an established one that a program still holds has an owner. Whoever sends and
//! closes at once is nobody, not root.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(target_os = "macos", test))]
mod pcblist;
#[cfg(any(target_os = "linux", test))]
mod socket_table;

use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Tells whose connections are.
pub trait Owners: Debug + Send + Sync {
    /// The user who holds the socket at `client`, which is connected to `server`; `None` if nobody of this
    /// machine does. A matter of microseconds, and never a wait for anything but the kernel.
    fn uid(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>>;
}

/// The kernel's own word.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl Owners for Kernel {
    fn uid(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        platform::uid(canonical(client), canonical(server))
    }
}

/// Whether the kernel can be asked here: it is, about a connection of this program with itself.
pub fn can_tell() -> bool {
    let own = || -> io::Result<bool> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        Ok(Kernel.uid(client.local_addr()?, client.peer_addr()?)? == Some(own_uid()))
    };
    own().unwrap_or(false)
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
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_the_owner_of_its_program_until_it_is_closed() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let local = accepted.local_addr().unwrap();
            assert!(can_tell());
            assert_eq!(Kernel.uid(peer, local).unwrap(), Some(own_uid()));
            drop(client);
            assert_eq!(Kernel.uid(peer, local).unwrap(), None, "it has been closed");
            assert_eq!(Kernel.uid(listener.local_addr().unwrap(), local).unwrap(), None, "it only listens");
        }
    }
}
