//! The session policy stack (P2.1): jump item → portal → representative → site default → built-in default. The first
//! layer that defines a value gives it; what a tool needs and the kind of session then hold it down.

use super::{
    basis::{USER_RIGHTS, policy_of},
    jumps,
    prompt::{self, Prompt, Prompting},
    shown,
};
use crate::{
    ids::*,
    limits,
    site::{
        JumpMethod, Layer, Origin, Policy, PromptMode, PromptRule, SessionKind, Site, User,
        layers::{Say, resolve},
        tool::{Tool, ToolOption},
        value::{Shape, ToolValue, Word, right},
    },
};
use std::{collections::BTreeSet, sync::LazyLock};

/// For whom, where and how permissions are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Situation {
    /// The representative layer: none for a customer.
    pub person: Person,
    /// As bound when the customer joined (R2.4).
    pub portal: Option<PortalId>,
    pub jump_item: Option<JumpItemId>,
    pub kind: SessionKind,
    /// Somebody sat at the endpoint when the session started (P2.5).
    pub present: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Person {
    Nobody,
    User(UserId),
    /// An external rep: the policy of the invite, and never more than who invited has (P2.5, I-P11).
    External {
        invite: Option<PolicyId>,
        inviter: UserId,
    },
    /// A rep who shows its screen, and whoever looks at it: what the user permissions of the one who shows say.
    Shown {
        by: UserId,
        /// Control was given (BU-068).
        control: bool,
    },
}

/// The layer that gave a value (P1.3), by the names of contract C3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    JumpItem(JumpItemId),
    Portal(PortalId),
    User(UserId),
    /// Place in the site's list; likewise the next.
    GroupPolicy(usize),
    TechnicianGroup(usize),
    /// Of roles on jump items (P8).
    JumpGroup(usize),
    /// The policy of an external rep's invite.
    Invite(PolicyId),
    Default,
    Builtin,
}

impl Source {
    /// The same layer of this person, who has permissions on the same [`Basis`](super::Basis): an account of their own stands for
    /// the one they were compiled for.
    pub fn of(self, person: Person) -> Self {
        match (self, person) {
            (
                Self::User(_),
                Person::User(user) | Person::External { inviter: user, .. } | Person::Shown { by: user, .. },
            ) => Self::User(user),
            (source, _) => source,
        }
    }

    /// Whoever gave this user its permissions (P2.2).
    pub fn of_permissions(user_id: UserId, user: &User) -> Self {
        Self::of_origin(user_id, user.permissions_from)
    }

    /// Whoever gave this user the limits of automatic assignment (P2.2).
    pub fn of_limits(user_id: UserId, user: &User) -> Self {
        Self::of_origin(user_id, user.limits_from)
    }

    fn of_origin(user_id: UserId, origin: Origin) -> Self {
        match origin {
            Origin::User => Self::User(user_id),
            Origin::GroupPolicy(at) => Self::GroupPolicy(at),
        }
    }

    /// `portal:main`, `user:ana`, `default` … as the console, the audit trail and `explain` show it.
    pub fn name(self, site: &Site) -> String {
        macro_rules! named {
            ($kind:literal, $entry:expr, $code:ident) => {
                format!(concat!($kind, ":{}"), $entry.map_or("", |entry| entry.$code.as_str()))
            };
        }
        match self {
            Self::JumpItem(id) if !site.jump_items.contains_key(&id) => "jump_item:(gone)".to_owned(),
            Self::JumpItem(id) => named!("jump_item", site.jump_items.get(&id), code),
            Self::Portal(id) => named!("portal", site.portals.get(&id), code),
            Self::User(id) => named!("user", site.users.get(&id), username),
            Self::GroupPolicy(at) => named!("group_policy", site.group_policies.get(at), code),
            Self::TechnicianGroup(at) => named!("technician_group", site.technician_groups.get(at), code),
            Self::JumpGroup(at) => named!("jump_group", site.jump_groups.get(at), code),
            Self::Invite(id) => named!("invite", site.policies.get(&id), code),
            Self::Default => "default".to_owned(),
            Self::Builtin => "builtin".to_owned(),
        }
    }
}

/// One tool's value in a situation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Effective {
    pub value: ToolValue,
    pub source: Source,
    pub prompt: Prompt,
}

/// Every tool's value in a situation; made anew whenever something changes (P2.5).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Permissions {
    pub(super) tools: Vec<Effective>,
    pub(super) options: Vec<(ToolValue, Source)>,
    pub prompting: Prompting,
}

impl Permissions {
    pub fn get(&self, tool: Tool) -> &Effective {
        &self.tools[tool as usize]
    }

    pub fn value(&self, tool: Tool) -> &ToolValue {
        &self.get(tool).value
    }

    /// All the bits of `rights` (`value::right`), such as a file's direction.
    pub fn allows(&self, tool: Tool, rights: u8) -> bool {
        self.rights(tool) & rights == rights
    }

    /// The bits of [`crate::site::value::right`] the value stands for.
    pub fn rights(&self, tool: Tool) -> u8 {
        self.value(tool).rights(tool.shape())
    }

    /// Is there anything allowed at all?
    pub fn any(&self, tool: Tool) -> bool {
        self.rights(tool) != 0
    }

    pub fn option(&self, option: ToolOption) -> &(ToolValue, Source) {
        &self.options[option as usize]
    }

    /// In the order of P3.
    pub fn iter(&self) -> impl Iterator<Item = (Tool, &Effective)> {
        Tool::ALL.iter().copied().zip(&self.tools)
    }
}

/// What a session's stack gives in this situation. Pure and quick: no value is looked up twice, nothing is parsed.
pub fn compile(site: &Site, situation: &Situation) -> Permissions {
    match situation.person {
        Person::External { inviter, .. } => {
            let own = stack(site, situation);
            let inviters = stack(site, &Situation { person: Person::User(inviter), ..*situation });
            let mut met = meet(own, inviters);
            for tool in NEVER_A_GUESTS {
                let held = &mut met.tools[*tool as usize];
                if held.value.rights(tool.shape()) != 0 {
                    (held.value, held.source) = (ToolValue::least(tool.shape()), Source::Builtin);
                }
            }
            met
        }
        Person::Shown { by, control } => shown::compile(site, by, control),
        _ => stack(site, situation),
    }
}

/// What the stack gives to whom: as [`compile`], without what the user's own permissions withhold (P3.17, P3.29) and their role on a
/// jump item (P8.6).
pub fn grant(site: &Site, situation: &Situation) -> Permissions {
    let mut permissions = compile(site, situation);
    if let Person::User(user_id) = situation.person
        && let Some(user) = site.users.get(&user_id)
    {
        let source = Source::of_permissions(user_id, user);
        for (tool, either) in USER_RIGHTS {
            let held = &mut permissions.tools[*tool as usize];
            if held.value == ToolValue::YES && !either.iter().any(|right| user.permissions.contains(right)) {
                (held.value, held.source) = (ToolValue::NO, source);
            }
        }
    }
    if let Some(source) = jumps::scripts_barred(site, situation) {
        for tool in [Tool::CannedScripts, Tool::ScriptDeploy, Tool::EmbeddedScripts] {
            let held = &mut permissions.tools[tool as usize];
            if held.value == ToolValue::YES {
                (held.value, held.source) = (ToolValue::NO, source);
            }
        }
    }
    permissions
}

fn stack(site: &Site, situation: &Situation) -> Permissions {
    let cobrowse = situation.kind == SessionKind::Cobrowse;
    let layers = Layers::of(site, situation);
    let builtin = &BUILTIN[usize::from(cobrowse)];
    let mut tools: Vec<Effective> = Tool::ALL
        .iter()
        .map(|tool| {
            let (value, source) = layers
                .tool(site, *tool)
                .unwrap_or_else(|| (builtin.layer.tool(*tool).cloned().unwrap_or(ToolValue::NO), Source::Builtin));
            Effective { value, source, prompt: Prompt::Never }
        })
        .collect();
    let mut options: Vec<_> = ToolOption::ALL
        .iter()
        .map(|option| {
            let defined = layers.named().find_map(|(source, policy)| Some((policy.layer.option(*option)?, source)));
            let (value, source) = defined
                .or_else(|| Some((builtin.layer.option(*option)?, Source::Builtin)))
                .expect("the built-in layer is whole");
            (value.clone(), source)
        })
        .collect();

    by_kind(site, situation, &mut tools, &mut options);
    for tool in Tool::ALL {
        if let Some((needed, rights)) = tool.needs(cobrowse) {
            let has = &tools[needed as usize];
            if has.value.rights(needed.shape()) & rights != rights {
                let source = has.source;
                let held = &mut tools[*tool as usize];
                if held.value.rights(tool.shape()) != 0 {
                    *held = Effective { value: ToolValue::least(tool.shape()), source, prompt: Prompt::Never };
                }
            }
        }
    }

    // P3.4: a privacy screen is an option of that value alone, and clamped with it.
    let restrictions = &tools[Tool::CustomerRestrictions as usize];
    let private = &mut options[ToolOption::PrivacyAtStart as usize];
    if restrictions.value != ToolValue::Word(Word::DisplayAndInput) && private.0 == ToolValue::YES {
        *private = (ToolValue::NO, restrictions.source);
    }

    let rules = layers.named().map(|(_, policy)| &policy.prompt).chain([&builtin.prompt]);
    let (prompting, each, mode) = prompt::settle(rules);
    for tool in Tool::ALL {
        tools[*tool as usize].prompt = prompt::of(*tool, each, mode, &tools);
    }
    Permissions { tools, options, prompting }
}

/// What the kind of session decides by itself.
fn by_kind(site: &Site, situation: &Situation, tools: &mut [Effective], options: &mut [(ToolValue, Source)]) {
    // An item that is gone took its policies with it, and what they forbade is not to be had by that: people talk on.
    if let Some(gone) = situation.jump_item.filter(|id| !site.jump_items.contains_key(id)) {
        for tool in Tool::ALL.iter().filter(|tool| !matches!(tool, Tool::Chat | Tool::Termination)) {
            let held = &mut tools[*tool as usize];
            (held.value, held.source) = (ToolValue::least(tool.shape()), Source::JumpItem(gone));
        }
    }
    let item = situation.jump_item.and_then(|id| Some((id, site.jump_items.get(&id)?.method)));
    let method = item.map(|(_, method)| method);
    // P3.10: a shell-jump session is a shell.
    if let Some((item_id, JumpMethod::JumpShell)) = item
        && situation.kind == SessionKind::Jump
    {
        let shell = &mut tools[Tool::Shell as usize];
        if shell.value != ToolValue::YES {
            (shell.value, shell.source) = (ToolValue::YES, Source::JumpItem(item_id));
        }
    }
    // P3.4: a privacy screen is for these methods alone.
    let private = matches!(method, Some(JumpMethod::JumpClient | JumpMethod::JumpRemote | JumpMethod::JumpLocal));
    if !private {
        options[ToolOption::PrivacyAtStart as usize] = (ToolValue::NO, Source::Builtin);
    }
    // P3.30: a shared browser page has no session of the system to end.
    if situation.kind == SessionKind::Cobrowse {
        let termination = &mut tools[Tool::Termination as usize];
        (termination.value, termination.source) = (ToolValue::Word(Word::Nothing), Source::Builtin);
    }
}

/// R7.5, H-81: whatever the invite says, a guest moves no session, brings nobody in, has no elevated rights and, without
/// an account, no right of a user (P3.17, P3.29) and no item to come back to (P3.25).
const NEVER_A_GUESTS: &[Tool] = &[
    Tool::PinJumpClient,
    Tool::Unattended,
    Tool::Deploy,
    Tool::ExternalKey,
    Tool::Elevation,
    Tool::ElevatedTools,
    Tool::Hold,
    Tool::Transfer,
    Tool::Collaborate,
    Tool::InviteExternal,
    Tool::PrivateSessions,
];

/// The layers above the built-in default, strongest first.
struct Layers<'site> {
    jump_item: Option<(Source, &'site Policy)>,
    portal: Option<(Source, &'site Policy)>,
    representative: Option<(Source, &'site Policy)>,
    /// Places of the representative's technician group and those above it.
    groups: Vec<usize>,
    default: Option<(Source, &'site Policy)>,
}

impl<'site> Layers<'site> {
    fn of(site: &'site Site, situation: &Situation) -> Self {
        let policy = |source: Source, id: Option<PolicyId>| Some((source, site.policies.get(&id?)?));
        let jump_item = situation.jump_item.and_then(|item_id| {
            let item = site.jump_items.get(&item_id)?;
            let id = if situation.present { item.policy_present } else { item.policy_absent };
            policy(Source::JumpItem(item_id), id)
        });
        let portal =
            situation.portal.and_then(|portal| policy(Source::Portal(portal), site.portals.get(&portal)?.policy));
        let mut groups = Vec::new();
        let representative = match situation.person {
            Person::Nobody | Person::Shown { .. } => None,
            Person::External { invite, .. } => invite.and_then(|invite| policy(Source::Invite(invite), Some(invite))),
            Person::User(user_id) => site.users.get(&user_id).and_then(|user| {
                groups = user.technician_group.map(|group| site.path_to_root(group)).unwrap_or_default();
                let source = match user.policies_from {
                    Origin::User => Source::User(user_id),
                    Origin::GroupPolicy(at) => Source::GroupPolicy(at),
                };
                policy(source, policy_of(user, situation.kind))
            }),
        };
        let default = policy(Source::Default, site.default_policy(situation.kind));
        Self { jump_item, portal, representative, groups, default }
    }

    /// The layers that are named policies.
    fn named(&self) -> impl Iterator<Item = (Source, &'site Policy)> + Clone {
        [self.jump_item, self.portal, self.representative, self.default].into_iter().flatten()
    }

    fn tool(&self, site: &'site Site, tool: Tool) -> Option<(ToolValue, Source)> {
        let value = |layer: &Option<(Source, &'site Policy)>| {
            let (source, policy) = layer.as_ref()?;
            Some((policy.layer.tool(tool)?.clone(), *source))
        };
        let layers: [&dyn Fn() -> Option<(ToolValue, Source)>; 4] = [
            &|| value(&self.jump_item),
            &|| value(&self.portal),
            &|| self.representative(site, tool, value(&self.representative)),
            &|| value(&self.default),
        ];
        layers.iter().find_map(|layer| layer())
    }

    /// The representative as one layer: their own policy, then their technician group and those above it (P2.3). What
    /// is locked wins over all below it, the own policy included.
    fn representative(
        &self,
        site: &'site Site,
        tool: Tool,
        own: Option<(ToolValue, Source)>,
    ) -> Option<(ToolValue, Source)> {
        if self.groups.is_empty() {
            return own;
        }
        let mut locked = false;
        let tree = self.groups.iter().map(|at| {
            let group = &site.technician_groups[*at];
            locked |= group.locked.contains(&tool);
            let Some(value) = group.tools.get(&tool) else { return (Say::NotDefined, None) };
            let say = if std::mem::take(&mut locked) { Say::Final } else { Say::Defined };
            (say, Some((value, *at)))
        });
        let own_say = if own.is_some() { Say::Defined } else { Say::NotDefined };
        match resolve(std::iter::once((own_say, None)).chain(tree))? {
            None => own,
            Some((value, at)) => Some((value.clone(), Source::TechnicianGroup(at))),
        }
    }
}

/// Never more than the other has: tool by tool what both allow, with the source of what held it down (I-P11).
fn meet(mut own: Permissions, other: Permissions) -> Permissions {
    for (tool, theirs) in Tool::ALL.iter().zip(other.tools) {
        let mine = &mut own.tools[*tool as usize];
        let met = match tool.shape() {
            // What it does at the end is no right to be held down.
            Shape::Words(_) if *tool == Tool::Termination => continue,
            Shape::Words(words) => {
                ToolValue::of_rights(words, mine.value.rights(tool.shape()) & theirs.value.rights(tool.shape()))
            }
            Shape::Paths => super::paths::meet(&mine.value, &theirs.value),
            Shape::List => meet_domains(&mine.value, &theirs.value),
        };
        if met != mine.value {
            mine.source = theirs.source;
            mine.value = met;
        }
        mine.prompt = mine.prompt.max(theirs.prompt);
    }
    for option in [ToolOption::ChatToggle, ToolOption::TerminationOverride] {
        let theirs = &other.options[option as usize];
        if theirs.0 == ToolValue::NO {
            own.options[option as usize] = theirs.clone();
        }
    }
    own.prompting.allow &= other.prompting.allow;
    own.prompting.lasts = own.prompting.lasts.into_iter().chain(other.prompting.lasts).min();
    own
}

/// P3.32: an empty list is all domains.
fn meet_domains(mine: &ToolValue, theirs: &ToolValue) -> ToolValue {
    let all = |value: &ToolValue| match value {
        ToolValue::List(entries) => entries.is_empty(),
        _ => true,
    };
    match (mine, theirs) {
        (_, theirs) if all(theirs) => mine.clone(),
        (mine, _) if all(mine) => theirs.clone(),
        (ToolValue::List(mine), ToolValue::List(theirs)) => {
            let both: Vec<_> = mine.iter().filter(|entry| theirs.contains(entry)).cloned().collect();
            // No domain in common is nothing, which an empty list would not say.
            if both.is_empty() { ToolValue::List([".".to_owned()].into()) } else { ToolValue::List(both.into()) }
        }
        _ => mine.clone(),
    }
}

struct Builtin {
    layer: Layer,
    prompt: PromptRule,
}

/// Contract C1: what lies below everything; the second is of co-browse sessions.
static BUILTIN: LazyLock<[Builtin; 2]> = LazyLock::new(|| [builtin(false), builtin(true)]);

fn builtin(cobrowse: bool) -> Builtin {
    let mut layer = Layer::default();
    for tool in Tool::ALL {
        let value = match tool {
            Tool::Chat
            | Tool::Transfer
            | Tool::Collaborate
            | Tool::Hold
            | Tool::PrivateSessions
            | Tool::CustomFields
            | Tool::SystemInfo
            | Tool::Shell => ToolValue::YES,
            Tool::Screen | Tool::FileTransfer | Tool::Clipboard | Tool::CustomerPaths | Tool::RepPaths => {
                ToolValue::most(tool.shape())
            }
            Tool::CobrowseClick | Tool::CobrowseType if cobrowse => ToolValue::YES,
            Tool::AppSharingPrompt => ToolValue::Word(Word::Never),
            _ => ToolValue::least(tool.shape()),
        };
        layer.set(*tool, value);
    }
    for option in ToolOption::ALL {
        let value = match option {
            ToolOption::ChatToggle => ToolValue::YES,
            ToolOption::TransferTo
            | ToolOption::CollaborateTo
            | ToolOption::InviteExternalTo
            | ToolOption::PrivateWays => ToolValue::Any,
            _ => ToolValue::least(option.shape()),
        };
        layer.set_option(*option, value);
    }
    let mut tools = BTreeSet::from([Tool::Screen, Tool::Shell, Tool::FileTransfer, Tool::Clipboard]);
    if cobrowse {
        tools.remove(&Tool::Clipboard);
    }
    let prompt = PromptRule {
        mode: Some(PromptMode::PerTool { tools, once: false, single: false }),
        timeout: Some(limits::PROMPT),
        allow: Some(false),
        lasts: None,
        each: Some(false),
    };
    Builtin { layer, prompt }
}

/// Control of the screen, which prompting once needs (P4.2).
pub(super) fn has_control(tools: &[Effective]) -> bool {
    tools[Tool::Screen as usize].value.rights(Tool::Screen.shape()) & right::CONTROL != 0
}
