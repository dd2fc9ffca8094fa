//! The guest agent: PID 1 of a sandbox, which runs untrusted programs for the server outside.
//!
//! It speaks docs/guest-protocol.md on one unix socket. Everything around it may be hostile: the programs it starts, the
//! files it opens, what comes over the pipes. So it holds no secret, is not dumpable while a server is connected, ignores
//! SIGPIPE, has one thread and allocates within bounds. Modules, from the outside in: `server` (the loop), `connection`,
//! `frame`, `msgpack`, `protocol`, `registry` (exactly once), `job` (sessions and runs), `process` and `keeper` (how a
//! program starts), `tree`, `killing` and `stop` (how it ends), `output`, `capture` and `channel` (what flows), `files`,
//! `list` and `room`, and `sys` (all that is unsafe).

mod capture;
mod channel;
mod connection;
mod errno;
mod files;
mod frame;
#[cfg(test)]
mod fuzz;
mod job;
mod keeper;
mod killing;
mod list;
mod msgpack;
mod orphan;
mod output;
mod process;
mod protocol;
mod quiesce;
mod registry;
mod room;
mod server;
mod stop;
mod sys;
mod tree;

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::DumpableBehavior;

use crate::files::Roots;
use crate::server::{Peer, Server};

const USAGE: &str = "usage: agent --socket PATH [--peer-uid UID] [--orphan-timeout-s N] [--mount PATH]...";

struct Arguments {
    socket: PathBuf,
    peer: Peer,
    orphan_timeout: Option<Duration>,
    mounts: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let hardened = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    sys::mark_heap();
    sys::tune_allocator();
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match hardened.map_err(Into::into).and_then(|()| prepare(&arguments)) {
        Ok(server) => {
            server.serve();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut socket = None;
    let (mut peer, mut orphan_timeout, mut mounts) = (Peer::Outside, None, Vec::new());
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--socket" => socket = Some(PathBuf::from(value)),
            "--peer-uid" => peer = Peer::Uid(value.parse().ok()?),
            "--orphan-timeout-s" => orphan_timeout = Some(Duration::from_secs(value.parse().ok()?)),
            "--mount" => mounts.push(PathBuf::from(value)),
            _ => return None,
        }
    }
    Some(Arguments { socket: socket?, peer, orphan_timeout, mounts })
}

fn prepare(arguments: &Arguments) -> std::io::Result<Server> {
    sys::close_from(3)?;
    sys::ignore_signal(libc::SIGPIPE);
    // Keepers tell how programs end; orphans and keepers themselves are reaped by the kernel, without a wake-up.
    sys::ignore_signal(libc::SIGCHLD);
    // Where the agent is PID 1 this changes nothing; elsewhere orphans come to it all the same.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // Files are opened with the groups of a request: none but its gid.
    let _ = rustix::thread::set_thread_groups(&[]);
    let roots = Roots::open(arguments.mounts.iter().map(PathBuf::as_path))?;
    let _ = std::fs::remove_file(&arguments.socket);
    rustix::process::umask(Mode::from_raw_mode(0o111));
    let listener = UnixListener::bind(&arguments.socket)?;
    rustix::process::umask(Mode::empty());
    let server = Server::new(listener, arguments.peer, roots, arguments.orphan_timeout)?;
    use_null()?;
    Ok(server)
}

/// Standard descriptors lead nowhere: what they were outside must not be held.
fn use_null() -> std::io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for target in 0..3 {
        sys::place(std::os::fd::AsRawFd::as_raw_fd(&null), target, false)?;
    }
    Ok(())
}
