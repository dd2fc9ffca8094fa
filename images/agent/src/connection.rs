//! The one connection to the server: frames in, frames out, never blocking.
//!
//! Responses are queued without limit, but no request is read while much is queued, so a server that does not read
//! can only wait. Events are dropped while much is queued: the response holds what counts.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rustix::event::PollFlags;

use crate::frame::{Inbox, MAX_FRAME};

const MUCH: usize = 2 * MAX_FRAME;

pub struct Connection {
    stream: UnixStream,
    inbox: Inbox,
    outbox: VecDeque<Rc<[u8]>>,
    queued: usize,
    /// Of the first frame in the outbox.
    written: usize,
    closing: bool,
}

/// The connection has ended, by the peer's will or by its fault.
#[derive(Debug)]
pub struct Ended;

impl Connection {
    pub fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, inbox: Inbox::default(), outbox: VecDeque::new(), queued: 0, written: 0, closing: false })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.reads());
        flags.set(PollFlags::OUT, !self.outbox.is_empty());
        flags
    }

    fn reads(&self) -> bool {
        self.queued < MUCH && !self.closing
    }

    /// Reads once into the inbox.
    pub fn read(&mut self, scratch: &mut [u8]) -> Result<(), Ended> {
        match self.stream.read(scratch) {
            Ok(0) => Err(Ended),
            Ok(count) => {
                self.inbox.push(&scratch[..count]);
                Ok(())
            }
            Err(error) if is_temporary(&error) => Ok(()),
            Err(_) => Err(Ended),
        }
    }

    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Ended> {
        if !self.reads() {
            return Ok(None);
        }
        self.inbox.next().map_err(|_| Ended)
    }

    pub fn send(&mut self, frame: Rc<[u8]>) {
        self.queued += frame.len();
        self.outbox.push_back(frame);
    }

    pub fn send_event(&mut self, frame: Vec<u8>) {
        if self.queued < MUCH {
            self.send(frame.into());
        }
    }

    /// No more requests; the connection ends when all is sent.
    pub fn close_after_sending(&mut self) {
        self.closing = true;
    }

    pub fn flush(&mut self) -> Result<(), Ended> {
        while let Some(frame) = self.outbox.front() {
            match self.stream.write(&frame[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_temporary(&error) => return Ok(()),
                Err(_) => return Err(Ended),
            }
            if self.written == frame.len() {
                self.queued -= frame.len();
                self.written = 0;
                self.outbox.pop_front();
            }
        }
        if self.closing {
            return Err(Ended);
        }
        Ok(())
    }
}

fn is_temporary(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
