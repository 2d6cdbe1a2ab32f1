//! A broker process with a site, its data folder, and the ends that connect to it. It may die and start again.

use crate::process::Process;
use equipoise::{
    client::{Client, Congestion, Target, Transport, parse_pin, sign_in},
    wire::{
        Credential, Do,
        control::{ClientInfo, Done, Hello, KeyKind, Role},
    },
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// In `desk` ben serves, cleo watches and does not; in `quiet` nobody is there. The others have a team each.
/// Nobody is asked anything.
pub const SITE: &str = r#"
[site]
name = "Test"
timezone = "UTC"
seats = 20

[options]
fallback_team = "desk"
default_policy = "open"

[[team]]
code = "desk"
algorithm = "least_busy"
persistent = true

[[team]]
code = "quiet"
algorithm = "least_busy"
persistent = true

[[team]]
code = "ana"
algorithm = "least_busy"

[[team]]
code = "dora"
algorithm = "least_busy"

[[team]]
code = "eli"
algorithm = "least_busy"

[[user]]
username = "ana"
public_name = "Ana"
teams = { ana = "member" }
automation = "administrator"
permissions = ["support", "accept_from_queue", "get_next", "generate_keys", "opt_out", "share_outside", "jump_client"]

[[user]]
username = "ben"
public_name = "Ben"
teams = { desk = "member" }
max_sessions = 10
permissions = ["support", "accept_from_queue", "get_next", "generate_keys", "opt_out"]

[[user]]
username = "cleo"
public_name = "Cleo"
teams = { desk = "manager", quiet = "manager" }
permissions = ["support", "accept_from_queue", "get_next", "generate_keys", "opt_out"]

[[user]]
username = "dora"
public_name = "Dora"
teams = { dora = "member" }
permissions = ["support", "accept_from_queue", "get_next", "generate_keys", "opt_out", "show_screen_to_reps", "give_control_to_reps"]

[[user]]
username = "eli"
public_name = "Eli"
teams = { eli = "member" }
permissions = ["support", "accept_from_queue", "get_next", "generate_keys", "opt_out"]
policy_attended = "looking"

[[jump_item]]
code = "srv"

[[policy]]
code = "open"
tools = { screen = "control", shell = "yes", file_transfer = "both", customer_paths = "any", rep_paths = "any", canned_scripts = "yes" }
prompt = { mode = "never" }

[[policy]]
code = "looking"
tools = { shell = "no" }
"#;

pub const PASSWORD: &str = "seven quiet lamps on a wet pier";

pub struct Place {
    pub folder: TempDir,
    pub data: PathBuf,
    pub address: SocketAddr,
    pub pin: String,
    pub broker: Process,
    more: Vec<String>,
}

impl Place {
    /// A broker with its first administrator; everybody of the site may sign in.
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Self::open_in(folder, data, &[], Process::start).await
    }

    /// In this data folder, with more settings, started in this way.
    pub async fn open_in(folder: TempDir, data: PathBuf, more: &[&str], start: impl Fn(&[&str]) -> Process) -> Self {
        let site = folder.path().join("site.toml");
        std::fs::write(&site, SITE).unwrap();
        let mut more: Vec<String> = more.iter().map(|&arg| arg.to_owned()).collect();
        more.extend(["--site".to_owned(), site.display().to_string()]);
        let broker = start(&words(&args(&data, "127.0.0.1:0", &more)));
        broker.err.has("There is no administrator yet");
        let setup = ["setup", "--data", data.to_str().unwrap(), "--username", "root", "--no-second-factor"];
        Process::start_with(&setup, PASSWORD).done();
        let (address, pin) = serving(&broker);
        let place = Self { folder, data, address, pin, broker, more };
        place.passwords(&["ana", "ben", "cleo", "dora", "eli"]).await;
        place
    }

    async fn passwords(&self, reps: &[&str]) {
        let root = self.client(Transport::Ws, Role::Admin, "root").await;
        for rep in reps {
            let set = Do::SetPassword {
                username: (*rep).into(),
                password: PASSWORD.into(),
                must_reset: false,
                expires_at_ms: None,
            };
            root.act(set).await.unwrap();
        }
        root.close().await;
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        self.broker.kill();
    }

    /// On the same folder and port.
    pub fn start_again(&mut self) {
        let listen = self.address.to_string();
        self.broker = Process::start(&words(&args(&self.data, &listen, &self.more)));
        assert_eq!(serving(&self.broker), (self.address, self.pin.clone()));
    }

    /// Another broker on the same folder, on a port of its own.
    pub fn another(&self) -> Process {
        let other = Process::start(&words(&args(&self.data, "127.0.0.1:0", &self.more)));
        serving(&other);
        other
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn target(&self, transport: Transport) -> Target {
        let url = format!("https://{}", self.address).parse().unwrap();
        Target { url, transport, pin: parse_pin(&self.pin), congestion: Congestion::default() }
    }

    pub async fn client(&self, transport: Transport, role: Role, login: &str) -> Client {
        let target = self.target(transport);
        let token = sign_in(&target, login, PASSWORD).await.unwrap();
        let (client, happenings) = Client::connect(target, hello(role, Credential::Token(token))).await.unwrap();
        happenings.ignore();
        client
    }

    /// A key for a service account.
    pub async fn service_key(&self) -> String {
        self.key_by_root(Do::MakeServiceKey { name: "till".into() }).await
    }

    /// A key for the endpoint that stands by for the jump item.
    pub async fn item_key(&self) -> String {
        self.key_by_root(Do::MakeItemKey { item: "srv".into() }).await
    }

    async fn key_by_root(&self, make: Do) -> String {
        let root = self.client(Transport::Ws, Role::Admin, "root").await;
        let made = root.act(make).await.unwrap();
        root.close().await;
        let Done::Key { key, .. } = made else { panic!("a key was made: {made:?}") };
        key.into()
    }

    /// A customer's endpoint that allows everything below a folder, in a process of its own.
    pub fn agent(&self, transport: Transport, key: &str, root: &Path) -> Process {
        self.agent_with(transport, key, root, &[])
    }

    /// The same, which stands by for a jump item.
    pub fn jump_client(&self, transport: Transport, key: &str, root: &Path) -> Process {
        let agent = self.agent_with(transport, key, root, &["--stand-by"]);
        agent.out.has("Standing by for srv.");
        agent
    }

    fn agent_with(&self, transport: Transport, key: &str, root: &Path, more: &[&str]) -> Process {
        let url = format!("https://{}", self.address);
        let root = root.to_str().unwrap();
        let mut args = vec!["agent", "--server", &url, "--pin", &self.pin, "--transport", name(transport)];
        args.extend(["--key", key, "--allow-all", "--root", root, "--shell", "/bin/sh"]);
        args.extend(more);
        Process::start(&args)
    }

    /// A rep's console that is typed into and answers in JSON, in a process of its own.
    pub fn console(&self, transport: Transport, login: &str) -> Process {
        let url = format!("https://{}", self.address);
        let mut args = vec!["rep", "--server", &url, "--pin", &self.pin, "--transport", name(transport)];
        args.extend(["--login", login, "--json"]);
        Process::start_with(&args, PASSWORD)
    }

    /// A rep's console that follows a script, in a process of its own.
    pub fn rep(&self, transport: Transport, login: &str, script: &str) -> Process {
        let url = format!("https://{}", self.address);
        let mut args = vec!["rep", "--server", &url, "--pin", &self.pin, "--transport", name(transport)];
        args.extend(["--login", login, "-c", script]);
        Process::start_with(&args, PASSWORD)
    }
}

/// Where the broker serves, and its certificate's fingerprint.
fn serving(broker: &Process) -> (SocketAddr, String) {
    let address = broker.err.field("serving", "http").parse().unwrap();
    (address, broker.err.field("clients pin", "pin"))
}

fn args(data: &Path, listen: &str, more: &[String]) -> Vec<String> {
    let fixed = ["serve", "--listen", listen, "--data", data.to_str().unwrap()];
    let quiet = ["--set", "ops.listen=", "--set", "log.format=json", "--set", "data.reserve_mib=16"];
    fixed.into_iter().chain(quiet).map(str::to_owned).chain(more.iter().cloned()).collect()
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

pub fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Ws => "ws",
        Transport::Quic => "quic",
    }
}

pub fn hello(role: Role, credential: Credential) -> Hello {
    let client = ClientInfo { name: "test".into(), os: "linux".into(), present: true, ..ClientInfo::default() };
    Hello { role, site: None, credential, client, features: Vec::new(), seen: None }
}

/// A key for one customer, into the queue of the rep's team.
pub async fn key(rep: &Client) -> String {
    let queue = Some(format!("team:{}", rep.welcome().you));
    let made = rep.act(Do::MakeKey { queue, kind: KeyKind::Code, lives_s: None }).await.unwrap();
    let Done::Key { key, .. } = made else { panic!("a key was made: {made:?}") };
    key.into()
}
