//! When the customer is asked (P4): the rule of each tool, the time to answer and the answer of silence. Who asks, waits
//! and remembers is the engine.

use super::session::{Effective, has_control};
use crate::{
    limits,
    site::{
        PromptMode, PromptRule,
        tool::Tool,
        value::{ToolValue, Word},
    },
    time::Span,
};
use serde::{Deserialize, Serialize};

/// Is the customer asked before a tool is used?
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    Never,
    /// One answer covers every tool of the session that says so (P4.2).
    Once,
    Always,
    /// A yes is for what waits on it, and the next request asks again (LR-028).
    Each,
}

impl Prompt {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
            Self::Each => "each",
        }
    }
}

/// P4.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Hash)]
pub struct Prompting {
    pub timeout: Span,
    /// What silence answers, and what is answered where nobody is present (P4.5).
    pub allow: bool,
    /// How long a yes holds; none: as long as the session (P4.6).
    pub lasts: Option<Span>,
}

/// Mode, time, answer and what a yes covers, each of the first rule that defines it (P4.1).
pub(super) fn settle<'site>(
    rules: impl Iterator<Item = &'site PromptRule> + Clone,
) -> (Prompting, bool, Option<&'site PromptMode>) {
    let timeout = rules.clone().find_map(|rule| rule.timeout).unwrap_or(limits::PROMPT);
    let allow = rules.clone().find_map(|rule| rule.allow).unwrap_or(false);
    let lasts = rules.clone().find_map(|rule| rule.lasts).filter(|lasts| lasts.0 > 0);
    let each = rules.clone().find_map(PromptRule::asks_each).unwrap_or(false);
    (Prompting { timeout, allow, lasts }, each, { rules }.find_map(|rule| rule.mode.as_ref()))
}

/// The rule for one tool, once all values are settled.
pub(super) fn of(tool: Tool, each: bool, mode: Option<&PromptMode>, tools: &[Effective]) -> Prompt {
    let value = |tool: Tool| &tools[tool as usize].value;
    // P4.4: consent to a recording, and a script where the rep only views, are asked for each time.
    let consent = tool == Tool::Record && *value(tool) == ToolValue::Word(Word::WithConsent);
    let view_only = *value(Tool::Screen) == ToolValue::Word(Word::View);
    let script = tool == Tool::CannedScripts && *value(tool) == ToolValue::YES && view_only;
    // P3.25: what reps may do when nobody is there to be asked, whoever is there is asked for.
    let unattended = tool == Tool::Unattended && *value(tool) == ToolValue::YES;
    if consent || script || unattended {
        return Prompt::Always;
    }
    let (asked, once, single) = match mode {
        None | Some(PromptMode::Never) => return Prompt::Never,
        Some(PromptMode::Always { once, single }) => (asks(tool), *once, *single),
        Some(PromptMode::PerTool { tools, once, single }) => (tools.contains(&subject(tool)), *once, *single),
    };
    match asked {
        false => Prompt::Never,
        true if each => Prompt::Each,
        true if single || (once && has_control(tools)) => Prompt::Once,
        true => Prompt::Always,
    }
}

/// Paths are part of a file transfer: its prompt is theirs.
const fn subject(tool: Tool) -> Tool {
    match tool {
        Tool::CustomerPaths | Tool::RepPaths => Tool::FileTransfer,
        _ => tool,
    }
}

/// Does the tool touch the customer's side? The rest is between reps, or a setting, and nothing to ask the customer.
const fn asks(tool: Tool) -> bool {
    !matches!(
        tool,
        Tool::AppSharingPrompt
            | Tool::Chat
            | Tool::Hold
            | Tool::Transfer
            | Tool::Collaborate
            | Tool::InviteExternal
            | Tool::PrivateSessions
            | Tool::CobrowseDomains
            | Tool::CustomFields
            | Tool::ExternalKey
            | Tool::Termination
    )
}
