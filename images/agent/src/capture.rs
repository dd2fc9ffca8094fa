//! What is kept of an output stream: its first and its last bytes, and how many there were.
//!
//! Memory grows with what arrives, up to the limit, whatever is written; taking the capture frees it.

use std::collections::VecDeque;

pub struct Capture {
    half: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

/// A finished capture.
#[derive(Default)]
pub struct Kept {
    pub head: Vec<u8>,
    pub tail: VecDeque<u8>,
    pub total: u64,
}

impl Capture {
    pub fn new(keep_bytes: usize) -> Self {
        Self { half: keep_bytes / 2, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.half.saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.push_tail(rest);
    }

    fn push_tail(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(self.half)..];
        let excess = (self.tail.len() + last.len()).saturating_sub(self.half);
        self.tail.drain(..excess.min(self.tail.len()));
        self.tail.extend(last);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// What is held now: head, and the tail in two parts.
    pub fn pieces(&self) -> [&[u8]; 3] {
        let (first, last) = self.tail.as_slices();
        [&self.head, first, last]
    }

    /// Changes how much is kept, also of what has arrived before. Where bytes are missing in the middle already,
    /// the limit cannot grow: the head would go on behind the gap.
    pub fn keep(&mut self, keep_bytes: usize) {
        let gap = self.total > (self.head.len() + self.tail.len()) as u64;
        if gap && keep_bytes / 2 > self.half {
            return;
        }
        let before = std::mem::replace(self, Self::new(keep_bytes));
        if before.total == 0 {
            return;
        }
        for piece in before.pieces() {
            self.push(piece);
        }
        self.total = before.total;
    }

    /// What was kept, with an empty capture left in its place.
    pub fn take(&mut self) -> Kept {
        let empty = Self::new(self.half * 2);
        let Self { head, tail, total, .. } = std::mem::replace(self, empty);
        Kept { head, tail, total }
    }
}

impl Kept {
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Cuts in the middle until at most `room` bytes are left.
    pub fn fit(&mut self, room: usize) {
        let half = room / 2;
        if self.len() <= room {
            return;
        }
        let tail = self.tail.len().min(half.max(room.saturating_sub(self.head.len())));
        self.head.truncate(room - tail);
        self.tail.drain(..self.tail.len() - tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(keep: usize, pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, u64) {
        let mut capture = Capture::new(keep);
        pieces.iter().for_each(|piece| capture.push(piece));
        let kept = capture.take();
        (kept.head, kept.tail.into(), kept.total)
    }

    #[test]
    fn short_output_is_kept_whole_and_in_order() {
        assert_eq!(pushed(8, &[b"ab", b"cdef"]), (b"abcd".to_vec(), b"ef".to_vec(), 6));
    }

    #[test]
    fn long_output_keeps_its_first_and_last_bytes() {
        assert_eq!(pushed(4, &[b"abcdefgh", b"i"]), (b"ab".to_vec(), b"hi".to_vec(), 9));
        assert_eq!(pushed(0, &[b"abc"]), (vec![], vec![], 3));
    }

    #[test]
    fn keeping_less_later_cuts_in_the_middle_and_keeps_the_count() {
        let mut capture = Capture::new(8);
        capture.push(b"abcdefghij");
        capture.keep(4);
        let kept = capture.take();
        assert_eq!((kept.head, Vec::from(kept.tail), kept.total), (b"ab".to_vec(), b"ij".to_vec(), 10));
    }

    #[test]
    fn a_gap_is_never_closed_by_keeping_more() {
        let mut capture = Capture::new(4);
        capture.push(b"abcdefghij");
        capture.keep(100);
        let kept = capture.take();
        assert_eq!((kept.head, Vec::from(kept.tail), kept.total), (b"ab".to_vec(), b"ij".to_vec(), 10));
    }

    #[test]
    fn memory_stays_near_the_limit_whatever_arrives() {
        let mut capture = Capture::new(1000);
        for _ in 0..1000 {
            capture.push(&[7; 4096]);
        }
        assert!(capture.head.capacity() + capture.tail.capacity() <= 4000);
        assert_eq!(capture.total(), 4_096_000);
    }

    #[test]
    fn fitting_never_leaves_more_than_the_room() {
        for (head, tail, room) in [(10, 10, 5), (10, 0, 5), (0, 10, 5), (10, 10, 20), (3, 10, 9), (10, 3, 0)] {
            let mut kept = Kept { head: vec![0; head], tail: vec![0; tail].into(), total: 99 };
            kept.fit(room);
            assert_eq!(kept.len(), room.min(head + tail), "{head} {tail} {room}");
        }
    }
}
