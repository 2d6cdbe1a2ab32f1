//! Endpoint automation: who may make jobs, and of what (P8.7), and where a script runs without a question (P8.8). Pure: the
//! site says it all.

use super::{
    prompt::Prompt,
    session::{Person, Situation, Source, grant},
};
use crate::{
    ids::*,
    site::{AutomationRole, SessionKind, Site, tool::Tool},
};

/// The role of a user, and who gave it; one who is not there, or is disabled, has none.
pub fn role(site: &Site, user_id: UserId) -> (AutomationRole, Source) {
    match site.users.get(&user_id) {
        Some(user) => {
            let role = if user.enabled { user.automation } else { AutomationRole::NotAllowed };
            (role, Source::of_permissions(user_id, user))
        }
        None => (AutomationRole::NotAllowed, Source::User(user_id)),
    }
}

/// Why no job of a user's runs on an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barred {
    /// The tool is withheld, by this layer.
    Withheld(Source),
    /// Whoever sits there would be asked, or silence denies: a job asks nobody.
    Asks(Source),
}

/// P8.8: a job does no more than its maker could with a canned script in a session on the item, and without a question.
pub fn barred(site: &Site, user: UserId, item: JumpItemId, present: bool) -> Option<Barred> {
    let kind = SessionKind::Jump;
    let situation = Situation { person: Person::User(user), portal: None, jump_item: Some(item), kind, present };
    let permissions = grant(site, &situation);
    let scripts = permissions.get(Tool::CannedScripts);
    let unasked = scripts.prompt == Prompt::Never || (!present && permissions.prompting.allow);
    match permissions.any(Tool::CannedScripts) {
        false => Some(Barred::Withheld(scripts.source)),
        true if unasked => None,
        true => Some(Barred::Asks(scripts.source)),
    }
}

impl Barred {
    pub const fn source(self) -> Source {
        match self {
            Self::Withheld(source) | Self::Asks(source) => source,
        }
    }

    pub const fn said(self) -> &'static str {
        match self {
            Self::Withheld(_) => "canned_scripts is not permitted on it",
            Self::Asks(_) => "canned_scripts asks for a yes on it, and a job asks nobody",
        }
    }
}
