//! The one task that owns a site's engine: takes bounded batches, decides, makes the turn durable, then lets it be seen.

use super::{
    Connection, Denied, Follower, Origin, OwnerError, Settings, Shared, StartError, denied,
    directory::Proof,
    edits::{self, Editor, Edits},
    past::Pasts,
    perform::Performer,
    port::refused_by,
    resolve,
    waiting_room::no_rep,
};
use crate::{
    clock::{self, EngineClock},
    engine::{
        Actor, Command, Engine, Event, Outcome, Reason, Refusal, Request, State, Turn,
        command::{Ask, Customer},
        telling::Teller,
    },
    identity::{LinkSeed, Secret},
    ids::*,
    journal::{Appended, DataFolder, Journal, OpenError, Options, Recovered, SqliteJournal},
    limits,
    policy::Tool,
    relay::Outbox,
    site::raw::RawSite,
    time::Time,
    wire::{
        CloseCode,
        control::{Do, Done, Explained, FromBroker, Hello, Refused, Role, Value},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// One site for each broker so far; its folder below the data folder.
const SITE: &str = "main";

/// What the owner is asked.
pub(super) enum Mail {
    /// A request of an attached connection; the answer goes to its outbox.
    Act { from: Arc<Connection>, id: u64, act: Box<Do> },
    /// An administrator's edit of the site, read; `version` is the one that was edited.
    Edit { from: Arc<Connection>, id: u64, site: Box<RawSite>, version: Option<u64> },
    /// Somebody who said hello.
    Enter(Box<Enter>),
    /// A command of the broker's own.
    Command { request: Box<Request>, reply: oneshot::Sender<Result<Outcome, Refusal>> },
    /// A look at the state between two turns.
    Look(Box<dyn FnOnce(&State) + Send>),
}

pub(super) struct Enter {
    pub way: Way,
    pub hello: Hello,
    pub origin: Origin,
    pub outbox: Arc<Outbox>,
    pub resume: Secret,
    pub reply: oneshot::Sender<Result<Arc<Connection>, Denied>>,
}

/// What somebody presented, as far as it was proven outside.
pub(super) enum Way {
    /// A password was right, against this version of the credential (W5.7).
    User {
        user: UserId,
        version: u32,
    },
    Key(SecretHash),
    Service {
        key: SecretHash,
        links: LinkSeed,
    },
    Resume(SecretHash),
}

/// What is owed to whoever asked, once the turn is durable.
enum Owed {
    Reply {
        to: Arc<Connection>,
        id: u64,
        answer: Result<Answer, Refusal>,
    },
    Entered {
        enter: Box<Enter>,
        outcome: Result<(Actor, AttachEpoch), Denied>,
    },
    Command {
        reply: oneshot::Sender<Result<Outcome, Refusal>>,
        outcome: Result<Outcome, Refusal>,
    },
    /// Answered when everything that the edit touched is judged (P6.2).
    Edited(Editor),
}

/// An answer that is finished from the state after the turn.
enum Answer {
    Outcome { outcome: Outcome, secret: Option<Secret>, expires_at_ms: u64 },
    Look(resolve::Look),
}

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
    edits: Edits,
    /// Ends that the journal did not take: at most one for each connection, channel and leg that lived, for nobody enters
    /// and nothing opens meanwhile. Lost, they would be attached and open for ever.
    put_off: Vec<Command>,
    /// Deciding panicked: the engine is not to be trusted until it is folded anew (W5.2).
    broken: bool,
    /// Another owner has taken the site's journal over: this one must not go on (W5.6).
    fenced: bool,
    shared: Arc<Shared>,
}

/// Refused requests for tools since the last record of them (P6.3): one record for each person and tool a second.
#[derive(Default)]
struct Refusals(BTreeMap<(SessionId, ParticipantId, Tool), (u32, String)>);

impl Refusals {
    fn note(&mut self, session: SessionId, participant: ParticipantId, tool: Tool, source: &str) {
        let (count, _) = self.0.entry((session, participant, tool)).or_insert_with(|| (0, source.to_owned()));
        *count = count.saturating_add(1);
    }

    fn take(&mut self) -> impl Iterator<Item = Mail> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|((session, participant, tool), (count, source))| {
            own_mail(Command::Refusals { session, participant, tool, count, source })
        })
    }
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
            let state = folded(&journal, recovered)?;
            Ok::<_, StartError>((journal, head, state))
        });
        let (journal, head, state) = opened.await.expect("opening a journal does not panic")?;
        let clock = EngineClock::start(state.now);
        let epoch = state.owner_epoch + 1;
        let empty = head == Seq(0);
        let mut owner = Self {
            engine: Engine::from_state(state),
            journal,
            head,
            epoch,
            clock,
            mailbox,
            performer: Performer::new(shared.clone()),
            follower,
            refusals: Refusals::default(),
            pasts: Pasts::new(shared.shutdown.clone()),
            edits: Edits::default(),
            put_off: Vec::new(),
            broken: false,
            fenced: false,
            shared,
        };
        let mut first = vec![Command::TakeOwnership { epoch }, Command::CivilTime { ms: clock::wall_ms() }];
        if empty {
            first.push(Command::ApplySite(Box::new(settings.site)));
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
        self.commit(&turn).await.map_err(StartError::Refused)?;
        (self.follower)(&turn.events, self.engine.state());
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
            // What an edit touched is judged a turn at a time, and whatever waits has its turn with each (P6.2).
            if self.engine.state().tools.unjudged() > 0 && self.journal.has_room() {
                while batch.len() < limits::COMMANDS_PER_TURN
                    && let Ok(mail) = self.mailbox.try_recv()
                {
                    batch.push(mail);
                }
                batch.push(own_mail(Command::JudgeRights));
                self.turn(&mut batch).await;
                continue;
            }
            let timer = self.engine.next_deadline().map(|due| self.clock.instant(due));
            // While the disk is full no timer can fire; then look again in a while.
            let retry = std::time::Instant::now() + Duration::from_millis(limits::JOURNAL_RETRY.0);
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
            let began = std::time::Instant::now();
            let mut turn = Turn::default();
            let mut owed = Vec::with_capacity(batch.len());
            let room = self.journal.has_room();
            if room && guarded(|| self.engine.advance(now, &mut turn.events)).is_none() {
                self.broken = true;
                batch.by_ref().for_each(|mail| self.refuse(mail, &broken()));
                self.finish(turn, owed).await;
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
            let durable = !turn.events.is_empty();
            self.finish(turn, owed).await;
            if self.fenced {
                return batch.for_each(|mail| self.refuse(mail, &fenced()));
            }
            if durable {
                metrics::histogram!("equipoise_journal_lag_seconds").record(began.elapsed().as_secs_f64());
            }
            if batch.peek().is_none() {
                return;
            }
        }
    }

    async fn finish(&mut self, turn: Turn, owed: Vec<Owed>) {
        if std::mem::take(&mut self.broken) {
            tracing::error!("deciding a turn panicked; nothing of it stays; rebuilding from the journal");
            return self.abandon(turn, owed, &broken()).await;
        }
        // Rights that end are closed before the turn is durable, rights that begin are opened after it (W2.2).
        let finals = self.performer.narrow(&turn.events);
        if !turn.events.is_empty()
            && let Err(refusal) = self.commit(&turn).await
        {
            metrics::counter!("equipoise_journal_failures_total").increment(1);
            if self.fenced {
                return owed.into_iter().for_each(|owed| refuse_owed(owed, &refusal));
            }
            tracing::error!(error = %refusal, "a turn could not be made durable; rebuilding from the journal");
            return self.abandon(turn, owed, &refusal).await;
        }
        (self.follower)(&turn.events, self.engine.state());
        for owed in owed {
            self.pay(owed, &finals);
        }
        self.edits.gather(&turn.events, &finals);
        if self.engine.state().tools.unjudged() == 0 {
            self.edits.answer(self.engine.state());
        }
        self.performer.perform(&turn.events, self.engine.state(), self.head);
    }

    /// A turn that is not to be: whoever waits is refused, and the engine is folded anew without it.
    async fn abandon(&mut self, turn: Turn, owed: Vec<Owed>, refusal: &Refusal) {
        for owed in owed {
            refuse_owed(owed, refusal);
        }
        self.edits.abandon(refusal);
        self.put_off.extend(turn.requests.into_iter().map(|(_, request)| request.command).filter(is_an_end));
        let before = self.head;
        self.rebuild().await;
        if self.fenced {
            return;
        }
        // The journal took it after all, though it could not say so in time: all that follows from it, follows.
        if self.head > before {
            (self.follower)(&turn.events, self.engine.state());
            self.performer.perform(&turn.events, self.engine.state(), self.head);
            for stamped in turn.events {
                // Whoever entered was refused, so there is no connection.
                if let Event::Attached { party, epoch, .. } = stamped.event {
                    self.put_off.push(Command::Lost { party, epoch });
                }
            }
        }
        self.performer.recover(self.engine.state());
    }

    /// Appends a turn; `Err` when it is not, or perhaps not, durable.
    async fn commit(&mut self, turn: &Turn) -> Result<(), Refusal> {
        let started = std::time::Instant::now();
        let answer = match self.journal.append(Seq(self.head.0 + 1), self.epoch, turn).await {
            Appended::Durable(head) => {
                self.head = head;
                Ok(())
            }
            Appended::Fenced => {
                self.fenced = true;
                Err(fenced())
            }
            Appended::TooLarge { bytes } => Err(Refusal::new(
                Reason::LimitReached,
                "W5.6",
                format!("this would be a record of {bytes} bytes, more than the journal takes; split it"),
            )),
            Appended::Unknown => Err(storage_full()),
        };
        metrics::histogram!("equipoise_journal_commit_seconds").record(started.elapsed().as_secs_f64());
        answer
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

    fn act(&mut self, now: Time, from: &Connection, id: u64, act: Do, turn: &mut Turn) -> Result<Answer, Refusal> {
        // A connection that was replaced says nothing any more (W3.1).
        if from.outbox.closing().is_some() {
            return Err(Refusal::new(Reason::Stale, "W3.1", "this connection was replaced by a newer one"));
        }
        // Asked for again, a session has the same link.
        let kept = match (&act, &from.proof) {
            (Do::Ask(_), Proof::Key { links, .. }) if id >= limits::SERVICE_REQUEST_IDS_FROM => Some(links.link(id)),
            _ => None,
        };
        let is_kept = kept.is_some();
        let secret = kept.or_else(|| match act {
            Do::MakeKey { kind: crate::wire::control::KeyKind::Code, .. } => Some(Secret::code()),
            Do::MakeKey { .. } | Do::Ask(_) | Do::InviteExternal { .. } => Some(Secret::link()),
            Do::MakeServiceKey { .. } => Some(Secret::token()),
            _ => None,
        });
        // The answer to an earlier one was lost with its secret, of which only the hash is known: another is made.
        let known = || self.engine.state().parties.remembered(from.actor, id).is_some();
        let again = secret.is_some() && !is_kept && known();
        let hash = secret.as_ref().map_or(SecretHash([0; 32]), Secret::hash);
        match resolve::resolve(act, from.actor, self.engine.state(), now, hash)? {
            resolve::Resolved::Look(look) => Ok(Answer::Look(look)),
            resolve::Resolved::Command(command) => {
                let command = *command;
                let expires_at_ms = match &command {
                    Command::MakeKey { expires, .. } => expires.0,
                    Command::InviteExternal { .. } => (now + limits::EXTERNAL_KEY).0,
                    _ => 0,
                };
                let asked = match &command {
                    Command::Open { session, tool, .. } => Some((*session, *tool)),
                    _ => None,
                };
                let request = Request { actor: from.actor, id: (!again).then_some(id), command };
                let outcome = self.decide(now, request, turn).inspect_err(|refusal| {
                    if let (Some((session, tool)), Some(source)) = (asked, &refusal.source)
                        && let Some(participant) = from.seat(session)
                    {
                        self.refusals.note(session, participant, tool, source);
                    }
                })?;
                Ok(Answer::Outcome { outcome, secret, expires_at_ms })
            }
        }
    }

    /// Makes the site another one, if it is still the one that was edited (W5.7).
    fn edit(&mut self, now: Time, editor: Editor, site: Box<RawSite>, version: Option<u64>, turn: &mut Turn) -> Owed {
        let Editor::Connection { to, id } = &editor else { return Owed::Edited(editor) };
        let (to, id, live) = (to.clone(), *id, self.engine.state().site_version);
        let stale = to.outbox.closing().is_some() || version.is_some_and(|version| version != live);
        let done = match stale {
            true => Err(Refusal::new(Reason::Stale, "W5.7", "the site was edited meanwhile: look at it again")),
            false => {
                let request = Request { actor: to.actor, id: None, command: Command::ApplySite(site) };
                self.decide(now, request, turn)
            }
        };
        match done {
            Ok(_) => Owed::Edited(editor),
            Err(refusal) => Owed::Reply { to, id, answer: Err(refusal) },
        }
    }

    /// Who somebody is from this turn on, with the epoch of the new connection.
    fn enter(&mut self, now: Time, enter: &Enter, turn: &mut Turn) -> Result<(Actor, AttachEpoch), Denied> {
        let resume = enter.resume.hash();
        let client = resolve::client(enter.hello.client.clone()).map_err(|refusal| Denied {
            code: CloseCode::BadMessage,
            refused: refused_by(refusal),
            work: None,
        })?;
        let state = self.engine.state();
        let command = match &enter.way {
            Way::User { user, version } if enter.hello.role == Role::Admin => {
                let administrator = state.accounts.credential(*user).is_some_and(|found| found.version == *version)
                    && resolve::is_administrator(state, *user);
                return if administrator {
                    Ok((Actor::Admin(*user), AttachEpoch(0)))
                } else {
                    Err(denied(CloseCode::Forbidden, "not_permitted", "this account is no administrator"))
                };
            }
            Way::User { user, version } => Command::Login { user: *user, version: *version, resume, client },
            Way::Service { key, .. } => {
                let service = state.accounts.service_of(*key);
                return service.map(|service| (Actor::Service(service), AttachEpoch(0))).ok_or_else(|| {
                    denied(CloseCode::Unauthenticated, "unauthenticated", "this credential is not good here")
                });
            }
            Way::Key(key) if enter.hello.role == Role::External => Command::RedeemInvite { key: *key, client, resume },
            Way::Key(key) => {
                let host = enter.origin.host.as_deref();
                let customer = Customer { client, ..Customer::default() };
                Command::Redeem { key: *key, portal: resolve::portal(&state.site, host), customer, resume }
            }
            // It is good for the role it was given for, and a wrong claim uses none up.
            Way::Resume(presented)
                if state.parties.party_of(*presented).is_some_and(|party| role_of(party) != enter.hello.role) =>
            {
                let message = "this token was given for another role";
                return Err(denied(CloseCode::Unauthenticated, "unauthenticated", message));
            }
            Way::Resume(presented) => Command::Reattach { presented: *presented, resume },
        };
        let portal = match &command {
            Command::Redeem { portal, .. } => *portal,
            _ => None,
        };
        let request = Request { actor: Actor::System, id: None, command };
        match self.decide(now, request, turn).map_err(|mut refusal| {
            if refusal.reason == Reason::NoRepAvailable {
                // R2.6: with the portal's own words.
                let (text, url) = no_rep(&self.engine.state().site, portal);
                refusal.message = [text, url].join(" ").trim_end().to_owned();
            }
            let code = match refusal.reason {
                Reason::KeyGone | Reason::TokenGone => CloseCode::Gone,
                Reason::SessionEnded => CloseCode::SessionEnded,
                Reason::Stale => CloseCode::Unauthenticated,
                Reason::StorageFull => CloseCode::Storage,
                Reason::LimitReached => CloseCode::Overloaded,
                _ => CloseCode::Forbidden,
            };
            Denied { code, refused: refused_by(refusal), work: None }
        })? {
            Outcome::Attached { party, epoch } => Ok((Actor::Party(party), epoch)),
            // H-56: recorded, and nobody comes in by it.
            _ => Err(denied(CloseCode::Gone, "token_gone", "this token was used before")),
        }
    }

    /// Gives whoever asked what is owed, the turn being durable.
    fn pay(&mut self, owed: Owed, finals: &super::perform::Finals) {
        match owed {
            Owed::Command { reply, outcome } => {
                // Whoever asked may have gone.
                let _ = reply.send(outcome);
            }
            Owed::Reply { to, id, answer: Ok(Answer::Look(resolve::Look::Past(session, offer))) } => {
                self.pasts.tell(to, id, Teller::new(session, offer), || self.journal.read_from(Seq(1)));
            }
            Owed::Edited(editor) => self.edits.wait(editor),
            Owed::Reply { to, id, answer } => {
                if let (Actor::Service(_), Ok(Answer::Outcome { outcome: Outcome::Session(session), .. })) =
                    (to.actor, &answer)
                {
                    self.performer.watch(*session, &to, self.engine.state());
                }
                let answer = answer
                    .map(|answer| Box::new(self.done(&to, answer, finals)))
                    .map_err(|refusal| Box::new(refused_by(refusal)));
                to.say(&FromBroker::Reply { re: id, answer });
            }
            Owed::Entered { enter, outcome } => {
                let Enter { way, hello, origin, outbox, resume, reply } = *enter;
                let proof = match way {
                    Way::User { version, .. } => Proof::Credential(version.into()),
                    Way::Service { key, links } => Proof::Key { key, links },
                    Way::Key(_) | Way::Resume(_) => Proof::OfParty,
                };
                let connection = outcome.map(|(actor, epoch)| {
                    let state = self.engine.state();
                    self.performer.enter(actor, epoch, outbox, origin.transport, hello, proof, resume, state, self.head)
                });
                if let Err(Ok(orphan)) = reply.send(connection) {
                    // The transport gave up while the turn was made durable: the party is lost at once.
                    if self.shared.directory.leave(&orphan)
                        && let Some(party) = orphan.party()
                    {
                        self.shared.tell_owner(Command::Lost { party, epoch: orphan.epoch });
                    }
                }
            }
        }
    }

    /// R9.2: that it would be refused is an answer as well.
    fn dry_run(&self, ask: &Ask) -> Explained {
        let state = self.engine.state();
        match self.engine.explain_ask(state.now, ask) {
            Ok(found) => found.told(state, SessionId(0)),
            Err(refusal) => Explained { refused: Some(Box::new(refused_by(refusal))), ..Explained::default() },
        }
    }

    fn done(&self, to: &Connection, answer: Answer, finals: &super::perform::Finals) -> Done {
        let state = self.engine.state();
        match answer {
            Answer::Look(resolve::Look::Explain(session) | resolve::Look::Past(session, _)) => {
                Done::Explained(Box::new(state.explained(session)))
            }
            Answer::Look(resolve::Look::ExplainAsk(ask)) => Done::Explained(Box::new(self.dry_run(&ask))),
            Answer::Look(resolve::Look::Site(at)) => edits::site_from(state, at),
            Answer::Outcome { outcome, secret, expires_at_ms } => match (outcome, secret) {
                (Outcome::Session(session), Some(join)) => {
                    Done::Asked { session: session.0, join: join.reveal().into() }
                }
                (Outcome::Session(session), None) => match state.session(session) {
                    Some(_) => Done::Session(Box::new(self.performer.session_view(state, session))),
                    None => Done::Yes {},
                },
                (Outcome::Done | Outcome::Service(_), Some(key)) => {
                    Done::Key { key: key.reveal().into(), expires_at_ms }
                }
                (Outcome::Notice(notice), _) => Done::Notice { notice: notice.0 },
                (Outcome::Opening { open, prompt }, _) => {
                    Done::Opening { open: open.0, prompt: prompt.map(|prompt| prompt.0) }
                }
                (Outcome::Revoked { epoch, legs }, _) => Done::Revoked { epoch: epoch.0, finals: finals.of(&legs, to) },
                _ => Done::Yes {},
            },
        }
    }
}

/// The state that a journal's snapshot and turns add up to. A snapshot of another version is passed over: the turns
/// alone give the same state, only later.
fn folded(journal: &SqliteJournal, recovered: Recovered) -> Result<State, StartError> {
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
fn fold(snapshot: Option<&[u8]>, turns: &mut dyn Iterator<Item = Turn>) -> Result<Vec<u8>, String> {
    let mut state = snapshot.map_or_else(|| Ok(State::default()), read_state)?;
    for turn in turns {
        for stamped in &turn.events {
            Engine::apply(&mut state, stamped);
        }
    }
    rmp_serde::to_vec_named(&state).map_err(|error| error.to_string())
}

fn read_state(bytes: &[u8]) -> Result<State, String> {
    let mut state: State = rmp_serde::from_slice(bytes).map_err(|error| error.to_string())?;
    state.rebuild();
    Ok(state)
}

fn fenced() -> Refusal {
    Refusal::new(Reason::StorageFull, "W5.6", "another broker owns this site: this one ends; come back to the other")
}

fn storage_full() -> Refusal {
    Refusal::new(
        Reason::StorageFull,
        "W5.2",
        "the broker's disk takes no more; what was acknowledged is safe; free space and try again",
    )
}

/// Bytes of a mail whose number its sender chooses.
fn text_bytes(mail: &Mail) -> usize {
    let facts = |facts: &BTreeMap<String, Value>| -> usize {
        let one = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::List(texts) => texts.iter().map(|text| text.len() + 8).sum(),
            Value::Bool(_) | Value::Int(_) => 8,
        };
        facts.iter().map(|(name, value)| name.len() + one(value) + 8).sum()
    };
    match mail {
        Mail::Act { act, .. } => match &**act {
            Do::Open(open) => facts(&open.args),
            Do::AcceptOpen { facts: given, .. } | Do::Note { facts: given, .. } => facts(given),
            Do::PublishNotice { text, .. } => text.len(),
            Do::Ask(ask) => ask.customer_name.len() + ask.details.len() + ask.external_key.len(),
            _ => 0,
        },
        Mail::Enter(enter) => {
            let client = &enter.hello.client;
            client.name.len() + client.version.len() + client.display_name.len() + client.locale.len()
        }
        Mail::Command { .. } | Mail::Edit { .. } | Mail::Look(_) => 0,
    }
}

/// `None` where it panicked. The panic hook has said where; what it left half done is dropped by the caller.
fn guarded<T>(act: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).ok()
}

fn broken() -> Refusal {
    Refusal::new(Reason::Overloaded, "W5.2", "the broker made a mistake and starts afresh from its journal; try again")
}

/// As what a party says hello.
fn role_of(party: Party) -> Role {
    match party {
        Party::Rep(_) => Role::Rep,
        Party::Customer(_) => Role::Customer,
        Party::External(..) => Role::External,
    }
}

fn is_an_edit(mail: &Mail) -> bool {
    match mail {
        Mail::Edit { .. } => true,
        Mail::Command { request, .. } => matches!(request.command, Command::ApplySite(_)),
        _ => false,
    }
}

fn is_of_an_edit((_, request): &(Time, Request)) -> bool {
    matches!(request.command, Command::ApplySite(_))
}

/// What has happened already, and only has to become known.
fn is_an_end(command: &Command) -> bool {
    matches!(command, Command::Lost { .. } | Command::ChannelEnded { .. } | Command::LegEnded { .. })
}

/// A command of the broker's own, whose answer nobody waits for.
fn own_mail(command: Command) -> Mail {
    let (reply, _) = oneshot::channel();
    Mail::Command { request: Box::new(Request { actor: Actor::System, id: None, command }), reply }
}

/// Changes nothing, so a full disk does not hinder it (W5.2).
fn is_a_look(mail: &Mail) -> bool {
    let Mail::Act { act, .. } = mail else { return false };
    matches!(**act, Do::Explain { .. } | Do::ExplainAsk(_) | Do::Site {} | Do::SitePart { .. })
}

fn refuse_mail(mail: Mail, refusal: &Refusal) {
    match mail {
        Mail::Look(_) => {}
        Mail::Act { from, id, .. } => {
            from.say(&FromBroker::Reply { re: id, answer: Err(Box::new(refused_by(refusal.clone()))) });
        }
        Mail::Edit { from, id, .. } => Editor::Connection { to: from, id }.refuse(refusal),
        Mail::Enter(enter) => {
            let _ = enter.reply.send(Err(storage_denied(refusal)));
        }
        Mail::Command { reply, .. } => {
            let _ = reply.send(Err(refusal.clone()));
        }
    }
}

fn refuse_owed(owed: Owed, refusal: &Refusal) {
    match owed {
        Owed::Edited(editor) => editor.refuse(refusal),
        Owed::Reply { to, id, .. } => {
            to.say(&FromBroker::Reply { re: id, answer: Err(Box::new(refused_by(refusal.clone()))) });
        }
        Owed::Entered { enter, .. } => {
            let _ = enter.reply.send(Err(storage_denied(refusal)));
        }
        Owed::Command { reply, .. } => {
            let _ = reply.send(Err(refusal.clone()));
        }
    }
}

fn storage_denied(refusal: &Refusal) -> Denied {
    let refused = Refused { retry_after_ms: Some(limits::JOURNAL_RETRY.0), ..refused_by(refusal.clone()) };
    Denied { code: CloseCode::Storage, refused, work: None }
}

async fn sleep_until(wake: Option<std::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}
