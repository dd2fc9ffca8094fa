//! Process trees, as /proc shows them.
//!
//! Every keeper is a child subreaper, so whatever a program starts stays below its keeper: a double fork, a new
//! session or a cleared environment changes nothing. A look at /proc is not atomic, and what is born during it may
//! be missed; so nobody concludes from a look that a tree is empty. That is the keeper's to say, whom the kernel
//! tells (`ECHILD`) that it has no child left, and hence no descendant.

use std::fs;
use std::io::{self, Read};

use crate::sys::{self, Pid};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: Pid,
    pub parent: Pid,
    /// False for a zombie that the rest of its threads do not outlive.
    pub alive: bool,
    /// In ticks since boot.
    pub started: u64,
}

/// A point in time by which processes are told apart as started before or after.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    tick: u64,
    /// The pid given out last: it orders what started within the same tick.
    last_pid: Option<Pid>,
}

impl Moment {
    pub fn now() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let last_pid = load.trim_end().rsplit(' ').next().and_then(|field| field.parse().ok());
        Self { tick: sys::ticks_since_boot(), last_pid }
    }

    pub fn is_before(&self, process: &Process) -> bool {
        match process.started.cmp(&self.tick) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => self.last_pid.is_some_and(|last| process.pid > last),
            std::cmp::Ordering::Greater => true,
        }
    }
}

/// Every process of the pid namespace.
pub fn look() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        processes.extend(pid.and_then(one));
    }
    Ok(processes)
}

/// `None` if it is gone by now.
fn one(pid: Pid) -> Option<Process> {
    let mut buffer = [0; 1024];
    let mut file = fs::File::open(format!("/proc/{pid}/stat")).ok()?;
    let count = file.read(&mut buffer).ok()?;
    parse(pid, &buffer[..count])
}

/// The second field is the program's name in parentheses and may hold anything, also `)` and newlines.
fn parse(pid: Pid, stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let threads: u32 = fields.nth(15)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    // A main thread that has ended shows as a zombie while other threads run on.
    let alive = !matches!(state, "Z" | "X") || threads > 1;
    Some(Process { pid, parent, alive, started })
}

/// The descendants of `root`, without those below (or equal to) one of `except`.
pub fn below<'a>(processes: &'a [Process], root: Pid, except: &'a [Pid]) -> impl Iterator<Item = &'a Process> {
    let mut members = vec![root];
    let mut known = 0;
    while known < members.len() {
        let parents = known..members.len();
        known = members.len();
        for process in processes {
            let child = members[parents.clone()].contains(&process.parent);
            if child && !except.contains(&process.pid) && !members.contains(&process.pid) {
                members.push(process.pid);
            }
        }
    }
    processes.iter().filter(move |process| process.pid != root && members.contains(&process.pid))
}

/// Sends SIGKILL to those of `processes` that live, remembers them in `killed`, and says whether there were any.
pub fn kill<'a>(processes: impl Iterator<Item = &'a Process>, killed: &mut Vec<Pid>) -> bool {
    let mut any = false;
    for process in processes.filter(|process| process.alive) {
        any = true;
        if sys::kill(process.pid, libc::SIGKILL).is_ok() && !killed.contains(&process.pid) {
            killed.push(process.pid);
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "S 7 5 5 0 -1 4194560 92 0 0 0 0 0 0 0 20 0 THREADS 0 1234 3000000 200 1844";

    fn stat(state: &str, name: &str, threads: &str) -> String {
        format!("5 ({name}) {}", STAT.replacen('S', state, 1).replace("THREADS", threads))
    }

    #[test]
    fn a_name_cannot_forge_the_other_fields() {
        for name in ["sh", "a) Z 1 (", ") S 1 1", "x\n)"] {
            let expected = Process { pid: 5, parent: 7, alive: true, started: 1234 };
            assert_eq!(parse(5, stat("S", name, "1").as_bytes()), Some(expected), "{name:?}");
        }
    }

    #[test]
    fn a_zombie_with_threads_left_is_alive() {
        let alive = |state, threads| parse(5, stat(state, "sh", threads).as_bytes()).map(|process| process.alive);
        assert_eq!(alive("Z", "1"), Some(false));
        assert_eq!(alive("Z", "2"), Some(true));
        assert_eq!(alive("T", "1"), Some(true));
    }

    #[test]
    fn cut_or_empty_entries_are_no_process() {
        for text in ["", "5 (sh", "5 (sh) S", "5 (sh) S x 1"] {
            assert_eq!(parse(5, text.as_bytes()), None);
        }
    }

    fn process(pid: Pid, parent: Pid) -> Process {
        Process { pid, parent, alive: true, started: 0 }
    }

    #[test]
    fn descendants_are_found_in_any_order_and_exceptions_hide_what_is_below() {
        let all = [process(9, 8), process(8, 2), process(2, 1), process(3, 1), process(4, 3), process(5, 99)];
        let pids = |root, except: &[Pid]| below(&all, root, except).map(|process| process.pid).collect::<Vec<_>>();
        assert_eq!(pids(2, &[]), [9, 8]);
        assert_eq!(pids(1, &[2]), [3, 4]);
        assert_eq!(pids(1, &[]), [9, 8, 2, 3, 4]);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let all = [process(2, 3), process(3, 2)];
        assert_eq!(below(&all, 2, &[]).count(), 1);
    }

    #[test]
    fn moments_order_processes_by_tick_and_then_by_pid() {
        let moment = Moment { tick: 100, last_pid: Some(50) };
        let is_new = |pid, started| moment.is_before(&Process { started, ..process(pid, 1) });
        assert!(is_new(1, 101) && is_new(51, 100));
        assert!(!is_new(50, 100) && !is_new(60, 99));
    }
}
