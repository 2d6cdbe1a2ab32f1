//! Characters and named keys as the keys of an X keyboard. What the keyboard does not have is lent one of its unused
//! keys.

use super::DesktopError;
use std::collections::HashMap;
use x11rb::{
    connection::Connection,
    protocol::xproto::{ConnectionExt as _, Keycode},
    rust_connection::RustConnection,
};

const SHIFT: u32 = 0xffe1;
/// Unused keys that are lent in turn, so that a program reads the last loan before the next one.
const LENT_MAX: usize = 16;

pub struct Keyboard {
    keys: HashMap<u32, (Keycode, bool)>,
    unused: Vec<Keycode>,
    lent: usize,
    per_key: u8,
}

impl Keyboard {
    pub fn read(connection: &RustConnection) -> Result<Self, DesktopError> {
        let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
        let mapping = connection.get_keyboard_mapping(first, last - first + 1)?.reply()?;
        let per_key = mapping.keysyms_per_keycode.max(1);
        let (mut keys, mut unused) = (HashMap::new(), Vec::new());
        for (code, syms) in (first..=last).zip(mapping.keysyms.chunks(usize::from(per_key))) {
            if syms.iter().all(|sym| *sym == 0) {
                unused.push(code);
            }
            for (column, sym) in syms.iter().take(2).enumerate().filter(|(_, sym)| **sym != 0) {
                let known = keys.entry(*sym).or_insert((code, column == 1));
                // A key that needs no shift is better.
                if known.1 && column == 0 {
                    *known = (code, false);
                }
            }
        }
        unused.truncate(LENT_MAX);
        Ok(Self { keys, unused, lent: 0, per_key })
    }

    pub fn shift(&self) -> Keycode {
        self.keys.get(&SHIFT).map_or(50, |(key, _)| *key)
    }

    /// The key of a keysym, and whether it wants shift.
    pub fn key(&mut self, connection: &RustConnection, keysym: u32) -> Result<(Keycode, bool), DesktopError> {
        if let Some(known) = self.keys.get(&keysym) {
            return Ok(*known);
        }
        if self.unused.is_empty() {
            return Err(DesktopError::Unfit("the keyboard has no key for that, and none to lend"));
        }
        let key = self.unused[self.lent % self.unused.len()];
        self.lent += 1;
        self.keys.retain(|_, (known, _)| *known != key);
        connection.change_keyboard_mapping(1, key, self.per_key, &vec![keysym; usize::from(self.per_key)])?.check()?;
        self.keys.insert(keysym, (key, false));
        Ok((key, false))
    }
}

/// The keysym of a character: Latin-1 as it is, others by their number, controls as the keys that make them.
pub fn keysym(c: char) -> u32 {
    match c {
        '\n' | '\r' => 0xff0d,
        '\t' => 0xff09,
        '\u{8}' => 0xff08,
        '\u{1b}' => 0xff1b,
        '\u{7f}' => 0xffff,
        ' '..='~' | '\u{a0}'..='\u{ff}' => u32::from(c),
        other => 0x0100_0000 + u32::from(other),
    }
}
