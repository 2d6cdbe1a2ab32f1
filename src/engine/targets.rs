//! Whom a rep may hand a session to, or ask into it (BU-057, BU-058): the same limits as of the acts themselves (R7.3, R7.4,
//! P3.24), as a list.

use super::{Queue, Session, State};
use crate::{
    ids::*,
    policy::{Tool, ToolOption, ToolValue, plan::Rights},
    site::UserPermission,
};

/// What is to be done with the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handing {
    Transfer,
    Share,
}

impl Handing {
    /// The permission to do it beyond one's own teams.
    pub fn beyond(self) -> UserPermission {
        match self {
            Self::Transfer => UserPermission::TransferOutside,
            Self::Share => UserPermission::ShareOutside,
        }
    }

    pub fn scope(self) -> (ToolOption, Tool) {
        match self {
            Self::Transfer => (ToolOption::TransferTo, Tool::Transfer),
            Self::Share => (ToolOption::CollaborateTo, Tool::Collaborate),
        }
    }
}

impl State {
    /// Own teams and their members, or anywhere with the permission.
    pub fn reaches(&self, rep: UserId, to: Queue, beyond: UserPermission) -> bool {
        let Some(user) = self.site.users.get(&rep).filter(|user| user.enabled) else { return false };
        let near = match to {
            Queue::Team(team) => user.teams.contains_key(&team),
            Queue::Personal(other) => {
                let mate = self.site.users.get(&other);
                other == rep || mate.is_some_and(|mate| user.teams.keys().any(|team| mate.teams.contains_key(team)))
            }
        };
        near || user.permissions.contains(&beyond)
    }

    /// P3.24: whether a list of a scope names this queue; a listed team means its members too.
    pub(super) fn scope_names(&self, entries: &[impl AsRef<str>], to: Queue) -> bool {
        let site = &self.site;
        let says = |kind: &str, code: &str| {
            let mut named = entries.iter().filter_map(|entry| entry.as_ref().strip_prefix(kind));
            named.any(|it| it.eq_ignore_ascii_case(code))
        };
        let team_listed = |team: TeamId| says("team:", site.teams.get(&team).map_or("", |team| team.code.as_str()));
        match to {
            Queue::Team(team) => team_listed(team),
            Queue::Personal(user) => site.users.get(&user).is_some_and(|found| {
                says("rep:", &found.username) || found.teams.keys().any(|team| team_listed(*team))
            }),
        }
    }

    /// Where this rep may hand the session at this moment: one for each team and then each user of the site, `None` where it
    /// may not, so that whoever asks decides how many are looked at. Reps are logged in or are reached by mail, and not in it
    /// already.
    pub fn targets<'a>(
        &'a self,
        rep: UserId,
        session: &'a Session,
        handing: Handing,
    ) -> impl Iterator<Item = Option<Queue>> + 'a {
        let (scope, tool) = handing.scope();
        let granted = self.granted(session, Party::Rep(rep));
        let listed = match granted.option_from(scope).0 {
            ToolValue::List(entries) => Some(entries.to_vec()),
            _ => None,
        };
        let may = granted.rights(tool) != 0 && self.supports(rep) && !session.is_show();
        let teams = self.site.teams.keys().copied().map(Queue::Team);
        let reps = self.site.users.keys().copied().map(Queue::Personal);
        let comes = move |to: Queue| match to {
            Queue::Team(_) => true,
            Queue::Personal(user) => {
                let there = self.console(user).is_some() || handing == Handing::Share && self.extended.contains(&user);
                there && self.supports(user) && session.participant_of(Party::Rep(user)).is_none()
            }
        };
        teams.chain(reps).map(move |to| {
            let named = || listed.as_ref().is_none_or(|entries| self.scope_names(entries, to));
            (may && comes(to) && named() && self.reaches(rep, to, handing.beyond())).then_some(to)
        })
    }
}
