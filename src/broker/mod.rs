//! The one owner of a site: a mailbox, turns, and what follows each turn. This room turns proven identities and
//! messages into commands, events into what people see and what the relay does. It must never know a socket.
//!
//! A reply, and every visible consequence, leaves only after its turn is durable; rights that end are closed before.

mod activity;
mod directory;
mod owner;
mod past;
mod perform;
mod port;
mod resolve;
mod view;
mod views;
mod waiting_room;

use directory::Proof;
pub use directory::{Connection, Directory};
pub use port::{Pace, Port};

use crate::{
    engine::{Actor, Command, Outcome, Refusal, Request, Stamped, State},
    identity::{Attempts, Bound, KeyShape, LinkSeed, Passwords, Secret, Tokens},
    ids::*,
    limits,
    relay::{Outbox, RelayCounters},
    wire::{
        CloseCode,
        control::{Credential, Hello, Refused, Role},
    },
};
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroize;

/// Where a connection comes from, as the transport knows it.
#[derive(Clone, Debug)]
pub struct Origin {
    pub address: IpAddr,
    /// The host name the client asked for: binds site and portal (R2.4, W3.2).
    pub host: Option<String>,
    /// The page that opened the connection, as a browser names it in `Origin`.
    pub page: Option<String>,
    pub transport: TransportName,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransportName {
    Ws,
    Wss,
    Quic,
}

impl TransportName {
    pub const ALL: [Self; 3] = [Self::Ws, Self::Wss, Self::Quic];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
        }
    }
}

/// A way in that stays shut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    pub code: CloseCode,
    pub refused: Refused,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedIn {
    pub token: String,
    pub expires_at_ms: u64,
}

/// A handle on the owner of one site; cheap to clone.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    mailbox: mpsc::Sender<owner::Mail>,
    pub(crate) directory: Directory,
    passwords: Passwords,
    tokens: Tokens,
    attempts: Attempts,
    pub(crate) counters: Arc<RelayCounters>,
    /// One for each transport of a leg's reader.
    leg_counters: [Arc<RelayCounters>; 3],
    person_pace: Pace,
    shutdown: CancellationToken,
}

impl Shared {
    /// Gives the owner a command of the broker's own from where nobody waits for the answer. A full mailbox: a task
    /// waits in the caller's place, once for each channel or connection that ended.
    fn tell_owner(&self, command: Command) {
        let request = Box::new(Request { actor: Actor::System, id: None, command });
        let (reply, _) = oneshot::channel();
        if let Err(TrySendError::Full(mail)) = self.mailbox.try_send(owner::Mail::Command { request, reply }) {
            let mailbox = self.mailbox.clone();
            tokio::spawn(async move { mailbox.send(mail).await });
        }
    }
}

/// What follows every durable turn: metrics, and later webhooks and reports.
pub type Follower = Box<dyn FnMut(&[Stamped], &State) + Send>;

pub struct Settings {
    pub data: PathBuf,
    /// Free bytes below which new commands are refused while reads go on (W5.2).
    pub disk_reserve_bytes: u64,
    /// What people may send; [`Pace::PERSON`] but where a load test plays many of them on one console.
    pub person_pace: Pace,
    /// Imported where the journal is empty.
    pub site: crate::site::raw::RawSite,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Journal(#[from] crate::journal::OpenError),
    #[error("the journal's record {seq} cannot be replayed: {why}")]
    Replay { seq: Seq, why: String },
    #[error("the first commands were refused: {0}")]
    Refused(#[from] Refusal),
}

/// Why the owner of a site ended without being told to. The process must end: it serves nobody.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OwnerError {
    #[error(
        "another broker has taken over this site's journal (this one owned it in epoch {epoch}): it must not go on; \
         see that only one broker runs on the data folder, and remove no lock"
    )]
    Fenced { epoch: u64 },
}

impl Broker {
    /// Opens the journal, folds it, and starts the owner. The task ends when `shutdown` is cancelled and the mailbox
    /// is empty; with an error if it must not go on.
    pub async fn start(
        settings: Settings,
        follower: Follower,
        shutdown: CancellationToken,
    ) -> Result<(Self, tokio::task::JoinHandle<Result<(), OwnerError>>), StartError> {
        let (mailbox, receiver) = mpsc::channel(limits::MAILBOX_COMMANDS);
        let shared = Arc::new(Shared {
            mailbox,
            directory: Directory::default(),
            passwords: Passwords::new(),
            tokens: Tokens::new(),
            attempts: Attempts::new(),
            counters: Arc::new(RelayCounters::default()),
            leg_counters: Default::default(),
            person_pace: settings.person_pace,
            shutdown,
        });
        let owner = owner::Owner::open(settings, shared.clone(), receiver, follower).await?;
        let task = tokio::spawn(owner.run());
        Ok((Self { shared }, task))
    }

    /// Cancelled when the broker is about to go; connections then close with 1012.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    /// What channels counted, whatever connection their legs have; for metrics.
    pub fn channel_counters(&self) -> &RelayCounters {
        &self.shared.counters
    }

    /// What the legs of readers on this transport counted; for metrics.
    pub fn leg_counters(&self, transport: TransportName) -> &RelayCounters {
        &self.shared.leg_counters[transport as usize]
    }

    pub fn directory(&self) -> &Directory {
        &self.shared.directory
    }

    /// Proves who says hello and attaches them. The welcome waits in the port's outbox.
    pub async fn enter(&self, mut hello: Hello, origin: Origin) -> Result<Port, Denied> {
        if self.shared.shutdown.is_cancelled() {
            return Err(denied(CloseCode::Restart, "draining", "the broker is about to restart"));
        }
        let way = self.way_in(&hello, &origin)?;
        let by_key = matches!(way, owner::Way::Key(_));
        // Its hash, or whose it is, is known by here: what was shown is kept nowhere.
        wipe(&mut hello.credential);
        let resume = Secret::token();
        let (reply, answer) = oneshot::channel();
        let outbox = Outbox::new(self.shared.leg_counters[origin.transport as usize].clone());
        let enter = owner::Enter { way, hello, origin: origin.clone(), outbox, resume: resume.clone(), reply };
        self.send(owner::Mail::Enter(Box::new(enter)))
            .await
            .map_err(|()| denied(CloseCode::Restart, "draining", "the broker is about to restart"))?;
        match answer.await {
            Ok(Ok(connection)) => Ok(Port::new(self.clone(), connection)),
            Ok(Err(denied)) => {
                // A resume token that is gone is no guess: it may not use up the budget of wrong keys (I-K3).
                if by_key && denied.code == CloseCode::Gone {
                    self.shared.attempts.wrong_key(origin.address);
                    metrics::counter!("equipoise_key_failures_total", "reason" => "wrong").increment(1);
                }
                Err(denied)
            }
            Err(_) => Err(denied(CloseCode::Internal, "overloaded", "the broker could not answer; try again")),
        }
    }

    /// What needs no look at the site's state.
    fn way_in(&self, hello: &Hello, origin: &Origin) -> Result<owner::Way, Denied> {
        use owner::Way;
        let unauthenticated =
            || denied(CloseCode::Unauthenticated, "unauthenticated", "this credential is not good here");
        Ok(match (&hello.credential, hello.role) {
            (Credential::Resume(token), _) => Way::Resume(SecretHash::of(token.as_bytes())),
            (Credential::Key(key), Role::Customer) => {
                // A link's token cannot be guessed, so the site's budget of wrong codes does not shut it out (I-K3).
                let tried = match Secret::key_shape(key) {
                    Some(KeyShape::Link) => self.shared.attempts.may_try_link(origin.address),
                    _ => self.shared.attempts.may_try_key(origin.address),
                };
                tried.map_err(|wait| {
                    metrics::counter!("equipoise_key_failures_total", "reason" => "limited").increment(1);
                    let mut denied =
                        denied(CloseCode::RateLimited, "rate_limited", "too many wrong keys from here; wait");
                    denied.refused.retry_after_ms = Some(wait.as_millis() as u64);
                    denied
                })?;
                Way::Key(Secret::canonical_key(key).ok_or_else(|| {
                    denied(CloseCode::BadMessage, "malformed", "a key is 8 letters and digits, or a link's token")
                })?)
            }
            (Credential::Key(key) | Credential::Token(key), Role::Service) => {
                Way::Service { key: SecretHash::of(key.as_bytes()), links: LinkSeed::of(key) }
            }
            (Credential::Token(token), Role::Rep | Role::Admin) => {
                let holder = self.shared.tokens.check(token).ok_or_else(unauthenticated)?;
                Way::User { user: holder.user, version: holder.version }
            }
            (Credential::Ticket(ticket), Role::Rep | Role::Admin) => {
                let role = if hello.role == Role::Admin { "admin" } else { "rep" };
                let bound = Bound { origin: origin.page.clone().unwrap_or_default(), role: role.to_owned() };
                let holder = self.shared.tokens.redeem_ticket_from(ticket, &bound).ok_or_else(unauthenticated)?;
                Way::User { user: holder.user, version: holder.version }
            }
            _ => return Err(unauthenticated()),
        })
    }

    /// Checks a password; the same answer for an unknown user and a wrong one (I-A7).
    pub async fn sign_in(&self, username: &str, password: &str, origin: &Origin) -> Result<SignedIn, Refused> {
        let rate_limited = |wait: std::time::Duration| Refused {
            retry_after_ms: Some(wait.as_millis() as u64),
            ..refused("rate_limited", "too many attempts; wait and try again")
        };
        // Said before anything is counted or hashed: it tells nothing about the account (H-51).
        if password.len() > limits::PASSWORD_BYTES_MAX || username.len() > limits::CODE_BYTES_MAX {
            return Err(refused("malformed", "a name has at most 64 bytes, a password at most 1,024"));
        }
        let account = username.to_lowercase();
        self.shared.attempts.may_sign_in(origin.address, &account).map_err(rate_limited)?;
        let name = account.clone();
        let found = self
            .look(move |state| {
                let user = *state.site.codes.users.get(&name)?;
                let credential = state.accounts.credential(user)?;
                Some((user, credential.phc.clone(), credential.version))
            })
            .await?;
        let phc = found.as_ref().map(|(_, phc, _)| phc.clone());
        let right =
            self.shared.passwords.verify(phc, password.to_owned()).await.map_err(|_| Refused {
                retry_after_ms: Some(1_000),
                ..refused("overloaded", "try again in a moment")
            })?;
        let Some((user, _, version)) = found.filter(|_| right) else {
            self.shared.attempts.sign_in_failed(origin.address, &account);
            metrics::counter!("equipoise_sign_in_failures_total").increment(1);
            return Err(refused("unauthenticated", "the name or the password is not right"));
        };
        self.shared.attempts.sign_in_succeeded(&account);
        let (token, expires_at_ms) = self
            .shared
            .tokens
            .issue(user, version)
            .ok_or_else(|| refused("overloaded", "too many sign-ins are open; try again"))?;
        Ok(SignedIn { token, expires_at_ms })
    }

    /// An access token without a password, for the process that holds the broker itself: tests and the load test.
    pub async fn token_for(&self, username: &str) -> Result<String, Refused> {
        let name = username.to_lowercase();
        let found = self
            .look(move |state| {
                let user = *state.site.codes.users.get(&name)?;
                Some((user, state.accounts.credential(user).map_or(0, |credential| credential.version)))
            })
            .await?;
        let (user, version) = found.ok_or_else(|| refused("unknown_rep", "nobody has this name"))?;
        let issued = self.shared.tokens.issue(user, version);
        issued.map(|(token, _)| token).ok_or_else(|| refused("overloaded", "too many sign-ins are open"))
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

    /// Gives the owner a command of the broker's own and waits until it is durable.
    pub async fn command(&self, actor: Actor, command: Command) -> Result<Outcome, Refusal> {
        use crate::engine::Reason;
        let (reply, answer) = oneshot::channel();
        let request = Request { actor, id: None, command };
        let gone = || Refusal::new(Reason::Draining, "", "the broker is about to restart");
        self.send(owner::Mail::Command { request: Box::new(request), reply }).await.map_err(|()| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Hashes a password and makes it the user's (W5.7: against the version that is there).
    pub async fn set_password(&self, actor: Actor, username: &str, password: String) -> Result<(), Refused> {
        self.set_password_from(actor, username, password, None).await
    }

    /// The same for somebody who is connected: a password of one's own does not close the connection it came over.
    async fn set_password_from(
        &self,
        actor: Actor,
        username: &str,
        password: String,
        from: Option<&Connection>,
    ) -> Result<(), Refused> {
        let name = username.to_lowercase();
        let found = self
            .look(move |state| {
                let user = *state.site.codes.users.get(&name)?;
                Some((user, state.accounts.credential(user).map_or(0, |credential| credential.version)))
            })
            .await?;
        let (user, version) = found.ok_or_else(|| refused("unknown_rep", &format!("nobody is called “{username}”")))?;
        let phc =
            self.shared.passwords.hash(password).await.map_err(|error| refused("malformed", &error.to_string()))?;
        let own = from.and_then(|connection| match &connection.proof {
            Proof::Credential(proven) if actor == Actor::Admin(user) => Some(proven),
            _ => None,
        });
        if let Some(proven) = own {
            proven.store(version + 1, Ordering::Release);
        }
        let set = self.command(actor, Command::SetCredential { user, phc, version }).await;
        if let (Some(proven), Err(_)) = (own, &set) {
            proven.store(version, Ordering::Release);
        }
        set.map_err(port::refused_by).map(|_| ())
    }

    /// Hashes a password for whoever needs a PHC string before there is a user (first run).
    pub async fn hash_password(&self, password: String) -> Result<String, Refused> {
        self.shared.passwords.hash(password).await.map_err(|error| refused("malformed", &error.to_string()))
    }

    /// Reads the state as it is between two turns.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&State) -> T + Send + 'static) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |state: &State| {
            // Nobody waits any more: nothing to tell.
            let _ = reply.send(look(state));
        });
        let gone = || refused("draining", "the broker is about to restart");
        self.send(owner::Mail::Look(look)).await.map_err(|()| gone())?;
        answer.await.map_err(|_| gone())
    }

    async fn send(&self, mail: owner::Mail) -> Result<(), ()> {
        self.shared.mailbox.send(mail).await.map_err(|_| ())
    }
}

fn wipe(credential: &mut Credential) {
    match credential {
        Credential::Ticket(secret)
        | Credential::Token(secret)
        | Credential::Key(secret)
        | Credential::Resume(secret) => {
            secret.zeroize();
        }
    }
}

pub(crate) fn refused(code: &str, message: &str) -> Refused {
    Refused {
        code: code.to_owned(),
        rule: String::new(),
        message: message.to_owned(),
        at: None,
        tool: None,
        source: None,
        retry_after_ms: None,
    }
}

fn denied(code: CloseCode, name: &str, message: &str) -> Denied {
    Denied { code, refused: refused(name, message) }
}
