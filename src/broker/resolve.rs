//! From what a message says to what the engine understands: names to ids, seconds to spans, secrets to hashes.

use super::{
    history::Question,
    jobs,
    text::{bounded, lines, malformed},
    view,
};
use crate::{
    engine::{Actor, Command, Entry, Queue, Reason, Refusal, State, address, command, targets::Handing},
    ids::*,
    limits,
    policy::Tool,
    site::{SessionKind, Site, TeamRole},
    time::{Span, Time},
    wire::control::{Ask, ClientInfo, Do, KeyKind, Open},
};

/// What a request turned out to be.
pub enum Resolved {
    /// To be decided by the engine.
    Command(Box<Command>),
    /// Answered from the state as it is after this turn.
    Look(Look),
}

pub enum Look {
    Explain(SessionId),
    /// What was decided about it, or one offer of it: read from the journal, answered when that is done.
    Past(SessionId, Option<u32>),
    /// A dry run (R9.2).
    ExplainAsk(Box<command::Ask>),
    /// Sessions that have ended (BU-048): read from the journal's own table, answered when that is done.
    History(Box<Question>),
    /// Whom a portal shows (R2.1).
    RepList(PortalId),
    Notices,
    /// Where this rep may hand a session (BU-057, BU-058), by a part of a name.
    Targets {
        rep: UserId,
        session: SessionId,
        handing: Handing,
        like: String,
        after: u32,
    },
    /// The jump items that this one sees, after one.
    JumpItems(UserId, JumpItemId),
    Jobs(jobs::Look),
    /// The buttons that this one may manage, after one.
    Buttons(Actor, ButtonId),
    Site(u64),
}

/// Resolves one request. `hash` is of a fresh secret, used where the request makes a key.
pub fn resolve(act: Do, actor: Actor, state: &State, now: Time, hash: SecretHash) -> Result<Resolved, Refusal> {
    let site = &state.site;
    let session = |session: u64| SessionId(session);
    let of_endpoints = matches!(act, Do::TakeJob { .. } | Do::JobEnded(_) | Do::RevokeItemKey { item: None });
    if matches!(actor, Actor::Party(Party::JumpClient(_))) && !of_endpoints {
        let message = "an endpoint that stands by asks for jobs alone, or gives its key up";
        return Err(Refusal::new(Reason::NotPermitted, "", message));
    }
    // Who belongs to one session is told nothing of any other, ended ones included (H-42).
    if let Actor::Party(Party::Customer(own) | Party::External(own, _)) = actor
        && names(&act).is_some_and(|named| named != own.0)
    {
        return Err(Refusal::new(Reason::UnknownSession, "", "no such session"));
    }
    let command = match act {
        Do::Status { code } => Command::Status { code: bounded("code", code, limits::NAME_BYTES_MAX)? },
        Do::OptIn {} => Command::OptIn,
        Do::OptOut {} => Command::OptOut,
        Do::Idle { for_s } => Command::Idle { since: now - Span::seconds(for_s) },
        Do::Active {} => Command::Active,
        Do::Extended { on } => Command::Extended { on },
        Do::Logout {} => Command::Logout { user: rep(actor)? },
        Do::Ask(ask) => Command::Ask(resolve_ask(ask, site, hash)?),
        Do::MakeKey { queue, kind, lives_s } => {
            let entry = match (queue, actor) {
                (Some(queue), _) => address::entry(&site.codes, &queue)?,
                (None, Actor::Party(Party::Rep(user))) => Entry::Queue(Queue::Personal(user)),
                (None, _) => return Err(malformed("queue", "say which queue the key leads to")),
            };
            let (code, longest) = match kind {
                KeyKind::Code => (true, limits::JOIN_CODE),
                KeyKind::Link => (false, limits::JOIN_LINK),
            };
            let lives = lives_s.map_or(longest, |lives_s| Span::seconds(lives_s).min(longest));
            Command::MakeKey { entry, key: hash, code, expires: now + lives }
        }
        Do::MakeButton { queue, portal } => {
            let queue = match queue {
                Some(queue) => address::queue(&site.codes, &queue)?,
                None => Queue::Personal(rep(actor)?),
            };
            Command::MakeButton { queue, portal: portal_of(site, portal)?, token: hash }
        }
        Do::Buttons { after } => {
            if !matches!(actor, Actor::Party(Party::Rep(_)) | Actor::Admin(_)) {
                return Err(Refusal::new(Reason::NotPermitted, "P1.1", "buttons are for reps and administrators"));
            }
            return Ok(Resolved::Look(Look::Buttons(actor, ButtonId(after))));
        }
        Do::RevokeButton { button } => Command::RevokeButton { button: ButtonId(button) },
        Do::SetButtonPortal { button, portal } => {
            Command::SetButtonPortal { button: ButtonId(button), portal: portal_of(site, portal)? }
        }
        Do::Targets { session: s, act, like, after } => {
            let Actor::Party(Party::Rep(rep)) = actor else {
                return Err(Refusal::new(Reason::NotPermitted, "R7.3", "only a rep hands a session to somebody"));
            };
            let handing = match act.as_str() {
                "transfer" => Handing::Transfer,
                "share" => Handing::Share,
                _ => return Err(Refusal::new(Reason::Malformed, "", "act: `transfer` or `share`")),
            };
            let like = bounded("like", like, limits::NAME_BYTES_MAX)?;
            let seen = state.session(session(s)).filter(|found| view::audience(state, found).contains(&rep));
            let unknown = || Refusal::new(Reason::UnknownSession, "", "no such session");
            let session = seen.ok_or_else(unknown)?.id;
            return Ok(Resolved::Look(Look::Targets { rep, session, handing, like, after }));
        }
        Do::JumpItems { after } => {
            return Ok(Resolved::Look(Look::JumpItems(viewer(actor)?, JumpItemId(after))));
        }
        Do::Jump { item } => Command::Jump { item: seen_item(state, actor, &item)?, join: None, by_endpoint: true },
        Do::MakeItemKey { item } => Command::MakeItemKey { item: seen_item(state, actor, &item)?, key: hash },
        Do::RevokeItemKey { item } => Command::RevokeItemKey {
            item: match (item, actor) {
                (Some(code), _) => seen_item(state, actor, &code)?,
                (None, Actor::Party(Party::JumpClient(own))) => own,
                (None, _) => return Err(malformed("item", "say which jump item")),
            },
        },
        Do::JobTemplates { after } => {
            return Ok(Resolved::Look(Look::Jobs(jobs::look_at_templates(state, actor, after)?)));
        }
        Do::Jobs { before } => return Ok(Resolved::Look(Look::Jobs(jobs::look_at_list(state, actor, before)?))),
        Do::Job { job, after } => return Ok(Resolved::Look(Look::Jobs(jobs::look_at_one(state, actor, job, after)?))),
        Do::MakeJob(asked) => jobs::make(state, actor, asked)?,
        Do::CancelJob { job } => Command::CancelJob { job: JobId(job) },
        Do::TakeJob { job } => Command::TakeJob { job: JobId(job) },
        Do::JobEnded(said) => jobs::ended(said)?,
        Do::Accept { session: s } => Command::Accept { session: session(s) },
        Do::Reject { session: s } => Command::Reject { session: session(s) },
        Do::Take { session: s } => Command::Take { session: session(s) },
        Do::GetNext {} => Command::GetNext,
        Do::Transfer { session: s, to } => {
            Command::Transfer { session: session(s), to: address::queue(&site.codes, &to)? }
        }
        Do::Share { session: s, to } => {
            Command::Share { session: session(s), to: address::queue(&site.codes, &to)?, mail: None }
        }
        Do::AskForHelp { session: s, issue } => {
            match address::entry(&site.codes, &format!("issue:{}", issue.trim_start_matches("issue:")))? {
                Entry::Issue(issue) => Command::AskForHelp { session: session(s), issue },
                Entry::Queue(_) => return Err(malformed("issue", "help is asked for by an issue")),
            }
        }
        Do::InviteExternal { session: s, address, policy: code } => Command::InviteExternal {
            session: session(s),
            address: bounded("address", address, limits::MAIL_ADDRESS_BYTES_MAX)?,
            policy: code.as_deref().map(|code| policy(site, code)).transpose()?,
            key: hash,
        },
        Do::Join { session: s } => Command::Join { session: session(s) },
        Do::Depart { session: s } => Command::Depart { session: session(s) },
        Do::TakeOver { session: s } => Command::TakeOver { session: session(s) },
        Do::Hold { session: s } => Command::Hold { session: session(s) },
        Do::Resume { session: s } => Command::Resume { session: session(s) },
        Do::End { session: s } => Command::End { session: session(s) },
        Do::ShowScreen { to } => match address::queue(&site.codes, &to)? {
            Queue::Personal(to) => Command::ShowScreen { to },
            Queue::Team(_) => return Err(malformed("to", "a screen is shown to one rep: name it as rep:ana")),
        },
        Do::GiveControl { session: s, on } => Command::GiveControl { session: session(s), on },
        Do::SetChat { session: s, on } => Command::SetChat { session: session(s), on },
        Do::SetField { session: s, field, value } => Command::SetField {
            session: session(s),
            field: bounded("field", field, limits::CODE_BYTES_MAX)?,
            value: bounded("value", value, limits::NAME_BYTES_MAX)?,
        },
        Do::SetLocale { session: s, locale } => {
            Command::SetLocale { session: session(s), locale: bounded("locale", locale, limits::NAME_BYTES_MAX)? }
        }
        Do::SetExternalKey { session: s, value } => {
            Command::SetExternalKey { session: session(s), value: bounded("value", value, limits::NAME_BYTES_MAX)? }
        }
        Do::Open(open) => Command::Open { session: session(open.session), tool: tool(&open.tool)?, args: open.args },
        Do::AcceptOpen { session: s, open, facts } => {
            Command::AcceptOpen { session: session(s), open: OpenId(open), facts }
        }
        Do::RefuseOpen { session: s, open, reason } => Command::RefuseOpen {
            session: session(s),
            open: OpenId(open),
            reason: bounded("reason", reason, limits::NAME_BYTES_MAX)?,
        },
        Do::Note { session: s, channel, facts } => {
            Command::Note { session: session(s), channel: ChannelId(channel), facts }
        }
        Do::Answer { session: s, prompt, allow } => {
            Command::Answer { session: session(s), prompt: PromptId(prompt), allow }
        }
        Do::TakeBack { session: s, tool: name } => {
            Command::TakeBack { session: session(s), tool: name.as_deref().map(tool).transpose()? }
        }
        Do::AnswerDisclaimer { session: s, agree } => Command::AnswerDisclaimer { session: session(s), agree },
        Do::PublishNotice { text, lives_s } => Command::PublishNotice { text, lives: lives_s.map(Span::seconds) },
        Do::WithdrawNotice { notice } => Command::WithdrawNotice { notice: NoticeId(notice) },
        Do::MakeServiceKey { name } => {
            Command::MakeServiceKey { name: bounded("name", name, limits::NAME_BYTES_MAX)?, token: hash }
        }
        Do::Notices {} => {
            if !state.may_edit_notices(actor) {
                return Err(Refusal::new(
                    Reason::NotPermitted,
                    "R10.1",
                    "only who may edit customer notices reads them",
                ));
            }
            return Ok(Resolved::Look(Look::Notices));
        }
        Do::RepList { portal: code } => {
            if !matches!(actor, Actor::Service(_) | Actor::System) {
                return Err(Refusal::new(Reason::NotPermitted, "R2.1", "only a service account reads a portal's list"));
            }
            let portal = address::portal(&site.codes, &code)?;
            if !site.portals.get(&portal).is_some_and(|portal| portal.rep_list) {
                return Err(Refusal::new(Reason::NotPermitted, "R2.1", "this portal shows no list of reps"));
            }
            return Ok(Resolved::Look(Look::RepList(portal)));
        }
        Do::History(asked) => {
            let user = state.reads_history(actor)?;
            let question = Question::of(site, user, asked, state.history_from(now))?;
            return Ok(Resolved::Look(Look::History(Box::new(question))));
        }
        Do::Explain { session: s, past, offer } => {
            may_explain(state, actor, session(s), past || offer.is_some())?;
            let look = if past || offer.is_some() { Look::Past(session(s), offer) } else { Look::Explain(session(s)) };
            return Ok(Resolved::Look(look));
        }
        Do::ExplainAsk(ask) => {
            let ask = resolve_ask(ask, site, hash)?;
            may_try(state, actor, &ask)?;
            return Ok(Resolved::Look(Look::ExplainAsk(Box::new(ask))));
        }
        Do::Site {} | Do::SitePart { .. } => {
            state.may_edit_site(actor)?;
            let at = if let Do::SitePart { at } = act { at } else { 0 };
            return Ok(Resolved::Look(Look::Site(at)));
        }
        // It is gathered and read before it comes to the owner, as an edit.
        Do::ApplySite { .. } => return Err(malformed("apply_site", "the text was not read")),
        // A password is hashed before it comes to the owner, as `SetCredential`; with it the wait of an account may end.
        Do::SetPassword { .. } => return Err(malformed("set_password", "the password was not hashed")),
        Do::Unlock { .. } => return Err(malformed("unlock", "the attempts were not looked at")),
        Do::ResetSecondFactor { username } => {
            Command::RemoveSecondFactor { user: address::rep(&site.codes, &username)? }
        }
    };
    Ok(Resolved::Command(Box::new(command)))
}

/// The session that a request is about.
fn names(act: &Do) -> Option<u64> {
    match act {
        Do::Accept { session }
        | Do::Reject { session }
        | Do::Take { session }
        | Do::Transfer { session, .. }
        | Do::Share { session, .. }
        | Do::AskForHelp { session, .. }
        | Do::InviteExternal { session, .. }
        | Do::Join { session }
        | Do::Depart { session }
        | Do::TakeOver { session }
        | Do::Hold { session }
        | Do::Resume { session }
        | Do::End { session }
        | Do::GiveControl { session, .. }
        | Do::SetChat { session, .. }
        | Do::SetField { session, .. }
        | Do::SetExternalKey { session, .. }
        | Do::SetLocale { session, .. }
        | Do::Open(Open { session, .. })
        | Do::AcceptOpen { session, .. }
        | Do::RefuseOpen { session, .. }
        | Do::Note { session, .. }
        | Do::Answer { session, .. }
        | Do::AnswerDisclaimer { session, .. }
        | Do::TakeBack { session, .. }
        | Do::Targets { session, .. }
        | Do::Explain { session, .. } => Some(*session),
        Do::Status { .. }
        | Do::OptIn {}
        | Do::OptOut {}
        | Do::Idle { .. }
        | Do::Active {}
        | Do::Extended { .. }
        | Do::Logout {}
        | Do::Ask(_)
        | Do::Notices {}
        | Do::RepList { .. }
        | Do::ExplainAsk(_)
        | Do::History(_)
        | Do::MakeKey { .. }
        | Do::MakeButton { .. }
        | Do::Buttons { .. }
        | Do::RevokeButton { .. }
        | Do::SetButtonPortal { .. }
        | Do::JumpItems { .. }
        | Do::Jump { .. }
        | Do::MakeItemKey { .. }
        | Do::RevokeItemKey { .. }
        | Do::JobTemplates { .. }
        | Do::MakeJob(_)
        | Do::Jobs { .. }
        | Do::Job { .. }
        | Do::CancelJob { .. }
        | Do::TakeJob { .. }
        | Do::JobEnded(_)
        | Do::ShowScreen { .. }
        | Do::PublishNotice { .. }
        | Do::WithdrawNotice { .. }
        | Do::GetNext {}
        | Do::SetPassword { .. }
        | Do::Unlock { .. }
        | Do::ResetSecondFactor { .. }
        | Do::MakeServiceKey { .. }
        | Do::Site {}
        | Do::SitePart { .. }
        | Do::ApplySite { .. } => None,
    }
}

/// R9.1: who serves a session or has it on offer, the leads and managers of its team, those above its owner,
/// administrators and integrators. One that may not be seen answers as one that does not exist (H-42); of one that has
/// ended only its past is left, for administrators.
fn may_explain(state: &State, actor: Actor, id: SessionId, past: bool) -> Result<(), Refusal> {
    let unknown = || Refusal::new(Reason::UnknownSession, "R9.1", "there is no such session");
    let administrator = |user| state.is_administrator(user);
    let Some(session) = state.session(id) else {
        let ended = id.0 > 0 && id.0 < state.next_session;
        return match actor {
            Actor::Admin(user) | Actor::Party(Party::Rep(user)) if past && ended && administrator(user) => Ok(()),
            _ => Err(unknown()),
        };
    };
    let may = match actor {
        Actor::System | Actor::Service(_) => true,
        Actor::Admin(user) => administrator(user),
        Actor::Party(Party::Rep(user)) => {
            let serves = session.participant_of(Party::Rep(user)).is_some();
            let waiting = session.waiting();
            let offered = waiting.and_then(|waiting| waiting.offer.as_ref()).is_some_and(|offer| offer.rep == user);
            let queue = waiting.map(|waiting| waiting.queue).or(session.last_queue);
            let above = session.owner().is_some_and(|owner| is_above(&state.site, user, owner));
            serves
                || offered
                || above
                || administrator(user)
                || queue.is_some_and(|queue| runs(&state.site, user, queue))
        }
        Actor::Party(_) => false,
    };
    if may { Ok(()) } else { Err(unknown()) }
}

/// R9.2: who may try out an ask: whoever may look at what waits in its queue.
fn may_try(state: &State, actor: Actor, ask: &command::Ask) -> Result<(), Refusal> {
    let site = &state.site;
    let queue = match ask.entry {
        Entry::Queue(queue) => Some(queue),
        Entry::Issue(issue) => site.issues.get(&issue).map(|issue| Queue::Team(issue.team)),
    };
    let may = match actor {
        Actor::System | Actor::Service(_) => true,
        Actor::Admin(user) => state.is_administrator(user),
        Actor::Party(Party::Rep(user)) => {
            state.is_administrator(user) || queue.is_some_and(|queue| runs(site, user, queue))
        }
        Actor::Party(_) => false,
    };
    let refusal = || Refusal::new(Reason::NotPermitted, "R9.2", "only the leads and managers of this team may try it");
    if may { Ok(()) } else { Err(refusal()) }
}

/// Its own rep, or a lead or manager of the team.
fn runs(site: &Site, user: UserId, queue: Queue) -> bool {
    match queue {
        Queue::Personal(owner) => owner == user || is_above(site, user, owner),
        Queue::Team(team) => {
            site.teams.get(&team).and_then(|team| team.members.get(&user)).is_some_and(|role| *role >= TeamRole::Lead)
        }
    }
}

/// R1.3: a higher role in a team that both are in.
fn is_above(site: &Site, user: UserId, other: UserId) -> bool {
    let Some(other) = site.users.get(&other) else { return false };
    other.teams.iter().any(|(team, role)| {
        site.teams.get(team).and_then(|team| team.members.get(&user)).is_some_and(|mine| mine > role)
    })
}

fn resolve_ask(ask: Ask, site: &Site, join: SecretHash) -> Result<command::Ask, Refusal> {
    let kind = match ask.kind.as_deref() {
        None | Some("support") => SessionKind::Support,
        Some("cobrowse") => SessionKind::Cobrowse,
        Some("chat") => SessionKind::Chat,
        Some("lens") => SessionKind::Lens,
        Some(other) => return Err(malformed("kind", format!("a customer cannot ask for a session of kind “{other}”"))),
    };
    let skills = ask
        .skills
        .iter()
        .map(|code| {
            let known = site.codes.skills.get(&code.to_lowercase()).copied();
            known.ok_or_else(|| Refusal::new(Reason::UnknownSkill, "R1.5", format!("no skill has the code “{code}”")))
        })
        .collect::<Result<_, _>>()?;
    let preferred = match ask.preferred {
        Some(preferred) => Some((address::rep(&site.codes, &preferred.rep)?, Span::seconds(preferred.window_s))),
        None => None,
    };
    if ask.priority.is_some_and(|priority| priority > 100) {
        return Err(malformed("priority", "a priority is 0 to 100"));
    }
    Ok(command::Ask {
        kind,
        skills,
        priority: ask.priority,
        relax_after: ask.relax_after_s.map(Span::seconds),
        preferred,
        customer: command::Customer {
            name: bounded("customer_name", ask.customer_name, limits::NAME_BYTES_MAX)?,
            details: lines("details", ask.details, limits::TEXT_BYTES_MAX)?,
            external_key: bounded("external_key", ask.external_key, limits::NAME_BYTES_MAX)?,
            client: Default::default(),
        },
        join: Some(join),
        ..command::Ask::of(address::entry(&site.codes, &ask.queue)?)
    })
}

/// The item of this code, if this one sees it: one that may not be seen answers as one that does not exist.
pub(super) fn seen_item(state: &State, actor: Actor, code: &str) -> Result<JumpItemId, Refusal> {
    let viewer = viewer(actor)?;
    let known = state.site.codes.jump_items.get(&code.to_lowercase()).copied();
    known
        .filter(|item| state.sees_item(viewer, *item))
        .ok_or_else(|| Refusal::new(Reason::UnknownItem, "P8", format!("you have no jump item with the code “{code}”")))
}

pub(super) fn viewer(actor: Actor) -> Result<UserId, Refusal> {
    match actor {
        Actor::Party(Party::Rep(user)) | Actor::Admin(user) => Ok(user),
        _ => Err(Refusal::new(Reason::NotPermitted, "P8", "jump items are for reps and administrators")),
    }
}

fn portal_of(site: &Site, code: Option<String>) -> Result<Option<PortalId>, Refusal> {
    code.map(|code| address::portal(&site.codes, &code)).transpose()
}

fn policy(site: &Site, code: &str) -> Result<PolicyId, Refusal> {
    let known = site.codes.policies.get(&code.to_lowercase()).copied();
    known.ok_or_else(|| malformed("policy", format!("no policy has the code “{code}”")))
}

fn tool(name: &str) -> Result<Tool, Refusal> {
    Tool::from_name(name)
        .ok_or_else(|| Refusal::new(Reason::UnknownTool, "P3", format!("there is no tool called “{name}”")))
}

fn rep(actor: Actor) -> Result<UserId, Refusal> {
    match actor {
        Actor::Party(Party::Rep(user)) => Ok(user),
        _ => Err(Refusal::new(Reason::NotPermitted, "", "only a rep's console can do this")),
    }
}

/// An address as people and messages write it.
pub fn address(site: &Site, queue: Queue) -> String {
    queue.address(site)
}

pub fn username(site: &Site, user: UserId) -> String {
    site.username(user)
}

/// The operating system an endpoint says it has, as path rules want it (P5).
pub fn known_os(os: &str) -> &'static str {
    match os {
        "linux" => "linux",
        "macos" => "macos",
        "windows" => "windows",
        "android" => "android",
        "ios" => "ios",
        _ => "other",
    }
}

/// What an endpoint says of itself, bounded; an unknown system becomes `other`.
pub fn client(client: ClientInfo) -> Result<ClientInfo, Refusal> {
    let name = |field, text| bounded(field, text, limits::NAME_BYTES_MAX);
    Ok(ClientInfo {
        name: name("client.name", client.name)?,
        version: name("client.version", client.version)?,
        os: known_os(&client.os).to_owned(),
        display_name: name("client.display_name", client.display_name)?,
        locale: name("client.locale", client.locale)?,
        present: client.present,
    })
}

/// The portal that serves this host name (R2.4).
pub fn portal(site: &Site, host: Option<&str>) -> Option<PortalId> {
    let host = host?;
    let serves = |hosts: &[String]| hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
    site.portals.iter().find(|(_, portal)| serves(&portal.hosts)).map(|(id, _)| *id)
}
