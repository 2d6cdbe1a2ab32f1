//! The head file: the last acknowledged turn's number and hash, written after each commit (W5.4). SQLite drops all that
//! follows a damaged frame of its write-ahead log without a word; this file is what remembers that there was more.
//!
//! Two slots, each in a disk block of its own, written in turns: a torn write leaves the other one whole.

use super::{
    OpenError,
    folder::{check_file, private_file, sync_folder},
    row::Hash,
};
use crate::ids::Seq;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"EQPHEAD1";
const SLOT_BYTES: usize = 112;
const SLOT_AT: [u64; 2] = [0, 4096];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub journal: [u8; 16],
    pub seq: Seq,
    pub hash: Hash,
}

#[derive(Debug)]
pub(super) struct HeadFile {
    file: File,
    /// Counts writes; even ones go to the first slot.
    generation: u64,
}

impl HeadFile {
    /// Makes the file of an empty journal, synced in its folder before a database is made beside it.
    pub fn create(path: &Path, head: &Head) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let mut made = Self { file: private_file(path)?, generation: 0 };
        made.file.set_len(SLOT_AT[1] + SLOT_BYTES as u64).map_err(io)?;
        made.write(head).map_err(io)?;
        made.write(head).map_err(io)?;
        made.file.sync_all().map_err(io)?;
        sync_folder(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
        Ok(made)
    }

    /// None where there is no file.
    pub fn open(path: &Path) -> Result<Option<(Self, Head)>, OpenError> {
        if !check_file(path)? {
            return Ok(None);
        }
        let file = private_file(path)?;
        let newest = SLOT_AT.iter().filter_map(|&at| read_slot(&file, at)).max_by_key(|(generation, _)| *generation);
        let (generation, head) = newest.ok_or_else(|| OpenError::NotAJournal {
            path: PathBuf::from(path),
            reason: "neither of its two slots is whole".into(),
        })?;
        Ok(Some((Self { file, generation: generation.saturating_add(1) }, head)))
    }

    /// Synced when it returns. Needs no more disk than the file has.
    pub fn write(&mut self, head: &Head) -> io::Result<()> {
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..16].copy_from_slice(&self.generation.to_be_bytes());
        slot[16..32].copy_from_slice(&head.journal);
        slot[32..40].copy_from_slice(&head.seq.0.to_be_bytes());
        slot[40..72].copy_from_slice(&head.hash);
        let check: Hash = Sha256::digest(&slot[..72]).into();
        slot[72..104].copy_from_slice(&check);
        self.file.write_all_at(&slot, SLOT_AT[usize::from(self.generation % 2 == 1)])?;
        self.file.sync_data()?;
        self.generation += 1;
        Ok(())
    }
}

fn read_slot(file: &File, at: u64) -> Option<(u64, Head)> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, at).ok()?;
    let check: Hash = Sha256::digest(&slot[..72]).into();
    if &slot[..8] != MAGIC || slot[72..104] != check {
        return None;
    }
    let number = |at: usize| slot[at..at + 8].try_into().map(u64::from_be_bytes).ok();
    Some((
        number(8)?,
        Head { journal: slot[16..32].try_into().ok()?, seq: Seq(number(32)?), hash: slot[40..72].try_into().ok()? },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn head(seq: u64) -> Head {
        Head { journal: [4; 16], seq: Seq(seq), hash: [seq as u8; 32] }
    }

    #[test]
    fn w5_4_the_last_head_written_is_the_one_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mut file = HeadFile::create(&path, &head(0)).unwrap();
        for seq in 1..6 {
            file.write(&head(seq)).unwrap();
            let (again, read) = HeadFile::open(&path).unwrap().unwrap();
            assert_eq!(read, head(seq));
            file = again;
        }
    }

    #[test]
    fn w5_4_a_torn_write_leaves_the_head_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mut file = HeadFile::create(&path, &head(0)).unwrap();
        file.write(&head(1)).unwrap();
        let before = fs::read(&path).unwrap();
        file.write(&head(2)).unwrap();
        let after = fs::read(&path).unwrap();
        let changed: Vec<_> = (0..after.len()).filter(|&at| before[at] != after[at]).collect();
        assert!(!changed.is_empty());
        for &at in &changed {
            let mut torn = after.clone();
            torn[at..at + 1].copy_from_slice(&before[at..at + 1]);
            fs::write(&path, &torn).unwrap();
            let (_, read) = HeadFile::open(&path).unwrap().unwrap();
            assert_eq!(read, head(1), "torn at {at}");
        }
    }

    #[test]
    fn h_102_garbage_or_nothing_in_place_of_the_head_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        assert!(HeadFile::open(&path).unwrap().is_none());
        drop(HeadFile::create(&path, &head(0)).unwrap());
        for bytes in [vec![], vec![0; 5000], b"not a head".repeat(900)] {
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(HeadFile::open(&path), Err(OpenError::NotAJournal { .. })));
        }
    }
}
