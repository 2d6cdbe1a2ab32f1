//! The one owner of a site: a mailbox, turns, and what follows each turn. This room turns proven identities and
//! messages into commands, events into what people see and what the relay does. It must never know a socket.
//!
//! A reply, and every visible consequence, leaves only after its turn is durable; rights that end are closed before.

mod activity;
mod directory;
mod edits;
mod history;
mod invitation;
mod jobs;
mod kept;
mod meter;
mod outward;
mod owner;
mod past;
mod perform;
mod port;
mod resolve;
mod sign_in;
mod text;
mod view;
mod views;
mod waiting_room;

pub use crate::engine::command::InvitationAnswer;
pub use directory::{Connection, Directory};
pub use meter::lines;
pub use port::{Pace, Port};
pub use sign_in::Shows;

use crate::{
    engine::{Actor, Command, Outcome, Refusal, Request, Stamped, State},
    identity::{Attempts, Bound, KeyShape, KeyTry, LinkSeed, NoTry, Passwords, SecondFactors, Secret, Tokens},
    ids::*,
    limits, mail,
    relay::{Outbox, RelayCounters},
    wire::{
        CloseCode, Work,
        control::{Credential, Hello, Refused, Role},
    },
};
use std::{net::IpAddr, path::PathBuf, sync::Arc};
use tokio::sync::{
    Semaphore,
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
    /// What to work on before the same key is shown again (I-K3).
    pub work: Option<Work>,
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
    /// Places for those who are being let in.
    entering: Semaphore,
    pub(crate) directory: Directory,
    passwords: Passwords,
    tokens: Tokens,
    attempts: Attempts,
    second_factors: SecondFactors,
    /// None: this broker sends no mail.
    post: Option<mail::Post>,
    pub(crate) counters: RelayCounters,
    /// One for each transport of a leg's reader.
    leg_counters: [Arc<RelayCounters>; 3],
    person_pace: Pace,
    window_max: u64,
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
    /// What a channel's window may grow to, bytes (W1.5): at most what one who stops reading costs, for each channel.
    pub window_max: u64,
    /// None: no mail is sent.
    pub post: Option<mail::Post>,
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
        let kept::Opened { folder, attempts, second_factors } = kept::open(settings.data.clone()).await?;
        let shared = Arc::new(Shared {
            mailbox,
            entering: Semaphore::new(limits::ENTERING_AT_ONCE),
            directory: Directory::default(),
            passwords: Passwords::new(),
            tokens: Tokens::new(),
            attempts,
            second_factors,
            counters: RelayCounters::new(meter::LINES),
            leg_counters: std::array::from_fn(|_| Arc::new(RelayCounters::new(meter::LINES))),
            person_pace: settings.person_pace,
            window_max: settings.window_max,
            post: settings.post.clone(),
            shutdown,
        });
        let owner = owner::Owner::open(settings, folder.clone(), shared.clone(), receiver, follower).await?;
        let ended = CancellationToken::new();
        let keeping = kept::keep(shared.clone(), folder, ended.clone());
        let running = async move {
            let how = owner.run().await;
            ended.cancel();
            how
        };
        let task = tokio::spawn(async move { tokio::join!(running, keeping).0 });
        Ok((Self { shared }, task))
    }

    /// What a channel's window may grow to, bytes (W1.5).
    pub fn window_max(&self) -> u64 {
        self.shared.window_max
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
        let (way, tried) = self.way_in(&hello, &origin).await?;
        // Its hash, or whose it is, is known by here: what was shown is kept nowhere.
        wipe(&mut hello.credential);
        let entered = self.attach(way, hello, origin).await;
        if let Some(tried) = tried {
            match &entered {
                Err(denied) if denied.code == CloseCode::Gone => self.wrong_key(tried),
                _ => self.shared.attempts.give_back(tried),
            }
        }
        entered
    }

    /// Has the owner decide, and waits until it is durable.
    async fn attach(&self, way: owner::Way, hello: Hello, origin: Origin) -> Result<Port, Denied> {
        let resume = Secret::token();
        let (reply, answer) = oneshot::channel();
        let outbox = Outbox::new(self.shared.leg_counters[origin.transport as usize].clone());
        let enter = owner::Enter { way, hello, origin, outbox, resume, reply };
        let draining = || denied(CloseCode::Restart, "draining", "the broker is about to restart");
        // Nobody closes it.
        let _place = self.shared.entering.acquire().await;
        if self.shared.shutdown.is_cancelled() {
            return Err(draining());
        }
        self.send(owner::Mail::Enter(Box::new(enter))).await.map_err(|()| draining())?;
        let connection = answer.await.unwrap_or_else(|_| {
            Err(denied(CloseCode::Internal, "overloaded", "the broker could not answer; try again"))
        });
        Ok(Port::new(self.clone(), connection?))
    }

    /// Takes one of the tries at session keys that are left. What is no key at all uses none up.
    async fn try_key(
        &self,
        key: &str,
        solved: Option<(&str, u64)>,
        origin: &Origin,
    ) -> Result<(SecretHash, KeyTry), Denied> {
        let hash = Secret::canonical_key(key).ok_or_else(|| {
            denied(CloseCode::BadMessage, "malformed", "a key is 8 letters and digits, or a link's token")
        })?;
        // A link's token cannot be guessed, so the site's budget of wrong codes does not shut it out (I-K3).
        let tried = match Secret::key_shape(key) {
            Some(KeyShape::Link) => self.shared.attempts.try_link(origin.address).map_err(NoTry::Wait),
            _ => self.shared.attempts.try_code(origin.address, solved).await,
        };
        let tried = tried.map_err(|no| {
            let (reason, message) = match no {
                NoTry::Wait(_) => ("limited", "too many wrong keys from here; wait"),
                NoTry::Work(_) => ("work", "too many wrong keys come just now: work for this one, or use a link"),
            };
            metrics::counter!("equipoise_key_failures_total", "reason" => reason).increment(1);
            let mut denied = denied(CloseCode::RateLimited, "rate_limited", message);
            match no {
                NoTry::Wait(wait) => denied.refused.retry_after_ms = Some(wait.as_millis() as u64),
                NoTry::Work(work) => denied.work = Some(work),
            }
            denied
        })?;
        Ok((hash, tried))
    }

    fn wrong_key(&self, tried: KeyTry) {
        self.shared.attempts.wrong(tried);
        metrics::counter!("equipoise_key_failures_total", "reason" => "wrong").increment(1);
    }

    /// What needs no look at the site's state; for a session key, with the try that it is.
    async fn way_in(&self, hello: &Hello, origin: &Origin) -> Result<(owner::Way, Option<KeyTry>), Denied> {
        use owner::Way;
        let unauthenticated =
            || denied(CloseCode::Unauthenticated, "unauthenticated", "this credential is not good here");
        let way = match (&hello.credential, hello.role) {
            (Credential::Resume(token), _) => Way::Resume(SecretHash::of(token.as_bytes())),
            (Credential::Key(key), Role::Customer | Role::External | Role::JumpClient) => {
                let (hash, tried) = self.try_key(key, None, origin).await?;
                return Ok((Way::Key(hash), Some(tried)));
            }
            (Credential::WorkedKey { key, challenge, answer }, Role::Customer | Role::External | Role::JumpClient) => {
                let (hash, tried) = self.try_key(key, Some((challenge, *answer)), origin).await?;
                return Ok((Way::Key(hash), Some(tried)));
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
        };
        Ok((way, None))
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
        | Credential::WorkedKey { key: secret, .. }
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
    Denied { code, refused: refused(name, message), work: None }
}
