//! Passwords, second factors, and the tokens and tickets they lead to.

use super::{Broker, Connection, Origin, SignedIn, directory::Proof, port, refused};
use crate::{
    clock,
    engine::{Actor, Command, Enrolled, PasswordTerms, Proof as Factor, Reason, State},
    identity::{Begun, Bound, Confirmed, PasswordError, Secret, Shown},
    ids::{Party, UserId},
    limits,
    wire::Refused,
};
use std::{sync::atomic::Ordering, time::Duration};

/// What somebody shows to sign in.
#[derive(Clone, Copy)]
pub struct Shows<'a> {
    pub username: &'a str,
    pub password: &'a str,
    /// Six digits or a recovery code, of who has a second factor.
    pub code: Option<&'a str>,
    /// What the password becomes: of who has to choose another one, or wants to.
    pub new_password: Option<&'a str>,
}

/// What a site knows of an account that may sign in.
struct Account {
    user: UserId,
    phc: String,
    version: u32,
    sealed: Option<String>,
    must_reset: bool,
    site_name: String,
}

impl Broker {
    /// Checks a password, and a code where there is a second factor; the same answer for an unknown or disabled user
    /// and a wrong password (I-A7). A new password is the user's from here on.
    pub async fn sign_in(&self, shows: Shows<'_>, origin: &Origin) -> Result<SignedIn, Refused> {
        let account = self.prove(shows, origin, true).await?;
        let (token, expires_at_ms) = self
            .shared
            .tokens
            .issue(account.user, account.version)
            .ok_or_else(|| refused("overloaded", "too many sign-ins are open; try again"))?;
        Ok(SignedIn { token, expires_at_ms })
    }

    /// Begins the enrolment of a second factor, in place of one there is, for who shows everything a sign-in needs.
    pub async fn begin_second_factor(&self, shows: Shows<'_>, origin: &Origin) -> Result<Begun, Refused> {
        let account = self.prove(shows, origin, true).await?;
        let begun = self.shared.second_factors.begin(account.user, &shows.username.to_lowercase(), &account.site_name);
        begun.ok_or_else(|| refused("overloaded", "too many enrolments are under way; try again in ten minutes"))
    }

    /// Ends it: `code` is of the new secret. Gives recovery codes, shown once. Everything that was signed in as this
    /// user has to sign in again (I-A5).
    pub async fn confirm_second_factor(&self, shows: Shows<'_>, origin: &Origin) -> Result<Vec<Secret>, Refused> {
        let account = self.prove(Shows { code: None, new_password: None, ..shows }, origin, false).await?;
        let (enrolled, recovery) = self.confirmed(account.user, shows.code.unwrap_or_default())?;
        let command = Command::SetSecondFactor(enrolled);
        self.command(Actor::Party(Party::Rep(account.user)), command).await.map_err(port::refused_by)?;
        Ok(recovery)
    }

    /// Begins an enrolment for the first administrator, while there is none (I-A8).
    pub async fn begin_first_admin(&self, username: &str) -> Result<Begun, Refused> {
        let (user, site) = self.admin_to_be(username).await?;
        let begun = self.shared.second_factors.begin(user, &username.to_lowercase(), &site);
        begun.ok_or_else(|| refused("overloaded", "too many enrolments are under way; try again in ten minutes"))
    }

    /// What makes the first administrator's second factor, and the recovery codes, where `code` is of the new secret.
    pub async fn confirm_first_admin(&self, username: &str, code: &str) -> Result<(Enrolled, Vec<Secret>), Refused> {
        let (user, _) = self.admin_to_be(username).await?;
        self.confirmed(user, code)
    }

    async fn admin_to_be(&self, username: &str) -> Result<(UserId, String), Refused> {
        let name = username.to_owned();
        let look = move |state: &State| Ok((state.admin_to_be(&name)?, state.site.raw.site.name.clone()));
        self.look(look).await?.map_err(port::refused_by)
    }

    fn confirmed(&self, user: UserId, code: &str) -> Result<(Enrolled, Vec<Secret>), Refused> {
        let confirmed = self.shared.second_factors.confirm(user, code, clock::wall_ms() / 1_000);
        let Confirmed { sealed, step, recovery } = confirmed.ok_or_else(|| {
            refused(
                "malformed",
                "the code is not one of the new secret, or no enrolment was begun in the last ten minutes",
            )
        })?;
        let hashes = recovery.iter().map(Secret::hash).collect();
        Ok((Enrolled { user, sealed, step, recovery: hashes }, recovery))
    }

    /// Ends one's own second factor, shown once more.
    pub async fn end_second_factor(&self, shows: Shows<'_>, origin: &Origin) -> Result<(), Refused> {
        let user = self.prove(shows, origin, true).await?.user;
        self.remove_second_factor(Actor::Party(Party::Rep(user)), user).await
    }

    /// For somebody who lost the device and the codes.
    pub async fn reset_second_factor(&self, actor: Actor, username: &str) -> Result<(), Refused> {
        let name = username.to_lowercase();
        let found = self.look(move |state| state.site.codes.users.get(&name).copied()).await?;
        let user = found.ok_or_else(|| refused("unknown_rep", &format!("nobody is called “{username}”")))?;
        self.remove_second_factor(actor, user).await
    }

    async fn remove_second_factor(&self, actor: Actor, user: UserId) -> Result<(), Refused> {
        self.command(actor, Command::RemoveSecondFactor { user }).await.map_err(port::refused_by).map(|_| ())
    }

    /// Whose name, password and code these are, whose password becomes the new one if there is one. `with_code`: the code
    /// is looked at, where the account has a second factor.
    async fn prove(&self, shows: Shows<'_>, origin: &Origin, with_code: bool) -> Result<Account, Refused> {
        let Shows { username, password, code, .. } = shows;
        // Said before anything is counted or hashed: it tells nothing about the account (H-51).
        if password.len() > limits::PASSWORD_BYTES_MAX || username.len() > limits::CODE_BYTES_MAX {
            return Err(refused("malformed", "a name has at most 64 bytes, a password at most 1,024"));
        }
        let name = username.to_lowercase();
        let attempts = &self.shared.attempts;
        attempts.try_sign_in(origin.address, &name).map_err(|wait: Duration| Refused {
            retry_after_ms: Some(wait.as_millis() as u64),
            ..refused("rate_limited", "too many attempts; wait and try again")
        })?;
        let found = self.account(name.clone()).await;
        let phc = found.as_ref().ok().and_then(|found| found.as_ref().map(|found| found.phc.clone()));
        let verified = self.shared.passwords.verify(phc, password.to_owned()).await;
        let (Ok(found), Ok(right)) = (found, verified) else {
            attempts.sign_in_unanswered(&name);
            return Err(Refused { retry_after_ms: Some(1_000), ..refused("overloaded", "try again in a moment") });
        };
        let failed = || {
            attempts.sign_in_failed(origin.address);
            metrics::counter!("equipoise_sign_in_failures_total").increment(1);
            refused("unauthenticated", "the name, the password or the code is not right")
        };
        let mut account = found.filter(|_| right).ok_or_else(failed)?;
        let mut used = None;
        if let (true, Some(sealed)) = (with_code, &account.sealed) {
            let Some(code) = code else {
                attempts.sign_in_unanswered(&name);
                return Err(refused("second_factor_required", "show a code of your authenticator too, as `code`"));
            };
            let shown = self.shared.second_factors.check(account.user, sealed, code, clock::wall_ms() / 1_000);
            let proof = match shown.ok_or_else(failed)? {
                Shown::Step(step) => Factor::Step(step),
                Shown::Recovery(code) => Factor::Recovery(code),
            };
            used = Some(Command::UseSecondFactor { user: account.user, proof });
        }
        // Whatever is wrong with the new password uses no code up.
        let chosen = self.chosen(&account, shows).await.inspect_err(|_| attempts.sign_in_unanswered(&name))?;
        if let Some(used) = used {
            self.command(Actor::System, used).await.map_err(|refusal| match refusal.reason {
                Reason::Stale => failed(),
                _ => {
                    attempts.sign_in_unanswered(&name);
                    port::refused_by(refusal)
                }
            })?;
        }
        if let Some(phc) = chosen {
            let (user, version, terms) = (account.user, account.version, PasswordTerms::default());
            // As of the broker, which has seen the proof: whoever is connected as this user signs in again (I-A5).
            let set = Command::SetCredential { user, phc, version, terms };
            self.command(Actor::System, set).await.map_err(|refusal| {
                attempts.sign_in_unanswered(&name);
                port::refused_by(refusal)
            })?;
            account.version += 1;
        }
        // Half of what is needed does not clear the count of wrong codes.
        match account.sealed {
            Some(_) if !with_code => attempts.sign_in_unanswered(&name),
            _ => attempts.sign_in_succeeded(&name),
        }
        Ok(account)
    }

    /// The hash of the password that whoever proved to have this account chose in place of theirs, if they did.
    async fn chosen(&self, account: &Account, shows: Shows<'_>) -> Result<Option<String>, Refused> {
        match shows.new_password {
            None if account.must_reset => {
                Err(refused("password_reset_required", "this password is over: show a new one too, as `new_password`"))
            }
            None => Ok(None),
            Some(new) if new == shows.password => Err(refused("malformed", "the new password is the one of before")),
            Some(new) => self.hash_password(shows.username, new.to_owned()).await.map(Some),
        }
    }

    async fn account(&self, name: String) -> Result<Option<Account>, Refused> {
        let wall_ms = clock::wall_ms();
        self.look(move |state| {
            let user = *state.site.codes.users.get(&name)?;
            let credential = state.accounts.credential(user)?;
            let enabled = state.site.users.get(&user).is_some_and(|user| user.enabled);
            enabled.then(|| Account {
                user,
                phc: credential.phc.clone(),
                version: credential.version,
                sealed: state.accounts.second_factor(user).map(|factor| factor.sealed.clone()),
                must_reset: state.must_reset_password(user, wall_ms),
                site_name: state.site.raw.site.name.clone(),
            })
        })
        .await
    }

    /// An access token without a password, for the process that holds the broker itself: tests and the load test.
    pub async fn token_for(&self, username: &str) -> Result<String, Refused> {
        let (user, version) = self.credential_of(username).await?;
        let issued = self.shared.tokens.issue(user, version);
        issued.map(|(token, _)| token).ok_or_else(|| refused("overloaded", "too many sign-ins are open"))
    }

    /// A user, and the version of the password there is, 0 for none.
    async fn credential_of(&self, username: &str) -> Result<(UserId, u32), Refused> {
        let name = username.to_lowercase();
        let found = self
            .look(move |state| {
                let user = *state.site.codes.users.get(&name)?;
                Some((user, state.accounts.credential(user).map_or(0, |credential| credential.version)))
            })
            .await?;
        found.ok_or_else(|| refused("unknown_rep", &format!("nobody is called “{username}”")))
    }

    /// A single-use ticket for a browser's socket, for who holds an access token.
    /// It works for this role and from this page only (H-55).
    pub fn ticket(&self, bearer: &str, page: Option<&str>, role: &str) -> Result<String, Refused> {
        let bound = Bound { origin: page.unwrap_or_default().to_owned(), role: role.to_owned() };
        let unauthenticated = || refused("unauthenticated", "sign in first");
        self.shared.tokens.ticket_for(bearer, bound).ok_or_else(unauthenticated)
    }

    /// A ticket that was shown where it may not stand, such as in a URL: whoever reads it there finds it used (H-20).
    pub fn burn_ticket(&self, ticket: &str) {
        self.shared.tokens.redeem_ticket(ticket);
    }

    /// Hashes a password and makes it the user's (W5.7: against the version that is there).
    pub async fn set_password(&self, actor: Actor, username: &str, password: String) -> Result<(), Refused> {
        self.set_password_from(actor, username, password, PasswordTerms::default(), None).await
    }

    /// The same for somebody who is connected: a password of one's own does not close the connection it came over.
    pub(super) async fn set_password_from(
        &self,
        actor: Actor,
        username: &str,
        password: String,
        terms: PasswordTerms,
        from: Option<&Connection>,
    ) -> Result<(), Refused> {
        // Nobody has a hash made who may not set it.
        self.may_set_password(actor, username).await?;
        let (user, version) = self.credential_of(username).await?;
        let phc = self.hash_password(username, password).await?;
        let own = from.and_then(|connection| match &connection.proof {
            Proof::Credential(proven) if actor == Actor::Admin(user) => Some(proven),
            _ => None,
        });
        if let Some(proven) = own {
            proven.store(version + 1, Ordering::Release);
        }
        let set = self.command(actor, Command::SetCredential { user, phc, version, terms }).await;
        if let (Some(proven), Err(_)) = (own, &set) {
            proven.store(version, Ordering::Release);
        }
        set.map_err(port::refused_by)?;
        // What failed was tried against another password.
        self.shared.attempts.unlock(&username.to_lowercase());
        Ok(())
    }

    /// BU-034: an account that waits for failed sign-ins may try again at once.
    pub(super) async fn unlock(&self, actor: Actor, username: &str) -> Result<(), Refused> {
        let user = self.may_set_password(actor, username).await?;
        self.command(actor, Command::Unlock { user }).await.map_err(port::refused_by)?;
        self.shared.attempts.unlock(&username.to_lowercase());
        Ok(())
    }

    /// Whose password this one may set by that name. Who may set none learns nothing of names.
    async fn may_set_password(&self, actor: Actor, username: &str) -> Result<UserId, Refused> {
        let name = username.to_lowercase();
        let look = move |state: &State| {
            let user = state.site.codes.users.get(&name).copied();
            state.may_set_password(actor, user.unwrap_or_default()).map(|()| user)
        };
        let unknown = || refused("unknown_rep", &format!("nobody is called “{username}”"));
        match self.look(look).await? {
            Ok(user) => user.ok_or_else(unknown),
            Err(refusal) if refusal.reason == Reason::UnknownRep => Err(unknown()),
            Err(refusal) => Err(port::refused_by(refusal)),
        }
    }

    /// Hashes a password for whoever needs a PHC string before there is a user (first run).
    pub async fn hash_password(&self, username: &str, password: String) -> Result<String, Refused> {
        let site = self.look(|state| state.site.raw.site.name.clone()).await?;
        let words = vec![username.to_owned(), site];
        self.shared.passwords.hash(password, words).await.map_err(|error| match error {
            PasswordError::Overloaded => {
                Refused { retry_after_ms: Some(1_000), ..refused("overloaded", "try again in a moment") }
            }
            wrong => refused("malformed", &wrong.to_string()),
        })
    }
}
