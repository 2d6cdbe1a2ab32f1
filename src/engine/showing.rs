//! A rep shows its screen to another, with no customer and outside any queue (BU-067, BU-068). It is a session of kind
//! `rep_to_rep`: who shows is participant 0, as a customer would be, and who looks opens its tool `screen`. Whether the
//! permissions allow it, and whether control was given, is in `policy::shown`.

use super::{
    Actor, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Stamped,
    command::Ask,
    event::{AcceptedHow, EndReason},
    refusal::refuse,
};
use crate::{
    ids::*,
    limits,
    policy::{Source, Tool},
    site::{SessionKind, UserPermission},
    time::Time,
};

impl Engine {
    /// Asks a rep who is logged in to look; the invitation lives as long as any other.
    pub(super) fn show_screen(
        &mut self,
        now: Time,
        actor: Actor,
        to: UserId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        self.needs(rep, UserPermission::ShowScreenToReps, "showing one's screen to reps needs its permission")?;
        self.user(to)?;
        if to == rep {
            return refuse(Reason::WrongState, "R1.4", "this is your own screen: name another rep");
        }
        if !self.state.consoles.contains_key(&to) {
            return refuse(Reason::NoRepAvailable, "R1.4", "this rep is not logged in");
        }
        if self.state.sessions_of(rep).any(|id| self.state.shown_by(id) == Some(rep)) {
            return refuse(Reason::LimitReached, "R1.4", "your screen is shown already: end that first");
        }
        let ask =
            Ask { kind: SessionKind::RepToRep, shown_by: Some(rep), ..Ask::of(Entry::Queue(Queue::Personal(rep))) };
        let session = SessionId(self.state.next_session);
        let (participant, how) = (ParticipantId::CUSTOMER, AcceptedHow::Show);
        self.emit(now, Event::Asked { session, ask: Box::new(ask) }, out);
        self.emit(now, Event::Accepted { session, rep, participant, how }, out);
        let (to, expires_at) = (Queue::Personal(to), now + limits::INVITATION);
        self.emit(now, Event::Invited { session, by: rep, to, expires_at, mailed: None }, out);
        Ok(Outcome::Session(session))
    }

    /// Who shows gives control, or takes it back: then the gate is shut before anybody is answered.
    pub(super) fn give_control(
        &mut self,
        now: Time,
        actor: Actor,
        id: SessionId,
        on: bool,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let rep = self.console_of(actor)?;
        self.acting(id, actor)?;
        if self.state.shown_by(id) != Some(rep) {
            return refuse(Reason::NotPermitted, "R1.4", "only who shows its screen gives control of it");
        }
        if on {
            self.needs(rep, UserPermission::GiveControlToReps, "giving control of one's screen needs its permission")?;
        }
        let (mut epoch, mut legs) = (self.state.tools.epoch(id), Vec::new());
        if self.session_of(id)?.control_given != on {
            legs = self.input_legs(id);
            self.emit(now, Event::ControlGiven { session: id, on }, out);
            self.learn(id);
            self.judge(now, id, out);
            epoch = self.next_permissions(now, id, out);
        }
        Ok(if on { Outcome::Done } else { Outcome::Revoked { epoch, legs } })
    }

    /// Nobody looks at it, and nobody is asked to any more.
    pub(super) fn end_unwatched(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let Some(session) = self.state.sessions.get(&id).filter(|session| session.is_show()) else { return };
        if !session.invites.is_empty() || session.participants.len() > 1 {
            return;
        }
        let looked = session.next_participant > 1;
        self.end(at, id, if looked { EndReason::Orphaned } else { EndReason::Declined }, out);
    }

    /// An edit took from who shows what it needs: the screen is not shown any more, or control is to be given anew.
    /// True: it has ended.
    pub(super) fn end_forbidden_show(&mut self, at: Time, id: SessionId, out: &mut Vec<Stamped>) -> bool {
        let Some(by) = self.state.shown_by(id) else { return false };
        if !self.may(by, UserPermission::ShowScreenToReps) {
            self.end(at, id, EndReason::ByAdmin, out);
            return true;
        }
        let given = self.state.sessions.get(&id).is_some_and(|session| session.control_given);
        if given && !self.may(by, UserPermission::GiveControlToReps) {
            self.emit(at, Event::ControlGiven { session: id, on: false }, out);
        }
        false
    }

    /// A screen that is shown to a rep waits in no queue and has one owner.
    pub(super) fn is_no_show(&self, id: SessionId, rule: &str) -> Result<(), Refusal> {
        match self.state.shown_by(id) {
            None => Ok(()),
            Some(_) => refuse(Reason::WrongState, rule, "this is a rep's screen that is shown to another rep"),
        }
    }

    /// P1.1: with the layer that gave the user its permissions.
    fn needs(&self, user: UserId, permission: UserPermission, message: &str) -> Result<(), Refusal> {
        if self.may(user, permission) {
            return Ok(());
        }
        let source = Source::of_permissions(user, self.user(user)?).name(&self.state.site);
        Err(Refusal::new(Reason::NotPermitted, "P1.1", message).of_tool(Tool::Screen, source))
    }

    /// Where somebody else's input arrives.
    fn input_legs(&self, id: SessionId) -> Vec<(ChannelId, ParticipantId)> {
        let channels = self.state.tools.session(id).into_iter().flat_map(|using| using.channels.values());
        let inputs = channels.filter(|channel| channel.spec.writer != ParticipantId::CUSTOMER);
        inputs.flat_map(|it| it.spec.readers.iter().map(|reader| (it.spec.channel, *reader))).collect()
    }
}

impl super::State {
    /// The rep whose screen is shown in this session.
    pub fn shown_by(&self, session: SessionId) -> Option<UserId> {
        self.sessions.get(&session)?.ask.shown_by
    }
}
