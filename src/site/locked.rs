//! What of a user's entry is not edited there, because a group policy gives it (P2.2, BU-150): its own value would lie
//! there unused, and whoever wrote it believe that it holds.

use super::{
    Origin, Site, User,
    raw::{RawSite, RawUser},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// A key of a user that an edit sets otherwise, and the group policy that locks it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Locked {
    pub user: String,
    pub key: &'static str,
    pub by: String,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} {} is locked by the group policy {}", self.user, self.key, self.by)
    }
}

impl Site {
    /// What this edit, as its file says it, sets of users that a group policy gives them, before it and after. Whoever
    /// leaves the policy by the same edit, or comes to it, is free, and so is what a template copies. In the order of the
    /// file.
    pub fn locked(&self, edited: &Self, file: &RawSite) -> Vec<Locked> {
        if self.group_policies.is_empty() || edited.group_policies.is_empty() {
            return Vec::new();
        }
        let before: BTreeMap<String, &RawUser> =
            self.raw.user.iter().map(|user| (user.username.to_ascii_lowercase(), user)).collect();
        let mut found = Vec::new();
        for raw in &file.user {
            let name = raw.username.to_ascii_lowercase();
            let Some(was) = before.get(&name).filter(|was| **was != raw) else { continue };
            let user = |site: &Self| site.codes.users.get(&name).and_then(|id| site.users.get(id)).map(origins);
            let (Some(held), Some(holds)) = (user(self), user(edited)) else { continue };
            let sets = [
                (0, "permissions", was.permissions != raw.permissions),
                (0, "automation", was.automation != raw.automation),
                (1, "max_sessions", was.max_sessions != raw.max_sessions),
                (1, "idle_limit_s", was.idle_limit_s != raw.idle_limit_s),
                (2, "policy_attended", was.policy_attended != raw.policy_attended),
                (2, "policy_unattended", was.policy_unattended != raw.policy_unattended),
            ];
            for (of, key, _) in sets.into_iter().filter(|(.., otherwise)| *otherwise) {
                if let (Origin::GroupPolicy(_), Origin::GroupPolicy(at)) = (held[of], holds[of]) {
                    let by = edited.group_policies.get(at).map_or_else(String::new, |policy| policy.code.clone());
                    found.push(Locked { user: raw.username.clone(), key, by });
                }
            }
        }
        found
    }
}

/// Of the permissions, the limits and the session policies.
fn origins(user: &User) -> [Origin; 3] {
    [user.permissions_from, user.limits_from, user.policies_from]
}
