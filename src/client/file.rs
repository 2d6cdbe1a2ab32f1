//! Files as both ends of a transfer handle them (W6.2): a source that must not change while it is read, and a landing
//! that is written beside its target, synced, renamed, and never leaves a partial behind.

use crate::limits;
use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use sha2::{Digest, Sha256};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    time::UNIX_EPOCH,
};

/// Why a file could not be sent or stored. The first word of its text is a stable code.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("not_found: there is no such file or directory")]
    NotFound,
    #[error("no_access: the operating system does not allow it")]
    NoAccess,
    #[error("not_a_file: only regular files are transferred")]
    NotAFile,
    #[error("exists: the target exists and overwriting was not asked for")]
    Exists,
    #[error("not_empty: the directory has something in it")]
    NotEmpty,
    #[error("disk_full: there is no room for it")]
    DiskFull,
    #[error("path_refused: {0}")]
    PathRefused(&'static str),
    #[error("source_changed: the file changed while it was read")]
    SourceChanged,
    #[error("too_large: more bytes came than were declared")]
    TooLarge,
    #[error("too_short: {got} bytes came of {declared}")]
    TooShort { declared: u64, got: u64 },
    #[error("checksum: the bytes differ from what was sent")]
    Checksum,
    #[error("io: {0}")]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Self::NotFound,
            Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => Self::NoAccess,
            Some(rustix::io::Errno::EXIST) => Self::Exists,
            Some(rustix::io::Errno::NOTEMPTY) => Self::NotEmpty,
            Some(rustix::io::Errno::ISDIR) => Self::NotAFile,
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) => Self::DiskFull,
            Some(rustix::io::Errno::LOOP | rustix::io::Errno::XDEV) => Self::PathRefused("links are not followed"),
            _ => Self::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for FileError {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// A regular file opened for sending, and what it was when it was opened.
#[derive(Debug)]
pub struct Source {
    file: File,
    size: u64,
    modified_ms: u64,
    read: u64,
    digest: Sha256,
}

impl Source {
    /// Takes a file that is already open; refuses anything that is not a regular file.
    pub fn new(file: File) -> Result<Self, FileError> {
        let (size, modified_ms) = measure(&file)?;
        Ok(Self { file, size, modified_ms, read: 0, digest: Sha256::new() })
    }

    pub fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Self::new(File::from(fs::open(path, flags, Mode::empty())?))
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Milliseconds since 1970 UTC.
    pub fn modified_ms(&self) -> u64 {
        self.modified_ms
    }

    /// The next bytes, empty at the end. A source that grew, shrank or was touched since it was opened is an error.
    pub fn read(&mut self) -> Result<Vec<u8>, FileError> {
        let mut bytes = vec![0; limits::FILE_BATCH_BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read(&mut bytes[filled..])? {
                0 => break,
                more => filled += more,
            }
        }
        bytes.truncate(filled);
        self.read += bytes.len() as u64;
        self.digest.update(&bytes);
        let unchanged = measure(&self.file)? == (self.size, self.modified_ms);
        if !unchanged || self.read > self.size || (bytes.is_empty() && self.read < self.size) {
            return Err(FileError::SourceChanged);
        }
        Ok(bytes)
    }

    /// Lower-case hexadecimal SHA-256 of what was read.
    pub fn sha256(&self) -> String {
        hex(&self.digest.clone().finalize())
    }
}

/// A file that arrives. Dropping it uncommitted removes what was written.
#[derive(Debug)]
pub struct Landing {
    dir: OwnedFd,
    name: OsString,
    partial: OsString,
    overwrite: bool,
    file: File,
    declared: Option<u64>,
    written: u64,
    digest: Sha256,
    landed: bool,
}

/// A file that stands complete at its target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    pub size: u64,
    pub sha256: String,
}

impl Landing {
    /// Begins a file `name` in an open directory. `declared` is the size that was announced: more is refused as it
    /// comes, and too little room at once.
    pub fn begin(dir: OwnedFd, name: &OsStr, overwrite: bool, declared: Option<u64>) -> Result<Self, FileError> {
        if name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/') {
            return Err(FileError::PathRefused("the name is not that of a file"));
        }
        match fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if fs::FileType::from_raw_mode(there.st_mode) == fs::FileType::Directory => {
                return Err(FileError::NotAFile);
            }
            Ok(_) if !overwrite => return Err(FileError::Exists),
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        room_for(&dir, declared.unwrap_or(0))?;
        let partial = partial_name(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(fs::openat(&dir, &partial, flags, Mode::from_raw_mode(0o644))?);
        let name = name.to_owned();
        Ok(Self { dir, name, partial, overwrite, file, declared, written: 0, digest: Sha256::new(), landed: false })
    }

    /// The size, where it is learnt only after the beginning.
    pub fn declare(&mut self, size: u64) -> Result<(), FileError> {
        self.declared = Some(size);
        room_for(&self.dir, size)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.written += bytes.len() as u64;
        if self.declared.is_some_and(|declared| self.written > declared) {
            return Err(FileError::TooLarge);
        }
        self.digest.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// Checks the bytes against the sender's SHA-256, then syncs, renames and syncs the directory.
    pub fn commit(mut self, sha256: &str) -> Result<Stored, FileError> {
        if let Some(declared) = self.declared
            && self.written != declared
        {
            return Err(FileError::TooShort { declared, got: self.written });
        }
        let ours = hex(&self.digest.clone().finalize());
        if !ours.eq_ignore_ascii_case(sha256) {
            return Err(FileError::Checksum);
        }
        self.file.sync_all()?;
        if self.overwrite {
            fs::renameat(&self.dir, &self.partial, &self.dir, &self.name)?;
        } else {
            rename_new((&self.dir, &self.partial), (&self.dir, &self.name))?;
        }
        self.landed = true;
        fs::fsync(&self.dir)?;
        Ok(Stored { size: self.written, sha256: ours })
    }

    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    pub fn written(&self) -> u64 {
        self.written
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            // Best effort: the directory itself may be gone.
            let _ = fs::unlinkat(&self.dir, &self.partial, AtFlags::empty());
        }
    }
}

/// Opens the directory a local file is to land in, and gives the file's name.
pub fn landing_place(path: &Path) -> Result<(OwnedFd, OsString), FileError> {
    let name = path.file_name().ok_or(FileError::PathRefused("the name is not that of a file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = fs::open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((dir, name.to_owned()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn measure(file: &File) -> Result<(u64, u64), FileError> {
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(FileError::NotAFile);
    }
    let modified = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((facts.len(), u64::try_from(modified.as_millis()).unwrap_or(u64::MAX)))
}

/// A disk that does not say how full it is gets the benefit of the doubt.
fn room_for(dir: &OwnedFd, size: u64) -> Result<(), FileError> {
    match fs::fstatvfs(dir) {
        Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) < size => Err(FileError::DiskFull),
        _ => Ok(()),
    }
}

/// `.name.part-…`, with a random end so that two transfers of one name do not meet.
fn partial_name(name: &OsStr) -> Result<OsString, FileError> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|error| FileError::Io(io::Error::other(error.to_string())))?;
    let kept = name.as_bytes().get(..200).unwrap_or(name.as_bytes());
    let mut partial = OsString::from(".");
    partial.push(OsStr::from_bytes(kept));
    partial.push(format!(".part-{}", hex(&random)));
    Ok(partial)
}

/// Renames without replacing; file systems that cannot say so get a second name and lose the first.
pub fn rename_new((dir, from): (&OwnedFd, &OsStr), (to_dir, to): (&OwnedFd, &OsStr)) -> Result<(), FileError> {
    match fs::renameat_with(dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::linkat(dir, from, to_dir, to, AtFlags::empty())?;
            Ok(fs::unlinkat(dir, from, AtFlags::empty())?)
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn land(dir: &Path, name: &str, overwrite: bool, declared: Option<u64>) -> Result<Landing, FileError> {
        let (dir, name) = landing_place(&dir.join(name)).unwrap();
        Landing::begin(dir, &name, overwrite, declared)
    }

    fn sha256(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn w6_2_a_file_stands_at_its_target_only_when_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut landing = land(dir.path(), "a.txt", false, Some(5)).unwrap();
        landing.write(b"hel").unwrap();
        assert!(!names(dir.path()).contains(&"a.txt".to_owned()));
        landing.write(b"lo").unwrap();
        let stored = landing.commit(&sha256(b"hello")).unwrap();
        assert_eq!(stored, Stored { size: 5, sha256: sha256(b"hello") });
        assert_eq!(names(dir.path()), ["a.txt"]);
        assert_eq!(std::fs::read(dir.path().join("a.txt")).unwrap(), b"hello");
    }

    #[test]
    fn w6_2_no_partial_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut landing = land(dir.path(), "a", false, None).unwrap();
        landing.write(b"half").unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        drop(landing);
        assert!(names(dir.path()).is_empty());

        let mut wrong = land(dir.path(), "a", false, None).unwrap();
        wrong.write(b"half").unwrap();
        assert!(matches!(wrong.commit(&sha256(b"other")), Err(FileError::Checksum)));
        let short = land(dir.path(), "a", false, Some(9)).unwrap();
        assert!(matches!(short.commit(&sha256(b"")), Err(FileError::TooShort { declared: 9, got: 0 })));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn w6_2_overwriting_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"old").unwrap();
        assert!(matches!(land(dir.path(), "a", false, None), Err(FileError::Exists)));
        let mut landing = land(dir.path(), "a", true, None).unwrap();
        landing.write(b"newer").unwrap();
        landing.commit(&sha256(b"newer")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"newer");
    }

    #[test]
    fn w6_2_a_target_made_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut landing = land(dir.path(), "a", false, None).unwrap();
        landing.write(b"ours").unwrap();
        std::fs::write(dir.path().join("a"), b"theirs").unwrap();
        assert!(matches!(landing.commit(&sha256(b"ours")), Err(FileError::Exists)));
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"theirs");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn h_68_more_than_declared_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut landing = land(dir.path(), "a", false, Some(3)).unwrap();
        assert!(matches!(landing.write(b"four"), Err(FileError::TooLarge)));
        assert!(matches!(land(dir.path(), "b", false, Some(u64::MAX)), Err(FileError::DiskFull)));
        drop(landing);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn w6_2_a_full_disk_says_so() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let file = File::options().write(true).open("/dev/full").unwrap();
        let error = (&file).write_all(b"x").unwrap_err();
        assert_eq!(FileError::from(error).to_string(), "disk_full: there is no room for it");
    }

    #[test]
    fn w6_2_a_source_that_changes_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![7; limits::FILE_BATCH_BYTES + 1]).unwrap();
        let mut same = Source::open(&path).unwrap();
        assert_eq!(same.read().unwrap().len(), limits::FILE_BATCH_BYTES);
        assert_eq!(same.read().unwrap(), [7]);
        assert!(same.read().unwrap().is_empty());
        assert_eq!(same.sha256(), sha256(&vec![7; limits::FILE_BATCH_BYTES + 1]));

        let mut grown = Source::open(&path).unwrap();
        grown.read().unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert!(matches!(grown.read(), Err(FileError::SourceChanged)));
    }

    #[test]
    fn only_regular_files_are_sent() {
        assert!(matches!(Source::open(Path::new("/")), Err(FileError::NotAFile)));
        assert!(matches!(Source::open(Path::new("/dev/null")), Err(FileError::NotAFile)));
        assert!(matches!(Source::open(Path::new("/no/such/file")), Err(FileError::NotFound)));
    }
}
