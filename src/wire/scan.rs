//! A strict walk over MessagePack before anything is built from it (H-39…H-43): bounded depth, no trailing bytes, no
//! duplicate keys, no extension types, integers a browser can hold, and no length that the bytes at hand do not bear
//! out. Nothing is allocated by a claimed length.

use super::codec::BadMessage;
use crate::limits;

/// Checks one whole message: a map, and nothing after it.
pub fn check(message: &[u8]) -> Result<(), BadMessage> {
    let mut scan = Scan { cursor: Cursor::new(message), keys: Vec::new() };
    if !message.first().is_some_and(|first| matches!(first, 0x80..=0x8f | 0xde | 0xdf)) {
        return Err(BadMessage::NotAMap);
    }
    scan.value(0)?;
    match scan.cursor.rest.len() {
        0 => Ok(()),
        trailing => Err(BadMessage::Trailing(trailing)),
    }
}

/// What begins at the cursor, its head taken.
enum Item<'a> {
    Nil,
    Bool,
    Uint(u64),
    Int(i64),
    Float(f64),
    Text(&'a [u8]),
    Binary,
    Array(usize),
    Map(usize),
}

/// Reads heads and lengths; never past the end.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The number of entries of the map that begins here.
    pub fn map(&mut self) -> Option<usize> {
        match self.item() {
            Ok(Item::Map(entries)) => Some(entries),
            _ => None,
        }
    }

    pub fn text(&mut self) -> Option<&'a str> {
        match self.item() {
            Ok(Item::Text(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    pub fn uint(&mut self) -> Option<u64> {
        match self.item() {
            Ok(Item::Uint(number)) => Some(number),
            _ => None,
        }
    }

    /// Steps over one value and gives its bytes. The message was checked before, so depth is bounded.
    pub fn value(&mut self) -> Option<&'a [u8]> {
        let before = self.rest;
        let mut left: usize = 1;
        while left > 0 {
            left = left.checked_sub(1)?;
            let inside = match self.item().ok()? {
                Item::Array(items) => items,
                Item::Map(entries) => entries.checked_mul(2)?,
                _ => 0,
            };
            left = left.checked_add(inside)?;
        }
        before.get(..before.len().checked_sub(self.rest.len())?)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BadMessage> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(BadMessage::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A big-endian number of 1, 2, 4 or 8 bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, BadMessage> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn len(&mut self, bytes: usize) -> Result<usize, BadMessage> {
        usize::try_from(self.number(bytes)?).map_err(|_| BadMessage::Truncated)
    }

    fn text_of(&mut self, len: usize) -> Result<Item<'a>, BadMessage> {
        Ok(Item::Text(self.take(len)?))
    }

    fn binary_of(&mut self, len: usize) -> Result<Item<'a>, BadMessage> {
        self.take(len)?;
        Ok(Item::Binary)
    }

    /// An item takes at least a byte, so a claim beyond what is left is refused before anybody believes it.
    fn array_of(&self, items: usize) -> Result<Item<'a>, BadMessage> {
        if items > self.rest.len() { Err(BadMessage::Truncated) } else { Ok(Item::Array(items)) }
    }

    fn map_of(&self, entries: usize) -> Result<Item<'a>, BadMessage> {
        if entries > self.rest.len() / 2 { Err(BadMessage::Truncated) } else { Ok(Item::Map(entries)) }
    }

    fn item(&mut self) -> Result<Item<'a>, BadMessage> {
        let head = *self.take(1)?.first().ok_or(BadMessage::Truncated)?;
        match head {
            0x00..=0x7f => Ok(Item::Uint(u64::from(head))),
            0x80..=0x8f => self.map_of(usize::from(head & 0x0f)),
            0x90..=0x9f => self.array_of(usize::from(head & 0x0f)),
            0xa0..=0xbf => self.text_of(usize::from(head & 0x1f)),
            0xc0 => Ok(Item::Nil),
            0xc2 | 0xc3 => Ok(Item::Bool),
            0xc4 => self.len(1).and_then(|len| self.binary_of(len)),
            0xc5 => self.len(2).and_then(|len| self.binary_of(len)),
            0xc6 => self.len(4).and_then(|len| self.binary_of(len)),
            0xca => Ok(Item::Float(f64::from(f32::from_bits(self.number(4)? as u32)))),
            0xcb => Ok(Item::Float(f64::from_bits(self.number(8)?))),
            0xcc => self.number(1).map(Item::Uint),
            0xcd => self.number(2).map(Item::Uint),
            0xce => self.number(4).map(Item::Uint),
            0xcf => self.number(8).map(Item::Uint),
            0xd0 => Ok(Item::Int(i64::from(self.number(1)? as i8))),
            0xd1 => Ok(Item::Int(i64::from(self.number(2)? as i16))),
            0xd2 => Ok(Item::Int(i64::from(self.number(4)? as i32))),
            0xd3 => Ok(Item::Int(self.number(8)? as i64)),
            0xd9 => self.len(1).and_then(|len| self.text_of(len)),
            0xda => self.len(2).and_then(|len| self.text_of(len)),
            0xdb => self.len(4).and_then(|len| self.text_of(len)),
            0xdc => self.len(2).and_then(|len| self.array_of(len)),
            0xdd => self.len(4).and_then(|len| self.array_of(len)),
            0xde => self.len(2).and_then(|len| self.map_of(len)),
            0xdf => self.len(4).and_then(|len| self.map_of(len)),
            0xe0..=0xff => Ok(Item::Int(i64::from(head as i8))),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => Err(BadMessage::Type(head)),
        }
    }
}

/// The walk: a cursor and the keys of the maps it is inside of, innermost last.
struct Scan<'a> {
    cursor: Cursor<'a>,
    keys: Vec<&'a [u8]>,
}

impl<'a> Scan<'a> {
    fn value(&mut self, depth: usize) -> Result<(), BadMessage> {
        match self.cursor.item()? {
            Item::Uint(number) if number > limits::INTEGER_MAX => Err(BadMessage::Integer),
            Item::Int(number) if number.unsigned_abs() > limits::INTEGER_MAX => Err(BadMessage::Integer),
            Item::Float(number) if !number.is_finite() || (number == 0.0 && number.is_sign_negative()) => {
                Err(BadMessage::Float)
            }
            Item::Text(text) => std::str::from_utf8(text).map(|_| ()).map_err(|_| BadMessage::Text),
            Item::Array(items) => {
                let depth = deeper(depth)?;
                (0..items).try_for_each(|_| self.value(depth))
            }
            Item::Map(entries) => self.map(entries, deeper(depth)?),
            Item::Nil | Item::Bool | Item::Uint(_) | Item::Int(_) | Item::Float(_) | Item::Binary => Ok(()),
        }
    }

    fn map(&mut self, entries: usize, depth: usize) -> Result<(), BadMessage> {
        let outer = self.keys.len();
        for _ in 0..entries {
            let Item::Text(key) = self.cursor.item()? else { return Err(BadMessage::Key) };
            std::str::from_utf8(key).map_err(|_| BadMessage::Text)?;
            self.keys.push(key);
            self.value(depth)?;
        }
        let keys = self.keys.get_mut(outer..).unwrap_or_default();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(BadMessage::DuplicateKey);
        }
        self.keys.truncate(outer);
        Ok(())
    }
}

fn deeper(depth: usize) -> Result<usize, BadMessage> {
    if depth >= limits::MESSAGE_DEPTH_MAX { Err(BadMessage::Depth) } else { Ok(depth.saturating_add(1)) }
}
