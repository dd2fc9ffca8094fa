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
