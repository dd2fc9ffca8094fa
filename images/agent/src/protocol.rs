//! The requests and responses of docs/guest-protocol.md as types.
//!
//! A request borrows from its frame. What is missing or of the wrong type is refused here, with the argument's
//! name, so that the rest of the agent sees only values in range. Two user ids are refused for programs: 0, the
//! agent's own, and 65534, which is how the server's looks from inside.

use std::ffi::CString;
use std::time::Duration;

use rustix::process::Resource;

use crate::capture::Kept;
use crate::channel::MAX_MESSAGE;
use crate::frame::{self, MAX_FRAME};
use crate::msgpack::{Map, Value, Writer};
use crate::process::{self, Program};

/// The uid that an unmapped peer shows; the kernel's default.
pub const OVERFLOW_UID: u32 = 65534;
/// Bounds every duration of a request: a week.
const LONGEST_MS: u64 = 7 * 24 * 3600 * 1000;
/// Ids in one request's `done`.
pub const MAX_DONE: usize = 1000;
/// What a response needs besides outputs and message.
const ENVELOPE: usize = 4096;

/// Why a request is refused: a code of the protocol and a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new("bad_request", message)
}

/// A frame's id, what of earlier ones is settled, and what it asks for.
pub struct Request<'a> {
    pub id: u64,
    pub ack: u64,
    pub done: Vec<u64>,
    fields: Fields<'a>,
}

pub enum Operation<'a> {
    Open(Open<'a>),
    Call(Call<'a>),
    Run(Run<'a>),
    Close { session: &'a str },
    Signal { session: &'a str, signal: i32 },
    Stop,
    Write(Write<'a>),
    Read(Read<'a>),
    List(List<'a>),
    Room(Room<'a>),
    Quiesce,
}

pub struct Open<'a> {
    pub session: &'a str,
    pub program: Program,
    pub terminal: bool,
    pub feed: &'a [u8],
}

pub struct Call<'a> {
    pub session: &'a str,
    pub message: &'a [u8],
    pub limits: Limits,
}

pub struct Run<'a> {
    pub program: Program,
    pub stdin: &'a [u8],
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub timeout: Duration,
    pub grace: Duration,
    pub keep_bytes: usize,
    pub max_output_bytes: u64,
    pub stream: bool,
}

/// On whose behalf a file is touched.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

pub struct Write<'a> {
    pub path: &'a str,
    pub data: &'a [u8],
    pub mode: u32,
    pub owner: Owner,
    pub append: bool,
    pub parents: bool,
}

pub struct Read<'a> {
    pub path: &'a str,
    pub offset: u64,
    pub length: usize,
    pub owner: Owner,
}

pub struct List<'a> {
    pub path: &'a str,
    pub owner: Owner,
    pub max_entries: usize,
    pub max_depth: usize,
}

pub struct Room<'a> {
    pub paths: Vec<&'a str>,
    pub bytes: u64,
    pub owner: Owner,
}

impl<'a> Request<'a> {
    /// `None` without an id: there is nothing to answer to, so the connection ends.
    pub fn parse(map: Map<'a>) -> Option<Self> {
        let fields = Fields(map);
        let id = fields.unsigned("id").ok()?;
        // Where one of these is wrong nothing is forgotten, and `operation` refuses the request.
        let (ack, done) = (fields.unsigned("ack").unwrap_or(0), fields.done().unwrap_or_default());
        Some(Self { id, ack, done, fields })
    }

    pub fn operation(&self) -> Result<Operation<'a>, Refusal> {
        let fields = &self.fields;
        fields.unsigned("ack")?;
        fields.done()?;
        Ok(match fields.str("op")? {
            "open" => Operation::Open(fields.open()?),
            "call" => Operation::Call(fields.call()?),
            "run" => Operation::Run(fields.run()?),
            "close" => Operation::Close { session: fields.str("session")? },
            "signal" => Operation::Signal { session: fields.str("session")?, signal: fields.signal()? },
            "stop" => Operation::Stop,
            "write" => Operation::Write(fields.write()?),
            "read" => Operation::Read(fields.read()?),
            "list" => Operation::List(fields.list()?),
            "room" => Operation::Room(fields.room()?),
            "quiesce" => Operation::Quiesce,
            other => return Err(bad(format!("unknown operation {:?}", shortened(other)))),
        })
    }
}

fn shortened(text: &str) -> &str {
    text.get(..40).unwrap_or(text)
}

/// Arguments by name and type.
struct Fields<'a>(Map<'a>);

impl<'a> Fields<'a> {
    fn get<T>(&self, name: &str, expected: &str, convert: impl Fn(Value<'a>) -> Option<T>) -> Result<T, Refusal> {
        let value = self.0.get(name).ok_or_else(|| bad(format!("{name} is missing")))?;
        convert(value).ok_or_else(|| bad(format!("{name} is not {expected}")))
    }

    /// Nil counts as absent.
    fn has(&self, name: &str) -> bool {
        !matches!(self.0.get(name), None | Some(Value::Nil))
    }

    fn str(&self, name: &str) -> Result<&'a str, Refusal> {
        self.get(name, "a string", text)
    }

    fn bin(&self, name: &str) -> Result<&'a [u8], Refusal> {
        self.get(name, "binary", |value| match value {
            Value::Bin(bytes) => Some(bytes),
            _ => None,
        })
    }

    fn unsigned(&self, name: &str) -> Result<u64, Refusal> {
        self.get(name, "an unsigned integer", unsigned)
    }

    fn done(&self) -> Result<Vec<u64>, Refusal> {
        if !self.has("done") {
            return Ok(Vec::new());
        }
        self.get("done", "a list of at most 1000 ids", |value| match value {
            Value::Array(array) if array.len() <= MAX_DONE => array.items().map(unsigned).collect(),
            _ => None,
        })
    }

    fn bool(&self, name: &str) -> Result<bool, Refusal> {
        self.get(name, "a boolean", |value| match value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    fn milliseconds(&self, name: &str) -> Result<Duration, Refusal> {
        Ok(Duration::from_millis(self.unsigned(name)?.min(LONGEST_MS)))
    }

    /// No id is the highest number: it means "leave it as it is" to the kernel.
    fn identity(&self, name: &str) -> Result<u32, Refusal> {
        let id = u32::try_from(self.unsigned(name)?).ok().filter(|&id| id != u32::MAX);
        id.ok_or_else(|| bad(format!("{name} is out of range")))
    }

    fn owner(&self) -> Result<Owner, Refusal> {
        Ok(Owner { uid: self.identity("uid")?, gid: self.identity("gid")? })
    }

    fn c_string(&self, name: &str) -> Result<CString, Refusal> {
        self.get(name, "a string without NUL", |value| CString::new(text(value)?).ok())
    }

    fn argv(&self) -> Result<Vec<CString>, Refusal> {
        self.get("argv", "a list of strings without NUL, at least one", |value| match value {
            Value::Array(array) => array.items().map(|item| CString::new(text(item)?).ok()).collect(),
            _ => None,
        })
        .and_then(|argv: Vec<CString>| if argv.is_empty() { Err(bad("argv is empty")) } else { Ok(argv) })
    }

    fn env(&self) -> Result<Vec<CString>, Refusal> {
        self.get("env", "a map of names without = to strings, both without NUL", |value| match value {
            Value::Map(map) => map.entries().map(|(name, value)| variable(text(name)?, text(value)?)).collect(),
            _ => None,
        })
    }

    fn rlimits(&self) -> Result<Vec<(Resource, u64)>, Refusal> {
        if !self.has("rlimits") {
            return Ok(Vec::new());
        }
        self.get("rlimits", "a map of known limits to unsigned integers", |value| match value {
            Value::Map(map) => map.entries().map(|(name, value)| limit(text(name)?, &value)).collect(),
            _ => None,
        })
    }

    fn program(&self) -> Result<Program, Refusal> {
        let Owner { uid, gid } = self.owner()?;
        if uid == 0 || uid == OVERFLOW_UID {
            return Err(bad(format!("uid {uid} is not for programs")));
        }
        let (argv, env) = (self.argv()?, self.env()?);
        let path = env.iter().find_map(|variable| variable.to_str().ok()?.strip_prefix("PATH="));
        let program = argv.first().and_then(|program| program.to_str().ok()).unwrap_or_default();
        let candidates = process::candidates(program, path);
        Ok(Program { candidates, argv, env, cwd: self.c_string("cwd")?, uid, gid, rlimits: self.rlimits()? })
    }

    fn limits(&self) -> Result<Limits, Refusal> {
        Ok(Limits {
            timeout: self.milliseconds("timeout_ms")?,
            grace: self.milliseconds("grace_ms")?,
            // More would not fit in the response.
            keep_bytes: self.unsigned("keep_bytes")?.min(MAX_FRAME as u64) as usize,
            max_output_bytes: self.unsigned("max_output_bytes")?,
            stream: self.bool("stream")?,
        })
    }

    fn signal(&self) -> Result<i32, Refusal> {
        let signal = self.unsigned("signal")?;
        if (1..=64).contains(&signal) {
            return Ok(signal as i32);
        }
        Err(bad("signal is not within 1 to 64"))
    }

    fn open(&self) -> Result<Open<'a>, Refusal> {
        let terminal = match self.str("mode")? {
            "pipes" => false,
            "pty" => true,
            _ => return Err(bad("mode is neither pipes nor pty")),
        };
        let feed = if self.has("feed") { self.bin("feed")? } else { &[] };
        Ok(Open { session: self.str("session")?, program: self.program()?, terminal, feed })
    }

    fn call(&self) -> Result<Call<'a>, Refusal> {
        let message = self.bin("message")?;
        if message.len() > MAX_MESSAGE {
            return Err(bad(format!("message is longer than {MAX_MESSAGE} bytes")));
        }
        Ok(Call { session: self.str("session")?, message, limits: self.limits()? })
    }

    fn run(&self) -> Result<Run<'a>, Refusal> {
        Ok(Run { program: self.program()?, stdin: self.bin("stdin")?, limits: self.limits()? })
    }

    fn write(&self) -> Result<Write<'a>, Refusal> {
        Ok(Write {
            path: self.str("path")?,
            data: self.bin("data")?,
            mode: u32::try_from(self.unsigned("mode")?).map_err(|_| bad("mode is out of range"))?,
            owner: self.owner()?,
            append: self.bool("append")?,
            parents: self.bool("parents")?,
        })
    }

    fn read(&self) -> Result<Read<'a>, Refusal> {
        let length = self.unsigned("length")?;
        if length > MAX_MESSAGE as u64 {
            return Err(bad(format!("length is above {MAX_MESSAGE}")));
        }
        let (path, offset) = (self.str("path")?, self.unsigned("offset")?);
        if i64::try_from(offset).is_err() {
            return Err(bad("offset is out of range"));
        }
        Ok(Read { path, offset, length: length as usize, owner: self.owner()? })
    }

    fn list(&self) -> Result<List<'a>, Refusal> {
        let count = |name| self.unsigned(name).map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let (max_entries, max_depth) = (count("max_entries")?, count("max_depth")?);
        Ok(List { path: self.str("path")?, owner: self.owner()?, max_entries, max_depth })
    }

    fn room(&self) -> Result<Room<'a>, Refusal> {
        let paths = self.get("paths", "a list of strings", |value| match value {
            Value::Array(array) => array.items().map(text).collect(),
            _ => None,
        })?;
        Ok(Room { paths, bytes: self.unsigned("bytes")?, owner: self.owner()? })
    }
}

fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Str(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn unsigned(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Unsigned(number) => Some(number),
        _ => None,
    }
}

fn variable(name: &str, value: &str) -> Option<CString> {
    if name.is_empty() || name.contains('=') {
        return None;
    }
    CString::new(format!("{name}={value}")).ok()
}

fn limit(name: &str, value: &Value) -> Option<(Resource, u64)> {
    let resource = match name {
        "nofile" => Resource::Nofile,
        "core" => Resource::Core,
        "fsize" => Resource::Fsize,
        "stack" => Resource::Stack,
        "msgqueue" => Resource::Msgqueue,
        "nproc" => Resource::Nproc,
        _ => return None,
    };
    match value {
        Value::Unsigned(number) => Some((resource, *number)),
        _ => None,
    }
}

/// How a call or a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Message,
    Exited,
    Timeout,
    Overflow,
    BadMessage,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Exited => "exited",
            Self::Timeout => "timeout",
            Self::Overflow => "overflow",
            Self::BadMessage => "bad_message",
        }
    }
}

/// What a call or a run did.
pub struct Outcome {
    pub end: End,
    pub message: Option<Vec<u8>>,
    pub interrupted: bool,
    pub alive: bool,
    pub killed: usize,
    /// The leader's wait status, once it has ended.
    pub status: Option<i32>,
    pub stdout: Kept,
    pub stderr: Kept,
    pub duration: Duration,
}

/// A response frame, ready to be sent; `body` writes one value of about `capacity` bytes.
pub fn ok(id: u64, capacity: usize, body: impl FnOnce(&mut Writer) -> &mut Writer) -> Vec<u8> {
    let mut writer = Writer(frame::unsealed(64 + capacity));
    writer.map(2).str("id").unsigned(id).str("ok");
    body(&mut writer);
    frame::seal(writer.0)
}

pub fn error(id: u64, refusal: &Refusal) -> Vec<u8> {
    let mut writer = Writer(frame::unsealed(64 + refusal.message.len()));
    writer.map(2).str("id").unsigned(id).str("error").map(2);
    writer.str("code").str(refusal.code).str("message").str(&refusal.message);
    frame::seal(writer.0)
}

pub fn event(id: u64, stream: &str, data: &[u8]) -> Vec<u8> {
    let mut writer = Writer(frame::unsealed(64 + data.len()));
    writer.map(4).str("id").unsigned(id).str("event").str("output").str("stream").str(stream);
    writer.str("data").bin(&[data]);
    frame::seal(writer.0)
}

/// The first frame of a connection.
pub struct Hello<'a> {
    pub boot_id: &'a str,
    pub sessions: Vec<&'a str>,
    pub acknowledged: u64,
    pub running: Vec<u64>,
    pub kept: Vec<u64>,
}

pub fn hello(hello: &Hello) -> Vec<u8> {
    let mut writer = Writer(frame::unsealed(256));
    writer.map(1).str("hello").map(6);
    writer.str("version").str(env!("CARGO_PKG_VERSION")).str("boot_id").str(hello.boot_id);
    writer.str("sessions").array(hello.sessions.len());
    for name in &hello.sessions {
        writer.str(name);
    }
    writer.str("acknowledged").unsigned(hello.acknowledged);
    for (name, ids) in [("running", &hello.running), ("kept", &hello.kept)] {
        writer.str(name).array(ids.len());
        for &id in ids {
            writer.unsigned(id);
        }
    }
    frame::seal(writer.0)
}

/// The response to a call or a run. Where the message leaves too little of a frame, outputs are cut further.
pub fn outcome(id: u64, mut outcome: Outcome) -> Vec<u8> {
    let message = outcome.message.as_ref().map_or(0, Vec::len);
    let room = (MAX_FRAME - ENVELOPE).saturating_sub(message);
    let stderr = outcome.stderr.len().min((room / 2).max(room.saturating_sub(outcome.stdout.len())));
    outcome.stderr.fit(stderr);
    outcome.stdout.fit(room - stderr);
    let size = message + outcome.stdout.len() + outcome.stderr.len() + 512;
    ok(id, size, |writer| write_outcome(writer, &outcome))
}

fn write_outcome<'a>(writer: &'a mut Writer, outcome: &Outcome) -> &'a mut Writer {
    let code = outcome.status.filter(|&status| libc::WIFEXITED(status)).map(|status| libc::WEXITSTATUS(status));
    let signal = outcome.status.filter(|&status| libc::WIFSIGNALED(status)).map(|status| libc::WTERMSIG(status));
    let number = |number: Option<i32>| number.and_then(|number| u64::try_from(number).ok());
    writer.map(11).str("end").str(outcome.end.name()).str("message");
    match &outcome.message {
        Some(message) => writer.bin(&[message]),
        None => writer.nil(),
    };
    writer.str("interrupted").bool(outcome.interrupted).str("alive").bool(outcome.alive);
    writer.str("killed").unsigned(outcome.killed as u64);
    writer.str("exit_code").optional(number(code)).str("signal").optional(number(signal));
    writer.str("core").bool(false);
    for (name, kept) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        let (first, second) = kept.tail.as_slices();
        writer.str(name).map(3).str("head").bin(&[&kept.head]).str("tail").bin(&[first, second]);
        writer.str("total").unsigned(kept.total);
    }
    writer.str("duration_us").unsigned(outcome.duration.as_micros() as u64)
}
