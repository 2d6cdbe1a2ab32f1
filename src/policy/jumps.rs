//! Who may start a session on a jump item (P8): the role that a user has on it, and who gave it. Pure: the site says it
//! all, and nothing is remembered.

use super::session::{Person, Situation, Source, compile};
use crate::{
    ids::*,
    site::{JumpHolder, JumpPlace, JumpRole, SessionKind, Site, User, tool::Tool},
};

/// The role of one user on one item, as far as roles have a say there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Held {
    /// Place in the site's list; none: no access.
    pub role: Option<usize>,
    pub by: By,
}

/// The rule that gave the role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum By {
    /// The item is in no group and nobody's: its jump method's permission alone counts.
    Nothing,
    /// P8.1: the jump group names the user, or a team of theirs.
    Group(usize),
    /// P8.2: the group says that the user's own default role holds.
    Default,
    /// P8.3: the item is on the user's own list.
    Personal,
    /// P8.4: it is on the list of somebody whom the user is above in a team.
    Teams,
    /// P8.5: any other item.
    System,
}

impl Held {
    /// Is somebody with this role let in?
    pub fn starts(self, site: &Site) -> bool {
        self.by == By::Nothing || self.role(site).is_some_and(|role| role.starts_sessions)
    }

    pub fn role(self, site: &Site) -> Option<&JumpRole> {
        site.jump_roles.get(self.role?)
    }
}

impl By {
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Group(_) => "P8.1",
            Self::Default => "P8.2",
            Self::Personal => "P8.3",
            Self::Teams => "P8.4",
            Self::System => "P8.5",
        }
    }

    /// The layer, by the names of contract C3.
    pub const fn source(self, user: UserId) -> Source {
        match self {
            Self::Nothing => Source::Builtin,
            Self::Group(at) => Source::JumpGroup(at),
            Self::Default | Self::Personal | Self::Teams | Self::System => Source::User(user),
        }
    }

    /// As people read it: `the default role of ana`.
    pub fn name(self, site: &Site, user: UserId) -> String {
        let own = |which: &str| format!("the {which} role of {}", site.username(user));
        match self {
            Self::Nothing => "no jump group".to_owned(),
            Self::Group(at) => format!("jump group {}", site.jump_groups.get(at).map_or("", |group| &group.code)),
            Self::Default => own("default"),
            Self::Personal => own("personal"),
            Self::Teams => own("teams"),
            Self::System => own("system"),
        }
    }
}

/// The role that this user has on this item: none where either is gone.
pub fn held(site: &Site, user_id: UserId, item: JumpItemId) -> Held {
    let (Some(item), Some(user)) = (site.jump_items.get(&item), site.users.get(&user_id)) else {
        return Held { role: None, by: By::System };
    };
    let system = Held { role: user.jump_roles.system, by: By::System };
    match item.place {
        JumpPlace::Nowhere => Held { role: None, by: By::Nothing },
        JumpPlace::Group(at) => in_group(site, user_id, user, at).unwrap_or(system),
        JumpPlace::ListOf(owner) if owner == user_id => Held { role: user.jump_roles.personal, by: By::Personal },
        JumpPlace::ListOf(owner) if is_above(site, user, owner) => Held { role: user.jump_roles.teams, by: By::Teams },
        JumpPlace::ListOf(_) => system,
    }
}

/// As the group itself says of the user, else of their teams: of several the role that lets in, and of those the one of
/// the team that is older. None: the user is no member.
fn in_group(site: &Site, user_id: UserId, user: &User, at: usize) -> Option<Held> {
    let group = site.jump_groups.get(at)?;
    let meant = |holder: &JumpHolder| match holder {
        JumpHolder::Role(role) => Held { role: Some(*role), by: By::Group(at) },
        JumpHolder::UsersDefault => Held { role: user.jump_roles.default, by: By::Default },
    };
    if let Some(own) = group.members.get(&user_id) {
        return Some(meant(own));
    }
    let of_teams = || user.teams.keys().filter_map(|team| group.teams.get(team)).map(meant);
    of_teams().find(|held| held.starts(site)).or_else(|| of_teams().next())
}

/// R1.3: a higher role in a team that both are in.
fn is_above(site: &Site, user: &User, other: UserId) -> bool {
    let Some(other) = site.users.get(&other) else { return false };
    user.teams.iter().any(|(team, role)| other.teams.get(team).is_some_and(|theirs| role > theirs))
}

/// P3.25, LR-048: who withholds `connect_on_lan` from this user's jump to an item on the local network; nobody has a say on
/// other items.
pub fn lan_barred(site: &Site, user: UserId, item: JumpItemId, present: bool) -> Option<Source> {
    site.jump_items.get(&item).filter(|item| item.method.is_local())?;
    let (person, kind) = (Person::User(user), SessionKind::Jump);
    let permissions = compile(site, &Situation { person, portal: None, jump_item: Some(item), kind, present });
    (!permissions.any(Tool::ConnectOnLan)).then(|| permissions.get(Tool::ConnectOnLan).source)
}

/// P8.6: scripts run on an item only for who may start sessions on it, and for a guest as for who invited. Otherwise who
/// gave the role.
pub(super) fn scripts_barred(site: &Site, situation: &Situation) -> Option<Source> {
    let user = match situation.person {
        Person::User(user) | Person::External { inviter: user, .. } => user,
        Person::Nobody | Person::Shown { .. } => return None,
    };
    let held = held(site, user, situation.jump_item?);
    (!held.starts(site)).then(|| held.by.source(user))
}
