//! What each side may see of the site (W4.4, R10.2): whole objects, made from the state, names as the viewer may know
//! them.

use super::{
    outward,
    resolve::{address, username},
};
pub use crate::engine::event::name_of;
use crate::{
    engine::{
        Actor, Queue, Session, State,
        buttons::Button,
        event::ChannelSpec,
        notices::CustomerNotice,
        session::{Role, Stage},
        targets::Handing,
        tools::Granted,
    },
    ids::*,
    limits,
    policy::{Tool, ToolOption, ToolValue, Word, plan::Rights},
    site::{JumpPlace, SessionKind, Site, Team, User},
    wire::{
        EncodedRights, Kind,
        control::{
            ButtonView, ChannelView, ConsentView, Done, Ev, JumpItemView, ListedRep, NoticeView, ParticipantView,
            RepView, SessionView, TeamView, ToolView, Value,
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// A session as reps see it.
pub fn session(state: &State, session: &Session, attached: impl Fn(Party) -> bool) -> SessionView {
    let site = &state.site;
    let (name, queue, offered_to, overdue) = match &session.stage {
        Stage::Waiting(waiting) => {
            let offered_to = waiting.offer.as_ref().map(|offer| username(site, offer.rep));
            let name = if offered_to.is_some() { "offered" } else { "waiting" };
            (name, Some(address(site, waiting.queue)), offered_to, waiting.overdue)
        }
        Stage::Active { .. } if session.reboots() => ("rebooting", None, None, false),
        Stage::Active { .. } if !session.customer_attached && session.customer_came => {
            ("reconnecting", None, None, false)
        }
        Stage::Active { .. } => ("active", None, None, false),
        Stage::Held { .. } => ("held", None, None, false),
    };
    let participants = session.participants.iter().map(|participant| ParticipantView {
        participant: participant.id.0,
        name: match participant.party {
            Party::Rep(user) => site.users.get(&user).map(|user| user.private_name.clone()).unwrap_or_default(),
            Party::Customer(_) | Party::JumpClient(_) => customer_name(session),
            Party::External(..) => guest_name(session, participant.id),
        },
        role: role_name(participant.role).to_owned(),
        attached: attached(participant.party),
    });
    SessionView {
        session: session.id.0,
        kind: kind_name(session.ask.kind).to_owned(),
        state: name.to_owned(),
        queue,
        owner: session.owner().map(|owner| username(site, owner)),
        offered_to,
        participants: participants.collect(),
        customer: if session.is_show() { String::new() } else { customer_name(session) },
        customer_os: session.ask.customer.client.os.clone(),
        locale: state.locale_of(session).to_owned(),
        priority: session.priority,
        skills: session
            .skills
            .iter()
            .filter_map(|skill| site.skills.get(skill).map(|skill| skill.code.clone()))
            .collect(),
        details: session.ask.customer.details.clone(),
        external_key: session.ask.customer.external_key.clone(),
        fields: session.fields.clone(),
        queued_at_ms: session.first_queued.0,
        overdue,
        helps: session.ask.helps.map(|helped| helped.0),
    }
}

/// The same for this external rep in it: people by their public names, nothing of queues (H-81); of what the reps of the
/// house wrote on it what this one may write too (P3.29).
pub fn session_outside(
    state: &State,
    found: &Session,
    seat: ParticipantId,
    attached: impl Fn(Party) -> bool,
) -> SessionView {
    let public = |user: UserId| public_name(&state.site, user);
    let whole = session(state, found, &attached);
    let participants = participants_in_public(state, found, attached);
    let granted = state.granted(found, Party::External(found.id, seat));
    let may = |tool: Tool| granted.rights(tool) != 0;
    SessionView {
        queue: None,
        owner: found.owner().map(public),
        offered_to: None,
        participants,
        external_key: if may(Tool::ExternalKey) { whole.external_key } else { String::new() },
        fields: if may(Tool::CustomFields) { whole.fields } else { BTreeMap::new() },
        ..whole
    }
}

/// By the mail address the invitation went to: what reps know of somebody from outside.
fn guest_name(session: &Session, seat: ParticipantId) -> String {
    session.guests.get(&seat).map_or_else(|| "external".to_owned(), |guest| guest.address.clone())
}

/// Who serves a session, by the names the customer may know (R10.2).
pub fn serving(state: &State, session: &Session, attached: impl Fn(Party) -> bool) -> Ev {
    Ev::Serving { session: session.id.0, participants: participants_in_public(state, session, attached) }
}

fn participants_in_public(state: &State, session: &Session, attached: impl Fn(Party) -> bool) -> Vec<ParticipantView> {
    let site = &state.site;
    let participants = session.participants.iter().map(|participant| ParticipantView {
        participant: participant.id.0,
        name: match participant.party {
            Party::Rep(user) => public_name(site, user),
            Party::Customer(_) | Party::JumpClient(_) => customer_name(session),
            Party::External(..) => site.options.rep_alias.clone(),
        },
        role: role_name(participant.role).to_owned(),
        attached: attached(participant.party),
    });
    participants.collect()
}

/// A rep whose site shows no names (R10.2).
const HIDDEN_NAME: &str = "Agent";

pub fn notices(state: &State) -> Done {
    let by = |actor: Actor| match actor {
        Actor::Party(Party::Rep(user)) | Actor::Admin(user) => username(&state.site, user),
        _ => String::new(),
    };
    let one = |(id, notice): (NoticeId, &CustomerNotice)| NoticeView {
        notice: id.0,
        text: notice.text.clone(),
        by: by(notice.by),
        until_ms: notice.until.map(|until| until.0),
    };
    Done::Notices { notices: state.notices.live().map(one).collect() }
}

/// The buttons that this one may manage, as many as fit a message.
pub fn buttons(state: &State, actor: Actor, after: ButtonId) -> Done {
    let theirs = state.buttons.live().filter(|(id, button)| *id > after && state.may_manage_button(actor, button));
    let one = |(id, button): (ButtonId, &Button)| ButtonView {
        button: id.0,
        queue: address(&state.site, button.queue),
        portal: button.portal.and_then(|portal| state.site.portals.get(&portal)).map(|portal| portal.code.clone()),
        by: username(&state.site, button.by),
        made_at_ms: button.made.0,
    };
    let mut buttons: Vec<ButtonView> = theirs.take(limits::BUTTONS_LISTED + 1).map(one).collect();
    let more = buttons.len() > limits::BUTTONS_LISTED;
    buttons.truncate(limits::BUTTONS_LISTED);
    Done::Buttons { buttons, more }
}

/// The jump items that this one sees, after one, as many as fit a message and as are looked through at a time.
pub fn jump_items(state: &State, viewer: UserId, after: JumpItemId) -> Done {
    let site = &state.site;
    let (mut items, mut next) = (Vec::new(), None);
    let rest = site.jump_items.range((Bound::Excluded(after), Bound::Unbounded));
    for (looked_at, (id, item)) in rest.enumerate() {
        if items.len() == limits::JUMP_ITEMS_LISTED || looked_at == limits::JUMP_ITEMS_LOOKED_AT {
            next = Some(id.0 - 1);
            break;
        }
        if !state.sees_item(viewer, *id) {
            continue;
        }
        let (group, owner) = match item.place {
            JumpPlace::Nowhere => (None, None),
            JumpPlace::Group(at) => (site.jump_groups.get(at).map(|group| group.code.clone()), None),
            JumpPlace::ListOf(owner) => (None, Some(username(site, owner))),
        };
        items.push(JumpItemView {
            item: item.code.clone(),
            method: name_of(&item.method),
            group,
            owner,
            stands_by: state.stands_by(*id),
            session: state.sessions_on(*id).next_back().map(|session| session.0),
            may_start: state.may_jump(viewer, *id).is_ok() && state.supports(viewer),
            consent: state.item_keys.consent(*id).map(|given| ConsentView {
                session: given.session.0,
                rep: username(site, given.rep),
                at_ms: given.at.0,
            }),
        });
    }
    Done::JumpItems { items, next }
}

pub fn item_code(site: &Site, item: JumpItemId) -> String {
    site.jump_items.get(&item).map_or_else(String::new, |item| item.code.clone())
}

/// R2.1: whom this portal shows, as many as fit a message.
pub fn rep_list(state: &State, portal: PortalId) -> Done {
    let site = &state.site;
    let listed = state.rep_list(portal).unwrap_or_default();
    let more = listed.len() > limits::REPS_LISTED;
    let one = |user: UserId| ListedRep { queue: Queue::Personal(user).address(site), name: public_name(site, user) };
    Done::RepList { reps: listed.into_iter().take(limits::REPS_LISTED).map(one).collect(), more }
}

/// A rep as customers may know them.
pub fn public_name(site: &Site, user: UserId) -> String {
    match site.users.get(&user) {
        Some(_) if !site.options.show_rep_names => HIDDEN_NAME.to_owned(),
        Some(user) => user.public_name.clone(),
        None => site.options.rep_alias.clone(),
    }
}

/// Untrusted: as given, shown as unverified.
fn customer_name(session: &Session) -> String {
    let customer = &session.ask.customer;
    let name = if customer.name.is_empty() { &customer.client.display_name } else { &customer.name };
    if name.is_empty() { "customer".to_owned() } else { name.clone() }
}

/// Everybody whose console may show something of this session.
pub fn audience(state: &State, session: &Session) -> BTreeSet<UserId> {
    let mut users: BTreeSet<UserId> = session
        .participants
        .iter()
        .filter_map(|participant| match participant.party {
            Party::Rep(user) => Some(user),
            _ => None,
        })
        .collect();
    let queue = session.waiting().map(|waiting| waiting.queue).or(session.last_queue);
    match queue {
        Some(Queue::Team(team)) => {
            if let Some(team) = state.site.teams.get(&team) {
                users.extend(team.members.keys().copied());
            }
        }
        Some(Queue::Personal(user)) => {
            users.insert(user);
        }
        None => {}
    }
    users
}

/// A rep as colleagues see it.
pub fn rep(state: &State, user: UserId) -> RepView {
    let found = state.site.users.get(&user);
    let console = state.console(user);
    RepView {
        rep: found.map(|user| user.username.clone()).unwrap_or_default(),
        name: found.map(|user| user.private_name.clone()).unwrap_or_default(),
        status: console.map_or_else(|| "offline".to_owned(), |console| console.status.clone()),
        sessions: console.map_or(0, |console| console.sessions),
        opted_in: console.is_some_and(|console| !console.opted_out),
        extended: state.extended.contains(&user),
    }
}

/// A team as reps see it.
fn team(state: &State, id: TeamId) -> Option<TeamView> {
    let team = state.site.teams.get(&id)?;
    Some(TeamView {
        team: team.code.clone(),
        name: team.name.clone(),
        waiting: u32::try_from(state.waiting_in(Queue::Team(id)).len()).unwrap_or(u32::MAX),
        reps: state.logged_in(id),
    })
}

/// Where this rep may hand the session, beyond its own teams too where it may (BU-057, BU-058): as many of each as fit, of
/// as many as are looked at for one answer.
pub fn targets(state: &State, viewer: UserId, id: SessionId, handing: Handing, like: &str, after: u32) -> Done {
    let (mut teams, mut reps, mut next) = (Vec::new(), Vec::new(), None);
    let like = like.to_lowercase();
    let has = |texts: [&str; 2]| texts.iter().any(|text| text.to_lowercase().contains(&like));
    let all = state.session(id).into_iter().flat_map(|session| state.targets(viewer, session, handing));
    for (at, to) in (0..).zip(all).skip(after as usize) {
        let full = teams.len() == limits::TARGETS_LISTED || reps.len() == limits::TARGETS_LISTED;
        if full || (at - after) as usize == limits::TARGETS_LOOKED_AT {
            next = Some(at);
            break;
        }
        match to {
            Some(Queue::Team(id)) => {
                let named = |team: &Team| has([&team.code, &team.name]);
                teams.extend(state.site.teams.get(&id).filter(|it| named(it)).and_then(|_| team(state, id)));
            }
            Some(Queue::Personal(user)) => {
                let named = |user: &User| has([&user.username, &user.private_name]);
                reps.extend(state.site.users.get(&user).filter(|it| named(it)).map(|_| rep(state, user)));
            }
            None => {}
        }
    }
    Done::Targets { teams, reps, next }
}

/// The first view of a console, in parts that each fit a message: its sessions, its teams and the people in them.
pub fn snapshot(state: &State, user: UserId, attached: impl Fn(Party) -> bool) -> Vec<Ev> {
    let site = &state.site;
    let own_teams = || site.users.get(&user).into_iter().flat_map(|user| user.teams.keys());
    let mut shown: BTreeSet<SessionId> = state.sessions_of(user).collect();
    shown.extend(state.waiting_in(Queue::Personal(user)));
    for team in own_teams() {
        let left = limits::SNAPSHOT_SESSIONS.saturating_sub(shown.len());
        shown.extend(state.waiting_in(Queue::Team(*team)).take(left));
    }
    // What colleagues serve, as its changes are told (see [`audience`]).
    let colleagues: BTreeSet<UserId> =
        own_teams().filter_map(|id| site.teams.get(id)).flat_map(|team| team.members.keys().copied()).collect();
    let served = colleagues.into_iter().flat_map(|colleague| state.sessions_of(colleague));
    let left = limits::SNAPSHOT_SESSIONS.saturating_sub(shown.len());
    let visible = |id: &SessionId| state.session(*id).is_some_and(|session| audience(state, session).contains(&user));
    let served: Vec<SessionId> = served.filter(visible).take(left).collect();
    shown.extend(served);
    let views = shown.iter().filter_map(|id| state.session(*id)).map(|found| session(state, found, &attached));
    // Of many with long texts the newest are not in it: they are shown when they change.
    let fits = |left: &mut usize, view: SessionView| {
        *left = left.checked_sub(bytes_of(&view))?;
        Some(view)
    };
    let sessions: Vec<SessionView> = views.scan(limits::SNAPSHOT_BYTES, fits).collect();
    let teams: Vec<TeamView> = own_teams().filter_map(|id| team(state, *id)).collect();
    let mates: BTreeSet<UserId> =
        own_teams().filter_map(|id| site.teams.get(id)).flat_map(|team| team.members.keys().copied()).collect();
    let reps: Vec<RepView> = mates.into_iter().map(|mate| rep(state, mate)).collect();
    let sessions = in_parts(sessions);
    let parts = reps.len().max(teams.len()).div_ceil(limits::SNAPSHOT_PART).max(sessions.len()).max(1);
    (0..parts)
        .map(|part| Ev::Snapshot {
            sessions: sessions.get(part).cloned().unwrap_or_default(),
            reps: nth_part(&reps, part),
            teams: nth_part(&teams, part),
            last: part + 1 == parts,
        })
        .collect()
}

/// As many together as a part may have, by number and by what people wrote on them.
fn in_parts(sessions: Vec<SessionView>) -> Vec<Vec<SessionView>> {
    let (mut parts, mut bytes) = (Vec::<Vec<SessionView>>::new(), 0);
    for session in sessions {
        let more = bytes_of(&session);
        match parts.last_mut() {
            Some(part) if part.len() < limits::SNAPSHOT_PART && bytes + more <= limits::SNAPSHOT_PART_BYTES => {
                part.push(session);
                bytes += more;
            }
            _ => {
                parts.push(vec![session]);
                bytes = more;
            }
        }
    }
    parts
}

/// What a session takes in a message, roughly: its texts, and names and numbers around them.
fn bytes_of(session: &SessionView) -> usize {
    let people: usize = session.participants.iter().map(|one| one.name.len() + 64).sum();
    let fields: usize = session.fields.iter().map(|(field, value)| field.len() + value.len() + 4).sum();
    let skills: usize = session.skills.iter().map(|skill| skill.len() + 2).sum();
    let texts = session.details.len() + session.external_key.len() + session.customer.len();
    people + fields + skills + texts + 512
}

fn nth_part<T: Clone>(all: &[T], part: usize) -> Vec<T> {
    all.chunks(limits::SNAPSHOT_PART).nth(part).unwrap_or_default().to_vec()
}

/// What stands in a session whatever the layers give: how its customer is held back (P3.4) and may write (P3.18),
/// what its end does when it is over (P3.30), and whether it is a shared page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Standing {
    restricted: Option<Word>,
    termination: Option<Word>,
    chat_off: bool,
    cobrowse: bool,
}

impl Standing {
    pub fn of(session: &Session) -> Self {
        let (restricted, termination) = (session.restricted.map(|(_, mode)| mode), session.termination);
        let cobrowse = session.ask.kind == SessionKind::Cobrowse;
        Self { restricted, termination, chat_off: session.chat_off, cobrowse }
    }

    /// By the names of the tools, as options.
    fn told(self, granted: &Granted<'_>) -> [(String, Value); 3] {
        let policys = granted.permissions().value(Tool::Termination);
        let termination = self.termination.map_or_else(|| value(policys), |mode| Value::Text(mode.name().to_owned()));
        let restricted = Value::Text(self.restricted.unwrap_or(Word::None).name().to_owned());
        let chat = if self.chat_off { Word::No } else { Word::Yes };
        [
            (Tool::Chat.name().to_owned(), Value::Text(chat.name().to_owned())),
            (Tool::CustomerRestrictions.name().to_owned(), restricted),
            (Tool::Termination.name().to_owned(), termination),
        ]
    }
}

/// What a rep may do by a grant, with the layer that says so (P6.2), and what stands.
pub fn rights(granted: &Granted<'_>, standing: Standing) -> EncodedRights {
    rights_by(granted, standing, |source| source)
}

/// The same for an external rep, who is told the kind of the layer and not whose it is (BU-004).
pub fn rights_of_external(granted: &Granted<'_>, standing: Standing) -> EncodedRights {
    rights_by(granted, standing, |source| outward::kind(&source).to_owned())
}

fn rights_by(granted: &Granted<'_>, standing: Standing, told: impl Fn(String) -> String) -> EncodedRights {
    let permissions = granted.permissions();
    let tools = permissions.iter().map(|(tool, effective)| {
        let prompt = effective.prompt.name().to_owned();
        let view = ToolView { value: value(&effective.value), source: told(granted.source(tool)), prompt };
        (tool.name().to_owned(), view)
    });
    let options =
        ToolOption::ALL.iter().map(|option| (option.name().to_owned(), value(&permissions.option(*option).0)));
    EncodedRights::new(tools.collect(), options.chain(standing.told(granted)).collect())
}

/// What a customer's endpoint has to honour (P3.4, P3.30, P3.31): of its rep's tools it is told nothing.
pub fn rights_of_customer(granted: &Granted<'_>, standing: Standing, site: &Site) -> EncodedRights {
    let permissions = granted.permissions();
    let options = ToolOption::ALL.iter().filter(|option| option.is_endpoints());
    let options = options.map(|option| (option.name().to_owned(), value(&permissions.option(*option).0)));
    let mut options: BTreeMap<String, Value> = options.chain(standing.told(granted)).collect();
    // BU-132: by then an end that reaches nobody knows that its session is over.
    let seconds = i64::try_from(site.options.reconnect_timeout.0 / 1_000).unwrap_or(i64::MAX);
    options.insert("reconnect_timeout_s".to_owned(), Value::Int(seconds));
    // P3.32: where people go by themselves on a shared page only its end sees.
    if standing.cobrowse {
        let (domains, by) = (Tool::CobrowseDomains, ToolOption::CobrowseDomainsMatch);
        options.insert(domains.name().to_owned(), value(permissions.value(domains)));
        options.insert(by.name().to_owned(), value(&permissions.option(by).0));
    }
    EncodedRights::new(BTreeMap::new(), options)
}

fn value(value: &ToolValue) -> Value {
    match value {
        ToolValue::List(entries) => Value::List(entries.to_vec()),
        one => Value::Text(one.to_string()),
    }
}

/// A channel as its ends are told of it.
pub fn channel(spec: &ChannelSpec, start: u64) -> ChannelView {
    let kinds = Kind::DATA.into_iter().filter(|kind| spec.kinds & kind.bit() != 0);
    ChannelView {
        channel: spec.channel.0,
        kinds: kinds.map(|kind| kind.name().to_owned()).collect(),
        class: spec.class,
        writer: spec.writer.0,
        readers: spec.readers.iter().map(|reader| reader.0).collect(),
        start,
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Owner => "owner",
        Role::Sharer => "sharer",
        Role::Monitor => "monitor",
        Role::External => "external",
    }
}

fn kind_name(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Support => "support",
        SessionKind::Jump => "jump",
        SessionKind::Cobrowse => "cobrowse",
        SessionKind::Chat => "chat",
        SessionKind::RepToRep => "rep_to_rep",
        SessionKind::Lens => "lens",
        SessionKind::Presentation => "presentation",
    }
}
