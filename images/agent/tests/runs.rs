//! `run`: what a program does is data, whatever it does.

mod common;

use common::{bin, map, Agent, Fields, Value};

#[test]
fn a_program_ends_with_its_code_and_output() {
    let agent = Agent::start();
    let result = agent.connect().shell("echo out; echo err >&2; exit 3");
    assert_eq!(result.text("end"), "exited");
    assert_eq!((result.number("exit_code"), result.field("signal")), (3, Value::Nil));
    assert_eq!((result.output("stdout"), result.output("stderr")), ("out\n".into(), "err\n".into()));
    assert_eq!(result.field("message"), Value::Nil);
    assert!(!result.flag("alive") && !result.flag("interrupted") && !result.flag("core"));
    assert_eq!(result.number("killed"), 0);
}

#[test]
fn a_program_that_dies_by_a_signal_says_which() {
    let agent = Agent::start();
    let result = agent.connect().shell("kill -SEGV $$");
    assert_eq!((result.field("exit_code"), result.number("signal")), (Value::Nil, 11));
}

#[test]
fn a_program_gets_what_the_request_says_and_nothing_else() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let environment = map(vec![("PATH", "/usr/bin:/bin".into()), ("ONLY", "this".into())]);
    let result = client.run_with(&["env"], vec![("env", environment)]).expect("it starts");
    let mut lines: Vec<_> = result.output("stdout").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["ONLY=this", "PATH=/usr/bin:/bin"]);
    let script = "grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|SigBlk|SigIgn)' /proc/self/status; \
        umask; cat /proc/self/oom_score_adj; ls -l /proc/self/fd | grep -c -- '->'; ps -o pid=,sid= -p $$";
    let status = client.run_with(&["bash", "-c", script], vec![]).expect("it starts").output("stdout");
    for expected in ["Uid:\t1000\t1000\t1000\t1000", "Gid:\t1000\t1000\t1000\t1000", "Groups:\t \n", "0022\n1000\n4\n"]
    {
        assert!(status.contains(expected), "{expected:?} in {status}");
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk", "SigIgn"] {
        assert!(status.contains(&format!("{name}:\t0000000000000000")), "{name} in {status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"));
    let last: Vec<_> = status.lines().last().unwrap_or_default().split_whitespace().collect();
    assert_eq!(last[0], last[1], "a session of its own");
}

#[test]
fn limits_are_soft_and_hard() {
    let agent = Agent::start();
    let rlimits = map(vec![("nofile", 77.into()), ("core", 0.into()), ("fsize", 8192.into())]);
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Sf; ulimit -n 78 || echo no";
    let result = agent.connect().run_with(&["bash", "-c", script], vec![("rlimits", rlimits)]).expect("it starts");
    assert_eq!(result.output("stdout"), "77\n77\n0\n8\nno\n");
}

#[test]
fn what_cannot_start_says_which_call_failed() {
    let agent = Agent::start();
    let mut client = agent.connect();
    assert_eq!(client.run_with(&["/no/such"], vec![]), Err("spawn_failed".into()));
    assert_eq!(client.run_with(&["no-such-program"], vec![]), Err("spawn_failed".into()));
    assert_eq!(client.run_with(&["/etc/passwd"], vec![]), Err("spawn_failed".into()));
    assert_eq!(client.run_with(&["true"], vec![("cwd", "/root/nowhere".into())]), Err("spawn_failed".into()));
    let id = client.send("run", common::run_arguments(&["/no/such"], vec![]));
    let frame = client.receive().expect("a response");
    assert_eq!((frame.number("id"), frame.field("error").text("message")), (id, "execve: ENOENT".into()));
    assert_eq!(client.shell("echo still here").output("stdout"), "still here\n");
}

#[test]
fn programs_never_run_as_root_or_as_the_servers_uid() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for uid in [0, 65534, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1000] {
        assert_eq!(client.run_with(&["id"], vec![("uid", uid.into())]), Err("bad_request".into()), "{uid}");
    }
}

#[test]
fn standard_input_is_brought_and_ends() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let big: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
    let result = client.run_with(&["cat"], vec![("stdin", bin(&big)), ("keep_bytes", 600_000.into())]).expect("starts");
    let stdout = result.field("stdout");
    assert!([stdout.bytes("head"), stdout.bytes("tail")].concat() == big);
    let nothing = client.run(&["cat"]);
    assert_eq!(nothing.field("stdout").number("total"), 0);
}

#[test]
fn a_program_may_ignore_its_input() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let big = vec![0; 500_000];
    let result = client.run_with(&["true"], vec![("stdin", bin(&big))]).expect("it starts");
    assert_eq!(result.number("exit_code"), 0);
    let result = client.run_with(&["bash", "-c", "sleep 0.2; echo done"], vec![("stdin", bin(&big))]).expect("starts");
    assert_eq!(result.output("stdout"), "done\n");
}

#[test]
fn ten_megabytes_leave_head_tail_and_the_count() {
    let agent = Agent::start();
    let script = "echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo last";
    let result = agent.connect().shell(script);
    let stdout = result.field("stdout");
    assert_eq!(stdout.number("total"), 10_000_011);
    assert_eq!((stdout.bytes("head").len(), stdout.bytes("tail").len()), (128 * 1024, 128 * 1024));
    assert!(stdout.bytes("head").starts_with(b"first\nx") && stdout.bytes("tail").ends_with(b"xlast\n"));
}

#[test]
fn both_streams_full_fit_in_a_frame() {
    let agent = Agent::start();
    let script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2";
    let changes = vec![("keep_bytes", (4 << 20).into())];
    let result = agent.connect().run_with(&["bash", "-c", script], changes).expect("it starts");
    for stream in ["stdout", "stderr"] {
        let stream = result.field(stream);
        assert_eq!(stream.number("total"), 3_000_000);
        assert!(stream.bytes("head").len() + stream.bytes("tail").len() > 500_000);
    }
}

#[test]
fn bytes_that_are_no_text_survive() {
    let agent = Agent::start();
    let result = agent.connect().shell(r"printf '\xff\xfe\x00\x80'");
    assert_eq!(result.field("stdout").bytes("head"), b"\xff\xfe\x00\x80");
}

#[test]
fn a_program_may_close_its_output_and_open_it_again() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let result = client.shell("exec >&- 2>&-; sleep 0.1; exit 4");
    assert_eq!(result.number("exit_code"), 4);
    let result = client.shell("echo a > /dev/stdout; echo b > /dev/stderr; echo c > /proc/self/fd/1");
    assert_eq!((result.output("stdout"), result.output("stderr")), ("a\nc\n".into(), "b\n".into()));
}

#[test]
fn an_endless_loop_is_interrupted_and_what_ignores_that_is_killed() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let short = || vec![("timeout_ms", 400.into()), ("grace_ms", 300.into())];
    let result = client.run_with(&["bash", "-c", "echo on; while :; do :; done"], short()).expect("it starts");
    assert_eq!((result.text("end"), result.flag("interrupted"), result.number("signal")), ("timeout".into(), true, 2));
    assert_eq!(result.output("stdout"), "on\n");
    let script = "trap '' INT; while :; do :; done";
    let result = client.run_with(&["bash", "-c", script], short()).expect("it starts");
    assert_eq!((result.text("end"), result.flag("interrupted"), result.number("signal")), ("timeout".into(), false, 9));
    assert_eq!(result.number("killed"), 1);
    assert!(result.number("duration_us") >= 700_000);
}

#[test]
fn endless_output_overflows() {
    let agent = Agent::start();
    let changes = vec![("max_output_bytes", 1_000_000.into()), ("keep_bytes", 1000.into())];
    let result = agent.connect().run_with(&["yes"], changes).expect("it starts");
    assert_eq!(result.text("end"), "overflow");
    assert!(result.field("stdout").number("total") > 1_000_000);
    assert_eq!(result.output("stdout").len(), 1000);
}

#[test]
fn output_is_streamed_while_it_comes() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = "echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three";
    let result = client.run_with(&["bash", "-c", script], vec![("stream", true.into())]).expect("it starts");
    let events: Vec<_> = client.events.iter().map(|event| (event.text("stream"), event.bytes("data"))).collect();
    let expected = [("stdout", &b"one\n"[..]), ("stderr", b"two\n"), ("stdout", b"three\n")]
        .map(|(s, d)| (s.to_owned(), d.to_vec()));
    assert_eq!(events, expected);
    assert_eq!(result.output("stdout"), "one\nthree\n");
}

#[test]
fn many_runs_at_once_and_one_after_the_other() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let ids: Vec<u64> = (0..20)
        .map(|n| client.send("run", common::run_arguments(&["bash", "-c", &format!("exit {n}")], vec![])))
        .collect();
    let mut codes: Vec<u64> =
        ids.iter().map(|_| client.receive().expect("a response").field("ok").number("exit_code")).collect();
    codes.sort_unstable();
    assert_eq!(codes, (0..20).collect::<Vec<_>>());
}
