//! Session policies, group policies and technician groups as checked (P2): what each layer says, not what comes of it.

use super::{
    AutomationRole, UserPermission,
    layers::Say,
    tool::{Tool, ToolOption},
    value::ToolValue,
};
use crate::{ids::*, time::Span};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A named session policy: one layer of the stack (P2.1).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Policy {
    pub code: String,
    pub layer: Layer,
    pub prompt: PromptRule,
    /// External reps may be invited by it (R7.5).
    #[serde(default)]
    pub for_invites: bool,
}

/// The values one layer defines; what is left out falls through.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "LayerEntries", into = "LayerEntries")]
pub struct Layer {
    /// By the number of the tool, so that compiling walks no tree.
    tools: Vec<Option<ToolValue>>,
    options: BTreeMap<ToolOption, ToolValue>,
}

impl Default for Layer {
    fn default() -> Self {
        Self { tools: vec![None; Tool::COUNT], options: BTreeMap::new() }
    }
}

impl Layer {
    pub fn tool(&self, tool: Tool) -> Option<&ToolValue> {
        self.tools[tool as usize].as_ref()
    }

    pub fn set(&mut self, tool: Tool, value: ToolValue) {
        self.tools[tool as usize] = Some(value);
    }

    pub fn option(&self, option: ToolOption) -> Option<&ToolValue> {
        self.options.get(&option)
    }

    pub fn set_option(&mut self, option: ToolOption, value: ToolValue) {
        self.options.insert(option, value);
    }
}

/// A layer as it is stored: by name, so that a tool added later moves nothing.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct LayerEntries {
    tools: BTreeMap<Tool, ToolValue>,
    options: BTreeMap<ToolOption, ToolValue>,
}

impl From<LayerEntries> for Layer {
    fn from(entries: LayerEntries) -> Self {
        let mut layer = Self { options: entries.options, ..Self::default() };
        for (tool, value) in entries.tools {
            layer.set(tool, value);
        }
        layer
    }
}

impl From<Layer> for LayerEntries {
    fn from(layer: Layer) -> Self {
        let tools = Tool::ALL.iter().copied().zip(layer.tools).filter_map(|(tool, value)| Some((tool, value?)));
        Self { tools: tools.collect(), options: layer.options }
    }
}

/// P4.1–P4.3: each field falls through by itself.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PromptRule {
    pub mode: Option<PromptMode>,
    pub timeout: Option<Span>,
    /// The answer taken when the time is over: allow or deny.
    pub allow: Option<bool>,
    /// How long a yes holds; zero: as long as the session (P4.6).
    #[serde(default)]
    pub lasts: Option<Span>,
    /// A yes is for one action (LR-028).
    #[serde(default)]
    pub each: Option<bool>,
}

impl PromptRule {
    /// Whether each action is asked for. A rule with one answer for all its tools says that it is not.
    pub fn asks_each(&self) -> Option<bool> {
        let one_for_all = match self.mode {
            Some(PromptMode::Always { once, single } | PromptMode::PerTool { once, single, .. }) => once || single,
            Some(PromptMode::Never) | None => false,
        };
        self.each.or(one_for_all.then_some(false))
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptMode {
    Never,
    /// `once`: P4.2, only with control of the screen; `single`: Rescue's, without that condition.
    Always {
        once: bool,
        single: bool,
    },
    PerTool {
        tools: BTreeSet<Tool>,
        once: bool,
        single: bool,
    },
}

/// P2.2: three blocks, each not defined, defined or final.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Of the block of permissions.
    #[serde(default)]
    pub automation: AutomationRole,
    pub code: String,
    pub members: BTreeSet<UserId>,
    pub permissions: (State, BTreeSet<UserPermission>),
    /// Attended, unattended.
    pub session: (State, Option<PolicyId>, Option<PolicyId>),
    /// Sessions at most, idle limit.
    pub limits: (State, u32, Span),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    NotDefined,
    Defined,
    Final,
}

impl State {
    pub const fn say(self) -> Say {
        match self {
            Self::NotDefined => Say::NotDefined,
            Self::Defined => Say::Defined,
            Self::Final => Say::Final,
        }
    }
}

/// P2.3: a node of the tree.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TechnicianGroup {
    pub code: String,
    pub parent: Option<usize>,
    pub enabled: bool,
    pub members: BTreeSet<UserId>,
    /// They may edit this group and those below it, but nothing locked.
    pub admins: BTreeSet<UserId>,
    /// Allowed is the fullest value, denied the least; left out: inherited.
    pub tools: BTreeMap<Tool, ToolValue>,
    pub locked: BTreeSet<Tool>,
    /// Empty: inherited (RA-018).
    #[serde(default)]
    pub min_client: String,
}

/// Whether a user's own account or a group policy gave a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    #[default]
    User,
    /// Place in [`super::Site::group_policies`].
    GroupPolicy(usize),
}
