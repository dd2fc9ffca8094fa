//! File operations touch regular files beneath the root, with the rights of the user, and nothing else.

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use common::{bin, Agent, Answer, Arguments, Client, Fields, Value, USER};

fn owner() -> Arguments {
    vec![("uid", USER.into()), ("gid", USER.into())]
}

fn write(client: &mut Client, path: &Path, data: &[u8], changes: Arguments) -> Answer {
    let mut arguments = owner();
    arguments.extend([
        ("path", path.display().to_string().into()),
        ("data", bin(data)),
        ("mode", 0o640.into()),
        ("append", false.into()),
        ("parents", false.into()),
    ]);
    arguments.retain(|(name, _)| !changes.iter().any(|(other, _)| other == name));
    arguments.extend(changes);
    client.request("write", arguments)
}

fn read(client: &mut Client, path: &Path, offset: u64, length: u64) -> Answer {
    let mut arguments = owner();
    arguments.extend([
        ("path", path.display().to_string().into()),
        ("offset", offset.into()),
        ("length", length.into()),
    ]);
    client.request("read", arguments)
}

fn list(client: &mut Client, path: &Path, max_entries: u64, max_depth: u64) -> Answer {
    let mut arguments = owner();
    arguments.extend([
        ("path", path.display().to_string().into()),
        ("max_entries", max_entries.into()),
        ("max_depth", max_depth.into()),
    ]);
    client.request("list", arguments)
}

fn paths(listing: &Value) -> Vec<String> {
    listing.field("entries").as_array().expect("a list").iter().map(|entry| entry.text("path")).collect()
}

fn yes() -> Value {
    true.into()
}

#[test]
fn what_is_written_is_read() {
    let agent = Agent::start();
    let (mut client, path) = (agent.connect(), agent.home().join("file"));
    assert_eq!(write(&mut client, &path, b"hello", vec![]).expect("a size").number("size"), 5);
    let metadata = std::fs::metadata(&path).expect("it is there");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    assert_eq!((metadata.uid(), metadata.gid()), (1000, 1000));
    assert_eq!(write(&mut client, &path, b" world", vec![("append", yes())]).expect("a size").number("size"), 11);
    let content = read(&mut client, &path, 0, 100).expect("content");
    assert_eq!(
        (content.bytes("data"), content.number("size"), content.flag("eof")),
        (b"hello world".to_vec(), 11, true)
    );
    let part = read(&mut client, &path, 2, 3).expect("content");
    assert_eq!((part.bytes("data"), part.flag("eof")), (b"llo".to_vec(), false));
    let exact = read(&mut client, &path, 6, 5).expect("content");
    assert_eq!((exact.bytes("data"), exact.flag("eof")), (b"world".to_vec(), true));
    assert!(read(&mut client, &path, 500, 5).expect("content").flag("eof"));
    assert_eq!(write(&mut client, &path, b"new", vec![]).expect("a size").number("size"), 3);
    assert_eq!(std::fs::read(&path).expect("content"), b"new");
}

#[test]
fn large_files_come_in_pieces_and_sparse_ones_cost_nothing() {
    let agent = Agent::start();
    let (mut client, path) = (agent.connect(), agent.home().join("big"));
    let piece = vec![b'x'; 900_000];
    for _ in 0..3 {
        write(&mut client, &path, &piece, vec![("append", yes())]).expect("a size");
    }
    let content = read(&mut client, &path, 1_800_000, 900_000).expect("content");
    assert_eq!((content.bytes("data").len(), content.flag("eof")), (900_000, true));
    assert_eq!(read(&mut client, &path, 0, 900_001), Err("bad_request".into()));
    let sparse = agent.home().join("sparse");
    std::fs::File::create(&sparse).and_then(|file| file.set_len(50 << 30)).expect("a sparse file");
    std::os::unix::fs::chown(&sparse, Some(1000), Some(1000)).expect("root may");
    let content = read(&mut client, &sparse, 40 << 30, 1000).expect("content");
    assert_eq!((content.number("size"), content.bytes("data")), (50 << 30, vec![0; 1000]));
}

#[test]
fn parents_are_made_on_request_as_the_user() {
    let agent = Agent::start();
    let (mut client, home) = (agent.connect(), agent.home());
    let path = home.join("a/b/c/file");
    assert_eq!(write(&mut client, &path, b"", vec![]), Err("not_found".into()));
    write(&mut client, &path, b"", vec![("parents", yes())]).expect("a size");
    let metadata = std::fs::metadata(home.join("a/b")).expect("it is there");
    assert_eq!((metadata.uid(), metadata.permissions().mode() & 0o7777), (1000, 0o755));
    write(&mut client, &home.join("a/b/other"), b"", vec![("parents", yes())]).expect("present parents do");
    symlink("/etc", home.join("a/link")).expect("a link");
    assert_eq!(write(&mut client, &home.join("a/link/x/y"), b"", vec![("parents", yes())]), Err("is_link".into()));
    assert_eq!(write(&mut client, Path::new("/etc/agent-test/x"), b"", vec![("parents", yes())]), Err("denied".into()));
    assert_eq!(write(&mut client, &path.join("below"), b"", vec![("parents", yes())]), Err("not_a_directory".into()));
}

#[test]
fn links_are_refused_wherever_they_are() {
    let agent = Agent::start();
    let (mut client, home) = (agent.connect(), agent.home());
    write(&mut client, &home.join("target"), b"x", vec![]).expect("a size");
    symlink("target", home.join("link")).expect("a link");
    symlink("/nowhere", home.join("dangling")).expect("a link");
    symlink(&home, home.join("directory")).expect("a link");
    for path in ["link", "dangling", "directory/target", "directory"] {
        let path = home.join(path);
        assert_eq!(read(&mut client, &path, 0, 1), Err("is_link".into()), "{path:?}");
        assert_eq!(write(&mut client, &path, b"y", vec![]), Err("is_link".into()), "{path:?}");
        assert_eq!(list(&mut client, &path, 10, 1).map(drop), Err("is_link".into()), "{path:?}");
    }
    assert!(!Path::new("/nowhere").exists());
    assert_eq!(std::fs::read(home.join("target")).expect("content"), b"x");
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let agent = Agent::start();
    let (mut client, home) = (agent.connect(), agent.home());
    let fifo = home.join("fifo");
    Command::new("mkfifo").arg("-m").arg("666").arg(&fifo).status().expect("mkfifo is there");
    let socket = home.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).expect("root may");
    for path in [&fifo, &socket, &home] {
        assert_eq!(read(&mut client, path, 0, 1), Err("not_a_file".into()), "{path:?}");
        assert_eq!(write(&mut client, path, b"x", vec![]), Err("not_a_file".into()), "{path:?}");
    }
    let device = home.join("device");
    if Command::new("mknod")
        .arg("-m")
        .arg("666")
        .arg(&device)
        .args(["c", "1", "5"])
        .status()
        .is_ok_and(|status| status.success())
    {
        let answer = read(&mut client, &device, 0, 1);
        assert!(answer == Err("not_a_file".into()) || answer == Err("denied".into()), "{answer:?}");
    }
}

#[test]
fn what_the_kernel_keeps_is_out_of_reach() {
    let agent = Agent::start_as_init();
    let mut client = agent.connect();
    for uid in [0, USER] {
        for path in [
            "/proc/self/mem",
            "/proc/1/mem",
            "/proc/1/environ",
            "/proc/sys/kernel/hostname",
            "/dev/null",
            "/dev/shm/x",
            "/sys/kernel/x",
        ] {
            let identity = || vec![("uid", uid.into()), ("gid", uid.into())];
            let answer = write(&mut client, Path::new(path), b"x", identity());
            assert!(matches!(answer.as_ref().map_err(String::as_str), Err("denied" | "is_link")), "{path}: {answer:?}");
            let mut arguments = identity();
            arguments.extend([("path", path.into()), ("offset", 0.into()), ("length", 9.into())]);
            let answer = client.request("read", arguments);
            assert!(matches!(answer.as_ref().map_err(String::as_str), Err("denied" | "is_link")), "{path}: {answer:?}");
        }
    }
    let listing = list(&mut client, Path::new("/"), 1000, 1).expect("a listing");
    assert!(paths(&listing).contains(&"proc".to_owned()));
    assert_eq!(list(&mut client, Path::new("/proc"), 1000, 1).map(drop), Err("denied".into()));
}

#[test]
fn the_rights_are_the_users_and_the_agents_come_back() {
    let agent = Agent::start();
    let (mut client, home) = (agent.connect(), agent.home());
    for path in ["/etc/shadow", "/root/.bashrc"] {
        assert_eq!(read(&mut client, Path::new(path), 0, 1), Err("denied".into()), "{path}");
    }
    assert_eq!(write(&mut client, Path::new("/etc/agent-test"), b"", vec![]), Err("denied".into()));
    let mut arguments = owner();
    arguments[0].1 = u64::from(u32::MAX).into();
    arguments.extend([("path", "/etc/shadow".into()), ("offset", 0.into()), ("length", 1.into())]);
    assert_eq!(client.request("read", arguments), Err("bad_request".into()));
    // The sockets of sessions and their pipes are made by an agent that is root again.
    assert_eq!(client.run(&["id", "-u"]).output("stdout"), "1000\n");
    write(&mut client, &home.join("private"), b"x", vec![("mode", 0o600.into())]).expect("a size");
    let other = vec![("uid", 1001.into()), ("gid", 1001.into())];
    assert_eq!(write(&mut client, &home.join("private"), b"y", other), Err("denied".into()));
}

#[test]
fn paths_must_be_absolute_and_go_down() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for path in ["", "relative", "./x", "/a/../etc/passwd", "/..", "/a\0b", &format!("/{}", "a/".repeat(2100))] {
        assert_eq!(read(&mut client, Path::new(path), 0, 1), Err("invalid_path".into()), "{path:?}");
    }
    // "Too long", but where a file system says "none of that name".
    let long = read(&mut client, &agent.home().join("a".repeat(300)), 0, 1).expect_err("there is none");
    assert!(["invalid_path", "not_found"].contains(&long.as_str()), "{long}");
    assert_eq!(read(&mut client, Path::new("//etc/./passwd/"), 0, 4).expect("content").bytes("data").len(), 4);
    assert_eq!(read(&mut client, Path::new("/etc/passwd/x"), 0, 4), Err("not_a_directory".into()));
}

#[test]
fn a_tree_is_listed_sorted_and_within_bounds() {
    let agent = Agent::start();
    let (mut client, home) = (agent.connect(), agent.home());
    for path in ["b/c/d", "b/a", "a"] {
        write(&mut client, &home.join(path), b"12", vec![("parents", yes())]).expect("a size");
    }
    symlink("/", home.join("link")).expect("a link");
    Command::new("mkfifo").arg(home.join("fifo")).status().expect("mkfifo is there");
    let listing = list(&mut client, &home, 100, 10).expect("a listing");
    assert_eq!(paths(&listing), ["a", "b", "b/a", "b/c", "b/c/d", "fifo", "link"]);
    assert!(!listing.flag("truncated"));
    let entries = listing.field("entries");
    let kinds: Vec<String> = entries.as_array().expect("a list").iter().map(|entry| entry.text("type")).collect();
    assert_eq!(kinds, ["file", "dir", "file", "dir", "file", "other", "link"]);
    assert_eq!((entries[0].number("size"), entries[0].number("mode")), (2, 0o640));
    assert_eq!(paths(&list(&mut client, &home, 100, 1).expect("a listing")), ["a", "b", "fifo", "link"]);
    let few = list(&mut client, &home, 3, 10).expect("a listing");
    assert_eq!((paths(&few).len(), few.flag("truncated")), (3, true));
    let file = list(&mut client, &home.join("a"), 10, 10).expect("a listing");
    assert_eq!((paths(&file), file.field("entries")[0].text("type")), (vec![String::new()], "file".into()));
    assert_eq!(list(&mut client, &home.join("none"), 10, 10).map(drop), Err("not_found".into()));
}

#[test]
fn endless_and_strange_trees_are_cut_off() {
    let agent = Agent::start();
    let (mut client, home) = (agent.connect(), agent.home());
    let script = format!("cd {}; for i in {{1..300}}; do mkdir d && cd d || break; done", home.display());
    assert_eq!(client.shell(&script).number("exit_code"), 0);
    let deep = list(&mut client, &home, u64::MAX, u64::MAX).expect("a listing");
    assert!(paths(&deep).len() <= 64);
    let many = home.join("many");
    std::fs::create_dir(&many).expect("a directory");
    for n in 0..12_000 {
        std::fs::File::create(many.join(format!("{n:0>100}"))).expect("a file");
    }
    let listing = list(&mut client, &many, u64::MAX, 1).expect("a listing that fits in a frame");
    assert!(listing.flag("truncated") && paths(&listing).len() > 5000);
    let strange = home.join("strange");
    std::fs::create_dir(&strange).expect("a directory");
    std::fs::File::create(strange.join(OsStr::from_bytes(b"a\xffb"))).expect("a file");
    assert_eq!(paths(&list(&mut client, &strange, 10, 1).expect("a listing")), ["a\u{fffd}b"]);
}

/// A small file system of its own, where one can be mounted.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(path: std::path::PathBuf, options: &str) -> Self {
        std::fs::create_dir_all(&path).expect("a directory");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).status();
        assert!(status.expect("mount is there").success());
        Self(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn room_is_what_can_really_be_written() {
    let agent = Agent::start();
    let small = Mount::tmpfs(agent.directory.join("small"), "size=1m,mode=1777");
    let mut client = agent.connect();
    let mut room = |paths: Vec<&str>, bytes: u64| {
        let mut arguments = owner();
        arguments
            .extend([("paths", Value::Array(paths.into_iter().map(Into::into).collect())), ("bytes", bytes.into())]);
        client.request("room", arguments)
    };
    let small = small.0.display().to_string();
    // Not the home: what lies under a test may have no unnamed files, as fuse-overlayfs has none.
    let large = Mount::tmpfs(agent.directory.join("large"), "size=64m,mode=1777");
    let home = large.0.display().to_string();
    assert_eq!(
        room(vec![&small, &home], 900_000).expect("a list").field("room"),
        Value::Array(vec![true.into(), true.into()])
    );
    assert_eq!(
        room(vec![&small, &home], 1_200_000).expect("a list").field("room"),
        Value::Array(vec![false.into(), true.into()])
    );
    assert_eq!(room(vec![&small], 0).expect("a list").field("room"), Value::Array(vec![true.into()]));
    assert_eq!(room(vec!["/proc"], 1), Err("denied".into()));
    assert_eq!(room(vec!["/etc"], 1), Err("denied".into()));
    assert_eq!(room(vec!["/nowhere"], 1), Err("not_found".into()));
    assert_eq!(std::fs::read_dir(&small).expect("a directory").count(), 0);
}

#[test]
fn a_full_file_system_says_no_space() {
    let agent = Agent::start();
    let small = Mount::tmpfs(agent.directory.join("small"), "size=64k,mode=1777");
    let path = small.0.display().to_string();
    let mut other = Agent::start_with(&[], &["--peer-uid", "0", "--mount", &path]);
    let mut client = other.connect();
    assert_eq!(write(&mut client, &small.0.join("file"), &vec![0; 200_000], vec![]), Err("no_space".into()));
    assert!(!other.has_ended());
}

#[test]
fn mounts_are_reached_only_when_they_are_named() {
    let agent = Agent::start();
    let mount = Mount::tmpfs(agent.directory.join("mount"), "size=1m,mode=1777");
    let file = mount.0.join("file");
    assert_eq!(write(&mut agent.connect(), &file, b"x", vec![]), Err("denied".into()));
    let path = mount.0.display().to_string();
    let other = Agent::start_with(&[], &["--peer-uid", "0", "--mount", &path]);
    let mut client = other.connect();
    write(&mut client, &file, b"x", vec![]).expect("a size");
    assert_eq!(read(&mut client, &file, 0, 9).expect("content").bytes("data"), b"x");
    assert_eq!(paths(&list(&mut client, &mount.0, 10, 1).expect("a listing")), ["file"]);
    let inner = Mount::tmpfs(mount.0.join("inner"), "size=1m,mode=1777");
    assert_eq!(write(&mut client, &inner.0.join("file"), b"x", vec![]), Err("denied".into()));
}
