//! The system calls that have no safe wrapper, each in a function of a few lines: all of the agent's `unsafe`.
//!
//! The process has one thread. That is what makes `fork` sound here (the child may do anything), and what makes
//! the raw `setfsuid` call, which concerns only the calling thread, concern the process.

use std::ffi::{c_char, c_int, CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

pub type Pid = i32;

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn checked(result: c_int) -> Result<c_int, Errno> {
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

/// The child's pid in the parent, `None` in the child.
pub fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: single-threaded, so no lock can be held by a thread that the child lacks.
    let pid = checked(unsafe { libc::fork() })?;
    Ok((pid > 0).then_some(pid))
}

/// Ends a forked child at once: no destructor and no exit handler of the parent's runs twice.
pub fn exit(code: c_int) -> ! {
    // SAFETY: _exit takes any code and does not return.
    unsafe { libc::_exit(code) }
}

/// Replaces the program; returns only to say why that failed.
pub fn exec(path: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer, and they and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    last_errno()
}

/// Reaps any child, also ones made by `clone` without a signal. `None`: there are children, none has ended.
pub fn wait_any(block: bool) -> Result<Option<(Pid, c_int)>, Errno> {
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    // SAFETY: `status` is writable for the length of the call.
    let pid = checked(unsafe { libc::waitpid(-1, &raw mut status, flags) })?;
    Ok((pid > 0).then_some((pid, status)))
}

/// `target` as in kill(2): a process, minus a group, or -1 for all that may be signalled but the caller and PID 1.
pub fn kill(target: Pid, signal: c_int) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    checked(unsafe { libc::kill(target, signal) }).map(drop)
}

pub fn ignore_signal(signal: c_int) {
    // SAFETY: SIG_IGN is no function of ours; nothing is called asynchronously.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

pub fn default_signal(signal: c_int) {
    // SAFETY: SIG_DFL is no function of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Writes to a descriptor by its number; false if that failed.
pub fn write_raw(fd: RawFd, bytes: &[u8]) -> bool {
    // SAFETY: the buffer is readable for its length. Used only by forked children on pipes that they were given.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written) == Ok(bytes.len())
}

/// Default dispositions and an empty mask. By the raw call: libc keeps two signals for itself and refuses to touch
/// them, and a parent may have left those ignored.
pub fn default_signals() {
    const SIGNALS: c_int = 64;
    // Zeros are SIG_DFL, no flags and an empty mask, whatever the order of the fields.
    let default = [0_u64; 4];
    let empty = 0_u64;
    // SAFETY: the kernel reads at most 32 bytes of `default` and 8 of `empty`; null pointers ask for nothing back.
    unsafe {
        for signal in 1..=SIGNALS {
            let old = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, old, size_of_val(&empty));
        }
        let old = std::ptr::null_mut::<u64>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const empty, old, size_of_val(&empty));
    }
}

/// Makes `target` a copy of `fd`, whatever was there before.
pub fn place(fd: RawFd, target: RawFd, close_on_exec: bool) -> Result<(), Errno> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: used on descriptors 0 to 5 in a process that is about to exec or to be a keeper, where no `OwnedFd`
    // is used any more, and at start on 0 to 2, which nothing owns.
    checked(unsafe { libc::dup3(fd, target, flags) }).map(drop)
}

/// Closes every descriptor from `first` on. The last is the largest that any can have: gVisor refuses more.
pub fn close_from(first: RawFd) -> Result<(), Errno> {
    // SAFETY: as for `place`: no `OwnedFd` above is used afterwards.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) } as c_int).map(drop)
}

/// Who connected: uid and pid, each as this process's namespaces show them. The pid is 0 for a process that the
/// pid namespace does not contain, which is why rustix's `Pid`, never 0, cannot be used.
pub fn peer(socket: BorrowedFd) -> Result<(u32, Pid), Errno> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: `peer` is writable and `size` is its size.
    checked(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut peer).cast(), &raw mut size) })?;
    Ok((peer.uid, peer.pid))
}

/// The file-system uid and gid of a request, for as long as this lives; then the agent's own again, whatever
/// happened in between.
pub struct FileIdentity(());

impl FileIdentity {
    pub fn assume(uid: u32, gid: u32) -> Result<Self, Errno> {
        let identity = Self(());
        if set_file_ids(uid, gid) {
            return Ok(identity);
        }
        Err(Errno::PERM)
    }
}

impl Drop for FileIdentity {
    fn drop(&mut self) {
        // SAFETY: no memory is passed.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        set_file_ids(uid, gid);
    }
}

/// These calls report no error: only a second one, with an id that is none, tells what is in force.
fn set_file_ids(uid: u32, gid: u32) -> bool {
    // SAFETY: no memory is passed.
    let set = |number, id: u32| unsafe {
        libc::syscall(number, id);
        libc::syscall(number, u32::MAX) as u32 == id
    };
    set(libc::SYS_setfsgid, gid) & set(libc::SYS_setfsuid, uid)
}

/// Makes malloc give large buffers back to the kernel as soon as they are freed, and keep little otherwise.
pub fn tune_allocator() {
    // SAFETY: mallopt takes any values.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 * 1024);
    }
}

static HEAP_FLOOR: AtomicUsize = AtomicUsize::new(0);

/// Called first thing: what malloc gives out from here on is ours, what lies below belongs to libc (its thread
/// block, for one).
pub fn mark_heap() {
    let page = rustix::param::page_size();
    let probe = std::hint::black_box(Box::new(0_u8));
    HEAP_FLOOR.store((&raw const *probe as usize).next_multiple_of(page), Ordering::Relaxed);
}

/// Gives back the heap's pages. Only for a keeper, which never uses the heap again: its copy of what the agent
/// held at the fork would stay in memory for as long as the session lives.
pub fn release_heap() {
    let floor = HEAP_FLOOR.load(Ordering::Relaxed);
    // SAFETY: sbrk(0) only asks. The range is this process's heap, private, and not read again; without a mark, or
    // where malloc has put the probe elsewhere, it is empty.
    unsafe {
        let size = (libc::sbrk(0) as usize).saturating_sub(floor);
        if floor > 0 && size < 1 << 30 {
            libc::madvise(floor as *mut libc::c_void, size, libc::MADV_DONTNEED);
        }
    }
}

/// Ticks of 1/100 s since boot, as `starttime` in /proc counts.
pub fn ticks_since_boot() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 100 + now.tv_nsec as u64 / 10_000_000
}
