//! A broker with people on it: reps at consoles, customers in sessions, a channel between them.

use crate::{
    Failure,
    child::{self, Ready, Way},
    lean::Lean,
    process::Measured,
};
use equipoise::{
    client::Target,
    framing::quic::Congestion,
    ids::ChannelId,
    limits, relay,
    wire::{
        Frame,
        control::{Ask, Class, ClientInfo, Credential, Do, Done, Ev, Hello, Open, Role, Value},
    },
};
use std::net::SocketAddr;
use tempfile::TempDir;

pub struct Stage {
    pub broker: Measured,
    pub ready: Ready,
    data: TempDir,
    reps: usize,
    teams: usize,
    way: Way,
    at: Target,
}

/// One end of a channel: its connection, where it is and what it may.
pub struct End {
    pub lean: Lean,
    pub at: u64,
    pub limit: u64,
}

/// A session whose customer sends a file to its rep.
pub struct Pair {
    pub writer: End,
    pub reader: End,
    pub channel: ChannelId,
}

impl Stage {
    /// Reps dealt out to teams, and how their consoles and customers reach the broker.
    pub async fn start(reps: usize, teams: usize, way: impl Into<Way>) -> Result<Self, Failure> {
        let (data, way) = (tempfile::tempdir()?, way.into());
        let broker = start_broker(&data, reps, teams, &way)?;
        let ready: Ready = serde_json::from_str(&broker.hello)?;
        let at = ready.target(&way)?;
        Ok(Self { broker, ready, data, reps, teams, way, at })
    }

    /// Starts the broker again on what the one before left behind.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.broker = start_broker(&self.data, self.reps, self.teams, &self.way)?;
        self.ready = serde_json::from_str(&self.broker.hello)?;
        self.at = self.ready.target(&self.way)?;
        Ok(())
    }

    pub async fn connect(&self, hello: Hello) -> Result<Lean, Failure> {
        Lean::connect(&self.at, hello).await
    }

    /// Of the team that a rep is in.
    pub fn queue_of(&self, rep: usize) -> String {
        format!("team:t{}", rep % self.teams)
    }

    pub async fn rep(&self, number: usize) -> Result<Lean, Failure> {
        let token = self.ready.tokens.get(number).ok_or_else(|| Failure::Run(format!("there is no rep {number}")))?;
        Lean::connect(&self.at, hello(Role::Rep, Credential::Token(token.clone()))).await
    }

    pub async fn administrator(&self) -> Result<Lean, Failure> {
        Lean::connect(&self.at, hello(Role::Admin, Credential::Token(self.ready.admin.clone()))).await
    }

    /// The site that the broker was started with.
    pub fn site(&self) -> String {
        child::site(self.reps, self.teams, "least_busy")
    }

    pub async fn service(&self) -> Result<Lean, Failure> {
        let key = Credential::Key(self.ready.service_key.clone());
        Lean::connect(&self.at, hello(Role::Service, key)).await
    }

    /// A rep, a customer, a session between them and a file on its way.
    pub async fn pair(&self, number: usize) -> Result<Pair, Failure> {
        let mut rep = self.rep(number).await?;
        let mut service = self.service().await?;
        let (customer, channel) = self.serve(&mut rep, number, &mut service).await?;
        let writer = End { lean: customer, at: 0, limit: relay::window(Class::File) };
        let reader = End { lean: rep, at: 0, limit: limits::WINDOW_BYTES_MOST };
        Ok(Pair { writer, reader, channel })
    }

    /// One more session of a rep's, with a customer who sends a file.
    pub async fn serve(&self, rep: &mut Lean, number: usize, service: &mut Lean) -> Result<(Lean, ChannelId), Failure> {
        let ask = Ask { queue: format!("rep:r{number}"), ..Ask::default() };
        let Done::Asked { session, join } = service.act(Do::Ask(ask)).await? else {
            return Err(Failure::Run("an ask was not answered with a session".into()));
        };
        let key = Credential::Key(join.into());
        let mut customer = Lean::connect(&self.at, hello(Role::Customer, key)).await?;
        rep.act(Do::Take { session }).await?;
        let args = [("direction", "download"), ("path", "/load")];
        let args = args.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned()))).collect();
        rep.act(Do::Open(Open { session, tool: "file_transfer".into(), args })).await?;
        let open = customer
            .until(|ev| match ev {
                Ev::Requested { open, .. } => Some(*open),
                _ => None,
            })
            .await?;
        customer.act(Do::AcceptOpen { session, open, facts: Default::default() }).await?;
        let opened = |ev: &Ev| match ev {
            Ev::Opened(opened) => opened.channels.first().map(|channel| ChannelId(channel.channel)),
            _ => None,
        };
        let channel = customer.until(opened).await?;
        rep.until(|ev| opened(ev).filter(|it| *it == channel)).await?;
        // The reader's first word: as much as the protocol lets it grant.
        rep.send_frame(&Frame::credit(channel, 0, limits::WINDOW_BYTES_MOST));
        Ok((customer, channel))
    }
}

fn start_broker(data: &TempDir, reps: usize, teams: usize, way: &Way) -> Result<Measured, Failure> {
    let folder = data.path().join("data").display().to_string();
    let (reps, teams) = (reps.to_string(), teams.to_string());
    let listen = SocketAddr::new(way.place.address(), 0).to_string();
    let mut args = vec!["broker", "--data", &folder, "--reps", &reps, "--teams", &teams, "--listen", &listen];
    if way.congestion == Congestion::Cubic {
        args.push("--cubic");
    }
    let window = way.window_kib.map(|kib| kib.to_string());
    if let Some(kib) = &window {
        args.extend(["--window-kib", kib]);
    }
    Ok(way.place.start(&args)?)
}

pub fn hello(role: Role, credential: Credential) -> Hello {
    let client = ClientInfo { name: "loadtest".into(), os: "linux".into(), present: true, ..ClientInfo::default() };
    Hello { role, site: None, credential, client, features: Vec::new(), seen: None }
}
