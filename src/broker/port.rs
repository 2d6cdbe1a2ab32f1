//! One attached connection, as the transport holds it: messages go to the owner, frames straight to their channel.

use super::{
    Broker, Connection,
    directory::Routed,
    edits::{self, Pieces},
    owner::Mail,
    refused,
};
use crate::{
    engine::{Actor, Command, PasswordTerms, Refusal},
    ids::*,
    limits,
    policy::Tool,
    relay::{Fault, Outbox, Passed},
    wire::{
        CloseCode, Frame, Kind,
        control::{Do, FromBroker, FromClient, Refused},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How many control messages a connection may send: a steady rate, and what may be saved up (W4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    pub per_s: u32,
    pub burst: u32,
}

impl Pace {
    /// A person at a console, a customer, an administrator.
    pub const PERSON: Self = Self { per_s: limits::PERSON_MESSAGES_PER_S, burst: limits::PERSON_MESSAGES_BURST };
    pub const SERVICE: Self = Self { per_s: limits::SERVICE_MESSAGES_PER_S, burst: limits::SERVICE_MESSAGES_BURST };
}

/// The connection's one task owns it; dropping it detaches the connection.
pub struct Port {
    broker: Broker,
    connection: Arc<Connection>,
    /// Frames of one channel that were read and are not passed on yet.
    run: VecDeque<Frame>,
    /// Channels this connection has used. Its seat is asked each time: who leaves a session and joins it again has
    /// another.
    known: IdMap<ChannelId, Arc<Routed>>,
    /// Frames that go nowhere: those that crossed the end of their channel are forgiven, a flood of them is not (H-74).
    dropped: Bucket,
    /// Those of them that no permission allows, to be told of (P6.3).
    denied: Denied,
    /// RESUME and REFRESH: each makes a writer send again (W1.6).
    restarts: Bucket,
    /// An edit of the site that comes in pieces; only who may edit some of it has one.
    edit: Pieces,
}

/// How much of something a connection may still do; it fills up with time.
#[derive(Debug)]
struct Bucket {
    used: f64,
    filled: Instant,
}

/// Frames of a connection that no permission allows, since the owner was last told of them: no more entries than a
/// connection has channels.
#[derive(Debug, Default)]
struct Denied {
    told: Option<Instant>,
    counts: BTreeMap<DeniedOf, u32>,
}

/// In which session as whom, of what tool, and by what; nothing: by what the policy says.
type DeniedOf = (SessionId, ParticipantId, Tool, &'static str);

impl Bucket {
    fn new() -> Self {
        Self { used: 0.0, filled: Instant::now() }
    }

    fn allows(&mut self, now: Instant, per_s: u32, burst: u32) -> bool {
        let rested = now.saturating_duration_since(self.filled).as_secs_f64();
        self.used = (self.used - rested * f64::from(per_s)).max(0.0) + 1.0;
        self.filled = now;
        self.used <= f64::from(burst)
    }
}

impl Port {
    pub(super) fn new(broker: Broker, connection: Arc<Connection>) -> Self {
        Self {
            broker,
            connection,
            run: VecDeque::new(),
            known: IdMap::default(),
            dropped: Bucket::new(),
            denied: Denied::default(),
            restarts: Bucket::new(),
            edit: Pieces::default(),
        }
    }

    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.connection.outbox
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub fn pace(&self) -> Pace {
        match self.connection.actor {
            Actor::Service(_) | Actor::System => Pace::SERVICE,
            Actor::Admin(_) | Actor::Party(_) => self.broker.shared.person_pace,
        }
    }

    /// Takes one control message. Waits while the owner's mailbox is full, so a flood slows itself.
    pub async fn message(&mut self, message: FromClient) {
        match message {
            // What is rare waits on the heap, so that no connection keeps room for it.
            FromClient::Request { id, act } => match *act {
                Do::ApplySite { text, more, version } => Box::pin(self.apply_site(id, text, more, version)).await,
                Do::SetPassword { username, password, must_reset, expires_at_ms } => {
                    let terms = PasswordTerms { must_reset, expires_ms: expires_at_ms };
                    Box::pin(self.set_password(id, username, password.into(), terms)).await;
                }
                Do::Unlock { username } => Box::pin(self.unlock(id, &username)).await,
                Do::ResetSecondFactor { username } => Box::pin(self.reset_second_factor(id, &username)).await,
                act => {
                    let mail = Mail::Act { from: self.connection.clone(), id, act: Box::new(act) };
                    if self.broker.send(mail).await.is_err() {
                        self.answer(id, Err(refused("draining", "the broker is about to restart")));
                    }
                }
            },
            FromClient::Unknown { id, name } => {
                self.answer(id, Err(refused("unknown_request", &format!("there is no request called “{name}”"))));
            }
            FromClient::Ping(n) => self.connection.say(&FromBroker::Pong(n)),
            FromClient::Pong(_) => {}
            // The transport takes the first hello; a second says nothing about who this is.
            FromClient::Hello(_) => self.connection.close(CloseCode::BadMessage, "a second hello"),
        }
    }

    /// Gathers the pieces, reads the whole and checks it beside the live site, so that the owner need only take it.
    async fn apply_site(&mut self, id: u64, piece: String, more: bool, version: Option<u64>) {
        let actor = self.connection.actor;
        // Nobody else has anything gathered.
        match self.broker.look(move |state| state.may_edit_site(actor)).await {
            Ok(Ok(())) => {}
            Ok(Err(refusal)) => return self.answer(id, Err(refused_by(refusal))),
            Err(refused) => return self.answer(id, Err(refused)),
        }
        let text = match self.edit.take(&piece, more) {
            Ok(Some(text)) => text,
            Ok(None) => return self.answer(id, Ok(crate::wire::Done::Yes {})),
            Err(refused) => return self.answer(id, Err(refused)),
        };
        let live = match self.broker.look(|state| (state.site.clone(), state.site_version)).await {
            Ok(live) => live,
            Err(refused) => return self.answer(id, Err(refused)),
        };
        let read = tokio::task::spawn_blocking(move || edits::read(&text, &live.0, live.1, actor)).await;
        match read {
            Ok(Ok(site)) => {
                let mail = Mail::Edit { from: self.connection.clone(), id, site, version };
                if self.broker.send(mail).await.is_err() {
                    self.answer(id, Err(refused("draining", "the broker is about to restart")));
                }
            }
            Ok(Err(refusal)) => self.answer(id, Err(refused_by(refusal))),
            Err(_) => self.answer(id, Err(refused("overloaded", "the site could not be read; try again"))),
        }
    }

    async fn set_password(&self, id: u64, username: String, password: String, terms: PasswordTerms) {
        let from = Some(&*self.connection);
        let set = self.broker.set_password_from(self.connection.actor, &username, password, terms, from);
        let answer = set.await;
        self.answer(id, answer.map(|()| crate::wire::Done::Yes {}));
    }

    async fn unlock(&self, id: u64, username: &str) {
        let answer = self.broker.unlock(self.connection.actor, username).await;
        self.answer(id, answer.map(|()| crate::wire::Done::Yes {}));
    }

    async fn reset_second_factor(&self, id: u64, username: &str) {
        let answer = self.broker.reset_second_factor(self.connection.actor, username).await;
        self.answer(id, answer.map(|()| crate::wire::Done::Yes {}));
    }

    fn answer(&self, re: u64, answer: Result<crate::wire::Done, Refused>) {
        self.connection.say(&FromBroker::Reply { re, answer: answer.map(Box::new).map_err(Box::new) });
    }

    /// Takes one frame, data or steering. Those of one channel that come together are passed on together, by
    /// [`Self::flush`] at the latest.
    ///
    /// # Errors
    /// As [`Self::flush`], or more was asked for again than anybody needs: the connection closes.
    pub fn frame(&mut self, frame: Frame) -> Result<(), CloseCode> {
        if matches!(frame.header.kind, Kind::Resume | Kind::Refresh) {
            let sessions = u32::try_from(self.connection.sessions().max(1)).unwrap_or(u32::MAX);
            let burst = sessions.saturating_mul(limits::RESTARTS_BURST_PER_SESSION);
            if !self.restarts.allows(Instant::now(), limits::RESTARTS_PER_S, burst) {
                return Err(CloseCode::RateLimited);
            }
        }
        let follows = |last: &Frame| last.header.channel == frame.header.channel;
        if self.run.len() >= limits::FRAMES_PASSED_AT_ONCE || !self.run.back().is_none_or(follows) {
            self.flush(Instant::now())?;
        }
        self.run.push_back(frame);
        Ok(())
    }

    /// Passes on the frames that were read; due whenever reading is done for now. A channel of a session that this
    /// connection has no part in answers as one that does not exist: with nothing (H-42). Of one that it had a part in,
    /// its end is said again, at most once a second for the connection (P6.3). The first fault closes its channel, the
    /// connection lives (I-P12).
    ///
    /// # Errors
    /// More frames than can have crossed an end went nowhere (H-74): the connection closes.
    pub fn flush(&mut self, now: Instant) -> Result<(), CloseCode> {
        let mut run = std::mem::take(&mut self.run);
        let Some(routed) = run.front().map(|first| self.routed(first.header.channel)) else { return Ok(()) };
        while let Some(first) = run.front() {
            let is_data = first.header.kind.is_data();
            if let Some((routed, seat)) = &routed {
                match routed.channel.receive(*seat, self.connection.epoch, &mut run, now) {
                    Ok(Passed::Taken) => continue,
                    Ok(Passed::Stale) if is_data && routed.channel.is_over() => self.deny(routed, *seat, "", now),
                    Err(Fault::Kind(_) | Fault::Stranger(_)) if is_data => self.deny(routed, *seat, "channel", now),
                    _ => {}
                }
            } else {
                run.pop_front();
            }
            let burst = limits::DROPPED_FRAMES_BURST * (self.broker.window_max() / limits::WINDOW_BYTES_MAX) as u32;
            if !self.dropped.allows(now, limits::DROPPED_FRAMES_PER_S, burst) {
                self.tell_denied();
                return Err(CloseCode::RateLimited);
            }
        }
        Ok(())
    }

    /// P6.3: a frame that nothing allows is put on record, and its sender told that its channel is over.
    fn deny(&mut self, routed: &Routed, seat: ParticipantId, source: &'static str, now: Instant) {
        let denied = &mut self.denied;
        let count = denied.counts.entry((routed.session, seat, routed.tool, source)).or_default();
        *count = count.saturating_add(1);
        if denied.told.is_some_and(|told| now < told + Duration::from_millis(limits::DENIED_FRAMES_TOLD.0)) {
            return;
        }
        denied.told = Some(now);
        routed.channel.say_over(&self.connection.outbox);
        self.tell_denied();
    }

    fn tell_denied(&mut self) {
        for ((session, participant, tool, source), count) in std::mem::take(&mut self.denied.counts) {
            let source = source.to_owned();
            self.broker.shared.tell_owner(Command::Refusals { session, participant, tool, count, source });
        }
    }

    /// So much of these channels has left for this connection that their writers may go on.
    pub fn left(&mut self, channels: Vec<ChannelId>) {
        let now = Instant::now();
        for (routed, _) in channels.into_iter().filter_map(|channel| self.routed(channel)) {
            routed.channel.left(now);
        }
    }

    fn routed(&mut self, id: ChannelId) -> Option<(Arc<Routed>, ParticipantId)> {
        if let Some(routed) = self.known.get(&id) {
            let seat = self.connection.seat(routed.session)?;
            return Some((routed.clone(), seat));
        }
        let routed = self.broker.shared.directory.channel(id)?;
        let seat = self.connection.seat(routed.session)?;
        if self.known.len() >= limits::CHANNELS_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(id, routed.clone());
        Some((routed, seat))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // What was refused in its last second goes on record too.
        self.tell_denied();
        let connection = &self.connection;
        if !self.broker.shared.directory.leave(connection) {
            return;
        }
        let Some(party) = connection.party() else { return };
        self.broker.shared.tell_owner(Command::Lost { party, epoch: connection.epoch });
    }
}

/// A refusal of the engine, as the wire says it.
pub(super) fn refused_by(refusal: Refusal) -> Refused {
    Refused {
        code: refusal.reason.name().to_owned(),
        rule: refusal.rule,
        message: refusal.message,
        at: None,
        tool: refusal.tool.map(|tool| tool.name().to_owned()),
        source: refusal.source,
        retry_after_ms: None,
    }
}
