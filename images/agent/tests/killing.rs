//! Nothing that a program starts outlives it, and nothing that it does hurts the agent.

mod common;

use common::{call_arguments, hostile, map, processes_with, run_arguments, Agent, Arguments, Fields};

const EVAL: &str =
    r#"while read -r -u 3 n; do read -r -N "$n" -u 3 m; eval "$m"; s=$?; printf '%s\n%s' "${#s}" "$s" >&4; done"#;

fn short() -> Arguments {
    vec![("timeout_ms", 300.into()), ("grace_ms", 100.into())]
}

/// At most so many processes of the user at a time, wherever they are.
fn processes(limit: u64) -> common::Value {
    map(vec![("nproc", limit.into())])
}

#[test]
fn children_die_with_a_run_however_they_hide() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let scripts = [
        "sleep 2001 &",
        "(sleep 2001 &)",
        "setsid sleep 2001 &",
        "(setsid env -i sh -c '(sleep 2001; :) & ' &) ; sleep 0.1",
        "nohup setsid sh -c 'trap \"\" HUP INT TERM QUIT; sleep 2001; sleep 2001' > /dev/null 2>&1 &",
        "setsid setsid setsid sleep 2001 < /dev/null > /dev/null 2>&1 & disown",
        "sleep 2001 & kill -STOP $!",
    ];
    for script in scripts {
        let result = client.shell(&format!("{script}\nsleep 0.1"));
        assert_eq!(result.text("end"), "exited", "{script}");
        assert!(result.number("killed") >= 1, "{script}: {result}");
        assert_eq!(processes_with("sleep 2001"), 0, "{script}");
    }
}

#[test]
fn a_child_that_keeps_the_output_open_delays_nothing() {
    let agent = Agent::start();
    let result = agent.connect().shell("echo out; sleep 2002 &");
    assert!(result.number("duration_us") < 2_000_000);
    assert_eq!((result.output("stdout"), result.number("killed")), ("out\n".into(), 1));
}

#[test]
fn tricks_of_processes_do_not_help() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    for trick in ["threads-outlive-main", "stop-all", "clone-without-signal"] {
        let result = client.run_with(&[&hostile, trick], short()).expect("it starts");
        assert!(result.number("killed") >= 1, "{trick}: {result}");
        assert_eq!(processes_with(&hostile), 0, "{trick}");
    }
}

#[test]
fn a_process_that_is_always_a_new_one_is_caught() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    for _ in 0..5 {
        // Bounded for a machine that is busy; no limit of the test's own ends it.
        let changes = vec![("timeout_ms", 10_000.into()), ("grace_ms", 100.into())];
        let result = client.run_with(&[&hostile, "hop"], changes).expect("it starts");
        assert_eq!(result.text("end"), "exited", "its first process ends at once");
        assert_eq!(processes_with(&hostile), 0);
    }
}

#[test]
fn a_fork_bomb_is_defused() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    for uid in [3001_u64, 3002, 3003] {
        let mut changes = short();
        changes.extend([("uid", uid.into()), ("rlimits", processes(100))]);
        let result = client.run_with(&[&hostile, "fork-bomb"], changes).expect("it starts");
        assert_eq!(result.text("end"), "timeout");
        // The interrupt may have done it already: then nothing was left to be killed.
        assert!(result.number("killed") >= 50 || result.flag("interrupted"), "{result}");
        assert_eq!(processes_with(&hostile), 0);
    }
    assert_eq!(client.shell("echo fine").output("stdout"), "fine\n");
}

#[test]
fn a_bomb_in_a_call_ends_the_call_and_at_worst_the_session() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    let changes = vec![("uid", 3004.into()), ("rlimits", processes(100))];
    client.open("s", &["bash", "-c", &format!("trap 'i=1' INT; {EVAL}")], changes).expect("it opens");
    let message = format!("{hostile} fork-bomb & sleep 100");
    let result = client.call_with("s", message.as_bytes(), short()).expect("a result");
    assert_eq!(result.text("end"), "timeout");
    assert_eq!(processes_with(&hostile), 0, "{result}");
}

#[test]
fn a_user_without_processes_left_gets_spawn_failed() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let changes = || vec![("uid", 3005.into()), ("rlimits", processes(1))];
    client.open("s", &["bash", "-c", EVAL], vec![("uid", 3005.into())]).expect("it opens");
    client.open("t", &["bash", "-c", EVAL], vec![("uid", 3005.into())]).expect("it opens");
    assert_eq!(client.run_with(&["true"], changes()), Err("spawn_failed".into()));
    assert_eq!(client.shell("echo fine").output("stdout"), "fine\n");
}

/// A cgroup with a limit of processes, where this machine lets one be made.
struct Cgroup(std::path::PathBuf);

impl Cgroup {
    fn with_limit(limit: u32) -> Option<Self> {
        let places = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
        let name = format!("agent-test-{}", std::process::id());
        places.iter().map(|place| Self(std::path::Path::new(place).join(&name))).find(|cgroup| {
            std::fs::create_dir(&cgroup.0).is_ok()
                && cgroup.0.join("cgroup.procs").exists() // a plain directory takes any file
                && std::fs::write(cgroup.0.join("pids.max"), limit.to_string()).is_ok()
        })
    }

    fn add(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a cgroup takes processes");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn an_agent_whose_forks_fail_answers_so() {
    let Some(cgroup) = Cgroup::with_limit(30) else {
        println!("no pids cgroup can be made here: not tested");
        return;
    };
    let agent = Agent::start_here();
    cgroup.add(agent.pid());
    let mut client = agent.connect();
    let mut failed = 0;
    for n in 0..40 {
        match client.open(&format!("s{n}"), &["bash", "-c", EVAL], vec![]) {
            Ok(_) => assert_eq!(failed, 0),
            Err(code) => {
                assert_eq!(code, "spawn_failed");
                failed += 1;
            }
        }
    }
    assert!(failed >= 20, "{failed}");
    assert_eq!(client.run_with(&["true"], vec![]), Err("spawn_failed".into()));
    assert_eq!(client.call("s0", b":").expect("a result").text("end"), "message");
    client.request("stop", vec![]).expect("a count");
    assert_eq!(client.shell("echo fine").output("stdout"), "fine\n");
    drop(client);
    drop(agent);
}

#[test]
fn killing_everything_of_its_uid_leaves_agent_and_keepers() {
    let agent = Agent::start_as_init();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    client.open("other", &["bash", "-c", EVAL], vec![("uid", 1001.into())]).expect("it opens");
    let result = client.run(&[&hostile, "kill-all"]);
    assert_eq!((result.text("end"), result.number("exit_code")), ("exited".into(), 0));
    assert_eq!(client.call("other", b"true").expect("a result").text("end"), "message");
    let result = client.shell("kill -9 -1; kill -9 1; kill -STOP 1; kill -INT 1; echo on");
    assert!(result.text("end") == "exited");
    client.open("victim", &["bash", "-c", EVAL], vec![]).expect("it opens");
    let call = client.send("call", call_arguments("victim", b"sleep 2003", vec![]));
    let id = client.send("run", run_arguments(&["bash", "-c", "sleep 0.2; kill -9 -1"], vec![]));
    let first = client.receive().expect("a response");
    let second = client.receive().expect("a response");
    let (call, run) = if first.number("id") == call { (first, second) } else { (second, first) };
    assert_eq!(run.number("id"), id);
    assert_eq!((call.field("ok").text("end"), call.field("ok").number("signal")), ("exited".into(), 9));
}

#[test]
fn stop_kills_everything_and_ends_what_waits() {
    for agent in [Agent::start(), Agent::start_as_init()] {
        let mut client = agent.connect();
        client.open("s", &["bash", "-c", EVAL], vec![]).expect("it opens");
        client.call("s", b"setsid sleep 2004 & :").expect("a result");
        let call = client.send("call", call_arguments("s", b"sleep 2004", vec![]));
        let run = client.send("run", run_arguments(&["bash", "-c", "trap '' INT TERM; sleep 2004; sleep 1"], vec![]));
        agent.wait_for(|| processes_with("sleep 2004") >= 3);
        let stop = client.send("stop", vec![]);
        let mut ends = std::collections::BTreeMap::new();
        for _ in 0..3 {
            let frame = client.receive().expect("a response");
            ends.insert(frame.number("id"), frame.field("ok"));
        }
        for id in [call, run] {
            assert_eq!((ends[&id].text("end"), ends[&id].number("signal")), ("exited".into(), 9));
            assert!(!ends[&id].flag("alive"));
        }
        assert!(ends[&stop].number("killed") >= 4, "{:?}", ends[&stop]);
        assert_eq!(processes_with("sleep 2004"), 0);
        assert_eq!(client.call("s", b"true"), Err("no_session".into()));
        assert_eq!(client.request("stop", vec![]).expect("again").number("killed"), 0);
        let list = vec![
            ("path", "/etc/passwd".into()),
            ("offset", 0.into()),
            ("length", 4.into()),
            ("uid", 1000.into()),
            ("gid", 1000.into()),
        ];
        assert_eq!(client.request("read", list).expect("files can be read").bytes("data").len(), 4);
    }
}

#[test]
fn stop_reaches_a_fork_bomb_at_once() {
    let agent = Agent::start_as_init();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    let changes = vec![("uid", 3006.into()), ("rlimits", processes(100))];
    let bomb = client.send("run", run_arguments(&[&hostile, "fork-bomb"], changes));
    agent.wait_for(|| processes_with(&hostile) > 50);
    let stop = client.send("stop", vec![]);
    assert_eq!(client.answer_to(bomb).expect("a result").text("end"), "exited");
    client.answer_to(stop).expect("a count");
    assert_eq!(processes_with(&hostile), 0);
}

#[test]
fn a_killed_keeper_takes_its_tree_along() {
    let agent = Agent::start_here();
    let mut client = agent.connect();
    let leader = client.open("s", &["bash", "-c", EVAL], vec![]).expect("it opens").number("pid");
    client.call("s", b"setsid sleep 2005 & sleep 2005 & :").expect("a result");
    let status = std::fs::read_to_string(format!("/proc/{leader}/status")).expect("it lives");
    let keeper = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent").trim().to_owned();
    let call = client.send("call", call_arguments("s", b"sleep 2005", vec![]));
    agent.wait_for(|| processes_with("sleep 2005") == 3);
    std::process::Command::new("kill").args(["-9", &keeper]).status().expect("kill is there");
    let result = client.answer_to(call).expect("a result");
    assert_eq!((result.text("end"), result.flag("alive")), ("exited".into(), false));
    agent.wait_for(|| processes_with("sleep 2005") == 0);
    assert_eq!(client.shell("echo fine").output("stdout"), "fine\n");
}

#[test]
fn the_agent_is_closed_to_user_processes() {
    let agent = Agent::start_as_init();
    let mut client = agent.connect();
    let hostile = hostile(&agent);
    let leader = client.open("s", &["bash", "-c", EVAL], vec![]).expect("it opens").number("pid");
    for path in ["/proc/1/mem", "/proc/1/oom_score_adj", "/proc/1/environ", "/proc/1/fd/0", "/proc/sys/kernel/hostname"]
    {
        let output = client.run(&[&hostile, "open", path]).output("stdout");
        assert_ne!(output, "opened\n", "{path}");
    }
    let script = format!(
        "ls /proc/1/fd; cat /proc/1/maps /proc/1/environ; kill -9 $(ps -o ppid= -p {leader}) && echo killed; \
         prlimit --pid 1 --nofile=0 && echo limited; renice 19 1 && echo reniced; kill -TERM 1 && echo termed"
    );
    let result = client.shell(&script);
    assert_eq!(result.output("stdout"), "", "{}", result.output("stderr"));
}

#[test]
fn an_agent_that_no_server_wants_ends_with_its_processes() {
    let mut agent = Agent::start_with(&[], &["--peer-uid", "0", "--orphan-timeout-s", "1"]);
    let mut client = agent.connect();
    client.open("s", &["bash", "-c", "sleep 2006; :"], vec![]).expect("it opens");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(!agent.has_ended(), "a connected server counts, however silent");
    drop(client);
    let start = std::time::Instant::now();
    while !agent.has_ended() {
        assert!(start.elapsed().as_secs() < 20);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(start.elapsed().as_millis() > 800);
    assert_eq!(processes_with("sleep 2006"), 0);
}

#[test]
fn an_idle_agent_sleeps() {
    let agent = Agent::start_here();
    let mut client = agent.connect();
    client.open("s", &["bash", "-c", EVAL], vec![]).expect("it opens");
    client.call("s", b"true").expect("a result");
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("it lives");
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = switches();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(switches(), before);
}
