//! Credentials, the first administrator and service keys. Passwords are hashed outside; here they are versioned texts.

use super::{
    Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, State,
    second_factor::{Enrolled, SecondFactor},
};
use crate::{
    ids::*,
    limits,
    site::{
        Site, UserPermission,
        raw::{RawSite, RawUser},
    },
    time::Time,
    wire::control::ClientInfo,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Accounts {
    credentials: BTreeMap<UserId, Credential>,
    services: BTreeMap<ServiceId, Service>,
    service_tokens: BTreeMap<SecretHash, ServiceId>,
    #[serde(default)]
    pub(super) second_factors: BTreeMap<UserId, SecondFactor>,
}

/// What proves a user: a PHC string, and how often it was set (W5.7).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Credential {
    #[serde(serialize_with = "crate::ids::hide_from_people")]
    pub phc: String,
    pub version: u32,
    #[serde(default)]
    pub terms: PasswordTerms,
}

/// How long a password that somebody else chose is good for. One that its user chose has no terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PasswordTerms {
    /// Another one has to be chosen at the next sign-in.
    pub must_reset: bool,
    /// And from then on, in milliseconds since 1970 UTC; none: it does not run out.
    pub expires_ms: Option<u64>,
}

impl PasswordTerms {
    /// Nobody comes in by this password before another one was chosen.
    pub fn are_over(self, wall_ms: u64) -> bool {
        self.must_reset || self.expires_ms.is_some_and(|expires| wall_ms >= expires)
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub made: Time,
    token: SecretHash,
}

impl Accounts {
    pub fn credential(&self, user: UserId) -> Option<&Credential> {
        self.credentials.get(&user)
    }

    /// Whose token this is.
    pub fn service_of(&self, token: SecretHash) -> Option<ServiceId> {
        self.service_tokens.get(&token).copied()
    }

    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(&id)
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::CredentialSet { user, phc, version, terms } => {
                self.credentials.insert(*user, Credential { phc: phc.clone(), version: *version, terms: *terms });
            }
            Event::ServiceKeyMade { service, name, token } => {
                let entry = Service { name: name.clone(), made: at, token: *token };
                if let Some(old) = self.services.insert(*service, entry) {
                    self.service_tokens.remove(&old.token);
                }
                self.service_tokens.insert(*token, *service);
            }
            _ => self.apply_second_factor(event),
        }
    }

    /// What was proven with the account's credential so far is proven no more (I-A5, W5.7).
    pub(super) fn renew_credential(&mut self, user: UserId) {
        if let Some(credential) = self.credentials.get_mut(&user) {
            credential.version += 1;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        None
    }
}

impl Engine {
    /// Sets a user's password hash in place of that of `version`, 0 for none yet; a stale one changes nothing (W5.7).
    /// Whose it may be says [`State::may_set_password`]. Who was connected or could come back with a token has to sign in
    /// again, the requester excepted (I-A5).
    #[expect(clippy::too_many_arguments, reason = "the fields of one command")]
    pub(super) fn set_credential(
        &mut self,
        now: Time,
        actor: Actor,
        user: UserId,
        phc: &str,
        version: u32,
        terms: PasswordTerms,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.state.may_set_password(actor, user)?;
        let current = self.credential_version(user);
        if version != current {
            let message =
                format!("the password was changed meanwhile: version {version} was expected, {current} is set");
            return Err(Refusal::new(Reason::Stale, "W5.7", message));
        }
        self.emit(now, Event::CredentialSet { user, phc: phc.to_owned(), version: current + 1, terms }, out);
        if actor != Actor::Party(Party::Rep(user)) {
            self.revoke_tokens(now, Party::Rep(user), out);
        }
        Ok(Outcome::Done)
    }

    /// BU-034: on record here; whoever counts failed sign-ins forgets those of this account.
    pub(super) fn unlock(
        &mut self,
        now: Time,
        actor: Actor,
        user: UserId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.state.may_set_password(actor, user)?;
        self.emit(now, Event::Unlocked { user }, out);
        Ok(Outcome::Done)
    }

    /// I-A8: from none to one, once. The site file may name the account already, without a password.
    pub(super) fn create_first_admin(
        &mut self,
        now: Time,
        actor: Actor,
        username: &str,
        phc: &str,
        second_factor: Option<&Enrolled>,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::System {
            return Err(Refusal::new(Reason::NotPermitted, "", "only the set-up makes the first administrator"));
        }
        if self.has_admin() {
            return Err(Refusal::new(Reason::SetupDone, "", "there is an administrator already: sign in as one"));
        }
        let (raw, user) = self.state.with_admin(username)?;
        if let Some(enrolled) = second_factor {
            enrolled.check()?;
            if enrolled.user != user {
                let message = "the site was changed meanwhile: enrol again";
                return Err(Refusal::new(Reason::Stale, "W5.7", message));
            }
        }
        if raw != self.state.site.raw {
            self.emit(now, Event::SiteApplied { site: raw }, out);
        }
        let version = self.credential_version(user) + 1;
        let terms = PasswordTerms::default();
        self.emit(now, Event::CredentialSet { user, phc: phc.to_owned(), version, terms }, out);
        if let Some(enrolled) = second_factor {
            self.emit(now, enrolled.set(), out);
        }
        Ok(Outcome::Done)
    }

    /// A service account, or a new token for the one of this name: the token before it dies.
    pub(super) fn make_service_key(
        &mut self,
        now: Time,
        actor: Actor,
        name: &str,
        token: SecretHash,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if !self.administers(actor) {
            return Err(Refusal::new(Reason::NotPermitted, "P1.1", "only an administrator makes service accounts"));
        }
        if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let message = format!("a name has 1 to {} bytes and no control characters", limits::NAME_BYTES_MAX);
            return Err(Refusal::new(Reason::Malformed, "", message));
        }
        let accounts = &self.state.accounts;
        if accounts.service_tokens.contains_key(&token) {
            return Err(Refusal::new(Reason::Stale, "", "this token is in use already: draw another"));
        }
        let named = accounts.services.iter().find(|(_, service)| service.name == name).map(|(id, _)| *id);
        if named.is_none() && accounts.services.len() >= limits::SERVICES_MAX {
            let message = format!("a site has at most {} service accounts", limits::SERVICES_MAX);
            return Err(Refusal::new(Reason::LimitReached, "", message));
        }
        let next = accounts.services.last_key_value().map_or(1, |(id, _)| id.0 + 1);
        let service = named.unwrap_or(ServiceId(next));
        self.emit(now, Event::ServiceKeyMade { service, name: name.to_owned(), token }, out);
        Ok(Outcome::Service(service))
    }

    /// The credential version that a login must present (W5.7); 0 where there is none.
    pub(super) fn credential_version(&self, user: UserId) -> u32 {
        self.state.accounts.credential(user).map_or(0, |credential| credential.version)
    }

    /// Somebody can sign in and administer: the set-up is done.
    pub fn has_admin(&self) -> bool {
        let site = &self.state.site;
        self.state.accounts.credentials.keys().any(|user| {
            let permissions = site.users.get(user).map(|user| &user.permissions);
            permissions.is_some_and(|all| all.contains(&UserPermission::Administrator))
        })
    }

    /// The broker itself, or a user who has the permission at this moment (I-A10).
    pub(super) fn administers(&self, actor: Actor) -> bool {
        match actor {
            Actor::System => true,
            Actor::Admin(user) | Actor::Party(Party::Rep(user)) => self.user_may(user, UserPermission::Administrator),
            Actor::Service(_) | Actor::Party(_) => false,
        }
    }

    /// Who proved an account comes in to administer: all of the site, or what its rights are for (P1.1).
    ///
    /// # Errors
    /// It administers nothing, or nobody may come in by it.
    pub fn enter_to_administer(
        &self,
        now: Time,
        user: UserId,
        version: u32,
        client: &ClientInfo,
    ) -> Result<(), Refusal> {
        if !self.state.administers_some(user) {
            let message = "this account administers nothing: no right of it is for a part of the site";
            return Err(Refusal::new(Reason::NotPermitted, "P1.1", message));
        }
        let wall_ms = self.state.wall_ms(now);
        let proven = self.proven(user, version, wall_ms)?;
        self.recent_enough(proven, client)?;
        self.has_what_it_needs(user, wall_ms)
    }

    /// The account exists, is enabled, and may do this in the product (P1.1).
    pub(super) fn user_may(&self, user: UserId, permission: UserPermission) -> bool {
        let user = self.state.site.users.get(&user);
        user.is_some_and(|user| user.enabled && user.permissions.contains(&permission))
    }
}

fn no_passwords() -> Refusal {
    Refusal::new(Reason::NotPermitted, "P1.1", "another's password is set by an administrator, or with set_passwords")
}

impl State {
    /// At this moment, whatever was true when somebody came in (I-A10).
    pub fn is_administrator(&self, user: UserId) -> bool {
        let found = self.site.users.get(&user);
        found.is_some_and(|user| user.enabled && user.permissions.contains(&UserPermission::Administrator))
    }

    /// Whose password an account may set, and whom let try again at once (I-A9, BU-034): an administrator everybody's,
    /// `set_passwords` that of others who are no administrators. One's own is not among them: it is changed at a sign-in,
    /// by who shows the one there is, and the code of a second factor.
    pub fn may_set_password(&self, actor: Actor, user: UserId) -> Result<(), Refusal> {
        let by = match actor {
            Actor::System => None,
            Actor::Admin(by) | Actor::Party(Party::Rep(by)) => Some(by),
            Actor::Service(_) | Actor::Party(_) => return Err(no_passwords()),
        };
        if let Some(by) = by.filter(|by| !self.is_administrator(*by)) {
            let found = self.site.users.get(&by).filter(|found| found.enabled);
            if !found.is_some_and(|found| found.permissions.contains(&UserPermission::SetPasswords)) {
                return Err(no_passwords());
            }
            if by == user {
                let message = "your own password is changed at a sign-in: show the new one beside the one you have";
                return Err(Refusal::new(Reason::NotPermitted, "P1.1", message));
            }
            let theirs = self.site.users.get(&user);
            if theirs.is_some_and(|theirs| theirs.permissions.contains(&UserPermission::Administrator)) {
                let message = "an administrator's password is set by administrators";
                return Err(Refusal::new(Reason::NotPermitted, "P1.1", message));
            }
        }
        match self.site.users.contains_key(&user) {
            true => Ok(()),
            false => Err(Refusal::new(Reason::UnknownRep, "", format!("there is no user {user}"))),
        }
    }

    /// May edit some of the site, or set passwords.
    pub fn administers_some(&self, user: UserId) -> bool {
        let found = self.site.users.get(&user);
        let sets = found.is_some_and(|user| user.enabled && user.permissions.contains(&UserPermission::SetPasswords));
        sets || self.site.edits_some(user)
    }

    /// This user has to choose another password before coming in.
    pub fn must_reset_password(&self, user: UserId, wall_ms: u64) -> bool {
        self.accounts.credential(user).is_some_and(|credential| credential.terms.are_over(wall_ms))
    }

    /// Who the first administrator of this name will be.
    pub fn admin_to_be(&self, username: &str) -> Result<UserId, Refusal> {
        self.with_admin(username).map(|(_, user)| user)
    }

    /// The user of this name as an administrator, through the site's own text, so that an export shows it.
    fn with_admin(&self, username: &str) -> Result<(Arc<RawSite>, UserId), Refusal> {
        let username = username.to_ascii_lowercase();
        let mut raw = RawSite::clone(&self.site.raw);
        let administrator = UserPermission::Administrator.name().to_owned();
        match raw.user.iter_mut().find(|user| user.username.eq_ignore_ascii_case(&username)) {
            Some(user) => {
                user.enabled = true;
                if !user.permissions.contains(&administrator) {
                    user.permissions.push(administrator);
                }
            }
            None => {
                let permissions = vec![administrator];
                raw.user.push(RawUser { username: username.clone(), permissions, ..RawUser::default() });
            }
        }
        let raw = Arc::new(raw);
        let site = Site::check(raw.clone(), Some(&self.site)).map_err(|problems| {
            let problem = problems.first().map(ToString::to_string).unwrap_or_default();
            Refusal::new(Reason::BadSite, "", problem)
        })?;
        // A group policy may say otherwise, and wins over the user's own (P2.2).
        let user = site.codes.users.get(&username).copied();
        let user = user.filter(|user| {
            let user = site.users.get(user);
            user.is_some_and(|user| user.permissions.contains(&UserPermission::Administrator))
        });
        let Some(user) = user else {
            let message = "a group policy keeps this user from being an administrator";
            return Err(Refusal::new(Reason::BadSite, "P2.2", message));
        };
        Ok((raw, user))
    }
}
