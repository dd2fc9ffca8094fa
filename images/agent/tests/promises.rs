//! What the agent costs. Ignored by default; run alone, in release:
//!
//!     cargo test --release --test promises -- --ignored --nocapture

mod common;

use std::time::{Duration, Instant};

use common::{bin, Agent, Client, Fields};

/// Answers each message with itself, at the least cost that a program has.
const ECHO: &str = "exec cat <&3 >&4";

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn measure(name: &str, count: usize, mut action: impl FnMut(&mut Client), client: &mut Client) -> Duration {
    let times = (0..count)
        .map(|_| {
            client.ack = client.id;
            let start = Instant::now();
            action(client);
            start.elapsed()
        })
        .collect();
    let (p50, p99) = percentiles(times);
    println!("{name}: p50 {p50:?}, p99 {p99:?}");
    p50
}

/// Kilobytes that belong to a process alone: what it has written to. The program's text is shared by all sandboxes.
fn own_kib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("root may");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("a known field");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

fn parent(pid: u64) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    line.trim().parse().expect("a number")
}

#[test]
#[ignore = "measures"]
fn a_call_costs_little_and_memory_stays_small() {
    let agent = Agent::start_here();
    let mut client = agent.connect();
    // Two processes that touch no agent, for comparison: a byte through two pipes and back.
    let leader = client.open("s", &["bash", "-c", ECHO], vec![]).expect("it opens").number("pid");
    let keeper = parent(leader);
    println!("own KiB after open: agent {:?}, keeper {:?}", own_kib(agent.pid()), own_kib(keeper));
    let call = |client: &mut Client| assert!(client.call("s", b"hello").is_ok());
    measure("warm-up", 1000, call, &mut client);
    let p50 = measure("call to cat", 20_000, call, &mut client);
    measure(
        "read of a file",
        5000,
        |client| {
            let arguments = vec![
                ("path", "/etc/passwd".into()),
                ("offset", 0.into()),
                ("length", 4000.into()),
                ("uid", 1000.into()),
                ("gid", 1000.into()),
            ];
            client.request("read", arguments).expect("content");
        },
        &mut client,
    );
    measure(
        "request refused (the floor)",
        5000,
        |client| assert!(client.request("none", vec![]).is_err()),
        &mut client,
    );
    measure("run of true", 1000, |client| drop(client.run(&["/bin/true"])), &mut client);
    let big = vec![0; 900_000];
    measure("call with 900,000 bytes both ways", 200, |client| drop(client.call("s", &big)), &mut client);
    measure(
        "run with 10 MB of output",
        20,
        |client| drop(client.run(&["head", "-c", "10000000", "/dev/zero"])),
        &mut client,
    );
    client.ack = client.id;
    client.run_with(&["cat"], vec![("stdin", bin(&[1; 500_000]))]).expect("it starts");
    client.ack = client.id;
    client.request("list", vec![]).expect_err("acknowledges");
    println!("own KiB at the end: agent {:?}, keeper {:?}", own_kib(agent.pid()), own_kib(keeper));
    assert!(p50 < Duration::from_micros(300));
    assert!(own_kib(agent.pid()) + own_kib(keeper) < 1024);
}
