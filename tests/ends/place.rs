//! A broker on a temporary folder, customers and reps at terminals that a test types on and reads from.

use bytes::Bytes;
use equipoise::{
    agent::{self, AgentError, Allow, Show, Terminal},
    client::{Client, ClientError, Congestion, Happenings, Target, Transport, parse_pin, sign_in},
    engine::Actor,
    rep::{self, Keyboard, Output, RepError},
    server::{Doors, Server, Settings, settings::Sources},
    wire::{
        Credential, Do, Done, Hello,
        control::{ClientInfo, KeyKind, Role},
    },
};
use sha2::{Digest, Sha256};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
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

[[team]]
code = "other"
name = "Other"
algorithm = "least_busy"

[[script]]
code = "tidy"
teams = ["desk"]
text = """
echo $((40+2)) tidied
sh -c 'exit 3'
"""

[[script]]
code = "stay"
teams = ["desk"]
text = "echo working; sleep 1000 & echo job=$!=; wait"

[[script]]
code = "theirs"
teams = ["other"]
text = "echo never"

[[portal]]
code = "main"

[[policy]]
code = "open"
tools = { screen = "control", shell = "yes", file_transfer = "both", customer_paths = "any", rep_paths = "any", chat = "yes", system_info = "yes", file_manager = "manage", clipboard = "both", canned_scripts = "yes", push_url = "yes", reboot = "yes", system_info_actions = "yes", screen_capture = "yes", annotations = "yes" }
prompt = { mode = "never" }
"#;

const PASSWORD: &str = "seven quiet lamps on a wet pier";
/// Far beyond what anything here takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Place {
    dir: tempfile::TempDir,
    server: Option<(Server, Doors)>,
    target: Target,
}

impl Place {
    pub async fn open(site: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("site.toml"), site).unwrap();
        let (server, doors) = start(dir.path(), "127.0.0.1:0").await;
        server.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
        let pin = doors.certificate.as_ref().and_then(|certificate| parse_pin(&certificate.fingerprint()));
        let url = format!("https://{}", doors.http).parse().unwrap();
        Self {
            dir,
            server: Some((server, doors)),
            target: Target { url, transport: Transport::Ws, pin, congestion: Congestion::default() },
        }
    }

    /// Stops the broker and starts it anew on the same folder and port.
    pub async fn restart(&mut self) {
        let (server, doors) = self.server.take().unwrap();
        let address = doors.http.to_string();
        server.stop(Some(doors)).await;
        self.server = Some(start(self.dir.path(), &address).await);
    }

    pub async fn close(mut self) {
        let (server, doors) = self.server.take().unwrap();
        assert!(server.stop(Some(doors)).await, "the broker did not stop in time");
    }

    /// Another user of the site may sign in, with the same password as ana.
    pub async fn admit(&self, name: &str) {
        let (server, _) = self.server.as_ref().unwrap();
        server.broker.set_password(Actor::System, name, PASSWORD.to_owned()).await.unwrap();
    }

    /// Does this password let a user in? Or the code of the refusal.
    pub async fn signs_in(&self, name: &str, password: &str) -> Result<(), String> {
        match sign_in(&self.target, name, password).await {
            Ok(_) => Ok(()),
            Err(ClientError::Refused(refused)) => Err(refused.code),
            Err(other) => panic!("it is answered: {other}"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn random_file(&self, name: &str, bytes: usize) -> PathBuf {
        let mut content = vec![0; bytes];
        getrandom::fill(&mut content).unwrap();
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// A customer who came with a key into the desk's queue.
    pub async fn customer(&self, transport: Transport, allow: Allow, share: &Path) -> Customer {
        let options = self.options(transport, allow, share).await;
        self.customer_with(options).await
    }

    pub async fn options(&self, transport: Transport, allow: Allow, share: &Path) -> agent::Options {
        agent::Options {
            target: Target { transport, ..self.target.clone() },
            key: self.key().await,
            allow,
            roots: vec![share.to_owned()],
            name: "Bo".into(),
            shell: Some("/bin/sh".into()),
            screen: Show::Demo,
            unattended: false,
            stand_by: false,
            jobs: true,
            state: None,
            restart: None,
            at_end: Default::default(),
            button: None,
            pin: None,
            browser: None,
        }
    }

    pub async fn customer_with(&self, options: agent::Options) -> Customer {
        let (lines, typed) = mpsc::channel(16);
        let seen = Seen::default();
        let stop = CancellationToken::new();
        let terminal = Terminal::new(typed, Box::new(seen.clone()), true);
        let task = tokio::spawn(agent::serve(options, terminal, stop.clone()));
        let mut customer = Customer { lines, end: End { seen, at: 0, task: Some(task) }, stop };
        customer.until("Joined.").await;
        customer
    }

    /// An endpoint that stands by for a jump item, at a terminal where nobody sits.
    pub async fn standing_with(&self, options: agent::Options) -> Customer {
        let (lines, typed) = mpsc::channel(16);
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        let terminal = Terminal::new(typed, Box::new(seen.clone()), false);
        let task = tokio::spawn(agent::stand_by(options, terminal, stop.clone()));
        let mut customer = Customer { lines, end: End { seen, at: 0, task: Some(task) }, stop };
        customer.until("Standing by for").await;
        customer
    }

    /// The same endpoint as a process of its own, which can go down as a machine does.
    pub fn machine(&self, options: &agent::Options, more: &[&str]) -> Machine {
        let pin = self.target.pin.map(|pin| format!("sha256:{}", data_encoding::HEXLOWER.encode(&pin)));
        #[expect(clippy::disallowed_methods, reason = "the agent as it is run")]
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_equipoise"));
        command.args([
            "agent",
            "--server",
            self.target.url.as_str(),
            "--key",
            &options.key,
            "--name",
            "Bo",
            "--allow-all",
        ]);
        command.args(["--pin", &pin.unwrap(), "--shell", "/bin/sh"]).args(more);
        command.args(options.state.iter().flat_map(|file| [Path::new("--state"), file]));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut out, seen) = (child.stdout.take().unwrap(), Seen::default());
        let mut into = seen.clone();
        std::thread::spawn(move || io::copy(&mut out, &mut into));
        Machine { child, end: End { seen, at: 0, task: None } }
    }

    /// A customer and a rep who serves them, typing.
    pub async fn serving(&self, allow: Allow, share: &Path) -> (Customer, Rep) {
        self.serving_with(self.options(Transport::Ws, allow, share).await).await
    }

    pub async fn serving_with(&self, options: agent::Options) -> (Customer, Rep) {
        let customer = self.customer_with(options).await;
        let mut rep = self.rep(Transport::Ws, None);
        rep.until("accept or reject").await;
        rep.type_in("accept\n").await;
        rep.until("you serve").await;
        (customer, rep)
    }

    pub fn rep(&self, transport: Transport, script: Option<&str>) -> Rep {
        self.console(rep::Way::Login("ana".into()), transport, script)
    }

    pub fn console(&self, way: rep::Way, transport: Transport, script: Option<&str>) -> Rep {
        let options = rep::Options {
            target: Target { transport, ..self.target.clone() },
            way,
            json: false,
            script: script.map(str::to_owned),
            screen: Show::Demo,
        };
        let (keys, typed) = mpsc::channel(64);
        let seen = Seen::default();
        let output = Output::new(Box::new(seen.clone()), false);
        let task =
            tokio::spawn(async move { rep::serve(options, PASSWORD, Keyboard::new(typed, false), output).await });
        Rep { keys, end: End { seen, at: 0, task: Some(task) } }
    }

    /// A rep's connection without the product's console.
    pub async fn bare_rep(&self) -> (Client, Happenings) {
        let token = sign_in(&self.target, "ana", PASSWORD).await.unwrap();
        let client = ClientInfo { present: true, ..ClientInfo::default() };
        let credential = Credential::Token(token);
        let hello = Hello { role: Role::Rep, site: None, credential, client, features: Vec::new(), seen: None };
        Client::connect(self.target.clone(), hello).await.unwrap()
    }

    pub async fn key(&self) -> String {
        let (client, happenings) = self.bare_rep().await;
        happenings.ignore();
        let make = Do::MakeKey { queue: Some("team:desk".into()), kind: KeyKind::Code, lives_s: None };
        let done = client.act(make).await.unwrap();
        client.close().await;
        match done {
            Done::Key { key, .. } => key.into(),
            other => panic!("{other:?}"),
        }
    }
}

pub struct Customer {
    lines: mpsc::Sender<String>,
    end: End<AgentError>,
    stop: CancellationToken,
}

impl Customer {
    pub async fn type_in(&self, line: &str) {
        self.lines.send(line.to_owned()).await.unwrap();
    }

    pub async fn until(&mut self, text: &str) {
        self.end.until(text).await;
    }

    pub fn seen(&self) -> String {
        self.end.seen.text()
    }

    /// Ctrl-C.
    pub async fn leave(&mut self) -> Result<(), AgentError> {
        self.stop.cancel();
        self.end.done().await
    }

    /// Waits for the session's end.
    pub async fn ended(&mut self) -> Result<(), AgentError> {
        self.end.done().await
    }
}

pub struct Machine {
    child: std::process::Child,
    end: End<AgentError>,
}

impl Machine {
    pub async fn until(&mut self, text: &str) {
        self.end.until(text).await;
    }

    /// Nobody is told and nothing is tidied up.
    pub fn goes_down(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Gone already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Rep {
    keys: mpsc::Sender<Bytes>,
    end: End<RepError>,
}

impl Rep {
    /// One line, and what has to be seen for it.
    pub async fn line(&mut self, line: &str, seen: &str) {
        self.type_in(&format!("{line}\n")).await;
        self.until(seen).await;
    }

    pub async fn type_in(&self, keys: &str) {
        self.keys.send(Bytes::copy_from_slice(keys.as_bytes())).await.unwrap();
    }

    pub async fn until(&mut self, text: &str) {
        self.end.until(text).await;
    }

    pub fn seen(&self) -> String {
        self.end.seen.text()
    }

    pub async fn left(&mut self) -> Result<(), RepError> {
        self.end.done().await
    }
}

struct End<E> {
    seen: Seen,
    /// How far a test has read.
    at: usize,
    task: Option<JoinHandle<Result<(), E>>>,
}

impl<E> End<E> {
    /// Reads on until a text was seen.
    async fn until(&mut self, text: &str) {
        let mut changed = self.seen.changed.subscribe();
        let look = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = self.seen.after(self.at, text) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        self.at = found.unwrap_or_else(|_| panic!("no {text:?} in:\n{}", self.seen.text()));
    }

    async fn done(&mut self) -> Result<(), E> {
        let task = self.task.take().expect("ends once");
        let done = tokio::time::timeout(PATIENCE, task).await;
        done.unwrap_or_else(|_| panic!("did not end:\n{}", self.seen.text())).unwrap()
    }
}

/// What was printed.
#[derive(Clone)]
struct Seen {
    bytes: Arc<Mutex<Vec<u8>>>,
    changed: Arc<watch::Sender<usize>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { bytes: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }
}

impl Seen {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Where a text ends that begins at or after a place.
    fn after(&self, at: usize, text: &str) -> Option<usize> {
        let bytes = self.bytes.lock().unwrap();
        let found = bytes[at..].windows(text.len()).position(|window| window == text.as_bytes());
        found.map(|found| at + found + text.len())
    }
}

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        self.changed.send_modify(|count| *count += 1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Asks again and again, letting others work in between.
pub async fn until_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looked = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("it never came")
}

async fn start(dir: &Path, listen: &str) -> (Server, Doors) {
    let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let flags = vec![
        flag("listen.address", listen),
        flag("ops.listen", "127.0.0.1:0"),
        flag("data.folder", &dir.join("data").to_string_lossy()),
        flag("site.file", &dir.join("site.toml").to_string_lossy()),
    ];
    let settings = Settings::load(&Sources { flags, ..Sources::default() }).unwrap();
    let server = Server::start(settings).await.unwrap();
    let doors = server.open().await.unwrap();
    (server, doors)
}
