//! One session as everybody may see it: where it waits, who is in it, who owns it.

use super::{
    Entry,
    command::{Ask, Queue},
    event::MoveRule,
    externals::Guest,
    history::Course,
};
use crate::{
    ids::*,
    limits,
    policy::Word,
    site::{SessionKind, Site},
    time::{Span, Time},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub ask: Ask,
    pub stage: Stage,
    pub priority: u8,
    pub skills: Vec<SkillId>,
    /// Entered its first queue; kept by every later move (R8.6).
    pub first_queued: Time,
    pub first_queue: Option<Queue>,
    /// Where it was last accepted from or placed (R8.2 rule 2).
    pub last_queue: Option<Queue>,
    /// The customer first, then reps in the order of joining; those who left are gone from here.
    pub participants: Vec<Participant>,
    pub next_participant: u16,
    /// Reps never again offered it by themselves (R5.4).
    pub rejected_by: BTreeSet<UserId>,
    /// Queues it has been in since its last placement by hand (R6.2).
    #[serde(default)]
    pub been_in: BTreeSet<Queue>,
    /// The rule that brought it where it waits (R9.1); none: the customer's own choice.
    #[serde(default)]
    pub moved_by: Option<MoveRule>,
    /// The customer's connection is there; a scenario's customer always is.
    pub customer_attached: bool,
    /// The customer's client has been there at least once (W3.4).
    pub customer_came: bool,
    /// Since when the customer's connection has been gone (R10.3).
    #[serde(default)]
    pub customer_lost: Option<Time>,
    /// When the customer's machine was told to start again, until it is back (LR-022).
    #[serde(default)]
    pub rebooting: Option<Time>,
    /// The customer has not agreed to the disclaimer, and has until then (R10.2).
    #[serde(default)]
    pub disclaimer: Option<Time>,
    /// Open invitations, by whom they may be taken up (R7.4).
    #[serde(default)]
    pub invites: Vec<Invite>,
    /// External reps in it (R7.5).
    #[serde(default)]
    pub guests: BTreeMap<ParticipantId, Guest>,
    /// The language that the customer chose; none: as its client said (LG-023).
    #[serde(default)]
    pub locale: Option<String>,
    /// Custom fields, by their names as written (P3.29).
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// How the customer is held back, and at whose request (P3.4).
    #[serde(default)]
    pub restricted: Option<(ParticipantId, Word)>,
    /// Its customer may not write in the chat (P3.18).
    #[serde(default)]
    pub chat_off: bool,
    /// What the customer's end does when it is over, instead of what the policy says (P3.30).
    #[serde(default)]
    pub termination: Option<Word>,
    /// Of a rep who shows its screen: who looks at it may control it (BU-068).
    #[serde(default)]
    pub control_given: bool,
    /// What its record will say and its present does not (BU-048).
    #[serde(default)]
    pub course: Course,
}

/// An invitation to a rep, or to any rep of a team (R7.4).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Invite {
    pub by: UserId,
    pub to: Queue,
    pub expires_at: Time,
    /// It went by mail; the hash of what its links carry.
    #[serde(default)]
    pub mailed: Option<SecretHash>,
    /// Its rep said yes before logging in.
    #[serde(default)]
    pub accepted: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// In a queue, perhaps on offer to one rep.
    Waiting(Waiting),
    Active {
        owner: UserId,
        since: Time,
    },
    /// R7.7.
    Held {
        owner: UserId,
        since: Time,
    },
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    pub queue: Queue,
    /// Entered this queue (R4.7, R6.1).
    pub since: Time,
    pub offer: Option<Offer>,
    pub overdue: bool,
    /// Began to wait, in this queue or one before it that a rule moved it from (R6.4).
    #[serde(default)]
    pub began: Time,
    /// Steps of R4.6 that may be taken (R4.7); counts only where a stay time is set.
    #[serde(default)]
    pub step: u32,
    /// The preferred rep's window is over (R4.8).
    #[serde(default)]
    pub window_over: bool,
    /// The alert of R6.1 came due while an offer was open: it moves when the offer ends unaccepted.
    #[serde(default)]
    pub move_due: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Offer {
    pub rep: UserId,
    pub team: TeamId,
    pub since: Time,
    pub expires_at: Time,
    pub warned: bool,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Participant {
    pub id: ParticipantId,
    pub party: Party,
    pub role: Role,
    /// The present stay began (R8.2 rule 1).
    pub since: Time,
    /// Last did something in it (R7.9).
    #[serde(default)]
    pub active: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Customer,
    Owner,
    /// Joined by an invitation or stayed after a take-over.
    Sharer,
    /// Watches as a lead or manager (R7.6).
    Monitor,
    External,
}

impl Session {
    pub fn owner(&self) -> Option<UserId> {
        match self.stage {
            Stage::Active { owner, .. } | Stage::Held { owner, .. } => Some(owner),
            Stage::Waiting(_) => None,
        }
    }

    pub fn waiting(&self) -> Option<&Waiting> {
        match &self.stage {
            Stage::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    pub fn participant(&self, id: ParticipantId) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.id == id)
    }

    pub fn participant_of(&self, party: Party) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.party == party)
    }
}

impl Session {
    /// A session that was just asked for: an issue gives its skills and priority where the ask has none (R2.2).
    pub(super) fn asked(at: Time, id: SessionId, ask: &Ask, site: &Site) -> Self {
        let issue = match ask.entry {
            Entry::Issue(issue) => site.issues.get(&issue),
            Entry::Queue(_) => None,
        };
        let queue = match (ask.entry, issue) {
            (Entry::Queue(queue), _) => queue,
            (_, Some(issue)) => Queue::Team(issue.team),
            _ => Queue::Team(TeamId::default()),
        };
        let of_issue = || issue.map(|issue| issue.skills.clone()).unwrap_or_default();
        let customer = Participant {
            id: ParticipantId::CUSTOMER,
            party: Party::Customer(id),
            role: Role::Customer,
            since: at,
            active: at,
        };
        Self {
            id,
            ask: ask.clone(),
            stage: Stage::Waiting(Waiting::new(at, queue)),
            priority: ask.priority.or(issue.map(|issue| issue.priority)).unwrap_or(50),
            skills: if ask.skills.is_empty() { of_issue() } else { ask.skills.clone() },
            first_queued: at,
            first_queue: None,
            last_queue: None,
            participants: if ask.shown_by.is_some() { Vec::new() } else { vec![customer] },
            next_participant: 1,
            rejected_by: BTreeSet::new(),
            been_in: BTreeSet::new(),
            moved_by: None,
            customer_attached: ask.join.is_none(),
            customer_came: false,
            customer_lost: None,
            rebooting: None,
            disclaimer: None,
            invites: Vec::new(),
            guests: BTreeMap::new(),
            locale: None,
            fields: BTreeMap::new(),
            restricted: None,
            chat_off: false,
            termination: None,
            control_given: false,
            course: Course::begun(at),
        }
    }

    /// Enters a queue: waits there from this moment, with no reps in it.
    pub(super) fn place(&mut self, at: Time, queue: Queue, by_hand: bool) {
        let began = match &self.stage {
            Stage::Waiting(waiting) if self.last_queue.is_some() => waiting.began,
            _ => {
                self.course.leave(&self.stage, at);
                at
            }
        };
        if self.first_queue.is_none() {
            self.first_queue = Some(queue);
            self.first_queued = at;
        }
        self.last_queue = Some(queue);
        if by_hand {
            self.been_in.clear();
        }
        self.been_in.insert(queue);
        let window_over = self.window_ends().is_none_or(|end| end <= at);
        self.stage = Stage::Waiting(Waiting { began, window_over, ..Waiting::new(at, queue) });
    }

    /// The customer is away, because its machine starts again (LR-022).
    pub fn reboots(&self) -> bool {
        self.rebooting.is_some() && self.customer_lost.is_some()
    }

    /// Its waiting, once it was placed in a queue; a session that started with a rep never was.
    pub(super) fn placed(&self) -> Option<&Waiting> {
        self.waiting().filter(|_| self.last_queue.is_some())
    }

    pub(super) fn waiting_mut(&mut self) -> Option<&mut Waiting> {
        match &mut self.stage {
            Stage::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    /// R3.5: sessions between reps and presentations do not count.
    pub fn counts(&self) -> bool {
        !matches!(self.ask.kind, SessionKind::RepToRep | SessionKind::Presentation)
    }

    /// A rep shows its screen to another in it: no customer, no queue (R1.4).
    pub fn is_show(&self) -> bool {
        self.ask.shown_by.is_some()
    }

    /// R4.8: when the preferred rep's window ends.
    pub fn window_ends(&self) -> Option<Time> {
        self.ask.preferred.map(|(_, window)| self.first_queued + window)
    }

    /// Reps in it, in the order of joining.
    pub fn reps(&self) -> impl Iterator<Item = UserId> {
        self.participants.iter().filter_map(|participant| match participant.party {
            Party::Rep(user) => Some(user),
            _ => None,
        })
    }
}

impl Offer {
    /// R5.1: the warning comes when 5 s or a quarter of the time remain, whichever is more.
    pub fn warn_at(&self) -> Time {
        let whole = self.expires_at.since(self.since);
        let left = (whole.0 / 4).max(limits::OFFER_WARNING_MIN.0).min(whole.0);
        self.expires_at - Span(left)
    }
}

impl Waiting {
    fn new(at: Time, queue: Queue) -> Self {
        Self { queue, since: at, offer: None, overdue: false, began: at, step: 0, window_over: false, move_due: false }
    }
}
