//! Mail that leaves the broker: letters, each handed to the one mail server in a few tries. It knows nothing of sessions;
//! whoever sends a letter is told if no server took it, and no letter is ever waited for.

mod letters;

pub use letters::Letters;

use crate::{clock::spread, limits, time::Span};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, Header, HeaderName, HeaderValue},
    },
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{error::Error, fmt, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

const FAREWELL: Duration = duration(limits::MAIL_FAREWELL);

const fn duration(span: Span) -> Duration {
    Duration::from_millis(span.0)
}

/// Which mail server takes letters, and who they are from.
#[derive(Clone)]
pub struct Settings {
    pub server: String,
    pub port: u16,
    pub encryption: Encryption,
    /// Name and password, where the server wants them.
    pub login: Option<(String, Zeroizing<String>)>,
    /// PEM certificates that vouch for the server beside those of the system.
    pub authority: Option<Vec<u8>>,
    pub from: String,
    /// Where people reach this broker: every link begins with it.
    pub public_url: url::Url,
    pub tries: Tries,
}

/// How hard it is tried to hand one letter over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries {
    pub most: u32,
    /// For one of them.
    pub each: Span,
    /// After the first, doubled with each.
    pub pause: Span,
}

impl Tries {
    /// [`Tries`] of everybody but tests, which do not wait for it.
    pub const USUAL: Self = Self { most: limits::MAIL_ATTEMPTS, each: limits::MAIL_ATTEMPT, pause: limits::MAIL_RETRY };

    /// Half of a doubling pause, and anything up to as much again: letters that failed together do not come back
    /// together.
    fn pause(self, attempt: u32) -> Duration {
        let half = duration(self.pause) / 2 * (1 << (attempt - 1));
        half + spread(half)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// TLS from the first byte.
    Tls,
    /// TLS after `STARTTLS`; a server that does not offer it gets no mail.
    StartTls,
    None,
}

#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("mail.from: {0:?} is not a mail address such as equipoise@example.com")]
    From(String),
    #[error("mail.authority: no certificate can be read from it")]
    Authority,
    #[error("mail.server: TLS cannot be set up: {0}")]
    Tls(smtp::Error),
}

/// One mail to one person. What it says is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    pub to: String,
    pub subject: String,
    pub text: String,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter(…)")
    }
}

/// Takes letters; cheap to clone.
#[derive(Clone)]
pub struct Post(Arc<Office>);

struct Office {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// The part of a message's number that says where it was made.
    host: String,
    letters: Letters,
    tries: Tries,
    /// Room for letters that are on their way.
    room: Arc<Semaphore>,
    /// Conversations with the server at once.
    lines: Semaphore,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Post {
    /// Speaks to nobody yet.
    pub fn open(settings: &Settings) -> Result<Self, MailError> {
        let from = settings.from.parse::<Mailbox>().map_err(|_| MailError::From(settings.from.clone()))?;
        let host = settings.public_url.host_str().unwrap_or("localhost").to_owned();
        let tls = match settings.encryption {
            Encryption::Tls => Tls::Wrapper(tls(settings)?),
            Encryption::StartTls => Tls::Required(tls(settings)?),
            Encryption::None => Tls::None,
        };
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.server)
            .port(settings.port)
            .tls(tls)
            .hello_name(ClientId::Domain(host.clone()))
            .timeout(Some(duration(settings.tries.each)));
        if let Some((name, password)) = &settings.login {
            server = server.credentials(Credentials::new(name.clone(), password.to_string()));
        }
        Ok(Self(Arc::new(Office {
            server: server.build(),
            from,
            host,
            letters: Letters::from(settings.public_url.as_str()),
            tries: settings.tries,
            room: Arc::new(Semaphore::new(limits::LETTERS_ON_THEIR_WAY)),
            lines: Semaphore::new(limits::MAIL_CONNECTIONS),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })))
    }

    pub fn letters(&self) -> &Letters {
        &self.0.letters
    }

    /// Sends a letter in the background. `failed` is called if no server took it, or if too many are on their way.
    pub fn send(&self, letter: Letter, failed: impl FnOnce() + Send + 'static) {
        let office = self.0.clone();
        let room = office.room.clone().try_acquire_owned();
        let Ok(room) = room else {
            count("dropped");
            return failed();
        };
        self.0.tasks.spawn(async move {
            let _room = room;
            let taken = office.deliver(&letter).await;
            count(if taken { "sent" } else { "failed" });
            if !taken {
                failed();
            }
        });
    }

    /// Lets the server take what it takes within [`limits::MAIL_FAREWELL`], tries nothing again, and returns when all who
    /// sent letters know.
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Office {
    /// True once the server has it.
    async fn deliver(&self, letter: &Letter) -> bool {
        let Some(message) = self.message(letter) else {
            tracing::warn!("a letter cannot be written: its address or subject is not fit for mail");
            return false;
        };
        for attempt in 1..=self.tries.most {
            let tried = tokio::select! {
                biased;
                tried = self.hand_over(&message) => tried,
                () = self.farewell() => return false,
            };
            match tried {
                Tried::Taken => return true,
                Tried::Refused => return false,
                Tried::Later => {}
            }
            if attempt < self.tries.most
                && self.closing.run_until_cancelled(tokio::time::sleep(self.tries.pause(attempt))).await.is_none()
            {
                return false;
            }
        }
        false
    }

    /// One conversation, when there is a line free.
    async fn hand_over(&self, message: &Message) -> Tried {
        let _line = self.lines.acquire().await.expect("nobody closes the lines");
        let each = duration(self.tries.each);
        let sent = tokio::time::timeout(each, self.server.send(message.clone())).await;
        let error = match sent {
            Ok(Ok(_)) => return Tried::Taken,
            Ok(Err(error)) => error,
            Err(_) => {
                tracing::warn!(after_s = each.as_secs(), "the mail server was too slow with a letter");
                return Tried::Later;
            }
        };
        // The server's words may name the person the letter is for.
        let code = error.status().map(|code| code.to_string());
        tracing::warn!(code, kind = kind(&error), "the mail server did not take a letter");
        tracing::debug!(%error, source = error.source(), "what the mail server said");
        if error.is_permanent() || error.is_client() { Tried::Refused } else { Tried::Later }
    }

    async fn farewell(&self) {
        self.closing.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    }

    fn message(&self, letter: &Letter) -> Option<Message> {
        let to = Mailbox::new(None, letter.to.parse().ok()?);
        let mut number = [0; 16];
        getrandom::fill(&mut number).ok()?;
        let number = data_encoding::HEXLOWER.encode(&number);
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(letter.subject.clone())
            .message_id(Some(format!("<{number}@{}>", self.host)))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())
            .ok()
    }
}

/// How one try ended.
enum Tried {
    Taken,
    /// For good.
    Refused,
    Later,
}

fn tls(settings: &Settings) -> Result<TlsParameters, MailError> {
    let mut parameters = TlsParameters::builder(settings.server.clone());
    if let Some(pem) = &settings.authority {
        let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.ok().filter(|all| !all.is_empty()).ok_or(MailError::Authority)?;
        for certificate in certificates {
            let read = smtp::client::Certificate::from_der(certificate.to_vec()).map_err(|_| MailError::Authority)?;
            parameters = parameters.add_root_certificate(read);
        }
    }
    parameters.build().map_err(MailError::Tls)
}

fn kind(error: &smtp::Error) -> &'static str {
    match error {
        error if error.is_permanent() => "refused",
        error if error.is_transient() => "not_now",
        error if error.is_tls() => "tls",
        error if error.is_timeout() => "timeout",
        error if error.is_client() || error.is_response() => "protocol",
        _ => "connection",
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("equipoise_mails_total", "outcome" => outcome).increment(1);
}

/// Nobody's holiday notice answers a machine (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
