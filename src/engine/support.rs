//! Who may provide support at all (BU-053). Without the permission a console is there for what else its user may do, to
//! show a screen or to administer: it serves no customer, prepares nothing for one, and nothing comes to it.

use super::{Actor, Command, Engine, Event, Queue, Reason, Refusal, Stamped, State, session::Session};
use crate::{ids::*, policy::Source, site::UserPermission, time::Time};

impl State {
    /// The account has the permission `support`.
    pub fn supports(&self, user: UserId) -> bool {
        let found = self.site.users.get(&user);
        found.is_some_and(|user| user.enabled && user.permissions.contains(&UserPermission::Support))
    }

    fn is_show_of(&self, session: SessionId) -> bool {
        self.session(session).is_some_and(Session::is_show)
    }
}

impl Engine {
    /// BU-053: of a rep who would begin to serve, or make a way in for customers. What only ends or lessens something is
    /// everybody's, and so is a screen that reps show each other.
    pub(super) fn may_support(&self, actor: Actor, command: &Command) -> Result<(), Refusal> {
        let Actor::Party(Party::Rep(user)) = actor else { return Ok(()) };
        let needs_it = match command {
            Command::Accept { session } | Command::Join { session } => !self.state.is_show_of(*session),
            Command::Take { .. }
            | Command::GetNext
            | Command::Transfer { .. }
            | Command::TakeOver { .. }
            | Command::Resume { .. }
            | Command::Share { .. }
            | Command::AskForHelp { .. }
            | Command::InviteExternal { .. }
            | Command::MakeKey { .. }
            | Command::Jump { .. }
            | Command::OptIn
            | Command::Extended { on: true } => true,
            _ => false,
        };
        if needs_it {
            self.needs_support(user, "this needs the permission support, and your account has it not")
        } else {
            Ok(())
        }
    }

    /// BU-053: nothing is handed to who could not serve it. For a team, that nobody of it could is told as R8.3 says.
    pub(super) fn may_be_handed(&self, to: Queue) -> Result<(), Refusal> {
        match to {
            Queue::Personal(user) => self.needs_support(user, "this rep's account has not the permission support"),
            Queue::Team(_) => Ok(()),
        }
    }

    fn needs_support(&self, user: UserId, message: &str) -> Result<(), Refusal> {
        if self.state.supports(user) {
            return Ok(());
        }
        let found = self.state.site.users.get(&user);
        let source = found.map(|found| Source::of_permissions(user, found).name(&self.state.site));
        let message = match &source {
            Some(source) => format!("{message} ({source})"),
            None => message.to_owned(),
        };
        Err(Refusal { source, ..Refusal::new(Reason::NotPermitted, "P1.1", message) })
    }

    /// P6.2, R8.1: an edit took `support` from these. They stop being in their sessions, held ones included, as if their
    /// account had ended, and stay logged in; invitations to them are over.
    pub(super) fn end_support(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let without: Vec<UserId> =
            self.state.site.users.keys().copied().filter(|it| !self.state.supports(*it)).collect();
        let mut in_it = Vec::new();
        for user in &without {
            for session in self.state.sessions_of(*user).filter(|session| !self.state.is_show_of(*session)) {
                let owns = self.state.session(session).is_some_and(|session| session.owner() == Some(*user));
                in_it.push((session, *user, owns));
            }
        }
        // Who owns one leaves it last: it falls to somebody who may go on.
        in_it.sort_by_key(|(session, user, owns)| (*owns, *session, *user));
        for (session, user, owns) in in_it {
            if owns {
                self.orphan(at, session, user, out);
            } else {
                self.emit(at, Event::Departed { session, rep: user, reason: "no_support".to_owned() }, out);
            }
        }
        let invited: Vec<(SessionId, Queue)> = without
            .iter()
            .flat_map(|user| self.state.index.invited_to(*user).map(|session| (session, Queue::Personal(*user))))
            .filter(|(session, to)| {
                let open = self.state.session(*session).filter(|session| !session.is_show());
                open.is_some_and(|session| session.invites.iter().any(|invite| invite.to == *to))
            })
            .collect();
        for (session, to) in invited {
            self.emit(at, Event::InviteGone { session, to, reason: "no_support".to_owned() }, out);
        }
    }
}
