//! Frames that are none end the connection and nothing else; requests that are wrong get an error.

mod common;

use std::process::Command;

use common::{bin, encode, map, Agent, Fields, Value};

/// Lists inside lists, the outermost being in a map.
fn nested(depth: usize) -> Value {
    (1..depth).fold(Value::Nil, |inner, _| Value::Array(vec![inner]))
}

fn request(fields: Vec<(&'static str, Value)>) -> Vec<u8> {
    let mut all = vec![("id", 1.into()), ("ack", 0.into()), ("op", "nothing".into())];
    all.extend(fields);
    encode(&map(all))
}

#[test]
fn what_is_no_frame_ends_the_connection_and_the_next_one_is_served() {
    let agent = Agent::start();
    let good = request(vec![]);
    let mut deep = vec![0x81];
    deep.extend([0x91; 40]);
    let mut trailing = good.clone();
    trailing.push(0xc0);
    let number_as_key = encode(&Value::Map(vec![(1.into(), 2.into())]));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("depth 33", request(vec![("x", nested(33))])),
        ("cut short", good[..good.len() - 1].to_vec()),
        ("no end of depth", deep),
        ("trailing bytes", trailing),
        ("no map", encode(&Value::Array(vec![]))),
        ("a number", vec![7]),
        ("number as key", number_as_key),
        ("no id", encode(&map(vec![("op", "stop".into())]))),
        ("negative id", encode(&map(vec![("id", (-1).into()), ("op", "stop".into())]))),
        ("reserved byte", vec![0x81, 0xa1, b'x', 0xc1]),
        ("endless array", vec![0x81, 0xa1, b'x', 0xdd, 0xff, 0xff, 0xff, 0xff]),
        ("endless string", vec![0x81, 0xa1, b'x', 0xdb, 0xff, 0xff, 0xff, 0xff]),
        ("random", (0..2000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ];
    for (name, body) in bodies {
        let mut client = agent.connect();
        client.send_frame(&body);
        assert!(client.is_closed(), "{name}");
    }
    for header in [0_u32, 1 << 31, u32::MAX, (1 << 20) + 1] {
        let mut client = agent.connect();
        client.send_raw(&header.to_be_bytes());
        assert!(client.is_closed(), "{header}");
    }
    assert_eq!(agent.connect().shell("echo fine").output("stdout"), "fine\n");
}

#[test]
fn the_deepest_and_longest_frames_are_served() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_frame(&request(vec![("x", nested(32))]));
    assert_eq!(client.answer_to(1), Err("bad_request".into()));
    client.id = 1;
    let empty = request(vec![("x", bin(&[0; 70_000]))]).len() - 70_000;
    client.ack = 1;
    let body = encode(&map(vec![
        ("id", 2.into()),
        ("ack", 1.into()),
        ("op", "nothing".into()),
        ("x", bin(&vec![0; (1 << 20) - empty])),
    ]));
    assert_eq!(body.len(), 1 << 20);
    client.send_frame(&body);
    assert_eq!(client.answer_to(2), Err("bad_request".into()));
}

#[test]
fn frames_may_come_in_any_pieces_and_several_at_once() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut bytes = Vec::new();
    for id in 1..=3 {
        let body = encode(&map(vec![("id", id.into()), ("ack", 0.into()), ("op", "list".into())]));
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
    }
    for piece in bytes.chunks(7) {
        client.send_raw(piece);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    for id in 1..=3 {
        assert_eq!(client.answer_to(id), Err("bad_request".into()));
    }
}

#[test]
fn missing_and_mistyped_arguments_are_bad_requests() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for op in ["open", "call", "run", "close", "signal", "write", "read", "list", "room", "unknown", ""] {
        assert_eq!(client.request(op, vec![]), Err("bad_request".into()), "{op}");
    }
    let wrong: Vec<(&'static str, Value)> = vec![
        ("argv", Value::Array(vec![])),
        ("argv", Value::Array(vec![1.into()])),
        ("argv", Value::Array(vec!["a\0b".into()])),
        ("argv", "true".into()),
        ("env", map(vec![("A=B", "c".into())])),
        ("env", map(vec![("", "c".into())])),
        ("env", map(vec![("A", "c\0".into())])),
        ("env", Value::Map(vec![(1.into(), "c".into())])),
        ("cwd", bin(b"/")),
        ("uid", (-1).into()),
        ("uid", "1000".into()),
        ("gid", u64::from(u32::MAX).into()),
        ("stdin", "text".into()),
        ("timeout_ms", (-1).into()),
        ("timeout_ms", 1.5.into()),
        ("stream", 1.into()),
        ("rlimits", map(vec![("cpu", 1.into())])),
        ("rlimits", map(vec![("core", Value::Nil)])),
    ];
    for (name, value) in wrong {
        let answer = client.run_with(&["true"], vec![(name, value.clone())]);
        assert_eq!(answer, Err("bad_request".into()), "{name} = {value}");
    }
    assert_eq!(client.open("s", &["true"], vec![("mode", "tty".into())]), Err("bad_request".into()));
    assert!(client.run_with(&["true"], vec![("timeout_ms", u64::MAX.into()), ("grace_ms", u64::MAX.into())]).is_ok());
}

#[test]
fn the_greeting_says_who_is_there() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let hello = client.hello.clone();
    assert!(!hello.text("version").is_empty() && hello.text("boot_id").len() == 32);
    for list in ["sessions", "running", "kept"] {
        assert_eq!(hello.field(list), Value::Array(vec![]));
    }
    client.open("s", &["sleep", "3001"], vec![]).expect("it opens");
    drop(client);
    let again = agent.connect().hello;
    assert_eq!(again.text("boot_id"), hello.text("boot_id"));
    assert_eq!(again.field("sessions"), Value::Array(vec!["s".into()]));
}

#[test]
fn only_the_expected_peer_is_served() {
    let agent = Agent::start_with(&[], &["--peer-uid", "4242"]);
    assert!(common::Client::connect(&agent.socket()).is_none());
    // Without the option: only from outside of the namespaces, which a process of this one is not.
    let agent = Agent::start_with(&[], &[]);
    assert!(common::Client::connect(&agent.socket()).is_none());
}

/// A user namespace whose root is uid 100000 outside, held open by a process.
struct UserNamespace(std::process::Child);

impl UserNamespace {
    fn new() -> Option<Self> {
        let holder = Command::new("unshare").args(["--user", "sleep", "100"]).spawn().ok()?;
        let own = std::fs::read_link("/proc/self/ns/user").ok()?;
        let namespace = Self(holder);
        let path = |file: &str| format!("/proc/{}/{file}", namespace.0.id());
        for _ in 0..500 {
            if std::fs::read_link(path("ns/user")).is_ok_and(|other| other != own) {
                std::fs::write(path("uid_map"), "0 100000 65536").ok()?;
                std::fs::write(path("gid_map"), "0 100000 65536").ok()?;
                return Some(namespace);
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        None
    }

    /// The words that run a command as PID 1 in there.
    fn command(&self) -> Vec<String> {
        let enter = format!("nsenter --user=/proc/{}/ns/user --setuid 0 --setgid 0", self.0.id());
        let words = format!("{enter} unshare --pid --fork --mount --mount-proc --kill-child");
        words.split(' ').map(str::to_owned).collect()
    }
}

impl Drop for UserNamespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_outside_of_the_namespaces_is_the_expected_peer() {
    let Some(namespace) = UserNamespace::new() else {
        println!("no user namespace can be made here: not tested");
        return;
    };
    let directory = std::env::temp_dir().join(format!("agent-userns-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::os::unix::fs::chown(&directory, Some(100_000), Some(100_000)).expect("root may");
    let socket = directory.join("agent.sock");
    let words = namespace.command();
    let mut agent = Command::new(&words[0])
        .args(&words[1..])
        .args([env!("CARGO_BIN_EXE_agent"), "--socket", &socket.display().to_string()])
        .spawn()
        .expect("it starts");
    let start = std::time::Instant::now();
    let mut client = loop {
        if let Some(client) = common::Client::connect(&socket) {
            break client;
        }
        assert!(start.elapsed().as_secs() < 10, "the agent serves its server");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    assert_eq!(client.shell("id -u; id -G").output("stdout"), "1000\n1000\n");
    let _ = agent.kill();
    let _ = agent.wait();
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn quiesce_names_nothing_and_closes() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for (name, mode) in [("a", "pipes"), ("b", "pty")] {
        client.open(name, &["sleep", "3002"], vec![("mode", mode.into())]).expect("it opens");
    }
    let answer = client.request("quiesce", vec![]).expect("a list");
    assert_eq!(answer.field("descriptors"), Value::Array(vec![]));
    assert!(client.is_closed());
    assert_eq!(agent.connect().hello.field("sessions").as_array().map(Vec::len), Some(2));
}
