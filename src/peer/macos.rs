//! macOS: the list of TCP connections that `netstat` shows. No crate offers that call in a safe way.

#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::ptr;

use super::pcblist;
use super::shared::Shared;

/// The kernel copies all connections for each question, so one answer serves all that wait.
#[derive(Debug)]
pub(super) struct Asking(Shared<Vec<u8>>);

impl Asking {
    pub(super) fn open() -> Self {
        Self(Shared::new(connections))
    }

    pub(super) async fn uid(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        Ok(pcblist::owner(&self.0.get().await?, client, server))
    }

    pub(super) fn now(&self, client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
        Ok(pcblist::owner(&connections()?, client, server))
    }
}

fn connections() -> io::Result<Vec<u8>> {
    let mut length = 0;
    // SAFETY: the name ends with a zero; without a buffer the kernel writes the length only.
    let asked =
        unsafe { libc::sysctlbyname(NAME.as_ptr(), ptr::null_mut(), &mut length, ptr::null_mut(), 0) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // Connections may come up between the two calls.
    let mut list = vec![0_u8; length + length / 8 + ROOM];
    length = list.len();
    // SAFETY: the buffer has the length that is given, and outlives the call.
    let read = unsafe {
        libc::sysctlbyname(NAME.as_ptr(), list.as_mut_ptr().cast(), &mut length, ptr::null_mut(), 0)
    };
    if read != 0 {
        return Err(io::Error::last_os_error());
    }
    list.truncate(length);
    Ok(list)
}

const NAME: &std::ffi::CStr = c"net.inet.tcp.pcblist_n";
/// Bytes: some dozen connections more than there were.
const ROOM: usize = 16 << 10;
