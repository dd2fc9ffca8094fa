//! Killing every process but the agent.
//!
//! As PID 1 one system call reaches all others at once, so that none can be born unseen; it says when nobody is left.
//! Elsewhere (in tests) only what lies below the agent may be touched.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::job::Job;
use crate::sys::{self, Pid};
use crate::tree;

const PAUSE: Duration = Duration::from_millis(1);
const MAX_PASSES: usize = 1000;

pub struct Stop {
    id: u64,
    killed: Vec<Pid>,
    pub next: Instant,
}

impl Stop {
    pub fn begin(id: u64, jobs: &mut [Job], now: Instant) -> Self {
        let keepers = keepers(jobs);
        let mut killed = Vec::new();
        if let Ok(all) = tree::look() {
            let programs = tree::below(&all, own_pid(), &[]).filter(|process| !keepers.contains(&process.pid));
            tree::kill(programs, &mut killed);
        }
        kill_others();
        for job in jobs {
            job.stop(now, !is_init());
        }
        Self { id, killed, next: now }
    }

    /// The request's id and how many were killed, once nobody is left.
    pub fn proceed(&mut self, jobs: &[Job], now: Instant) -> Option<(u64, usize)> {
        if self.next > now {
            return None;
        }
        self.next = now + PAUSE;
        let done = kill_others() && jobs.is_empty();
        done.then_some((self.id, self.killed.len()))
    }
}

/// True if there was nobody.
fn kill_others() -> bool {
    if is_init() {
        return sys::kill(-1, libc::SIGKILL) == Err(Errno::SRCH);
    }
    true
}

/// Kills what no living keeper has below it: the tree of a keeper that was itself killed.
pub fn kill_strays(jobs: &[Job]) {
    let keepers = keepers(jobs);
    for _ in 0..MAX_PASSES {
        let Ok(all) = tree::look() else { continue };
        if !tree::kill(tree::below(&all, own_pid(), &keepers), &mut Vec::new()) {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Before the agent itself ends.
pub fn kill_everything(jobs: &mut [Job]) {
    for job in jobs {
        sys::kill(job.keeper(), libc::SIGKILL).ok();
    }
    kill_strays(&[]);
}

fn keepers(jobs: &[Job]) -> Vec<Pid> {
    jobs.iter().map(Job::keeper).collect()
}

fn own_pid() -> Pid {
    std::process::id() as Pid
}

fn is_init() -> bool {
    own_pid() == 1
}
