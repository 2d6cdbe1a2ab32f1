//! Who comes in: what was presented, judged against the state, and whom it attaches.

use super::{Enter, Owner, Way};
use crate::{
    broker::{Denied, denied, port::refused_by, resolve, waiting_room::no_rep},
    engine::{Actor, Command, Outcome, Reason, Request, Turn, command::Customer},
    ids::*,
    time::Time,
    wire::{CloseCode, control::Role},
};

impl Owner {
    /// Who somebody is from this turn on, with the epoch of the new connection.
    pub(super) fn enter(&mut self, now: Time, enter: &Enter, turn: &mut Turn) -> Result<(Actor, AttachEpoch), Denied> {
        let resume = enter.resume.hash();
        let client = resolve::client(enter.hello.client.clone()).map_err(|refusal| Denied {
            code: CloseCode::BadMessage,
            refused: refused_by(refusal),
            work: None,
        })?;
        let state = self.engine.state();
        let command = match &enter.way {
            Way::User { user, version } if enter.hello.role == Role::Admin => {
                let entered = self.engine.enter_to_administer(now, *user, *version, &client);
                let denied = |refusal| Denied { code: CloseCode::Forbidden, refused: refused_by(refusal), work: None };
                return entered.map(|()| (Actor::Admin(*user), AttachEpoch(0))).map_err(denied);
            }
            Way::User { user, version } => Command::Login { user: *user, version: *version, resume, client },
            Way::Service { key, .. } => {
                let service = state.accounts.service_of(*key);
                return service.map(|service| (Actor::Service(service), AttachEpoch(0))).ok_or_else(|| {
                    denied(CloseCode::Unauthenticated, "unauthenticated", "this credential is not good here")
                });
            }
            Way::Key(key) if enter.hello.role == Role::External => Command::RedeemInvite { key: *key, client, resume },
            Way::Key(key) if enter.hello.role == Role::JumpClient => Command::StandBy { key: *key, client, resume },
            Way::Key(key) => {
                let host = enter.origin.host.as_deref();
                let customer = Customer { client, ..Customer::default() };
                Command::Redeem { key: *key, portal: resolve::portal(&state.site, host), customer, resume }
            }
            // It is good for the role it was given for, and a wrong claim uses none up.
            Way::Resume(presented)
                if state.parties.party_of(*presented).is_some_and(|party| role_of(party) != enter.hello.role) =>
            {
                let message = "this token was given for another role";
                return Err(denied(CloseCode::Unauthenticated, "unauthenticated", message));
            }
            Way::Resume(presented) => Command::Reattach { presented: *presented, resume },
        };
        let portal = match &command {
            Command::Redeem { portal, .. } => *portal,
            _ => None,
        };
        let request = Request { actor: Actor::System, id: None, command };
        match self.decide(now, request, turn).map_err(|mut refusal| {
            if refusal.reason == Reason::NoRepAvailable {
                // R2.6: with the portal's own words.
                let (text, url) = no_rep(&self.engine.state().site, portal);
                refusal.message = [text, url].join(" ").trim_end().to_owned();
            }
            let code = match refusal.reason {
                Reason::KeyGone | Reason::TokenGone => CloseCode::Gone,
                Reason::SessionEnded => CloseCode::SessionEnded,
                Reason::Stale => CloseCode::Unauthenticated,
                Reason::StorageFull => CloseCode::Storage,
                Reason::LimitReached => CloseCode::Overloaded,
                _ => CloseCode::Forbidden,
            };
            Denied { code, refused: refused_by(refusal), work: None }
        })? {
            Outcome::Attached { party, epoch } => Ok((Actor::Party(party), epoch)),
            // H-56: recorded, and nobody comes in by it.
            _ => Err(denied(CloseCode::Gone, "token_gone", "this token was used before")),
        }
    }
}

/// As what a party says hello.
fn role_of(party: Party) -> Role {
    match party {
        Party::Rep(_) => Role::Rep,
        Party::Customer(_) => Role::Customer,
        Party::External(..) => Role::External,
        Party::JumpClient(_) => Role::JumpClient,
    }
}
