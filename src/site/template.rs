//! Settings templates (P2.4): copied onto users added to a group after the template was set. Changing one later changes
//! nobody.

use super::raw::{RawSettings, RawSite, RawUser};
use std::sync::Arc;

/// Copies the templates of `previous` onto the users that `site` adds to their groups. What the file says of a user
/// beyond the defaults stays as it says.
pub fn copy(site: &mut Arc<RawSite>, previous: &RawSite) {
    let is = |one: &str, other: &str| one.trim().eq_ignore_ascii_case(other.trim());
    let members = |site: &RawSite, group: &str| -> Vec<String> {
        let groups = site.technician_group.iter().filter(|known| is(&known.code, group));
        groups.flat_map(|group| group.members.iter().map(|member| member.to_ascii_lowercase())).collect()
    };
    for template in &previous.template {
        let before = members(previous, &template.group);
        let added: Vec<String> =
            members(site, &template.group).into_iter().filter(|name| !before.contains(name)).collect();
        if added.is_empty() {
            continue;
        }
        for user in &mut Arc::make_mut(site).user {
            if added.contains(&user.username.to_ascii_lowercase()) {
                apply(&template.settings, user);
            }
        }
    }
}

fn apply(settings: &RawSettings, user: &mut RawUser) {
    let plain = RawUser::default();
    macro_rules! settle {
        ($($field:ident),*) => {$(
            if let Some(value) = &settings.$field && user.$field == plain.$field {
                user.$field = value.clone();
            }
        )*};
    }
    settle!(
        max_sessions,
        idle_limit_s,
        exempt_from_assignment,
        permissions,
        automation,
        policy_attended,
        policy_unattended,
        license_pool,
        session_inactivity_s,
        console_idle_s
    );
}
