//! The one task that owns a site's engine: takes bounded batches, decides, makes the turn durable, then lets it be seen.

mod acting;
mod entering;
mod journal;
mod judging;
mod mail;
mod owed;
mod refusals;

pub(super) use mail::{Enter, Mail, Way};

use super::{
    Follower, OwnerError, Settings, Shared, StartError,
    edits::{Editor, Edits},
    history::{self, Histories},
    past::Pasts,
    perform::{Finals, Performer},
};
use crate::{
    clock::{self, EngineClock},
    engine::{Actor, Command, Engine, Outcome, Refusal, Request, Turn},
    ids::*,
    journal::{DataFolder, Journal, Options, SqliteJournal},
    limits,
    time::Time,
};
use journal::{UnderWay, fold, folded};
use judging::Untold;
use mail::{
    broken, fenced, is_a_look, is_an_edit, is_an_end, is_of_an_edit, own_mail, refuse_mail, storage_full, text_bytes,
};
use owed::{Owed, refuse_owed};
use refusals::Refusals;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// One site for each broker so far; its folder below the data folder.
const SITE: &str = "main";

pub(super) struct Owner {
    engine: Engine,
    journal: SqliteJournal,
    head: Seq,
    epoch: u64,
    clock: EngineClock,
    mailbox: mpsc::Receiver<Mail>,
    performer: Performer,
    follower: Follower,
    refusals: Refusals,
    pasts: Pasts,
    histories: Histories,
    edits: Edits,
    /// Ends that the journal did not take: at most one for each connection, channel and leg that lived, for nobody enters
    /// and nothing opens meanwhile. Lost, they would be attached and open for ever.
    put_off: Vec<Command>,
    /// Deciding panicked: the engine is not to be trusted until it is folded anew (W5.2).
    broken: bool,
    /// Another owner has taken the site's journal over: this one must not go on (W5.6).
    fenced: bool,
    untold: Untold,
    /// When judging goes on: a while after it failed, for it may well fail again.
    judges_from: Instant,
    held: Held,
    shared: Arc<Shared>,
}

impl Owner {
    /// Opens the journal and folds it; takes ownership; imports the site where there is none.
    pub async fn open(
        settings: Settings,
        folder: DataFolder,
        shared: Arc<Shared>,
        mailbox: mpsc::Receiver<Mail>,
        follower: Follower,
    ) -> Result<Self, StartError> {
        let options = Options { disk_reserve_bytes: settings.disk_reserve_bytes, ..Options::default() };
        let opened = tokio::task::spawn_blocking(move || {
            let (journal, recovered) = SqliteJournal::open(&folder, SITE, options, fold)?;
            let head = recovered.head;
            let filled = recovered.lacks_history.then(|| history::filled(&journal, head)).flatten();
            let state = filled.map_or_else(|| folded(&journal, recovered), Ok)?;
            Ok::<_, StartError>((journal, head, state))
        });
        let (journal, head, state) = opened.await.expect("opening a journal does not panic")?;
        let clock = EngineClock::start(state.now);
        let epoch = state.owner_epoch + 1;
        let empty = head == Seq(0);
        let mut owner = Self {
            engine: Engine::from_state(state).filing(),
            journal,
            head,
            epoch,
            clock,
            mailbox,
            performer: Performer::new(shared.clone()),
            follower,
            refusals: Refusals::default(),
            pasts: Pasts::new(shared.shutdown.clone()),
            histories: Histories::default(),
            edits: Edits::default(),
            put_off: Vec::new(),
            broken: false,
            fenced: false,
            untold: Untold::default(),
            judges_from: Instant::now(),
            held: Held { since: Instant::now(), waited: Duration::ZERO },
            shared,
        };
        let mut first = vec![Command::TakeOwnership { epoch }, Command::CivilTime { ms: clock::wall_ms() }];
        if empty {
            first.push(Command::ApplySite(Arc::new(settings.site)));
        } else {
            first.push(Command::LoseConnections);
        }
        for command in first {
            owner.own_command(command).await?;
        }
        owner.performer.recover(owner.engine.state());
        Ok(owner)
    }

    /// A command of the owner itself, in a turn of its own.
    async fn own_command(&mut self, command: Command) -> Result<Outcome, StartError> {
        let request = Request { actor: Actor::System, id: None, command };
        let mut turn = Turn::default();
        let now = self.clock.now();
        let outcome = self.engine.handle(now, &request, &mut turn.events)?;
        turn.requests.push((now, request));
        let mut under_way = Vec::new();
        self.put_down(turn, &mut under_way);
        self.all_durable(&mut under_way).await.map_err(StartError::Refused)?;
        for UnderWay { turn, .. } in &under_way {
            (self.follower)(&turn.events, self.engine.state());
        }
        Ok(outcome)
    }

    /// Serves until the broker is shut down. An error: it must not go on, and the process should end.
    pub async fn run(mut self) -> Result<(), OwnerError> {
        let shutdown = self.shared.shutdown.clone();
        let mut batch = Vec::with_capacity(limits::COMMANDS_PER_TURN);
        let mut second = tokio::time::interval(Duration::from_millis(limits::CHANNEL_TICK.0));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut civil = tokio::time::interval(Duration::from_millis(limits::CIVIL_TIME_INTERVAL.0));
        loop {
            // What an edit touched is judged, and those it concerns are told, some at a time: whatever waits has its
            // turn with each (P6.2).
            if self.is_editing() {
                while batch.len() < limits::COMMANDS_PER_TURN
                    && let Ok(mail) = self.mailbox.try_recv()
                {
                    batch.push(mail);
                }
                self.turn(&mut batch).await;
                self.tell_some().await;
                continue;
            }
            let timer = self.engine.next_deadline().map(|due| self.clock.instant(due));
            // While the disk is full no timer can fire; then look again in a while.
            let retry = Instant::now() + Duration::from_millis(limits::JOURNAL_RETRY.0);
            let timer = timer.map(|due| if self.journal.has_room() { due } else { due.max(retry) });
            let views = self.performer.views.next_flush();
            let wake = [timer, views].into_iter().flatten().min();
            // What comes once a second goes first, or a mailbox that is never empty would put it off for ever; other
            // timers follow every batch anyway. The end comes last, so that what was accepted before it is answered.
            tokio::select! {
                biased;
                _ = second.tick() => {
                    let moved = self.performer.tick(self.engine.state());
                    batch.extend(moved.into_iter().map(own_mail));
                    batch.extend(self.refusals.take());
                    batch.extend(std::mem::take(&mut self.put_off).into_iter().map(own_mail));
                }
                _ = civil.tick() => {
                    self.shared.attempts.retain_recent();
                    batch.push(Self::civil_time());
                }
                taken = self.mailbox.recv_many(&mut batch, limits::COMMANDS_PER_TURN) => if taken == 0 { break },
                () = sleep_until(wake) => {}
                () = shutdown.cancelled() => {
                    self.mailbox.close();
                    while let Ok(mail) = self.mailbox.try_recv() { batch.push(mail) }
                    self.turn(&mut batch).await;
                    break;
                }
            }
            self.turn(&mut batch).await;
            if self.fenced {
                return Err(OwnerError::Fenced { epoch: self.epoch });
            }
        }
        self.journal.close();
        Ok(())
    }

    fn civil_time() -> Mail {
        own_mail(Command::CivilTime { ms: clock::wall_ms() })
    }

    /// Decides a batch, makes it durable, and only then lets anyone hear of it. A batch that gives more events, or
    /// brings more text, than a row holds is several turns: one sender's long notes may not make a row too large.
    async fn turn(&mut self, batch: &mut Vec<Mail>) {
        let mut batch = batch.drain(..).peekable();
        loop {
            let now = self.clock.now();
            let began = Instant::now();
            self.held.begin();
            let mut turn = Turn::default();
            let mut owed = Vec::with_capacity(batch.len());
            let room = self.journal.has_room();
            if room && guarded(|| self.engine.advance(now, &mut turn.events)).is_none() {
                self.broken = true;
                batch.by_ref().for_each(|mail| self.refuse(mail, &broken()));
                self.finish(vec![UnderWay::never(turn)], owed).await;
                // The same timer may well panic again.
                return tokio::time::sleep(Duration::from_millis(limits::JOURNAL_RETRY.0)).await;
            }
            let mut text = 0;
            while !self.broken
                && turn.events.len() < limits::EVENTS_PER_TURN
                && let Some(mail) = batch.next_if(|mail| {
                    let fits = text == 0 || text + text_bytes(mail) <= limits::TEXT_PER_TURN_BYTES;
                    // A site is written whole, and alone in its turn (W5.6).
                    fits && (turn.requests.is_empty() || !is_an_edit(mail)) && !turn.requests.iter().any(is_of_an_edit)
                })
            {
                text += text_bytes(&mail);
                match mail {
                    Mail::Look(look) => look(self.engine.state()),
                    mail if !room && !is_a_look(&mail) => self.refuse(mail, &storage_full()),
                    Mail::Act { from, id, act } => {
                        let answer = self.act(now, &from, id, *act, &mut turn);
                        owed.push(Owed::Reply { to: from, id, answer });
                    }
                    Mail::Enter(enter) => {
                        let outcome = self.enter(now, &enter, &mut turn);
                        owed.push(Owed::Entered { enter, outcome });
                    }
                    Mail::Edit { from, id, site, version } => {
                        let editor = Editor::Connection { to: from, id };
                        owed.push(self.edit(now, editor, site, version, &mut turn));
                    }
                    Mail::Command { request, reply } => {
                        let edits = matches!(request.command, Command::ApplySite(_));
                        let outcome = self.decide(now, *request, &mut turn);
                        owed.push(match outcome {
                            Ok(_) if edits => Owed::Edited(Editor::Command(reply)),
                            outcome => Owed::Command { reply, outcome },
                        });
                    }
                }
            }
            let mut under_way = Vec::new();
            if self.broken {
                under_way.push(UnderWay::never(turn));
            } else {
                self.put_down(turn, &mut under_way);
                let alone = batch.peek().is_none();
                self.judge_on(now, alone, &mut under_way).await;
            }
            let durable = !under_way.is_empty();
            self.finish(under_way, owed).await;
            if self.fenced {
                return batch.for_each(|mail| self.refuse(mail, &fenced()));
            }
            if durable {
                metrics::histogram!("equipoise_journal_lag_seconds").record(began.elapsed().as_secs_f64());
            }
            self.held.looked();
            if batch.peek().is_none() {
                return;
            }
        }
    }

    /// Waits until all of this is durable, and lets it be seen.
    async fn finish(&mut self, mut under_way: Vec<UnderWay>, owed: Vec<Owed>) {
        if std::mem::take(&mut self.broken) {
            tracing::error!("deciding a turn panicked; nothing of it stays; rebuilding from the journal");
            return self.abandon(under_way, owed, &broken()).await;
        }
        if let Err(refusal) = self.all_durable(&mut under_way).await {
            metrics::counter!("equipoise_journal_failures_total").increment(1);
            if self.fenced {
                return owed.into_iter().for_each(|owed| refuse_owed(owed, &refusal));
            }
            tracing::error!(error = %refusal, "a turn could not be made durable; rebuilding from the journal");
            return self.abandon(under_way, owed, &refusal).await;
        }
        for UnderWay { turn, .. } in &under_way {
            (self.follower)(&turn.events, self.engine.state());
        }
        // What was asked for comes first, if anything came of it; turns of judging owe nothing.
        let nothing = Finals::default();
        let finals = under_way.first().map_or(&nothing, |asked| &asked.finals);
        for owed in owed {
            self.pay(owed, finals);
        }
        for UnderWay { turn, finals, .. } in &under_way {
            self.edits.gather(&turn.events, finals);
        }
        // Before anybody is told: those whose rights ended are many, and their gates are shut (P6.2).
        if self.engine.state().tools.unjudged() == 0 {
            self.edits.answer(self.engine.state());
        }
        for under_way in under_way {
            let judges = under_way.judges();
            let UnderWay { turn, finals, .. } = under_way;
            match judges {
                true => self.untold.add(turn, finals),
                false => self.performer.perform(&turn.events, &finals, self.engine.state(), self.head),
            }
        }
        self.performer.views.flush_if_due(self.engine.state(), self.head);
    }

    /// Answers what cannot be done; that somebody or something has ended is only put off.
    fn refuse(&mut self, mail: Mail, refusal: &Refusal) {
        match mail {
            Mail::Command { request, .. } if is_an_end(&request.command) => self.put_off.push(request.command),
            mail => refuse_mail(mail, refusal),
        }
    }

    /// One request of the owner's turn; it stands in the journal if something came of it.
    fn decide(&mut self, now: Time, request: Request, turn: &mut Turn) -> Result<Outcome, Refusal> {
        let before = turn.events.len();
        let Some(outcome) = guarded(|| self.engine.handle(now, &request, &mut turn.events)) else {
            self.broken = true;
            return Err(broken());
        };
        let outcome = outcome?;
        if turn.events.len() > before {
            turn.requests.push((now, request));
        }
        Ok(outcome)
    }
}

/// `None` where it panicked. The panic hook has said where; what it left half done is dropped by the caller.
fn guarded<T>(act: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).ok()
}

/// For how long the owner is at work without looking at its mailbox.
struct Held {
    since: Instant,
    waited: Duration,
}

impl Held {
    fn begin(&mut self) {
        *self = Self { since: Instant::now(), waited: Duration::ZERO };
    }

    /// So much of it was waiting, for the journal or for what is closed beside.
    fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    fn looked(&self) {
        metrics::histogram!("equipoise_turn_seconds").record((self.since.elapsed() - self.waited).as_secs_f64());
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
