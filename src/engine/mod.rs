//! The state machine of one site: `handle(now, request) → events` or a refusal. Pure: time is an argument, ids are
//! counted, secrets come as hashes, order comes from sequence numbers. It must never know a socket, a clock or a log.
//!
//! Deciding appends events and every event is applied as it is appended, so state is always the fold of the events.
//! `apply` never decides: a journal is replayed with it alone.

pub mod accounts;
pub mod address;
pub mod buttons;
pub mod command;
pub mod estimate;
pub mod event;
pub mod explain;
pub mod externals;
pub mod history;
pub mod jobs;
pub mod jumps;
pub mod keys;
pub mod notices;
pub mod parties;
pub mod past;
pub mod proving;
pub mod refusal;
pub mod second_factor;
pub mod session;
pub mod state;
pub mod targets;
pub mod telling;
pub mod tools;
pub mod trail;

mod asking;
mod by_hand;
mod consoles;
mod deadlines;
mod disclaimer;
mod endings;
mod fallback;
mod fold;
mod help;
mod inactivity;
mod index;
mod invitations;
mod language;
mod offers;
mod pins;
mod reach;
mod rep_list;
mod settings;
mod sharing;
mod showing;
mod support;
mod taking;
mod tied;

pub use accounts::PasswordTerms;
pub use command::{Actor, Command, Entry, Queue, Request, Turn};
pub use event::{Event, Outcome, Stamped};
pub use history::{Filed, Record};
pub use refusal::{Reason, Refusal};
pub use second_factor::{Enrolled, Proof};
pub use session::Session;
pub use settings::{Checked, may_apply};
pub use state::State;

use crate::{
    ids::*,
    limits,
    site::{Site, User, UserPermission},
    time::Time,
};
use refusal::refuse;

/// One site's state and the decisions about it. Every change goes through [`Engine::handle`] or [`Engine::advance`].
#[derive(Clone, Debug)]
pub struct Engine {
    state: State,
    /// What the next `apply_site` is of, where it was checked outside.
    checked: Option<Checked>,
    /// Of sessions that ended, until they are taken; none where nobody files them.
    records: Option<Vec<Record>>,
}

impl Engine {
    /// A site in which nothing has happened yet. A broker starts with an empty one and applies its site file.
    pub fn new(site: Site) -> Self {
        Self::from_state(State::new(site))
    }

    /// Goes on from a snapshot or from replayed events.
    pub fn from_state(mut state: State) -> Self {
        state.rebuild();
        Self { state, checked: None, records: None }
    }

    /// From here on records of sessions that end are kept for [`Self::take_records`].
    pub fn filing(mut self) -> Self {
        self.records = Some(Vec::new());
        self
    }

    /// What the sessions that ended since the last time leave behind (BU-048).
    pub fn take_records(&mut self) -> Vec<Record> {
        self.records.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn into_state(self) -> State {
        self.state
    }

    /// Fires what is due by `now`, then decides one request. What happened is appended to `out`; state has moved with
    /// it. On a refusal nothing of the request stays, though timers may have fired.
    pub fn handle(&mut self, now: Time, request: &Request, out: &mut Vec<Stamped>) -> Result<Outcome, Refusal> {
        self.advance(now, out);
        let now = now.max(self.state.now);
        if let Some(outcome) = request.id.and_then(|id| self.state.parties.remembered(request.actor, id)) {
            return Ok(outcome);
        }
        let from = out.len();
        let outcome = self.decide(now, request, out);
        if outcome.is_err() {
            debug_assert_eq!(out.len(), from, "a refused command leaves no event");
            return outcome;
        }
        self.settle(now, from, out);
        // What this made due at once, such as an idle time that is over already.
        self.advance(now, out);
        if let (Ok(outcome), Some(id), true) = (&outcome, request.id, out.len() > from) {
            let outcome = outcome.clone();
            match request.actor {
                Actor::Party(party) if self.may_repeat(party) => {
                    self.emit(now, Event::Acted { party, id, outcome }, out);
                }
                Actor::Service(service) if id >= limits::SERVICE_REQUEST_IDS_FROM => {
                    self.emit(now, Event::ServiceActed { service, id, outcome }, out);
                }
                _ => {}
            }
        }
        outcome
    }

    /// Could this party send its request again? Not who was in a session that has ended, a guest who has left, nor an
    /// endpoint whose key is gone.
    fn may_repeat(&self, party: Party) -> bool {
        match party {
            Party::Rep(_) => true,
            Party::JumpClient(item) => self.state.item_keys.has(item),
            Party::Customer(session) => self.state.sessions.contains_key(&session),
            Party::External(session, guest) => {
                self.state.session(session).is_some_and(|session| session.guests.contains_key(&guest))
            }
        }
    }

    /// Fires the timers due by `now`, each at its own moment, in order. Those of one moment fire before anything that
    /// follows from them is decided, so that the most urgent is served first (R5.6).
    pub fn advance(&mut self, now: Time, out: &mut Vec<Stamped>) {
        while let Some(due) = self.next_deadline().filter(|due| *due <= now) {
            let at = due.max(self.state.now);
            let from = out.len();
            while self.next_deadline().is_some_and(|due| due <= at) {
                let before = out.len();
                self.fire(at, out);
                if out.len() == before {
                    debug_assert!(false, "a timer fired at {at:?} and nothing came of it");
                    return;
                }
            }
            self.settle(at, from, out);
        }
    }

    /// When the next timer is due, if any is set.
    pub fn next_deadline(&self) -> Option<Time> {
        let state = &self.state;
        [state.tools.next_deadline(), state.keys.next_deadline(), state.parties.next_deadline()]
            .into_iter()
            .chain([state.accounts.next_deadline(), state.next_deadline(), state.two_factor_due()])
            .chain([state.notices.next_deadline(), state.jobs.next_deadline()])
            .flatten()
            .min()
    }

    /// Replays one event. Never decides.
    pub fn apply(state: &mut State, stamped: &Stamped) {
        state.apply(stamped.at, &stamped.event);
    }

    /// The only way state changes.
    pub(super) fn emit(&mut self, at: Time, event: Event, out: &mut Vec<Stamped>) {
        if let Some(records) = &mut self.records {
            records.extend(Record::of(&self.state, at, &event));
        }
        self.state.apply(at, &event);
        out.push(Stamped { at, event });
    }

    /// All branching on the command is here.
    fn decide(&mut self, now: Time, request: &Request, out: &mut Vec<Stamped>) -> Result<Outcome, Refusal> {
        let actor = request.actor;
        self.may_act(actor, &request.command)?;
        match &request.command {
            Command::Tick => Ok(Outcome::Done),
            Command::TakeOwnership { epoch } => {
                self.emit(now, Event::OwnerTook { epoch: *epoch }, out);
                Ok(Outcome::Done)
            }
            Command::LoseConnections => {
                self.emit(now, Event::ConnectionsLost, out);
                Ok(Outcome::Done)
            }
            Command::CivilTime { ms } => {
                self.emit(now, Event::CivilTime { ms: *ms }, out);
                self.end_extended(now, out);
                Ok(Outcome::Done)
            }

            Command::SetCredential { user, phc, version, terms } => {
                self.set_credential(now, actor, *user, phc, *version, *terms, out)
            }
            Command::Unlock { user } => self.unlock(now, actor, *user, out),
            Command::CreateFirstAdmin { username, phc, second_factor } => {
                self.create_first_admin(now, actor, username, phc, second_factor.as_ref(), out)
            }
            Command::SetSecondFactor(enrolled) => self.set_second_factor(now, actor, enrolled, out),
            Command::RemoveSecondFactor { user } => self.remove_second_factor(now, actor, *user, out),
            Command::UseSecondFactor { user, proof } => self.use_second_factor(now, actor, *user, *proof, out),
            Command::MakeServiceKey { name, token } => self.make_service_key(now, actor, name, *token, out),
            Command::MakeItemKey { item, key } => self.make_item_key(now, actor, *item, *key, out),
            Command::RevokeItemKey { item } => self.revoke_item_key(now, actor, *item, out),
            Command::StandBy { key, client, resume } => self.stand_by(now, *key, client, *resume, out),

            Command::MakeKey { entry, key, code, expires } => {
                self.make_key(now, actor, *entry, *key, *code, *expires, out)
            }
            Command::InviteExternal { session, address, policy, key } => {
                self.invite_external(now, actor, *session, address, *policy, *key, out)
            }
            Command::RedeemInvite { key, client, resume } => self.redeem_invite(now, *key, client, *resume, out),
            Command::AnswerInvitation { token, answer } => self.answer_invitation(now, *token, *answer, out),
            Command::MailFailed { token } => self.mail_failed(now, actor, *token, out),
            Command::MakeButton { queue, portal, token } => self.make_button(now, actor, *queue, *portal, *token, out),
            Command::RevokeButton { button } => self.revoke_button(now, actor, *button, out),
            Command::SetButtonPortal { button, portal } => self.set_button_portal(now, actor, *button, *portal, out),
            Command::Redeem { key, portal, customer, resume } => {
                self.redeem(now, *key, *portal, customer, *resume, out)
            }
            Command::Reattach { presented, resume } => self.reattach(now, *presented, *resume, out),
            Command::Lost { party, epoch } => self.lost(now, *party, *epoch, out),

            Command::Ask(ask) => {
                self.may_ask(actor)?;
                self.ask(now, actor, ask.clone(), out).map(Outcome::Session)
            }

            Command::Open { session, tool, args } => self.open(now, actor, *session, *tool, args, out),
            Command::AcceptOpen { session, open, facts } => self.accept_open(now, actor, *session, *open, facts, out),
            Command::RefuseOpen { session, open, reason } => self.refuse_open(now, actor, *session, *open, reason, out),
            Command::Note { session, channel, facts } => self.note(now, actor, *session, *channel, facts, out),
            Command::AnswerDisclaimer { session, agree } => self.answer_disclaimer(now, actor, *session, *agree, out),
            Command::Answer { session, prompt, allow } => self.answer(now, actor, *session, *prompt, *allow, out),
            Command::TakeBack { session, tool } => self.take_back(now, actor, *session, *tool, out),
            Command::Refusals { session, participant, tool, count, source } => {
                self.refusals(now, actor, (*session, *participant, *tool), *count, source, out)
            }
            Command::AnswersRefused { session, prompt, by, count, code } => {
                self.answers_refused(now, actor, (*session, *prompt, *by), *count, code, out)
            }
            Command::DataMoved { session, by } => self.moved_data(now, actor, *session, by, out),
            Command::JudgeRights => self.judge_rights(now, actor, out),
            Command::ChannelEnded { channel, reason } => self.channel_ended(now, actor, *channel, reason, out),
            Command::LegEnded { channel, reader, reason } => self.leg_ended(now, actor, *channel, *reader, reason, out),

            Command::PublishNotice { text, lives } => self.publish_notice(now, actor, text, *lives, out),
            Command::WithdrawNotice { notice } => self.withdraw_notice(now, actor, *notice, out),
            Command::DisableUser { user } => self.disable_user(now, actor, *user, out),
            Command::DeleteTeam { team } => self.delete_team(now, actor, *team, out),
            Command::ApplySite(site) => self.apply_site(now, actor, site, out),

            Command::Login { user, version, resume, client } => self.log_in(now, *user, *version, *resume, client, out),
            Command::Logout { user } => self.ask_to_log_out(now, actor, *user, out),
            Command::LoseForGood { user } => self.lose_for_good(now, *user, out),
            Command::OptIn => self.opt(now, actor, true, out),
            Command::OptOut => self.opt(now, actor, false, out),
            Command::Status { code } => self.set_status(now, actor, code, out),
            Command::Idle { since } => self.go_idle(now, actor, *since, out),
            Command::Active => self.go_active(now, actor, out),

            Command::Jump { item, join, by_endpoint } => self.jump(now, actor, *item, *join, *by_endpoint, out),

            Command::MakeJob(new) => self.make_job(now, actor, new, out),
            Command::CancelJob { job } => self.cancel_job(now, actor, *job, out),
            Command::TakeJob { job } => self.take_job(now, actor, *job, out),
            Command::JobEnded { job, exit, reason, output } => {
                self.job_ended(now, actor, *job, *exit, (reason, output), out)
            }
            Command::JobsRefused { by, count, source } => self.jobs_refused(now, actor, *by, *count, source, out),

            Command::Accept { session } => self.accept(now, actor, *session, out),
            Command::Reject { session } => self.reject(now, actor, *session, out),
            Command::Take { session } => self.take(now, actor, *session, out),
            Command::GetNext => self.get_next(now, actor, out),
            Command::Transfer { session, to } => self.transfer(now, actor, *session, *to, out),
            Command::Share { session, to, mail } => self.share(now, actor, *session, *to, *mail, out),
            Command::AskForHelp { session, issue } => self.ask_for_help(now, actor, *session, *issue, out),
            Command::Extended { on } => self.extended(now, actor, *on, out),
            Command::Join { session } => self.join(now, actor, *session, out),
            Command::Depart { session } => self.depart(now, actor, *session, out),
            Command::TakeOver { session } => self.take_over(now, actor, *session, out),
            Command::Hold { session } => self.hold(now, actor, *session, out),
            Command::Resume { session } => self.resume(now, actor, *session, out),
            Command::End { session } => self.ask_to_end(now, actor, *session, out),
            Command::ShowScreen { to } => self.show_screen(now, actor, *to, out),
            Command::GiveControl { session, on } => self.give_control(now, actor, *session, *on, out),
            Command::SetChat { session, on } => self.set_chat(now, actor, *session, *on, out),
            Command::SetField { session, field, value } => self.set_field(now, actor, *session, field, value, out),
            Command::SetLocale { session, locale } => self.set_locale(now, actor, *session, locale, out),
            Command::SetExternalKey { session, value } => self.set_external_key(now, actor, *session, value, out),
        }
    }

    /// Everything that follows from what was decided, until nothing does: routing first, then tools.
    fn settle(&mut self, at: Time, from: usize, out: &mut Vec<Stamped>) {
        let mut avoid = Vec::new();
        let mut seen = from;
        while seen < out.len() {
            while seen < out.len() {
                if let Some(follow) = Follow::of(&out[seen].event) {
                    self.follow(at, follow, &mut avoid, out);
                }
                seen += 1;
            }
            self.balance(at, &avoid, out);
        }
        self.settle_tools(at, from, out);
    }

    fn follow(&mut self, at: Time, follow: Follow, avoid: &mut Vec<(SessionId, UserId)>, out: &mut Vec<Stamped>) {
        match follow {
            Follow::ConnectionsLost => self.withdraw_all(at, out),
            Follow::RepLost(user) => {
                // R5.7: a rep whose console is lost during an offer counts as timed out at once.
                if let Some(session) = self.state.consoles.get(&user).and_then(|console| console.offer) {
                    self.emit(at, Event::OfferTimeout { session, rep: user }, out);
                }
            }
            Follow::PeopleChanged(session) => {
                self.dismiss_unattended(at, session, out);
                self.end_help(at, session, out);
                self.end_unwatched(at, session, out);
            }
            Follow::InvitationGone(session) => self.end_unwatched(at, session, out),
            Follow::LoggedOut(user) => {
                let sessions: Vec<SessionId> = self.state.sessions_of(user).collect();
                sessions.into_iter().for_each(|session| self.dismiss_unattended(at, session, out));
            }
            Follow::CustomerLost(session) => self.withdraw(at, session, "customer_lost", out),
            Follow::RepCame(user) => {
                let teams: Vec<TeamId> = self.user_teams(user).collect();
                for team in teams {
                    self.after_available(at, team, out);
                }
                self.join_accepted(at, user, out);
            }
            Follow::OfferGone(session, ran_out) => {
                avoid.extend(ran_out.map(|rep| (session, rep)));
                self.after_offer(at, session, out);
            }
        }
    }

    /// Fires what is due at `at`, at least one thing.
    fn fire(&mut self, at: Time, out: &mut Vec<Stamped>) {
        match self.state.index.first_deadline() {
            Some((due, index::Subject::Session(session))) if due <= at => self.fire_session(at, session, out),
            Some((due, index::Subject::Rep(user))) if due <= at => self.fire_console(at, user, out),
            _ => {
                self.tick_tools(at, out);
                self.tick_keys(at, out);
                self.tick_parties(at, out);
                self.tick_two_factor(at, out);
                self.tick_notices(at, out);
                self.tick_jobs(at, out);
            }
        }
    }

    fn user(&self, user: UserId) -> Result<&User, Refusal> {
        match self.state.site.users.get(&user) {
            Some(user) => Ok(user),
            None => refuse(Reason::UnknownRep, "", "no such user"),
        }
    }

    fn session_of(&self, id: SessionId) -> Result<&Session, Refusal> {
        match self.state.sessions.get(&id) {
            Some(session) => Ok(session),
            None if id.0 > 0 && id.0 < self.state.next_session => {
                refuse(Reason::SessionEnded, "", "this session has ended")
            }
            None => refuse(Reason::UnknownSession, "", "no such session"),
        }
    }

    /// The rep who asks, if logged in.
    fn console_of(&self, actor: Actor) -> Result<UserId, Refusal> {
        let user = actor.rep()?;
        match self.state.consoles.contains_key(&user) {
            true => Ok(user),
            false => refuse(Reason::NotLoggedIn, "", "this rep is not logged in"),
        }
    }

    fn administrator(&self, actor: Actor) -> Result<(), Refusal> {
        let allowed = match actor {
            Actor::System => true,
            Actor::Admin(user) | Actor::Party(Party::Rep(user)) => self.may(user, UserPermission::Administrator),
            _ => false,
        };
        if allowed { Ok(()) } else { refuse(Reason::NotPermitted, "P1.1", "only an administrator may do this") }
    }

    fn may(&self, user: UserId, permission: UserPermission) -> bool {
        self.state.site.users.get(&user).is_some_and(|user| user.enabled && user.permissions.contains(&permission))
    }

    fn user_teams(&self, user: UserId) -> impl Iterator<Item = TeamId> {
        self.state.site.users.get(&user).into_iter().flat_map(|user| user.teams.keys().copied())
    }
}

/// What of an event calls for more.
#[derive(Clone, Copy)]
enum Follow {
    ConnectionsLost,
    RepLost(UserId),
    RepCame(UserId),
    CustomerLost(SessionId),
    LoggedOut(UserId),
    /// Somebody left it, or nobody serves it any more.
    PeopleChanged(SessionId),
    InvitationGone(SessionId),
    /// With the rep who let it run out.
    OfferGone(SessionId, Option<UserId>),
}

impl Follow {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::ConnectionsLost => Some(Self::ConnectionsLost),
            Event::Detached { party: Party::Rep(user), .. } => Some(Self::RepLost(*user)),
            Event::Detached { party: Party::Customer(session), .. } => Some(Self::CustomerLost(*session)),
            Event::LoggedIn { user } => Some(Self::RepCame(*user)),
            Event::LoggedOut { user, .. } => Some(Self::LoggedOut(*user)),
            Event::Departed { session, .. }
            | Event::OwnerChanged { session, .. }
            | Event::Moved { session, .. }
            | Event::Held { session }
            | Event::Ended { session, .. } => Some(Self::PeopleChanged(*session)),
            Event::InviteGone { session, .. } => Some(Self::InvitationGone(*session)),
            Event::OfferTimeout { session, rep } => Some(Self::OfferGone(*session, Some(*rep))),
            Event::Rejected { session, .. } | Event::OfferWithdrawn { session, .. } => {
                Some(Self::OfferGone(*session, None))
            }
            _ => None,
        }
    }
}

impl Actor {
    /// The rep who asks, or a refusal: only a console may do this.
    fn rep(self) -> Result<UserId, Refusal> {
        match self {
            Self::Party(Party::Rep(user)) => Ok(user),
            _ => refuse(Reason::NotPermitted, "", "only a rep's console may do this"),
        }
    }
}
