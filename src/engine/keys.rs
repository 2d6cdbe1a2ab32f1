//! Ways in: session keys that reps make, and the join tokens of asked sessions. Each works once (I-K1).

use super::{
    Actor, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Stamped, State,
    command::{Ask, Customer},
    externals::ExternalKey,
    index::portal_bars,
};
use crate::{ids::*, limits, site::UserPermission, time::Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Keys {
    live: BTreeMap<SecretHash, Key>,
    /// The customers' own ways into asked sessions.
    joins: BTreeMap<SecretHash, (SessionId, Time)>,
    join_of: BTreeMap<SessionId, SecretHash>,
    /// When each of all runs out.
    due: BTreeSet<(Time, SecretHash)>,
    /// The ways in of external reps (R7.5).
    #[serde(default)]
    externals: BTreeMap<SecretHash, ExternalKey>,
    codes: usize,
    /// Codes that were used or ran out, the latest last (I-K2).
    spent: VecDeque<SecretHash>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Key {
    pub by: Actor,
    pub entry: Entry,
    /// Short, to be read out; else a link's token.
    pub code: bool,
    pub expires: Time,
}

impl Keys {
    pub fn get(&self, key: SecretHash) -> Option<&Key> {
        self.live.get(&key)
    }

    /// Codes and links that can still be redeemed.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    pub fn external(&self, key: SecretHash) -> Option<&ExternalKey> {
        self.externals.get(&key)
    }

    /// Keys for external reps that can still be used.
    pub fn externals(&self) -> impl Iterator<Item = &ExternalKey> {
        self.externals.values()
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::KeyMade { by, entry, key, code, expires } => {
                self.live.insert(*key, Key { by: *by, entry: *entry, code: *code, expires: *expires });
                self.due.insert((*expires, *key));
                self.codes += usize::from(*code);
            }
            Event::ExternalInvited { session, by, address, policy, key, expires_at } => {
                let (address, expires) = (address.clone(), *expires_at);
                let entry = ExternalKey { session: *session, by: *by, address, policy: *policy, expires };
                self.externals.insert(*key, entry);
                self.due.insert((expires, *key));
            }
            Event::KeyUsed { key } | Event::KeyExpired { key } => self.spend(*key),
            Event::Asked { session, ask } => {
                if let Some(join) = ask.join {
                    let expires = at + limits::JOIN_LINK;
                    self.joins.insert(join, (*session, expires));
                    self.join_of.insert(*session, join);
                    self.due.insert((expires, join));
                }
            }
            Event::Ended { session, .. } => {
                if let Some(join) = self.join_of.get(session) {
                    self.spend(*join);
                }
                let theirs = |(key, it): (&SecretHash, &ExternalKey)| (it.session == *session).then_some(*key);
                let externals: Vec<SecretHash> = self.externals.iter().filter_map(theirs).collect();
                externals.into_iter().for_each(|key| self.spend(key));
            }
            _ => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn known(&self, key: SecretHash) -> bool {
        self.live.contains_key(&key)
            || self.joins.contains_key(&key)
            || self.externals.contains_key(&key)
            || self.spent.contains(&key)
    }

    fn spend(&mut self, key: SecretHash) {
        if let Some(spent) = self.live.remove(&key) {
            self.due.remove(&(spent.expires, key));
            if spent.code {
                self.codes -= 1;
                if self.spent.len() == limits::JOIN_CODES_REMEMBERED {
                    self.spent.pop_front();
                }
                self.spent.push_back(key);
            }
        }
        if let Some((session, expires)) = self.joins.remove(&key) {
            self.due.remove(&(expires, key));
            self.join_of.remove(&session);
        }
        if let Some(external) = self.externals.remove(&key) {
            self.due.remove(&(external.expires, key));
        }
    }
}

impl Engine {
    /// A key for one customer, single use (I-K1). A rep needs `generate_keys`, and `private_sessions` with its way in
    /// the layers of its sessions (P3.24), and leads to its own personal queue or to a team it is in (R2.1, I-A10);
    /// administrators and service accounts lead anywhere in the site. A longer life than its kind may have is cut to
    /// that.
    #[expect(clippy::too_many_arguments, reason = "the fields of one command")]
    pub(super) fn make_key(
        &mut self,
        now: Time,
        actor: Actor,
        entry: Entry,
        key: SecretHash,
        code: bool,
        expires: Time,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.may_lead(actor, entry)?;
        self.may_invite_privately(actor, code, None)?;
        let keys = &self.state.keys;
        let (alive, most, life) = match code {
            true => (keys.codes, limits::JOIN_CODES_LIVE, limits::JOIN_CODE),
            false => (keys.live.len() - keys.codes, limits::JOIN_LINKS_LIVE, limits::JOIN_LINK),
        };
        if alive >= most {
            let message = format!("{most} keys of this kind wait for customers: let some be used or run out first");
            return Err(Refusal::new(Reason::LimitReached, "I-K1", message));
        }
        if expires <= now {
            return Err(Refusal::new(Reason::Malformed, "I-K1", "a key has to live for some time"));
        }
        self.is_new(key)?;
        let expires = expires.min(now + life);
        self.emit(now, Event::KeyMade { by: actor, entry, key, code, expires }, out);
        Ok(Outcome::Done)
    }

    /// Of every key, join token, button and jump item's key there is: no secret opens two doors.
    pub(super) fn is_new(&self, secret: SecretHash) -> Result<(), Refusal> {
        let State { item_keys, keys, buttons, .. } = &self.state;
        match item_keys.item(secret).is_some() || keys.known(secret) || buttons.of_token(secret).is_some() {
            true => Err(Refusal::new(Reason::Stale, "I-K2", "this key was given out already: draw another")),
            false => Ok(()),
        }
    }

    /// A customer came with a key or a button, which make a session, with the join token of a session asked for it, or
    /// with the key of the jump item that one runs on. But for the button and the item's they work once; the portal is
    /// bound here, where the customer really came in (R2.4). Unknown, used and expired look alike.
    pub(super) fn redeem(
        &mut self,
        now: Time,
        key: SecretHash,
        portal: Option<PortalId>,
        customer: &Customer,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if let Some(item) = self.state.item_keys.item(key) {
            return self.take_up(now, item, customer, resume, out);
        }
        if let Some((session, _)) = self.state.keys.joins.get(&key).copied() {
            self.state.sessions.get(&session).ok_or_else(gone)?;
            self.emit(now, Event::KeyUsed { key }, out);
            if let Some(portal) = portal {
                self.emit(now, Event::PortalBound { session, portal }, out);
                self.withdraw_where_barred(now, session, out);
            }
            return Ok(self.let_in(now, session, customer, resume, out));
        }
        if let Some(button) = self.state.buttons.of_token(key) {
            return self.press(now, button, portal, customer, resume, out);
        }
        let Key { by, entry, code, .. } = self.state.keys.get(key).cloned().ok_or_else(gone)?;
        // What its maker may not do at this moment, the key cannot either (I-A10); nor what the portal forbids it.
        self.may_lead(by, entry).map_err(|_| gone())?;
        self.may_invite_privately(by, code, None).map_err(|_| gone())?;
        self.may_invite_privately(by, code, portal).map_err(|_| gone())?;
        let ask = Ask { portal, customer: customer.clone(), ..Ask::of(entry) };
        let session = self.ask(now, by, ask, out)?;
        self.emit(now, Event::KeyUsed { key }, out);
        Ok(self.let_in(now, session, customer, resume, out))
    }

    /// R3.12: the customer came through a portal whose sessions this team does not serve: nor does who was asked before.
    fn withdraw_where_barred(&mut self, now: Time, id: SessionId, out: &mut Vec<Stamped>) {
        let site = &self.state.site;
        let team = self.state.sessions.get(&id).and_then(|session| match session.waiting()?.queue {
            Queue::Team(team) => Some((session, team)),
            Queue::Personal(_) => None,
        });
        if team.is_some_and(|(session, team)| portal_bars(site, session, team)) {
            self.withdraw(now, id, "portal", out);
        }
    }

    /// Keys and join tokens that ran out, at least one where one is due.
    pub(super) fn tick_keys(&mut self, at: Time, out: &mut Vec<Stamped>) {
        while let Some((_, key)) = self.state.keys.due.first().copied().filter(|(due, _)| *due <= at) {
            self.emit(at, Event::KeyExpired { key }, out);
        }
    }

    pub(super) fn let_in(
        &mut self,
        now: Time,
        session: SessionId,
        customer: &Customer,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Outcome {
        let party = Party::Customer(session);
        let epoch = self.attach(now, party, resume, customer.client.clone(), out);
        self.show_disclaimer(now, session, out);
        Outcome::Attached { party, epoch }
    }

    /// P3.24: what reps read out or send out begins a session of their own. Administrators and service accounts have no
    /// layer of a representative to be judged in.
    fn may_invite_privately(&self, by: Actor, code: bool, portal: Option<PortalId>) -> Result<(), Refusal> {
        let Actor::Party(Party::Rep(rep)) = by else { return Ok(()) };
        self.state.may_start_privately(rep, portal, if code { "pin" } else { "link" })
    }

    fn may_lead(&self, actor: Actor, entry: Entry) -> Result<(), Refusal> {
        let site = &self.state.site;
        let queue = match entry {
            Entry::Queue(queue) => queue,
            Entry::Issue(issue) => {
                let unknown = || Refusal::new(Reason::UnknownIssue, "R2.5", "there is no such issue");
                Queue::Team(site.issues.get(&issue).ok_or_else(unknown)?.team)
            }
        };
        let own = match queue {
            Queue::Team(team) => {
                let unknown = || Refusal::new(Reason::UnknownTeam, "R2.5", "there is no such team");
                site.teams.get(&team).ok_or_else(unknown)?;
                matches!(actor, Actor::Party(Party::Rep(rep)) if site.users.get(&rep).is_some_and(|user| user.teams.contains_key(&team)))
            }
            Queue::Personal(user) => {
                let unknown = || Refusal::new(Reason::UnknownRep, "R2.5", "there is no such rep");
                site.users.get(&user).ok_or_else(unknown)?;
                actor == Actor::Party(Party::Rep(user))
            }
        };
        match actor {
            Actor::System | Actor::Service(_) => Ok(()),
            Actor::Admin(_) => self.administrator(actor),
            Actor::Party(Party::Rep(rep)) if !self.user_may(rep, UserPermission::GenerateKeys) => {
                Err(Refusal::new(Reason::NotPermitted, "P1.1", "making keys needs the permission generate_keys"))
            }
            Actor::Party(Party::Rep(_)) if own => Ok(()),
            Actor::Party(Party::Rep(_)) => {
                let message = "a rep's key leads to its own queue or to a team it is in";
                Err(Refusal::new(Reason::NotMember, "R2.1", message))
            }
            Actor::Party(_) => Err(Refusal::new(Reason::NotPermitted, "P1.1", "only a rep makes keys")),
        }
    }
}

/// Unknown, used, expired and revoked look alike.
pub(super) fn gone() -> Refusal {
    Refusal::new(Reason::KeyGone, "I-K1", "this key is not good any more: ask for another")
}
