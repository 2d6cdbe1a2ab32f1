//! The history of sessions that have ended, for who may read it (BU-048): filed as turns become durable, read on a thread of
//! its own, so that a question never holds up the owner. What somebody sees is judged by the site as it is when they ask.

use super::{Connection, port::refused_by};
use crate::{
    engine::{Engine, Queue, Reason, Record, Refusal, State, address, history::Sees},
    ids::*,
    journal::{Filling, History, Journal, Query, SqliteJournal, unpack},
    limits,
    site::Site,
    time::Time,
    wire::control::{self, Done, FromBroker},
};
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};

/// What somebody asks for, and by which site it is judged what they see.
pub(super) struct Question {
    pub site: Arc<Site>,
    pub user: UserId,
    pub team: Option<TeamId>,
    pub rep: Option<UserId>,
    pub since: Option<Time>,
    pub until: Option<Time>,
    pub before: Option<u64>,
}

impl Question {
    /// By somebody who may read some of it.
    pub fn of(site: &Arc<Site>, user: UserId, asked: control::History, keep_from: Time) -> Result<Self, Refusal> {
        let team = asked.team.map(|team| match address::queue(&site.codes, &team)? {
            Queue::Team(team) => Ok(team),
            Queue::Personal(_) => Err(Refusal::new(Reason::UnknownTeam, "R2.5", "team: this is a rep")),
        });
        let rep = asked.rep.map(|rep| address::rep(&site.codes, rep.strip_prefix("rep:").unwrap_or(&rep)));
        Ok(Self {
            site: site.clone(),
            user,
            team: team.transpose()?,
            rep: rep.transpose()?,
            // What is over is not told, though it may be there until later commits prune it.
            since: Some(keep_from.max(asked.since_ms.map_or(Time(0), Time))),
            until: asked.until_ms.map(Time),
            before: asked.before,
        })
    }
}

#[derive(Default)]
pub(super) struct Histories {
    /// For whom it is being read.
    readers: Arc<Mutex<BTreeSet<UserId>>>,
}

/// One of the places to read, until it is dropped.
struct Place {
    readers: Arc<Mutex<BTreeSet<UserId>>>,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.readers.lock().remove(&self.user);
    }
}

impl Histories {
    /// One for each who asks, so that whoever asks in a loop leaves the others theirs.
    fn enter(&self, user: UserId) -> Result<Place, Refusal> {
        let mut readers = self.readers.lock();
        if readers.contains(&user) || readers.len() >= limits::HISTORY_READS {
            let busy = "the history is being read for you or for others; ask again in a moment";
            return Err(Refusal::new(Reason::Overloaded, "P1.1", busy));
        }
        readers.insert(user);
        Ok(Place { readers: self.readers.clone(), user })
    }

    /// Answers when the page has been read, or refuses while too many others are.
    pub fn tell(&self, to: Arc<Connection>, id: u64, question: Question, history: Option<History>) {
        let answer = move |to: &Connection, told: Result<Done, Refusal>| {
            let answer = told.map(Box::new).map_err(|refusal| Box::new(refused_by(refusal)));
            to.say(&FromBroker::Reply { re: id, answer });
        };
        let place = match self.enter(question.user) {
            Ok(place) => place,
            Err(refusal) => return answer(&to, Err(refusal)),
        };
        tokio::task::spawn_blocking(move || {
            let told = history.ok_or_else(|| unreadable("it is closed")).and_then(|history| read(&question, &history));
            // Who asks for the next page once it has this one finds its place free.
            drop(place);
            answer(&to, told);
        });
    }
}

fn read(question: &Question, history: &History) -> Result<Done, Refusal> {
    let sees = Sees::of(&question.site, question.user)?;
    let Question { team, rep: owner, since, until, before, .. } = *question;
    let page = history.page(&Query { sees, owner, team, since, until, before }).map_err(unreadable)?;
    let readable = |told: &Vec<u8>| {
        unpack(told)
            .map_err(|error| tracing::warn!(%error, "a record of the history is passed over: it cannot be read"))
            .ok()
    };
    let sessions = page.told.iter().filter_map(readable).collect();
    Ok(Done::History { sessions, next: page.next })
}

fn unreadable(why: impl std::fmt::Display) -> Refusal {
    tracing::error!(error = %why, "the history of sessions cannot be read");
    Refusal::new(Reason::StorageFull, "P1.1", "the history cannot be read at the moment; the broker's log says why")
}

/// Folds a journal from before there was a history from its first turn, and files what its sessions left behind on the way.
/// None where that would take too long or cannot be done: the history then begins here.
pub(super) fn filled(journal: &SqliteJournal, head: Seq) -> Option<State> {
    let filling = match journal.fill_history() {
        Ok(filling) => filling,
        Err(error) => {
            tracing::warn!(%error, "the history of sessions is not filled in at this start");
            return None;
        }
    };
    if head.0 > limits::HISTORY_FILLED_TURNS {
        tracing::warn!(turns = head.0, "the journal is long: the history of sessions begins with this start");
        end(filling, false);
        return None;
    }
    tracing::info!(turns = head.0, "filling in the history of sessions from the journal, once");
    fill(journal, filling)
}

fn fill(journal: &SqliteJournal, mut filling: Filling) -> Option<State> {
    let mut state = State::default();
    let rows =
        journal.read_from(Seq(1)).map_err(|damage| tracing::warn!(%damage, "no history before this start")).ok()?;
    for row in rows {
        let (seq, turn) = match row {
            Ok(row) => (row.seq, row.turn),
            // Erased, most likely: a snapshot may cover it.
            Err(damage) => {
                tracing::warn!(%damage, "the history of sessions begins with this start");
                end(filling, false);
                return None;
            }
        };
        if !journal.has_room() {
            tracing::warn!(
                "the disk is nearly full: the history of sessions is filled in at the next start that has room"
            );
            return None;
        }
        let mut records = Vec::new();
        for stamped in &turn.events {
            records.extend(Record::of(&state, stamped.at, &stamped.event));
            Engine::apply(&mut state, stamped);
        }
        if let Err(error) = filling.file(seq, records) {
            tracing::warn!(%error, "the history of sessions is not filled in at this start");
            return None;
        }
    }
    end(filling, true);
    Some(state)
}

fn end(filling: Filling, whole: bool) {
    if let Err(error) = filling.done(whole) {
        tracing::warn!(%error, "the history of sessions is looked for in the journal again at the next start");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bu_048_nobody_takes_more_than_one_of_the_places_to_read() {
        let histories = Histories::default();
        let most = u32::try_from(limits::HISTORY_READS).unwrap_or(u32::MAX);
        let first = histories.enter(UserId(0));
        assert!(first.is_ok());
        assert_eq!(histories.enter(UserId(0)).err().map(|refusal| refusal.reason), Some(Reason::Overloaded));
        let others: Vec<_> = (1..most).map(|user| histories.enter(UserId(user))).collect();
        assert!(others.iter().all(Result::is_ok), "one that asks again and again keeps nobody out");
        assert!(histories.enter(UserId(most)).is_err(), "all are taken");
        drop(first);
        assert!(histories.enter(UserId(most)).is_ok());
    }
}
