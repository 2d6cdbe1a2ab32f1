//! What letters say. A secret stands in a link's fragment or in the text, never in a header: mail servers log headers.

use super::Letter;
use crate::framing::INVITATION_PATH;

/// Writes letters whose links lead to this broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letters {
    url: String,
}

impl Letters {
    pub(super) fn from(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned() }
    }

    /// To a rep with extended availability who is not logged in (R7.4); `secret` is what the invitation is answered with.
    pub fn invitation(&self, to: &str, by: &str, session: u64, secret: &str) -> Letter {
        let by = one_line(by);
        let link = |answer: &str| format!("{}{INVITATION_PATH}#{answer}.{secret}", self.url);
        let text = format!(
            "{by} asks you to join session {session}.\n\n\
             Accept, then sign in to your console: you join as soon as you are there.\n{}\n\n\
             Decline:\n{}\n\n\
             Decline, and switch extended availability off:\n{}\n\n\
             One answer counts. The invitation is over after two hours, or when the session has ended.\n",
            link("accept"),
            link("decline"),
            link("decline_and_switch_off"),
        );
        Letter { to: to.to_owned(), subject: format!("{by} asks you to join a session"), text }
    }

    /// To somebody from outside (R7.5).
    pub fn external(&self, to: &str, by: &str, key: &str) -> Letter {
        let by = one_line(by);
        let text = format!(
            "{by} asks you to help in a support session.\n\n\
             Your key works once, within two hours, while the session goes on:\n{key}\n\n\
             At a terminal:\nequipoise rep --server {} --invite {key}\n",
            self.url,
        );
        Letter { to: to.to_owned(), subject: format!("{by} asks you to help in a support session"), text }
    }
}

/// A name may not begin a line of its own.
fn one_line(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
