//! The agent's end of a program's output: drained always, captured within bounds.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::capture::{Capture, Kept};

/// More than a terminal holds between its two sides; nobody can have written more before a given moment.
const TERMINAL_HOLDS: usize = 80 * 1024;

pub struct Output {
    pub name: &'static str,
    fd: Option<OwnedFd>,
    terminal: bool,
    capture: Capture,
}

impl Output {
    pub fn new(name: &'static str, fd: Option<OwnedFd>, terminal: bool, keep_bytes: usize) -> Self {
        Self { name, fd, terminal, capture: Capture::new(keep_bytes) }
    }

    pub fn open(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    pub fn keep(&mut self, keep_bytes: usize) {
        self.capture.keep(keep_bytes);
    }

    pub fn total(&self) -> u64 {
        self.capture.total()
    }

    pub fn take(&mut self) -> Kept {
        self.capture.take()
    }

    /// What has been captured so far, for a stream of events that begins late.
    pub fn captured(&self) -> [&[u8]; 3] {
        self.capture.pieces()
    }

    /// Reads once; `None` when there is nothing now, or never again.
    pub fn read<'a>(&mut self, scratch: &'a mut [u8]) -> Option<&'a [u8]> {
        let fd = self.fd.as_ref()?;
        match rustix::io::read(fd, &mut *scratch) {
            Ok(count @ 1..) => {
                let bytes = &scratch[..count];
                self.capture.push(bytes);
                Some(bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            // Every writer has closed it.
            Ok(0) | Err(_) => {
                self.fd = None;
                None
            }
        }
    }

    /// At most this much was written before now. A terminal does not say: what its two sides hold is a bound.
    pub fn written_before_now(&self) -> usize {
        match &self.fd {
            Some(_) if self.terminal => TERMINAL_HOLDS,
            Some(fd) => rustix::io::ioctl_fionread(fd).map_or(0, |count| count as usize),
            None => 0,
        }
    }
}
