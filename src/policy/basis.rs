//! What permissions are made of: the few things of a situation that have a say in them (W2.4).

use super::{
    jumps,
    session::{Person, Situation, Source},
    shown,
};
use crate::{
    ids::*,
    site::{Origin, SessionKind, Site, User, UserPermission, tool::Tool, value::Word},
};

/// Equal ones give equal permissions, but for whose account it is ([`super::Source::of`]). What has no say is left out, so
/// that thousands of situations come down to a few.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Basis {
    who: Who,
    portal: Option<PortalId>,
    jump_item: Option<JumpItemId>,
    kind: SessionKind,
    present: bool,
    /// Who withholds scripts on a jump item (P8.6).
    no_scripts: Option<Withholds>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Withholds {
    Group(Source),
    /// The account for which it is.
    Account,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Who {
    Nobody,
    User(Account),
    External { invite: Option<PolicyId>, inviter: Option<Account> },
    Shown { screen: Word, from: Origin },
}

/// A user as far as the permissions of sessions go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Account {
    policy: Option<PolicyId>,
    policies_from: Origin,
    group: Option<usize>,
    /// Which of [`USER_RIGHTS`] it has, a bit each.
    rights: u8,
    permissions_from: Origin,
}

impl Situation {
    pub fn basis(&self, site: &Site) -> Basis {
        let account = |user: UserId| site.users.get(&user).map(|user| Account::of(user, self.kind));
        let who = match self.person {
            Person::Nobody => Who::Nobody,
            Person::User(user) => account(user).map_or(Who::Nobody, Who::User),
            Person::External { invite, inviter } => Who::External { invite, inviter: account(inviter) },
            Person::Shown { by, control } => site.users.get(&by).map_or(Who::Nobody, |user| Who::Shown {
                screen: shown::screen(user, control),
                from: user.permissions_from,
            }),
        };
        let says = |portal: &PortalId| site.portals.get(portal).is_some_and(|portal| portal.policy.is_some());
        let Self { jump_item, kind, .. } = *self;
        let present = self.present || jump_item.is_none();
        let no_scripts = jumps::scripts_barred(site, self).map(|source| match source {
            Source::User(_) => Withholds::Account,
            group => Withholds::Group(group),
        });
        Basis { who, portal: self.portal.filter(says), jump_item, kind, present, no_scripts }
    }
}

impl Account {
    fn of(user: &User, kind: SessionKind) -> Self {
        let holds = |either: &[UserPermission]| either.iter().any(|right| user.permissions.contains(right));
        let bits = USER_RIGHTS.iter().enumerate().map(|(at, (_, either))| u8::from(holds(either)) << at);
        Self {
            policy: policy_of(user, kind),
            policies_from: user.policies_from,
            group: user.technician_group,
            rights: bits.sum(),
            permissions_from: user.permissions_from,
        }
    }
}

/// Of a user's two session policies. A jump is unattended, whoever may sit there (R1.4).
pub(super) fn policy_of(user: &User, kind: SessionKind) -> Option<PolicyId> {
    if kind == SessionKind::Jump { user.policy_unattended } else { user.policy_attended }
}

/// P3.17, P3.29: tools for which a user needs one of these permissions beside that of the session.
pub(super) const USER_RIGHTS: &[(Tool, &[UserPermission])] = &[
    (Tool::PinJumpClient, &[UserPermission::JumpClient]),
    (Tool::Deploy, &[UserPermission::ButtonsPersonal, UserPermission::ButtonsTeamDeploy]),
    (Tool::ExternalKey, &[UserPermission::EditExternalKey]),
];
