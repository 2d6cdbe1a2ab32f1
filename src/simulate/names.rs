//! What the scenario and its lines call things, and the ids of the engine. Names stay when what they name is deleted.

use super::line::Happening;
use crate::{
    engine::{Entry, Event, Queue, Reason, address},
    ids::*,
    site::{Codes, Site},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

pub(super) struct Names {
    codes: Codes,
    issues: BTreeMap<IssueId, TeamId>,
    users: HashMap<UserId, String>,
    teams: HashMap<TeamId, String>,
    sessions: HashMap<String, SessionId>,
    labels: HashMap<SessionId, String>,
}

impl Names {
    pub fn new(site: &Site) -> Self {
        Self {
            codes: site.codes.clone(),
            issues: site.issues.iter().map(|(id, issue)| (*id, issue.team)).collect(),
            users: site.users.iter().map(|(id, user)| (*id, user.username.clone())).collect(),
            teams: site.teams.iter().map(|(id, team)| (*id, team.code.clone())).collect(),
            sessions: HashMap::new(),
            labels: HashMap::new(),
        }
    }

    /// The site changed: what is gone keeps its name.
    pub fn learn(&mut self, site: &Site) {
        let Self { users, teams, .. } = Self::new(site);
        self.users.extend(users);
        self.teams.extend(teams);
    }

    pub fn user(&self, name: &str) -> Option<UserId> {
        self.codes.users.get(&name.to_lowercase()).copied()
    }

    pub fn rep_named(&self, name: &str) -> Result<UserId, Reason> {
        self.user(name).ok_or(Reason::UnknownRep)
    }

    /// By its code or its address.
    pub fn team_named(&self, name: &str) -> Result<TeamId, Reason> {
        let code = name.strip_prefix("team:").unwrap_or(name).to_lowercase();
        self.codes.teams.get(&code).copied().ok_or(Reason::UnknownTeam)
    }

    pub fn session_named(&self, name: &str) -> Result<SessionId, Reason> {
        self.sessions.get(name).copied().ok_or(Reason::UnknownSession)
    }

    pub fn skill(&self, name: &str) -> Result<SkillId, Reason> {
        self.codes.skills.get(&name.to_lowercase()).copied().ok_or(Reason::UnknownSkill)
    }

    pub fn jump_item(&self, name: &str) -> Result<JumpItemId, Reason> {
        self.codes.jump_items.get(&name.to_lowercase()).copied().ok_or(Reason::UnknownQueue)
    }

    pub fn portal(&self, name: &str) -> Option<PortalId> {
        self.codes.portals.get(&name.to_lowercase()).copied()
    }

    pub fn entry(&self, address: &str) -> Result<Entry, Reason> {
        address::entry(&self.codes, address).map_err(|refusal| refusal.reason)
    }

    pub fn queue(&self, address: &str) -> Result<Queue, Reason> {
        address::queue(&self.codes, address).map_err(|refusal| refusal.reason)
    }

    /// Where an address leads at first.
    pub fn first_queue(&self, address: &str) -> Option<Queue> {
        match self.entry(address).ok()? {
            Entry::Queue(queue) => Some(queue),
            Entry::Issue(issue) => self.issues.get(&issue).copied().map(Queue::Team),
        }
    }

    /// Gives a session its name.
    pub fn label(&mut self, session: SessionId, name: String) {
        self.sessions.insert(name.clone(), session);
        self.labels.insert(session, name);
    }

    /// The session never came to be.
    pub fn forget(&mut self, session: SessionId) {
        if let Some(name) = self.labels.remove(&session) {
            self.sessions.remove(&name);
        }
    }

    pub fn is_taken(&self, name: &str) -> bool {
        self.sessions.contains_key(name)
    }

    /// One that no step named, such as a session started at login, goes by its number.
    pub fn session(&self, session: SessionId) -> String {
        self.labels.get(&session).cloned().unwrap_or_else(|| format!("#{session}"))
    }

    pub fn rep(&self, user: UserId) -> String {
        self.users.get(&user).cloned().unwrap_or_default()
    }

    pub fn team(&self, team: TeamId) -> String {
        self.teams.get(&team).cloned().unwrap_or_default()
    }

    pub fn address(&self, queue: Queue) -> String {
        match queue {
            Queue::Team(team) => format!("team:{}", self.team(team)),
            Queue::Personal(user) => format!("rep:{}", self.rep(user)),
        }
    }

    /// The line of an event; most are not told.
    pub fn happening(&self, event: &Event) -> Option<Happening> {
        let session = |id: &SessionId| self.session(*id);
        let rep = |id: &UserId| self.rep(*id);
        let queue = |queue: &Queue| self.address(*queue);
        Some(match event {
            Event::LoggedIn { user } => Happening::LoggedIn { rep: rep(user) },
            Event::LoggedOut { user, reason } => Happening::LoggedOut { rep: rep(user), reason: named(reason) },
            Event::Queued { session: id, queue: to } => Happening::Queued { session: session(id), queue: queue(to) },
            Event::Offered { session: id, rep: to, team, expires_at, .. } => Happening::Offered {
                session: session(id),
                rep: rep(to),
                team: self.team(*team),
                expires_at: *expires_at,
            },
            Event::Accepted { session: id, rep: by, .. } => Happening::Accepted { session: session(id), rep: rep(by) },
            Event::Rejected { session: id, rep: by } => Happening::Rejected { session: session(id), rep: rep(by) },
            Event::OfferTimeout { session: id, rep: to } => {
                Happening::OfferTimeout { session: session(id), rep: rep(to) }
            }
            Event::OfferWithdrawn { session: id, rep: to, reason } => {
                Happening::OfferWithdrawn { session: session(id), rep: rep(to), reason: reason.clone() }
            }
            Event::Overdue { session: id, queue: at } => Happening::Overdue { session: session(id), queue: queue(at) },
            Event::Moved { session: id, from, to, rule } => Happening::Moved {
                session: session(id),
                from: from.as_ref().map(queue),
                to: queue(to),
                rule: named(rule),
            },
            Event::Joined { session: id, rep: by, .. } => Happening::Joined { session: session(id), rep: rep(by) },
            Event::Departed { session: id, rep: by, .. } => Happening::Departed { session: session(id), rep: rep(by) },
            Event::OwnerChanged { session: id, from, to, rule } => Happening::OwnerChanged {
                session: session(id),
                from: from.as_ref().map(rep),
                to: rep(to),
                rule: named(rule),
            },
            Event::Held { session: id } => Happening::Held { session: session(id) },
            Event::Resumed { session: id } => Happening::Resumed { session: session(id) },
            Event::Ended { session: id, reason } => Happening::Ended { session: session(id), reason: named(reason) },
            _ => return None,
        })
    }
}

/// The name that an enum has in the journal.
fn named(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a plain name")
}
