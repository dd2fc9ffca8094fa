//! The keeper: the process between the agent and a program.
//!
//! A child subreaper that reaps. It says how the leader ended, and, when the kernel tells it that it has no child
//! left, that the tree is empty, and ends. It runs as the agent's uid, so no user process can signal it; it holds
//! one descriptor; it allocates nothing, so its memory stays shared with the agent's but for a few pages.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::sys::{self, Pid};

/// What a keeper says to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    Started(Pid),
    NotStarted(i32),
    /// The wait status of the leader.
    Ended(i32),
    /// No process is left.
    Empty,
}

pub const REPORT_SIZE: usize = 5;

impl Report {
    fn encode(self) -> [u8; REPORT_SIZE] {
        let (kind, value) = match self {
            Self::Started(pid) => (0, pid),
            Self::NotStarted(errno) => (1, errno),
            Self::Ended(status) => (2, status),
            Self::Empty => (3, 0),
        };
        let [a, b, c, d] = value.to_le_bytes();
        [kind, a, b, c, d]
    }

    pub fn decode(bytes: [u8; REPORT_SIZE]) -> Self {
        let [kind, a, b, c, d] = bytes;
        let value = i32::from_le_bytes([a, b, c, d]);
        match kind {
            0 => Self::Started(value),
            1 => Self::NotStarted(value),
            2 => Self::Ended(value),
            _ => Self::Empty,
        }
    }
}

const REPORTS: i32 = 3;

/// Forks `lead`, which is not to return, then reaps until nothing is left.
pub fn keep(reports: BorrowedFd, lead: impl FnOnce()) -> ! {
    // The agent ignores SIGCHLD, so that the kernel reaps for it; here ends must be waited for.
    sys::default_signal(libc::SIGCHLD);
    let subreaper = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let leader = match subreaper.and_then(|()| sys::fork()) {
        Ok(Some(leader)) => leader,
        Ok(None) => {
            lead();
            sys::exit(127)
        }
        Err(errno) => {
            say(reports.as_raw_fd(), &[Report::NotStarted(errno.raw_os_error()), Report::Empty]);
            sys::exit(1);
        }
    };
    hold_only(reports);
    sys::release_heap();
    say(REPORTS, &[Report::Started(leader)]);
    reap(leader)
}

/// Only the way to the agent stays open: a pipe's end held here would never end for the others.
fn hold_only(reports: BorrowedFd) {
    let placed = sys::place(reports.as_raw_fd(), REPORTS, true).and_then(|()| sys::close_from(REPORTS + 1));
    if placed.is_err() {
        sys::exit(1);
    }
}

fn reap(leader: Pid) -> ! {
    let mut block = true;
    let mut ended = None;
    loop {
        match sys::wait_any(block) {
            Ok(Some((pid, status))) if pid == leader => {
                ended = Some(Report::Ended(status));
                // What else has ended goes into the same write: the agent need not look at /proc for it.
                block = false;
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => {
                say(REPORTS, ended.take().as_slice());
                block = true;
            }
            Err(_) => {
                match ended {
                    Some(ended) => say(REPORTS, &[ended, Report::Empty]),
                    None => say(REPORTS, &[Report::Empty]),
                }
                sys::exit(0);
            }
        }
    }
}

fn say(fd: i32, reports: &[Report]) {
    let mut bytes = [0; 2 * REPORT_SIZE];
    let mut used = 0;
    for (report, target) in reports.iter().zip(bytes.chunks_exact_mut(REPORT_SIZE)) {
        target.copy_from_slice(&report.encode());
        used += REPORT_SIZE;
    }
    sys::write_raw(fd, &bytes[..used]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_pipe() {
        for report in [Report::Started(7), Report::NotStarted(11), Report::Ended(0x8b), Report::Empty] {
            assert_eq!(Report::decode(report.encode()), report);
        }
    }
}
