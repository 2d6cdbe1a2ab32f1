//! Whom sessions reach beyond those who serve them, remembered from the events alone: invitations, by mail too, external
//! reps, extended availability, requests for help (R7.4, R7.5); what customers are told (R10.1, R10.2); and what must
//! hold of all that.

use crate::{
    check::{Checked, ensure},
    model::Moment,
};
use equipoise::{
    engine::{Event, Queue, State, event::EndReason},
    ids::*,
    limits,
    site::UserPermission,
    time::Time,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct People {
    invites: BTreeMap<SessionId, Vec<Invited>>,
    pub externals: BTreeMap<(SessionId, ParticipantId), External>,
    /// Ways in for external reps that were not used: for which session, by whom, until when.
    ways_in: BTreeMap<SecretHash, (SessionId, UserId, Time)>,
    pub extended: BTreeSet<UserId>,
    /// Requests for help, each with the session it is for.
    pub helps: BTreeMap<SessionId, SessionId>,
    /// Sessions whose customer reads the disclaimer, and until when.
    pub disclaimers: BTreeMap<SessionId, Time>,
    notices: BTreeMap<NoticeId, Option<Time>>,
    /// What the last event let somebody do: the one after it is held against this.
    opened: Option<Opened>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Invited {
    by: UserId,
    to: Queue,
    expires_at: Time,
    mailed: bool,
    accepted: bool,
}

pub struct External {
    pub by: UserId,
    pub lost: Option<Time>,
}

#[derive(Clone, Copy)]
enum Opened {
    Invitation(SessionId, Queue),
    WayIn(SessionId, UserId, Time),
    /// A rep took the request for help in this session.
    Help(SessionId, UserId),
}

impl People {
    /// Takes in what happened; `owner` is who owned the session before it.
    pub fn follow(&mut self, at: Time, event: &Event, owner: impl Fn(SessionId) -> Option<UserId>) {
        let opened = self.opened.take();
        match event {
            Event::Invited { session, by, to, expires_at, mailed } => {
                let (mailed, accepted) = (mailed.is_some(), false);
                let invited = Invited { by: *by, to: *to, expires_at: *expires_at, mailed, accepted };
                self.invites.entry(*session).or_default().push(invited);
            }
            Event::InviteAccepted { session, to } => {
                let open = self.invites.entry(*session).or_default();
                open.iter_mut().filter(|invited| invited.to == *to).for_each(|invited| invited.accepted = true);
            }
            Event::InviteGone { session, to, reason } => {
                self.invites.entry(*session).or_default().retain(|invited| invited.to != *to);
                self.opened = (reason == "joined").then_some(Opened::Invitation(*session, *to));
            }
            Event::Moved { session, .. } => {
                self.invites.remove(session);
            }
            Event::ExternalInvited { session, by, key, expires_at, .. } => {
                self.ways_in.insert(*key, (*session, *by, *expires_at));
            }
            Event::KeyExpired { key } => {
                self.ways_in.remove(key);
            }
            Event::KeyUsed { key } => {
                self.opened = self.ways_in.remove(key).map(|(session, by, until)| Opened::WayIn(session, by, until));
            }
            Event::ExternalJoined { session, participant, by, .. } => {
                self.externals.insert((*session, *participant), External { by: *by, lost: None });
            }
            Event::ExternalLeft { session, participant, .. } => {
                self.externals.remove(&(*session, *participant));
            }
            Event::Attached { party: Party::External(session, participant), .. } => {
                self.lose(*session, *participant, None);
            }
            Event::Detached { party: Party::External(session, participant), .. } => {
                self.lose(*session, *participant, Some(at));
            }
            Event::ConnectionsLost => self.externals.values_mut().for_each(|external| external.lost = Some(at)),
            Event::ExtendedSet { user, on: true } => {
                self.extended.insert(*user);
            }
            Event::ExtendedSet { user, on: false } => {
                self.extended.remove(user);
            }
            Event::Asked { session, ask } => {
                self.helps.extend(ask.helps.map(|helped| (*session, helped)));
            }
            Event::DisclaimerShown { session, expires_at } => {
                self.disclaimers.insert(*session, *expires_at);
            }
            Event::DisclaimerAgreed { session } => {
                self.disclaimers.remove(session);
            }
            Event::NoticePublished { notice, until, .. } => {
                self.notices.insert(*notice, *until);
            }
            Event::NoticeGone { notice, .. } => {
                self.notices.remove(notice);
            }
            Event::Ended { session, reason } => {
                self.invites.remove(session);
                self.externals.retain(|(of, _), _| of != session);
                self.ways_in.retain(|_, (of, ..)| of != session);
                self.disclaimers.remove(session);
                if let Some(helped) = self.helps.remove(session)
                    && *reason == EndReason::Helped
                {
                    self.opened = owner(*session).map(|rep| Opened::Help(helped, rep));
                }
            }
            // The answer to a number comes between.
            Event::Acted { .. } => self.opened = opened,
            _ => {}
        }
    }

    fn lose(&mut self, session: SessionId, participant: ParticipantId, lost: Option<Time>) {
        if let Some(external) = self.externals.get_mut(&(session, participant)) {
            external.lost = lost;
        }
    }

    fn invited(&self, session: SessionId, to: Queue) -> Option<&Invited> {
        self.invites.get(&session)?.iter().find(|invited| invited.to == to)
    }

    /// I7: who holds seats of this pool.
    pub fn seats(&self, state: &State, pool: Option<PoolId>) -> usize {
        let of = |user: &UserId| state.site.users.get(user).and_then(|user| user.pool) == pool;
        let reps: BTreeSet<UserId> = state.consoles.keys().chain(&self.extended).copied().collect();
        reps.iter().filter(|user| of(user)).count() + self.externals.values().filter(|it| of(&it.by)).count()
    }

    /// What just happened, against what the rules say at that moment.
    pub fn judge(&self, moment: Moment<'_>, event: &Event) -> Checked {
        let (state, at) = (moment.state, moment.now);
        match event {
            Event::Invited { session, by, to, expires_at, mailed } => {
                let past = &moment.shadow.sessions[session];
                ensure(past.is_served() && past.stays.contains_key(by), || format!("R7.4: {by} does not serve it"))?;
                let away = matches!(to, Queue::Personal(user) if !state.consoles.contains_key(user));
                ensure(mailed.is_some() == away, || format!("R7.4: mailed {mailed:?} to {to:?}"))?;
                let extended = matches!(to, Queue::Personal(user) if self.extended.contains(user));
                ensure(!away || extended, || format!("R7.4: {to:?} cannot be reached"))?;
                let lives = match to {
                    Queue::Team(team) => state.site.teams[team].alert_timeout,
                    Queue::Personal(_) if away => limits::INVITATION_BY_MAIL,
                    Queue::Personal(_) => limits::INVITATION,
                };
                ensure(*expires_at == at + lives, || format!("R7.4: it lives {:?}", expires_at.since(at)))
            }
            Event::InviteAccepted { session, to } => {
                let mailed = self.invited(*session, *to).is_some_and(|it| it.mailed && !it.accepted);
                ensure(mailed, || format!("R7.4: {to:?} has no mail to answer"))
            }
            Event::InviteGone { session, to, reason } => {
                let due = self.invited(*session, *to).map(|it| it.expires_at);
                ensure(due.is_some_and(|due| due <= at || reason != "expired"), || format!("R7.4: due at {due:?}"))
            }
            Event::Joined { session, rep, monitor, .. } => self.judge_joined(moment, *session, *rep, *monitor),
            Event::ExternalJoined { session, by, .. } => {
                let good = matches!(self.opened, Some(Opened::WayIn(of, who, until)) if (of, who) == (*session, *by) && at < until);
                ensure(good, || "R7.5: no key let them in".to_owned())?;
                ensure(moment.shadow.sessions[session].is_served(), || "R7.5: the session is not active".to_owned())?;
                let pool = state.site.users[by].pool;
                let seats = seats_of(state, pool);
                ensure(seats == 0 || self.seats(state, pool) < seats, || format!("R7.5: no seat of {seats} is free"))
            }
            Event::ExternalLeft { session, participant, reason } => {
                let external = self.externals.get(&(*session, *participant));
                let lost = external.and_then(|it| it.lost);
                let over = lost.is_some_and(|lost| lost + state.site.options.reconnect_grace <= at);
                ensure(external.is_some() && (reason != "lost" || over), || format!("R7.5: lost since {lost:?}"))?;
                ensure(reason != "no_internal_rep" || !attended(moment, *session), || {
                    "R7.5: a rep of the site is still in it".to_owned()
                })
            }
            Event::Accepted { session, how, .. } => {
                let reads = self.disclaimers.contains_key(session);
                ensure(!reads, || format!("R10.2: served by {how:?} before the customer agreed"))
            }
            Event::Ended { session, reason: EndReason::HelpOver } => {
                let helped = self.helps.get(session).and_then(|helped| moment.shadow.sessions.get(helped));
                let taker = moment.shadow.sessions[session].owner;
                let needed = helped.filter(|past| past.is_served());
                let useless = needed.is_none_or(|past| taker.is_some_and(|rep| past.stays.contains_key(&rep)));
                ensure(useless, || "R7.4: help was wanted still".to_owned())
            }
            Event::NoticeGone { notice, reason } => {
                let until = self.notices.get(notice).copied().flatten();
                let over = until.is_some_and(|until| until <= at);
                ensure(over || reason != "expired", || format!("R10.1: a notice until {until:?} went at {at:?}"))
            }
            _ => Ok(()),
        }
    }

    /// R7.4, R7.6: by an invitation, as who helps, or by rank, the first time to watch.
    fn judge_joined(&self, moment: Moment<'_>, session: SessionId, rep: UserId, monitor: bool) -> Checked {
        let member = |team: &TeamId| moment.state.site.users[&rep].teams.contains_key(team);
        let asked = match &self.opened {
            Some(Opened::Invitation(of, Queue::Personal(user))) => (*of, *user) == (session, rep),
            Some(Opened::Invitation(of, Queue::Team(team))) => *of == session && member(team),
            Some(Opened::Help(of, helper)) => (*of, *helper) == (session, rep),
            _ => false,
        };
        let past = &moment.shadow.sessions[&session];
        let watches = past.stays.contains_key(&rep);
        let outranks = past.owner.is_some_and(|owner| {
            let (mine, theirs) = (&moment.state.site.users[&rep].teams, &moment.state.site.users[&owner].teams);
            mine.iter().any(|(team, role)| theirs.get(team).is_some_and(|other| role > other))
        });
        ensure(past.is_served(), || "R7.4: nobody serves it".to_owned())?;
        ensure(if monitor { outranks && !asked } else { asked || watches && outranks }, || {
            format!("R7.6: {rep} came unasked, monitor {monitor}")
        })
    }

    pub fn invariants(&self, moment: Moment<'_>) -> Checked {
        let (state, now) = (moment.state, moment.now);
        for (pool, seats) in
            state.site.pools.iter().map(|(id, pool)| (Some(*id), pool.seats)).chain([(None, state.site.seats)])
        {
            let taken = self.seats(state, pool);
            ensure(seats == 0 || taken <= seats as usize, || format!("I7: {taken} of {seats} seats of {pool:?}"))?;
        }
        ensure(state.extended == self.extended, || format!("R7.4: extended {:?}", state.extended))?;
        for user in &self.extended {
            let user = state.site.users.get(user);
            let may = user.is_some_and(|it| {
                it.enabled && !it.email.is_empty() && it.permissions.contains(&UserPermission::ExtendedAvailability)
            });
            ensure(may, || format!("R7.4: {user:?} may not have extended availability"))?;
        }
        let live: BTreeMap<_, _> = state.notices.live().map(|(notice, it)| (notice, it.until)).collect();
        ensure(live == self.notices, || format!("R10.1: notices {live:?}"))?;
        ensure(live.values().flatten().all(|until| now < *until), || format!("R10.1: too long: {live:?}"))?;
        for (id, session) in &state.sessions {
            let open: Vec<Invited> = session.invites.iter().map(Invited::of).collect();
            let expected = self.invites.get(id).map_or(&[][..], Vec::as_slice);
            ensure(open == expected, || format!("R7.4: {id} has {open:?} open, expected {expected:?}"))?;
            let dead = open.iter().find(|it| it.expires_at <= now || it.accepted && is_there(state, it.to));
            ensure(dead.is_none(), || format!("R7.4: {id} has a dead invitation {dead:?}"))?;
            let helps = self.helps.get(id);
            ensure(session.ask.helps.as_ref() == helps, || format!("R7.4: {id} helps {helps:?}"))?;
            let served = helps.is_none_or(|it| moment.shadow.sessions.get(it).is_some_and(|past| past.is_served()));
            ensure(served, || format!("R7.4: {id} asks for help with what nobody serves"))?;
            let reads = self.disclaimers.get(id);
            ensure(session.disclaimer.as_ref() == reads && reads.is_none_or(|until| now < *until), || {
                format!("R10.2: {id} reads until {:?}, expected {reads:?}", session.disclaimer)
            })?;
            let guests: Vec<_> = session.guests.iter().map(|(it, guest)| ((*id, *it), guest.by, guest.lost)).collect();
            let externals = self.externals.range((*id, ParticipantId(0))..=(*id, ParticipantId(u16::MAX)));
            let expected: Vec<_> = externals.map(|(key, external)| (*key, external.by, external.lost)).collect();
            ensure(guests == expected, || format!("R7.5: in {id} are {guests:?}, expected {expected:?}"))?;
            ensure(guests.is_empty() || attended(moment, *id), || format!("R7.5: {id} is left to external reps"))?;
            for (guest, by, lost) in guests {
                let grace = state.site.options.reconnect_grace;
                ensure(lost.is_none_or(|lost| now < lost + grace), || format!("R7.5: {guest:?} is gone for good"))?;
                let vouches = state.site.users.get(&by).is_some_and(|user| user.enabled);
                ensure(vouches, || format!("R7.5: {by} vouches for {guest:?} no more"))?;
            }
        }
        Ok(())
    }
}

impl Invited {
    fn of(invite: &equipoise::engine::session::Invite) -> Self {
        let (by, to, expires_at) = (invite.by, invite.to, invite.expires_at);
        Self { by, to, expires_at, mailed: invite.mailed.is_some(), accepted: invite.accepted }
    }
}

/// Is a rep of the site, logged in, in this session?
fn attended(moment: Moment<'_>, session: SessionId) -> bool {
    let past = &moment.shadow.sessions[&session];
    past.stays.keys().any(|rep| moment.shadow.reps.contains_key(rep))
}

fn is_there(state: &State, to: Queue) -> bool {
    matches!(to, Queue::Personal(user) if state.consoles.contains_key(&user))
}

fn seats_of(state: &State, pool: Option<PoolId>) -> usize {
    pool.map_or(state.site.seats, |pool| state.site.pools[&pool].seats) as usize
}
