//! Killing a whole tree, in passes that the event loop spaces out.
//!
//! Each pass sends SIGKILL to all that it sees; what is born meanwhile is for the next one. The keeper is stopped
//! until a pass sees nobody alive: the dead then keep their pids, which count against the limit, so that a fork
//! bomb runs out of children to make instead of racing the passes for ever. Then the keeper goes on, reaps, and
//! says whether the tree is empty; if not, passes go on.

use std::time::{Duration, Instant};

use crate::sys::{self, Pid};
use crate::tree;

const PAUSE: Duration = Duration::from_millis(1);
/// After so many passes what is left takes its time to die: no need to hurry.
const MANY: u32 = 50;
const LONG_PAUSE: Duration = Duration::from_millis(20);

pub struct Killing {
    keeper: Pid,
    keeper_stopped: bool,
    passes: u32,
    killed: Vec<Pid>,
    pub next: Instant,
}

impl Killing {
    /// Makes the first pass.
    pub fn begin(keeper: Pid, now: Instant) -> Self {
        let mut killing = Self { keeper, keeper_stopped: false, passes: 0, killed: Vec::new(), next: now };
        killing.pass(now);
        killing
    }

    pub fn pass(&mut self, now: Instant) {
        if !self.keeper_stopped {
            self.keeper_stopped = sys::kill(self.keeper, libc::SIGSTOP).is_ok();
        }
        let alive = match tree::look() {
            Ok(all) => tree::kill(tree::below(&all, self.keeper, &[]), &mut self.killed),
            Err(_) => true,
        };
        if !alive {
            let _ = sys::kill(self.keeper, libc::SIGCONT);
            self.keeper_stopped = false;
        }
        self.passes = self.passes.saturating_add(1);
        self.next = now + if self.passes < MANY { PAUSE } else { LONG_PAUSE };
    }

    pub fn killed(&self) -> usize {
        self.killed.len()
    }
}

/// Killing what was started since a moment, below a keeper whose program lives on.
pub struct Sweep {
    keeper: Pid,
    since: tree::Moment,
    leader: Option<Pid>,
    killed: Vec<Pid>,
    /// Passes in a row that saw nobody; one alone may have missed somebody.
    clean: u32,
    pub next: Instant,
}

impl Sweep {
    pub fn begin(keeper: Pid, leader: Option<Pid>, since: tree::Moment, now: Instant) -> Self {
        Self { keeper, since, leader, killed: Vec::new(), clean: 0, next: now }
    }

    /// True once nobody is left.
    pub fn pass(&mut self, now: Instant) -> bool {
        let alive = tree::look().is_ok_and(|all| {
            let new = tree::below(&all, self.keeper, &[])
                .filter(|process| self.since.is_before(process) && Some(process.pid) != self.leader);
            tree::kill(new, &mut self.killed)
        });
        self.clean = if alive { 0 } else { self.clean + 1 };
        self.next = now + PAUSE;
        self.clean >= 2
    }

    pub fn killed(&self) -> usize {
        self.killed.len()
    }
}
