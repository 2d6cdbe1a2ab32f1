//! The file manager at this end (P3.9): looks into directories and changes what lies below the shared ones. Directories
//! are opened before anything is promised, and names are only ever used below an open one, so that a link put there
//! meanwhile leads nowhere (P5, H-72).

use super::files::Roots;
use crate::{
    client::{
        file::{FileError, rename_new},
        transfer::{self, Facts},
    },
    limits,
};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode};
use serde_json::{Value as Json, json};
use std::{
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

/// What was asked for, with its directories open.
#[derive(Debug)]
pub enum Act {
    List(OwnedFd),
    Stat(Entry),
    Rename { from: Entry, to: Entry },
    Delete(Entry),
    Make(Entry),
}

/// A name in an open directory.
type Entry = (OwnedFd, OsString);

impl Act {
    /// Refuses what this end does not share, and what plainly cannot be done.
    pub fn prepare(roots: &Roots, args: &Facts) -> Result<Self, FileError> {
        let path = |name| transfer::text(args, name).ok_or(FileError::PathRefused("the path is missing"));
        Ok(match transfer::text(args, "verb") {
            Some("list") => Self::List(roots.directory(path("path")?)?),
            Some("stat") => Self::Stat(existing(roots.entry(path("path")?)?)?),
            Some("rename") => {
                Self::Rename { from: existing(roots.entry(path("path")?)?)?, to: fresh(roots.entry(path("to")?)?)? }
            }
            Some("delete") => Self::Delete(existing(roots.entry(path("path")?)?)?),
            Some("make") => Self::Make(fresh(roots.entry(path("path")?)?)?),
            _ => return Err(FileError::PathRefused("the verb is list, stat, rename, delete or make")),
        })
    }

    /// The document that answers it.
    pub fn perform(self) -> Result<Json, FileError> {
        match self {
            Self::List(dir) => list(&dir),
            Self::Stat((dir, name)) => describe(&dir, &name),
            Self::Rename { from: (dir, from), to: (to_dir, to) } => {
                rename_new((&dir, &from), (&to_dir, &to))?;
                Ok(json!({"done": "rename"}))
            }
            Self::Delete((dir, name)) => {
                // A link is removed itself, not what it points to.
                let directory = kind(&dir, &name)? == FileType::Directory;
                fs::unlinkat(&dir, &name, if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() })?;
                Ok(json!({"done": "delete"}))
            }
            Self::Make((dir, name)) => {
                fs::mkdirat(&dir, &name, Mode::from_raw_mode(0o755))?;
                Ok(json!({"done": "make"}))
            }
        }
    }
}

fn existing(entry: Entry) -> Result<Entry, FileError> {
    kind(&entry.0, &entry.1)?;
    Ok(entry)
}

fn fresh(entry: Entry) -> Result<Entry, FileError> {
    match kind(&entry.0, &entry.1) {
        Ok(_) => Err(FileError::Exists),
        Err(FileError::NotFound) => Ok(entry),
        Err(error) => Err(error),
    }
}

fn kind(dir: &OwnedFd, name: &OsStr) -> Result<FileType, FileError> {
    Ok(FileType::from_raw_mode(fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

/// The entries of a directory by name, as many as a document holds; `more` says that there are others.
fn list(dir: &OwnedFd) -> Result<Json, FileError> {
    let (mut names, mut more) = (Vec::new(), false);
    for entry in Dir::read_from(dir)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name == "." || name == ".." {
            continue;
        }
        more = names.len() == limits::LISTED_ENTRIES_MAX;
        if more {
            break;
        }
        names.push(name);
    }
    names.sort();
    // What went away meanwhile is left out.
    let entries: Vec<Json> = names.iter().filter_map(|name| describe(dir, name).ok()).collect();
    Ok(json!({"entries": entries, "more": more}))
}

fn describe(dir: &OwnedFd, name: &OsStr) -> Result<Json, FileError> {
    let facts = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        _ => "other",
    };
    let modified_ms = facts.st_mtime.saturating_mul(1_000).max(0);
    let size = if kind == "file" { facts.st_size.max(0) } else { 0 };
    Ok(json!({"name": name.to_string_lossy(), "kind": kind, "size": size, "modified_ms": modified_ms}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::Value;
    use std::{
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    struct Place {
        dir: tempfile::TempDir,
        roots: Roots,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("shared/sub")).unwrap();
        std::fs::write(dir.path().join("shared/a"), b"12345").unwrap();
        std::fs::write(dir.path().join("secret"), b"secret").unwrap();
        symlink("../secret", dir.path().join("shared/link")).unwrap();
        symlink("..", dir.path().join("shared/up")).unwrap();
        let roots = Roots::open(&[dir.path().join("shared")]).unwrap();
        Place { dir, roots }
    }

    impl Place {
        fn shared(&self, below: &str) -> PathBuf {
            self.dir.path().join("shared").join(below)
        }

        fn prepare(&self, verb: &str, path: &Path, to: Option<&Path>) -> Result<Act, FileError> {
            let text = |path: &Path| Value::Text(path.to_str().unwrap().to_owned());
            let mut args = Facts::from([("verb".into(), Value::Text(verb.into())), ("path".into(), text(path))]);
            args.extend(to.map(|to| ("to".to_owned(), text(to))));
            Act::prepare(&self.roots, &args)
        }

        fn act(&self, verb: &str, path: &str, to: Option<&str>) -> Result<Json, FileError> {
            let to = to.map(|to| self.shared(to));
            self.prepare(verb, &self.shared(path), to.as_deref())?.perform()
        }
    }

    #[test]
    fn p3_9_a_directory_is_listed_changed_and_listed_again() {
        let place = place();
        let listing = place.act("list", "", None).unwrap();
        let names: Vec<_> = listing["entries"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["a", "link", "sub", "up"]);
        assert_eq!(listing["entries"][0]["kind"], "file");
        assert_eq!(listing["entries"][0]["size"], 5);
        assert_eq!(listing["entries"][1]["kind"], "link");
        assert_eq!(place.act("stat", "a", None).unwrap()["size"], 5);
        place.act("make", "sub/new", None).unwrap();
        place.act("rename", "a", Some("sub/new/b")).unwrap();
        assert_eq!(std::fs::read(place.shared("sub/new/b")).unwrap(), b"12345");
        assert!(matches!(place.act("delete", "sub", None), Err(FileError::NotEmpty)));
        place.act("delete", "sub/new/b", None).unwrap();
        place.act("delete", "sub/new", None).unwrap();
        assert!(std::fs::read_dir(place.shared("sub")).unwrap().next().is_none());
    }

    #[test]
    fn p3_9_nothing_is_replaced_and_the_shared_directory_stays() {
        let place = place();
        std::fs::write(place.shared("b"), b"other").unwrap();
        assert!(matches!(place.act("rename", "a", Some("b")), Err(FileError::Exists)));
        assert!(matches!(place.act("make", "sub", None), Err(FileError::Exists)));
        assert!(matches!(place.act("rename", "none", Some("c")), Err(FileError::NotFound)));
        assert!(matches!(place.act("delete", "", None), Err(FileError::PathRefused(_))));
        assert!(matches!(place.act("rename", "", Some("c")), Err(FileError::PathRefused(_))));
        assert_eq!(std::fs::read(place.shared("b")).unwrap(), b"other");
    }

    #[test]
    fn h_71_neither_end_of_a_rename_lies_outside() {
        let place = place();
        let outside = place.dir.path().join("secret");
        let refused = |act: Result<Act, FileError>| assert!(matches!(act, Err(FileError::PathRefused(_))), "{act:?}");
        refused(place.prepare("rename", &place.shared("a"), Some(&outside)));
        refused(place.prepare("rename", &outside, Some(&place.shared("c"))));
        refused(place.prepare("delete", &outside, None));
        refused(place.prepare("make", &place.dir.path().join("new"), None));
        refused(place.prepare("list", place.dir.path(), None));
    }

    #[test]
    fn h_72_the_file_manager_follows_no_link() {
        let place = place();
        assert!(matches!(place.act("list", "up", None), Err(FileError::PathRefused(_))));
        assert!(matches!(place.act("delete", "up/secret", None), Err(FileError::PathRefused(_))));
        assert!(matches!(place.act("rename", "a", Some("up/a")), Err(FileError::PathRefused(_))));
        assert_eq!(place.act("stat", "link", None).unwrap()["kind"], "link");
        place.act("delete", "link", None).unwrap();
        assert_eq!(std::fs::read(place.dir.path().join("secret")).unwrap(), b"secret");
    }

    #[test]
    fn h_72_a_link_put_there_after_the_yes_gets_nothing() {
        let place = place();
        std::fs::create_dir(place.dir.path().join("elsewhere")).unwrap();
        std::fs::write(place.dir.path().join("elsewhere/a"), b"kept").unwrap();
        std::fs::write(place.shared("sub/a"), b"inside").unwrap();
        let delete = place.prepare("delete", &place.shared("sub/a"), None).unwrap();
        let make = place.prepare("make", &place.shared("sub/new"), None).unwrap();
        let moved = place.prepare("rename", &place.shared("a"), Some(&place.shared("sub/c"))).unwrap();
        std::fs::rename(place.shared("sub"), place.shared("was-sub")).unwrap();
        symlink("../elsewhere", place.shared("sub")).unwrap();
        for act in [delete, make, moved] {
            act.perform().unwrap();
        }
        let names = |dir: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|one| one.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&place.dir.path().join("elsewhere")), ["a"]);
        assert_eq!(names(&place.shared("was-sub")), ["c", "new"]);
    }
}
