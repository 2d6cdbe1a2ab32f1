//! Second factors: who has one, and what of it is used up (R11.3, I-T3). Codes are computed outside; here the secret is
//! a sealed text, and a code is the time step that it belongs to.

use super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, accounts::Accounts, refusal::refuse};
use crate::{ids::*, limits, time::Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SecondFactor {
    /// Only the broker that wrote it can open it.
    #[serde(serialize_with = "crate::ids::hide_from_people")]
    pub sealed: String,
    /// Codes of this step and of those before it are used up.
    last_step: u64,
    /// Recovery codes that were not used.
    recovery: BTreeSet<SecretHash>,
}

/// A second factor that its user confirmed with a code of `step`; sealed and hashed outside.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Enrolled {
    pub user: UserId,
    #[serde(serialize_with = "crate::ids::hide_from_people")]
    pub sealed: String,
    pub step: u64,
    pub recovery: Vec<SecretHash>,
}

/// What of a second factor was shown. It was compared outside; whether it was used before is decided here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A right code, of this time step.
    Step(u64),
    /// One of the recovery codes.
    Recovery(SecretHash),
}

impl SecondFactor {
    fn has_used(&self, proof: Proof) -> bool {
        match proof {
            Proof::Step(step) => step <= self.last_step,
            Proof::Recovery(code) => !self.recovery.contains(&code),
        }
    }

    pub fn recovery_codes_left(&self) -> usize {
        self.recovery.len()
    }
}

impl Enrolled {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.recovery.len() > limits::RECOVERY_CODES {
            let message = format!("there are at most {} recovery codes", limits::RECOVERY_CODES);
            return Err(Refusal::new(Reason::LimitReached, "", message));
        }
        Ok(())
    }

    pub(super) fn set(&self) -> Event {
        let Self { user, sealed, step, recovery } = self.clone();
        Event::SecondFactorSet { user, sealed, step, recovery }
    }
}

impl Accounts {
    pub fn has_second_factor(&self, user: UserId) -> bool {
        self.second_factors.contains_key(&user)
    }

    pub fn second_factor(&self, user: UserId) -> Option<&SecondFactor> {
        self.second_factors.get(&user)
    }

    pub(super) fn apply_second_factor(&mut self, event: &Event) {
        match event {
            Event::SecondFactorSet { user, sealed, step, recovery } => {
                let recovery = recovery.iter().copied().collect();
                self.second_factors.insert(*user, SecondFactor { sealed: sealed.clone(), last_step: *step, recovery });
                self.renew_credential(*user);
            }
            Event::SecondFactorRemoved { user } => {
                self.second_factors.remove(user);
                self.renew_credential(*user);
            }
            Event::SecondFactorUsed { user, proof } => {
                if let Some(factor) = self.second_factors.get_mut(user) {
                    match proof {
                        Proof::Step(step) => factor.last_step = factor.last_step.max(*step),
                        Proof::Recovery(code) => {
                            factor.recovery.remove(code);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

impl Engine {
    /// Enrols a user, in place of an earlier second factor. Only the user may, or the broker. Whoever is connected as
    /// this user signs in again (I-A5).
    pub(super) fn set_second_factor(
        &mut self,
        now: Time,
        actor: Actor,
        enrolled: &Enrolled,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let user = enrolled.user;
        if actor != Actor::System && !is(actor, user) {
            return refuse(Reason::NotPermitted, "P1.1", "a second factor is enrolled by whom it belongs to");
        }
        if self.state.accounts.credential(user).is_none() {
            return refuse(Reason::UnknownRep, "", "only who has a password has a second factor");
        }
        enrolled.check()?;
        self.emit(now, enrolled.set(), out);
        self.revoke_tokens(now, Party::Rep(user), out);
        Ok(Outcome::Done)
    }

    /// By the user, or by an administrator for somebody who lost the device and the recovery codes.
    pub(super) fn remove_second_factor(
        &mut self,
        now: Time,
        actor: Actor,
        user: UserId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if !is(actor, user) && !self.administers(actor) {
            return refuse(Reason::NotPermitted, "P1.1", "only an administrator removes another's second factor");
        }
        if !self.state.accounts.has_second_factor(user) {
            return Ok(Outcome::Done);
        }
        self.emit(now, Event::SecondFactorRemoved { user }, out);
        self.revoke_tokens(now, Party::Rep(user), out);
        Ok(Outcome::Done)
    }

    /// Uses a code up: of two that race with the same one, one comes in (I-A3, I-T3).
    pub(super) fn use_second_factor(
        &mut self,
        now: Time,
        actor: Actor,
        user: UserId,
        proof: Proof,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::System {
            return refuse(Reason::NotPermitted, "", "codes are shown at the sign-in");
        }
        match self.state.accounts.second_factor(user) {
            Some(factor) if !factor.has_used(proof) => {
                self.emit(now, Event::SecondFactorUsed { user, proof }, out);
                Ok(Outcome::Done)
            }
            _ => refuse(Reason::Stale, "I-T3", "this code was used already"),
        }
    }
}

fn is(actor: Actor, user: UserId) -> bool {
    actor == Actor::Admin(user) || actor == Actor::Party(Party::Rep(user))
}
