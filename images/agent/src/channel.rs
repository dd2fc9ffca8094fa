//! What goes between the agent and a program over pipes: messages on descriptors 3 and 4, and queued input.
//!
//! A message is its decimal length, a newline, and that many bytes. The program's side is hostile: it may write
//! anything, in any pieces, or never read. So the parser holds at most one message, grown by what has arrived,
//! and writing never blocks: what the pipe does not take waits in a queue that the caller bounds.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 900_000;
const MAX_DIGITS: usize = 6;

/// Bytes on descriptor 4 that are no message.
#[derive(Debug, PartialEq, Eq)]
pub struct BadMessage;

#[derive(Default)]
pub struct Parser {
    digits: usize,
    length: usize,
    /// Set once the newline has come.
    body: Option<Vec<u8>>,
}

impl Parser {
    /// Takes bytes from the front of `input`, up to the end of the first message, which it returns.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, BadMessage> {
        while self.body.is_none() {
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            *input = rest;
            self.header(byte)?;
        }
        let body = self.body.get_or_insert_default();
        let (taken, rest) = input.split_at((self.length - body.len()).min(input.len()));
        body.extend_from_slice(taken);
        *input = rest;
        if body.len() < self.length {
            return Ok(None);
        }
        Ok(std::mem::take(self).body)
    }

    fn header(&mut self, byte: u8) -> Result<(), BadMessage> {
        match byte {
            b'0'..=b'9' if self.digits < MAX_DIGITS => {
                self.digits += 1;
                self.length = self.length * 10 + usize::from(byte - b'0');
            }
            b'\n' if self.digits > 0 && self.length <= MAX_MESSAGE => self.body = Some(Vec::new()),
            _ => return Err(BadMessage),
        }
        Ok(())
    }
}

/// The agent's end of a pipe that brings something to a program.
pub struct Outgoing {
    fd: Option<OwnedFd>,
    waiting: Vec<u8>,
    written: usize,
    close_when_empty: bool,
}

impl Outgoing {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd: Some(fd), waiting: Vec::new(), written: 0, close_when_empty: false }
    }

    /// Queues `bytes` and writes what the pipe takes now.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.fd.is_some() {
            self.waiting.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// The program sees the end of its input behind what is queued.
    pub fn finish(&mut self) {
        self.close_when_empty = true;
        self.flush();
    }

    pub fn pending(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// The descriptor to poll, while something waits.
    pub fn blocked(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| self.pending() > 0).map(AsFd::as_fd)
    }

    pub fn flush(&mut self) {
        while let (Some(fd), true) = (&self.fd, self.pending() > 0) {
            match rustix::io::write(fd, &self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // Nobody reads any more: what is left is for no one.
                Err(_) => self.fd = None,
            }
        }
        self.waiting = Vec::new();
        self.written = 0;
        if self.close_when_empty {
            self.fd = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Result<Vec<Vec<u8>>, BadMessage> {
        let (mut parser, mut messages) = (Parser::default(), Vec::new());
        while !input.is_empty() {
            messages.extend(parser.feed(&mut input)?);
        }
        Ok(messages)
    }

    #[test]
    fn messages_come_out_as_they_were_put_in() {
        assert_eq!(all(b"3\nabc0\n2\n\n\n"), Ok(vec![b"abc".to_vec(), vec![], b"\n\n".to_vec()]));
    }

    #[test]
    fn messages_may_come_byte_by_byte() {
        let mut parser = Parser::default();
        let mut last = None;
        for byte in b"0011\nhello world" {
            assert_eq!(last, None);
            last = parser.feed(&mut std::slice::from_ref(byte)).expect("well formed");
        }
        assert_eq!(last.as_deref(), Some(&b"hello world"[..]));
    }

    #[test]
    fn anything_else_is_refused() {
        for input in [&b"\n"[..], b"a", b"-1\n", b" 1\na", b"900001\n", b"0000001\na", b"1\r\na", b"99999999999999"] {
            assert_eq!(all(input), Err(BadMessage), "{input:?}");
        }
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&mut &b"900000\nx"[..]), Ok(None));
        assert!(parser.body.is_some_and(|body| body.capacity() < 100));
    }
}
