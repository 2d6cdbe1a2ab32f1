//! Who has a connection: attach epochs, resume tokens (W3.4) and the answers remembered for repetitions (W3.5).

use super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped};
use crate::{ids::*, limits, time::Time, wire::control::ClientInfo};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Every party that ever attached and may come back.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Parties {
    attachments: BTreeMap<Party, Attachment>,
    /// Whose every known token is, used ones included.
    tokens: BTreeMap<SecretHash, Party>,
    /// The last tokens of those whose session ended, the latest last: who was away then learns that it did.
    #[serde(default)]
    ended: VecDeque<SecretHash>,
    /// Of service accounts, which have no attachment.
    #[serde(default)]
    services: BTreeMap<ServiceId, Answers>,
}

/// What a service account was answered, oldest first, and by number: they are many.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Answers {
    order: VecDeque<u64>,
    of: BTreeMap<u64, Outcome>,
}

/// One party's place at the broker, with or without a connection.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// Of the newest connection; frames of an older one are dropped (W3.1).
    pub epoch: AttachEpoch,
    pub connected: bool,
    pub client: ClientInfo,
    /// Somebody could be asked when this party first came (P2.5).
    pub first_present: bool,
    /// Given with the newest welcome.
    newest: Option<SecretHash>,
    /// Good until `newest` is first used, for the welcome may have been lost.
    previous: Option<SecretHash>,
    /// Replaced ones, the latest last: showing one again is a replay.
    retired: VecDeque<SecretHash>,
    /// The latest last.
    answers: VecDeque<(u64, Outcome)>,
}

impl Parties {
    pub fn get(&self, party: Party) -> Option<&Attachment> {
        self.attachments.get(&party)
    }

    /// Whose token this is, used ones included.
    pub fn party_of(&self, token: SecretHash) -> Option<Party> {
        self.tokens.get(&token).copied()
    }

    pub fn connected(&self, party: Party) -> bool {
        self.get(party).is_some_and(|attachment| attachment.connected)
    }

    /// What was answered to this request, if it was done already.
    pub fn remembered(&self, actor: Actor, id: u64) -> Option<Outcome> {
        match actor {
            Actor::Party(party) => {
                let answers = &self.attachments.get(&party)?.answers;
                answers.iter().rev().find(|(known, _)| *known == id).map(|(_, outcome)| outcome.clone())
            }
            Actor::Service(service) => self.services.get(&service)?.of.get(&id).cloned(),
            Actor::Admin(_) | Actor::System => None,
        }
    }

    pub(super) fn apply(&mut self, _at: Time, event: &Event) {
        match event {
            Event::Attached { party, epoch, token, client, presented } => {
                self.attached(*party, *epoch, *token, client, *presented);
            }
            Event::Detached { party, epoch } => {
                if let Some(attachment) = self.attachments.get_mut(party).filter(|it| it.epoch == *epoch) {
                    attachment.connected = false;
                }
            }
            Event::ConnectionsLost => {
                self.attachments.values_mut().for_each(|attachment| attachment.connected = false);
            }
            Event::ExternalLeft { session, participant, .. } => self.forget(Party::External(*session, *participant)),
            Event::TokensRevoked { party } => self.forget_tokens(*party),
            Event::ItemKeyGone { item, .. } => self.forget(Party::JumpClient(*item)),
            Event::LoggedOut { user, .. } => {
                let party = Party::Rep(*user);
                self.forget_tokens(party);
                if let Some(attachment) = self.attachments.get_mut(&party) {
                    attachment.connected = false;
                    attachment.answers.clear();
                }
            }
            Event::Ended { session, .. } => {
                self.end(Party::Customer(*session));
                let first = Party::External(*session, ParticipantId(0));
                let last = Party::External(*session, ParticipantId(u16::MAX));
                let externals: Vec<Party> = self.attachments.range(first..=last).map(|(party, _)| *party).collect();
                externals.into_iter().for_each(|party| self.end(party));
            }
            Event::Acted { party, id, outcome } => {
                let answers = &mut self.attachments.entry(*party).or_default().answers;
                if answers.len() == limits::REQUESTS_REMEMBERED {
                    answers.pop_front();
                }
                answers.push_back((*id, outcome.clone()));
            }
            Event::ServiceActed { service, id, outcome } => {
                let answers = self.services.entry(*service).or_default();
                if answers.order.len() == limits::SERVICE_REQUESTS_REMEMBERED
                    && let Some(oldest) = answers.order.pop_front()
                {
                    answers.of.remove(&oldest);
                }
                if answers.of.insert(*id, outcome.clone()).is_none() {
                    answers.order.push_back(*id);
                }
            }
            _ => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        None
    }

    fn attached(
        &mut self,
        party: Party,
        epoch: AttachEpoch,
        token: SecretHash,
        client: &ClientInfo,
        presented: Option<SecretHash>,
    ) {
        if presented.is_none() {
            // Whoever comes with a password or a key starts afresh: its requests count from 1 again.
            self.forget_tokens(party);
        }
        let known = self.attachments.contains_key(&party);
        let attachment = self.attachments.entry(party).or_default();
        if !known {
            attachment.first_present = client.present;
        }
        attachment.epoch = epoch;
        attachment.connected = true;
        attachment.client = client.clone();
        match presented {
            None => {
                attachment.answers.clear();
                attachment.newest = Some(token);
            }
            // The latest welcome arrived, so the token before it has done its duty.
            Some(shown) if attachment.newest == Some(shown) => {
                let replaced = attachment.previous.replace(shown);
                attachment.newest = Some(token);
                replaced.into_iter().for_each(|old| self.retire(party, old));
            }
            // The latest welcome was lost: what it carried is replaced unused.
            Some(_) => {
                let replaced = attachment.newest.replace(token);
                replaced.into_iter().for_each(|old| self.retire(party, old));
            }
        }
        self.tokens.insert(token, party);
    }

    fn retire(&mut self, party: Party, token: SecretHash) {
        let Some(attachment) = self.attachments.get_mut(&party) else { return };
        attachment.retired.push_back(token);
        if attachment.retired.len() > limits::TOKENS_RETIRED
            && let Some(oldest) = attachment.retired.pop_front()
        {
            self.tokens.remove(&oldest);
        }
    }

    fn forget_tokens(&mut self, party: Party) {
        let Some(attachment) = self.attachments.get_mut(&party) else { return };
        let gone = attachment.newest.take().into_iter().chain(attachment.previous.take());
        for token in gone.chain(std::mem::take(&mut attachment.retired)) {
            self.tokens.remove(&token);
        }
    }

    fn end(&mut self, party: Party) {
        let last = self.get(party).into_iter().flat_map(|it| it.newest.into_iter().chain(it.previous));
        let last: Vec<SecretHash> = last.collect();
        self.ended.extend(last);
        let beyond = self.ended.len().saturating_sub(limits::ENDED_TOKENS_REMEMBERED);
        self.ended.drain(..beyond);
        self.forget(party);
    }

    fn forget(&mut self, party: Party) {
        self.forget_tokens(party);
        self.attachments.remove(&party);
    }
}

impl Engine {
    /// Attaches a party that proved itself by other means than a resume token; every earlier token of it dies.
    pub(super) fn attach(
        &mut self,
        now: Time,
        party: Party,
        token: SecretHash,
        client: ClientInfo,
        out: &mut Vec<Stamped>,
    ) -> AttachEpoch {
        let epoch = self.next_epoch(party);
        self.emit(now, Event::Attached { party, epoch, token, client, presented: None }, out);
        epoch
    }

    /// W3.4: the token of the last welcome, or the one before it, brings its party back.
    pub(super) fn reattach(
        &mut self,
        now: Time,
        presented: SecretHash,
        resume: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let parties = &self.state.parties;
        let gone = || match parties.ended.contains(&presented) {
            true => Refusal::new(Reason::SessionEnded, "W3.4", "the session ended meanwhile"),
            false => Refusal::new(Reason::TokenGone, "W3.4", "this token is not good any more: sign in or join again"),
        };
        let party = *parties.tokens.get(&presented).ok_or_else(gone)?;
        let attachment = parties.attachments.get(&party).ok_or_else(gone)?;
        if presented == resume || parties.tokens.contains_key(&resume) {
            return Err(Refusal::new(Reason::Stale, "W3.4", "the next token is in use already: draw another"));
        }
        if attachment.retired.contains(&presented) {
            self.revoke_tokens(now, party, out);
            return Ok(Outcome::TokensRevoked { party });
        }
        let client = attachment.client.clone();
        let epoch = self.next_epoch(party);
        self.emit(now, Event::Attached { party, epoch, token: resume, client, presented: Some(presented) }, out);
        Ok(Outcome::Attached { party, epoch })
    }

    /// The connection of `epoch` ended without a goodbye; the end of one that was replaced is nothing (W3.1).
    pub(super) fn lost(
        &mut self,
        now: Time,
        party: Party,
        epoch: AttachEpoch,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let attached = self.state.parties.get(party).is_some_and(|it| it.connected && it.epoch == epoch);
        if attached {
            self.emit(now, Event::Detached { party, epoch }, out);
        }
        Ok(Outcome::Done)
    }

    /// Nobody comes back as this party by token, and whoever is connected as it is cut off (H-56, I-A5).
    pub(super) fn revoke_tokens(&mut self, now: Time, party: Party, out: &mut Vec<Stamped>) {
        let Some(attachment) = self.state.parties.get(party) else { return };
        let cut = attachment.connected.then_some(attachment.epoch);
        self.emit(now, Event::TokensRevoked { party }, out);
        if let Some(epoch) = cut {
            self.emit(now, Event::Detached { party, epoch }, out);
        }
    }

    pub(super) fn tick_parties(&mut self, _at: Time, _out: &mut Vec<Stamped>) {}

    fn next_epoch(&self, party: Party) -> AttachEpoch {
        AttachEpoch(self.state.parties.get(party).map_or(1, |attachment| attachment.epoch.0 + 1))
    }
}
