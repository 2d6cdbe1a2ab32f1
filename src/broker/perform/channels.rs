//! What the relay does after a turn: channels open, close and come back, and their ends are bound to connections.

use super::{Finals, Performer, says::told};
use crate::{
    broker::{
        Connection,
        directory::{Directory, Routed},
        meter, view,
        views::push,
    },
    engine::{
        Command, Event, Stamped, State, Turn,
        event::{Cause, ChannelSpec},
        tools::Channel as LiveChannel,
    },
    ids::*,
    policy::Tool,
    relay::{Channel, Hearer, LastWords, Notice},
    wire::{
        control::{ChannelView, Ev, Opened, Value},
        frame::CloseReason,
    },
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinHandle;

impl Finals {
    /// Closes the legs and channels that these events end.
    fn of_closing(directory: &Directory, events: &[Stamped]) -> Self {
        let mut finals = Self::default();
        let now = tokio::time::Instant::now();
        for Stamped { event, .. } in events {
            match event {
                Event::LegClosed { channel, reader, .. } => {
                    if let Some(routed) = directory.channel(*channel) {
                        let at = routed.channel.revoke(*reader, now, &mut finals.words);
                        finals.legs.insert((*channel, *reader), at);
                    }
                }
                Event::ChannelClosed { channel, reason, .. } => {
                    if let Some(routed) = directory.channel(*channel) {
                        for (reader, at) in routed.channel.remove(CloseReason::named(reason), now, &mut finals.words) {
                            finals.legs.entry((*channel, reader)).or_insert(at);
                        }
                        finals.written.extend(routed.channel.written().map(|written| (*channel, written)));
                    }
                }
                _ => {}
            }
        }
        finals
    }
}

impl Performer {
    /// Channels of running sessions go on; those of no session end.
    pub(super) fn recover_channels(&self, state: &State) {
        for (session, channel) in state.tools.channels() {
            let spec = &channel.spec;
            // Cut in a turn that never became durable: its ends were told, so it is over for the engine too.
            if self.shared.directory.channel(spec.channel).is_some_and(|routed| routed.channel.is_over()) {
                self.channel_ended(spec.channel, CloseReason::Revoked);
            }
            match self.shared.directory.channel(spec.channel) {
                Some(routed) => self.reconcile(&routed.channel, spec),
                None => {
                    let tool = channel.tool;
                    let routed = Routed { session, tool, channel: self.channel(spec, tool, true) };
                    self.shared.directory.open(spec.channel, routed);
                }
            }
        }
        let now = tokio::time::Instant::now();
        for routed in self.shared.directory.channels() {
            let id = routed.channel.spec().channel;
            if state.tools.session_of(id).is_none() {
                routed.channel.remove(CloseReason::Failed, now, &mut LastWords::default());
                self.shared.directory.close(id);
            }
        }
    }

    /// Brings a channel that lived through a rebuilding in line with what the engine knows: a leg that was cut in a
    /// turn that never became durable is over for the engine too, and no leg stays that the engine does not have.
    fn reconcile(&self, channel: &Channel, spec: &ChannelSpec) {
        if channel.is_over() {
            return;
        }
        let there = channel.readers();
        for reader in spec.readers.iter().filter(|reader| !there.contains(reader)) {
            let (channel, reader, reason) = (spec.channel, *reader, CloseReason::Revoked.name().to_owned());
            self.shared.tell_owner(Command::LegEnded { channel, reader, reason });
        }
        let now = tokio::time::Instant::now();
        for reader in there.into_iter().filter(|reader| !spec.readers.contains(reader)) {
            channel.revoke(reader, now, &mut LastWords::default());
        }
    }

    /// Closes what ends in this turn, before the turn is durable.
    pub fn narrow(&self, events: &[Stamped]) -> Finals {
        Finals::of_closing(&self.shared.directory, events)
    }

    /// The same on a thread of its own.
    pub fn narrow_aside(&self, turn: Arc<Turn>) -> JoinHandle<Finals> {
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || Finals::of_closing(&shared.directory, &turn.events))
    }

    pub(super) fn opened(
        &mut self,
        (session, open, tool): (SessionId, OpenId, Tool),
        specs: &[ChannelSpec],
        facts: &BTreeMap<String, Value>,
        state: &State,
        head: Seq,
    ) {
        let opener = self.openers.remove(&(session, open));
        for spec in specs {
            let channel = self.channel(spec, tool, false);
            close_what_is_gone(&channel, spec, state, session);
            self.shared.directory.open(spec.channel, Routed { session, tool, channel });
        }
        for (party, participant) in self.members.get(&session).into_iter().flatten() {
            let Some(connection) = self.shared.directory.connection(*party) else { continue };
            let facts = facts.clone();
            if specs.is_empty() {
                if opener == Some(*participant) {
                    let (session, open, tool) = (session.0, open.0, tool.name().to_owned());
                    let opened = Opened { session, open, tool, channels: Vec::new(), facts };
                    push(&connection, head, Ev::Opened(opened));
                }
                continue;
            }
            self.tell_opened(&connection, *participant, session, open, tool, specs.iter(), facts, head);
        }
    }

    pub(super) fn leg_opened(
        &self,
        session: SessionId,
        channel: ChannelId,
        reader: ParticipantId,
        state: &State,
        head: Seq,
    ) {
        let tools = state.tools.session(session);
        let Some(live) = tools.and_then(|tools| tools.channels.get(&channel)) else { return };
        // Its right was given and taken away within one turn.
        if !live.spec.readers.contains(&reader) {
            return;
        }
        let Some(routed) = self.shared.directory.channel(channel) else { return };
        let connection = self.party_at(session, reader).and_then(|p| self.shared.directory.connection(p));
        let now = tokio::time::Instant::now();
        if connection.is_none() {
            routed.channel.expect_leg(reader, now);
        }
        if let Some(connection) = connection {
            let outbox = connection.outbox.clone();
            let start = routed.channel.open_leg(reader, outbox, connection.epoch, now);
            let opened = Opened {
                session: session.0,
                open: live.open.0,
                tool: live.tool.name().to_owned(),
                channels: vec![view::channel(&live.spec, start)],
                facts: live.facts.clone(),
            };
            push(&connection, head, Ev::Opened(opened));
        }
    }

    pub(super) fn channel_closed(
        &self,
        (session, channel): (SessionId, ChannelId),
        reason: &str,
        cause: &Option<Cause>,
        finals: &Finals,
        head: Seq,
    ) {
        self.shared.directory.close(channel);
        for (party, participant) in self.members.get(&session).into_iter().flatten() {
            let (at, (tool, source)) = (finals.at(channel, *participant), told(cause));
            let (session, channel, reason) = (session.0, channel.0, reason.to_owned());
            self.tell(*party, head, || Ev::Closed { session, channel, reason, at, tool, source });
        }
    }

    /// What a participant said of a channel, to the others whom it concerns.
    pub(super) fn noted(
        &self,
        (session, channel): (SessionId, ChannelId),
        by: ParticipantId,
        facts: &BTreeMap<String, Value>,
        state: &State,
        head: Seq,
    ) {
        let ev = Ev::Noted { session: session.0, channel: channel.0, by: by.0, facts: facts.clone() };
        let live = state.tools.session(session).and_then(|tools| tools.channels.get(&channel));
        let concerns =
            |who: &ParticipantId| live.is_none_or(|live| live.spec.writer == *who || live.spec.readers.contains(who));
        for (party, participant) in self.members.get(&session).into_iter().flatten() {
            if *participant != by && concerns(participant) {
                let ev = ev.clone();
                self.tell(*party, head, || ev);
            }
        }
    }

    /// The channels of a connection that is gone wait for the next one.
    pub(super) fn detached(&self, party: Party, epoch: AttachEpoch, state: &State) {
        for session in self.sessions_of(party, state) {
            let Some(seat) = self.seat_of(session, party) else { continue };
            for id in state.tools.session(session).iter().flat_map(|tools| tools.channels.keys()) {
                if let Some(routed) = self.shared.directory.channel(*id) {
                    routed.channel.detach(seat, epoch, tokio::time::Instant::now());
                }
            }
        }
    }

    /// What is open already, to a connection that came into its place.
    pub(super) fn tell_what_is_open(
        &self,
        connection: &Connection,
        participant: ParticipantId,
        session: SessionId,
        channels: &BTreeMap<ChannelId, Box<LiveChannel>>,
        head: Seq,
    ) {
        let mut by_open: BTreeMap<OpenId, Vec<&LiveChannel>> = BTreeMap::new();
        for channel in channels.values() {
            by_open.entry(channel.open).or_default().push(channel);
        }
        for (open, opened) in by_open {
            let Some(first) = opened.first() else { continue };
            let tool = first.tool;
            let facts = opened.iter().flat_map(|channel| channel.facts.clone()).collect();
            let specs = opened.iter().map(|channel| &channel.spec);
            self.tell_opened(connection, participant, session, open, tool, specs, facts, head);
        }
    }

    /// Binds a participant to the channels that concern it, and says so.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message and whom it is for")]
    fn tell_opened<'a>(
        &self,
        connection: &Connection,
        participant: ParticipantId,
        session: SessionId,
        open: OpenId,
        tool: Tool,
        specs: impl Iterator<Item = &'a ChannelSpec>,
        facts: BTreeMap<String, Value>,
        head: Seq,
    ) {
        let concern = |spec: &&ChannelSpec| spec.writer == participant || spec.readers.contains(&participant);
        let channels: Vec<ChannelView> =
            specs.filter(concern).filter_map(|spec| self.attach(connection, spec, participant)).collect();
        if !channels.is_empty() {
            let opened = Opened { session: session.0, open: open.0, tool: tool.name().to_owned(), channels, facts };
            push(connection, head, Ev::Opened(opened));
        }
    }

    /// Binds one end of a channel to a connection; `None` where the channel has just ended.
    fn attach(&self, connection: &Connection, spec: &ChannelSpec, participant: ParticipantId) -> Option<ChannelView> {
        let routed = self.shared.directory.channel(spec.channel)?;
        let (outbox, now) = (connection.outbox.clone(), tokio::time::Instant::now());
        let start = if spec.writer == participant {
            routed.channel.attach_writer(outbox, connection.epoch, now);
            routed.channel.written().unwrap_or(0)
        } else {
            routed.channel.attach_reader(participant, outbox, connection.epoch, now)?
        };
        Some(view::channel(spec, start))
    }

    fn channel(&self, spec: &ChannelSpec, tool: Tool, recovered: bool) -> Arc<Channel> {
        let shared = Arc::downgrade(&self.shared);
        let hearer: Hearer = Arc::new(move |notice| {
            let Some(shared) = shared.upgrade() else { return };
            match notice {
                Notice::Ended { channel, reason, .. } => {
                    shared.tell_owner(Command::ChannelEnded { channel, reason: reason.name().to_owned() });
                }
                Notice::LegEnded { channel, reader, reason, .. } => {
                    shared.tell_owner(Command::LegEnded { channel, reader, reason: reason.name().to_owned() });
                }
                // Its refresh brings it back: nothing has ended.
                Notice::Lagged { .. } => {}
            }
        });
        let (spec, label, now) = (spec.clone(), meter::label(tool), tokio::time::Instant::now());
        let (window_max, counters) = (self.shared.window_max, &self.shared.counters);
        if recovered {
            Channel::recovered(spec, label, window_max, counters, hearer, now)
        } else {
            Channel::new(spec, label, window_max, counters, hearer, now)
        }
    }

    fn channel_ended(&self, channel: ChannelId, reason: CloseReason) {
        self.shared.tell_owner(Command::ChannelEnded { channel, reason: reason.name().to_owned() });
    }
}

/// What was opened and ended again within one turn never begins: `narrow` could not know of it.
fn close_what_is_gone(channel: &Channel, spec: &ChannelSpec, state: &State, session: SessionId) {
    let now = tokio::time::Instant::now();
    match state.tools.session(session).and_then(|tools| tools.channels.get(&spec.channel)) {
        None => drop(channel.remove(CloseReason::Revoked, now, &mut LastWords::default())),
        Some(live) => {
            for reader in spec.readers.iter().filter(|reader| !live.spec.readers.contains(reader)) {
                channel.revoke(*reader, now, &mut LastWords::default());
            }
        }
    }
}
