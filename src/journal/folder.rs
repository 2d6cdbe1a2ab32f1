//! The data folder: ours alone. Locked against a second broker (H-103); nothing in it may be a link, a folder in place
//! of a file, or open to other users (H-102).

use super::OpenError;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Holds the lock as long as any clone lives.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: Arc<Lock>,
}

/// Unlocks rather than just closing: a process that is about to be started may hold a copy of the file for a moment.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing unlocks as well, if a little later.
        let _ = self.0.unlock();
    }
}

impl DataFolder {
    /// Makes the folder if there is none, checks it, locks it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        make_folder(path)?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: Arc::new(Lock(lock)) }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path: lock_path, source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of one site, made if there is none. A site's code is checked: it never leads elsewhere.
    pub(super) fn site(&self, site: &str) -> Result<PathBuf, OpenError> {
        if !is_site_name(site) {
            return Err(OpenError::Refused {
                path: self.path.clone(),
                reason: "a site's folder name is 1 to 64 of a-z, 0-9, - and _".into(),
            });
        }
        let sites = sites_of(&self.path);
        make_folder(&sites)?;
        let path = sites.join(site);
        make_folder(&path)?;
        Ok(path)
    }

    /// Bytes that this user may still write on the file system of the folder.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Reads a small private file of at most so many bytes; none where there is none.
    pub fn read_private(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, OpenError> {
        let path = self.path.join(name);
        if !check_file(&path)? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let io = |source| OpenError::Io { path: path.clone(), source };
        private_file(&path)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > bytes_max {
            return Err(OpenError::Refused { path, reason: format!("it is longer than {bytes_max} bytes") });
        }
        Ok(Some(bytes))
    }

    /// Writes a small private file whole, or not at all: beside it, synced, renamed.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), OpenError> {
        replace(&self.path.join(name), bytes)
    }
}

pub(super) fn sites_of(data: &Path) -> PathBuf {
    data.join("sites")
}

pub(super) fn is_site_name(site: &str) -> bool {
    (1..=64).contains(&site.len()) && site.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    if let Err(source) = DirBuilder::new().mode(0o700).create(path)
        && source.kind() != ErrorKind::AlreadyExists
    {
        return Err(OpenError::Io { path: path.to_owned(), source });
    }
    let meta = fs::symlink_metadata(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let refuse = |reason: String| Err(OpenError::Refused { path: path.to_owned(), reason });
    if meta.is_symlink() {
        return refuse("it is a symbolic link; name the folder itself".into());
    }
    if !meta.is_dir() {
        return refuse("it is not a folder".into());
    }
    check_mode(path, meta.permissions().mode(), 0o700)
}

/// Refuses what is there if it is not a plain file of ours alone; nothing there is fine. True if it is there.
pub(super) fn check_file(path: &Path) -> Result<bool, OpenError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
    };
    if !meta.is_file() {
        let what = if meta.is_symlink() { "a symbolic link" } else { "not a plain file" };
        return Err(OpenError::Refused { path: path.to_owned(), reason: format!("it is {what}") });
    }
    check_mode(path, meta.permissions().mode(), 0o600)?;
    Ok(true)
}

fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), OpenError> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let reason = format!("other users may reach it (mode {:04o}); run chmod {wanted:04o} on it", mode & 0o7777);
    Err(OpenError::Refused { path: path.to_owned(), reason })
}

/// Opens a checked file for reading and writing, made if there is none.
pub(super) fn private_file(path: &Path) -> Result<File, OpenError> {
    check_file(path)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|source| OpenError::Io { path: path.to_owned(), source })
}

/// Writes a file beside its place, syncs, renames, syncs the folder: it is there whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), OpenError> {
    let beside = path.with_extension("tmp");
    let written = (|| {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        // Synced in pieces: one great sync would hold up those of the journal on the same disk.
        for piece in bytes.chunks(1 << 20) {
            file.write_all(piece)?;
            file.sync_data()?;
        }
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    })();
    written.map_err(|source| {
        let _ = fs::remove_file(&beside);
        OpenError::Io { path: path.to_owned(), source }
    })
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn h_103_a_second_broker_on_one_data_folder_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let first = DataFolder::open(&path).unwrap();
        let error = DataFolder::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }));
        assert!(error.to_string().contains("another broker"), "{error}");
        drop(first);
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn h_102_a_folder_that_is_a_link_a_file_or_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link, file, open) =
            (dir.path().join("real"), dir.path().join("link"), dir.path().join("file"), dir.path().join("open"));
        DataFolder::open(&real).unwrap();
        symlink(&real, &link).unwrap();
        fs::write(&file, "x").unwrap();
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        for (path, reason) in [(&link, "symbolic link"), (&file, "not a folder"), (&open, "mode 0755")] {
            let error = DataFolder::open(path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_made_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&dir.path().join("data")).unwrap();
        folder.write_private("setup-token", b"secret").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("setup-token")), 0o600);
        assert_eq!(mode(&folder.path().join("lock")), 0o600);
    }

    #[test]
    fn no_site_name_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&dir.path().join("data")).unwrap();
        for site in ["", "..", "a/b", "/etc", "A", "a\0", &"a".repeat(65)] {
            assert!(folder.site(site).is_err(), "{site:?}");
        }
        folder.site("main").unwrap();
    }
}
