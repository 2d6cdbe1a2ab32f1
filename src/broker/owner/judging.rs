//! What an edit of the site touched, judged by the broker (P6.2): some sessions at a time, so that nobody waits for all of
//! them, and on for as long as nobody does. Who lost a right is told of it once the edit is answered.

use super::{Owner, journal::UnderWay};
use crate::{
    broker::perform::Finals,
    engine::{Actor, Command, Request, Turn},
    journal::Journal,
    limits,
    time::Time,
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Durable turns of judging whose people are still to be told, oldest first. They were closed to what ended before.
#[derive(Default)]
pub(super) struct Untold(VecDeque<(Arc<Turn>, Finals)>);

impl Untold {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn add(&mut self, turn: Arc<Turn>, finals: Finals) {
        self.0.push_back((turn, finals));
    }
}

impl Owner {
    /// There is something of an edit to go on with.
    pub(super) fn is_editing(&self) -> bool {
        !self.fenced && (self.has_to_judge() || !self.untold.is_empty())
    }

    fn has_to_judge(&self) -> bool {
        self.engine.state().tools.unjudged() > 0 && self.journal.has_room() && Instant::now() >= self.judges_from
    }

    /// Judges on, in turns after the one that was asked for. The disk has each while the next is decided, so that an edit
    /// of thousands of sessions waits for it about once; and what one ended is closed meanwhile, before the disk has it
    /// (W2.2). `alone`: nobody in the batch waits.
    pub(super) async fn judge_on(&mut self, now: Time, alone: bool, under_way: &mut Vec<UnderWay>) {
        let began = Instant::now();
        let mut closing = None;
        let mut turns = 0;
        while self.has_to_judge() && turns < limits::JUDGING_TURNS_PER_COMMIT {
            if alone && !self.is_awaited() {
                self.held.looked();
                // Whoever wants something gets the chance to say so.
                tokio::task::yield_now().await;
                self.held.begin();
            } else if began.elapsed() >= Duration::from_millis(limits::JUDGING_BESIDE_OTHERS.0) {
                break;
            }
            let mut judging = Turn::default();
            let request = Request { actor: Actor::System, id: None, command: Command::JudgeRights };
            if let Err(refusal) = self.decide(now, request, &mut judging) {
                tracing::error!(error = %refusal, "what an edit touched could not be judged");
                break;
            }
            turns += 1;
            if judging.events.is_empty() {
                continue;
            }
            let next = self.close_aside(judging);
            if let Some(before) = closing.replace(next) {
                self.closed(before, under_way).await;
            }
        }
        if let Some(last) = closing {
            self.closed(last, under_way).await;
        }
    }

    fn is_awaited(&self) -> bool {
        !self.mailbox.is_empty() || self.engine.next_deadline().is_some_and(|due| due <= self.clock.now())
    }

    /// Tells those of one turn of judging, once there is nothing to judge.
    pub(super) async fn tell_some(&mut self) {
        if !self.has_to_judge()
            && let Some((turn, finals)) = self.untold.0.pop_front()
        {
            self.held.begin();
            self.performer.perform(&turn.events, &finals, self.engine.state(), self.head);
            drop(finals);
            self.held.looked();
        }
        tokio::task::yield_now().await;
    }

    /// Tells all of them: what they are told of is about to be looked at anew.
    pub(super) fn tell_all(&mut self) {
        for (turn, finals) in std::mem::take(&mut self.untold.0) {
            self.performer.perform(&turn.events, &finals, self.engine.state(), self.head);
        }
    }
}
