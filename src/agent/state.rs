//! What a restarted endpoint needs to come back into its session (W3.4): a resume token, and numbers for its requests
//! that it has not used before.

use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use url::Url;

/// Requests that one run of an endpoint has numbers for: more than a session's limits let it ask for in years.
const REQUESTS_OF_A_RUN: u64 = 1 << 32;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Tokens go to the broker they came from, and to no other.
    server: String,
    resume: String,
    /// The last number that requests before this run may have.
    requests: u64,
}

/// A file that only its owner reads.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    server: Url,
    requests: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("{0} can be read by others: `chmod 600` it, or delete it to begin anew")]
    Open(PathBuf),
    #[error("{0} is not a state file: delete it to begin anew")]
    Damaged(PathBuf),
    #[error("{0} belongs to a session at {1}")]
    Elsewhere(PathBuf, String),
}

impl StateFile {
    /// The file and the token in it, if there is one.
    pub fn open(path: &Path, server: &Url) -> Result<(Self, Option<String>), StateError> {
        let io = |error| StateError::Io(path.to_owned(), error);
        let fresh = Self { path: path.to_owned(), server: server.clone(), requests: 0 };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((fresh, None)),
            Err(error) => return Err(io(error)),
        };
        if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
            return Err(StateError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let kept: Kept = serde_json::from_str(&text).map_err(|_| StateError::Damaged(path.to_owned()))?;
        if kept.server != server.as_str() {
            return Err(StateError::Elsewhere(path.to_owned(), kept.server));
        }
        let requests = kept.requests.saturating_add(REQUESTS_OF_A_RUN);
        Ok((Self { requests, ..fresh }, Some(kept.resume)))
    }

    /// After which number this run's requests begin.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Replaces the token. What was there before stands until the new one is whole on disk.
    pub fn keep(&self, resume: &str) -> Result<(), StateError> {
        let kept = Kept { server: self.server.to_string(), resume: resume.to_owned(), requests: self.requests };
        let written = serde_json::to_string(&kept).map_err(io::Error::from);
        let written = written.and_then(|text| replace(&self.path, text.as_bytes()));
        written.map_err(|error| StateError::Io(self.path.clone(), error))
    }

    /// The session is over: nothing leads back into it.
    pub fn forget(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.path.display(), "the state file could not be removed");
        }
    }
}

/// Writes a file that only its owner reads, in place of the one that is there, which stands until the new one is whole.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    // Left by a run that was cut off; its mode may be anything.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn w3_4_a_token_is_kept_for_its_owner_and_its_broker_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, here) = (dir.path().join("state"), "https://help.example.org:8443".parse().unwrap());
        let (file, token) = StateFile::open(&path, &here).unwrap();
        assert_eq!((token, file.requests()), (None, 0));
        file.keep("first").unwrap();
        file.keep("second").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (again, token) = StateFile::open(&path, &here).unwrap();
        assert_eq!(token.as_deref(), Some("second"));
        assert!(again.requests() >= REQUESTS_OF_A_RUN);
        again.keep("third").unwrap();
        assert!(StateFile::open(&path, &here).unwrap().0.requests() >= 2 * REQUESTS_OF_A_RUN);

        let elsewhere = "https://other.example.org".parse().unwrap();
        assert!(matches!(StateFile::open(&path, &elsewhere), Err(StateError::Elsewhere(..))));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(StateFile::open(&path, &here), Err(StateError::Open(_))));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"{}").unwrap();
        assert!(matches!(StateFile::open(&path, &here), Err(StateError::Damaged(_))));
        again.forget();
        assert_eq!(StateFile::open(&path, &here).unwrap().1, None);
    }
}
