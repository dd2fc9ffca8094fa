//! `MessagePack`, read in place and written by hand.
//!
//! The reader allocates nothing: [`validate`] walks a whole frame once, without recursion, and refuses what is
//! cut short, nested too deep or followed by more; after that [`Map::get`] finds a value by walking again. A
//! request has a dozen fields and a large one is skipped by its length, so this costs less than building a tree,
//! and no input can make the agent allocate more than the frame itself.

/// Containers inside containers, the outermost included.
pub const MAX_DEPTH: usize = 32;

/// Why a frame is refused; the connection that carried it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    CutShort,
    TooDeep,
    UnknownType,
    NotAMap,
    KeyNotAString,
    TrailingBytes,
}

/// One value, borrowed from the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Always negative: what is not is `Unsigned`, however it was encoded.
    Negative(i64),
    Float,
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Ext,
    Array(Array<'a>),
    Map(Map<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array<'a> {
    count: usize,
    body: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map<'a> {
    count: usize,
    body: &'a [u8],
}

type Parsed<'a, T> = Result<(T, &'a [u8]), Malformed>;

/// Checks that `frame` is exactly one map with string keys, at most [`MAX_DEPTH`] deep.
pub fn validate(frame: &[u8]) -> Result<Map<'_>, Malformed> {
    let rest = skip(frame)?;
    let (Value::Map(map), _) = head(frame)? else {
        return Err(Malformed::NotAMap);
    };
    if !rest.is_empty() {
        return Err(Malformed::TrailingBytes);
    }
    if map.entries().any(|(key, _)| !matches!(key, Value::Str(_))) {
        return Err(Malformed::KeyNotAString);
    }
    Ok(map)
}

impl<'a> Map<'a> {
    /// The value of `key`; the first one if a key repeats.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.entries().find_map(|(name, value)| match name {
            Value::Str(name) if name == key.as_bytes() => Some(value),
            _ => None,
        })
    }

    pub fn entries(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let mut values = Values { left: self.count.saturating_mul(2), body: self.body };
        std::iter::from_fn(move || Some((values.next()?, values.next()?)))
    }
}

impl<'a> Array<'a> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn items(&self) -> impl Iterator<Item = Value<'a>> {
        Values { left: self.count, body: self.body }
    }
}

/// Values one behind the other. Ends early where the bytes do, which validated input never shows.
struct Values<'a> {
    left: usize,
    body: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (value, _) = head(self.body).ok()?;
        self.body = skip(self.body).ok()?;
        Some(value)
    }
}

/// The input behind one complete value. Iterative: the depth is bounded by a fixed array, not by the stack.
fn skip(mut input: &[u8]) -> Result<&[u8], Malformed> {
    let mut pending = [0_usize; MAX_DEPTH];
    let mut depth = 0;
    loop {
        let (value, rest) = head(input)?;
        input = rest;
        if let Some(children) = children(&value) {
            let level = pending.get_mut(depth).ok_or(Malformed::TooDeep)?;
            if children > 0 {
                *level = children;
                depth += 1;
                continue;
            }
        }
        while depth > 0 {
            pending[depth - 1] -= 1;
            if pending[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return Ok(input);
        }
    }
}

fn children(value: &Value) -> Option<usize> {
    match value {
        Value::Array(array) => Some(array.count),
        Value::Map(map) => Some(map.count.saturating_mul(2)),
        _ => None,
    }
}

/// The value that `input` begins with and what stands behind it: for a container, its first child.
fn head(input: &[u8]) -> Parsed<'_, Value<'_>> {
    let (&tag, rest) = input.split_first().ok_or(Malformed::CutShort)?;
    match tag {
        0x00..=0x7f => Ok((Value::Unsigned(u64::from(tag)), rest)),
        0xe0..=0xff => Ok((Value::Negative(i64::from(tag as i8)), rest)),
        0x80..=0x8f => Ok(map(usize::from(tag & 0x0f), rest)),
        0x90..=0x9f => Ok(array(usize::from(tag & 0x0f), rest)),
        0xa0..=0xbf => string(usize::from(tag & 0x1f), rest),
        0xc0 => Ok((Value::Nil, rest)),
        0xc1 => Err(Malformed::UnknownType),
        0xc2 | 0xc3 => Ok((Value::Bool(tag == 0xc3), rest)),
        0xc4..=0xc6 => sized(1 << (tag - 0xc4), rest).map(|(bytes, rest)| (Value::Bin(bytes), rest)),
        0xc7..=0xc9 => extension(1 << (tag - 0xc7), rest),
        0xca => skipped(4, Value::Float, rest),
        0xcb => skipped(8, Value::Float, rest),
        0xcc..=0xcf => number(1 << (tag - 0xcc), rest).map(|(n, rest)| (Value::Unsigned(n), rest)),
        0xd0..=0xd3 => signed(1 << (tag - 0xd0), rest),
        0xd4..=0xd8 => skipped(1 + (1 << (tag - 0xd4)), Value::Ext, rest),
        0xd9..=0xdb => sized(1 << (tag - 0xd9), rest).map(|(bytes, rest)| (Value::Str(bytes), rest)),
        0xdc | 0xdd => length(2 << (tag - 0xdc), rest).map(|(count, rest)| array(count, rest)),
        0xde | 0xdf => length(2 << (tag - 0xde), rest).map(|(count, rest)| map(count, rest)),
    }
}

fn array(count: usize, body: &[u8]) -> (Value<'_>, &[u8]) {
    (Value::Array(Array { count, body }), body)
}

fn map(count: usize, body: &[u8]) -> (Value<'_>, &[u8]) {
    (Value::Map(Map { count, body }), body)
}

fn string(count: usize, rest: &[u8]) -> Parsed<'_, Value<'_>> {
    take(count, rest).map(|(bytes, rest)| (Value::Str(bytes), rest))
}

fn take(count: usize, input: &[u8]) -> Parsed<'_, &[u8]> {
    input.split_at_checked(count).ok_or(Malformed::CutShort)
}

fn skipped<'a>(count: usize, value: Value<'a>, input: &'a [u8]) -> Parsed<'a, Value<'a>> {
    take(count, input).map(|(_, rest)| (value, rest))
}

fn number(width: usize, input: &[u8]) -> Parsed<'_, u64> {
    let (bytes, rest) = take(width, input)?;
    Ok((bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)), rest))
}

fn signed(width: usize, input: &[u8]) -> Parsed<'_, Value<'_>> {
    let (raw, rest) = number(width, input)?;
    let unused = 64 - 8 * width as u32;
    let value = (raw << unused) as i64 >> unused;
    Ok((u64::try_from(value).map_or(Value::Negative(value), Value::Unsigned), rest))
}

fn length(width: usize, input: &[u8]) -> Parsed<'_, usize> {
    let (count, rest) = number(width, input)?;
    Ok((usize::try_from(count).map_err(|_| Malformed::CutShort)?, rest))
}

fn sized(width: usize, input: &[u8]) -> Parsed<'_, &[u8]> {
    let (count, rest) = length(width, input)?;
    take(count, rest)
}

fn extension(width: usize, input: &[u8]) -> Parsed<'_, Value<'_>> {
    let (count, rest) = length(width, input)?;
    skipped(count.saturating_add(1), Value::Ext, rest)
}

/// Writes one value after the other behind a buffer; the caller says how many a container holds.
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn map(&mut self, count: usize) -> &mut Self {
        self.container(0x80, 0xde, count)
    }

    pub fn array(&mut self, count: usize) -> &mut Self {
        self.container(0x90, 0xdc, count)
    }

    fn container(&mut self, short: u8, long: u8, count: usize) -> &mut Self {
        match (u8::try_from(count), u16::try_from(count)) {
            (Ok(count @ ..16), _) => self.0.push(short | count),
            (_, Ok(count)) => self.tagged(long, &count.to_be_bytes()),
            _ => self.tagged(long + 1, &(count as u32).to_be_bytes()),
        }
        self
    }

    pub fn str(&mut self, text: &str) -> &mut Self {
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(count @ ..32), _) => self.0.push(0xa0 | count),
            (Ok(count), _) => self.tagged(0xd9, &[count]),
            (_, Ok(count)) => self.tagged(0xda, &count.to_be_bytes()),
            _ => self.tagged(0xdb, &(text.len() as u32).to_be_bytes()),
        }
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// One `bin`, given in pieces.
    pub fn bin(&mut self, pieces: &[&[u8]]) -> &mut Self {
        let count: usize = pieces.iter().map(|piece| piece.len()).sum();
        match (u8::try_from(count), u16::try_from(count)) {
            (Ok(count), _) => self.tagged(0xc4, &[count]),
            (_, Ok(count)) => self.tagged(0xc5, &count.to_be_bytes()),
            _ => self.tagged(0xc6, &(count as u32).to_be_bytes()),
        }
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
        self
    }

    pub fn unsigned(&mut self, number: u64) -> &mut Self {
        match (u8::try_from(number), u32::try_from(number)) {
            (Ok(number @ ..0x80), _) => self.0.push(number),
            (Ok(number), _) => self.tagged(0xcc, &[number]),
            (_, Ok(number)) => self.tagged(0xce, &number.to_be_bytes()),
            _ => self.tagged(0xcf, &number.to_be_bytes()),
        }
        self
    }

    pub fn optional(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.unsigned(number),
            None => self.nil(),
        }
    }

    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.0.push(if value { 0xc3 } else { 0xc2 });
        self
    }

    pub fn nil(&mut self) -> &mut Self {
        self.0.push(0xc0);
        self
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(bytes);
    }
}
