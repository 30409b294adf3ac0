//! Standard error for a process that must not wait for whoever reads it.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What is not taken at once is left out: a pager that is stopped must not stop the writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hasty;

impl Write for Hasty {
    /// At most as much as a pipe takes whole when it takes anything (`PIPE_BUF`). Nothing is an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
        let line = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
        if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1) {
            // Nobody may be there any more.
            let _ = stderr.lock().write(line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes: macOS's `PIPE_BUF`; Linux has more.
const LONGEST_LINE: usize = 512;
