//! What follows a turn: gates, channels, pushes and views. Events say what happened, the state what is true after it.

use super::{
    Connection, Shared,
    activity::Activity,
    directory::{Proof, Routed},
    meter, refused, resolve, view,
    views::{Views, push},
};
use crate::{
    engine::{
        Actor, Command, Event, Queue, Session, Stamped, State,
        event::{Cause, ChannelSpec, LogoutReason},
        tools::{Channel as LiveChannel, Open as OpenRequest, OpenStage},
    },
    identity::Secret,
    ids::*,
    limits,
    policy::Tool,
    relay::{Channel, Hearer, Notice, Outbox},
    site::Site,
    time::Time,
    wire::{
        CloseCode,
        control::{ChannelView, Ev, FinalOffset, FromBroker, Hello, Opened, Refused, SessionView, Value, Welcome},
        frame::CloseReason,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

/// Where each leg that ended in this turn ended: no byte past it reaches its reader (W2.2).
#[derive(Default)]
pub(super) struct Finals(BTreeMap<(ChannelId, ParticipantId), u64>);

impl Finals {
    /// Of every reader whose leg of this channel ended.
    pub fn of_channel(&self, channel: ChannelId) -> impl Iterator<Item = FinalOffset> {
        let legs = self.0.range((channel, ParticipantId(0))..=(channel, ParticipantId(u16::MAX)));
        legs.map(|((channel, reader), at)| FinalOffset { channel: channel.0, participant: reader.0, offset: *at })
    }

    pub fn of(&self, legs: &[(ChannelId, ParticipantId)], _to: &Connection) -> Vec<FinalOffset> {
        let offset = |leg| self.0.get(leg).copied().unwrap_or(0);
        legs.iter().map(|leg| FinalOffset { channel: leg.0.0, participant: leg.1.0, offset: offset(leg) }).collect()
    }
}

pub(super) struct Performer {
    shared: Arc<Shared>,
    pub views: Views,
    /// Who is in which session, kept here because an ended session is gone from the state.
    members: HashMap<SessionId, Vec<(Party, ParticipantId)>>,
    /// Who asked for what is not opened yet, to be told when it is refused.
    openers: HashMap<(SessionId, OpenId), ParticipantId>,
    /// Sessions to which reps are invited.
    inviting: BTreeSet<SessionId>,
    /// Service connections that asked for a session, told of it at once. Gone with a restart: they ask again.
    watchers: HashMap<SessionId, Arc<Connection>>,
    activity: Activity,
}

impl Performer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            views: Views::new(shared.clone()),
            shared,
            members: HashMap::new(),
            openers: HashMap::new(),
            inviting: BTreeSet::new(),
            watchers: HashMap::new(),
            activity: Activity::default(),
        }
    }

    /// Makes again what the state implies and no event will say: channels of running sessions, who is where.
    pub fn recover(&mut self, state: &State) {
        self.members.clear();
        self.openers.clear();
        for session in state.sessions.values() {
            self.members.insert(session.id, members(session));
            if !session.invites.is_empty() {
                self.inviting.insert(session.id);
            }
            for (open, request) in state.tools.session(session.id).iter().flat_map(|tools| &tools.opens) {
                self.openers.insert((session.id, *open), request.by);
            }
        }
        for (session, channel) in state.tools.channels() {
            let spec = &channel.spec;
            // Cut in a turn that never became durable: its ends were told, so it is over for the engine too.
            if self.shared.directory.channel(spec.channel).is_some_and(|routed| routed.channel.is_over()) {
                self.channel_ended(spec.channel, CloseReason::Revoked);
            }
            match self.shared.directory.channel(spec.channel) {
                Some(routed) => self.reconcile(&routed.channel, spec),
                None => {
                    let routed = Routed { session, channel: self.channel(spec, channel.tool, true) };
                    self.shared.directory.open(spec.channel, routed);
                }
            }
        }
        let now = tokio::time::Instant::now();
        for routed in self.shared.directory.channels() {
            let id = routed.channel.spec().channel;
            if state.tools.session_of(id).is_none() {
                drop(routed.channel.remove(CloseReason::Failed, now));
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
            let (channel, reader, reason) = (spec.channel, *reader, reason_name(CloseReason::Revoked).to_owned());
            self.shared.tell_owner(Command::LegEnded { channel, reader, reason });
        }
        let now = tokio::time::Instant::now();
        for reader in there.into_iter().filter(|reader| !spec.readers.contains(reader)) {
            channel.revoke(reader, now);
        }
    }

    /// Closes what ends in this turn, before the turn is durable.
    pub fn narrow(&mut self, events: &[Stamped]) -> Finals {
        let mut finals = Finals::default();
        let now = tokio::time::Instant::now();
        for Stamped { event, .. } in events {
            match event {
                Event::LegClosed { channel, reader, .. } => {
                    if let Some(routed) = self.shared.directory.channel(*channel) {
                        finals.0.insert((*channel, *reader), routed.channel.revoke(*reader, now));
                    }
                }
                Event::ChannelClosed { channel, reason, .. } => {
                    if let Some(routed) = self.shared.directory.channel(*channel) {
                        for (reader, at) in routed.channel.remove(close_reason(reason), now) {
                            finals.0.entry((*channel, reader)).or_insert(at);
                        }
                    }
                }
                _ => {}
            }
        }
        finals
    }

    /// Registers an entered connection and tells it where it stands: welcome first, then its view.
    #[expect(clippy::too_many_arguments, reason = "what the handshake proved, and the state it enters")]
    pub fn enter(
        &mut self,
        actor: Actor,
        epoch: AttachEpoch,
        outbox: Arc<Outbox>,
        transport: super::TransportName,
        hello: Hello,
        proof: Proof,
        resume: Secret,
        state: &State,
        head: Seq,
    ) -> Arc<Connection> {
        let seen = hello.seen.map(Seq);
        let (connection, replaced) = self.shared.directory.enter(actor, epoch, outbox, transport, hello.role, proof);
        if let Some(replaced) = replaced {
            replaced.close(CloseCode::Replaced, "a newer connection took over");
        }
        let session = match actor {
            Actor::Party(Party::Customer(session) | Party::External(session, _)) => Some(session),
            _ => None,
        };
        let resumed = seen.is_some_and(|seen| self.views.goes_on_from(seen, head));
        let you = match actor {
            Actor::Party(Party::Rep(user)) | Actor::Admin(user) => resolve::username(&state.site, user),
            Actor::Party(Party::Customer(_)) => "customer".to_owned(),
            Actor::Party(Party::External(..)) => "external".to_owned(),
            Actor::Service(_) | Actor::System => "service".to_owned(),
        };
        let seat = connection.party().and_then(|party| {
            let session = state.session(session?)?;
            session.participant_of(party).map(|participant| participant.id.0)
        });
        connection.say(&FromBroker::Welcome(Box::new(Welcome {
            protocol: crate::wire::PROTOCOL,
            site: state.site.name.clone(),
            you,
            session: session.map(|session| session.0),
            participant: seat,
            resume: resume.reveal().into(),
            features: Vec::new(),
            ping_interval_s: limits::PING_INTERVAL.0 / 1000,
            now_ms: state.now.0,
            resumed,
        })));
        if let Some(party) = connection.party() {
            self.seat(&connection, party, state, head);
        }
        if let Actor::Party(Party::Customer(session)) = actor {
            self.views.customer_came(session);
        }
        if let Actor::Party(Party::Rep(user)) = actor {
            if resumed {
                self.views.replay(&connection, user, seen.unwrap_or_default());
            } else {
                self.views.snapshot(&connection, user, state, head);
            }
            self.views.rep_changed(user);
        }
        connection
    }

    /// Ties a connection to its sessions: their channels, their open questions.
    fn seat(&mut self, connection: &Arc<Connection>, party: Party, state: &State, head: Seq) {
        let sessions: Vec<&Session> = match party {
            Party::Customer(session) | Party::External(session, _) => state.session(session).into_iter().collect(),
            Party::Rep(user) => state.sessions_of(user).filter_map(|session| state.session(session)).collect(),
        };
        for session in sessions {
            let Some(participant) = session.participant_of(party).map(|participant| participant.id) else { continue };
            connection.sit(session.id, participant);
            // A session as reps see it is for reps alone (R10.2); its customer hears who serves.
            if matches!(party, Party::Rep(_)) {
                push(connection, head, Ev::Session(Box::new(self.session_view(state, session.id))));
            }
            if matches!(party, Party::External(..)) {
                let shown = view::session_outside(state, session, |party| self.attached(party));
                push(connection, head, Ev::Session(Box::new(shown)));
                connection_permissions(connection, state, session, participant, head);
            }
            if party == Party::Customer(session.id) {
                self.greet_customer(connection, state, session, head);
            }
            // What changed while it was away was told to nobody.
            if session.owner().is_some()
                && let Some(ev) = view::permissions(state, session, participant)
            {
                push(connection, head, ev);
            }
            let Some(tools) = state.tools.session(session.id) else { continue };
            let mut by_open: BTreeMap<OpenId, Vec<&LiveChannel>> = BTreeMap::new();
            for channel in tools.channels.values() {
                by_open.entry(channel.open).or_default().push(channel);
            }
            for (open, channels) in by_open {
                let Some(first) = channels.first() else { continue };
                let (tool, facts) = (first.tool, first.facts.clone());
                let specs = channels.iter().map(|channel| &channel.spec);
                self.tell_opened(connection, participant, session.id, open, tool, specs, facts, head);
            }
            for (open, request) in &tools.opens {
                if matches!(request.stage, OpenStage::Offered { to, .. } if to == participant) {
                    push(connection, head, requested(session.id, *open, request));
                }
            }
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

    fn greet_customer(&self, connection: &Arc<Connection>, state: &State, session: &Session, head: Seq) {
        if let Some(expires_at) = session.disclaimer {
            push(connection, head, disclaimer(state, session.id, expires_at.0));
        }
        if session.owner().is_some() {
            push(connection, head, view::serving(state, session, |party| self.attached(party)));
        }
        for (id, prompt) in state.tools.session(session.id).iter().flat_map(|tools| &tools.prompts) {
            let by = session.participant(prompt.by).map(|by| by.party);
            push(connection, head, prompted(state, session.id, *id, &prompt.tools, by, prompt.expires_at.0));
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
                    shared.tell_owner(Command::ChannelEnded { channel, reason: reason_name(reason).to_owned() });
                }
                Notice::LegEnded { channel, reader, reason, .. } => {
                    shared.tell_owner(Command::LegEnded { channel, reader, reason: reason_name(reason).to_owned() });
                }
                // Its refresh brings it back: nothing has ended.
                Notice::Lagged { .. } => {}
            }
        });
        let (spec, label, now) = (spec.clone(), meter::label(tool), tokio::time::Instant::now());
        let counters = &self.shared.counters;
        if recovered {
            Channel::recovered(spec, label, counters, hearer, now)
        } else {
            Channel::new(spec, label, counters, hearer, now)
        }
    }

    fn channel_ended(&self, channel: ChannelId, reason: CloseReason) {
        self.shared.tell_owner(Command::ChannelEnded { channel, reason: reason_name(reason).to_owned() });
    }

    /// What time alone brings to channels, about once a second; what the owner should hear of them.
    pub fn tick(&mut self, state: &State) -> Vec<Command> {
        let now = tokio::time::Instant::now();
        let channels = self.shared.directory.channels();
        for routed in &channels {
            routed.channel.tick(now);
        }
        self.activity.look(&channels, state, now.into_std())
    }

    /// Everything that follows a durable turn.
    pub fn perform(&mut self, events: &[Stamped], state: &State, head: Seq) {
        for Stamped { event, .. } in events {
            self.follow(event, state, head);
        }
        self.remind(events, state, head);
        self.reauthorise(events, state);
        self.views.flush_if_due(state, head);
    }

    /// A console that came back is told of the offer and the invitations that wait for it: what was pushed to its
    /// connection before may have been lost with it.
    fn remind(&mut self, events: &[Stamped], state: &State, head: Seq) {
        self.inviting.retain(|session| state.session(*session).is_some_and(|found| !found.invites.is_empty()));
        let came = events.iter().enumerate().filter_map(|(at, Stamped { event, .. })| match event {
            Event::Attached { party: Party::Rep(user), .. } => Some((at, *user)),
            _ => None,
        });
        for (at, user) in came {
            let since = &events[at..];
            let told = |wanted: &dyn Fn(&Event) -> bool| since.iter().any(|stamped| wanted(&stamped.event));
            let offer = state.console(user).and_then(|console| console.offer);
            if let Some(session) = offer
                && !told(&|event| matches!(event, Event::Offered { session: of, .. } if *of == session))
            {
                self.tell_offer(session, state, head);
            }
            for session in self.inviting.iter().filter_map(|session| state.session(*session)) {
                let told = told(&|event| matches!(event, Event::Invited { session: to, .. } if *to == session.id));
                for invite in session.invites.iter().filter(|_| !told) {
                    if invited(&state.site, invite.to).contains(&user) {
                        self.tell_invited(user, session.id, invite.by, invite.expires_at, state, head);
                    }
                }
            }
        }
    }

    /// I-A5: accounts that have changed; whoever is connected as one must still be who it proved to be.
    fn reauthorise(&self, events: &[Stamped], state: &State) {
        let about_accounts = |stamped: &Stamped| {
            matches!(
                stamped.event,
                Event::CredentialSet { .. }
                    | Event::SecondFactorSet { .. }
                    | Event::SecondFactorRemoved { .. }
                    | Event::UserDisabled { .. }
                    | Event::SiteApplied { .. }
                    | Event::ServiceKeyMade { .. }
            )
        };
        if !events.iter().any(about_accounts) {
            return;
        }
        for connection in self.shared.directory.others() {
            let good = match (connection.actor, &connection.proof) {
                (Actor::Admin(user), Proof::Credential(version)) => {
                    let current = state.accounts.credential(user).map_or(0, |credential| credential.version);
                    resolve::is_administrator(state, user) && version.load(Ordering::Acquire) >= current
                }
                (Actor::Service(service), Proof::Key { key, .. }) => state.accounts.service_of(*key) == Some(service),
                _ => true,
            };
            if !good {
                connection.close(CloseCode::Unauthenticated, "the account has changed: sign in again");
            }
        }
    }

    fn tell_offer(&self, session: SessionId, state: &State, head: Seq) {
        let site = &state.site;
        let found = state.session(session);
        let Some(offer) = found.and_then(|found| found.waiting()?.offer.as_ref()) else { return };
        let info = site.options.show_session_information.then(|| Box::new(self.session_view(state, session)));
        let team = resolve::address(site, Queue::Team(offer.team));
        let expires_at_ms = offer.expires_at.0;
        self.tell_rep(offer.rep, head, || Ev::Offer { session: session.0, team, expires_at_ms, info });
    }

    fn tell_invited(&self, to: UserId, session: SessionId, by: UserId, expires_at: Time, state: &State, head: Seq) {
        let (session, by, expires_at_ms) = (session.0, resolve::username(&state.site, by), expires_at.0);
        self.tell_rep(to, head, || Ev::Invited { session, by, expires_at_ms });
    }

    fn follow(&mut self, event: &Event, state: &State, head: Seq) {
        let site = &state.site;
        match event {
            Event::LoggedIn { user } | Event::OptedIn { user } | Event::OptedOut { user } => {
                self.views.rep_changed(*user)
            }
            Event::StatusSet { user, .. } | Event::WentIdle { user, .. } | Event::WentActive { user } => {
                self.views.rep_changed(*user);
            }
            Event::LogoutNotice { user, minutes } => {
                self.tell_rep(*user, head, || Ev::LogoutNotice { minutes: *minutes });
            }
            Event::DisclaimerShown { session, expires_at } => {
                let ev = disclaimer(state, *session, expires_at.0);
                self.tell(Party::Customer(*session), head, || ev);
            }
            Event::DisclaimerAgreed { session } => self.views.session_changed(*session),
            Event::NoticePublished { .. } => self.views.notices_changed(),
            Event::NoticeGone { notice, .. } => self.views.waiting_room.notice_gone(*notice, head),
            Event::SeatTimedOut { user } => self.tell_rep(*user, head, || Ev::Reauthenticate {}),
            Event::LoggedOut { user, reason } => {
                self.views.rep_changed(*user);
                if let Some(connection) = self.shared.directory.connection(Party::Rep(*user)) {
                    push(&connection, head, Ev::LoggedOut { reason: logout_name(*reason) });
                    let code = match reason {
                        LogoutReason::Asked => CloseCode::Normal,
                        LogoutReason::Disabled | LogoutReason::Expired | LogoutReason::Deleted => CloseCode::Forbidden,
                        _ => CloseCode::Unauthenticated,
                    };
                    connection.close(code, "logged out");
                }
                self.shared.tokens.revoke_user(*user);
            }
            Event::Attached { party, .. } => self.presence_changed(*party, state, head),
            Event::Detached { party, epoch } => {
                for session in self.sessions_of(*party, state) {
                    let Some(seat) = self.seat_of(session, *party) else { continue };
                    for id in state.tools.session(session).iter().flat_map(|tools| tools.channels.keys()) {
                        if let Some(routed) = self.shared.directory.channel(*id) {
                            routed.channel.detach(seat, *epoch, tokio::time::Instant::now());
                        }
                    }
                }
                self.presence_changed(*party, state, head);
            }
            Event::TokensRevoked { party } => {
                if let Some(connection) = self.shared.directory.connection(*party) {
                    connection.close(CloseCode::Gone, "no token of this party is good any more: sign in or join again");
                }
            }
            Event::UserDisabled { user }
            | Event::CredentialSet { user, .. }
            | Event::SecondFactorSet { user, .. }
            | Event::SecondFactorRemoved { user } => self.shared.tokens.revoke_user(*user),

            Event::Asked { session, .. } | Event::Queued { session, .. } => {
                if let Some(found) = state.session(*session) {
                    self.members.insert(*session, members(found));
                }
                self.views.session_changed(*session);
            }
            Event::Offered { session, rep, team, expires_at, .. } => {
                self.views.session_changed(*session);
                let info = site.options.show_session_information && state.session(*session).is_some();
                let info = info.then(|| Box::new(self.session_view(state, *session)));
                let team = resolve::address(site, Queue::Team(*team));
                let expires_at_ms = expires_at.0;
                self.tell_rep(*rep, head, || Ev::Offer { session: session.0, team, expires_at_ms, info });
            }
            Event::OfferWarned { session, rep } => {
                let offer = state.session(*session).and_then(|found| found.waiting()?.offer.as_ref());
                if let Some(expires_at_ms) = offer.map(|offer| offer.expires_at.0) {
                    self.tell_rep(*rep, head, || Ev::OfferWarning { session: session.0, expires_at_ms });
                }
            }
            Event::OfferTimeout { session, rep } => {
                self.views.session_changed(*session);
                self.tell_rep(*rep, head, || offer_gone(*session, "timeout"));
            }
            Event::OfferWithdrawn { session, rep, reason } => {
                self.views.session_changed(*session);
                self.tell_rep(*rep, head, || offer_gone(*session, reason));
            }
            Event::Invited { session, by, to, expires_at, .. } => {
                self.inviting.insert(*session);
                for user in invited(site, *to) {
                    self.tell_invited(user, *session, *by, *expires_at, state, head);
                }
            }
            Event::Accepted { session, rep, participant, .. } | Event::Joined { session, rep, participant, .. } => {
                self.sit_down(*session, Party::Rep(*rep), *participant, state, head);
                self.views.rep_changed(*rep);
            }
            Event::ExternalJoined { session, participant, .. } => {
                let external = (Party::External(*session, *participant), *participant);
                let members = self.members.entry(*session).or_default();
                if !members.contains(&external) {
                    members.push(external);
                }
                self.views.session_changed(*session);
                self.tell_customer_who_serves(*session, state, head);
            }
            Event::ExternalLeft { session, participant, reason } => {
                let party = Party::External(*session, *participant);
                self.stand_up(*session, party, state, head);
                if let Some(connection) = self.shared.directory.connection(party) {
                    push(&connection, head, Ev::Ended { session: session.0, reason: reason.clone() });
                    connection.close(CloseCode::SessionEnded, "you are not in the session any more");
                }
            }
            Event::ExtendedSet { user, .. } => self.views.rep_changed(*user),
            Event::Departed { session, rep, .. } => {
                self.stand_up(*session, Party::Rep(*rep), state, head);
                self.views.rep_changed(*rep);
            }
            Event::Rejected { session, .. }
            | Event::Overdue { session, .. }
            | Event::Relaxed { session, .. }
            | Event::Held { session }
            | Event::Resumed { session } => self.views.session_changed(*session),
            Event::Moved { session, .. } => {
                self.follow_participants(*session, state, head);
                self.views.session_changed(*session);
            }
            Event::OwnerChanged { session, .. } => {
                self.follow_participants(*session, state, head);
                self.views.session_changed(*session);
                self.tell_customer_who_serves(*session, state, head);
                self.tell_permissions(*session, state, head);
            }
            Event::Ended { session, reason } => self.ended(*session, view::name_of(reason), head),

            Event::Prompted { session, prompt, tools, by, expires_at, .. } => {
                let by = state.session(*session).and_then(|found| found.participant(*by)).map(|by| by.party);
                let ev = prompted(state, *session, *prompt, tools, by, expires_at.0);
                self.tell(Party::Customer(*session), head, || ev);
            }
            Event::PromptAnswered { session, prompt, .. } => {
                let (session, prompt) = (*session, *prompt);
                let gone = Ev::PromptGone { session: session.0, prompt: prompt.0 };
                self.tell(Party::Customer(session), head, || gone);
            }
            Event::OpenRequested { session, open, by, .. } => {
                self.openers.insert((*session, *open), *by);
            }
            Event::OpenOffered { session, open, to } => {
                let request = state.tools.session(*session).and_then(|tools| tools.opens.get(open));
                if let (Some(request), Some(party)) = (request, self.party_at(*session, *to)) {
                    let ev = requested(*session, *open, request);
                    self.tell(party, head, || ev);
                }
            }
            Event::OpenRefused { session, open, code, reason, cause } => {
                let by = self.openers.remove(&(*session, *open));
                if let Some(party) = by.and_then(|by| self.party_at(*session, by)) {
                    let (tool, source) = told(cause);
                    let refused = Refused { tool, source, ..refused(code, reason) };
                    let (session, open) = (session.0, open.0);
                    self.tell(party, head, || Ev::RefusedOpen { session, open, refused });
                }
            }
            Event::Opened { session, open, tool, channels, facts } => {
                let opener = self.openers.remove(&(*session, *open));
                for spec in channels {
                    let channel = self.channel(spec, *tool, false);
                    close_what_is_gone(&channel, spec, state, *session);
                    self.shared.directory.open(spec.channel, Routed { session: *session, channel });
                }
                for (party, participant) in self.members.get(session).into_iter().flatten() {
                    let Some(connection) = self.shared.directory.connection(*party) else { continue };
                    let facts = facts.clone();
                    if channels.is_empty() {
                        if opener == Some(*participant) {
                            let (session, open, tool) = (session.0, open.0, tool.name().to_owned());
                            let opened = Opened { session, open, tool, channels: Vec::new(), facts };
                            push(&connection, head, Ev::Opened(opened));
                        }
                        continue;
                    }
                    self.tell_opened(&connection, *participant, *session, *open, *tool, channels.iter(), facts, head);
                }
            }
            Event::LegOpened { session, channel, reader } => {
                let tools = state.tools.session(*session);
                let Some(live) = tools.and_then(|tools| tools.channels.get(channel)) else { return };
                // Its right was given and taken away within one turn.
                if !live.spec.readers.contains(reader) {
                    return;
                }
                let Some(routed) = self.shared.directory.channel(*channel) else { return };
                let connection = self.party_at(*session, *reader).and_then(|p| self.shared.directory.connection(p));
                let now = tokio::time::Instant::now();
                if connection.is_none() {
                    routed.channel.expect_leg(*reader, now);
                }
                if let Some(connection) = connection {
                    let outbox = connection.outbox.clone();
                    let start = routed.channel.open_leg(*reader, outbox, connection.epoch, now);
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
            Event::LegClosed { session, channel, reader, reason, cause } => {
                if let Some(party) = self.party_at(*session, *reader) {
                    let (session, channel, reason) = (session.0, channel.0, reason.clone());
                    let (tool, source) = told(cause);
                    self.tell(party, head, || Ev::Closed { session, channel, reason, at: None, tool, source });
                }
            }
            Event::ChannelClosed { session, channel, reason, cause } => {
                let (tool, source) = told(cause);
                let (session_id, channel_id, reason) = (session.0, channel.0, reason.clone());
                let ev = Ev::Closed { session: session_id, channel: channel_id, reason, at: None, tool, source };
                self.shared.directory.close(*channel);
                for (party, _) in self.members.get(session).into_iter().flatten() {
                    let ev = ev.clone();
                    self.tell(*party, head, || ev);
                }
            }
            Event::Noted { session, channel, by, facts } => {
                let ev = Ev::Noted { session: session.0, channel: channel.0, by: by.0, facts: facts.clone() };
                let live = state.tools.session(*session).and_then(|tools| tools.channels.get(channel));
                let concerns = |who: &ParticipantId| {
                    live.is_none_or(|live| live.spec.writer == *who || live.spec.readers.contains(who))
                };
                for (party, participant) in self.members.get(session).into_iter().flatten() {
                    if participant != by && concerns(participant) {
                        let ev = ev.clone();
                        self.tell(*party, head, || ev);
                    }
                }
            }
            Event::PermissionsChanged { session, .. } => self.tell_permissions(*session, state, head),
            Event::SiteApplied { .. } | Event::TeamDeleted { .. } => {
                state.sessions.keys().for_each(|session| self.views.session_changed(*session));
                site.users.keys().for_each(|user| self.views.rep_changed(*user));
            }
            _ => {}
        }
    }

    // ---- people in sessions -----------------------------------------------------------------------------------------

    /// The service that asked for a session hears of it at once.
    pub fn watch(&mut self, session: SessionId, service: &Arc<Connection>, state: &State) {
        // Asked for again, it may have ended.
        if state.session(session).is_some() {
            self.watchers.insert(session, service.clone());
        }
    }

    fn tell_watcher(&self, session: SessionId, state: &State, head: Seq) {
        if let Some(service) = self.watchers.get(&session) {
            push(service, head, Ev::Session(Box::new(self.session_view(state, session))));
        }
    }

    fn sit_down(&mut self, session: SessionId, party: Party, seat: ParticipantId, state: &State, head: Seq) {
        let members = self.members.entry(session).or_default();
        if !members.contains(&(party, seat)) {
            members.push((party, seat));
        }
        self.views.session_changed(session);
        if let Some(connection) = self.shared.directory.connection(party) {
            connection.sit(session, seat);
            // A session as reps see it is for reps alone (R10.2).
            if matches!(party, Party::Rep(_)) && state.session(session).is_some() {
                push(&connection, head, Ev::Session(Box::new(self.session_view(state, session))));
            }
        }
        self.tell_customer_who_serves(session, state, head);
        self.tell_permissions(session, state, head);
        self.tell_watcher(session, state, head);
    }

    /// Who takes a session over may be new to it, and a move or a fallback leaves its old owner behind: no event of
    /// their own says so.
    fn follow_participants(&mut self, session: SessionId, state: &State, head: Seq) {
        let Some(found) = state.session(session) else { return };
        let before = self.members.get(&session).cloned().unwrap_or_default();
        let after = members(found);
        for (party, _) in before.iter().filter(|member| !after.contains(member)) {
            self.stand_up(session, *party, state, head);
        }
        for (party, seat) in after.iter().filter(|member| !before.contains(member)) {
            self.sit_down(session, *party, *seat, state, head);
        }
    }

    fn stand_up(&mut self, session: SessionId, party: Party, state: &State, head: Seq) {
        if let Some(members) = self.members.get_mut(&session) {
            members.retain(|(there, _)| *there != party);
        }
        if let Some(connection) = self.shared.directory.connection(party) {
            connection.rise(session);
        }
        self.views.session_changed(session);
        self.tell_customer_who_serves(session, state, head);
    }

    fn ended(&mut self, session: SessionId, reason: String, head: Seq) {
        let gone = Ev::SessionGone { session: session.0, reason: reason.clone() };
        if let Some(service) = self.watchers.remove(&session) {
            push(&service, head, gone.clone());
        }
        let mut told = BTreeSet::new();
        for (party, _) in self.members.remove(&session).unwrap_or_default() {
            let Some(connection) = self.shared.directory.connection(party) else { continue };
            connection.rise(session);
            match party {
                Party::Rep(user) => {
                    told.insert(user);
                    self.views.rep_changed(user);
                    push(&connection, head, gone.clone());
                }
                Party::Customer(_) | Party::External(..) => {
                    push(&connection, head, Ev::Ended { session: session.0, reason: reason.clone() });
                    connection.close(CloseCode::SessionEnded, "the session ended");
                }
            }
        }
        // A customer who never was a member: it waited, and its connection is here.
        if let Some(connection) = self.shared.directory.connection(Party::Customer(session))
            && connection.outbox.closing().is_none()
        {
            push(&connection, head, Ev::Ended { session: session.0, reason: reason.clone() });
            connection.close(CloseCode::SessionEnded, "the session ended");
        }
        self.views.session_ended(session, &reason, &told);
    }

    fn tell_customer_who_serves(&self, session: SessionId, state: &State, head: Seq) {
        if let Some(found) = state.session(session)
            && found.owner().is_some()
        {
            let ev = view::serving(state, found, |party| self.attached(party));
            self.tell(Party::Customer(session), head, || ev);
        }
    }

    /// What each rep in the session may do (P6.2).
    fn tell_permissions(&self, session: SessionId, state: &State, head: Seq) {
        for (party, participant) in self.members.get(&session).into_iter().flatten() {
            let Some(connection) = self.shared.directory.connection(*party) else { continue };
            let found = state.session(session);
            if let Some(found) = found {
                connection_permissions(&connection, state, found, *participant, head);
            }
        }
    }

    fn presence_changed(&mut self, party: Party, state: &State, head: Seq) {
        if let Party::Rep(user) = party {
            self.views.rep_changed(user);
        }
        for session in self.sessions_of(party, state) {
            self.views.session_changed(session);
            if !matches!(party, Party::Customer(_)) {
                self.tell_customer_who_serves(session, state, head);
            }
        }
    }

    fn sessions_of(&self, party: Party, state: &State) -> Vec<SessionId> {
        match party {
            Party::Customer(session) | Party::External(session, _) => vec![session],
            Party::Rep(user) => state.sessions_of(user).collect(),
        }
    }

    fn party_at(&self, session: SessionId, participant: ParticipantId) -> Option<Party> {
        let members = self.members.get(&session)?;
        members.iter().find(|(_, there)| *there == participant).map(|(party, _)| *party)
    }

    fn seat_of(&self, session: SessionId, party: Party) -> Option<ParticipantId> {
        let members = self.members.get(&session)?;
        members.iter().find(|(there, _)| *there == party).map(|(_, participant)| *participant)
    }

    fn attached(&self, party: Party) -> bool {
        self.shared.directory.attached(party)
    }

    // ---- pushes -----------------------------------------------------------------------------------------------------

    fn tell(&self, party: Party, head: Seq, ev: impl FnOnce() -> Ev) {
        if let Some(connection) = self.shared.directory.connection(party) {
            push(&connection, head, ev());
        }
    }

    fn tell_rep(&self, user: UserId, head: Seq, ev: impl FnOnce() -> Ev) {
        self.tell(Party::Rep(user), head, ev);
    }

    pub fn session_view(&self, state: &State, session: SessionId) -> SessionView {
        match state.session(session) {
            Some(found) => view::session(state, found, |party| self.attached(party)),
            None => SessionView { session: session.0, state: "ended".to_owned(), ..SessionView::default() },
        }
    }
}

/// What this participant may do in the session (P6.2); nothing is said to a customer.
fn connection_permissions(
    connection: &Connection,
    state: &State,
    session: &Session,
    participant: ParticipantId,
    head: Seq,
) {
    if let Some(ev) = view::permissions(state, session, participant) {
        push(connection, head, ev);
    }
}

/// What was opened and ended again within one turn never begins: `narrow` could not know of it.
fn close_what_is_gone(channel: &Channel, spec: &ChannelSpec, state: &State, session: SessionId) {
    let now = tokio::time::Instant::now();
    match state.tools.session(session).and_then(|tools| tools.channels.get(&spec.channel)) {
        None => drop(channel.remove(CloseReason::Revoked, now)),
        Some(live) => {
            for reader in spec.readers.iter().filter(|reader| !live.spec.readers.contains(reader)) {
                channel.revoke(*reader, now);
            }
        }
    }
}

/// A cause as the wire says it: tool and source.
fn told(cause: &Option<Cause>) -> (Option<String>, Option<String>) {
    cause.as_ref().map(|cause| (cause.tool.name().to_owned(), cause.source.clone())).unzip()
}

fn members(session: &Session) -> Vec<(Party, ParticipantId)> {
    session.participants.iter().map(|participant| (participant.party, participant.id)).collect()
}

/// Whom an invitation to this queue is for (R7.4).
fn invited(site: &Site, to: Queue) -> Vec<UserId> {
    match to {
        Queue::Personal(user) => vec![user],
        Queue::Team(team) => {
            site.teams.get(&team).map(|team| team.members.keys().copied().collect()).unwrap_or_default()
        }
    }
}

fn disclaimer(state: &State, session: SessionId, expires_at_ms: u64) -> Ev {
    Ev::Disclaimer { session: session.0, text: state.site.options.disclaimer_text.clone(), expires_at_ms }
}

fn offer_gone(session: SessionId, reason: &str) -> Ev {
    Ev::OfferGone { session: session.0, reason: reason.to_owned() }
}

fn requested(session: SessionId, open: OpenId, request: &OpenRequest) -> Ev {
    Ev::Requested {
        session: session.0,
        open: open.0,
        by: request.by.0,
        tool: request.tool.name().to_owned(),
        args: request.args.clone(),
    }
}

fn prompted(
    state: &State,
    session: SessionId,
    prompt: PromptId,
    tools: &[Tool],
    by: Option<Party>,
    expires_at_ms: u64,
) -> Ev {
    let by = match by {
        Some(Party::Rep(user)) => view::public_name(&state.site, user),
        _ => state.site.options.rep_alias.clone(),
    };
    let tools = tools.iter().map(|tool| tool.name().to_owned()).collect();
    Ev::Prompt { session: session.0, prompt: prompt.0, tools, by, expires_at_ms }
}

fn close_reason(name: &str) -> CloseReason {
    match name {
        "finished" => CloseReason::Finished,
        "revoked" => CloseReason::Revoked,
        "session_ended" | "left" => CloseReason::SessionEnded,
        "gap" => CloseReason::Gap,
        "fault" => CloseReason::Fault,
        "lagged" => CloseReason::Lagged,
        "failed" => CloseReason::Failed,
        _ => CloseReason::Cancelled,
    }
}

fn reason_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Finished => "finished",
        CloseReason::Cancelled => "cancelled",
        CloseReason::Revoked => "revoked",
        CloseReason::SessionEnded => "session_ended",
        CloseReason::Gap => "gap",
        CloseReason::Fault => "fault",
        CloseReason::Lagged => "lagged",
        CloseReason::Failed => "failed",
    }
}

fn logout_name(reason: LogoutReason) -> String {
    view::name_of(&reason)
}
