//! The journal as the owner uses it: turns appended, the state folded from them, and folded anew without a turn that
//! is not to be.

use super::{
    Owner,
    mail::{fenced, is_an_end, storage_full},
    owed::{Owed, refuse_owed},
};
use crate::{
    broker::{StartError, perform::Finals},
    engine::{Command, Engine, Event, Filed, Reason, Refusal, Request, State, Turn},
    ids::*,
    journal::{Appended, Journal, OpenError, Pending, Recovered, SqliteJournal},
    limits,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// A turn on its way into the journal. What it ended has ended; what else follows from it waits until it is durable.
pub(super) struct UnderWay {
    pub turn: Arc<Turn>,
    pub finals: Finals,
    appended: Pending,
    since: Instant,
}

/// A turn of judging that is decided, and what it ended is being closed.
pub(super) struct Closing {
    turn: Arc<Turn>,
    filed: Filed,
    finals: JoinHandle<Finals>,
}

impl UnderWay {
    /// Deciding it panicked: it is not to be.
    pub fn never(turn: Turn) -> Self {
        let appended = Box::pin(std::future::ready(Appended::Unknown));
        Self { turn: Arc::new(turn), finals: Finals::default(), appended, since: Instant::now() }
    }

    /// It only goes on with an edit.
    pub fn judges(&self) -> bool {
        matches!(self.turn.requests.as_slice(), [(_, Request { command: Command::JudgeRights, .. })])
    }
}

impl Owner {
    /// Gives a turn to the journal, if anything happened in it. Rights that end are closed before it is durable, rights
    /// that begin are opened after it (W2.2).
    pub(super) fn put_down(&mut self, turn: Turn, under_way: &mut Vec<UnderWay>) {
        if turn.events.is_empty() {
            return;
        }
        let mut finals = self.performer.narrow(&turn.events);
        finals.say();
        let filed = self.filed();
        self.append(Arc::new(turn), filed, finals, under_way);
    }

    /// The same of a turn that only goes on with an edit, in its two halves: what it ended is closed beside the owner,
    /// who decides the next one meanwhile.
    pub(super) fn close_aside(&mut self, turn: Turn) -> Closing {
        let (turn, filed) = (Arc::new(turn), self.filed());
        let finals = self.performer.narrow_aside(turn.clone());
        Closing { turn, filed, finals }
    }

    pub(super) async fn closed(&mut self, closing: Closing, under_way: &mut Vec<UnderWay>) {
        let Closing { turn, filed, finals } = closing;
        // It fails only where it panicked; what it had not come to is closed here.
        let waits = Instant::now();
        let finals = finals.await.unwrap_or_else(|_| self.performer.narrow(&turn.events));
        self.held.waited(waits.elapsed());
        self.append(turn, filed, finals, under_way);
    }

    fn append(&mut self, turn: Arc<Turn>, filed: Filed, finals: Finals, under_way: &mut Vec<UnderWay>) {
        let seq = Seq(self.head.0 + 1 + under_way.len() as u64);
        let (since, appended) = (Instant::now(), self.journal.append(seq, self.epoch, turn.clone(), filed));
        under_way.push(UnderWay { turn, finals, appended, since });
    }

    /// Of the turn that was decided last.
    fn filed(&mut self) -> Filed {
        let keep_from = self.engine.state().history_from(self.engine.state().now);
        Filed { records: self.engine.take_records(), keep_from }
    }

    /// Turns that are not to be: whoever waits is refused, and the engine is folded anew without them.
    pub(super) async fn abandon(&mut self, under_way: Vec<UnderWay>, owed: Vec<Owed>, refusal: &Refusal) {
        for owed in owed {
            refuse_owed(owed, refusal);
        }
        self.edits.abandon(refusal);
        self.judges_from = Instant::now() + Duration::from_millis(limits::JOURNAL_RETRY.0);
        let commands = under_way.iter().flat_map(|it| &it.turn.requests).map(|(_, request)| &request.command);
        self.put_off.extend(commands.filter(|command| is_an_end(command)).cloned());
        let before = self.head;
        self.rebuild().await;
        if self.fenced {
            return;
        }
        self.tell_all();
        // The journal took these after all, though it could not say so in time: all that follows from them, follows.
        let taken = usize::try_from(self.head.0.saturating_sub(before.0)).unwrap_or(usize::MAX);
        for UnderWay { turn, finals, .. } in under_way.into_iter().take(taken) {
            (self.follower)(&turn.events, self.engine.state());
            self.performer.perform(&turn.events, &finals, self.engine.state(), self.head);
            for stamped in &turn.events {
                // Whoever entered was refused, so there is no connection.
                if let Event::Attached { party, epoch, .. } = stamped.event {
                    self.put_off.push(Command::Lost { party, epoch });
                }
            }
        }
        self.performer.recover(self.engine.state());
    }

    /// Waits for the disk; `Err` when these turns are not, or perhaps not, all durable. The head moves with the last of
    /// them: what follows from a part of them is for [`Self::abandon`] to find.
    pub(super) async fn all_durable(&mut self, under_way: &mut [UnderWay]) -> Result<(), Refusal> {
        let Some(since) = under_way.first().map(|first| first.since) else { return Ok(()) };
        let waits = Instant::now();
        let mut answer = Ok(self.head);
        for under_way in under_way {
            answer = match under_way.appended.as_mut().await {
                Appended::Durable(seq) => Ok(seq),
                Appended::Fenced => {
                    self.fenced = true;
                    Err(fenced())
                }
                Appended::TooLarge { bytes } => {
                    let message =
                        format!("this would be a record of {bytes} bytes, more than the journal takes; split it");
                    Err(Refusal::new(Reason::LimitReached, "W5.6", message))
                }
                Appended::Unknown => Err(storage_full()),
            };
            if answer.is_err() {
                break;
            }
        }
        metrics::histogram!("equipoise_journal_commit_seconds").record(since.elapsed().as_secs_f64());
        self.held.waited(waits.elapsed());
        self.head = answer?;
        Ok(())
    }

    /// Drops the engine and folds the journal again (W5.2, I-J5). Tries until it works: without it nothing may be
    /// acknowledged. What it finds of another owner fences this one.
    async fn rebuild(&mut self) {
        loop {
            let reopened = tokio::task::block_in_place(|| {
                let recovered = self.journal.reopen()?;
                let head = recovered.head;
                Ok::<_, StartError>((head, folded(&self.journal, recovered)?))
            });
            match reopened {
                Ok((_, state)) if state.owner_epoch > self.epoch => {
                    self.fenced = true;
                    return;
                }
                Ok((head, state)) => {
                    self.head = head;
                    self.engine = Engine::from_state(state).filing();
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be opened again");
                    while let Ok(mail) = self.mailbox.try_recv() {
                        self.refuse(mail, &storage_full());
                    }
                    tokio::time::sleep(Duration::from_millis(limits::JOURNAL_RETRY.0)).await;
                }
            }
        }
    }
}

/// The state that a journal's snapshot and turns add up to. A snapshot of another version is passed over: the turns
/// alone give the same state, only later.
pub(super) fn folded(journal: &SqliteJournal, recovered: Recovered) -> Result<State, StartError> {
    let (mut state, turns) = match recovered.snapshot.map(|(seq, bytes)| (seq, read_state(&bytes))) {
        None => (State::default(), recovered.turns),
        Some((_, Ok(state))) => (state, recovered.turns),
        Some((seq, Err(why))) => {
            tracing::warn!(%seq, why, "the snapshot is of another version; folding the journal from its beginning");
            (State::default(), journal.read_from(Seq(1)).map_err(OpenError::from)?)
        }
    };
    for row in turns {
        for stamped in &row.map_err(OpenError::from)?.turn.events {
            Engine::apply(&mut state, stamped);
        }
    }
    Ok(state)
}

/// Folds turns into a snapshot, for the journal's background thread (W5.5).
pub(super) fn fold(snapshot: Option<&[u8]>, turns: &mut dyn Iterator<Item = Turn>) -> Result<Vec<u8>, String> {
    let mut state = snapshot.map_or_else(|| Ok(State::default()), read_state)?;
    for turn in turns {
        for stamped in &turn.events {
            Engine::apply(&mut state, stamped);
        }
    }
    rmp_serde::to_vec_named(&state).map_err(|error| error.to_string())
}

fn read_state(bytes: &[u8]) -> Result<State, String> {
    let mut state: State = crate::journal::unpack(bytes)?;
    state.rebuild();
    Ok(state)
}
