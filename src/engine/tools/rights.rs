//! What one rep may do in one session, compiled from the layers for the moment it is asked.

use super::super::{Engine, Reason, Refusal, Session, State};
use crate::{
    ids::*,
    policy::{
        Tool, ToolOption, ToolValue,
        paths::{self, Os},
        plan::{Rights, Side},
        prompt::{Prompt, Prompting},
        session::{Permissions, Person, Situation, grant},
    },
    site::Site,
};

/// Compiled permissions of one participant in one session, and what paths mean at the two ends.
pub struct Granted<'site> {
    site: &'site Site,
    permissions: Permissions,
    rep: Party,
    customer_os: Option<Os>,
    rep_os: Option<Os>,
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

    fn script(&self, code: &str) -> Option<&str> {
        let Party::Rep(user) = self.rep else { return None };
        let script = self.site.scripts.get(&code.to_ascii_lowercase())?;
        let teams = &self.site.users.get(&user)?.teams;
        script.teams.iter().any(|team| teams.contains_key(team)).then_some(script.text.as_str())
    }

    fn path(&self, side: Side, path: Option<&str>) -> Result<Option<String>, String> {
        let (list, os) = match side {
            Side::Customer => (Tool::CustomerPaths, self.customer_os),
            Side::Rep => (Tool::RepPaths, self.rep_os),
        };
        let allowed = self.value(list);
        match path {
            None if *allowed == ToolValue::Any => Ok(None),
            None => Err(format!("{} are listed, so the request has to name one", list.name())),
            // Where everything is allowed, a rep's own path is the rep's own business.
            Some(path) if side == Side::Rep && os.is_none() && *allowed == ToolValue::Any => Ok(Some(path.to_owned())),
            Some(path) => {
                let unknown = || "this end has not said how its paths are read".to_owned();
                let verdict = paths::check(os.ok_or_else(unknown)?, allowed, path);
                match (verdict.allowed, verdict.normalized) {
                    (true, Some(canonical)) => Ok(Some(canonical)),
                    (_, _) if verdict.reason == "not_covered" => Err("no listed directory covers this path".to_owned()),
                    (..) => Err(verdict.refusal.map_or(verdict.reason, |refusal| refusal.to_string())),
                }
            }
        }
    }
}

impl Granted<'_> {
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    pub fn prompt(&self, tool: Tool) -> Prompt {
        self.permissions.get(tool).prompt
    }

    pub fn prompting(&self) -> Prompting {
        self.permissions.prompting
    }

    /// The layer that gives the value, by its name in contract C3.
    pub fn source(&self, tool: Tool) -> String {
        self.permissions.get(tool).source.name(self.site)
    }
}

impl State {
    /// The permissions of `rep` in `session` as the site is at this moment (P2.5).
    pub fn granted(&self, session: &Session, rep: Party) -> Granted<'_> {
        let parties = &self.parties;
        let customer = parties.get(Party::Customer(session.id));
        let client = customer.map_or(&session.ask.customer.client, |customer| &customer.client);
        let present = customer.map_or(client.present, |customer| customer.first_present);
        let person = match rep {
            Party::Rep(user) => Person::User(user),
            // Never more than who invited has (I-P11).
            Party::External(_, seat) => session
                .guests
                .get(&seat)
                .map_or(Person::Nobody, |guest| Person::External { invite: Some(guest.policy), inviter: guest.by }),
            Party::Customer(_) => Person::Nobody,
        };
        let situation = Situation {
            person,
            portal: session.ask.portal,
            jump_item: session.ask.item,
            kind: session.ask.kind,
            present,
        };
        let rep_os = parties.get(rep).map_or("", |rep| &rep.client.os);
        Granted {
            site: &self.site,
            permissions: grant(&self.site, &situation),
            rep,
            customer_os: Os::from_name(&client.os),
            rep_os: Os::from_name(rep_os),
        }
    }
}

impl Engine {
    pub(super) fn granted(&self, session: &Session, rep: Party) -> Granted<'_> {
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
