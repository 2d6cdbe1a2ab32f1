//! A support button that a rep hands over, or the key of a jump item that a rep pins this end to (P3.17). Its token is made
//! here and kept in the file that the owner of this machine named; the broker is told its hash.

use super::state::replace;
use crate::{client::file::hex, ids::SecretHash};
use data_encoding::BASE64URL_NOPAD;
use std::{io, path::PathBuf};
use zeroize::Zeroizing;

/// One that is not kept yet: it stands beside its file, for once the broker knows its hash nobody else has it.
pub struct KeptToken {
    path: PathBuf,
    drawn: PathBuf,
    /// Of the form of a link's token: 128 bits.
    token: Zeroizing<String>,
}

impl KeptToken {
    pub fn draw(path: PathBuf) -> io::Result<Self> {
        let mut bytes = Zeroizing::new([0; 16]);
        getrandom::fill(&mut bytes[..]).map_err(io::Error::other)?;
        let token = Zeroizing::new(BASE64URL_NOPAD.encode(&bytes[..]));
        let mut drawn = path.clone().into_os_string();
        drawn.push(".drawn");
        let drawn = PathBuf::from(drawn);
        replace(&drawn, token.as_bytes())?;
        Ok(Self { path, drawn, token })
    }

    pub fn hash(&self) -> String {
        hex(&SecretHash::of(self.token.as_bytes()).0)
    }

    /// In place of one that was kept before.
    pub fn keep(&self) -> io::Result<()> {
        std::fs::rename(&self.drawn, &self.path)
    }
}
