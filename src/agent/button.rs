//! A support button that a rep hands over, or the key of a jump item that a rep pins this end to (P3.17). Its token is made
//! here and kept in the file that the owner of this machine named; the broker is told its hash.

use super::state::replace;
use crate::{client::file::hex, ids::SecretHash};
use data_encoding::BASE64URL_NOPAD;
use std::{io, path::PathBuf};
use zeroize::Zeroizing;

/// One that is not kept yet.
pub struct KeptToken {
    path: PathBuf,
    /// Of the form of a link's token: 128 bits.
    token: Zeroizing<String>,
}

impl KeptToken {
    pub fn draw(path: PathBuf) -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 16]);
        getrandom::fill(&mut bytes[..]).map_err(io::Error::other)?;
        Ok(Self { path, token: Zeroizing::new(BASE64URL_NOPAD.encode(&bytes[..])) })
    }

    pub fn hash(&self) -> String {
        hex(&SecretHash::of(self.token.as_bytes()).0)
    }

    /// In place of one that was kept before.
    pub fn keep(&self) -> io::Result<()> {
        replace(&self.path, self.token.as_bytes())
    }
}
