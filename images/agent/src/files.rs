//! Files of the sandbox, touched on behalf of a user.
//!
//! The agent is root inside, and every path may have been prepared by hostile code. So the kernel is told to resolve
//! beneath a root, through no symbolic or magic link and into no other mount (never /proc, never /dev), with the
//! user's file-system ids, without blocking; and what was opened must be a regular file. Where the kernel has no
//! `openat2`, nothing is opened. Mounts that hold files of the user are named on the command line and are roots of
//! their own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::errno;
use crate::protocol::{Owner, Read, Refusal, Write};
use crate::sys::FileIdentity;

/// Applied to each opening, from whatever root.
const STRICT: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const SAFE: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
/// A race with a rename makes openat2 ask for another try.
const TRIES: usize = 10;

/// The roots under which paths are resolved: `/`, and mounts inside it.
pub struct Roots {
    /// Longest path first; `/` is the last.
    roots: Vec<(Vec<String>, OwnedFd)>,
}

/// A path as its root and what lies beneath.
pub struct Place<'a> {
    root: BorrowedFd<'a>,
    components: Vec<&'a str>,
}

impl Roots {
    pub fn open<'a>(mounts: impl Iterator<Item = &'a Path>) -> std::io::Result<Self> {
        let mut roots = Vec::new();
        for path in mounts.chain([Path::new("/")]) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(path, flags, Mode::empty())?;
            let components = path.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
            roots.push((components, root));
        }
        roots.sort_by_key(|(components, _): &(Vec<String>, _)| std::cmp::Reverse(components.len()));
        Ok(Self { roots })
    }

    /// Finds the root of an absolute path without `..`.
    pub fn place<'a>(&'a self, path: &'a str) -> Result<Place<'a>, Refusal> {
        let invalid = |why| Err(Refusal::new("invalid_path", why));
        if !path.starts_with('/') {
            return invalid("not absolute");
        }
        if path.contains('\0') || path.len() > 4095 {
            return invalid("too long, or with NUL");
        }
        let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if components.contains(&"..") {
            return invalid("goes up with ..");
        }
        for (prefix, root) in &self.roots {
            if prefix.len() <= components.len() && prefix.iter().zip(&components).all(|(a, b)| a == b) {
                return Ok(Place { root: root.as_fd(), components: components[prefix.len()..].to_vec() });
            }
        }
        invalid("beneath no root")
    }
}

impl Place<'_> {
    pub fn open(&self, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
        let path = if self.components.is_empty() { ".".to_owned() } else { self.components.join("/") };
        open_beneath(self.root, &path, flags, mode, STRICT)
    }

    /// Opens the directory even across mounts: only `room` does, which then looks at the file system's type.
    pub fn open_directory_anywhere(&self) -> Result<OwnedFd, Errno> {
        let path = if self.components.is_empty() { ".".to_owned() } else { self.components.join("/") };
        open_beneath(self.root, &path, OFlags::PATH | OFlags::DIRECTORY, 0, STRICT.difference(ResolveFlags::NO_XDEV))
    }

    /// Makes the directories above the last component, one by one, each under the rules of every opening.
    fn make_parents(&self) -> Result<(), Errno> {
        let Some((_, parents)) = self.components.split_last() else { return Ok(()) };
        let mut directory: Option<OwnedFd> = None;
        for &name in parents {
            let above = directory.as_ref().map_or(self.root, AsFd::as_fd);
            let open = || open_beneath(above, name, OFlags::PATH | OFlags::DIRECTORY, 0, STRICT);
            let opened = match open() {
                Err(Errno::NOENT) => {
                    let made = rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o755));
                    if !matches!(made, Ok(()) | Err(Errno::EXIST)) {
                        made?;
                    }
                    open()?
                }
                opened => opened?,
            };
            directory = Some(opened);
        }
        Ok(())
    }
}

pub fn open_beneath(
    at: BorrowedFd,
    path: &str,
    flags: OFlags,
    mode: u32,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    // With O_PATH only the flags about resolving are allowed.
    let flags = if flags.contains(OFlags::PATH) { flags | OFlags::CLOEXEC } else { flags | SAFE };
    let mode = Mode::from_raw_mode(if flags.contains(OFlags::CREATE) { mode & 0o777 } else { 0 });
    for _ in 1..TRIES {
        match rustix::fs::openat2(at, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    rustix::fs::openat2(at, path, flags, mode, resolve)
}

/// The size of an open regular file; anything else is refused.
fn regular(fd: &OwnedFd) -> Result<u64, Refusal> {
    let stat = rustix::fs::fstat(fd).map_err(refusal)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Refusal::new("not_a_file", "not a regular file"));
    }
    Ok(stat.st_size as u64)
}

pub fn identity(owner: Owner) -> Result<FileIdentity, Refusal> {
    FileIdentity::assume(owner.uid, owner.gid).map_err(|_| Refusal::new("io", "the uid or gid cannot be assumed"))
}

/// The file's size afterwards. An existing file keeps its mode.
pub fn write(roots: &Roots, request: &Write) -> Result<u64, Refusal> {
    let place = roots.place(request.path)?;
    let _identity = identity(request.owner)?;
    if request.parents {
        place.make_parents().map_err(refusal)?;
    }
    let append = if request.append { OFlags::APPEND } else { OFlags::empty() };
    let file = place.open(OFlags::WRONLY | OFlags::CREATE | append, request.mode).map_err(refusal)?;
    regular(&file)?;
    // Not O_TRUNC: that would act before the type is known.
    if !request.append {
        rustix::fs::ftruncate(&file, 0).map_err(refusal)?;
    }
    let mut left = request.data;
    while !left.is_empty() {
        match rustix::io::write(&file, left) {
            Ok(0) => return Err(Refusal::new("io", "wrote nothing")),
            Ok(count) => left = &left[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(refusal(errno)),
        }
    }
    regular(&file)
}

pub struct Content {
    pub data: Vec<u8>,
    pub size: u64,
    pub eof: bool,
}

pub fn read(roots: &Roots, request: &Read) -> Result<Content, Refusal> {
    let place = roots.place(request.path)?;
    let _identity = identity(request.owner)?;
    let file = place.open(OFlags::RDONLY, 0).map_err(refusal)?;
    let size = regular(&file)?;
    let expected = size.saturating_sub(request.offset).min(request.length as u64) as usize;
    let mut data = Vec::with_capacity(expected);
    let mut chunk = [0; 16 * 1024];
    let mut eof = false;
    // By what comes, not by the size: that may be a lie or change meanwhile. A byte more than asked tells the end.
    while !eof && data.len() <= request.length {
        let want = (request.length - data.len()).max(1).min(chunk.len());
        match rustix::io::pread(&file, &mut chunk[..want], request.offset.saturating_add(data.len() as u64)) {
            Ok(0) => eof = true,
            Ok(_) if data.len() == request.length => break,
            Ok(count) => data.extend_from_slice(&chunk[..count]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(refusal(errno)),
        }
    }
    Ok(Content { data, size, eof })
}

/// The protocol's code for what the kernel said.
pub fn refusal(errno: Errno) -> Refusal {
    let code = match errno {
        Errno::NOENT => "not_found",
        Errno::NOTDIR => "not_a_directory",
        Errno::ISDIR | Errno::NXIO | Errno::NODEV => "not_a_file",
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::XDEV => "denied",
        Errno::LOOP => "is_link",
        Errno::NOSPC | Errno::DQUOT => "no_space",
        Errno::NAMETOOLONG | Errno::INVAL => "invalid_path",
        _ => "io",
    };
    Refusal::new(code, errno::name(errno))
}
