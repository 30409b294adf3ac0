//! Listening sockets that were opened before this program: by systemd, by launchd, or by a parent process.
//!
//! Such a socket outlives the program, so that while it is started anew connections wait instead of being
//! refused; a mount takes that for a slow answer, not for a dead server.
//!
//! They come by systemd's protocol. A parent, which gives no number of a process, says in `LISTEN_FDS_FIRST_FD`
//! where they begin; systemd never does.

#[cfg(target_os = "macos")]
mod launchd;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// Whose a gateway's sockets are: they stay open when it ends, but for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The gateway's.
    Itself,
    /// Those of its parent process, which starts it anew.
    Parent { pid: i32 },
    /// Those of launchd or systemd, which starts it anew.
    System,
}

/// Sockets that were handed over.
#[derive(Debug)]
pub struct Inherited {
    pub listeners: Vec<TcpListener>,
    pub holder: Holder,
}

impl Inherited {
    /// Whether another process of this program has handed them over.
    pub fn is_of_parent(&self) -> bool {
        matches!(self.holder, Holder::Parent { .. })
    }
}

/// The sockets that were handed over; `None` if the program was started in another way. They are there once.
pub fn inherited() -> io::Result<Option<Inherited>> {
    let is_parents = std::env::var_os(FIRST).is_some_and(|value| !value.is_empty());
    let listeners = handed_over()?;
    if listeners.is_empty() {
        return Ok(None);
    }
    for listener in &listeners {
        // Programs that this one starts, such as davfs2, would keep the port open after its end.
        fcntl_setfd(listener, FdFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
    }
    let pid = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let holder = if is_parents { Holder::Parent { pid } } else { Holder::System };
    Ok(Some(Inherited { listeners, holder }))
}

/// Sockets as a program that this one starts finds them. All programs do that it starts while this lives.
#[derive(Debug)]
pub struct HandedOn(Vec<OwnedFd>);

impl HandedOn {
    /// Puts them where programs find them: at numbers that follow each other.
    pub fn new(listeners: &[TcpListener]) -> io::Result<Self> {
        let mut first = FIRST_NUMBER;
        loop {
            match Self::from(first, listeners)? {
                Ok(handed) => return Ok(handed),
                // Somebody else's is among them.
                Err(taken) => first = taken,
            }
        }
    }

    /// From that number on; the error is the next to try.
    fn from(first: i32, listeners: &[TcpListener]) -> io::Result<Result<Self, i32>> {
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for listener in listeners {
            let next = descriptors.last().map_or(first, |last| last.as_raw_fd() + 1);
            let descriptor = fcntl_dupfd_cloexec(listener, next)?;
            if descriptor.as_raw_fd() != next && !descriptors.is_empty() {
                return Ok(Err(descriptor.as_raw_fd()));
            }
            descriptors.push(descriptor);
        }
        for descriptor in &descriptors {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(Ok(Self(descriptors)))
    }

    /// Tells a program of them.
    pub fn tell(&self, command: &mut Command) {
        command.envs(self.variables()).env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
    }

    fn variables(&self) -> [(&'static str, String); 2] {
        let first = self.0.first().map_or(FIRST_NUMBER, AsRawFd::as_raw_fd);
        [("LISTEN_FDS", self.0.len().to_string()), (FIRST, first.to_string())]
    }
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

const FIRST: &str = "LISTEN_FDS_FIRST_FD";
/// Of descriptors: few are open when a program starts.
const FIRST_NUMBER: i32 = 16;
/// Nobody serves at more addresses.
const MOST_SOCKETS: i64 = 256;
/// Of a descriptor: Linux's limit.
const HIGHEST_NUMBER: i64 = 1 << 20;

fn handed_over() -> io::Result<Vec<TcpListener>> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<i64>().ok());
    let (count, first) = (number("LISTEN_FDS").unwrap_or(0), number(FIRST).unwrap_or(3));
    if count > MOST_SOCKETS || !(0..=HIGHEST_NUMBER).contains(&first) {
        return Err(io::Error::other(format!("LISTEN_FDS names {count} from number {first} on")));
    }
    let mut sockets = listenfd::ListenFd::from_env();
    let listeners = (0..sockets.len()).map(|at| sockets.take_tcp_listener(at));
    let listeners: Vec<TcpListener> = listeners.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    #[cfg(target_os = "macos")]
    if listeners.is_empty() {
        return launchd::handed_over();
    }
    Ok(listeners)
}
/// Where a gateway listens unless another place is named.
pub const DEFAULT_PORT: u16 = 8330;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_of_all_sockets() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        // One in between is somebody else's.
        let _taken = fcntl_dupfd_cloexec(&listeners[0], FIRST_NUMBER + 1).unwrap();
        let handed = HandedOn::new(&listeners).unwrap();
        let numbers: Vec<i32> = handed.0.iter().map(AsRawFd::as_raw_fd).collect();
        assert_eq!(numbers[1], numbers[0] + 1);
        assert_eq!(handed.variables(), [("LISTEN_FDS", "2".to_owned()), (FIRST, numbers[0].to_string())]);
    }
}
