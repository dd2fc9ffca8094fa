//! Whether so many bytes more can be written in a directory now.
//!
//! Asked of the file system itself, with an unnamed temporary file that is gone with its descriptor: what `statfs`
//! says knows neither quotas nor reserved blocks.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FallocateFlags, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::files::{self, Roots};
use crate::protocol::{Refusal, Room};

/// The file systems in which only the kernel keeps files.
const NOT_FOR_FILES: &[u64] = &[
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x27_e0eb,   // cgroup
    0x6367_7270, // cgroup2
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
];

pub fn room(roots: &Roots, request: &Room) -> Result<Vec<bool>, Refusal> {
    request.paths.iter().map(|path| one(roots, path, request)).collect()
}

fn one(roots: &Roots, path: &str, request: &Room) -> Result<bool, Refusal> {
    let place = roots.place(path)?;
    let _identity = files::identity(request.owner)?;
    let directory = place.open_directory_anywhere().map_err(files::refusal)?;
    let kind = rustix::fs::fstatfs(&directory).map_err(files::refusal)?.f_type as u64 & 0xffff_ffff;
    if NOT_FOR_FILES.contains(&kind) {
        return Err(Refusal::new("denied", "not a place for files"));
    }
    match try_out(&directory, request.bytes) {
        Ok(()) => Ok(true),
        Err(Errno::NOSPC | Errno::DQUOT) => Ok(false),
        Err(errno) => Err(files::refusal(errno)),
    }
}

fn try_out(directory: &OwnedFd, bytes: u64) -> Result<(), Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let file = files::open_beneath(directory.as_fd(), ".", OFlags::TMPFILE | OFlags::RDWR, 0o600, resolve)?;
    if bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP) => fill(&file, bytes),
        result => result,
    }
}

/// For file systems that cannot allocate ahead.
fn fill(file: &OwnedFd, bytes: u64) -> Result<(), Errno> {
    let zeros = [0; 16 * 1024];
    let mut left = bytes;
    while left > 0 {
        let want = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match rustix::io::write(file, &zeros[..want]) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => left -= count as u64,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
