//! A site's journal read by somebody else than its owner: to explain, or to decide it again. Changes nothing; a broker
//! may be running on it.

use super::{
    OpenError, Rows,
    database::{self, Reader, Schema},
    folder::sites_of,
    row::Stored,
    sqlite::DATABASE,
};
use crate::ids::Seq;
use std::path::{Path, PathBuf};

/// All turns from the first. `place` is a data folder with one site, a site's folder in it, or the database itself.
pub fn read(place: &Path) -> Result<Rows, OpenError> {
    let path = find(place)?;
    let sqlite = |source| database::open_error(&path, source);
    let connection = database::reading(&path).map_err(sqlite)?;
    match database::schema(&connection).map_err(sqlite)? {
        Schema::Ours | Schema::Older => {}
        Schema::Newer { version, known } => return Err(OpenError::Newer { path, version, known }),
        Schema::Empty | Schema::Foreign => {
            return Err(OpenError::NotAJournal { path, reason: "it holds no journal of ours".into() });
        }
    }
    let journal = database::journal_id(&connection).map_err(sqlite)?;
    let end = database::last(&connection).map_err(sqlite)?.map_or(Seq(0), |last| last.seq);
    Ok(Box::new(Reader::new(connection, &journal, Seq(1), end)?.map(|stored| stored.and_then(Stored::read))))
}

fn find(place: &Path) -> Result<PathBuf, OpenError> {
    if !place.exists() {
        return Err(OpenError::NotAJournal { path: place.to_owned(), reason: "there is nothing of this name".into() });
    }
    if !place.is_dir() {
        return Ok(place.to_owned());
    }
    if place.join(DATABASE).is_file() {
        return Ok(place.join(DATABASE));
    }
    let sites = sites_of(place);
    let entries = std::fs::read_dir(&sites).map_err(|source| OpenError::Io { path: sites.clone(), source })?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path().join(DATABASE)).filter(|path| path.is_file()).collect();
    let reason = match found.len() {
        1 => return Ok(found.remove(0)),
        0 => "there is no journal here".to_owned(),
        many => format!("there are {many} sites here; name the folder of one"),
    };
    Err(OpenError::NotAJournal { path: place.to_owned(), reason })
}
