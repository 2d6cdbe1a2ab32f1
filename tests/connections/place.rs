//! A broker with its listeners, people who connect to it, and a line between them that can be cut.

use equipoise::{
    broker::{Broker, Follower, OwnerError, Pace, Settings},
    client::{self, Client, Happening, Happenings, Target, Transport},
    engine::Actor,
    framing, limits,
    mail::Post,
    site::raw::RawSite,
    transport::{
        Congestion, HttpListener, HttpSettings, PerAddress, QuicListener, QuicSettings,
        tls::{self, Certificate, Source},
    },
    wire::{
        Credential, Do, Done, Ev, Hello,
        control::{ClientInfo, KeyKind, Open, Opened, Role, Value},
    },
};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub const SITE: &str = r#"
[site]
name = "Test"
timezone = "UTC"
seats = 10

[options]
fallback_team = "desk"
default_policy = "open"

[[team]]
code = "desk"
name = "Desk"
algorithm = "least_busy"

[[user]]
username = "ana"
public_name = "Ana"
private_name = "Ana A"
teams = { desk = "manager" }
permissions = ["support", "accept_from_queue", "get_next", "generate_keys", "opt_out", "share_outside"]

[[user]]
username = "ben"
public_name = "Ben"
private_name = "Ben B"
teams = { desk = "member" }
permissions = ["support", "accept_from_queue"]

[[user]]
username = "kim"
public_name = "Kim"
teams = { desk = "member" }
permissions = ["support", "accept_from_queue"]

[[user]]
username = "root"
permissions = ["administrator"]

[[technician_group]]
code = "tier1"
members = ["ana"]
tools = { reboot = "allow" }

[[portal]]
code = "main"
hosts = ["127.0.0.1"]

[[policy]]
code = "open"
tools = { screen = "control", shell = "yes", file_transfer = "both", customer_paths = "any", mask_selectors = [".card"], termination = "lock" }
prompt = { mode = "never" }
"#;

pub const PASSWORD: &str = "seven quiet lamps on a wet pier";

/// A broker that listens.
pub struct Place {
    pub broker: Broker,
    pub address: SocketAddr,
    pub pin: [u8; 32],
    shutdown: CancellationToken,
    owner: JoinHandle<Result<(), OwnerError>>,
    listeners: [JoinHandle<()>; 2],
}

impl Place {
    pub async fn open(data: &Path) -> Self {
        // Only the first test of a process sets it.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let place = Self::open_at(data, "127.0.0.1:0".parse().unwrap()).await;
        place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
        place
    }

    /// On the same folder and address again, as after a restart.
    pub async fn open_at(data: &Path, listen: SocketAddr) -> Self {
        Self::open_with(data, listen, SITE, Box::new(|_, _| {})).await
    }

    /// With a site of its own, and a post for its mail.
    pub async fn open_with_post(data: &Path, site: &str, post: Post) -> Self {
        let follower: Follower = Box::new(|_, _| {});
        let place = Self::open_as(data, "127.0.0.1:0".parse().unwrap(), site, follower, Some(post), Pace::PERSON).await;
        place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
        place
    }

    /// With a site of its own, and somebody who hears of every turn.
    pub async fn open_with(data: &Path, listen: SocketAddr, site: &str, follower: Follower) -> Self {
        Self::open_as(data, listen, site, follower, None, Pace::PERSON).await
    }

    /// Where a test speaks for people faster than people do.
    pub async fn open_paced(data: &Path, site: &str, pace: Pace) -> Self {
        let follower: Follower = Box::new(|_, _| {});
        Self::open_as(data, "127.0.0.1:0".parse().unwrap(), site, follower, None, pace).await
    }

    async fn open_as(
        data: &Path,
        listen: SocketAddr,
        site: &str,
        follower: Follower,
        post: Option<Post>,
        person_pace: Pace,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let settings = Settings {
            data: data.join("data"),
            disk_reserve_bytes: 0,
            person_pace,
            window_max: limits::WINDOW_BYTES_MAX,
            post,
            site: RawSite::parse(site).unwrap(),
        };
        let (broker, owner) = Broker::start(settings, follower, shutdown.clone()).await.unwrap();
        let source = Source::SelfMade { folder: data.to_owned(), names: tls::names_for([]) };
        let certificate = Certificate::load(source, 1_800_000_000_000).unwrap();
        let config = tls::server_config(&certificate, &[b"http/1.1"], false).unwrap();
        let origins = vec!["https://console.example".to_owned()];
        let per_address = PerAddress::new(limits::UNAUTHENTICATED_MAX * 2);
        let settings = HttpSettings {
            listen,
            tls: Some(Arc::new(config)),
            behind_proxy: false,
            origins,
            per_address: per_address.clone(),
        };
        let quic = Arc::new(tls::server_config(&certificate, &[framing::ALPN], false).unwrap());
        // Both on one port: the system chose it for TCP, so UDP may have it taken.
        let (http, quic) = loop {
            let http = HttpListener::bind(settings.clone()).await.unwrap();
            let listen = http.address();
            match QuicListener::bind(QuicSettings {
                listen,
                tls: quic.clone(),
                congestion: Congestion::Bbr,
                window_max: limits::WINDOW_BYTES_MAX,
                reset_key: certificate.reset_key(),
                per_address: per_address.clone(),
            }) {
                Ok(quic) => break (http, quic),
                Err(_) => continue,
            }
        };
        let address = http.address();
        let pin = client::parse_pin(&certificate.fingerprint()).unwrap();
        let listeners = [tokio::spawn(http.serve(broker.clone())), tokio::spawn(quic.serve(broker.clone()))];
        Self { broker, address, pin, shutdown, owner, listeners }
    }

    /// Everything ends: connections are closed with 1012, the journal is closed.
    pub async fn close(self) {
        self.shutdown.cancel();
        for listener in self.listeners {
            listener.await.unwrap();
        }
        drop(self.broker);
        self.owner.await.unwrap().unwrap();
    }

    pub fn target(&self, transport: Transport) -> Target {
        self.target_at(self.address, transport)
    }

    /// The broker as it is reached through another address.
    pub fn target_at(&self, address: SocketAddr, transport: Transport) -> Target {
        Target {
            url: format!("https://{address}").parse().unwrap(),
            transport,
            pin: Some(self.pin),
            congestion: Congestion::default(),
        }
    }
}

pub fn hello(role: Role, credential: Credential) -> Hello {
    let client = ClientInfo { name: "test".into(), os: "linux".into(), present: true, ..ClientInfo::default() };
    Hello { role, site: None, credential, client, features: Vec::new(), seen: None }
}

/// Somebody who is connected.
pub struct Person {
    pub client: Client,
    pub happenings: Happenings,
    pub session: u64,
}

impl Person {
    /// Waits for the event that is asked for; others pass.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(Ev) -> Option<T>) -> T {
        let found = async {
            loop {
                match self.happenings.recv().await.expect("the connection goes on") {
                    Happening::Ev { ev, .. } => {
                        if let Some(found) = wanted(ev) {
                            return found;
                        }
                    }
                    Happening::Ended { code, reason } => panic!("ended with {code}: {reason}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), found).await.expect("it happens in time")
    }
}

/// Ana at her console, and a customer in a session with her.
pub async fn a_session(rep_at: Target, customer_at: Target) -> (Person, Person) {
    let token = client::sign_in(&rep_at, "ana", PASSWORD).await.unwrap();
    let (ana, ana_hears) = Client::connect(rep_at, hello(Role::Rep, Credential::Token(token))).await.unwrap();
    let key = ana.act(Do::MakeKey { queue: None, kind: KeyKind::Code, lives_s: None }).await.unwrap();
    let Done::Key { key, .. } = key else { panic!("a key was made: {key:?}") };
    let (customer, customer_hears) =
        Client::connect(customer_at, hello(Role::Customer, Credential::Key(key.into()))).await.unwrap();
    let session = customer.welcome().session.expect("a customer has one session");
    let taken = ana.act(Do::Accept { session }).await;
    if taken.is_err() {
        ana.act(Do::Take { session }).await.unwrap();
    }
    let ana = Person { client: ana, happenings: ana_hears, session };
    (ana, Person { client: customer, happenings: customer_hears, session })
}

/// The rep opens a tool, the customer's end takes it up; both are told the channels.
pub async fn open(rep: &mut Person, customer: &mut Person, tool: &str, args: &[(&str, Value)]) -> (Opened, Opened) {
    let args: BTreeMap<String, Value> = args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let session = rep.session;
    let asked = rep.client.act(Do::Open(Open { session, tool: tool.to_owned(), args }));
    asked.await.unwrap();
    let requested = |ev| if let Ev::Requested { open, .. } = ev { Some(open) } else { None };
    let open = customer.until(requested).await;
    customer.client.act(Do::AcceptOpen { session, open, facts: BTreeMap::new() }).await.unwrap();
    let opened = |ev| if let Ev::Opened(opened) = ev { Some(opened) } else { None };
    (rep.until(opened).await, customer.until(opened).await)
}

/// A line to a broker that can be cut: whatever is on it then is lost.
pub struct Line {
    pub address: SocketAddr,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Line {
    pub async fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, cut) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(broker).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, cuts, task }
    }

    /// Cuts every connection that passes; the next ones pass again.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}
