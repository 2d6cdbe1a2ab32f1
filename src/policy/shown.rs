//! What whoever looks at a rep's screen may (BU-067, BU-068): the user permissions of the rep who shows it say, no layer
//! of a session's policy, for there is no customer.

use super::{
    prompt::{Prompt, Prompting},
    session::{Effective, Permissions, Source},
};
use crate::{
    ids::UserId,
    limits,
    site::{
        Site, User, UserPermission,
        tool::{Tool, ToolOption},
        value::{ToolValue, Word},
    },
};

/// The screen and nothing else.
pub(super) fn compile(site: &Site, by: UserId, control: bool) -> Permissions {
    let user = site.users.get(&by);
    let source = user.map_or(Source::Builtin, |user| Source::of_permissions(by, user));
    let tools = Tool::ALL.iter().map(|tool| {
        let (value, source) = match tool {
            Tool::Screen => (ToolValue::Word(user.map_or(Word::None, |user| screen(user, control))), source),
            // Who shows it chooses what is seen.
            Tool::AppSharingPrompt => (ToolValue::Word(Word::Never), Source::Builtin),
            tool => (ToolValue::least(tool.shape()), Source::Builtin),
        };
        Effective { value, source, prompt: Prompt::Never }
    });
    let options = ToolOption::ALL.iter().map(|option| (ToolValue::least(option.shape()), Source::Builtin));
    let prompting = Prompting { timeout: limits::PROMPT, allow: false, lasts: None };
    Permissions { tools: tools.collect(), options: options.collect(), prompting }
}

/// `control` where it was given and may be.
pub(super) fn screen(user: &User, control: bool) -> Word {
    let may = |permission| user.enabled && user.permissions.contains(&permission);
    match (may(UserPermission::ShowScreenToReps), control && may(UserPermission::GiveControlToReps)) {
        (false, _) => Word::None,
        (true, false) => Word::View,
        (true, true) => Word::Control,
    }
}
