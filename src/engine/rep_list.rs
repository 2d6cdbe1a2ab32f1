//! Which reps a portal shows to the public (R2.1).

use super::State;
use crate::{ids::*, site::UserPermission};

impl State {
    /// Who may be shown and is logged in, by public name; none where the portal shows no list.
    pub fn rep_list(&self, portal: PortalId) -> Option<Vec<UserId>> {
        let site = &self.site;
        site.portals.get(&portal).filter(|portal| portal.rep_list)?;
        let shown = |id: &UserId| {
            let user = site.users.get(id);
            user.is_some_and(|user| user.permissions.contains(&UserPermission::ShowOnPublicSite)) && self.supports(*id)
        };
        let mut listed: Vec<UserId> = self.consoles.keys().copied().filter(shown).collect();
        listed.sort_by_key(|id| (site.users.get(id).map(|user| user.public_name.to_lowercase()), *id));
        Some(listed)
    }
}
