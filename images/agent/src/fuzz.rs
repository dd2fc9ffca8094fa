//! Everything that parses bytes from outside, against bytes that nobody would send.
//!
//! A deterministic mutator of valid requests, compared input by input with an independent `MessagePack` implementation, and
//! an allocator that counts. `AGENT_FUZZ_ITERATIONS` makes it long, `AGENT_FUZZ_SEED` repeats a run whose seed was printed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use rmpv::Value as Oracle;

use crate::channel::{Parser, MAX_MESSAGE};
use crate::frame::{self, Inbox, MAX_FRAME};
use crate::msgpack::{validate, Malformed, Value, Writer, MAX_DEPTH};
use crate::protocol::Request;

/// Counts what this thread has allocated and not freed, and the highest that was.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    // The thread's own storage may be gone at its end; what is allocated then is not of interest.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + change, peak.max(now + change)));
    });
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most that `action` had allocated at a time.
fn peak<T>(action: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get().0;
    HELD.set((before, before));
    let result = action();
    (result, (HELD.get().1 - before) as usize)
}

/// xorshift64*: small, fast, repeatable.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `check` on one random source after the other.
fn repeat(name: &str, iterations: u64, mut check: impl FnMut(&mut Random)) {
    let clock = std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
    let seed = setting("AGENT_FUZZ_SEED").unwrap_or(clock) | 1;
    let iterations = setting("AGENT_FUZZ_ITERATIONS").unwrap_or(iterations);
    println!("{name}: {iterations} iterations, AGENT_FUZZ_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..iterations {
        check(&mut random);
    }
}

fn encoded(value: &Oracle) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).expect("memory takes it");
    bytes
}

/// A valid request of each operation, with every argument.
fn corpus() -> Vec<Vec<u8>> {
    let text = |text: &str| Oracle::from(text);
    let strings = Oracle::Array(vec![text("sh"), text("-c"), text("true")]);
    let map = |fields: Vec<(&str, Oracle)>| {
        Oracle::Map(fields.into_iter().map(|(name, value)| (text(name), value)).collect())
    };
    let arguments = || {
        vec![
            ("session", text("s")),
            ("argv", strings.clone()),
            ("env", map(vec![("PATH", text("/bin:/usr/bin"))])),
            ("cwd", text("/")),
            ("uid", 1000.into()),
            ("gid", 1000.into()),
            ("mode", text("pipes")),
            ("feed", Oracle::Binary(b"x\n".to_vec())),
            ("rlimits", map(vec![("nofile", 100.into())])),
            ("message", Oracle::Binary(vec![1; 300])),
            ("timeout_ms", 1000.into()),
            ("grace_ms", u64::MAX.into()),
            ("keep_bytes", 70_000.into()),
            ("max_output_bytes", 1_u64.into()),
            ("stream", true.into()),
            ("stdin", Oracle::Binary(vec![])),
            ("signal", 9.into()),
            ("path", text("/a/b")),
            ("offset", 0.into()),
            ("data", Oracle::Binary(b"data".to_vec())),
            ("append", false.into()),
            ("parents", true.into()),
            ("length", 900_000.into()),
            ("max_entries", 10.into()),
            ("max_depth", 3.into()),
            ("paths", strings.clone()),
            ("bytes", 5.into()),
            ("extra", Oracle::Array(vec![(-5).into(), 1.5.into(), Oracle::Ext(3, vec![1, 2]), Oracle::Nil])),
        ]
    };
    let operations = ["open", "call", "run", "close", "signal", "stop", "write", "read", "list", "room", "quiesce"];
    let requests = operations.map(|operation| {
        let mut fields = arguments();
        if operation == "write" {
            fields.retain(|(name, _)| *name != "mode");
            fields.push(("mode", 0o644.into()));
        }
        fields.extend([("id", 7.into()), ("ack", 0.into()), ("op", text(operation))]);
        fields.push(("done", Oracle::Array(vec![5.into(), 6.into(), u64::MAX.into()])));
        encoded(&map(fields))
    });
    requests.into()
}

fn mutated(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    if random.below(20) == 0 {
        let count = random.below(200);
        return random.bytes(count);
    }
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => drop(bytes.drain(at..(at + random.below(9)).min(bytes.len()))),
            3 => bytes.extend_from_within(at..(at + random.below(40)).min(bytes.len())),
            // A container's or a length's tag, where one may hurt.
            4 => set(&mut bytes, at, 0x80 | random.next() as u8),
            5 => drop(bytes.splice(at..at, vec![0x91; random.below(40)])),
            _ => set(&mut bytes, at, random.next() as u8),
        }
    }
    bytes
}

fn set(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

/// What the other implementation makes of a frame: the same rules, said again.
fn oracle(bytes: &[u8]) -> Option<Oracle> {
    let mut rest = bytes;
    let value = rmpv::decode::read_value(&mut rest).ok()?;
    let keys_are_text = value.as_map()?.iter().all(|(key, _)| matches!(key, Oracle::String(_)));
    (rest.is_empty() && keys_are_text && depth(&value) <= MAX_DEPTH).then_some(value)
}

fn depth(value: &Oracle) -> usize {
    match value {
        Oracle::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Oracle::Map(entries) => 1 + entries.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether both readers saw the same.
fn same(ours: &Value, theirs: &Oracle) -> bool {
    match (ours, theirs) {
        (Value::Nil, Oracle::Nil) | (Value::Float, Oracle::F32(_) | Oracle::F64(_)) | (Value::Ext, Oracle::Ext(..)) => {
            true
        }
        (Value::Bool(a), Oracle::Boolean(b)) => a == b,
        (Value::Unsigned(a), Oracle::Integer(b)) => b.as_u64() == Some(*a),
        (Value::Negative(a), Oracle::Integer(b)) => b.as_i64() == Some(*a),
        (Value::Str(a), Oracle::String(b)) => *a == b.as_bytes(),
        (Value::Bin(a), Oracle::Binary(b)) => a == b,
        (Value::Array(a), Oracle::Array(b)) => {
            a.items().count() == b.len() && a.items().zip(b).all(|(a, b)| same(&a, b))
        }
        (Value::Map(a), Oracle::Map(b)) => {
            let equal = |((k, v), (l, w)): ((Value, Value), &(Oracle, Oracle))| same(&k, l) && same(&v, w);
            a.entries().count() == b.len() && a.entries().zip(b).all(equal)
        }
        _ => false,
    }
}

#[test]
fn requests_are_read_without_panic_within_memory_and_as_another_reader_reads_them() {
    let corpus = corpus();
    let (mut valid, mut understood) = (0_u64, 0_u64);
    repeat("requests", 100_000, |random| {
        let bytes = mutated(random, &corpus);
        let (map, used) = peak(|| validate(&bytes));
        assert_eq!(used, 0, "validation allocates nothing: {bytes:02x?}");
        match (map, oracle(&bytes)) {
            (Ok(map), Some(expected)) => {
                valid += 1;
                assert!(same(&Value::Map(map), &expected), "{bytes:02x?}");
                let (accepted, used) = peak(|| Request::parse(map).is_some_and(|request| request.operation().is_ok()));
                understood += u64::from(accepted);
                assert!(used <= 100 * bytes.len() + 64 * 1024, "{used} for {} bytes", bytes.len());
            }
            (Err(_), None) | (Err(Malformed::UnknownType), Some(_)) => {}
            (map, expected) => panic!("{map:?} but {expected:?} for {bytes:02x?}"),
        }
    });
    println!("{valid} were valid frames, {understood} were requests");
    assert!(valid > 0 && understood > 0);
}

#[test]
fn the_corpus_is_understood() {
    for bytes in corpus() {
        let request = Request::parse(validate(&bytes).expect("a frame")).expect("a request");
        assert_eq!(request.operation().map(drop), Ok(()), "{:?}", oracle(&bytes));
    }
}

#[test]
fn frames_arrive_whole_whatever_pieces_they_come_in() {
    repeat("frames", 5_000, |random| {
        let frames: Vec<Vec<u8>> = (0..random.below(5))
            .map(|_| {
                let count = 1 + random.below(3000);
                random.bytes(count)
            })
            .collect();
        let mut stream: Vec<u8> = Vec::new();
        for body in &frames {
            let mut bytes = frame::unsealed(0);
            bytes.extend(body);
            stream.extend(frame::seal(bytes));
        }
        let (mut inbox, mut received, mut rest) = (Inbox::default(), Vec::new(), &stream[..]);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + random.below(700)).min(rest.len()));
            rest = behind;
            inbox.push(piece);
            while let Some(frame) = inbox.next().expect("good lengths") {
                received.push(frame);
            }
        }
        assert_eq!(received, frames);
    });
}

#[test]
fn a_length_alone_allocates_nothing() {
    let ((), used) = peak(|| {
        let mut inbox = Inbox::default();
        inbox.push(&(MAX_FRAME as u32).to_be_bytes());
        inbox.push(b"x");
        assert_eq!(inbox.next(), Ok(None));
    });
    assert!(used < 100, "{used}");
}

#[test]
fn random_streams_of_frames_never_hold_more_than_has_come() {
    repeat("streams", 20_000, |random| {
        let mut inbox = Inbox::default();
        for _ in 0..random.below(20) {
            let mut piece = {
                let count = random.below(2000);
                random.bytes(count)
            };
            // Plausible lengths, else nearly every stream ends at once.
            piece.splice(..0, [0, random.below(24) as u8]);
            let (result, used) = peak(|| {
                inbox.push(&piece);
                inbox.next().map(drop)
            });
            assert!(used <= 3 * 42_000, "{used}");
            if result.is_err() {
                return;
            }
        }
    });
}

#[test]
fn messages_of_programs_are_parsed_without_panic_and_within_memory() {
    repeat("messages", 100_000, |random| {
        let mut input = Vec::new();
        for _ in 0..random.below(4) {
            let body = {
                let count = random.below(300);
                random.bytes(count)
            };
            input.extend(format!("{}\n", body.len()).bytes());
            input.extend(body);
        }
        if random.below(2) == 0 && !input.is_empty() {
            let at = random.below(input.len());
            set(&mut input, at, b"0123456789\n x"[random.below(13)]);
        }
        let mut parser = Parser::default();
        let ((), used) = peak(|| {
            let mut rest = &input[..];
            while !rest.is_empty() {
                let size = (1 + random.below(100)).min(rest.len());
                let mut piece = &rest[..size];
                rest = &rest[size..];
                while !piece.is_empty() {
                    match parser.feed(&mut piece) {
                        Ok(message) => assert!(message.is_none_or(|message| message.len() <= MAX_MESSAGE)),
                        Err(_) => return,
                    }
                }
            }
        });
        assert!(used <= 4 * input.len() + 100, "{used}");
    });
}

#[test]
fn what_is_written_is_what_another_reader_reads() {
    let sizes = [0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 70_000];
    let numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
    let mut writer = Writer(Vec::new());
    writer.array(sizes.len() * 3 + numbers.len() + 3);
    for size in sizes {
        writer.str(&"x".repeat(size)).bin(&[&vec![7; size / 2], &vec![7; size - size / 2]]).array(size);
        for _ in 0..size {
            writer.nil();
        }
    }
    for number in numbers {
        writer.unsigned(number);
    }
    writer.bool(true).optional(None).map(0);
    let mut expected = Vec::new();
    for size in sizes {
        expected.extend([
            Oracle::from("x".repeat(size)),
            Oracle::Binary(vec![7; size]),
            Oracle::Array(vec![Oracle::Nil; size]),
        ]);
    }
    expected.extend(numbers.map(Oracle::from));
    expected.extend([true.into(), Oracle::Nil, Oracle::Map(vec![])]);
    let read = rmpv::decode::read_value(&mut &writer.0[..]).expect("MessagePack");
    assert!(read == Oracle::Array(expected));
}
