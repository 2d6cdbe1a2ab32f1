//! Which files of this machine may be reached, and opening them without following a link (P5, H-72).

use crate::{
    client::file::{FileError, Landing, Source},
    policy::paths::{self, Os},
};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

/// The directories that may be reached; each was opened once, so replacing one later by a link changes nothing.
#[derive(Debug)]
pub struct Roots {
    roots: Vec<(PathBuf, OwnedFd)>,
}

impl Roots {
    /// The whole machine where no directory is given.
    pub fn open(dirs: &[PathBuf]) -> io::Result<Self> {
        let everywhere = [PathBuf::from("/")];
        let dirs = if dirs.is_empty() { &everywhere[..] } else { dirs };
        let mut roots = Vec::new();
        for dir in dirs {
            let dir = std::path::absolute(dir)?;
            let open = fs::open(&dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            let real = dir.canonicalize()?;
            if real != dir {
                roots.push((real, open.try_clone()?));
            }
            roots.push((dir, open));
        }
        Ok(Self { roots })
    }

    /// A regular file for sending.
    pub fn source(&self, path: &str) -> Result<Source, FileError> {
        let (root, below) = self.place(path)?;
        let file = open_below(root, &below, OFlags::RDONLY | OFlags::NONBLOCK)?;
        Source::new(File::from(file))
    }

    /// A place for a file to land. Where `path` is a directory, the file is `name` in it.
    pub fn landing(
        &self,
        path: &str,
        name: Option<&str>,
        overwrite: bool,
        declared: Option<u64>,
    ) -> Result<Landing, FileError> {
        let (root, below) = self.place(path)?;
        let directory = OFlags::RDONLY | OFlags::DIRECTORY;
        if let Some(name) = name {
            match open_below(root, &below, directory) {
                Ok(dir) => return Landing::begin(dir, OsStr::new(file_name(name)?), overwrite, declared),
                Err(FileError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let (dir, file) = entry_below(root, &below)?;
        Landing::begin(dir, &file, overwrite, declared)
    }

    /// An open directory, for looking into it.
    pub fn directory(&self, path: &str) -> Result<OwnedFd, FileError> {
        let (root, below) = self.place(path)?;
        open_below(root, &below, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The open directory that a path's last name lies in, and that name. A shared directory itself is nobody's to
    /// move or remove.
    pub fn entry(&self, path: &str) -> Result<(OwnedFd, OsString), FileError> {
        let (root, below) = self.place(path)?;
        if below.as_os_str().is_empty() {
            return Err(FileError::PathRefused("it is a shared directory itself"));
        }
        entry_below(root, &below)
    }

    /// The root that covers a path, and what remains below it.
    fn place(&self, path: &str) -> Result<(&OwnedFd, PathBuf), FileError> {
        // Whatever the broker found: the same function says here what is a path.
        let os = Os::from_name(std::env::consts::OS).unwrap_or(Os::Linux);
        let path = paths::normalize(os, path).map_err(|refusal| FileError::PathRefused(refusal.name()))?;
        self.roots
            .iter()
            .find_map(|(root, dir)| Some((dir, Path::new(&path).strip_prefix(root).ok()?.to_owned())))
            .ok_or(FileError::PathRefused("it is not below a directory this endpoint shares"))
    }
}

fn file_name(name: &str) -> Result<&str, FileError> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == OsStr::new(name) && !name.chars().any(hidden) => Ok(name),
        _ => Err(FileError::PathRefused("the name is not that of a file")),
    }
}

/// Control and bidirectional characters, which make a name look like another.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn entry_below(root: &OwnedFd, below: &Path) -> Result<(OwnedFd, OsString), FileError> {
    let name = below.file_name().ok_or(FileError::NotAFile)?.to_owned();
    let parent = below.parent().unwrap_or(Path::new(""));
    Ok((open_below(root, parent, OFlags::RDONLY | OFlags::DIRECTORY)?, name))
}

/// Opens what lies below a directory; the kernel refuses every link on the way, one swapped in meanwhile too.
fn open_below(root: &OwnedFd, below: &Path, flags: OFlags) -> Result<OwnedFd, FileError> {
    let below = if below.as_os_str().is_empty() { OsString::from(".") } else { below.into() };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(fs::openat2(root, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Place {
        dir: tempfile::TempDir,
        roots: Roots,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("shared")).unwrap();
        std::fs::write(dir.path().join("shared/a"), b"public").unwrap();
        std::fs::write(dir.path().join("secret"), b"secret").unwrap();
        let roots = Roots::open(&[dir.path().join("shared")]).unwrap();
        Place { dir, roots }
    }

    impl Place {
        fn path(&self, below: &str) -> String {
            format!("{}/{below}", self.dir.path().display())
        }

        fn read(&self, below: &str) -> Result<Vec<u8>, FileError> {
            self.roots.source(&self.path(below))?.read()
        }
    }

    #[test]
    fn p5_an_entry_covers_what_is_below_it_and_nothing_else() {
        let place = place();
        assert_eq!(place.read("shared/a").unwrap(), b"public");
        std::fs::create_dir(place.dir.path().join("shared-old")).unwrap();
        std::fs::write(place.dir.path().join("shared-old/x"), b"x").unwrap();
        for outside in ["secret", "shared-old/x", "shared/../secret", "shared/./a", "shared/..", "shared/%2e%2e/secret"]
        {
            assert!(place.read(outside).is_err(), "{outside}");
        }
        for not_a_path in ["", "shared/a", "~/a", "a\0b", "/x\u{202e}y", "/a\nb"] {
            assert!(matches!(place.roots.source(not_a_path), Err(FileError::PathRefused(_))), "{not_a_path:?}");
        }
        assert!(matches!(place.roots.source(&format!("/{}", "x".repeat(5_000))), Err(FileError::PathRefused(_))));
    }

    #[test]
    fn h_72_links_are_not_followed() {
        let place = place();
        let shared = place.dir.path().join("shared");
        symlink("../secret", shared.join("link")).unwrap();
        symlink("..", shared.join("up")).unwrap();
        assert!(matches!(place.read("shared/link"), Err(FileError::PathRefused(_))));
        assert!(matches!(place.read("shared/up/secret"), Err(FileError::PathRefused(_))));
        assert!(place.roots.landing(&place.path("shared/up/new"), None, true, None).is_err());
        assert!(place.roots.landing(&place.path("shared/up"), Some("new"), false, None).is_err());
        assert!(!place.dir.path().join("new").exists());
    }

    #[test]
    fn h_72_a_link_swapped_in_gets_nothing() {
        let place = place();
        let shared = place.dir.path().join("shared");
        std::fs::create_dir(shared.join("in")).unwrap();
        let mut landing = place.roots.landing(&place.path("shared/in/file"), None, false, None).unwrap();
        landing.write(b"bytes").unwrap();
        std::fs::rename(shared.join("in"), shared.join("moved")).unwrap();
        std::fs::create_dir(place.dir.path().join("elsewhere")).unwrap();
        symlink("../elsewhere", shared.join("in")).unwrap();
        let sum = crate::client::file::hex(&<sha2::Sha256 as sha2::Digest>::digest(b"bytes"));
        landing.commit(&sum).unwrap();
        assert!(!place.dir.path().join("elsewhere/file").exists());
        assert!(shared.join("moved/file").exists());

        std::fs::rename(&shared, place.dir.path().join("was-shared")).unwrap();
        symlink(".", &shared).unwrap();
        assert!(place.read("shared/secret").is_err(), "the root was opened before it was replaced");
    }

    #[test]
    fn h_72_a_link_at_the_target_is_replaced_not_followed() {
        let place = place();
        symlink("../secret", place.dir.path().join("shared/link")).unwrap();
        let target = place.path("shared/link");
        assert!(matches!(place.roots.landing(&target, None, false, None), Err(FileError::Exists)));
        let mut landing = place.roots.landing(&target, None, true, None).unwrap();
        landing.write(b"x").unwrap();
        landing.commit(&crate::client::file::hex(&<sha2::Sha256 as sha2::Digest>::digest(b"x"))).unwrap();
        assert_eq!(std::fs::read(place.dir.path().join("secret")).unwrap(), b"secret");
    }

    #[test]
    fn a_directory_takes_the_files_own_name() {
        let place = place();
        let landing = place.roots.landing(&place.path("shared"), Some("b"), false, Some(0)).unwrap();
        landing.commit(&crate::client::file::hex(&<sha2::Sha256 as sha2::Digest>::digest(b""))).unwrap();
        assert!(place.dir.path().join("shared/b").exists());
        for name in ["..", ".", "", "a/b", "/etc", "b/", "a\nb"] {
            assert!(place.roots.landing(&place.path("shared"), Some(name), false, None).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_regular_files_below_the_whole_machine() {
        let place = place();
        let everywhere = Roots::open(&[]).unwrap();
        let real = place.dir.path().canonicalize().unwrap();
        assert_eq!(everywhere.source(real.join("secret").to_str().unwrap()).unwrap().read().unwrap(), b"secret");
        assert!(everywhere.source("/dev/null").is_err());
        assert!(everywhere.source("/").is_err());
        assert!(everywhere.source("/proc/self/exe").is_err());
    }
}
