//! What follows a turn: gates, channels, pushes and views. Events say what happened, the state what is true after it.

mod channels;
mod enter;
mod follow;
mod rights;
mod says;
mod sessions;

use super::{
    Connection, Shared,
    activity::Activity,
    jobs,
    views::{Views, push},
};
use crate::{
    engine::{Command, Queue, Stamped, State},
    ids::*,
    relay::LastWords,
    wire::control::{Ev, FinalOffset},
};
use sessions::members;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Where each leg that ended in this turn ended: no byte past it reaches its reader (W2.2).
#[derive(Default)]
pub(super) struct Finals {
    legs: BTreeMap<(ChannelId, ParticipantId), u64>,
    /// How far the channels that ended were written.
    written: BTreeMap<ChannelId, u64>,
    /// For those whose legs and channels these are.
    words: LastWords,
}

impl Finals {
    /// Those who lost something are told now, and not with what follows the turn.
    pub fn say(&mut self) {
        self.words = LastWords::default();
    }

    /// Of every reader whose leg of this channel ended.
    pub fn of_channel(&self, channel: ChannelId) -> impl Iterator<Item = FinalOffset> {
        let legs = self.legs.range((channel, ParticipantId(0))..=(channel, ParticipantId(u16::MAX)));
        legs.map(|((channel, reader), at)| FinalOffset { channel: channel.0, participant: reader.0, offset: *at })
    }

    pub fn of(&self, legs: &[(ChannelId, ParticipantId)]) -> Vec<FinalOffset> {
        let offset = |leg| self.legs.get(leg).copied().unwrap_or(0);
        legs.iter().map(|leg| FinalOffset { channel: leg.0.0, participant: leg.1.0, offset: offset(leg) }).collect()
    }

    /// Where the channel ended for this one: for a reader its leg, else what was written.
    fn at(&self, channel: ChannelId, participant: ParticipantId) -> Option<u64> {
        self.legs.get(&(channel, participant)).or_else(|| self.written.get(&channel)).copied()
    }
}

pub(super) struct Performer {
    shared: Arc<Shared>,
    pub views: Views,
    /// Who is in which session, kept here because an ended session is gone from the state.
    members: HashMap<SessionId, Vec<(Party, ParticipantId)>>,
    /// Who asked for what is not opened yet, to be told when it is refused.
    openers: HashMap<(SessionId, OpenId), ParticipantId>,
    /// Who invited to which session, and whom: an invitation that is over is gone from the state.
    inviting: BTreeMap<SessionId, Vec<(Queue, UserId)>>,
    /// Service connections that asked for a session, told of it at once. Gone with a restart: they ask again.
    watchers: HashMap<SessionId, Arc<Connection>>,
    activity: Activity,
    said: rights::Said,
}

impl Performer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            views: Views::new(shared.clone()),
            shared,
            members: HashMap::new(),
            openers: HashMap::new(),
            inviting: BTreeMap::new(),
            watchers: HashMap::new(),
            activity: Activity::default(),
            said: rights::Said::default(),
        }
    }

    /// Makes again what the state implies and no event will say: channels of running sessions, who is where.
    pub fn recover(&mut self, state: &State) {
        self.members.clear();
        self.openers.clear();
        for session in state.sessions.values() {
            self.members.insert(session.id, members(session));
            if !session.invites.is_empty() {
                let invites = session.invites.iter().map(|invite| (invite.to, invite.by));
                self.inviting.insert(session.id, invites.collect());
            }
            for (open, request) in state.tools.session(session.id).iter().flat_map(|tools| &tools.opens) {
                self.openers.insert((session.id, *open), request.by);
            }
        }
        self.recover_channels(state);
    }

    /// What time alone brings to channels, about once a second; what the owner should hear of them.
    pub fn tick(&mut self, state: &State) -> Vec<Command> {
        let now = tokio::time::Instant::now();
        let mut moved = self.shared.directory.channels();
        moved.retain(|routed| routed.channel.tick(now));
        self.activity.look(&moved, state, now.into_std())
    }

    /// Everything that follows a durable turn.
    pub fn perform(&mut self, events: &[Stamped], finals: &Finals, state: &State, head: Seq) {
        for Stamped { event, .. } in events {
            self.follow(event, finals, state, head);
        }
        self.remind(events, state, head);
        self.reauthorise(events, state);
    }

    fn tell(&self, party: Party, head: Seq, ev: impl FnOnce() -> Ev) {
        if let Some(connection) = self.shared.directory.connection(party) {
            push(&connection, head, ev());
        }
    }

    /// Whoever stands by for this item, of the job that is next there, or that it is to end; `has_come`: just now (P8.8).
    fn call_to_job(&self, item: JumpItemId, has_come: bool, state: &State, head: Seq) {
        if let Some((job, call)) = state.jobs.call(item, has_come) {
            self.tell(Party::JumpClient(item), head, || Ev::Job { job: job.0, call });
        }
    }

    fn call_to_jobs_of(&self, job: JobId, state: &State, head: Seq) {
        let items = state.jobs.get(job).into_iter().flat_map(|job| job.targets.keys());
        items.for_each(|item| self.call_to_job(*item, false, state, head));
    }

    fn tell_if_over(&self, id: JobId, state: &State, head: Seq) {
        if let Some(job) = state.jobs.get(id).filter(|job| !job.is_live()) {
            self.tell_rep(job.by, head, || Ev::JobOver(Box::new(jobs::summary(state, id, job))));
        }
    }

    fn tell_rep(&self, user: UserId, head: Seq, ev: impl FnOnce() -> Ev) {
        self.tell(Party::Rep(user), head, ev);
    }
}
