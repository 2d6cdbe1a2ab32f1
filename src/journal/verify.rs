//! `audit verify`: the whole chain of every site from its first turn, whatever snapshots there are (I-E6).

use super::{
    OpenError, database,
    database::Reader,
    folder::{is_site_name, sites_of},
    head::HeadFile,
    row,
    sqlite::{DATABASE, HEAD},
};
use crate::ids::Seq;
use serde::Serialize;
use std::{fs, path::Path};

/// What was found in one site's journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    pub site: String,
    /// Turns proven, from the first.
    pub turns: u64,
    /// Of these, turns whose payload was erased.
    pub erased: u64,
    /// The last acknowledged turn by the head file.
    pub acknowledged: Seq,
    /// The chain's hash at the last turn proven, in hexadecimal.
    pub hash: String,
    pub problem: Option<Problem>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    pub seq: Seq,
    pub what: String,
}

/// Proves the journals of all sites below a data folder. Changes nothing; a broker may be running on it.
///
/// An error says that a journal could not be looked at; damage in one is in its report.
pub fn verify(data: &Path) -> Result<Vec<Report>, OpenError> {
    let sites = sites_of(data);
    let io = |source| OpenError::Io { path: sites.clone(), source };
    let mut names: Vec<String> = fs::read_dir(&sites)
        .map_err(io)?
        .map(|entry| Ok(entry.map_err(io)?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, OpenError>>()?;
    names.retain(|name| is_site_name(name));
    names.sort_unstable();
    names.into_iter().map(|site| verify_site(&sites.join(&site), site)).collect()
}

fn verify_site(dir: &Path, site: String) -> Result<Report, OpenError> {
    // The head first: turns that a running broker adds meanwhile are then beyond it, never missing.
    let head_path = dir.join(HEAD);
    let (_, head) = HeadFile::open(&head_path)?.ok_or_else(|| OpenError::NotAJournal {
        path: head_path,
        reason: "it is missing, so nothing says which turns were acknowledged".into(),
    })?;
    let path = dir.join(DATABASE);
    let sqlite = |source| database::open_error(&path, source);
    let connection = database::reading(&path).map_err(sqlite)?;
    let end = database::last(&connection).map_err(sqlite)?.map_or(Seq(0), |last| last.seq);

    let mut report = Report { site, turns: 0, erased: 0, acknowledged: head.seq, hash: String::new(), problem: None };
    let mut hash = row::genesis(&head.journal);
    let mut acknowledged_hash = (head.seq.0 == 0).then_some(hash);
    for stored in Reader::new(connection, &head.journal, Seq(1), end)? {
        let read = stored.and_then(|stored| {
            let (seq, hash, erased) = (stored.seq, stored.hash, stored.payload.is_none());
            if erased { Ok((seq, hash, erased)) } else { stored.read().map(|_| (seq, hash, erased)) }
        });
        match read {
            Ok((seq, row_hash, erased)) => {
                report.turns += 1;
                report.erased += u64::from(erased);
                hash = row_hash;
                if seq == head.seq {
                    acknowledged_hash = Some(row_hash);
                }
            }
            Err(damage) => {
                report.problem = Some(Problem { seq: damage.seq(), what: damage.to_string() });
                break;
            }
        }
    }
    if report.problem.is_none() {
        let what = match acknowledged_hash {
            Some(hash) if hash == head.hash => None,
            Some(_) => Some((head.seq, "this turn is not the one that was acknowledged".to_owned())),
            None => {
                Some((Seq(end.0 + 1), format!("turns up to {} were acknowledged; the journal ends before", head.seq)))
            }
        };
        report.problem = what.map(|(seq, what)| Problem { seq, what });
    }
    report.hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(report)
}
