//! A support button that a rep hands over, or the key of a jump item that a rep pins this end to (P3.17). Its token is made
//! here and kept in the file that the owner of this machine named; the broker is told its hash.

use super::state::replace;
use crate::{client::file::hex, ids::SecretHash};
use data_encoding::BASE64URL_NOPAD;
use std::{fs, io, path::PathBuf};
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
        hash(&self.token)
    }

    /// In place of one that was kept before.
    pub fn keep(&self) -> io::Result<()> {
        fs::rename(&self.drawn, &self.path)
    }
}

/// The key of a jump item that this end stands by with, or keeps for that, before it is given up.
pub struct ItemKey {
    key: Zeroizing<String>,
    /// Where it is kept, if it is that one.
    file: Option<PathBuf>,
}

impl ItemKey {
    /// `used`: the key that this end stands by with, if it does.
    pub fn find(used: Option<&str>, file: Option<PathBuf>) -> Option<Self> {
        let kept = file.as_ref().and_then(|file| fs::read_to_string(file).ok()).map(Zeroizing::new);
        match (used, kept) {
            (None, None) => None,
            (None, Some(kept)) => Some(Self { key: kept.trim().to_owned().into(), file }),
            (Some(used), kept) => {
                let is_kept = kept.is_some_and(|kept| kept.trim() == used);
                Some(Self { key: used.to_owned().into(), file: file.filter(|_| is_kept) })
            }
        }
    }

    pub fn hash(&self) -> String {
        hash(&self.key)
    }

    pub fn as_str(&self) -> &str {
        &self.key
    }

    pub fn forget(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), fs::remove_file)
    }
}

fn hash(token: &str) -> String {
    hex(&SecretHash::of(token.as_bytes()).0)
}
