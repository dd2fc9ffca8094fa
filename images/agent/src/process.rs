//! Starting a program: agent → keeper → leader.
//!
//! The agent makes the pipes and forks the keeper; the keeper forks the leader, the program's first process. The
//! leader gives everything up in an order that matters (uid after all that needs a privilege, working directory
//! after the uid) and execs. It says over a pipe that exec closes which step failed, so an empty end means success.
//! Pipes are made under the file-system uid of the program, which therefore owns them: only so can it open
//! `/dev/stdout` or `/dev/stderr` again, as shell scripts do.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::sys::{self, FileIdentity, Pid};
use crate::{errno, keeper};

/// What to start, as what.
pub struct Program {
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    /// Where the program may lie: one path, or one for each directory of the request's PATH.
    pub candidates: Vec<CString>,
    pub cwd: CString,
    pub uid: u32,
    pub gid: u32,
    pub rlimits: Vec<(Resource, u64)>,
}

/// How a program is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wiring {
    pub terminal: bool,
    /// Descriptor 0 is a pipe (else `/dev/null`); of no effect with a terminal.
    pub stdin: bool,
    /// Descriptors 3 and 4.
    pub channel: bool,
}

/// The agent's ends. What is a terminal reads and writes on one descriptor.
pub struct Started {
    pub keeper: Pid,
    pub reports: OwnedFd,
    /// Ends when the program has been exec'd; else brings a failure.
    pub exec: OwnedFd,
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: Option<OwnedFd>,
    /// The other side of the terminal, held so that the agent's side never sees a hang-up.
    pub terminal: Option<OwnedFd>,
    pub messages: Option<(OwnedFd, OwnedFd)>,
}

/// The failing call and why; `Display` is the message of `spawn_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub call: &'static str,
    pub errno: Errno,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.call, errno::name(self.errno))
    }
}

const CALLS: &[&str] = &[
    "dup",
    "setsid",
    "ioctl TIOCSCTTY",
    "oom_score_adj",
    "setrlimit",
    "prctl",
    "setgroups",
    "setresgid",
    "setresuid",
    "capset",
    "chdir",
    "execve",
    "close_range",
];
/// Of a PATH.
const MAX_DIRECTORIES: usize = 64;
/// Of a file, in bytes; the kernel's.
const NAME_MAX: usize = 255;
/// Above every number that a program's descriptors are placed at.
const LOW: RawFd = 16;
/// Bytes of an encoded [`Failure`]: less than a pipe writes at once.
pub const FAILURE_SIZE: usize = 5;

impl Failure {
    fn encode(self) -> [u8; FAILURE_SIZE] {
        let call = CALLS.iter().position(|&call| call == self.call).unwrap_or_default();
        let [a, b, c, d] = self.errno.raw_os_error().to_le_bytes();
        [call as u8, a, b, c, d]
    }

    pub fn decode(bytes: [u8; FAILURE_SIZE]) -> Self {
        let [call, a, b, c, d] = bytes;
        let call = CALLS.get(usize::from(call)).copied().unwrap_or("exec");
        Self { call, errno: Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d])) }
    }
}

/// Gives an errno the name of the call that it came from.
fn failed(call: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { call, errno }
}

/// Forks the keeper, which forks the program. Whether that succeeded comes later, over `reports` and `exec`.
pub fn start(program: &Program, wiring: Wiring) -> Result<Started, Failure> {
    let (ours, theirs) = wire(program, wiring)?;
    let (reports, to_agent) = pipe(true, false)?;
    let (exec, failure) = pipe(true, false)?;
    let fork = sys::fork().map_err(failed("fork"))?;
    let Some(keeper) = fork else {
        keeper::keep(to_agent.as_fd(), || lead(program, &theirs, failure.as_fd()));
    };
    let Ours { stdin, stdout, stderr, terminal, messages } = ours;
    Ok(Started { keeper, reports, exec, stdin, stdout, stderr, terminal, messages })
}

struct Ours {
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    messages: Option<(OwnedFd, OwnedFd)>,
}

/// The program's descriptors from 0 on.
struct Theirs {
    fds: Vec<OwnedFd>,
    terminal: bool,
}

fn wire(program: &Program, wiring: Wiring) -> Result<(Ours, Theirs), Failure> {
    let _identity = FileIdentity::assume(program.uid, program.gid).map_err(failed("setfsuid"))?;
    let (mut ours, mut theirs) = if wiring.terminal { wire_terminal()? } else { wire_pipes(wiring.stdin)? };
    if wiring.channel {
        let (their_in, our_out) = pipe(false, true)?;
        let (our_in, their_out) = pipe(true, false)?;
        theirs.fds.extend([their_in, their_out]);
        ours.messages = Some((our_out, our_in));
    }
    Ok((ours, theirs))
}

fn wire_pipes(stdin: bool) -> Result<(Ours, Theirs), Failure> {
    let (their_stdin, stdin) = if stdin {
        let (theirs, ours) = pipe(false, true)?;
        (theirs, Some(ours))
    } else {
        (null()?, None)
    };
    let (stdout, their_stdout) = pipe(true, false)?;
    let (stderr, their_stderr) = pipe(true, false)?;
    let theirs = Theirs { fds: vec![their_stdin, their_stdout, their_stderr], terminal: false };
    Ok((Ours { stdin, stdout, stderr: Some(stderr), terminal: None, messages: None }, theirs))
}

fn wire_terminal() -> Result<(Ours, Theirs), Failure> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).map_err(failed("open /dev/ptmx"))?;
    rustix::pty::unlockpt(&master).map_err(failed("ioctl TIOCSPTLCK"))?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(failed("ioctl TIOCGPTPEER"))?;
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&terminal, size).map_err(failed("ioctl TIOCSWINSZ"))?;
    rustix::io::ioctl_fionbio(&master, true).map_err(failed("ioctl FIONBIO"))?;
    let copy = |fd: &OwnedFd| fd.try_clone().map_err(|error| failed("dup")(io_errno(&error)));
    let stdin = Some(copy(&master)?);
    let theirs = Theirs { fds: vec![copy(&terminal)?, copy(&terminal)?, copy(&terminal)?], terminal: true };
    Ok((Ours { stdin, stdout: master, stderr: None, terminal: Some(terminal), messages: None }, theirs))
}

fn io_errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn null() -> Result<OwnedFd, Failure> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed("open /dev/null"))
}

/// A pipe, closed on exec, whose read or write end does not block. The ends have flags of their own.
fn pipe(read_now: bool, write_now: bool) -> Result<(OwnedFd, OwnedFd), Failure> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failed("pipe2"))?;
    for (fd, now) in [(&reader, read_now), (&writer, write_now)] {
        if now {
            rustix::io::ioctl_fionbio(fd, true).map_err(failed("ioctl FIONBIO"))?;
        }
    }
    Ok((reader, writer))
}

/// The leader's part, between fork and exec.
fn lead(program: &Program, theirs: &Theirs, failure: BorrowedFd) -> ! {
    // Out of the way of the low numbers, which are overwritten one by one.
    let (report, error) = match rustix::io::fcntl_dupfd_cloexec(failure, LOW) {
        Err(errno) => (failure.as_raw_fd(), Failure { call: "dup", errno }),
        Ok(high) => match place_descriptors(theirs, high.as_raw_fd()) {
            Err(errno) => {
                sys::write_raw(high.as_raw_fd(), &Failure { call: "dup", errno }.encode());
                sys::exit(127)
            }
            Ok(report) => {
                std::mem::forget(high);
                let Err(error) = become_program(program, theirs.terminal, report);
                (report, error)
            }
        },
    };
    sys::write_raw(report, &error.encode());
    sys::exit(127)
}

/// The kernel's choice when memory runs out should be a user process, not the agent. In a restored sandbox the agent's
/// memory belongs to the namespace that restored it, and the kernel denies this: there the agent is spared for being small.
fn prefer_for_oom() -> Result<(), Failure> {
    match std::fs::write("/proc/self/oom_score_adj", "1000") {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
            Err(failed("oom_score_adj")(io_errno(&error)))
        }
        _ => Ok(()),
    }
}

/// Ends only to say what failed. `report` is the last descriptor that stays.
fn become_program(program: &Program, terminal: bool, report: RawFd) -> Result<std::convert::Infallible, Failure> {
    sys::close_from(report + 1).map_err(failed("close_range"))?;
    rustix::process::setsid().map_err(failed("setsid"))?;
    if terminal {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).map_err(failed("ioctl TIOCSCTTY"))?;
    }
    sys::default_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    prefer_for_oom()?;
    for &(resource, limit) in &program.rlimits {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit).map_err(failed("setrlimit"))?;
    }
    drop_privileges(program.uid, program.gid)?;
    rustix::process::chdir(&program.cwd).map_err(failed("chdir"))?;
    Err(Failure { call: "execve", errno: execute(program) })
}

/// Puts the program's descriptors at 0, 1, 2, ... and `report`, closed on exec, right behind them; says where.
fn place_descriptors(theirs: &Theirs, report: RawFd) -> Result<RawFd, Errno> {
    let high: Result<Vec<OwnedFd>, Errno> =
        theirs.fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, LOW)).collect();
    // Their numbers are closed by range afterwards; closing them twice would be wrong.
    let high = std::mem::ManuallyDrop::new(high?);
    for (target, fd) in high.iter().enumerate() {
        sys::place(fd.as_raw_fd(), target as RawFd, false)?;
    }
    let behind = high.len() as RawFd;
    sys::place(report, behind, true)?;
    Ok(behind)
}

/// Real, effective and saved ids, no group, no capability, and none to be had from a set-uid file or from uid 0.
fn drop_privileges(uid: u32, gid: u32) -> Result<(), Failure> {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
    rustix::thread::set_no_new_privs(true).map_err(failed("prctl"))?;
    rustix::thread::set_thread_groups(&[]).map_err(failed("setgroups"))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("setresgid"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("setresuid"))?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(failed("capset"))
}

/// Tries the candidates as execvp does: the first that exists, and EACCES if one was there but not allowed.
fn execute(program: &Program) -> Errno {
    let mut worst = Errno::NOENT;
    for path in &program.candidates {
        match sys::exec(path, &program.argv, &program.env) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => worst = Errno::ACCESS,
            errno => return errno,
        }
    }
    worst
}

/// Where `program` may lie. Without a PATH in the request, where a login would look. Bounded: each directory of a long
/// PATH would take another copy of a long name.
pub fn candidates(program: &str, path: Option<&str>) -> Vec<CString> {
    if program.contains('/') {
        return CString::new(program).into_iter().collect();
    }
    let path = path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    std::env::split_paths(OsStr::new(path))
        .take(if program.len() <= NAME_MAX { MAX_DIRECTORIES } else { 0 })
        .filter_map(|directory| CString::new(directory.join(program).as_os_str().as_bytes()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_survive_the_pipe_and_name_call_and_errno() {
        for call in CALLS {
            let failure = Failure { call, errno: Errno::NOENT };
            assert_eq!(Failure::decode(failure.encode()), failure);
        }
        assert_eq!(Failure { call: "chdir", errno: Errno::ACCESS }.to_string(), "chdir: EACCES");
    }

    #[test]
    fn a_bare_name_is_looked_for_in_the_path_of_the_request() {
        let paths = |program, path| {
            candidates(program, path).into_iter().map(|path| path.into_string().expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(paths("sh", Some("/a:/b")), ["/a/sh", "/b/sh"]);
        assert_eq!(paths("./sh", Some("/a")), ["./sh"]);
        assert_eq!(paths("sh", None).last().map(String::as_str), Some("/bin/sh"));
    }
}
