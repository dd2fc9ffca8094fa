//! Which of the agent's descriptors lead out of the sandbox, so that it could not be dumped.

use std::fs;
use std::os::fd::RawFd;

/// What sessions and the agent itself hold lies inside. Sockets are the listener and the connection, or unexpected.
const INSIDE: &[&str] = &["pipe:", "/dev/null", "/dev/ptmx", "/dev/pts/", "/dev/pts/ptmx"];

/// Each as its number and what it is. `known` are the listener and the connection.
pub fn leading_outside(known: &[Option<RawFd>]) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return vec!["unknown: /proc/self/fd cannot be read".to_owned()];
    };
    let mut outside = Vec::new();
    for entry in entries.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        let inside = INSIDE.iter().any(|prefix| target.starts_with(prefix)) || is_directory(&entry.path());
        if !inside && !known.contains(&Some(number)) {
            outside.push(format!("{number}: {target}"));
        }
    }
    outside
}

/// The roots of file operations, and the directory being read here.
fn is_directory(link: &std::path::Path) -> bool {
    fs::metadata(link).is_ok_and(|metadata| metadata.is_dir())
}
