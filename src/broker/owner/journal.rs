//! The journal as the owner uses it: turns appended, the state folded from them, and folded anew without a turn that
//! is not to be.

use super::{
    Owner,
    mail::{fenced, is_an_end, storage_full},
    owed::{Owed, refuse_owed},
};
use crate::{
    broker::{StartError, perform::Finals},
    engine::{Command, Engine, Event, Reason, Refusal, State, Turn},
    ids::*,
    journal::{Appended, Journal, OpenError, Pending, Recovered, SqliteJournal},
    limits,
};
use std::time::Duration;

impl Owner {
    /// Turns that are not to be: whoever waits is refused, and the engine is folded anew without them.
    pub(super) async fn abandon(&mut self, turns: Vec<Turn>, owed: Vec<Owed>, finals: &Finals, refusal: &Refusal) {
        for owed in owed {
            refuse_owed(owed, refusal);
        }
        self.edits.abandon(refusal);
        let commands = turns.iter().flat_map(|turn| &turn.requests).map(|(_, request)| &request.command);
        self.put_off.extend(commands.filter(|command| is_an_end(command)).cloned());
        let before = self.head;
        self.rebuild().await;
        if self.fenced {
            return;
        }
        // The journal took these after all, though it could not say so in time: all that follows from them, follows.
        let taken = usize::try_from(self.head.0.saturating_sub(before.0)).unwrap_or(usize::MAX);
        for turn in turns.into_iter().filter(|turn| !turn.events.is_empty()).take(taken) {
            (self.follower)(&turn.events, self.engine.state());
            self.performer.perform(&turn.events, finals, self.engine.state(), self.head);
            for stamped in turn.events {
                // Whoever entered was refused, so there is no connection.
                if let Event::Attached { party, epoch, .. } = stamped.event {
                    self.put_off.push(Command::Lost { party, epoch });
                }
            }
        }
        self.performer.recover(self.engine.state());
    }

    /// Appends turns, which wait for the disk together; `Err` when they are not, or perhaps not, all durable.
    pub(super) async fn commit(&mut self, turns: &[Turn]) -> Result<(), Refusal> {
        if turns.is_empty() {
            return Ok(());
        }
        let started = std::time::Instant::now();
        let appended: Vec<_> =
            (self.head.0 + 1..).zip(turns).map(|(seq, turn)| self.journal.append(Seq(seq), self.epoch, turn)).collect();
        let answer = self.all_durable(appended).await;
        metrics::histogram!("equipoise_journal_commit_seconds").record(started.elapsed().as_secs_f64());
        answer
    }

    /// The head moves with the last of them: what follows from a part of them is for [`Self::abandon`] to find.
    async fn all_durable(&mut self, appended: Vec<Pending>) -> Result<(), Refusal> {
        let mut head = self.head;
        for appended in appended {
            match appended.await {
                Appended::Durable(seq) => head = seq,
                Appended::Fenced => {
                    self.fenced = true;
                    return Err(fenced());
                }
                Appended::TooLarge { bytes } => {
                    let message =
                        format!("this would be a record of {bytes} bytes, more than the journal takes; split it");
                    return Err(Refusal::new(Reason::LimitReached, "W5.6", message));
                }
                Appended::Unknown => return Err(storage_full()),
            }
        }
        self.head = head;
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
                    self.engine = Engine::from_state(state);
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
