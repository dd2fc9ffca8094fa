//! A session or a run: one program, its descriptors, and the request that waits for it.
//!
//! The request's window goes waiting → interrupted → sweeping or killed:
//!
//!   - *waiting* for a message or for the leader's end;
//!   - *interrupted* once time or output is used up: SIGINT was sent, the grace period runs;
//!   - *sweeping* when a message came in the grace period: what the call started is killed, the session lives on;
//!   - *ending*: the whole tree is being killed; the answer is given when the keeper says that it is empty.
//!
//! Methods never block and send nothing themselves: they leave replies and events for the server to take.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::channel::{BadMessage, Outgoing, Parser};
use crate::frame::MAX_FRAME;
use crate::keeper::{Report, REPORT_SIZE};
use crate::killing::{Killing, Sweep};
use crate::output::Output;
use crate::process::{self, Failure, Program, Started, Wiring, FAILURE_SIZE};
use crate::protocol::{self, End, Limits, Outcome, Refusal};
use crate::sys::{self, Pid};
use crate::tree::Moment;

/// What a session keeps of each stream before its first call says how much.
const KEEP_AT_FIRST: usize = 256 * 1024;
/// A program not exec'd by then was stopped on the way there, by another process of its uid.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A call whose new processes are not all dead by then ends the session instead.
const SWEEP_LIMIT: Duration = Duration::from_secs(2);

/// A descriptor of a job, by its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
    Stdin,
    MessagesOut,
    Exec,
    Reports,
    MessagesIn,
}

pub struct Job {
    /// A session's name; a run has none.
    pub name: Option<String>,
    keeper: Pid,
    leader: Option<Pid>,
    reports: OwnedFd,
    exec: Option<OwnedFd>,
    opening: Option<u64>,
    start_limit: Option<Instant>,
    stdin: Option<Outgoing>,
    feed: Vec<u8>,
    messages_out: Option<Outgoing>,
    messages_in: Option<OwnedFd>,
    parser: Parser,
    outputs: [Output; 2],
    terminal: Option<OwnedFd>,
    window: Option<Window>,
    status: Option<i32>,
    killing: Option<Killing>,
    closing: Vec<u64>,
    gone: Option<Gone>,
    replies: Vec<(u64, Vec<u8>)>,
    events: Vec<Vec<u8>>,
}

/// How a job's end was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The keeper said that the tree is empty.
    Empty,
    /// The keeper itself was killed: its tree may live on, elsewhere.
    KeeperLost,
}

struct Window {
    id: u64,
    started: Instant,
    limits: Limits,
    /// When a call began; a run's tree ends with it, so nothing need be told apart.
    since: Option<Moment>,
    phase: Phase,
}

enum Phase {
    Waiting,
    Interrupted { cause: End, until: Instant },
    Sweeping { cause: End, until: Instant, sweep: Sweep, message: Vec<u8> },
    Ending { end: End, interrupted: bool },
}

impl Job {
    pub fn open(
        id: u64,
        name: &str,
        program: &Program,
        terminal: bool,
        feed: &[u8],
        now: Instant,
    ) -> Result<Self, Failure> {
        let wiring = Wiring { terminal, stdin: !feed.is_empty(), channel: true };
        let mut job = Self::new(process::start(program, wiring)?, KEEP_AT_FIRST, now);
        job.name = Some(name.to_owned());
        job.opening = Some(id);
        job.feed = feed.to_vec();
        Ok(job)
    }

    pub fn run(id: u64, program: &Program, stdin: &[u8], limits: Limits, now: Instant) -> Result<Self, Failure> {
        let wiring = Wiring { terminal: false, stdin: true, channel: false };
        let mut job = Self::new(process::start(program, wiring)?, limits.keep_bytes, now);
        job.window = Some(Window { id, started: now, limits, since: None, phase: Phase::Waiting });
        if let Some(input) = &mut job.stdin {
            input.push(stdin);
            input.finish();
        }
        Ok(job)
    }

    fn new(started: Started, keep_bytes: usize, now: Instant) -> Self {
        let terminal = started.terminal.is_some();
        let (messages_out, messages_in) = started.messages.unzip();
        Self {
            name: None,
            keeper: started.keeper,
            leader: None,
            reports: started.reports,
            exec: Some(started.exec),
            opening: None,
            start_limit: Some(now + START_LIMIT),
            stdin: started.stdin.map(Outgoing::new),
            feed: Vec::new(),
            messages_out: messages_out.map(Outgoing::new),
            messages_in,
            parser: Parser::default(),
            outputs: [
                Output::new("stdout", Some(started.stdout), terminal, keep_bytes),
                Output::new("stderr", started.stderr, terminal, keep_bytes),
            ],
            terminal: started.terminal,
            window: None,
            status: None,
            killing: None,
            closing: Vec::new(),
            gone: None,
            replies: Vec::new(),
            events: Vec::new(),
        }
    }

    // --- What the server asks for -------------------------------------------------------------------------

    pub fn call(&mut self, id: u64, message: &[u8], limits: Limits, now: Instant) -> Result<(), Refusal> {
        if self.window.is_some() || self.opening.is_some() {
            return Err(Refusal::new("session_busy", "a request is under way"));
        }
        for output in &mut self.outputs {
            output.keep(limits.keep_bytes);
        }
        self.window = Some(Window { id, started: now, limits, since: Some(Moment::now()), phase: Phase::Waiting });
        self.stream_what_came_before();
        if let Some(channel) = &mut self.messages_out {
            channel.push(format!("{}\n", message.len()).as_bytes());
            channel.push(message);
        }
        if let Some(stdin) = &mut self.stdin {
            // A program that never reads its input does not make the queue grow from call to call.
            if stdin.pending() + self.feed.len() <= MAX_FRAME {
                stdin.push(&self.feed);
            }
        }
        Ok(())
    }

    /// Kills the tree; the answer comes when it is empty.
    pub fn close(&mut self, id: u64, now: Instant) {
        self.closing.push(id);
        self.kill_tree(now);
    }

    /// As `close`, for a server that kills all at once and answers by itself.
    pub fn stop(&mut self, now: Instant, kill: bool) {
        if self.status.is_none() {
            self.status = Some(libc::SIGKILL);
        }
        if let Some(window) = &mut self.window {
            window.phase = Phase::Ending { end: End::Exited, interrupted: false };
        }
        if kill {
            self.kill_tree(now);
        }
    }

    pub fn signal(&self, signal: i32) {
        if let (Some(leader), None) = (self.leader, self.status) {
            let _ = sys::kill(-leader, signal);
        }
    }

    /// False once the program has ended or is being killed: it takes no more requests.
    pub fn is_open(&self) -> bool {
        self.killing.is_none() && self.status.is_none() && self.gone.is_none()
    }

    pub fn keeper(&self) -> Pid {
        self.keeper
    }

    pub fn gone(&self) -> Option<Gone> {
        self.gone
    }

    pub fn killed(&self) -> usize {
        self.killing.as_ref().map_or(0, Killing::killed)
    }

    pub fn take_replies(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.replies)
    }

    pub fn take_events(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.events)
    }

    // --- Readiness ----------------------------------------------------------------------------------------

    /// What to poll for. Reports come after output and before messages, so that of what happened at once, all
    /// output is read first and an answer knows whether its program still lives.
    pub fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>, PollFlags)> {
        let [stdout, stderr] = &self.outputs;
        let messages = self.messages_in.as_ref().filter(|_| self.killing.is_none());
        [
            (Source::Stdout, stdout.open(), PollFlags::IN),
            (Source::Stderr, stderr.open(), PollFlags::IN),
            (Source::Stdin, self.stdin.as_ref().and_then(Outgoing::blocked), PollFlags::OUT),
            (Source::MessagesOut, self.messages_out.as_ref().and_then(Outgoing::blocked), PollFlags::OUT),
            (Source::Exec, self.exec.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (Source::Reports, Some(self.reports.as_fd()), PollFlags::IN),
            (Source::MessagesIn, messages.map(AsFd::as_fd), PollFlags::IN),
        ]
        .into_iter()
        .filter_map(|(source, fd, flags)| Some((source, fd?, flags)))
    }

    pub fn ready(&mut self, source: Source, scratch: &mut [u8], now: Instant) {
        if self.gone.is_some() {
            return;
        }
        match source {
            Source::Stdout => drop(self.read_output(0, scratch, now)),
            Source::Stderr => drop(self.read_output(1, scratch, now)),
            Source::Stdin => self.stdin.iter_mut().for_each(Outgoing::flush),
            Source::MessagesOut => self.messages_out.iter_mut().for_each(Outgoing::flush),
            Source::Exec => self.read_exec(),
            Source::Reports => self.read_reports(scratch, now),
            Source::MessagesIn => self.read_messages(scratch, now),
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let window = self.window.as_ref().and_then(|window| match &window.phase {
            Phase::Waiting => Some(window.started + window.limits.timeout),
            Phase::Interrupted { until, .. } => Some(*until),
            Phase::Sweeping { sweep, .. } => Some(sweep.next),
            Phase::Ending { .. } => None,
        });
        let killing = self.killing.as_ref().map(|killing| killing.next);
        // While a tree is being killed no other time counts.
        killing.or_else(|| window.into_iter().chain(self.start_limit).min())
    }

    pub fn tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| deadline > now) || self.gone.is_some() {
            return;
        }
        if let Some(killing) = &mut self.killing {
            return killing.pass(now);
        }
        if self.start_limit.is_some_and(|limit| limit <= now) {
            self.start_failed(Failure { call: "exec", errno: Errno::TIMEDOUT });
            return self.kill_tree(now);
        }
        match self.window.as_ref().map(|window| &window.phase) {
            Some(Phase::Waiting) => self.interrupt(End::Timeout, now),
            Some(&Phase::Interrupted { cause, .. }) => self.end(cause, now),
            Some(Phase::Sweeping { .. }) => self.sweep(now),
            Some(Phase::Ending { .. }) | None => {}
        }
    }

    // --- Start --------------------------------------------------------------------------------------------

    /// The leader has exec'd when this ends without a failure.
    fn read_exec(&mut self) {
        let mut bytes = [0; FAILURE_SIZE];
        let Some(exec) = &self.exec else { return };
        match rustix::io::read(exec, &mut bytes) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(FAILURE_SIZE) => self.start_failed(Failure::decode(bytes)),
            _ => {}
        }
        self.exec = None;
        self.confirm_start();
    }

    fn confirm_start(&mut self) {
        let (None, Some(leader)) = (&self.exec, self.leader) else { return };
        self.start_limit = None;
        if let Some(id) = self.opening.take() {
            let reply = protocol::ok(id, 16, |body| body.map(1).str("pid").unsigned(leader as u64));
            self.replies.push((id, reply));
        }
    }

    fn start_failed(&mut self, failure: Failure) {
        self.start_limit = None;
        let waiting = self.opening.take().or(self.window.take().map(|window| window.id));
        if let Some(id) = waiting {
            let refusal = Refusal::new("spawn_failed", failure.to_string());
            self.replies.push((id, protocol::error(id, &refusal)));
        }
    }

    // --- The keeper's reports -----------------------------------------------------------------------------

    fn read_reports(&mut self, scratch: &mut [u8], now: Instant) {
        let mut bytes = [0; 8 * REPORT_SIZE];
        let count = match rustix::io::read(&self.reports, &mut bytes) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(count @ 1..) => count,
            Ok(0) | Err(_) => return self.finish(Gone::KeeperLost, scratch, now),
        };
        // Writers write whole reports and this buffer holds a whole number of them.
        for report in bytes[..count].chunks_exact(REPORT_SIZE).filter_map(|chunk| chunk.try_into().ok()) {
            match Report::decode(report) {
                Report::Started(leader) => {
                    self.leader = Some(leader);
                    self.confirm_start();
                }
                Report::NotStarted(errno) => {
                    let errno = Errno::from_raw_os_error(errno);
                    self.start_failed(Failure { call: "fork", errno });
                }
                Report::Ended(status) => self.leader_ended(status, scratch, now),
                Report::Empty => self.finish(Gone::Empty, scratch, now),
            }
        }
        if self.status.is_some() && self.gone.is_none() {
            self.kill_tree(now);
        }
    }

    fn leader_ended(&mut self, status: i32, scratch: &mut [u8], now: Instant) {
        self.status.get_or_insert(status);
        // An answer may have been written just before the end.
        self.read_messages(scratch, now);
        let killed = self.killing.is_some();
        if let Some(Window { phase, since, .. }) = &mut self.window {
            if let &mut Phase::Interrupted { cause, .. } = phase {
                // A run that ends by itself in the grace period was interrupted as it should be.
                *phase = Phase::Ending { end: cause, interrupted: since.is_none() && !killed };
            }
        }
    }

    /// Everything is dead: reads what is left, answers everybody.
    fn finish(&mut self, gone: Gone, scratch: &mut [u8], now: Instant) {
        self.gone = Some(gone);
        self.drain(scratch);
        if self.opening.is_some() {
            self.start_failed(Failure { call: "exec", errno: Errno::SRCH });
        }
        if let Some(window) = self.window.take() {
            self.answer_at_end(window, now);
        }
        for id in std::mem::take(&mut self.closing) {
            let killed = self.killed() as u64;
            let reply = protocol::ok(id, 16, |body| body.map(1).str("killed").unsigned(killed));
            self.replies.push((id, reply));
        }
    }

    fn answer_at_end(&mut self, window: Window, now: Instant) {
        self.status.get_or_insert(libc::SIGKILL);
        let killed = self.killed();
        let (end, interrupted, message, killed) = match window.phase {
            Phase::Waiting if self.is_over(&window.limits) => (End::Overflow, false, None, killed),
            Phase::Waiting => (End::Exited, false, None, killed),
            Phase::Interrupted { cause, .. } => (cause, false, None, killed),
            Phase::Ending { end, interrupted } => (end, interrupted, None, killed),
            Phase::Sweeping { cause, sweep, message, .. } => (cause, true, Some(message), killed + sweep.killed()),
        };
        self.answer(window.id, window.started, now, end, interrupted, message, killed);
    }

    #[allow(clippy::too_many_arguments)]
    fn answer(
        &mut self,
        id: u64,
        started: Instant,
        now: Instant,
        end: End,
        interrupted: bool,
        message: Option<Vec<u8>>,
        killed: usize,
    ) {
        let [stdout, stderr] = self.outputs.each_mut().map(Output::take);
        let outcome = Outcome {
            end,
            message,
            interrupted,
            alive: self.is_open(),
            killed,
            status: self.status,
            stdout,
            stderr,
            duration: now.duration_since(started),
        };
        self.replies.push((id, protocol::outcome(id, outcome)));
    }

    // --- Output -------------------------------------------------------------------------------------------

    /// Reads once; how much that was.
    fn read_output(&mut self, which: usize, scratch: &mut [u8], now: Instant) -> usize {
        let Some(output) = self.outputs.get_mut(which) else { return 0 };
        let Some(bytes) = output.read(scratch) else { return 0 };
        if let Some(window) = self.window.as_ref().filter(|window| window.limits.stream) {
            self.events.push(protocol::event(window.id, output.name, bytes));
        }
        let count = bytes.len();
        self.check_overflow(now);
        count
    }

    fn check_overflow(&mut self, now: Instant) {
        let over = self
            .window
            .as_ref()
            .is_some_and(|window| matches!(window.phase, Phase::Waiting) && self.is_over(&window.limits));
        if over && self.gone.is_none() && self.status.is_none() {
            self.interrupt(End::Overflow, now);
        }
    }

    fn is_over(&self, limits: &Limits) -> bool {
        self.outputs.iter().map(Output::total).sum::<u64>() > limits.max_output_bytes
    }

    /// Reads what was written before now, and no more: a flood has no end.
    fn drain(&mut self, scratch: &mut [u8]) {
        for which in 0..self.outputs.len() {
            let mut left = self.outputs[which].written_before_now();
            while left > 0 {
                let Some(output) = self.outputs.get_mut(which) else { break };
                let Some(bytes) = output.read(scratch) else { break };
                left = left.saturating_sub(bytes.len());
                if let Some(window) = self.window.as_ref().filter(|window| window.limits.stream) {
                    self.events.push(protocol::event(window.id, output.name, bytes));
                }
            }
        }
    }

    fn stream_what_came_before(&mut self) {
        let Some(window) = self.window.as_ref().filter(|window| window.limits.stream) else { return };
        for output in &self.outputs {
            for piece in output.captured().into_iter().filter(|piece| !piece.is_empty()) {
                self.events.push(protocol::event(window.id, output.name, piece));
            }
        }
    }

    // --- Messages -----------------------------------------------------------------------------------------

    fn read_messages(&mut self, scratch: &mut [u8], now: Instant) {
        let Some(fd) = &self.messages_in else { return };
        let count = match rustix::io::read(fd, &mut *scratch) {
            Ok(count @ 1..) => count,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(0) | Err(_) => return self.messages_in = None,
        };
        let mut messages = Vec::new();
        let mut input = &scratch[..count];
        let mut result = Ok(());
        while !input.is_empty() && result.is_ok() {
            result = self.parser.feed(&mut input).map(|message| messages.extend(message));
        }
        // The first answers, if a call waits; the others answer nothing.
        if let Some(message) = messages.into_iter().next() {
            self.received(message, scratch, now);
        }
        if result == Err(BadMessage) {
            self.end(End::BadMessage, now);
        }
    }

    fn received(&mut self, message: Vec<u8>, scratch: &mut [u8], now: Instant) {
        let Some(window) = &self.window else { return };
        if self.messages_out.as_ref().is_some_and(|queue| queue.pending() > 0) {
            // No answer to a message that was not even read.
            return self.end(End::BadMessage, now);
        }
        match window.phase {
            Phase::Waiting => self.answered(message, scratch, now),
            Phase::Interrupted { cause, .. } => self.begin_sweep(cause, message, now),
            Phase::Sweeping { .. } | Phase::Ending { .. } => {}
        }
    }

    fn answered(&mut self, message: Vec<u8>, scratch: &mut [u8], now: Instant) {
        self.drain(scratch);
        if let Some(window) = self.window.take() {
            let end = if self.is_over(&window.limits) { End::Overflow } else { End::Message };
            self.answer(window.id, window.started, now, end, false, Some(message), 0);
        }
    }

    // --- Interrupting and killing -------------------------------------------------------------------------

    fn interrupt(&mut self, cause: End, now: Instant) {
        for signal in [libc::SIGCONT, libc::SIGINT] {
            self.signal(signal);
            self.signal_foreground(signal);
        }
        if let Some(window) = &mut self.window {
            window.phase = Phase::Interrupted { cause, until: now + window.limits.grace };
        }
    }

    /// On a terminal a shell gives each command a process group of its own.
    fn signal_foreground(&self, signal: i32) {
        if self.terminal.is_none() {
            return;
        }
        // Asked of the agent's side: the other one answers only to processes of its session.
        let group = self.outputs[0].open().and_then(|master| rustix::termios::tcgetpgrp(master).ok());
        if let Some(group) = group.map(|group| group.as_raw_nonzero().get()).filter(|&group| Some(group) != self.leader)
        {
            let _ = sys::kill(-group, signal);
        }
    }

    fn begin_sweep(&mut self, cause: End, message: Vec<u8>, now: Instant) {
        let Some(Window { phase, since: Some(since), .. }) = &mut self.window else { return };
        let sweep = Sweep::begin(self.keeper, self.leader, *since, now);
        *phase = Phase::Sweeping { cause, until: now + SWEEP_LIMIT, sweep, message };
        self.sweep(now);
    }

    fn sweep(&mut self, now: Instant) {
        let Some(Window { phase: Phase::Sweeping { until, sweep, .. }, .. }) = &mut self.window else { return };
        if !sweep.pass(now) {
            if *until <= now {
                self.kill_tree(now);
            }
            return;
        }
        self.drain(&mut [0; 4096]);
        if let Some(Window { id, started, phase: Phase::Sweeping { cause, sweep, message, .. }, .. }) =
            self.window.take()
        {
            self.answer(id, started, now, cause, true, Some(message), sweep.killed());
        }
    }

    /// Ends the whole program, for a reason that the waiting request is told.
    fn end(&mut self, end: End, now: Instant) {
        if let Some(window) = &mut self.window {
            window.phase = Phase::Ending { end, interrupted: false };
        }
        self.kill_tree(now);
    }

    fn kill_tree(&mut self, now: Instant) {
        if self.killing.is_none() {
            self.killing = Some(Killing::begin(self.keeper, now));
        }
    }
}
