//! How each event changes the site, its consoles and its sessions. Nothing here decides.

use super::{
    Event, Queue, Session, State,
    command::Ask,
    event::{AcceptedHow, MoveRule, OwnerRule},
    externals::Guest,
    history::Who,
    session::{Invite, Offer, Participant, Role, Stage},
};
use crate::{ids::*, policy::Tool, routing::Console, site::StatusShown, time::Time};

impl State {
    pub(super) fn fold(&mut self, at: Time, event: &Event) {
        match event {
            Event::OwnerTook { epoch } => self.owner_epoch = *epoch,
            Event::CivilTime { ms } => self.fold_civil_time(at, *ms),
            Event::ConnectionsLost => self.fold_connections_lost(at),
            Event::UserDisabled { .. } | Event::TeamDeleted { .. } | Event::SiteApplied { .. } => {
                self.fold_site(event);
                self.fold_paces_of_site();
                self.fold_buttons_of_site();
                self.fold_schedules(at);
            }

            Event::LoggedIn { user } => {
                let ends_ms = self.forced_end(at, *user);
                self.consoles.insert(*user, Console { ends_ms, ..Console::new(at) });
                self.index.touch_rep(*user);
            }
            Event::LoggedOut { user, .. } => {
                self.consoles.remove(user);
                self.index.touch_rep(*user);
            }
            Event::LogoutNotice { user, minutes } => {
                self.change_console(*user, |console| console.noticed = Some(*minutes))
            }
            Event::TwoFactorRequired { from_ms } => self.two_factor_since = Some(*from_ms),
            Event::SeatTimedOut { user } => self.change_console(*user, |console| console.must_prove = true),
            Event::OptedIn { user } => self.change_console(*user, |console| console.opted_out = false),
            Event::OptedOut { user } => self.change_console(*user, |console| console.opted_out = true),
            Event::StatusSet { user, code } => {
                let shown = self.site.options.status_shown(code).unwrap_or(StatusShown::Away);
                self.change_console(*user, |console| {
                    console.status.clone_from(code);
                    console.shown = shown;
                });
            }
            Event::WentIdle { user, since } => self.change_console(*user, |console| {
                console.idle_since = Some(*since);
                console.idled_out = false;
            }),
            Event::ReachedIdleLimit { user } => self.change_console(*user, |console| console.idled_out = true),
            Event::WentActive { user } => self.change_console(*user, |console| {
                console.idle_since = None;
                console.idled_out = false;
            }),
            Event::ExtendedSet { user, on } => {
                if *on {
                    self.extended.insert(*user);
                } else {
                    self.extended.remove(user);
                }
                self.index.touch_rep(*user);
            }
            Event::BecameReady { user } => self.change_console(*user, |console| console.checked = at),

            Event::Attached { party, presented, .. } => {
                self.fold_attached(*party, None, true);
                if let (Party::Rep(user), None) = (party, presented) {
                    self.change_console(*user, |console| {
                        console.proved = at;
                        console.must_prove = false;
                    });
                }
            }
            Event::Detached { party, .. } => self.fold_attached(*party, Some(at), false),
            _ => self.fold_session(at, event),
        }
    }

    fn fold_session(&mut self, at: Time, event: &Event) {
        match event {
            Event::Asked { session, ask } => self.fold_asked(at, *session, ask),
            Event::Opened { session, tool: Tool::Reboot, .. } => {
                self.change_session(*session, |it| it.rebooting = Some(at));
            }
            Event::PortalBound { session, portal } => self.change_session(*session, |it| it.ask.portal = Some(*portal)),
            Event::Queued { session, queue } => {
                self.fold_pace_entered(*queue, *session);
                self.change_session(*session, |it| it.place(at, *queue, true));
            }
            Event::Offered { session, rep, team, expires_at, .. } => {
                let offer = Offer { rep: *rep, team: *team, since: at, expires_at: *expires_at, warned: false };
                self.change_session(*session, |it| {
                    if let Some(waiting) = it.waiting_mut() {
                        waiting.offer = Some(offer);
                    }
                });
                self.change_console(*rep, |console| console.offer = Some(*session));
            }
            Event::OfferWarned { session, .. } => self.change_session(*session, |it| {
                if let Some(offer) = it.waiting_mut().and_then(|waiting| waiting.offer.as_mut()) {
                    offer.warned = true;
                }
            }),
            Event::Rejected { session, rep } => self.fold_offer_gone(*session, *rep, true),
            Event::OfferTimeout { session, rep } => {
                let counts = self.site.options.offer_timeout_is_rejection;
                self.fold_offer_gone(*session, *rep, counts);
            }
            Event::OfferWithdrawn { session, rep, .. } => self.fold_offer_gone(*session, *rep, false),
            Event::Accepted { session, rep, participant, how } => {
                self.fold_accepted(at, *session, *rep, *participant, *how);
            }
            Event::Overdue { session, .. } => self.fold_overdue(*session),
            Event::Moved { session, to, rule, .. } => self.fold_moved(at, *session, *to, *rule),
            Event::Relaxed { session, step } => self.change_session(*session, |it| {
                let window_over = it.window_ends().is_some_and(|end| end <= at);
                if let Some(waiting) = it.waiting_mut() {
                    waiting.step = *step;
                    waiting.window_over |= window_over;
                }
            }),
            Event::Invited { session, by, to, expires_at, mailed } => {
                let invite = Invite { by: *by, to: *to, expires_at: *expires_at, mailed: *mailed, accepted: false };
                self.change_session(*session, |it| {
                    it.invites.push(invite);
                    let inviter = it.participants.iter_mut().find(|there| there.party == Party::Rep(*by));
                    inviter.into_iter().for_each(|there| there.active = at);
                });
            }
            Event::InviteGone { session, to, .. } => {
                self.change_session(*session, |it| it.invites.retain(|invite| invite.to != *to));
            }
            Event::InviteAccepted { session, to } => self.change_session(*session, |it| {
                it.invites.iter_mut().filter(|invite| invite.to == *to).for_each(|invite| invite.accepted = true);
            }),
            Event::ExternalJoined { .. } | Event::ExternalLeft { .. } => self.fold_external(at, event),
            Event::Joined { session, rep, participant, monitor } => {
                let role = if *monitor { Role::Monitor } else { Role::Sharer };
                self.fold_entered(at, *session, *rep, *participant, role);
            }
            Event::Departed { session, rep, .. } => self.fold_left(at, *session, *rep),
            Event::OwnerChanged { session, from, to, rule } => self.fold_owner_changed(at, *session, *from, *to, *rule),
            Event::OpenRequested { session, by, .. } => self.fold_active(at, *session, |who| who == *by),
            Event::Noted { session, by, .. } => self.fold_active(at, *session, |who| who == *by),
            Event::ControlGiven { session, on } => self.change_session(*session, |it| it.control_given = *on),
            Event::ChatSet { session, on, .. } => self.change_session(*session, |it| it.chat_off = !on),
            Event::Restricted { session, by, mode } => {
                self.change_session(*session, |it| it.restricted = Some((*by, *mode)));
            }
            Event::RestrictionsLifted { session, .. } => self.change_session(*session, |it| it.restricted = None),
            Event::TerminationSet { session, mode, .. } => {
                self.change_session(*session, |it| it.termination = Some(*mode));
            }
            Event::FieldSet { session, by, field, value } => {
                self.change_session(*session, |it| match value.as_str() {
                    "" => drop(it.fields.remove(field)),
                    value => drop(it.fields.insert(field.clone(), value.to_owned())),
                });
                self.fold_active(at, *session, |who| who == *by);
            }
            Event::LocaleSet { session, locale } => {
                self.change_session(*session, |it| it.locale = Some(locale.clone()));
            }
            Event::ExternalKeySet { session, by, value } => {
                self.change_session(*session, |it| it.ask.customer.external_key.clone_from(value));
                self.fold_active(at, *session, |who| who == *by);
            }
            Event::DisclaimerShown { session, expires_at } => {
                self.change_session(*session, |it| it.disclaimer = Some(*expires_at));
            }
            Event::DisclaimerAgreed { session } => self.change_session(*session, |it| it.disclaimer = None),
            Event::DataMoved { session, by } => self.fold_active(at, *session, |who| by.contains(&who)),
            Event::Held { session } => self.fold_hold(at, *session, true),
            Event::Resumed { session } => self.fold_hold(at, *session, false),
            Event::Ended { session, .. } => self.fold_ended(at, *session),
            _ => {}
        }
    }

    /// R11.2: when a forced schedule ends a login that is there at this moment; at once where it permits none.
    fn forced_end(&self, at: Time, user: UserId) -> Option<u64> {
        let schedule = self.site.users.get(&user)?.schedule.as_ref().filter(|schedule| schedule.force)?;
        let wall_ms = self.wall_ms(at);
        Some(schedule.until(wall_ms).unwrap_or(wall_ms)).filter(|end| *end != u64::MAX)
    }

    /// R11.2: the site changed, and with it perhaps when logins end; notices that were given are not given again.
    pub(super) fn fold_schedules(&mut self, at: Time) {
        let ends: Vec<_> = self.consoles.keys().map(|user| (*user, self.forced_end(at, *user))).collect();
        for (user, ends_ms) in ends {
            self.change_console(user, |console| {
                if console.ends_ms != ends_ms {
                    console.ends_ms = ends_ms;
                    console.noticed = None;
                }
            });
        }
    }

    /// Changes one console, if its rep is logged in.
    fn change_console(&mut self, user: UserId, change: impl FnOnce(&mut Console)) {
        if let Some(console) = self.consoles.get_mut(&user) {
            change(console);
            self.index.touch_rep(user);
        }
    }

    /// Changes one session, if it has not ended.
    pub(super) fn change_session(&mut self, id: SessionId, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(&id) {
            change(session);
            self.index.touch_session(id);
        }
    }

    /// R4.2: one more or one less session, and the moment it changed.
    fn count(&mut self, at: Time, user: UserId, up: bool) {
        self.change_console(user, |console| {
            console.sessions = if up { console.sessions + 1 } else { console.sessions.saturating_sub(1) };
            console.changed = at;
        });
        // What waits may have been barred from them by that session alone (R1.4).
        if !up && self.consoles.contains_key(&user) {
            self.index.fresh_reps.insert(user);
        }
    }

    /// The wall clock may have been set: what ends by it is looked at anew.
    fn fold_civil_time(&mut self, at: Time, ms: u64) {
        self.civil = Some((at, ms));
        for (user, console) in &self.consoles {
            let expires = self.site.users.get(user).is_some_and(|user| user.expires_ms.is_some());
            if expires || console.ends_ms.is_some() {
                self.index.touch_rep(*user);
            }
        }
    }

    fn fold_connections_lost(&mut self, at: Time) {
        for (user, console) in &mut self.consoles {
            console.lost_since = Some(at);
            self.index.touch_rep(*user);
        }
        for (id, session) in &mut self.sessions {
            session.guests.values_mut().for_each(|guest| guest.lost = Some(at));
            if !session.guests.is_empty() {
                self.index.touch_session(*id);
            }
            if session.customer_came || session.customer_lost.is_some() {
                session.customer_attached = false;
                session.customer_lost = Some(at);
            }
            // Nobody could do anything while there was no broker (R7.9).
            session.participants.iter_mut().for_each(|there| there.active = at);
            self.index.touch_session(*id);
        }
    }

    fn fold_attached(&mut self, party: Party, lost: Option<Time>, came: bool) {
        match party {
            Party::Rep(user) => self.change_console(user, |console| console.lost_since = lost),
            Party::Customer(session) => self.change_session(session, |it| {
                it.customer_attached = came;
                it.customer_came |= came;
                it.customer_lost = lost;
                it.rebooting = it.rebooting.filter(|_| !came);
            }),
            Party::JumpClient(_) => {}
            Party::External(session, participant) => self.change_session(session, |it| {
                if let Some(guest) = it.guests.get_mut(&participant) {
                    guest.lost = lost;
                }
            }),
        }
    }

    fn fold_asked(&mut self, at: Time, id: SessionId, ask: &Ask) {
        self.next_session = self.next_session.max(id.0 + 1);
        let mut session = Session::asked(at, id, ask, &self.site);
        // Who is in it already needs no request to join it.
        if let Some(helped) = ask.helps.and_then(|helped| self.sessions.get(&helped)) {
            session.rejected_by.extend(helped.reps());
        }
        // Its end is asked to come at this moment, and is not waited for longer than one that was lost.
        if ask.item.is_some_and(|item| self.stands_by(item)) {
            session.customer_attached = false;
            session.customer_lost = Some(at);
        }
        self.sessions.insert(id, session);
        self.index.touch_session(id);
    }

    fn fold_offer_gone(&mut self, session: SessionId, rep: UserId, rejected: bool) {
        self.change_session(session, |it| {
            if let Some(waiting) = it.waiting_mut() {
                waiting.offer = None;
            }
            if rejected {
                it.rejected_by.insert(rep);
            }
        });
        self.change_console(rep, |console| console.offer = None);
    }

    fn fold_accepted(&mut self, at: Time, id: SessionId, rep: UserId, participant: ParticipantId, how: AcceptedHow) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let offered_to = session.waiting().and_then(|waiting| waiting.offer.as_ref()).map(|offer| offer.rep);
        let left = session.placed().map(|waiting| waiting.queue);
        if let Some(waiting) = session.waiting()
            && matches!(how, AcceptedHow::Offer | AcceptedHow::Take | AcceptedHow::GetNext)
        {
            session.last_queue = Some(waiting.queue);
        }
        session.course.leave(&session.stage, at);
        session.course.owned(at, rep);
        session.stage = Stage::Active { owner: rep, since: at };
        session.chat_off = false;
        if let Some(queue) = left {
            self.fold_pace_taken(at, queue, id);
        }
        if let Some(offered_to) = offered_to {
            self.change_console(offered_to, |console| console.offer = None);
        }
        self.fold_entered(at, id, rep, participant, Role::Owner);
    }

    fn fold_external(&mut self, at: Time, event: &Event) {
        match event {
            Event::ExternalJoined { session, participant, by, address, policy } => {
                let guest = Guest { by: *by, address: address.clone(), policy: *policy, lost: None };
                let party = Party::External(*session, *participant);
                self.change_session(*session, |it| {
                    it.next_participant = it.next_participant.max(participant.0 + 1);
                    let entered = Participant { id: *participant, party, role: Role::External, since: at, active: at };
                    it.participants.push(entered);
                    it.course.came(Who::External(address.clone()), Role::External);
                    it.guests.insert(*participant, guest);
                });
            }
            Event::ExternalLeft { session, participant, .. } => self.change_session(*session, |it| {
                it.participants.retain(|there| there.id != *participant);
                it.guests.remove(participant);
            }),
            _ => {}
        }
    }

    fn fold_entered(&mut self, at: Time, id: SessionId, rep: UserId, participant: ParticipantId, role: Role) {
        let helps: Vec<SessionId> = self.index.help_for(id).collect();
        for help in helps {
            self.change_session(help, |it| it.rejected_by.extend([rep]));
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.course.came(Who::Rep(rep), role);
        if let Some(there) = session.participants.iter_mut().find(|there| there.party == Party::Rep(rep)) {
            there.role = role;
            return self.index.touch_session(id);
        }
        session.next_participant = session.next_participant.max(participant.0 + 1);
        session.participants.push(Participant { id: participant, party: Party::Rep(rep), role, since: at, active: at });
        let counts = session.counts() && !matches!(session.stage, Stage::Held { .. });
        self.index.touch_session(id);
        self.index.entered(rep, id);
        if counts {
            self.count(at, rep, true);
        }
    }

    fn fold_left(&mut self, at: Time, id: SessionId, rep: UserId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = session.participants.len();
        session.participants.retain(|participant| participant.party != Party::Rep(rep));
        if session.participants.len() == before {
            return;
        }
        let counts = session.counts();
        // Whose help was asked for begins to work, and has nothing to wrap up.
        let wraps_up = session.ask.helps.is_none();
        let held = matches!(session.stage, Stage::Held { .. });
        self.index.touch_session(id);
        self.index.left(rep, id);
        if counts {
            if wraps_up {
                self.change_console(rep, |console| console.wrap_from = Some(at));
            }
            if !held {
                self.count(at, rep, false);
            }
        }
    }

    /// Every rep leaves it.
    fn fold_cleared(&mut self, at: Time, id: SessionId) {
        let reps: Vec<UserId> = self.sessions.get(&id).map(|session| session.reps().collect()).unwrap_or_default();
        for rep in reps {
            self.fold_left(at, id, rep);
        }
    }

    fn fold_overdue(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let target = session.waiting().and_then(|waiting| self.overflow_of(waiting.queue));
        let moves = target.is_some_and(|to| !session.been_in.contains(&Queue::Team(to)));
        self.change_session(id, |it| {
            if let Some(waiting) = it.waiting_mut() {
                waiting.overdue = true;
                waiting.move_due = moves;
            }
        });
    }

    fn fold_moved(&mut self, at: Time, id: SessionId, to: Queue, rule: MoveRule) {
        self.fold_cleared(at, id);
        self.change_session(id, |it| {
            it.invites.clear();
            let by_hand = rule == MoveRule::Transfer;
            if by_hand {
                it.rejected_by.clear();
            }
            it.place(at, to, by_hand);
            it.moved_by = Some(rule);
        });
        self.fold_pace_entered(to, id);
    }

    fn fold_owner_changed(&mut self, at: Time, id: SessionId, from: Option<UserId>, to: UserId, rule: OwnerRule) {
        if let Some(from) = from
            && rule == OwnerRule::Fallback1
        {
            self.fold_left(at, id, from);
        }
        let Some(session) = self.sessions.get(&id) else { return };
        if session.participant_of(Party::Rep(to)).is_none() {
            let next = ParticipantId(session.next_participant);
            self.fold_entered(at, id, to, next, Role::Owner);
        }
        self.change_session(id, |it| {
            it.course.owned(at, to);
            it.course.came(Who::Rep(to), Role::Owner);
            match &mut it.stage {
                Stage::Active { owner, .. } | Stage::Held { owner, .. } => *owner = to,
                Stage::Waiting(_) => {}
            }
            for participant in &mut it.participants {
                if participant.party == Party::Rep(to) {
                    participant.role = Role::Owner;
                } else if participant.role == Role::Owner {
                    participant.role = Role::Sharer;
                }
            }
        });
    }

    fn fold_hold(&mut self, at: Time, id: SessionId, hold: bool) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(owner) = session.owner() else { return };
        session.course.leave(&session.stage, at);
        session.stage = if hold { Stage::Held { owner, since: at } } else { Stage::Active { owner, since: at } };
        if !hold && session.customer_lost.is_some() {
            // The reconnect timeout did not run while it was held.
            session.customer_lost = Some(at);
        }
        // Nor did anybody's inactivity (R7.9).
        session.participants.iter_mut().for_each(|there| there.active = at);
        let reps: Vec<UserId> = if session.counts() { session.reps().collect() } else { Vec::new() };
        self.index.touch_session(id);
        for rep in reps {
            self.count(at, rep, !hold);
        }
    }

    fn fold_ended(&mut self, at: Time, id: SessionId) {
        self.fold_cleared(at, id);
        let Some(session) = self.sessions.remove(&id) else { return };
        if let Some(offer) = session.waiting().and_then(|waiting| waiting.offer.as_ref()) {
            self.change_console(offer.rep, |console| console.offer = None);
        }
        self.index.touch_session(id);
    }
}
