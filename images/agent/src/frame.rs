//! Frames: a 4-byte big-endian length, then that many bytes.
//!
//! The inbox grows by what has arrived, never by what a header announces, so that a length alone costs nothing;
//! it holds at most one frame and one read more.

/// The longest frame, without its length.
pub const MAX_FRAME: usize = 1 << 20;
const HEADER: usize = 4;

/// A header whose length is 0 or above [`MAX_FRAME`].
#[derive(Debug, PartialEq, Eq)]
pub struct BadLength;

#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length, if it has arrived.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, BadLength> {
        let Some((header, body)) = self.bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*header) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(BadLength);
        }
        if body.len() < length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(HEADER + length);
        let mut frame = std::mem::replace(&mut self.bytes, rest);
        frame.drain(..HEADER);
        Ok(Some(frame))
    }
}

/// A buffer that begins with room for the length that [`seal`] fills in.
pub fn unsealed(capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + capacity);
    bytes.extend_from_slice(&[0; HEADER]);
    bytes
}

/// Writes the length of what was put behind [`unsealed`]'s beginning.
pub fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.len().saturating_sub(HEADER) as u32;
    if let Some(header) = bytes.first_chunk_mut::<HEADER>() {
        *header = length.to_be_bytes();
    }
    bytes
}
