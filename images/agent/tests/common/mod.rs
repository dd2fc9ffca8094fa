//! Starts the real agent on a temporary socket and speaks the protocol to it, through another `MessagePack`
//! implementation than the agent's own.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use rmpv::Value;

/// The user of all programs in tests.
pub const USER: u64 = 1000;
/// Longer than anything in a test takes: a hang fails instead of waiting for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running agent, in a directory of its own, killed with all it started when dropped.
pub struct Agent {
    child: Child,
    pub directory: PathBuf,
}

impl Agent {
    /// In the pid namespace of the test, so not as PID 1; the test's uid may connect. With `AGENT_TEST_WRAPPER` set, by that
    /// command, which gets the agent's as its arguments: so the tests run inside whatever sandbox.
    pub fn start() -> Self {
        let wrapper = std::env::var("AGENT_TEST_WRAPPER").unwrap_or_default();
        Self::start_with(&wrapper.split_whitespace().collect::<Vec<_>>(), &["--peer-uid", "0"])
    }

    /// As `start`, never wrapped: for tests that look at the agent's processes by their pids.
    pub fn start_here() -> Self {
        Self::start_with(&[], &["--peer-uid", "0"])
    }

    /// As PID 1 of a pid namespace of its own.
    pub fn start_as_init() -> Self {
        let unshare = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child"];
        Self::start_with(&unshare, &["--peer-uid", "0"])
    }

    pub fn start_with(wrapper: &[&str], arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        open_to_all(&directory);
        let socket = directory.join("agent.sock");
        let mut words: Vec<String> = wrapper.iter().map(|&word| word.to_owned()).collect();
        words.push(env!("CARGO_BIN_EXE_agent").to_owned());
        words.extend(["--socket".to_owned(), socket.display().to_string()]);
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        let child = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).spawn().expect("the agent starts");
        let agent = Self { child, directory };
        agent.wait_for(|| UnixStream::connect(&socket).is_ok());
        agent
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("agent.sock")
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.socket()).expect("the agent greets")
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("waiting works").is_some()
    }

    pub fn wait_for(&self, mut condition: impl FnMut() -> bool) {
        assert!(self.directory.exists());
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < PATIENCE, "waited in vain");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A directory of the user's.
    pub fn home(&self) -> PathBuf {
        let home = self.directory.join("home");
        if !home.exists() {
            std::fs::create_dir(&home).expect("a directory");
            std::os::unix::fs::chown(&home, Some(USER as u32), Some(USER as u32)).expect("root may");
        }
        home
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !self.has_ended() {
            if let Some(mut client) = Client::connect(&self.socket()) {
                client.id = 1 << 40;
                let _ = client.request("stop", vec![]);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("own directory");
}

/// A response, or the code of an error.
pub type Answer = Result<Value, String>;
pub type Arguments = Vec<(&'static str, Value)>;

pub struct Client {
    stream: UnixStream,
    pub hello: Value,
    pub id: u64,
    pub ack: u64,
    /// Events that came while a response was waited for.
    pub events: Vec<Value>,
}

impl Client {
    pub fn connect(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut client = Self { stream, hello: Value::Nil, id: 0, ack: 0, events: Vec::new() };
        client.hello = client.receive()?.field("hello");
        Some(client)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn send_frame(&mut self, body: &[u8]) {
        self.send_raw(&(body.len() as u32).to_be_bytes());
        self.send_raw(body);
    }

    /// `None` once the agent has closed the connection.
    pub fn receive(&mut self) -> Option<Value> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let length = u32::from_be_bytes(length) as usize;
        assert!((1..=1 << 20).contains(&length), "a frame of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some(rmpv::decode::read_value(&mut &body[..]).expect("MessagePack"))
    }

    pub fn is_closed(&mut self) -> bool {
        self.receive().is_none()
    }

    /// Sends a request without waiting for its response; its id.
    pub fn send(&mut self, op: &str, arguments: Arguments) -> u64 {
        self.id += 1;
        self.send_as(self.id, op, arguments);
        self.id
    }

    pub fn send_as(&mut self, id: u64, op: &str, arguments: Arguments) {
        self.send_done(id, &[], op, arguments);
    }

    /// With ids whose responses nobody will ask for again.
    pub fn send_done(&mut self, id: u64, done: &[u64], op: &str, arguments: Arguments) {
        let mut fields = arguments;
        fields.extend([("id", id.into()), ("ack", self.ack.into()), ("op", op.into())]);
        if !done.is_empty() {
            fields.push(("done", Value::Array(done.iter().map(|&id| id.into()).collect())));
        }
        self.send_frame(&encode(&map(fields)));
    }

    pub fn answer_to(&mut self, id: u64) -> Answer {
        loop {
            let frame = self.receive().expect("a response");
            if frame.has("event") {
                self.events.push(frame);
                continue;
            }
            assert_eq!(frame.number("id"), id, "{frame}");
            if frame.has("error") {
                return Err(frame.field("error").text("code"));
            }
            return Ok(frame.field("ok"));
        }
    }

    /// Ids that the agent named in its greeting.
    pub fn greeted(&self, list: &str) -> Vec<u64> {
        let ids = self.hello.field(list);
        ids.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id")).collect()
    }

    pub fn request(&mut self, op: &str, arguments: Arguments) -> Answer {
        let id = self.send(op, arguments);
        self.answer_to(id)
    }

    pub fn run(&mut self, argv: &[&str]) -> Value {
        self.run_with(argv, vec![]).expect("it starts")
    }

    pub fn run_with(&mut self, argv: &[&str], changes: Arguments) -> Answer {
        self.request("run", run_arguments(argv, changes))
    }

    pub fn shell(&mut self, script: &str) -> Value {
        self.run(&["/bin/bash", "-c", script])
    }

    pub fn open(&mut self, session: &str, argv: &[&str], changes: Arguments) -> Answer {
        let mut arguments = program(argv);
        arguments.extend([("session", session.into()), ("mode", "pipes".into()), ("feed", Value::Nil)]);
        self.request("open", changed(arguments, changes))
    }

    pub fn call(&mut self, session: &str, message: &[u8]) -> Answer {
        self.call_with(session, message, vec![])
    }

    pub fn call_with(&mut self, session: &str, message: &[u8], changes: Arguments) -> Answer {
        self.request("call", call_arguments(session, message, changes))
    }
}

pub fn run_arguments(argv: &[&str], changes: Arguments) -> Arguments {
    let mut arguments = program(argv);
    arguments.extend(limits());
    arguments.push(("stdin", bin(b"")));
    changed(arguments, changes)
}

pub fn call_arguments(session: &str, message: &[u8], changes: Arguments) -> Arguments {
    let mut arguments = limits();
    arguments.extend([("session", session.into()), ("message", bin(message))]);
    changed(arguments, changes)
}

fn program(argv: &[&str]) -> Arguments {
    vec![
        ("argv", Value::Array(argv.iter().map(|&word| word.into()).collect())),
        ("env", map(vec![("PATH", "/usr/bin:/bin".into())])),
        ("cwd", "/".into()),
        ("uid", USER.into()),
        ("gid", USER.into()),
    ]
}

fn limits() -> Arguments {
    vec![
        ("timeout_ms", 30_000.into()),
        ("grace_ms", 2_000.into()),
        ("keep_bytes", (256 * 1024).into()),
        ("max_output_bytes", (64 << 20).into()),
        ("stream", false.into()),
    ]
}

/// Later fields replace earlier ones of the same name.
fn changed(mut arguments: Arguments, changes: Arguments) -> Arguments {
    for (name, value) in changes {
        arguments.retain(|(other, _)| *other != name);
        arguments.push((name, value));
    }
    arguments
}

pub fn map(fields: Vec<(&'static str, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

pub fn bin(bytes: &[u8]) -> Value {
    Value::Binary(bytes.to_vec())
}

pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).expect("memory takes it");
    bytes
}

/// Reading maps without ceremony; a missing field fails the test.
pub trait Fields {
    fn get(&self, name: &str) -> Option<&Value>;

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn field(&self, name: &str) -> Value {
        self.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
    }

    fn text(&self, name: &str) -> String {
        self.field(name).as_str().unwrap_or_else(|| panic!("{name} is no string")).to_owned()
    }

    fn number(&self, name: &str) -> u64 {
        self.field(name).as_u64().unwrap_or_else(|| panic!("{name} is no number"))
    }

    fn flag(&self, name: &str) -> bool {
        self.field(name).as_bool().unwrap_or_else(|| panic!("{name} is no boolean"))
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        self.field(name).as_slice().unwrap_or_else(|| panic!("{name} is no binary")).to_vec()
    }

    /// Head and tail of an output stream.
    fn output(&self, stream: &str) -> String {
        let stream = self.field(stream);
        let bytes = [stream.bytes("head"), stream.bytes("tail")].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Fields for Value {
    fn get(&self, name: &str) -> Option<&Value> {
        self.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
    }
}

/// The program of tests/programs/hostile.rs, where users can read it.
pub fn hostile(agent: &Agent) -> String {
    let built = Path::new(env!("CARGO_BIN_EXE_agent")).with_file_name("examples").join("hostile");
    let copy = agent.home().join("hostile");
    if !copy.exists() {
        std::fs::copy(built, &copy).expect("built by `cargo test`, or by `cargo build --examples`");
    }
    copy.display().to_string()
}

/// How many processes of the test's user run a program whose command line contains `mark`.
pub fn processes_with(mark: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter(|entry| {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            entry.file_name().to_string_lossy().parse::<u32>().is_ok()
                && String::from_utf8_lossy(&command).replace('\0', " ").contains(mark)
        })
        .count()
}
