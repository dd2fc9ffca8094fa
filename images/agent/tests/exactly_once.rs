//! A request runs once, whatever becomes of connections.

mod common;

use common::{bin, call_arguments, run_arguments, Agent, Client, Fields};

/// Appends a line to a file of the user's each time that it runs.
fn marking(agent: &Agent, seconds: &str) -> common::Arguments {
    let script = format!("echo ran >> {}/marks; sleep {seconds}; echo done", agent.home().display());
    run_arguments(&["bash", "-c", &script], vec![])
}

fn marks(agent: &Agent) -> usize {
    std::fs::read_to_string(agent.home().join("marks")).unwrap_or_default().lines().count()
}

#[test]
fn the_same_id_while_it_runs_attaches() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for _ in 0..3 {
        client.send_as(1, "run", marking(&agent, "0.3"));
    }
    assert_eq!(client.answer_to(1).expect("a result").output("stdout"), "done\n");
    client.id = 1;
    assert!(client.request("close", vec![("session", "x".into())]).is_err(), "one response, then the next request's");
    assert_eq!(marks(&agent), 1);
}

#[test]
fn the_same_id_afterwards_gets_the_same_bytes_also_on_another_connection() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_as(1, "run", marking(&agent, "0"));
    let first = client.receive().expect("a response");
    client.send_as(1, "run", marking(&agent, "0"));
    assert_eq!(client.receive().expect("a response"), first);
    drop(client);
    let mut client = agent.connect();
    assert_eq!(client.hello.field("kept").as_array().expect("a list"), &[1.into()]);
    client.send_as(1, "something else entirely", vec![]);
    assert_eq!(client.receive().expect("a response"), first);
    assert_eq!(marks(&agent), 1);
}

#[test]
fn an_acknowledged_id_is_neither_run_nor_answered_again() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_as(1, "run", marking(&agent, "0"));
    client.answer_to(1).expect("a result");
    client.ack = 1;
    client.send_as(2, "list", vec![]);
    assert_eq!(client.answer_to(2), Err("bad_request".into()));
    client.send_as(1, "run", marking(&agent, "0"));
    assert_eq!(client.answer_to(1), Err("acknowledged".into()));
    drop(client);
    let client = agent.connect();
    assert_eq!(client.hello.field("kept").as_array().expect("a list"), &[2.into()]);
    assert_eq!(marks(&agent), 1);
}

#[test]
fn what_runs_goes_on_when_the_connection_drops() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_as(1, "run", marking(&agent, "0.5"));
    agent.wait_for(|| marks(&agent) == 1);
    drop(client);
    let mut client = agent.connect();
    assert_eq!(client.hello.field("running").as_array().expect("a list"), &[1.into()]);
    client.send_as(1, "run", marking(&agent, "0.5"));
    assert_eq!(client.answer_to(1).expect("a result").output("stdout"), "done\n");
    assert_eq!(marks(&agent), 1);
}

#[test]
fn a_response_that_came_while_nobody_was_connected_is_kept() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client
        .open("s", &["bash", "-c", "read -r -N 3 -u 3 m; sleep 0.2; printf '2\\nok' >&4; sleep 1008"], vec![])
        .expect("opens");
    client.send_as(7, "call", call_arguments("s", b"x", vec![]));
    // A request behind it proves that the call was taken before the connection drops.
    assert!(client.call("s", b"y").is_err());
    drop(client);
    std::thread::sleep(std::time::Duration::from_millis(400));
    let mut client = agent.connect();
    assert_eq!(client.hello.field("sessions").as_array().expect("a list"), &["s".into()]);
    assert!(client.hello.field("kept").as_array().expect("a list").contains(&7.into()));
    client.send_as(7, "call", call_arguments("s", b"x", vec![]));
    assert_eq!(client.answer_to(7).expect("a result").bytes("message"), b"ok");
}

#[test]
fn a_frame_cut_by_a_dropped_connection_did_not_happen() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let body = common::encode(&common::map(vec![("id", 1.into()), ("ack", 0.into()), ("op", "stop".into())]));
    client.send_raw(&(body.len() as u32).to_be_bytes());
    client.send_raw(&body[..body.len() - 1]);
    drop(client);
    let client = agent.connect();
    assert_eq!(client.hello.field("kept").as_array().expect("a list"), &[]);
}

#[test]
fn one_connection_at_a_time_the_next_waits() {
    let agent = Agent::start();
    let first = agent.connect();
    let socket = agent.socket();
    let second = std::thread::spawn(move || Client::connect(&socket).expect("the agent greets").hello.text("boot_id"));
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(!second.is_finished());
    let boot_id = first.hello.text("boot_id");
    drop(first);
    assert_eq!(second.join().expect("no panic"), boot_id);
}

#[test]
fn a_write_repeated_after_a_reconnect_happens_once() {
    let agent = Agent::start();
    let path = agent.home().join("log").display().to_string();
    let write = || {
        let fields: common::Arguments = vec![
            ("path", path.as_str().into()),
            ("data", bin(b"line\n")),
            ("mode", 0o644.into()),
            ("uid", 1000.into()),
            ("gid", 1000.into()),
            ("append", true.into()),
            ("parents", false.into()),
        ];
        fields
    };
    let mut client = agent.connect();
    client.send_as(1, "write", write());
    drop(client);
    let mut client = agent.connect();
    client.send_as(1, "write", write());
    assert_eq!(client.answer_to(1).expect("a size").number("size"), 5);
    assert_eq!(std::fs::read(agent.home().join("log")).expect("a file"), b"line\n");
}

/// The id of the `call`th request of a series.
fn named(series: u64, call: u64) -> u64 {
    series << 20 | call
}

const LOOSE: u64 = 1 << 62;

/// Prints its name when it begins and when it ends, which the file `gate` of the user's home allows.
fn gated(agent: &Agent, name: &str) -> common::Arguments {
    let home = agent.home();
    let script = format!(
        "echo {name} >> {home}/marks; echo {name} begins; until test -e {home}/gate; do sleep 0.01; done; echo {name} ends",
        home = home.display()
    );
    run_arguments(&["bash", "-c", &script], vec![("stream", true.into())])
}

fn open_gate(agent: &Agent) {
    std::fs::write(agent.home().join("gate"), "").expect("a file");
}

#[test]
fn a_series_made_again_by_the_next_server_gets_what_was_kept_what_runs_and_what_is_new() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_as(named(7, 1), "run", marking(&agent, "0"));
    let first = client.receive().expect("a response");
    client.send_as(named(7, 2), "run", gated(&agent, "second"));
    assert_eq!(client.receive().expect("an event").bytes("data"), b"second begins\n");
    drop(client);

    let mut client = agent.connect();
    assert_eq!((client.greeted("kept"), client.greeted("running")), (vec![named(7, 1)], vec![named(7, 2)]));
    client.send_as(named(7, 1), "run", marking(&agent, "0"));
    assert_eq!(client.receive().expect("a response"), first);
    // Another time limit than the first time: what ran or runs goes by its own.
    let mut again = gated(&agent, "second");
    again.retain(|(name, _)| *name != "timeout_ms");
    again.push(("timeout_ms", 1.into()));
    client.send_as(named(7, 2), "run", again);
    client.send_as(named(7, 3), "run", marking(&agent, "0"));
    assert_eq!(client.answer_to(named(7, 3)).expect("a result").output("stdout"), "done\n");
    open_gate(&agent);
    assert_eq!(client.answer_to(named(7, 2)).expect("a result").output("stdout"), "second begins\nsecond ends\n");
    assert_eq!(client.events.iter().map(|event| event.bytes("data")).collect::<Vec<_>>(), [b"second ends\n"]);
    assert_eq!(marks(&agent), 3);
}

#[test]
fn a_settled_series_is_forgotten_and_refused_and_the_greeting_tells_which_it_was() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_as(named(1, 1), "run", marking(&agent, "0"));
    client.answer_to(named(1, 1)).expect("a result");
    client.ack = named(1, 0xf_ffff);
    client.send_as(named(2, 1), "run", marking(&agent, "0"));
    client.answer_to(named(2, 1)).expect("a result");
    drop(client);
    let mut client = agent.connect();
    assert_eq!(client.hello.number("acknowledged") >> 20, 1);
    assert_eq!(client.greeted("kept"), [named(2, 1)]);
    for call in [1, 2] {
        client.send_as(named(1, call), "run", marking(&agent, "0"));
        assert_eq!(client.answer_to(named(1, call)), Err("acknowledged".into()));
    }
    assert_eq!(marks(&agent), 2);
}

#[test]
fn what_is_done_with_is_forgotten_at_once_and_nothing_else_is() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for id in [named(3, 1), LOOSE, LOOSE + 1] {
        client.send_as(id, "run", marking(&agent, "0"));
        client.answer_to(id).expect("a result");
    }
    client.send_done(LOOSE + 2, &[LOOSE, LOOSE + 2], "list", vec![]);
    assert_eq!(client.answer_to(LOOSE + 2), Err("bad_request".into()));
    drop(client);
    assert_eq!(agent.connect().greeted("kept"), [named(3, 1), LOOSE + 1]);
}

#[test]
fn a_list_of_what_is_done_with_that_is_none_forgets_nothing() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.send_as(1, "run", marking(&agent, "0"));
    client.answer_to(1).expect("a result");
    let many = common::Value::Array(vec![1.into(); 1001]);
    let wrong =
        [many, 1.into(), common::Value::Array(vec![1.into(), (-1).into()]), common::Value::Array(vec!["1".into()])];
    for (id, done) in (2..).zip(wrong) {
        client.send_as(id, "stop", vec![("done", done)]);
        assert_eq!(client.answer_to(id), Err("bad_request".into()));
    }
    drop(client);
    assert_eq!(agent.connect().greeted("kept"), [1, 2, 3, 4, 5]);
}
