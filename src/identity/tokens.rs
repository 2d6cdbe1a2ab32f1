//! Access tokens and tickets: opaque, kept in memory as hashes, bounded, revocable (security.md, values). A restart ends
//! them all; whoever was connected comes back with a resume token instead.

use super::Secret;
use crate::{
    clock,
    ids::{SecretHash, UserId},
    limits::{ACCESS_TOKEN, ACCESS_TOKENS_MAX, TICKET, TICKETS_MAX, TOKEN_BYTES_MAX},
    time::Span,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Whom a token or ticket stands for, and the version of the credential that proved it (W5.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    pub user: UserId,
    pub version: u32,
}

/// What a ticket is bound to: it works from there only (H-55).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bound {
    /// The page's Origin; empty for a client that is no browser.
    pub origin: String,
    /// The role it is for, by its wire name; empty: whatever the holder may be.
    pub role: String,
}

#[derive(Debug, Default)]
pub struct Tokens {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    access: HashMap<SecretHash, Access>,
    tickets: HashMap<SecretHash, Ticket>,
}

#[derive(Debug)]
struct Access {
    holder: Holder,
    until: Instant,
}

#[derive(Debug)]
struct Ticket {
    holder: Holder,
    bound: Bound,
    until: Instant,
}

impl Tokens {
    pub fn new() -> Self {
        Self::default()
    }

    /// An access token and when it ends, in milliseconds since 1970 UTC. None: too many are alive.
    pub fn issue(&self, user: UserId, version: u32) -> Option<(String, u64)> {
        let token = self.kept.lock().issue(Holder { user, version }, Instant::now())?;
        Some((token.reveal().to_owned(), clock::wall_ms().saturating_add(ACCESS_TOKEN.0)))
    }

    /// Whose token this is. Expired, tampered, cut short, empty, too long: none, and nothing says which (H-54).
    pub fn check(&self, token: &str) -> Option<Holder> {
        self.kept.lock().check(token, Instant::now())
    }

    /// A single-use ticket for who holds this access token, for a client that is no browser.
    pub fn ticket(&self, bearer: &str) -> Option<String> {
        self.ticket_for(bearer, Bound::default())
    }

    /// The same, good only from this Origin and for this role. None: the token is not good, or too many are alive.
    pub fn ticket_for(&self, bearer: &str, bound: Bound) -> Option<String> {
        Some(self.kept.lock().ticket(bearer, bound, Instant::now())?.reveal().to_owned())
    }

    pub fn redeem_ticket(&self, ticket: &str) -> Option<Holder> {
        self.redeem_ticket_from(ticket, &Bound::default())
    }

    /// Takes the ticket, whether it fits or not: a ticket shown in the wrong place is burnt (I-A3, H-55).
    pub fn redeem_ticket_from(&self, ticket: &str, bound: &Bound) -> Option<Holder> {
        self.kept.lock().redeem(ticket, bound, Instant::now())
    }

    /// Ends all tokens and tickets of a user who signed out or was disabled.
    pub fn revoke_user(&self, user: UserId) {
        self.revoke_older(user, u32::MAX);
    }

    /// Ends those that another credential than the one of this version proved: it was changed (I-A5). Whoever changed it by
    /// signing in may have a token already when this is heard of.
    pub fn revoke_older(&self, user: UserId, version: u32) {
        let stays = |holder: &Holder| holder.user != user || holder.version >= version;
        let mut kept = self.kept.lock();
        kept.access.retain(|_, access| stays(&access.holder));
        kept.tickets.retain(|_, ticket| stays(&ticket.holder));
    }

    /// Ends one token; tickets taken with it end by themselves within seconds.
    pub fn revoke(&self, token: &str) {
        if token.len() <= TOKEN_BYTES_MAX {
            self.kept.lock().access.remove(&SecretHash::of(token.as_bytes()));
        }
    }
}

impl Kept {
    fn issue(&mut self, holder: Holder, now: Instant) -> Option<Secret> {
        if self.access.len() >= ACCESS_TOKENS_MAX {
            self.access.retain(|_, access| access.until > now);
        }
        if self.access.len() >= ACCESS_TOKENS_MAX {
            return None;
        }
        let token = Secret::token();
        self.access.insert(token.hash(), Access { holder, until: now + duration(ACCESS_TOKEN) });
        Some(token)
    }

    fn check(&mut self, token: &str, now: Instant) -> Option<Holder> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash = SecretHash::of(token.as_bytes());
        let access = self.access.get(&hash)?;
        if access.until <= now {
            self.access.remove(&hash);
            return None;
        }
        Some(access.holder)
    }

    fn ticket(&mut self, bearer: &str, bound: Bound, now: Instant) -> Option<Secret> {
        let holder = self.check(bearer, now)?;
        if self.tickets.len() >= TICKETS_MAX {
            self.tickets.retain(|_, ticket| ticket.until > now);
        }
        if self.tickets.len() >= TICKETS_MAX {
            return None;
        }
        let ticket = Secret::token();
        self.tickets.insert(ticket.hash(), Ticket { holder, bound, until: now + duration(TICKET) });
        Some(ticket)
    }

    fn redeem(&mut self, ticket: &str, bound: &Bound, now: Instant) -> Option<Holder> {
        if ticket.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let ticket = self.tickets.remove(&SecretHash::of(ticket.as_bytes()))?;
        (ticket.until > now && ticket.bound == *bound).then_some(ticket.holder)
    }
}

fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: Holder = Holder { user: UserId(7), version: 3 };
    const BEN: Holder = Holder { user: UserId(8), version: 1 };

    #[test]
    fn h_54_expired_tampered_cut_or_huge_tokens_are_all_just_not_good() {
        let start = Instant::now();
        let mut kept = Kept::default();
        let token = kept.issue(ANA, start).unwrap();
        let good = token.reveal();
        assert_eq!(kept.check(good, start), Some(ANA));
        let tampered = good.replace(&good[..1], if good.starts_with('A') { "B" } else { "A" });
        let huge = "x".repeat(1 << 20);
        for bad in ["", &good[1..], &good[..good.len() - 1], &tampered, &format!("{good} "), &huge] {
            assert_eq!(kept.check(bad, start), None);
        }
        let end = start + duration(ACCESS_TOKEN);
        assert_eq!(kept.check(good, end - Duration::from_millis(1)), Some(ANA));
        assert_eq!(kept.check(good, end), None);
        assert_eq!(kept.check(good, start), None, "what has expired never comes back (I-A4)");
    }

    #[test]
    fn h_55_a_ticket_works_once_within_thirty_seconds_from_its_own_origin() {
        let start = Instant::now();
        let mut kept = Kept::default();
        let token = kept.issue(ANA, start).unwrap();
        let console = Bound { origin: "https://console.example".into(), role: "rep".into() };
        let ticket = |kept: &mut Kept| kept.ticket(token.reveal(), console.clone(), start).unwrap();

        let once = ticket(&mut kept);
        assert_eq!(kept.redeem(once.reveal(), &console, start), Some(ANA));
        assert_eq!(kept.redeem(once.reveal(), &console, start), None);

        let stolen = ticket(&mut kept);
        let elsewhere = Bound { origin: "https://console.example.evil".into(), ..console.clone() };
        assert_eq!(kept.redeem(stolen.reveal(), &elsewhere, start), None);
        assert_eq!(kept.redeem(stolen.reveal(), &console, start), None, "it is burnt");

        let other_role = ticket(&mut kept);
        assert_eq!(kept.redeem(other_role.reveal(), &Bound { role: "admin".into(), ..console.clone() }, start), None);

        let late = ticket(&mut kept);
        assert_eq!(kept.redeem(late.reveal(), &console, start + duration(TICKET)), None);
        assert_eq!(kept.redeem(token.reveal(), &console, start), None, "a token is no ticket (I-A3)");
    }

    #[test]
    fn i_a5_revoking_a_user_ends_all_of_theirs_and_nobody_elses() {
        let tokens = Tokens::new();
        let (ana, _) = tokens.issue(ANA.user, ANA.version).unwrap();
        let (again, _) = tokens.issue(ANA.user, ANA.version).unwrap();
        let (ben, _) = tokens.issue(BEN.user, BEN.version).unwrap();
        let ticket = tokens.ticket(&ana).unwrap();
        tokens.revoke_user(ANA.user);
        assert_eq!((tokens.check(&ana), tokens.check(&again), tokens.redeem_ticket(&ticket)), (None, None, None));
        assert_eq!(tokens.check(&ben), Some(BEN));
        tokens.revoke(&ben);
        assert_eq!(tokens.check(&ben), None);
    }

    #[test]
    fn i_a5_a_changed_credential_ends_what_the_one_before_proved_and_not_what_it_proves_itself() {
        let tokens = Tokens::new();
        let (before, _) = tokens.issue(ANA.user, ANA.version).unwrap();
        let ticket = tokens.ticket(&before).unwrap();
        let (after, _) = tokens.issue(ANA.user, ANA.version + 1).unwrap();
        let (ben, _) = tokens.issue(BEN.user, BEN.version).unwrap();
        tokens.revoke_older(ANA.user, ANA.version + 1);
        assert_eq!((tokens.check(&before), tokens.redeem_ticket(&ticket)), (None, None));
        assert_eq!(tokens.check(&after).map(|holder| holder.version), Some(ANA.version + 1));
        assert_eq!(tokens.check(&ben), Some(BEN));
    }

    #[test]
    fn i_m1_tokens_alive_are_bounded_and_room_comes_back_as_they_expire() {
        let start = Instant::now();
        let mut kept = Kept::default();
        for _ in 0..ACCESS_TOKENS_MAX {
            kept.issue(ANA, start).unwrap();
        }
        assert!(kept.issue(BEN, start).is_none());
        assert!(kept.issue(BEN, start + duration(ACCESS_TOKEN)).is_some());
        assert_eq!(kept.access.len(), 1);
    }
}
