//! The event loop: one thread, one poll, everything else is called from here.
//!
//! A turn waits for the listener or the connection and for the jobs' descriptors, lets each be handled once, looks
//! at the clock, and sends what has come out of it. Nothing running means no deadline, hence no wake-up.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::DumpableBehavior;

use crate::connection::{Connection, Ended};
use crate::files::{self, Roots};
use crate::job::{Gone, Job, Source};
use crate::msgpack;
use crate::orphan::Orphan;
use crate::protocol::{self, Hello, Limits, Open, Operation, Refusal, Request, Run, OVERFLOW_UID};
use crate::registry::{Admission, Registry};
use crate::stop::Stop;
use crate::{list, quiesce, room, sys};

/// For one read of anything. It stays resident, so it is small; a flood takes more turns.
const SCRATCH: usize = 16 * 1024;
/// Sessions and runs at a time: their descriptors stay below the usual limit of 1024.
const MAX_JOBS: usize = 64;

/// Who may connect.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// A process that neither the user namespace nor the pid namespace contains.
    Outside,
    Uid(u32),
}

pub struct Server {
    listener: UnixListener,
    peer: Peer,
    roots: Roots,
    boot_id: String,
    connection: Option<Connection>,
    registry: Registry,
    jobs: Vec<Job>,
    stop: Option<Stop>,
    orphan: Option<Orphan>,
    scratch: Vec<u8>,
}

/// A descriptor that was waited for.
enum Token {
    Listener,
    Connection,
    Job(usize, Source),
}

impl Server {
    pub fn new(
        listener: UnixListener,
        peer: Peer,
        roots: Roots,
        orphan_timeout: Option<Duration>,
    ) -> std::io::Result<Self> {
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            peer,
            roots,
            boot_id: format!("{:032x}", u128::from_be_bytes(random)),
            connection: None,
            registry: Registry::default(),
            jobs: Vec::new(),
            stop: None,
            orphan: orphan_timeout.map(|timeout| Orphan::new(timeout, Instant::now())),
            scratch: vec![0; SCRATCH],
        })
    }

    /// Until no server has come for too long.
    pub fn serve(mut self) {
        self.connect(None, Instant::now());
        loop {
            let ready = self.wait();
            let now = Instant::now();
            for (token, flags) in ready {
                self.handle(&token, flags, now);
            }
            self.clock(now);
            self.settle();
            if self.orphan.as_ref().is_some_and(Orphan::is_over) {
                return self.end();
            }
        }
    }

    // --- Waiting ------------------------------------------------------------------------------------------

    fn wait(&mut self) -> Vec<(Token, PollFlags)> {
        let timeout = self.deadline().map(|deadline| until(deadline, Instant::now()));
        let mut tokens = Vec::new();
        let mut fds = Vec::new();
        if let Some(connection) = &self.connection {
            tokens.push(Token::Connection);
            fds.push(PollFd::from_borrowed_fd(connection.fd(), connection.interest()));
        } else {
            tokens.push(Token::Listener);
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        for (index, job) in self.jobs.iter().enumerate() {
            for (source, fd, flags) in job.sources() {
                tokens.push(Token::Job(index, source));
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        if rustix::event::poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let flags: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        tokens.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        let jobs = self.jobs.iter().filter_map(Job::deadline);
        let stop = self.stop.as_ref().map(|stop| stop.next);
        let orphan = self.orphan.as_ref().and_then(Orphan::deadline);
        jobs.chain(stop).chain(orphan).min()
    }

    fn handle(&mut self, token: &Token, flags: PollFlags, now: Instant) {
        match token {
            Token::Listener => self.accept(now),
            Token::Connection => self.serve_connection(flags, now),
            Token::Job(index, source) => {
                if let Some(job) = self.jobs.get_mut(*index) {
                    job.ready(*source, &mut self.scratch, now);
                }
            }
        }
    }

    fn clock(&mut self, now: Instant) {
        for job in &mut self.jobs {
            job.tick(now);
        }
        if let Some(orphan) = &mut self.orphan {
            orphan.tick(now);
        }
    }

    // --- The connection -----------------------------------------------------------------------------------

    fn accept(&mut self, now: Instant) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let welcome = sys::peer(stream.as_fd()).is_ok_and(|(uid, pid)| match self.peer {
            Peer::Outside => uid == OVERFLOW_UID && pid == 0,
            Peer::Uid(expected) => uid == expected,
        });
        let Some(mut connection) = welcome.then(|| Connection::new(stream).ok()).flatten() else { return };
        let open = self.jobs.iter().filter(|job| job.is_open());
        let hello = Hello {
            boot_id: &self.boot_id,
            sessions: open.filter_map(|job| job.name.as_deref()).collect(),
            acknowledged: self.registry.acknowledged(),
            running: self.registry.running(),
            kept: self.registry.kept(),
        };
        connection.send(protocol::hello(&hello).into());
        let connection = connection.flush().is_ok().then_some(connection);
        self.connect(connection, now);
    }

    /// Without a connection the agent may be dumped, and then it has to be dumpable: the memory of one that was restored
    /// belongs to the user namespace outside, and CRIU asks from within the sandbox's. Nobody else has its uid.
    fn connect(&mut self, connection: Option<Connection>, now: Instant) {
        let dumpable = if connection.is_some() { DumpableBehavior::NotDumpable } else { DumpableBehavior::Dumpable };
        let _ = rustix::process::set_dumpable_behavior(dumpable);
        self.connection = connection;
        if let Some(orphan) = &mut self.orphan {
            orphan.adopted(self.connection.is_some(), now);
        }
    }

    fn serve_connection(&mut self, flags: PollFlags, now: Instant) {
        if self.exchange(flags, now).is_err() {
            self.connect(None, now);
        }
    }

    fn exchange(&mut self, flags: PollFlags, now: Instant) -> Result<(), Ended> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if flags.contains(PollFlags::OUT) {
            connection.flush()?;
        }
        if flags.contains(PollFlags::IN) {
            connection.read(&mut self.scratch)?;
        } else if flags.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            return Err(Ended);
        }
        while let Some(frame) = self.connection.as_mut().map_or(Ok(None), Connection::next_frame)? {
            self.request(&frame, now)?;
        }
        Ok(())
    }

    fn request(&mut self, frame: &[u8], now: Instant) -> Result<(), Ended> {
        let map = msgpack::validate(frame).map_err(|_| Ended)?;
        let request = Request::parse(map).ok_or(Ended)?;
        let id = request.id;
        match self.registry.admit(id, request.ack, &request.done) {
            Admission::Running => {}
            Admission::Kept(response) => self.send(response),
            Admission::Acknowledged => {
                let refusal = Refusal::new("acknowledged", "its response was acknowledged and is forgotten");
                self.send(protocol::error(id, &refusal).into());
            }
            Admission::New => match request.operation().and_then(|operation| self.perform(id, operation, now)) {
                Ok(Some(response)) => self.finish(id, response),
                Ok(None) => {}
                Err(refusal) => self.finish(id, protocol::error(id, &refusal)),
            },
        }
        Ok(())
    }

    fn finish(&mut self, id: u64, response: Vec<u8>) {
        let response = self.registry.finish(id, response);
        self.send(response);
    }

    fn send(&mut self, frame: std::rc::Rc<[u8]>) {
        if let Some(connection) = &mut self.connection {
            connection.send(frame);
        }
    }

    // --- Operations ---------------------------------------------------------------------------------------

    /// The response, or `None` if it comes later.
    fn perform(&mut self, id: u64, operation: Operation, now: Instant) -> Result<Option<Vec<u8>>, Refusal> {
        let roots = &self.roots;
        Ok(Some(match operation {
            Operation::Open(open) => return self.open(id, &open, now).map(|()| None),
            Operation::Run(run) => return self.run(id, &run, now).map(|()| None),
            Operation::Call(call) => return self.call(id, call.session, call.message, call.limits, now).map(|()| None),
            Operation::Close { session } => return self.session(session).map(|job| job.close(id, now)).map(|()| None),
            Operation::Stop => return self.begin_stop(id, now).map(|()| None),
            Operation::Signal { session, signal } => {
                self.session(session)?.signal(signal);
                protocol::ok(id, 8, |body| body.map(0))
            }
            Operation::Write(write) => {
                let size = files::write(roots, &write)?;
                protocol::ok(id, 16, |body| body.map(1).str("size").unsigned(size))
            }
            Operation::Read(read) => respond::content(id, &files::read(roots, &read)?),
            Operation::List(list) => respond::listing(id, &list::list(roots, &list)?),
            Operation::Room(room) => respond::room(id, &room::room(roots, &room)?),
            Operation::Quiesce => self.quiesce(id),
        }))
    }

    fn session(&mut self, name: &str) -> Result<&mut Job, Refusal> {
        let job = self.jobs.iter_mut().find(|job| job.name.as_deref() == Some(name) && job.is_open());
        job.ok_or_else(|| Refusal::new("no_session", "no such session"))
    }

    fn may_start(&self) -> Result<(), Refusal> {
        let refuse = |why| Err(Refusal::new("spawn_failed", why));
        if self.stop.is_some() {
            return refuse("everything is being stopped");
        }
        if self.jobs.len() >= MAX_JOBS {
            return refuse("too many sessions and runs");
        }
        Ok(())
    }

    fn open(&mut self, id: u64, open: &Open, now: Instant) -> Result<(), Refusal> {
        if self.jobs.iter().any(|job| job.name.as_deref() == Some(open.session)) {
            return Err(Refusal::new("session_exists", "a session of that name exists"));
        }
        self.may_start()?;
        let job = Job::open(id, open.session, &open.program, open.terminal, open.feed, now);
        self.jobs.push(job.map_err(|failure| Refusal::new("spawn_failed", failure.to_string()))?);
        Ok(())
    }

    fn run(&mut self, id: u64, run: &Run, now: Instant) -> Result<(), Refusal> {
        self.may_start()?;
        let job = Job::run(id, &run.program, run.stdin, run.limits, now);
        self.jobs.push(job.map_err(|failure| Refusal::new("spawn_failed", failure.to_string()))?);
        Ok(())
    }

    fn call(&mut self, id: u64, session: &str, message: &[u8], limits: Limits, now: Instant) -> Result<(), Refusal> {
        self.session(session)?.call(id, message, limits, now)
    }

    fn begin_stop(&mut self, id: u64, now: Instant) -> Result<(), Refusal> {
        if self.stop.is_some() {
            return Err(Refusal::new("bad_request", "everything is being stopped already"));
        }
        self.stop = Some(Stop::begin(id, &mut self.jobs, now));
        Ok(())
    }

    fn quiesce(&mut self, id: u64) -> Vec<u8> {
        let connection = self.connection.as_ref().map(|connection| connection.fd().as_raw_fd());
        let known = [Some(self.listener.as_raw_fd()), connection];
        let outside = quiesce::leading_outside(&known);
        if let Some(connection) = &mut self.connection {
            connection.close_after_sending();
        }
        protocol::ok(id, 64, |body| {
            body.map(1).str("descriptors").array(outside.len());
            for descriptor in &outside {
                body.str(descriptor);
            }
            body
        })
    }

    // --- What came of it ----------------------------------------------------------------------------------

    fn settle(&mut self) {
        for index in 0..self.jobs.len() {
            let (events, replies) = (self.jobs[index].take_events(), self.jobs[index].take_replies());
            if let Some(connection) = &mut self.connection {
                events.into_iter().for_each(|event| connection.send_event(event));
            }
            replies.into_iter().for_each(|(id, reply)| self.finish(id, reply));
        }
        self.bury();
        self.continue_stop();
        if self.connection.as_mut().is_some_and(|connection| connection.flush().is_err()) {
            self.serve_connection(PollFlags::HUP, Instant::now());
        }
    }

    /// Forgets jobs that are gone.
    fn bury(&mut self) {
        let lost = self.jobs.iter().any(|job| job.gone() == Some(Gone::KeeperLost));
        self.jobs.retain(|job| job.gone().is_none());
        if lost && self.stop.is_none() {
            crate::stop::kill_strays(&self.jobs);
        }
    }

    fn continue_stop(&mut self) {
        let Some(stop) = &mut self.stop else { return };
        if let Some((id, killed)) = stop.proceed(&self.jobs, Instant::now()) {
            self.stop = None;
            let killed = killed as u64;
            self.finish(id, protocol::ok(id, 16, |body| body.map(1).str("killed").unsigned(killed)));
        }
    }

    fn end(mut self) {
        crate::stop::kill_everything(&mut self.jobs);
    }
}

fn until(deadline: Instant, now: Instant) -> Timespec {
    // Rounded up: waking too early would mean turning in circles.
    let left = deadline.saturating_duration_since(now) + Duration::from_micros(50);
    Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
}

mod respond {
    use crate::files::Content;
    use crate::list::Listing;
    use crate::protocol::ok;

    pub fn content(id: u64, content: &Content) -> Vec<u8> {
        ok(id, content.data.len() + 64, |body| {
            body.map(3)
                .str("data")
                .bin(&[&content.data])
                .str("size")
                .unsigned(content.size)
                .str("eof")
                .bool(content.eof)
        })
    }

    pub fn listing(id: u64, listing: &Listing) -> Vec<u8> {
        ok(id, 64 * listing.entries.len(), |body| {
            body.map(2).str("entries").array(listing.entries.len());
            for entry in &listing.entries {
                body.map(4).str("path").str(&entry.path).str("type").str(entry.kind);
                body.str("size").unsigned(entry.size).str("mode").unsigned(u64::from(entry.mode));
            }
            body.str("truncated").bool(listing.truncated)
        })
    }

    pub fn room(id: u64, room: &[bool]) -> Vec<u8> {
        ok(id, 16 + room.len(), |body| {
            body.map(1).str("room").array(room.len());
            for &room in room {
                body.bool(room);
            }
            body
        })
    }
}
