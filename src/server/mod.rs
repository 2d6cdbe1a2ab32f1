//! Builds every room from the settings, joins their tasks, and takes them down in order. It holds no rule of its own:
//! who may do what is decided below it.

pub mod demo;
mod gather;
mod post;
pub mod settings;
pub mod setup;
mod setup_token;
mod watch;

pub use settings::Settings;

use crate::{
    broker::{self, Broker},
    clock,
    engine::State,
    framing::ALPN,
    ids::UserId,
    limits,
    mail::Post,
    ops::{self, Check, Health, http::OpsListener, metrics::Recorder},
    site::{
        Site, UserPermission,
        raw::{RawAccount, RawSite},
    },
    transport::{
        HttpListener, HttpSettings, PerAddress, QuicListener, QuicSettings,
        tls::{self, Certificate},
    },
};
use settings::PlainText;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("site.file {path}")]
    SiteFile { path: PathBuf, source: std::io::Error },
    #[error("site.file {path}: {problems}")]
    Site { path: PathBuf, problems: String },
    #[error(transparent)]
    Broker(#[from] broker::StartError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Listen(#[from] crate::transport::ListenError),
    #[error(transparent)]
    Ops(#[from] ops::http::OpsError),
    #[error(transparent)]
    Mail(#[from] crate::mail::MailError),
    #[error("{key} {path}: {source}")]
    MailFile { key: &'static str, path: PathBuf, source: std::io::Error },
    #[error("mail.password_file {path}: {why}")]
    MailPassword { path: PathBuf, why: &'static str },
    #[error(transparent)]
    Setup(#[from] setup::SetupError),
    #[error("the broker ended during its start")]
    Ended,
    #[error("the owner of the site ended: {why}")]
    Owner { why: String },
}

impl ServerError {
    /// The operator's settings or files are wrong, rather than the machine.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::SiteFile { .. }
                | Self::Site { .. }
                | Self::Mail(_)
                | Self::MailFile { .. }
                | Self::MailPassword { .. }
        )
    }
}

/// A broker with its journal open and its operations listener serving. Its doors are still shut.
pub struct Server {
    pub broker: Broker,
    pub health: Health,
    pub recorder: Recorder,
    /// Of the operations listener, if there is one.
    pub ops: Option<SocketAddr>,
    settings: Settings,
    post: Option<Post>,
    /// Cancelled first: nobody new, everybody is told.
    shutdown: CancellationToken,
    /// Cancelled last, so that operators can watch the drain.
    ops_stop: CancellationToken,
    owner: JoinHandle<()>,
    /// Why the owner ended without being told to, once it has.
    owner_ended: tokio::sync::watch::Receiver<Option<String>>,
    watchers: TaskTracker,
}

/// The public listeners of a server, serving.
pub struct Doors {
    pub http: SocketAddr,
    pub quic: Option<SocketAddr>,
    /// None without TLS.
    pub certificate: Option<Arc<Certificate>>,
    tasks: TaskTracker,
}

impl Server {
    /// Opens the journal and starts the broker and the operations listener.
    pub async fn start(settings: Settings) -> Result<Self, ServerError> {
        let health = Health::default();
        let recorder = ops::metrics::recorder();
        let (shutdown, ops_stop) = (CancellationToken::new(), CancellationToken::new());
        let ops = match settings.ops {
            Some(address) => Some(OpsListener::bind(address, settings.ops_allow_remote).await?),
            None => None,
        };
        let site = read_site(&settings)?;
        let post = settings.mail.as_ref().map(post::open).transpose()?;
        let broker_settings = broker::Settings {
            data: settings.data_folder.clone(),
            disk_reserve_bytes: settings.reserve_bytes,
            person_pace: broker::Pace::PERSON,
            window_max: settings.window_max,
            post: post.clone(),
            site,
        };
        let (broker, owner) =
            Broker::start(broker_settings, Box::new(ops::follow::follower()), shutdown.clone()).await?;

        let (tell, owner_ended) = tokio::sync::watch::channel(None);
        let owner = tokio::spawn(mind_owner(owner, shutdown.clone(), tell));

        let recorder = recorder.gathering(gather::from(broker.clone(), health.clone(), &settings));
        let watchers = TaskTracker::new();
        let ops_address = ops.as_ref().and_then(|listener| listener.address().ok());
        if let Some(listener) = ops {
            tracing::info!(address = ?ops_address, "operations listener");
            watchers.spawn(listener.run(health.clone(), recorder.clone(), ops_stop.clone()));
        }
        watchers.spawn(recorder.clone().keep_up(ops_stop.clone()));
        watchers.spawn(watch::run(broker.clone(), health.clone(), settings.clone(), ops_stop.clone()));
        for (key, gives_up) in settings.weaknesses() {
            tracing::warn!(key, gives_up, "a setting is weaker than its default");
        }
        let alone = broker.look(|state| admins(state).filter(|user| !state.accounts.has_second_factor(*user)).count());
        let alone = alone.await.map_err(|_| ServerError::Ended)?;
        if alone > 0 {
            tracing::warn!(administrators = alone, "administrators sign in with a password alone: let them enrol");
        }
        health.pass(Check::Started);
        let ops = ops_address;
        Ok(Self { broker, health, recorder, ops, settings, post, shutdown, ops_stop, owner, owner_ended, watchers })
    }

    /// Waits until the owner of the site has ended without being told to: then nobody is served, and the process should
    /// end.
    pub async fn failed(&self) -> ServerError {
        let mut ended = self.owner_ended.clone();
        let why = ended.wait_for(Option::is_some).await.map(|why| why.clone());
        match why {
            Ok(Some(why)) => ServerError::Owner { why },
            // It was told to end.
            _ => std::future::pending().await,
        }
    }

    /// Binds the public listeners and serves them.
    pub async fn open(&self) -> Result<Doors, ServerError> {
        let settings = &self.settings;
        let certificate = match settings.plain_text {
            PlainText::Never => Some(self.certificate()?),
            PlainText::Loopback | PlainText::BehindProxy => None,
        };
        let tls =
            certificate.as_ref().map(|certificate| tls::server_config(certificate, &[b"http/1.1"], settings.tls_1_2));
        let per_address = PerAddress::new(settings.connections_per_address);
        let http = HttpListener::bind(HttpSettings {
            listen: settings.listen,
            tls: tls.transpose()?.map(Arc::new),
            behind_proxy: settings.plain_text == PlainText::BehindProxy,
            origins: settings.allowed_origins.clone(),
            per_address: match settings.plain_text {
                PlainText::BehindProxy => PerAddress::new(usize::MAX),
                _ => per_address.clone(),
            },
        })
        .await?;
        let http_address = http.address();
        let quic = match settings.quic {
            Some(listen) => Some(self.quic(listen, http_address, certificate.as_ref(), per_address)?),
            None => None,
        };
        let quic_address = quic.as_ref().map(QuicListener::address);

        let tasks = TaskTracker::new();
        tasks.spawn(http.serve(self.broker.clone()));
        if let Some(quic) = quic {
            tasks.spawn(quic.serve(self.broker.clone()));
        }
        tasks.close();
        Ok(Doors { http: http_address, quic: quic_address, certificate, tasks })
    }

    /// With port 0 for both, QUIC takes the port that the system gave to WebSocket: one address to tell people.
    fn quic(
        &self,
        listen: SocketAddr,
        http: SocketAddr,
        certificate: Option<&Arc<Certificate>>,
        per_address: PerAddress,
    ) -> Result<QuicListener, ServerError> {
        let own;
        let certificate = match certificate {
            Some(certificate) => certificate,
            // QUIC is never without TLS, whatever a proxy ends for WebSocket.
            None => {
                own = self.certificate()?;
                &own
            }
        };
        let listen = if listen.port() == 0 { SocketAddr::new(listen.ip(), http.port()) } else { listen };
        let congestion = self.settings.congestion;
        let tls = Arc::new(tls::server_config(certificate, &[ALPN], false)?);
        let reset_key = certificate.reset_key();
        Ok(QuicListener::bind(QuicSettings {
            listen,
            tls,
            congestion,
            window_max: self.settings.window_max,
            reset_key,
            per_address,
        })?)
    }

    fn certificate(&self) -> Result<Arc<Certificate>, ServerError> {
        let source = match &self.settings.tls_files {
            Some((certificate, key)) => tls::Source::Files { certificate: certificate.clone(), key: key.clone() },
            None => tls::Source::SelfMade {
                folder: self.settings.data_folder.clone(),
                names: tls::names_for([self.settings.listen.ip().to_string()]),
            },
        };
        Ok(Certificate::load(source, clock::wall_ms() as i64)?)
    }

    /// Takes everything down in order: nobody new is let in, ends are told to come back, the journal is closed, and
    /// the operations listener goes last. False if something did not end in time.
    pub async fn stop(self, doors: Option<Doors>) -> bool {
        self.health.fail(Check::Draining, "the broker is about to stop");
        let ordered = async {
            // The owner still hears of letters that no server took.
            if let Some(post) = &self.post {
                post.close().await;
            }
            self.shutdown.cancel();
            if let Some(doors) = doors {
                doors.tasks.wait().await;
            }
            // It only waits for the owner, and does not panic.
            let _ = self.owner.await;
            self.ops_stop.cancel();
            self.watchers.close();
            self.watchers.wait().await;
        };
        tokio::time::timeout(Duration::from_millis(limits::STOP.0), ordered).await.is_ok()
    }

    /// Listens for the first administrator on a socket in the data folder.
    pub fn set_up(&self) -> Result<setup::Waiting, ServerError> {
        self.health.fail(Check::Setup, "there is no administrator: run `equipoise setup`");
        Ok(setup::Waiting::open(self.broker.clone(), self.health.clone(), &self.settings.data_folder)?)
    }

    /// Somebody can sign in and administer.
    pub async fn has_admin(&self) -> Result<bool, ServerError> {
        let look = self.broker.look(|state| admins(state).next().is_some());
        look.await.map_err(|_| ServerError::Ended)
    }
}

impl Doors {
    /// Reads the certificate's files again without dropping anyone; on an error the one in use stays (W6.4).
    pub fn reload_certificate(&self) -> Result<(), ServerError> {
        match &self.certificate {
            Some(certificate) => Ok(certificate.reload(clock::wall_ms() as i64)?),
            None => Ok(()),
        }
    }
}

/// Administrators who can sign in.
fn admins(state: &State) -> impl Iterator<Item = UserId> {
    let admins = state.site.users.iter().filter(|(_, user)| user.permissions.contains(&UserPermission::Administrator));
    admins.map(|(id, _)| *id).filter(|id| state.accounts.credential(*id).is_some())
}

/// Waits for the owner's end, and says why where nobody asked for it.
async fn mind_owner(
    owner: JoinHandle<Result<(), broker::OwnerError>>,
    shutdown: CancellationToken,
    tell: tokio::sync::watch::Sender<Option<String>>,
) {
    let why = match owner.await {
        Ok(Ok(())) if shutdown.is_cancelled() => return,
        Ok(Ok(())) => "nobody told it to".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    };
    tracing::error!(why, "the owner of the site ended");
    tell.send_replace(Some(why));
}

/// The site to import at a first start.
fn read_site(settings: &Settings) -> Result<RawSite, ServerError> {
    let Some(path) = &settings.site_file else {
        let site = RawAccount { name: "equipoise".to_owned(), ..RawAccount::default() };
        return Ok(RawSite { site, ..RawSite::default() });
    };
    let text = std::fs::read_to_string(path).map_err(|source| ServerError::SiteFile { path: path.clone(), source })?;
    let problems = |problems: Vec<crate::site::Problem>| ServerError::Site {
        path: path.clone(),
        problems: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    let (_, raw) = Site::with_raw(&text, None).map_err(problems)?;
    Ok(Arc::unwrap_or_clone(raw))
}
