//! Listing a directory tree, within bounds.
//!
//! A tree may have been built to be endless: entries, depth and the bytes of the response are bounded, and what is
//! beyond is cut off in whatever order the file system yields. Each directory is opened from the one above, by the
//! rules of every opening; one that cannot be is listed and not entered.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::files::{self, Roots};
use crate::protocol::{List, Refusal};

/// Each level holds a descriptor and a buffer.
const DEEPEST: usize = 64;
/// Of all entries in the response; leaves room for the envelope.
const MAX_BYTES: usize = 1_000_000;
/// What an entry takes besides its path.
const ENTRY_OVERHEAD: usize = 56;

pub struct Listing {
    pub entries: Vec<Entry>,
    pub truncated: bool,
}

pub struct Entry {
    pub path: String,
    pub kind: &'static str,
    pub size: u64,
    pub mode: u32,
}

pub fn list(roots: &Roots, request: &List) -> Result<Listing, Refusal> {
    let place = roots.place(request.path)?;
    let _identity = files::identity(request.owner)?;
    let top = place.open(OFlags::PATH, 0).map_err(files::refusal)?;
    let stat = rustix::fs::fstat(&top).map_err(files::refusal)?;
    let mut walk = Walk { max_entries: request.max_entries, bytes: 0, entries: Vec::new(), truncated: false };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let directory = open_directory(top.as_fd(), ".").map_err(files::refusal)?;
        walk.enter(&directory, "", request.max_depth.min(DEEPEST)).map_err(files::refusal)?;
    } else {
        walk.add(String::new(), &stat);
    }
    walk.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Listing { entries: walk.entries, truncated: walk.truncated })
}

fn open_directory(at: BorrowedFd, name: &str) -> Result<OwnedFd, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    files::open_beneath(at, name, OFlags::RDONLY | OFlags::DIRECTORY, 0, resolve)
}

struct Walk {
    max_entries: usize,
    bytes: usize,
    entries: Vec<Entry>,
    truncated: bool,
}

impl Walk {
    /// `depth` is how many levels may be listed from here on.
    fn enter(&mut self, directory: &OwnedFd, prefix: &str, depth: usize) -> Result<(), Errno> {
        if depth == 0 {
            return Ok(());
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut names = RawDir::new(directory, &mut buffer);
        while let Some(entry) = names.next() {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.visit(directory, entry.file_name(), prefix, depth);
            if self.truncated {
                break;
            }
        }
        Ok(())
    }

    fn visit(&mut self, directory: &OwnedFd, name: &CStr, prefix: &str, depth: usize) {
        // Gone meanwhile, or not to be looked at.
        let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let shown = name.to_string_lossy();
        let path = if prefix.is_empty() { shown.into_owned() } else { format!("{prefix}/{shown}") };
        if !self.add(path.clone(), &stat) || FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return;
        }
        if let Some(below) = name.to_str().ok().and_then(|name| open_directory(directory.as_fd(), name).ok()) {
            // One that fails half-way is listed as far as it went.
            let _ = self.enter(&below, &path, depth - 1);
        }
    }

    /// False where that would be too many or too much.
    fn add(&mut self, path: String, stat: &Stat) -> bool {
        let bytes = self.bytes + path.len() + ENTRY_OVERHEAD;
        if self.entries.len() >= self.max_entries || bytes > MAX_BYTES {
            self.truncated = true;
            return false;
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => "file",
            FileType::Directory => "dir",
            FileType::Symlink => "link",
            _ => "other",
        };
        self.bytes = bytes;
        self.entries.push(Entry { path, kind, size: stat.st_size as u64, mode: stat.st_mode & 0o7777 });
        true
    }
}
