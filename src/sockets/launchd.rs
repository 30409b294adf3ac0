//! launchd's sockets: those named `http` in the agent's property list. No crate offers that call.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::net::TcpListener;
use std::os::fd::FromRawFd;
use std::ptr;

unsafe extern "C" {
    /// `launch.h`, in libSystem.
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
}

pub(super) fn handed_over() -> io::Result<Vec<TcpListener>> {
    let (mut fds, mut count) = (ptr::null_mut::<c_int>(), 0_usize);
    // SAFETY: the name ends with a zero, and both places are valid for the call.
    let failed = unsafe { launch_activate_socket(NAME.as_ptr(), &mut fds, &mut count) };
    match failed {
        0 => {}
        // Not in the list, or not started by launchd.
        libc::ENOENT | libc::ESRCH => return Ok(Vec::new()),
        code => return Err(io::Error::from_raw_os_error(code)),
    }
    // SAFETY: on success there are `count` open descriptors at `fds`, which are the caller's, as is the memory.
    let listeners = unsafe {
        let listeners = (0..count).map(|at| TcpListener::from_raw_fd(*fds.add(at))).collect();
        libc::free(fds.cast::<c_void>());
        listeners
    };
    Ok(listeners)
}

const NAME: &CStr = c"http";
