//! `open`, `call`, `close`, `signal`: programs that live from one request to the next.

mod common;

use common::{bin, call_arguments, map, Agent, Answer, Arguments, Client, Fields, Value};

/// Echoes each message back, in bash.
const ECHO: &str = r#"while read -r -u 3 n; do read -r -N "$n" -u 3 m; printf '%s\n%s' "${#m}" "$m" >&4; done"#;
/// Runs each message as shell code, in the same shell, and answers with its status.
const EVAL: &str =
    r#"while read -r -u 3 n; do read -r -N "$n" -u 3 m; eval "$m"; s=$?; printf '%s\n%s' "${#s}" "$s" >&4; done"#;

fn shell(client: &mut Client, name: &str, script: &str) -> Answer {
    client.open(name, &["bash", "-c", script], vec![])
}

fn short() -> Arguments {
    vec![("timeout_ms", 300.into()), ("grace_ms", 1000.into())]
}

#[test]
fn a_session_answers_call_after_call_and_keeps_its_state() {
    let agent = Agent::start();
    let mut client = agent.connect();
    assert!(shell(&mut client, "s", EVAL).expect("it opens").number("pid") > 1);
    let result = client.call("s", b"x=5; echo out; echo err >&2").expect("a result");
    assert_eq!((result.text("end"), result.bytes("message")), ("message".into(), b"0".to_vec()));
    assert_eq!((result.output("stdout"), result.output("stderr")), ("out\n".into(), "err\n".into()));
    assert!(result.flag("alive") && !result.flag("interrupted"));
    assert_eq!((result.field("exit_code"), result.field("signal")), (Value::Nil, Value::Nil));
    let result = client.call("s", b"echo $x; false").expect("a result");
    assert_eq!((result.output("stdout"), result.bytes("message")), ("5\n".into(), b"1".to_vec()));
}

#[test]
fn messages_of_all_sizes_come_through_unchanged() {
    let agent = Agent::start();
    let mut client = agent.connect();
    client.open("cat", &["/bin/bash", "-c", "exec cat <&3 >&4"], vec![]).expect("it opens");
    for size in [0, 1, 65_535, 65_536, 900_000] {
        let message: Vec<u8> = (0..size).map(|n: usize| (n * 7) as u8).collect();
        assert!(client.call("cat", &message).expect("a result").bytes("message") == message, "{size}");
    }
    assert_eq!(client.call("cat", &vec![0; 900_001]), Err("bad_request".into()));
}

#[test]
fn a_long_answer_leaves_room_for_output_by_cutting_it() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = "head -c 600000 /dev/zero; exec cat <&3 >&4";
    client.open("cat", &["/bin/bash", "-c", script], vec![]).expect("it opens");
    let changes = vec![("keep_bytes", (1 << 20).into())];
    let result = client.call_with("cat", &vec![b'm'; 900_000], changes).expect("a result");
    assert_eq!(result.bytes("message").len(), 900_000);
    assert!(result.field("stdout").number("total") <= 600_000);
}

#[test]
fn all_output_written_before_the_answer_is_in_it() {
    let agent = Agent::start();
    for mode in ["pipes", "pty"] {
        let mut client = agent.connect();
        client.open(mode, &["bash", "-c", EVAL], vec![("mode", mode.into())]).expect("it opens");
        for count in [1, 100, 3000] {
            let script = format!("for ((i = 0; i < {count}; i++)); do echo line; done; echo end");
            let output = client.call(mode, script.as_bytes()).expect("a result").output("stdout");
            assert_eq!((output.lines().count(), output.trim_end().ends_with("end")), (count + 1, true), "{mode}");
        }
        client.ack = client.id;
        client.id += 1000;
    }
}

#[test]
fn a_session_that_is_not_there_is_said_so() {
    let agent = Agent::start();
    let mut client = agent.connect();
    assert_eq!(client.call("none", b""), Err("no_session".into()));
    assert_eq!(
        client.request("signal", vec![("session", "none".into()), ("signal", 2.into())]),
        Err("no_session".into())
    );
}

#[test]
fn a_name_is_used_once_and_a_session_serves_one_call() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", EVAL).expect("it opens");
    assert_eq!(shell(&mut client, "s", EVAL), Err("session_exists".into()));
    let first = client.send("call", call_arguments("s", b"sleep 0.3", vec![]));
    assert_eq!(client.request("call", call_arguments("s", b"true", vec![])), Err("session_busy".into()));
    assert_eq!(client.answer_to(first).expect("a result").text("end"), "message");
    client.request("close", vec![("session", "s".into())]).expect("it closes");
    shell(&mut client, "s", EVAL).expect("the name is free again");
}

#[test]
fn a_leader_that_ends_takes_its_session_along() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", EVAL).expect("it opens");
    let result = client.call("s", b"sleep 1001 & echo bye; exit 7").expect("a result");
    assert_eq!((result.text("end"), result.number("exit_code"), result.flag("alive")), ("exited".into(), 7, false));
    assert_eq!((result.output("stdout"), result.number("killed")), ("bye\n".into(), 1));
    assert_eq!(client.call("s", b"true"), Err("no_session".into()));
    assert_eq!(common::processes_with("sleep 1001"), 0);
}

#[test]
fn a_call_in_time_out_is_interrupted_and_the_session_lives_on() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = format!("trap 'i=1' INT; {EVAL}");
    shell(&mut client, "s", &script).expect("it opens");
    client.call("s", b"x=41; i=; sleep 1002 & :").expect("a result");
    let result = client.call_with("s", b"sleep 1003 & until [ \"$i\" ]; do :; done", short()).expect("a result");
    assert_eq!((result.text("end"), result.flag("interrupted"), result.flag("alive")), ("timeout".into(), true, true));
    assert_eq!((result.bytes("message"), result.number("killed")), (b"0".to_vec(), 1));
    assert_eq!((common::processes_with("sleep 1002"), common::processes_with("sleep 1003")), (1, 0));
    assert_eq!(client.call("s", b"echo $((x + 1))").expect("a result").output("stdout"), "42\n");
}

#[test]
fn a_call_that_ignores_the_interrupt_is_killed_with_its_session() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", EVAL).expect("it opens");
    let result = client.call_with("s", b"trap '' INT; while :; do :; done", short()).expect("a result");
    assert_eq!(
        (result.text("end"), result.flag("interrupted"), result.flag("alive")),
        ("timeout".into(), false, false)
    );
    assert_eq!((result.field("message"), result.number("signal")), (Value::Nil, 9));
    assert_eq!(client.call("s", b"true"), Err("no_session".into()));
}

#[test]
fn output_without_end_is_an_overflow_and_the_session_survives_it() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = format!("trap 'i=1' INT; {EVAL}");
    shell(&mut client, "s", &script).expect("it opens");
    let changes = vec![("max_output_bytes", 300_000.into())];
    let result = client.call_with("s", b"yes", changes).expect("a result");
    assert_eq!((result.text("end"), result.flag("interrupted"), result.flag("alive")), ("overflow".into(), true, true));
    assert_eq!(client.call("s", b"echo $i").expect("a result").output("stdout").lines().last(), Some("1"));
}

#[test]
fn what_is_no_message_kills_the_session() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for (name, garbage) in [("text", "echo hello >&4"), ("flood", "cat /dev/zero >&4"), ("long", "echo 900001 >&4")] {
        shell(&mut client, name, EVAL).expect("it opens");
        let result = client.call(name, garbage.as_bytes()).expect("a result");
        assert_eq!((result.text("end"), result.flag("alive")), ("bad_message".into(), false), "{name}");
        assert_eq!(client.call(name, b"true"), Err("no_session".into()));
    }
}

#[test]
fn an_answer_to_a_message_that_was_not_read_is_none() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", "sleep 0.2; printf '2\\nok' >&4; sleep 100").expect("it opens");
    let result = client.call("s", &vec![b'x'; 500_000]).expect("a result");
    assert_eq!(result.text("end"), "bad_message");
}

#[test]
fn a_message_between_two_calls_answers_none() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = format!("printf '5\\nearly' >&4; {ECHO}");
    shell(&mut client, "s", &script).expect("it opens");
    client.run(&["sleep", "0.2"]);
    assert_eq!(client.call("s", b"asked").expect("a result").bytes("message"), b"asked");
    shell(&mut client, "flood", &format!("for ((i = 0; i < 20000; i++)); do printf '1\\nx'; done >&4; {ECHO}"))
        .expect("opens");
    client.run(&["sleep", "1"]);
    assert_eq!(client.call("flood", b"asked").expect("a result").bytes("message"), b"asked");
}

#[test]
fn output_between_two_calls_belongs_to_the_next() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", EVAL).expect("it opens");
    assert_eq!(client.call("s", b"{ sleep 0.1; echo late; } &").expect("a result").output("stdout"), "");
    client.run(&["sleep", "0.3"]);
    let result = client.call_with("s", b"echo next", vec![("stream", true.into())]).expect("a result");
    assert_eq!(result.output("stdout"), "late\nnext\n");
    let streamed: Vec<u8> = client.events.iter().flat_map(|event| event.bytes("data")).collect();
    assert_eq!(streamed, b"late\nnext\n");
}

#[test]
fn a_program_that_never_reads_costs_only_its_own_call() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", "sleep 1004").expect("it opens");
    let result = client.call_with("s", &vec![0; 900_000], short()).expect("a result");
    assert_eq!((result.text("end"), result.flag("alive")), ("timeout".into(), false));
}

#[test]
fn feed_is_written_to_standard_input_at_each_call() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let script = "while read -r line; do printf '%s\\n%s' \"${#line}\" \"$line\" >&4; done";
    client.open("s", &["bash", "-c", script], vec![("feed", bin(b"go\n"))]).expect("it opens");
    for _ in 0..3 {
        assert_eq!(client.call("s", b"").expect("a result").bytes("message"), b"go");
    }
    client.open("deaf", &["bash", "-c", ECHO], vec![("feed", bin(&vec![0; 300_000]))]).expect("it opens");
    for _ in 0..20 {
        assert_eq!(client.call("deaf", b"hi").expect("a result").bytes("message"), b"hi");
    }
}

#[test]
fn without_feed_standard_input_is_empty() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", EVAL).expect("it opens");
    assert_eq!(client.call("s", b"cat; readlink /proc/self/fd/0").expect("a result").output("stdout"), "/dev/null\n");
}

#[test]
fn closing_kills_the_tree_and_ends_a_call_under_way() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", EVAL).expect("it opens");
    client.call("s", b"sleep 1005 & sleep 1005 & :").expect("a result");
    let call = client.send("call", call_arguments("s", b"sleep 1005", vec![]));
    while common::processes_with("sleep 1005") < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let close = client.send("close", vec![("session", "s".into())]);
    let result = client.answer_to(call).expect("a result");
    assert_eq!((result.text("end"), result.number("signal"), result.flag("alive")), ("exited".into(), 9, false));
    assert_eq!(client.answer_to(close).expect("a count").number("killed"), 4);
    assert_eq!(common::processes_with("sleep 1005"), 0);
    assert_eq!(client.request("close", vec![("session", "s".into())]), Err("no_session".into()));
}

#[test]
fn a_signal_reaches_the_leaders_group() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", &format!("trap 'u=1' USR1; {EVAL}")).expect("it opens");
    let signal = |number: u64| vec![("session", "s".into()), ("signal", number.into())];
    assert_eq!(client.call("s", b"true").expect("a result").bytes("message"), b"0");
    client.request("signal", signal(10)).expect("it is sent");
    assert_eq!(client.call("s", b"echo $u").expect("a result").output("stdout"), "1\n");
    for number in [0, 65, 1 << 33] {
        assert_eq!(client.request("signal", signal(number)), Err("bad_request".into()));
    }
    let call = client.send("call", call_arguments("s", b"sleep 1006", vec![]));
    client.request("signal", signal(9)).expect("it is sent");
    assert_eq!(client.answer_to(call).expect("a result").number("signal"), 9);
}

#[test]
fn a_stopped_session_is_continued_to_be_interrupted() {
    let agent = Agent::start();
    let mut client = agent.connect();
    shell(&mut client, "s", &format!("trap 'i=1' INT; {EVAL}")).expect("it opens");
    let result = client.call_with("s", b"kill -STOP $$", short()).expect("a result");
    assert_eq!((result.text("end"), result.flag("interrupted"), result.flag("alive")), ("timeout".into(), true, true));
}

#[test]
fn a_terminal_is_one_and_controls_its_session() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let modes = vec![("mode", "pty".into())];
    client.open("s", &["bash", "-c", EVAL], modes).expect("it opens");
    let script = b"for n in 0 1 2; do [ -t $n ] && echo $n; done; echo tty > /dev/tty; stty size; \
        echo there > $(tty); [ \"$(ps -o tpgid= -p $$)\" -gt 0 ] && echo controlling";
    let result = client.call("s", script).expect("a result");
    assert_eq!(result.output("stdout").replace('\r', ""), "0\n1\n2\ntty\n24 80\nthere\ncontrolling\n");
    assert_eq!(result.field("stderr").number("total"), 0);
}

#[test]
fn an_interactive_shell_on_a_terminal_runs_commands_in_the_foreground_that_are_interrupted() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let arguments = vec![("mode", "pty".into()), ("feed", bin(b"__step\n"))];
    client.open("s", &["bash", "--noprofile", "--norc", "--noediting", "-i"], arguments).expect("it opens");
    // Without the loop's own definitions the line fails, and nothing answers.
    let result = client.call_with("s", b"x", short()).expect("a result");
    assert_eq!((result.text("end"), result.flag("alive")), ("timeout".into(), false));
    assert!(result.output("stdout").contains("__step: command not found"));
}

/// The interactive shell that sessions of bash use: its standard input brings the same lines at each call, its
/// top level reads the message and evaluates it, so that SIGINT takes it back there with its variables.
struct LiveShell<'a> {
    client: &'a mut Client,
}

impl<'a> LiveShell<'a> {
    fn open(client: &'a mut Client) -> Self {
        let env = map(vec![("PATH", "/usr/bin:/bin".into()), ("PS1", "".into()), ("PS2", "".into())]);
        let feed: &[u8] = b"read -r -u 3 n && read -r -N \"$n\" -u 3 cmd && eval \"$cmd\" </dev/null\n\
            __s=$?; printf '%s\\n%s' ${#__s} $__s >&4\n";
        let arguments = vec![("env", env), ("feed", bin(feed))];
        let argv = ["bash", "--noprofile", "--norc", "--noediting", "-i"];
        client.open("sh", &argv, arguments).expect("it opens");
        Self { client }
    }

    fn run(&mut self, command: &str) -> Value {
        self.client.call_with("sh", command.as_bytes(), vec![("timeout_ms", 400.into())]).expect("a result")
    }
}

#[test]
fn a_live_shell_keeps_variables_directory_functions_and_status() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut shell = LiveShell::open(&mut client);
    assert_eq!(shell.run("x=1; cd /usr; f() { echo f$x; }; false").bytes("message"), b"1");
    assert_eq!(shell.run("f; pwd; cat; echo err >&2").output("stdout"), "f1\n/usr\n");
    assert_eq!(shell.run("printf 'two\\nlines'\n# a comment\necho \"it's\"").output("stdout"), "two\nlinesit's\n");
    assert_eq!(shell.run("(exit 42)").bytes("message"), b"42");
    let result = shell.run("if then");
    assert!(result.output("stderr").contains("syntax error"));
    assert_eq!(shell.run("f").output("stdout"), "f1\n");
}

#[test]
fn a_live_shell_in_an_endless_loop_is_interrupted_and_keeps_its_variables() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut shell = LiveShell::open(&mut client);
    shell.run("x=kept");
    for command in
        ["while :; do :; done", "sleep 1007", "sleep 1007 | cat", "yes > /dev/null", "read -r y < <(sleep 1007)"]
    {
        let result = shell.run(command);
        assert_eq!((result.text("end"), result.flag("interrupted")), ("timeout".into(), true), "{command}");
        assert!(result.flag("alive"), "{command}");
        assert_eq!(result.bytes("message"), b"130", "{command}");
        assert_eq!(shell.run("echo $x").output("stdout"), "kept\n", "{command}");
    }
    assert_eq!(common::processes_with("sleep 1007"), 0);
}
