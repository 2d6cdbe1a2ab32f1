//! What one rep may do in one session, compiled from the layers for the moment it is asked.

use super::super::{Engine, Reason, Refusal, Session, State, parties::Parties};
use crate::{
    ids::*,
    limits,
    policy::{
        Basis, Effective, Source, Tool, ToolOption, ToolValue,
        paths::{self, Os},
        plan::{NoPath, Rights, Side},
        prompt::{Prompt, Prompting},
        session::{Permissions, Person, Situation, grant},
    },
    site::{SessionKind, Site},
};
use rustc_hash::FxHashMap;
use std::{collections::hash_map::Entry, hash::Hash, sync::Arc};

/// Compiled permissions of one participant in one session, and what paths mean at the two ends.
pub struct Granted<'site> {
    state: &'site State,
    session: &'site Session,
    permissions: Arc<Permissions>,
    person: Person,
    rep: Party,
}

impl Rights for Granted<'_> {
    fn rights(&self, tool: Tool) -> u8 {
        self.permissions.rights(tool)
    }

    fn value(&self, tool: Tool) -> &ToolValue {
        self.permissions.value(tool)
    }

    fn option(&self, option: ToolOption) -> &ToolValue {
        &self.permissions.option(option).0
    }

    fn mobile(&self) -> bool {
        matches!(self.customer_os(), "android" | "ios")
    }

    fn start_page(&self) -> Option<&str> {
        self.state.start_page(self.session)
    }

    fn script(&self, code: &str) -> Option<&str> {
        let Party::Rep(user) = self.rep else { return None };
        let script = self.state.site.scripts.get(&code.to_ascii_lowercase())?;
        let teams = &self.state.site.users.get(&user)?.teams;
        script.teams.iter().any(|team| teams.contains_key(team)).then_some(script.text.as_str())
    }

    fn path(&self, side: Side, path: Option<&str>) -> Result<Option<String>, NoPath> {
        let (list, os) = match side {
            Side::Customer => (Tool::CustomerPaths, Os::from_name(self.customer_os())),
            Side::Rep => (Tool::RepPaths, Os::from_name(self.rep_os())),
        };
        let allowed = self.value(list);
        match path {
            None if *allowed == ToolValue::Any => Ok(None),
            None => Err(NoPath::Refused(format!("{} are listed, so the request has to name one", list.name()))),
            // Where everything is allowed, a rep's own path is the rep's own business, as long as it can be shown.
            Some(path) if side == Side::Rep && os.is_none() && *allowed == ToolValue::Any => {
                paths::bounded(path).map_err(|refusal| NoPath::Malformed(refusal.to_string()))?;
                Ok(Some(path.to_owned()))
            }
            Some(path) => {
                let unknown = || NoPath::Refused("this end has not said how its paths are read".to_owned());
                let verdict = paths::check(os.ok_or_else(unknown)?, allowed, path);
                match (verdict.normalized, verdict.refusal) {
                    (Some(canonical), _) if verdict.allowed => Ok(Some(canonical)),
                    (_, Some(refusal)) if refusal.is_malformed() => Err(NoPath::Malformed(refusal.to_string())),
                    (_, Some(refusal)) => Err(NoPath::Refused(refusal.to_string())),
                    _ if verdict.reason == "not_covered" => {
                        Err(NoPath::Refused("no listed directory covers this path".to_owned()))
                    }
                    _ => Err(NoPath::Refused(verdict.reason)),
                }
            }
        }
    }
}

impl Granted<'_> {
    fn customer_os(&self) -> &str {
        let customer = self.state.parties.get(Party::Customer(self.session.id));
        customer.map_or(&self.session.ask.customer.client.os, |customer| &customer.client.os)
    }

    fn rep_os(&self) -> &str {
        self.state.parties.get(self.rep).map_or("", |rep| &rep.client.os)
    }

    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The same for all who may the same, while the site does not change; and whose own account is one of the layers,
    /// for that one is named where it is said what they may.
    pub fn shared(&self) -> (&Arc<Permissions>, Option<UserId>) {
        let account = match self.person {
            Person::User(user) | Person::External { inviter: user, .. } | Person::Shown { by: user, .. } => Some(user),
            Person::Nobody => None,
        };
        let own = |(_, effective): (_, &Effective)| matches!(effective.source, Source::User(_));
        (&self.permissions, account.filter(|_| self.permissions.iter().any(own)))
    }

    pub fn prompt(&self, tool: Tool) -> Prompt {
        self.permissions.get(tool).prompt
    }

    pub fn prompting(&self) -> Prompting {
        self.permissions.prompting
    }

    /// The layer that gives the value, by its name in contract C3.
    pub fn source(&self, tool: Tool) -> String {
        self.permissions.get(tool).source.of(self.person).name(&self.state.site)
    }

    /// An option's value, and the layer that gives it.
    pub fn option_from(&self, option: ToolOption) -> (&ToolValue, String) {
        let (value, source) = self.permissions.option(option);
        (value, source.of(self.person).name(&self.state.site))
    }
}

/// What was compiled, by what it was compiled for and by what went into it: thousands of sessions share a few (W2.4). No
/// state: forgotten when the site changes, and the same whether remembered or not.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    known: FxHashMap<Situation, Known>,
    compiled: FxHashMap<Basis, Arc<Permissions>>,
    /// Whether an edit made other permissions of what they were made of before and after it.
    changed: FxHashMap<(Basis, Basis), bool>,
}

#[derive(Clone, Debug)]
struct Known {
    permissions: Arc<Permissions>,
    /// From those before the edit that is being judged, where that was asked.
    differ: Option<bool>,
}

impl PartialEq for Grants {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Grants {
    pub(in crate::engine) fn forget(&mut self) {
        *self = Self::default();
    }

    fn get(&self, situation: &Situation) -> Option<&Arc<Permissions>> {
        self.known.get(situation).map(|known| &known.permissions)
    }

    fn learn(&mut self, site: &Site, situation: &Situation) -> &mut Known {
        let Self { known, compiled, .. } = self;
        room_for(known, *situation).or_insert_with(|| {
            let compiled = room_for(compiled, situation.basis(site));
            let permissions = compiled.or_insert_with(|| Arc::new(grant(site, situation))).clone();
            Known { permissions, differ: None }
        })
    }

    /// Does the site give others in this situation than it gave before?
    pub(super) fn differ(&mut self, before: &Site, site: &Site, situation: &Situation) -> bool {
        let known = self.learn(site, situation);
        if let Some(differ) = known.differ {
            return differ;
        }
        let now = known.permissions.clone();
        let both = (situation.basis(before), situation.basis(site));
        let differ = *room_for(&mut self.changed, both).or_insert_with(|| grant(before, situation) != *now);
        self.learn(site, situation).differ = Some(differ);
        differ
    }
}

fn room_for<K: Eq + Hash, V>(map: &mut FxHashMap<K, V>, key: K) -> Entry<'_, K, V> {
    if map.len() >= limits::GRANTS_REMEMBERED && !map.contains_key(&key) {
        map.clear();
    }
    map.entry(key)
}

impl State {
    /// The permissions of `rep` in `session` as the site is at this moment (P2.5).
    pub fn granted<'a>(&'a self, session: &'a Session, rep: Party) -> Granted<'a> {
        let situation = situation(&self.parties, session, rep);
        let permissions = self.permissions(&situation);
        Granted { state: self, session, permissions, person: situation.person, rep }
    }

    /// LR-026, P3.24: may this rep begin sessions by keys of its own, in this way? Judged in the layers of a support session
    /// of the rep: as the key is made through no portal, for nobody knows yet through which its customer will come.
    pub(in crate::engine) fn may_start_privately(
        &self,
        rep: UserId,
        portal: Option<PortalId>,
        way: &str,
    ) -> Result<(), Refusal> {
        let (person, kind) = (Person::User(rep), SessionKind::Support);
        let situation = Situation { person, portal, jump_item: None, kind, present: true };
        let permissions = self.permissions(&situation);
        let refused = |source: Source, message: String| {
            let source = source.of(person).name(&self.site);
            let message = format!("{message}, by {source}");
            Err(Refusal::new(Reason::NotPermitted, "P3.24", message).of_tool(Tool::PrivateSessions, source))
        };
        if !permissions.any(Tool::PrivateSessions) {
            return refused(
                permissions.get(Tool::PrivateSessions).source,
                "private sessions are not permitted".to_owned(),
            );
        }
        let (ways, source) = permissions.option(ToolOption::PrivateWays);
        match ways {
            ToolValue::List(ways) if !ways.iter().any(|known| known == way) => {
                refused(*source, format!("private sessions do not begin by `{way}`"))
            }
            _ => Ok(()),
        }
    }

    /// What the site gives in this situation, looked up where it was learned.
    fn permissions(&self, situation: &Situation) -> Arc<Permissions> {
        self.grants.get(situation).cloned().unwrap_or_else(|| Arc::new(grant(&self.site, situation)))
    }
}

impl Engine {
    /// Compiles what those in a session may do, so that it is looked up from here on.
    pub(in crate::engine) fn learn(&mut self, session: SessionId) {
        let State { sessions, parties, grants, site, .. } = &mut self.state;
        for situation in sessions.get(&session).into_iter().flat_map(|session| situations(parties, session)) {
            grants.learn(site, &situation);
        }
    }

    pub(super) fn granted<'a>(&'a self, session: &'a Session, rep: Party) -> Granted<'a> {
        self.state.granted(session, rep)
    }

    /// P3.24: acts by hand that the permissions of the session may forbid, beside those of the product.
    pub(in crate::engine) fn permitted_act(&self, id: SessionId, rep: UserId, act: Tool) -> Result<(), Refusal> {
        let Some(session) = self.state.sessions.get(&id) else { return Ok(()) };
        let granted = self.granted(session, Party::Rep(rep));
        if granted.rights(act) != 0 {
            return Ok(());
        }
        let source = granted.source(act);
        let message = format!("{} is not permitted in this session, by {source}", act.name());
        Err(Refusal::new(Reason::NotPermitted, "P3.24", message).of_tool(act, source))
    }
}

/// What the permissions of `rep` in `session` are made of.
fn situation(parties: &Parties, session: &Session, rep: Party) -> Situation {
    let first_present = || {
        let customer = parties.get(Party::Customer(session.id));
        customer.map_or(session.ask.customer.client.present, |customer| customer.first_present)
    };
    let person = match rep {
        Party::Rep(user) => Person::User(user),
        // Never more than who invited has (I-P11).
        Party::External(_, seat) => session
            .guests
            .get(&seat)
            .map_or(Person::Nobody, |guest| Person::External { invite: Some(guest.policy), inviter: guest.by }),
        Party::Customer(_) | Party::JumpClient(_) => Person::Nobody,
    };
    // Whoever looks at a rep's screen may what that rep gives.
    let person = match session.ask.shown_by {
        Some(by) => Person::Shown { by, control: session.control_given },
        None => person,
    };
    let (portal, jump_item, kind) = (session.ask.portal, session.ask.item, session.ask.kind);
    // Only the policies of an item ask for it.
    let present = jump_item.is_none() || first_present();
    Situation { person, portal, jump_item, kind, present }
}

/// Of everybody in a session but the customer; none where nobody serves it.
pub(super) fn situations(parties: &Parties, session: &Session) -> impl Iterator<Item = Situation> {
    let served = session.owner().map(|_| &session.participants).into_iter().flatten();
    let reps = served.filter(|it| !matches!(it.party, Party::Customer(_)));
    reps.map(move |rep| situation(parties, session, rep.party))
}
