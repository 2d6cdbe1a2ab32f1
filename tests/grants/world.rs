//! One small site, acted on by commands; what happened comes back in words.

use equipoise::{
    engine::{
        Actor, Command, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Request, Stamped, State,
        command::{Ask, Customer},
        event::{AnsweredHow, Cause, ChannelSpec},
    },
    ids::*,
    policy::Tool,
    site::{SessionKind, Site, raw::RawSite},
    time::{Span, Time},
    wire::{
        Kind,
        control::{ClientInfo, Value},
    },
};
use std::collections::BTreeMap;

pub const SITE: &str = r#"
[site]
name = "test"
[options]
default_policy = "house"
[[team]]
code = "net"
algorithm = "none"
persistent = true
[[team]]
code = "desk"
algorithm = "none"
persistent = true
[[script]]
code = "fix"
teams = ["net"]
text = "true"
[[user]]
username = "ana"
teams = { net = "member" }
permissions = ["support", "accept_from_queue", "generate_keys", "jump_shell"]
[[user]]
username = "bob"
teams = { net = "member" }
permissions = ["support", "accept_from_queue"]
policy_attended = "viewer"
[[user]]
username = "lea"
teams = { net = "lead" }
permissions = ["support", "accept_from_queue", "generate_keys"]
[[user]]
username = "root"
permissions = ["administrator"]
[[portal]]
code = "strict"
policy = "strict"
[[portal]]
code = "once"
policy = "once"
[[portal]]
code = "kind"
policy = "kind"
[[jump_item]]
code = "srv"
method = "jump_shell"
policy_absent = "absent"
policy_present = "viewer"
[[policy]]
code = "absent"
tools = { screen = "view", shell = "no" }
prompt = { mode = "always", answer = "allow" }
[[policy]]
code = "house"
tools = { record = "with_consent", canned_scripts = "yes", webcam = "both" }
[[policy]]
code = "strict"
tools = { shell = "no", file_transfer = "download", customer_paths = ["/home/ana"], screen = "view" }
[[policy]]
code = "once"
prompt = { mode = "always", once = true, timeout_s = 20, answer = "deny" }
[[policy]]
code = "kind"
prompt = { mode = "per_tool", tools = ["shell", "screen"], once = false, timeout_s = 30, answer = "allow" }
[[policy]]
code = "viewer"
tools = { screen = "view", shell = "no" }
"#;

pub struct World {
    pub engine: Engine,
    pub now: Time,
    start: State,
    log: Vec<Stamped>,
    told: usize,
    secrets: u64,
}

pub type Answer = Result<Outcome, Refusal>;

impl World {
    pub fn new() -> Self {
        Self::of(SITE)
    }

    pub fn of(site: &str) -> Self {
        let site = Site::from_text(site, None).unwrap_or_else(|problems| panic!("{problems:?}"));
        let start = State::new(site);
        Self { engine: Engine::from_state(start.clone()), now: Time(0), start, log: Vec::new(), told: 0, secrets: 0 }
    }

    /// `ana` serves a customer who came with a key through this portal.
    pub fn serving(portal: Option<&str>) -> (Self, SessionId) {
        Self::serving_customer(portal, present())
    }

    pub fn serving_customer(portal: Option<&str>, client: ClientInfo) -> (Self, SessionId) {
        let mut world = Self::new();
        let session = world.serve(portal, client);
        (world, session)
    }

    pub fn serve(&mut self, portal: Option<&str>, client: ClientInfo) -> SessionId {
        self.log_in("ana");
        let key = self.key("ana", "net");
        let session = self.redeem(key, portal, client).expect("a fresh key");
        self.rep("ana", Command::Take { session }).expect("waits in the queue of a member's team");
        self.told = self.log.len();
        session
    }

    pub fn user(&self, name: &str) -> UserId {
        self.engine.state().site.codes.users[name]
    }

    pub fn team(&self, code: &str) -> TeamId {
        self.engine.state().site.codes.teams[code]
    }

    pub fn portal(&self, code: &str) -> PortalId {
        self.engine.state().site.codes.portals[code]
    }

    /// A secret nobody had before.
    pub fn secret(&mut self) -> SecretHash {
        self.secrets += 1;
        SecretHash::of(&self.secrets.to_be_bytes())
    }

    pub fn act(&mut self, actor: Actor, id: Option<u64>, command: Command) -> Answer {
        let request = Request { actor, id, command };
        self.engine.handle(self.now, &request, &mut self.log)
    }

    pub fn system(&mut self, command: Command) -> Answer {
        self.act(Actor::System, None, command)
    }

    pub fn rep(&mut self, name: &str, command: Command) -> Answer {
        let party = Party::Rep(self.user(name));
        self.act(Actor::Party(party), None, command)
    }

    pub fn customer(&mut self, session: SessionId, command: Command) -> Answer {
        self.act(Actor::Party(Party::Customer(session)), None, command)
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now + Span::seconds(seconds);
        self.system(Command::Tick).expect("a tick is never refused");
    }

    /// Returns the resume token.
    pub fn log_in(&mut self, name: &str) -> SecretHash {
        let (user, resume) = (self.user(name), self.secret());
        let version = self.engine.state().accounts.credential(user).map_or(0, |credential| credential.version);
        let login = Command::Login { user, version, resume, client: ClientInfo::default() };
        self.system(login).expect("a seat is free");
        resume
    }

    pub fn key(&mut self, rep: &str, team: &str) -> SecretHash {
        let key = self.secret();
        let entry = Entry::Queue(Queue::Team(self.team(team)));
        let expires = self.now + Span::minutes(15);
        self.rep(rep, Command::MakeKey { entry, key, code: true, expires }).expect("a member may");
        key
    }

    pub fn redeem(&mut self, key: SecretHash, portal: Option<&str>, client: ClientInfo) -> Result<SessionId, Refusal> {
        let portal = portal.map(|portal| self.portal(portal));
        let (customer, resume) = (Customer { client, ..Customer::default() }, self.secret());
        match self.system(Command::Redeem { key, portal, customer, resume })? {
            Outcome::Attached { party: Party::Customer(session), .. } => Ok(session),
            other => panic!("{other:?}"),
        }
    }

    /// An integrator's session; returns it and the customer's join token.
    pub fn asked(&mut self, team: &str, kind: SessionKind) -> (SessionId, SecretHash) {
        self.asked_as(None, team, kind)
    }

    /// The same, as the integrator's request of this number.
    pub fn asked_as(&mut self, id: Option<u64>, team: &str, kind: SessionKind) -> (SessionId, SecretHash) {
        let join = self.secret();
        let ask = Ask { kind, join: Some(join), ..Ask::of(Entry::Queue(Queue::Team(self.team(team)))) };
        match self.act(Actor::Service(ServiceId(1)), id, Command::Ask(ask)) {
            Ok(Outcome::Session(session)) => (session, join),
            other => panic!("{other:?}"),
        }
    }

    pub fn open(&mut self, name: &str, session: SessionId, tool: Tool, args: &[(&str, Value)]) -> Answer {
        let command = Command::Open { session, tool, args: values(args) };
        match name {
            "customer" => self.customer(session, command),
            rep => self.rep(rep, command),
        }
    }

    /// Opens a tool that needs no answer but the other end's, which takes it up.
    pub fn opened(&mut self, name: &str, session: SessionId, tool: Tool, args: &[(&str, Value)]) -> Vec<ChannelSpec> {
        let Outcome::Opening { open, prompt } = self.open(name, session, tool, args).expect("is permitted") else {
            panic!("an open is opening")
        };
        if let Some(prompt) = prompt {
            self.customer(session, Command::Answer { session, prompt, allow: true }).expect("waits");
        }
        let accept = Command::AcceptOpen { session, open, facts: BTreeMap::new() };
        match name {
            "customer" => {
                let owner = self.engine.state().sessions[&session].owner().expect("is served");
                self.act(Actor::Party(Party::Rep(owner)), None, accept).expect("was offered");
            }
            _ => {
                self.customer(session, accept).expect("was offered");
            }
        }
        let channels = self.log.iter().rev().find_map(|stamped| match &stamped.event {
            Event::Opened { channels, .. } => Some(channels.clone()),
            _ => None,
        });
        self.told = self.log.len();
        channels.expect("was just opened")
    }

    /// `bob` or `lea` joins by an invitation of the owner.
    pub fn joined(&mut self, name: &str, session: SessionId) {
        self.log_in(name);
        let to = Queue::Personal(self.user(name));
        let owner = self.engine.state().sessions[&session].owner().expect("is served");
        self.act(Actor::Party(Party::Rep(owner)), None, Command::Share { session, to, mail: None }).expect("is there");
        self.told = self.log.len();
        self.rep(name, Command::Join { session }).expect("was invited");
    }

    /// Everything that happened.
    pub fn log(&self) -> &[Stamped] {
        &self.log
    }

    /// What happened since the last look, tools and ways in alone.
    pub fn words(&mut self) -> String {
        let fresh = self.log[self.told..].iter();
        let words: Vec<String> = fresh.filter_map(|stamped| words(&stamped.event)).collect();
        self.told = self.log.len();
        words.join("\n")
    }

    pub fn apply_site(&mut self, text: &str) {
        let raw = RawSite::parse(text).unwrap_or_else(|problems| panic!("{problems:?}"));
        self.system(Command::ApplySite(raw.into())).expect("a good site");
    }

    pub fn channels(&self, session: SessionId) -> usize {
        self.engine.state().tools.session(session).map_or(0, |using| using.channels.len())
    }
}

/// I8: the fold of the events is the state.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut replayed = self.start.clone();
        replayed.rebuild();
        for stamped in &self.log {
            Engine::apply(&mut replayed, stamped);
        }
        assert_eq!(&replayed, self.engine.state(), "replaying the events gives another state");
    }
}

pub fn reason(answer: &Answer) -> Reason {
    answer.as_ref().expect_err("should be refused").reason
}

pub fn present() -> ClientInfo {
    ClientInfo { os: "linux".to_owned(), present: true, ..ClientInfo::default() }
}

pub fn absent() -> ClientInfo {
    ClientInfo { present: false, ..present() }
}

pub fn values(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub fn upload(path: &str) -> [(&'static str, Value); 2] {
    [("direction", text("upload")), ("path", text(path))]
}

pub fn download(path: &str) -> [(&'static str, Value); 2] {
    [("direction", text("download")), ("path", text(path))]
}

fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::Prompted { prompt, tools, by, silence_allows, anew, each, .. } => {
            let tools: Vec<_> = tools.iter().map(|tool| tool.name()).collect();
            let silence = if *silence_allows { " silence allows" } else { "" };
            let how = if *anew {
                " anew"
            } else if *each {
                " each"
            } else {
                ""
            };
            format!("prompt {prompt} by {by}: {}{silence}{how}", tools.join(" "))
        }
        Event::PromptAnswered { prompt, allow, how, .. } => {
            let how = match how {
                AnsweredHow::Customer => "customer",
                AnsweredHow::Timeout => "timeout",
                AnsweredHow::Disconnected => "disconnected",
                AnsweredHow::Nobody => "nobody",
                AnsweredHow::Withdrawn => "withdrawn",
            };
            format!("prompt {prompt} {} by {how}", if *allow { "allowed" } else { "denied" })
        }
        Event::OpenRequested { open, by, tool, prompt, .. } => {
            let prompt = prompt.map_or(String::new(), |prompt| format!(", prompt {prompt}"));
            format!("open {open} {} by {by}{prompt}", tool.name())
        }
        Event::OpenOffered { open, to, .. } => format!("open {open} offered to {to}"),
        Event::OpenRefused { open, code, .. } => format!("open {open} refused: {code}"),
        Event::Opened { open, channels, .. } => {
            let channels: Vec<String> = channels.iter().map(channel_words).collect();
            format!("open {open} opened: {}", channels.join("; "))
        }
        Event::LegOpened { channel, reader, .. } => format!("channel {channel} read by {reader}"),
        Event::LegClosed { channel, reader, reason, cause, .. } => {
            format!("channel {channel} closed to {reader}: {reason}{}", by(cause))
        }
        Event::ChannelClosed { channel, reason, cause, .. } => {
            format!("channel {channel} closed: {reason}{}", by(cause))
        }
        Event::Noted { channel, by, .. } => format!("channel {channel} noted by {by}"),
        Event::TakenBack { tool, .. } => format!("taken back: {}", tool.map_or("all", Tool::name)),
        Event::PermissionsChanged { epoch, .. } => format!("permissions {epoch}"),
        Event::RightsJudged { sessions } => {
            sessions.iter().map(|(_, epoch)| format!("permissions {epoch}")).collect::<Vec<_>>().join("\n")
        }
        Event::KeyMade { code, .. } => (if *code { "code made" } else { "link made" }).to_owned(),
        Event::KeyUsed { .. } => "key used".to_owned(),
        Event::KeyExpired { .. } => "key expired".to_owned(),
        Event::Attached { epoch, presented, .. } => {
            format!("attached {epoch}{}", if presented.is_some() { " by token" } else { "" })
        }
        Event::Detached { epoch, .. } => format!("detached {epoch}"),
        Event::TokensRevoked { .. } => "tokens revoked".to_owned(),
        Event::Asked { session, .. } => format!("asked {session}"),
        Event::PortalBound { session, .. } => format!("portal of {session} bound"),
        Event::Ended { session, .. } => format!("ended {session}"),
        _ => return None,
    })
}

fn by(cause: &Option<Cause>) -> String {
    cause.as_ref().map_or(String::new(), |cause| format!(" by {} of {}", cause.tool.name(), cause.source))
}

fn channel_words(spec: &ChannelSpec) -> String {
    let kinds = Kind::DATA.into_iter().filter(|kind| kind.bit() & spec.kinds != 0);
    let kinds: Vec<String> = kinds.map(|kind| format!("{kind:?}")).collect();
    let readers: Vec<String> = spec.readers.iter().map(ToString::to_string).collect();
    format!("{} {} {}>{}", spec.channel, kinds.join("+"), spec.writer, readers.join(","))
}
