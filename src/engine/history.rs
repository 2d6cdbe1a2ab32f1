//! What a session that has ended leaves behind, and who may read it (BU-048, RA-013). A record is derived from the state at
//! the moment before the end; requests for help, and screens that reps show each other, leave none.

use super::{
    Actor, Entry, Event, Queue, Reason, Refusal, Session, State,
    event::{EndReason, name_of},
    refusal::refuse,
    session::{Role, Stage},
};
use crate::{
    ids::*,
    limits,
    site::{Site, UserPermission},
    time::{Span, Time},
    wire::control::{PastPerson, PastSession},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What of a session's life its present does not tell.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Course {
    /// None: of a snapshot from before there were courses.
    asked: Option<Time>,
    accepted: Option<Time>,
    first_owner: Option<UserId>,
    /// The primary rep: who owns it, or owned it last.
    last_owner: Option<UserId>,
    waited: Span,
    served: Span,
    held: Span,
    /// In the order of coming, each with the highest role; those who left too.
    people: Vec<(Who, Role)>,
    people_left_out: u32,
}

/// Somebody who took part, the customer aside.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Rep(UserId),
    /// By the mail address of the invitation.
    External(String),
}

impl Course {
    pub(super) fn begun(at: Time) -> Self {
        Self { asked: Some(at), ..Self::default() }
    }

    /// The session leaves this stage at this moment.
    pub(super) fn leave(&mut self, stage: &Stage, at: Time) {
        match stage {
            Stage::Waiting(waiting) => self.waited += at.since(waiting.began),
            Stage::Active { since, .. } => self.served += at.since(*since),
            Stage::Held { since, .. } => self.held += at.since(*since),
        }
    }

    /// Of a session that ends at this moment. One that a snapshot of an older version brought here has no course from
    /// before: who is there is known all the same.
    fn ended(session: &Session, at: Time) -> Self {
        let mut course = session.course.clone();
        course.leave(&session.stage, at);
        course.last_owner = session.owner().or(course.last_owner);
        for there in &session.participants {
            if let Party::Rep(user) = there.party
                && course.people_left_out == 0
            {
                course.came(Who::Rep(user), there.role);
            }
        }
        course
    }

    pub(super) fn owned(&mut self, at: Time, by: UserId) {
        self.accepted.get_or_insert(at);
        self.first_owner.get_or_insert(by);
        self.last_owner = Some(by);
    }

    pub(super) fn came(&mut self, who: Who, role: Role) {
        if let Some((_, known)) = self.people.iter_mut().find(|(there, _)| *there == who) {
            if rank(role) > rank(*known) {
                *known = role;
            }
        } else if self.people.len() < limits::PEOPLE_ON_RECORD {
            self.people.push((who, role));
        } else {
            self.people_left_out = self.people_left_out.saturating_add(1);
        }
    }
}

/// Of somebody who had several roles in a session the record says the highest.
fn rank(role: Role) -> u8 {
    match role {
        Role::Owner => 2,
        Role::Sharer => 1,
        Role::Customer | Role::Monitor | Role::External => 0,
    }
}

/// One session that has ended: what it is filed under, and what is told of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    pub session: SessionId,
    pub ended: Time,
    /// The primary rep: who owned it when it ended, or last before.
    pub owner: Option<UserId>,
    /// The primary team: whose queue it was last in.
    pub team: Option<TeamId>,
    pub told: PastSession,
}

/// What goes into the journal beside a turn, in the same commit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Filed {
    pub records: Vec<Record>,
    /// Records of sessions that ended before this are over.
    pub keep_from: Time,
}

impl Record {
    /// Of the event that ends a session, from the state before it.
    pub fn of(state: &State, at: Time, event: &Event) -> Option<Self> {
        let Event::Ended { session, reason } = event else { return None };
        let session = state.session(*session).filter(|it| !it.is_show() && it.ask.helps.is_none())?;
        let team = session.last_queue.and_then(|queue| match queue {
            Queue::Team(team) => Some(team),
            Queue::Personal(_) => None,
        });
        let course = Course::ended(session, at);
        let owner = course.last_owner;
        Some(Self {
            session: session.id,
            ended: at,
            owner,
            team,
            told: told(&state.site, session, course, at, *reason),
        })
    }
}

fn told(site: &Site, session: &Session, course: Course, at: Time, reason: EndReason) -> PastSession {
    let ask = &session.ask;
    let person = |(who, role): &(Who, Role)| PastPerson {
        name: match who {
            Who::Rep(user) => site.username(*user),
            Who::External(address) => address.clone(),
        },
        role: name_of(role),
    };
    let customer = &ask.customer;
    let issue = match ask.entry {
        Entry::Issue(issue) => site.issues.get(&issue).map(|issue| issue.code.clone()),
        Entry::Queue(_) => None,
    };
    PastSession {
        session: session.id.0,
        kind: ask.kind.name().to_owned(),
        began: began(session).to_owned(),
        issue,
        button: ask.button.map(|button| button.0),
        item: ask.item.and_then(|item| site.jump_items.get(&item)).map(|item| item.code.clone()),
        portal: ask.portal.and_then(|portal| site.portals.get(&portal)).map(|portal| portal.code.clone()),
        queue: session.last_queue.map(|queue| queue.address(site)),
        owner: course.last_owner.map(|owner| site.username(owner)),
        first_owner: course.first_owner.map(|owner| site.username(owner)),
        people: course.people.iter().map(person).collect(),
        people_left_out: course.people_left_out,
        customer: if customer.name.is_empty() { &customer.client.display_name } else { &customer.name }.clone(),
        external_key: customer.external_key.clone(),
        fields: session.fields.clone(),
        asked_at_ms: course.asked.unwrap_or(session.first_queued).0,
        accepted_at_ms: course.accepted.map(|at| at.0),
        ended_at_ms: at.0,
        waited_ms: course.waited.0,
        served_ms: course.served.0,
        held_ms: course.held.0,
        state: match session.stage {
            Stage::Waiting(_) => "waiting",
            Stage::Active { .. } => "active",
            Stage::Held { .. } => "held",
        }
        .to_owned(),
        reason: name_of(&reason),
    }
}

/// How it came to be: a rep's jump, a button, an integrator who asked, or else a key.
fn began(session: &Session) -> &'static str {
    let ask = &session.ask;
    match () {
        () if ask.item.is_some() => "jump",
        () if ask.button.is_some() => "button",
        () if ask.join.is_some() => "ask",
        () => "key",
    }
}

impl State {
    /// Who asks for the history, if they may read some of it at this moment; never at a seat whose minutes are over (R11.4).
    pub fn reads_history(&self, actor: Actor) -> Result<UserId, Refusal> {
        let (Actor::Party(Party::Rep(user)) | Actor::Admin(user)) = actor else {
            return refuse(Reason::NotPermitted, "P1.1", "the history is for reps and administrators");
        };
        may_read(&self.site, user)?;
        let must_prove = matches!(actor, Actor::Party(_)) && self.console(user).is_some_and(|it| it.must_prove);
        if must_prove {
            return refuse(Reason::Reauthenticate, "R11.4", "this seat is shared: sign in again first");
        }
        Ok(user)
    }

    /// Records of sessions that ended before this are over at this moment.
    pub fn history_from(&self, now: Time) -> Time {
        match self.site.options.history {
            // A site that nothing was said of yet.
            Span::ZERO => Time(0),
            kept => now - kept,
        }
    }
}

/// Which records somebody may read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sees {
    All,
    /// Those with one of these primary reps, and those of one of these primary teams.
    Of {
        owners: BTreeSet<UserId>,
        teams: BTreeSet<TeamId>,
    },
}

/// How far somebody sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    Own,
    Team,
    All,
}

/// The widest that this user has of `reports_own`, `reports_team` and `reports_all`; administrators see all.
pub fn may_read(site: &Site, user: UserId) -> Result<Reach, Refusal> {
    let found = site.users.get(&user).filter(|user| user.enabled);
    let may = |permission| found.is_some_and(|user| user.permissions.contains(&permission));
    let reaches = [
        (UserPermission::Administrator, Reach::All),
        (UserPermission::ReportsAll, Reach::All),
        (UserPermission::ReportsTeam, Reach::Team),
        (UserPermission::ReportsOwn, Reach::Own),
    ];
    match reaches.into_iter().find(|(permission, _)| may(*permission)) {
        Some((_, reach)) => Ok(reach),
        None => {
            refuse(Reason::NotPermitted, "P1.1", "who reads the history needs reports_own, reports_team or reports_all")
        }
    }
}

impl Sees {
    /// By the site as it is: the widest that the user has. Looks through the members of the user's teams.
    pub fn of(site: &Site, user: UserId) -> Result<Self, Refusal> {
        let (mut owners, mut teams) = (BTreeSet::from([user]), BTreeSet::new());
        match may_read(site, user)? {
            Reach::All => return Ok(Self::All),
            Reach::Own => {}
            Reach::Team => {
                teams = site.users.get(&user).map(|user| user.teams.keys().copied().collect()).unwrap_or_default();
                owners
                    .extend(teams.iter().filter_map(|team| site.teams.get(team)).flat_map(|team| team.members.keys()));
            }
        }
        Ok(Self::Of { owners, teams })
    }

    /// Is a record with this primary rep and this primary team among them?
    pub fn covers(&self, owner: Option<UserId>, team: Option<TeamId>) -> bool {
        match self {
            Self::All => true,
            Self::Of { owners, teams } => {
                owner.is_some_and(|owner| owners.contains(&owner)) || team.is_some_and(|team| teams.contains(&team))
            }
        }
    }
}
