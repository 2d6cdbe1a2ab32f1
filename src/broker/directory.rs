//! Who is connected and which channels live: the only maps that tasks share. No guard leaves this file.

use super::outward;
use crate::{
    engine::Actor,
    identity::LinkSeed,
    ids::*,
    policy::Tool,
    relay::{Channel, Outbox},
    wire::{
        CloseCode,
        control::{FromBroker, Role},
    },
};
use dashmap::DashMap;
use parking_lot::RwLock;
use rustc_hash::FxBuildHasher;
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// What a connection proved at its hello that may stop being true while it lives (I-A5).
pub enum Proof {
    /// Of its party, which the engine watches over.
    OfParty,
    /// The password of an account in this version.
    Credential(AtomicU32),
    /// The key of a service account, and what the links of its requests are made of.
    Key { key: SecretHash, links: LinkSeed },
}

/// One attached connection, as the broker knows it.
pub struct Connection {
    pub actor: Actor,
    /// Fences frames and losses of an older connection of the same party (W3.1); 0 for those who have no successor.
    pub epoch: AttachEpoch,
    pub outbox: Arc<Outbox>,
    pub transport: super::TransportName,
    pub role: Role,
    pub proof: Proof,
    /// Tells connections of one admin or service apart.
    number: u64,
    /// As whom it takes part in which session: what ties a frame to a seat.
    seats: RwLock<IdMap<SessionId, ParticipantId>>,
}

impl Connection {
    pub fn party(&self) -> Option<Party> {
        match self.actor {
            Actor::Party(party) => Some(party),
            _ => None,
        }
    }

    pub fn seat(&self, session: SessionId) -> Option<ParticipantId> {
        self.seats.read().get(&session).copied()
    }

    /// In how many sessions it sits.
    pub fn sessions(&self) -> usize {
        self.seats.read().len()
    }

    pub fn sit(&self, session: SessionId, participant: ParticipantId) {
        self.seats.write().insert(session, participant);
    }

    pub fn rise(&self, session: SessionId) {
        self.seats.write().remove(&session);
    }

    /// Queues a control message, as this end may read it. A peer so slow that its bounded queue is full is closed (4002).
    pub fn say(&self, message: &FromBroker) {
        let message = match self.party() {
            Some(party) if outward::is_outside(party) => outward::outward(message).encode(),
            _ => message.encode(),
        };
        self.say_encoded(message);
    }

    /// What was encoded for many: names no layer by its code, or goes to reps alone.
    pub fn say_encoded(&self, message: bytes::Bytes) {
        if self.outbox.control(message).is_err() {
            self.close(CloseCode::Slow, "this connection takes too little");
        }
    }

    pub fn close(&self, code: CloseCode, reason: &'static str) {
        self.outbox.close(code, reason, None);
    }
}

#[derive(Default)]
pub struct Directory {
    parties: DashMap<Party, Arc<Connection>>,
    others: DashMap<u64, Arc<Connection>>,
    /// By numbers of our own giving, looked up thousands at a time.
    channels: DashMap<ChannelId, Arc<Routed>, FxBuildHasher>,
    numbers: AtomicU64,
}

/// A live channel and the session it belongs to.
pub struct Routed {
    pub session: SessionId,
    pub tool: Tool,
    pub channel: Arc<Channel>,
}

impl Directory {
    /// Makes a connection the party's own; the one it replaces comes back, to be closed (4509).
    pub fn enter(
        &self,
        actor: Actor,
        epoch: AttachEpoch,
        outbox: Arc<Outbox>,
        transport: super::TransportName,
        role: Role,
        proof: Proof,
    ) -> (Arc<Connection>, Option<Arc<Connection>>) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let seats = RwLock::default();
        let connection = Arc::new(Connection { actor, epoch, outbox, transport, role, proof, number, seats });
        let replaced = match actor {
            Actor::Party(party) => self.parties.insert(party, connection.clone()),
            _ => self.others.insert(number, connection.clone()),
        };
        (connection, replaced)
    }

    /// Takes a connection out; false if a newer one stands in its place.
    pub fn leave(&self, connection: &Connection) -> bool {
        match connection.actor {
            Actor::Party(party) => {
                self.parties.remove_if(&party, |_, there| there.number == connection.number).is_some()
            }
            _ => self.others.remove(&connection.number).is_some(),
        }
    }

    pub fn connection(&self, party: Party) -> Option<Arc<Connection>> {
        self.parties.get(&party).map(|found| found.clone())
    }

    pub fn attached(&self, party: Party) -> bool {
        self.parties.contains_key(&party)
    }

    pub fn channel(&self, channel: ChannelId) -> Option<Arc<Routed>> {
        self.channels.get(&channel).map(|found| found.clone())
    }

    pub fn open(&self, id: ChannelId, routed: Routed) -> Arc<Routed> {
        let routed = Arc::new(routed);
        self.channels.insert(id, routed.clone());
        routed
    }

    pub fn close(&self, channel: ChannelId) -> Option<Arc<Routed>> {
        self.channels.remove(&channel).map(|(_, routed)| routed)
    }

    /// Connections of administrators and service accounts, who may have several.
    pub fn others(&self) -> Vec<Arc<Connection>> {
        self.others.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Every connection there is, for a drain and for metrics.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let parties = self.parties.iter().map(|entry| entry.value().clone());
        let others = self.others.iter().map(|entry| entry.value().clone());
        parties.chain(others).collect()
    }

    pub fn channels(&self) -> Vec<Arc<Routed>> {
        self.channels.iter().map(|entry| entry.value().clone()).collect()
    }
}
