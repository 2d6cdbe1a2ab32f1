//! The one helper that knows the engine's API: a script of acts and pauses becomes the lines of what happened.

use equipoise::{
    engine::{
        Actor, Command, Engine, Enrolled, Entry, Event, PasswordTerms, Queue, Record, Request, Stamped, State, address,
        command::{Ask, Customer, InvitationAnswer},
        explain::Explanation,
        history::may_read,
    },
    ids::*,
    site::{SessionKind, Site},
    time::{Span, Time},
    wire::control::ClientInfo,
};
use expect_test::Expect;
use std::collections::BTreeMap;

/// What most stories happen in: two teams of three, a lead and a manager in `net`, a rep in both.
pub const SITE: &str = r#"
[site]
name = "story"
[[team]]
code = "net"
algorithm = "least_busy"
[[team]]
code = "db"
algorithm = "least_busy"
[[team]]
code = "calm"
algorithm = "none"
"#;

/// [`SITE`] with these settings of the team `net`.
pub fn net(settings: &str) -> String {
    SITE.replacen("algorithm = \"least_busy\"", &format!("algorithm = \"least_busy\"\n{settings}"), 1)
}

const REPS: &[(&str, &str)] = &[
    ("r1", r#"net = "member""#),
    ("r2", r#"net = "member""#),
    ("r3", r#"net = "member""#),
    ("d1", r#"db = "member""#),
    ("d2", r#"db = "member""#),
    ("both", r#"net = "member", db = "member""#),
    ("c1", r#"calm = "member""#),
    ("lead", r#"net = "lead""#),
    ("boss", r#"net = "manager""#),
];

/// The reps of [`SITE`], each with `extra` settings.
pub fn reps(extra: &str) -> String {
    let rep = |(name, teams): &(&str, &str)| {
        format!(
            "[[user]]\nusername = \"{name}\"\nteams = {{ {teams} }}\n\
             permissions = [\"support\", \"accept_from_queue\", \"get_next\", \"opt_out\", \"jump_client\"]\n{extra}\n"
        )
    };
    REPS.iter().map(rep).collect()
}

/// Tells a story in the usual site.
pub fn story(script: &str, expected: Expect) {
    story_in(&format!("{SITE}{}", reps("")), script, expected);
}

/// Tells a story in the usual site with these `[options]`.
pub fn story_with(options: &str, script: &str, expected: Expect) {
    story_in(&format!("{SITE}[options]\n{options}\n{}", reps("")), script, expected);
}

/// Tells a story in a site of its own. Every story also shows that its events alone make the same state (I8).
pub fn story_in(site: &str, script: &str, expected: Expect) {
    let mut story = Story::new(site);
    story.acts(script);
    expected.assert_eq(&story.lines);
    story.replays();
}

/// Tells what comes after something that needs no telling.
pub fn story_after(site: &str, before: &str, script: &str, expected: Expect) {
    let mut story = Story::new(site);
    story.acts(before);
    story.lines.clear();
    story.acts(script);
    expected.assert_eq(&story.lines);
    story.replays();
}

struct Story {
    engine: Engine,
    start: State,
    events: Vec<Stamped>,
    now: Time,
    sessions: BTreeMap<String, SessionId>,
    tokens: u64,
    resume: BTreeMap<Party, SecretHash>,
    externals: BTreeMap<String, Party>,
    lines: String,
    /// What sessions left behind that ended, and how many of them were told.
    records: (Vec<Record>, usize),
    /// Who does the next act, if not who usually does.
    by: Option<Actor>,
}

impl Story {
    fn new(site: &str) -> Self {
        let site = Site::from_text(site, None).unwrap_or_else(|problems| panic!("{problems:?}"));
        let engine = Engine::new(site).filing();
        Self {
            start: engine.state().clone(),
            engine,
            events: Vec::new(),
            now: Time(0),
            sessions: BTreeMap::new(),
            tokens: 0,
            resume: BTreeMap::new(),
            externals: BTreeMap::new(),
            lines: String::new(),
            records: (Vec::new(), 0),
            by: None,
        }
    }

    fn acts(&mut self, script: &str) {
        script.split(';').map(str::trim).filter(|act| !act.is_empty()).for_each(|act| self.act(act));
    }

    fn act(&mut self, act: &str) {
        if let Some(pause) = act.strip_prefix('+') {
            let seconds: f64 = pause.strip_suffix('s').expect("a pause in seconds").parse().expect("a number");
            self.now = self.now + Span((seconds * 1000.0) as u64);
            let mut out = Vec::new();
            self.engine.advance(self.now, &mut out);
            return self.tell(out);
        }
        // `as NAME: act` where somebody else does what the broker usually does.
        let (by, act) = match act.strip_prefix("as ").and_then(|act| act.split_once(": ")) {
            Some((by, act)) => (Some(self.actor(by)), act),
            None => (None, act),
        };
        self.by = by;
        let words: Vec<&str> = act.split_whitespace().collect();
        match words[..] {
            ["login", ref reps @ ..] => {
                for rep in reps {
                    self.log_in(act, rep, "");
                }
            }
            ["client", rep, version] => self.log_in(act, rep, version),
            ["enrol", rep] => {
                let user = self.user(rep);
                let set = Command::SetCredential {
                    user,
                    phc: "$argon2id$".into(),
                    version: 0,
                    terms: PasswordTerms::default(),
                };
                self.request(act, Actor::System, set);
                let factor = Enrolled { user, sealed: String::new(), step: 0, recovery: Vec::new() };
                self.request(act, Actor::System, Command::SetSecondFactor(factor));
            }
            ["at", ms] => {
                self.request(act, Actor::System, Command::CivilTime { ms: ms.parse().expect("milliseconds") });
            }
            ["records"] => {
                let told = std::mem::replace(&mut self.records.1, self.records.0.len());
                let lines: Vec<_> =
                    self.records.0[told..].iter().map(|it| (it.ended, crate::history::said(it))).collect();
                lines.into_iter().for_each(|(at, line)| self.line(at, line));
            }
            ["reads", who] => {
                let state = self.engine.state();
                let read = state.reads_history(self.actor(who)).and_then(|user| may_read(&state.site, user));
                let said = match read {
                    Ok(reach) => format!("{reach:?}").to_lowercase(),
                    Err(refusal) => format!("refused {} {}", refusal.reason.name(), refusal.rule),
                };
                self.line(self.now, format!("reads {who} {said}"));
            }
            ["explain", name] => self.explain(name),
            ["would", name, "in", queue, ref more @ ..] => self.dry_run(name, queue, more),
            ["position", name] => {
                let position = self.engine.state().position(self.sessions[name]);
                self.line(self.now, format!("position {name} {position:?}"));
            }
            ["rep_list", portal] => {
                let state = self.engine.state();
                let portal = state.site.codes.portals[portal];
                let shown = state.rep_list(portal).map(|reps| {
                    let names = reps.into_iter().map(|rep| state.site.username(rep));
                    names.collect::<Vec<_>>().join(" ")
                });
                self.line(self.now, format!("rep_list {}", shown.unwrap_or_else(|| "none".to_owned())));
            }
            ["estimate", name] => {
                let state = self.engine.state();
                let place = state.place_unoffered(self.sessions[name]);
                let said = match place.and_then(|(queue, place)| state.estimate(queue, place)) {
                    Some(it) => format!("about {}s, {}s to {}s", it.about.0 / 1000, it.low.0 / 1000, it.high.0 / 1000),
                    None => "unknown".to_owned(),
                };
                self.line(self.now, format!("estimate {name} {said}"));
            }
            [answer @ ("agree" | "decline"), name] => {
                let session = self.sessions[name];
                let command = Command::AnswerDisclaimer { session, agree: answer == "agree" };
                self.request(act, Actor::Party(Party::Customer(session)), command);
            }
            ["notice", rep, lives, ref text @ ..] => {
                let lives = Some(Span::seconds(lives.parse().expect("seconds"))).filter(|lives| !lives.is_zero());
                let command = Command::PublishNotice { text: text.join(" "), lives };
                self.request(act, Actor::Party(Party::Rep(self.user(rep))), command);
            }
            ["withdraw", rep, notice] => {
                let notice = NoticeId(notice.parse().expect("a number"));
                self.request(act, Actor::Party(Party::Rep(self.user(rep))), Command::WithdrawNotice { notice });
            }
            ["address", address] => {
                let said = match address::entry(&self.engine.state().site.codes, address) {
                    Ok(Entry::Queue(Queue::Team(team))) => format!("is team {}", team.0),
                    Ok(Entry::Queue(Queue::Personal(user))) => format!("is rep {}", user.0),
                    Ok(Entry::Issue(issue)) => format!("is issue {}", issue.0),
                    Err(refusal) => refusal.to_string(),
                };
                self.line(self.now, format!("{address} {said}"));
            }
            ["restart"] => self.request(act, Actor::System, Command::LoseConnections),
            ["ask", name, "in", queue, ref more @ ..] => self.ask(act, name, queue, more),
            ["leave", name] => {
                let session = self.session(name);
                self.request(act, Actor::Party(Party::Customer(session)), Command::End { session });
            }
            ["come", name, ref through @ ..] => {
                let key = SecretHash::of(name.as_bytes());
                if self.engine.state().keys.get(key).is_some() {
                    self.sessions.insert(name.to_owned(), SessionId(self.engine.state().next_session));
                }
                let session = self.session(name);
                let portal = through.first().map(|code| self.engine.state().site.codes.portals[*code]);
                let resume = self.token(Party::Customer(session));
                let customer = Customer::default();
                self.request(act, Actor::System, Command::Redeem { key, portal, customer, resume });
            }
            ["press", name, button, ref through @ ..] => {
                let key = SecretHash::of(button.as_bytes());
                let next = SessionId(self.engine.state().next_session);
                self.sessions.insert(name.to_owned(), next);
                let portal = through.first().map(|code| self.engine.state().site.codes.portals[*code]);
                let (resume, customer) = (self.token(Party::Customer(next)), Customer::default());
                self.request(act, Actor::System, Command::Redeem { key, portal, customer, resume });
                if self.engine.state().next_session == next.0 {
                    self.sessions.remove(name);
                }
            }
            ["item_key", key, item] => {
                let (item, key) = (self.item(item), SecretHash::of(key.as_bytes()));
                self.request(act, Actor::System, Command::MakeItemKey { item, key });
            }
            ["stand_by", item, "with", key] => {
                let (key, resume) = (SecretHash::of(key.as_bytes()), self.token(Party::JumpClient(self.item(item))));
                let client = ClientInfo { os: "linux".into(), ..ClientInfo::default() };
                self.request(act, Actor::System, Command::StandBy { key, client, resume });
            }
            ["take_up", name, "with", key] => {
                let (key, resume) = (SecretHash::of(key.as_bytes()), self.token(self.party(name)));
                let (portal, customer) = (None, Customer::default());
                self.request(act, Actor::System, Command::Redeem { key, portal, customer, resume });
            }
            ["lost", who] => {
                let party = self.party(who);
                let epoch = self.engine.state().parties.get(party).expect("attached").epoch;
                self.request(act, Actor::System, Command::Lost { party, epoch });
            }
            ["back", who] => {
                let party = self.party(who);
                let presented = self.resume[&party];
                let resume = self.token(party);
                self.request(act, Actor::System, Command::Reattach { presented, resume });
            }
            ["moved", rep, name] => {
                let (session, party) = (self.sessions[name], Party::Rep(self.user(rep)));
                let found = self.engine.state().session(session).and_then(|it| it.participant_of(party));
                let by = vec![found.expect("a participant").id];
                self.request(act, Actor::System, Command::DataMoved { session, by });
            }
            ["external", name, "with", session, key] => {
                let session = self.sessions[session];
                let key = SecretHash::of(key.as_bytes());
                let seat = self.engine.state().sessions.get(&session).map_or(0, |it| it.next_participant);
                let party = Party::External(session, ParticipantId(seat));
                let (resume, client) = (self.token(party), ClientInfo::default());
                self.externals.insert(name.to_owned(), party);
                self.request(act, Actor::System, Command::RedeemInvite { key, client, resume });
            }
            ["answer", token, answer] => {
                let token = SecretHash::of(token.as_bytes());
                let answer = match answer {
                    "accept" => InvitationAnswer::Accept,
                    "decline" => InvitationAnswer::Decline,
                    _ => InvitationAnswer::DeclineAndSwitchOff,
                };
                self.request(act, Actor::System, Command::AnswerInvitation { token, answer });
            }
            ["mail_failed", token] => {
                let token = SecretHash::of(token.as_bytes());
                self.request(act, Actor::System, Command::MailFailed { token });
            }
            ["disable", rep] => {
                let user = self.user(rep);
                self.request(act, Actor::System, Command::DisableUser { user });
            }
            ["delete_team", team] => {
                let team = self.engine.state().site.codes.teams.get(team).copied().unwrap_or(TeamId(999));
                self.request(act, Actor::System, Command::DeleteTeam { team });
            }
            ["site", ..] => {
                let edit = act.strip_prefix("site ").expect("an edit");
                let (from, to) = edit.split_once(" => ").expect("from => to");
                let text = self.engine.state().site.raw.to_toml();
                assert!(text.contains(from), "`{from}` is not in the site:\n{text}");
                let site = equipoise::site::raw::RawSite::parse(&text.replace(from, to)).expect("a site");
                self.request(act, Actor::System, Command::ApplySite(site.into()));
            }
            [verb, rep, ref more @ ..] => self.rep_act(act, verb, rep, more),
            _ => panic!("not an act: {act}"),
        }
    }

    fn log_in(&mut self, act: &str, rep: &str, version: &str) {
        let user = self.user(rep);
        let resume = self.token(Party::Rep(user));
        let client = ClientInfo { version: version.to_owned(), ..ClientInfo::default() };
        let version = self.engine.state().accounts.credential(user).map_or(0, |credential| credential.version);
        self.request(act, Actor::System, Command::Login { user, version, resume, client });
    }

    fn rep_act(&mut self, act: &str, verb: &str, rep: &str, more: &[&str]) {
        let user = self.user(rep);
        let session = || self.session(more[0]);
        let command = match verb {
            "logout" => Command::Logout { user: more.first().map_or(user, |other| self.user(other)) },
            "lose" => {
                return self.request(act, Actor::System, Command::LoseForGood { user });
            }
            "opt_in" => Command::OptIn,
            "opt_out" => Command::OptOut,
            "status" => Command::Status { code: more[0].to_owned() },
            "idle" => Command::Idle { since: self.now },
            "active" => Command::Active,
            "accept" => Command::Accept { session: session() },
            "reject" => Command::Reject { session: session() },
            "take" => Command::Take { session: session() },
            "get_next" => Command::GetNext,
            "transfer" => Command::Transfer { session: session(), to: self.queue(more[1]) },
            "share" => {
                let mail = more.get(2).map(|token| SecretHash::of(token.as_bytes()));
                Command::Share { session: session(), to: self.queue(more[1]), mail }
            }
            "invite" => {
                let policy = more.get(3).map(|code| self.engine.state().site.codes.policies[*code]);
                let key = SecretHash::of(more[2].as_bytes());
                Command::InviteExternal { session: session(), address: more[1].to_owned(), policy, key }
            }
            "help" => {
                let issue = self.engine.state().site.codes.issues[more[1]];
                let next = SessionId(self.engine.state().next_session);
                let command = Command::AskForHelp { session: session(), issue };
                if let Some(name) = more.get(2) {
                    self.sessions.insert((*name).to_owned(), next);
                }
                command
            }
            "make_key" => {
                let (key, entry) = (SecretHash::of(more[0].as_bytes()), Entry::Queue(self.queue(more[1])));
                Command::MakeKey { entry, key, code: false, expires: self.now + Span::seconds(60) }
            }
            "button" => {
                let portal = more.get(2).map(|code| self.engine.state().site.codes.portals[*code]);
                Command::MakeButton { queue: self.queue(more[1]), portal, token: SecretHash::of(more[0].as_bytes()) }
            }
            "revoke" => Command::RevokeButton { button: ButtonId(more[0].parse().expect("a number")) },
            "portal" => {
                let portal = more.get(1).map(|code| self.engine.state().site.codes.portals[*code]);
                Command::SetButtonPortal { button: ButtonId(more[0].parse().expect("a number")), portal }
            }
            "extended" => Command::Extended { on: more[0] == "on" },
            "join" => Command::Join { session: session() },
            "depart" => Command::Depart { session: session() },
            "take_over" => Command::TakeOver { session: session() },
            "hold" => Command::Hold { session: session() },
            "resume" => Command::Resume { session: session() },
            "end" => Command::End { session: session() },
            "write" => Command::SetField { session: session(), field: more[1].to_owned(), value: more[2..].join(" ") },
            "call" => Command::SetExternalKey { session: session(), value: more[1].to_owned() },
            "show" => {
                self.sessions.insert(more[1].to_owned(), SessionId(self.engine.state().next_session));
                Command::ShowScreen { to: self.user(more[0]) }
            }
            // To the endpoint that stands by, or as in a scenario, which has none.
            "jump" | "jump_to" => {
                let item = self.item(more[1]);
                let next = SessionId(self.engine.state().next_session);
                self.sessions.insert(more[0].to_owned(), next);
                Command::Jump { item, join: None, by_endpoint: verb == "jump_to" }
            }
            _ => panic!("not an act: {act}"),
        };
        let actor = self.actor(rep);
        self.request(act, actor, command);
    }

    /// A rep by name, the customer of a session by the session's, or a service account.
    fn actor(&self, name: &str) -> Actor {
        match self.sessions.get(name) {
            Some(session) => Actor::Party(Party::Customer(*session)),
            None if self.externals.contains_key(name) => Actor::Party(self.externals[name]),
            None if name == "service" => Actor::Service(ServiceId(1)),
            None => Actor::Party(Party::Rep(self.user(name))),
        }
    }

    fn ask(&mut self, act: &str, name: &str, queue: &str, more: &[&str]) {
        let ask = self.asked(name, queue, more);
        let next = SessionId(self.engine.state().next_session);
        self.sessions.insert(name.to_owned(), next);
        self.request(act, Actor::System, Command::Ask(ask));
        if self.engine.state().next_session == next.0 {
            self.sessions.remove(name);
        }
    }

    fn asked(&self, name: &str, queue: &str, more: &[&str]) -> Ask {
        let site = &self.engine.state().site;
        let entry = match site.codes.issues.get(queue) {
            Some(issue) => Entry::Issue(*issue),
            None if queue == "no_issue" => Entry::Issue(IssueId(999)),
            None => Entry::Queue(self.queue(queue)),
        };
        let mut ask = Ask::of(entry);
        for word in more {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "priority" => ask.priority = Some(value.parse().expect("a priority")),
                "skills" => {
                    let skill = |code| site.codes.skills.get(code).copied().unwrap_or(SkillId(999));
                    ask.skills = value.split(',').map(skill).collect();
                }
                "relax" => ask.relax_after = Some(Span::seconds(value.parse().expect("seconds"))),
                "prefer" => {
                    let (rep, window) = value.split_once('/').expect("rep/seconds");
                    ask.preferred = Some((self.user(rep), Span::seconds(window.parse().expect("seconds"))));
                }
                "kind" => ask.kind = SessionKind::from_name(value).expect("a kind"),
                "portal" => ask.portal = Some(site.codes.portals[value]),
                "join" => ask.join = Some(SecretHash::of(name.as_bytes())),
                _ => panic!("not an option: {word}"),
            }
        }
        ask
    }

    fn request(&mut self, act: &str, actor: Actor, command: Command) {
        let mut out = Vec::new();
        self.engine.advance(self.now, &mut out);
        self.tell(std::mem::take(&mut out));
        let before = self.engine.state().clone();
        let request = Request { actor: self.by.take().unwrap_or(actor), id: None, command };
        let answer = self.engine.handle(self.now, &request, &mut out);
        assert!(answer.is_ok() || out.is_empty(), "{act}: refused, and yet {out:?}");
        if out.is_empty() {
            assert_eq!(before, *self.engine.state(), "without an event nothing changes");
        }
        self.tell(out);
        if let Err(refusal) = answer {
            let verb = act.split_whitespace().next().unwrap_or(act);
            self.line(self.now, format!("refused {verb} {}", refusal.reason.name()));
        }
    }

    fn explain(&mut self, name: &str) {
        let state = self.engine.state();
        let before = state.clone();
        let Some(why) = state.explain(self.now, self.session(name)) else {
            return self.line(self.now, format!("explained {name} does not wait"));
        };
        assert_eq!(before, *state, "asking changes nothing");
        let line = self.told(name, "explained", &why);
        self.line(self.now, line);
    }

    /// R9.2: what would become of this ask.
    fn dry_run(&mut self, name: &str, queue: &str, more: &[&str]) {
        let ask = self.asked(name, queue, more);
        let state = self.engine.state();
        let before = state.clone();
        let why = self.engine.explain_ask(self.now, &ask);
        assert_eq!(before, *state, "a dry run changes nothing");
        let line = match why {
            Ok(why) => self.told(name, "would", &why),
            Err(refusal) => format!("would {name} be refused {}", refusal.reason.name()),
        };
        self.line(self.now, line);
    }

    fn told(&self, name: &str, verb: &str, why: &Explanation) -> String {
        let state = self.engine.state();
        let rep = |user: &UserId| state.site.users[user].username.clone();
        let left_out: Vec<String> =
            why.rejected.iter().map(|(user, test)| format!("{}:{}", rep(user), test.name())).collect();
        let candidates: Vec<String> = why.candidates.iter().map(rep).collect();
        let chosen = why.chosen.as_ref().map(rep);
        format!(
            "{verb} {name} step {} candidates {candidates:?} chosen {chosen:?} left out {left_out:?} by {:?}",
            why.step, why.moved_by
        )
    }

    fn session(&self, name: &str) -> SessionId {
        self.sessions.get(name).copied().unwrap_or(SessionId(999))
    }

    fn user(&self, name: &str) -> UserId {
        *self.engine.state().site.codes.users.get(name).unwrap_or(&UserId(999))
    }

    fn party(&self, name: &str) -> Party {
        if let Some(external) = self.externals.get(name) {
            return *external;
        }
        if let Some(item) = name.strip_prefix("item:") {
            return Party::JumpClient(self.item(item));
        }
        match self.sessions.get(name) {
            Some(session) => Party::Customer(*session),
            None => Party::Rep(self.user(name)),
        }
    }

    fn item(&self, code: &str) -> JumpItemId {
        self.engine.state().site.codes.jump_items.get(code).copied().unwrap_or(JumpItemId(999))
    }

    fn queue(&self, name: &str) -> Queue {
        let codes = &self.engine.state().site.codes;
        match codes.teams.get(name) {
            Some(team) => Queue::Team(*team),
            None if name == "no_team" => Queue::Team(TeamId(999)),
            None => Queue::Personal(self.user(name)),
        }
    }

    fn token(&mut self, party: Party) -> SecretHash {
        self.tokens += 1;
        let token = SecretHash::of(&self.tokens.to_be_bytes());
        self.resume.insert(party, token);
        token
    }

    fn tell(&mut self, events: Vec<Stamped>) {
        for Stamped { at, event } in &events {
            if let Some(line) = self.words(event) {
                self.line(*at, line);
            }
        }
        self.events.extend(events);
        self.records.0.extend(self.engine.take_records());
    }

    fn line(&mut self, at: Time, line: String) {
        self.lines += &format!("{:<8} {line}\n", format!("{}s", at.0 as f64 / 1000.0));
    }

    /// The events of contract C2 and those that steer routing, in words.
    fn words(&self, event: &Event) -> Option<String> {
        let site = &self.engine.state().site;
        let rep = |user: &UserId| site.users.get(user).map_or("gone".to_owned(), |user| user.username.clone());
        let name = |id: &SessionId| {
            self.sessions.iter().find(|(_, known)| *known == id).map_or("?".to_owned(), |(name, _)| name.clone())
        };
        let queue = |queue: &Queue| match queue {
            Queue::Team(team) => site.teams.get(team).map_or("gone".to_owned(), |team| team.code.clone()),
            Queue::Personal(user) => rep(user),
        };
        let word = |value: &dyn erased::Named| value.name();
        let portal = |portal: &Option<PortalId>| match portal {
            Some(portal) => site.portals.get(portal).map_or("gone".to_owned(), |portal| portal.code.clone()),
            None => "-".to_owned(),
        };
        Some(match event {
            Event::CivilTime { .. } => return None,
            Event::LoggedOut { user, reason } => format!("logged_out {} {}", rep(user), word(reason)),
            Event::LogoutNotice { user, minutes } => format!("logout_notice {} {minutes}min", rep(user)),
            Event::DisclaimerShown { session, .. } => format!("disclaimer {}", name(session)),
            Event::DisclaimerAgreed { session } => format!("agreed {}", name(session)),
            Event::NoticePublished { notice, text, .. } => format!("notice {notice} {text}"),
            Event::NoticeGone { notice, reason } => format!("notice_gone {notice} {reason}"),
            Event::SeatTimedOut { user } => format!("seat_timed_out {}", rep(user)),
            Event::ReachedIdleLimit { user } => format!("idle {}", rep(user)),
            Event::BecameReady { user } => format!("ready {}", rep(user)),
            Event::Queued { session, queue: to } => format!("queued {} {}", name(session), queue(to)),
            Event::Offered { session, rep: to, .. } => format!("offered {} {}", name(session), rep(to)),
            Event::OfferWarned { session, rep: to } => format!("warned {} {}", name(session), rep(to)),
            Event::Accepted { session, rep: by, .. } => format!("accepted {} {}", name(session), rep(by)),
            Event::Rejected { session, rep: by } => format!("rejected {} {}", name(session), rep(by)),
            Event::OfferTimeout { session, rep: by } => format!("offer_timeout {} {}", name(session), rep(by)),
            Event::OfferWithdrawn { session, rep: to, reason } => {
                format!("offer_withdrawn {} {} {reason}", name(session), rep(to))
            }
            Event::Overdue { session, queue: at } => format!("overdue {} {}", name(session), queue(at)),
            Event::Moved { session, from, to, rule } => {
                let from = from.as_ref().map_or("-".to_owned(), queue);
                format!("moved {} {from} {} {}", name(session), queue(to), word(rule))
            }
            Event::Relaxed { session, step } => format!("relaxed {} {step}", name(session)),
            Event::Invited { session, to, .. } => format!("invited {} {}", name(session), queue(to)),
            Event::InviteGone { session, to, reason } => {
                format!("invite_gone {} {} {reason}", name(session), queue(to))
            }
            Event::Joined { session, rep: by, monitor, .. } => {
                format!("{} {} {}", if *monitor { "monitors" } else { "joined" }, name(session), rep(by))
            }
            Event::InviteAccepted { session, to } => format!("invite_accepted {} {}", name(session), queue(to)),
            Event::ExtendedSet { user, on } => format!("extended {} {}", rep(user), if *on { "on" } else { "off" }),
            Event::ExternalInvited { session, by, address, .. } => {
                format!("external_invited {} {address} by {}", name(session), rep(by))
            }
            Event::ExternalJoined { session, address, .. } => format!("external_joined {} {address}", name(session)),
            Event::ExternalLeft { session, reason, .. } => format!("external_left {} {reason}", name(session)),
            Event::ButtonMade { button, queue: to, portal: through, .. } => {
                format!("button {button} {} {}", queue(to), portal(through))
            }
            Event::ButtonPortalSet { button, portal: through, .. } => {
                format!("button_portal {button} {}", portal(through))
            }
            Event::ButtonGone { button, .. } => format!("button_gone {button}"),
            Event::ItemKeyMade { item, .. } => {
                format!("item_key {}", site.jump_items.get(item).map_or("gone", |item| item.code.as_str()))
            }
            Event::ItemKeyGone { .. } => "item_key_gone".to_owned(),
            Event::TokensRevoked { party: Party::JumpClient(_) } => "cut_off".to_owned(),
            Event::KeyExpired { .. } => "key_expired".to_owned(),
            Event::Departed { session, rep: by, .. } => format!("departed {} {}", name(session), rep(by)),
            Event::OwnerChanged { session, to, rule, .. } => {
                format!("owner_changed {} {} {}", name(session), rep(to), word(rule))
            }
            Event::Held { session } => format!("held {}", name(session)),
            Event::Resumed { session } => format!("resumed {}", name(session)),
            Event::Ended { session, reason } => format!("ended {} {}", name(session), word(reason)),
            _ => return None,
        })
    }

    /// I8: the fold of the events is the state, index and all. BU-048: and what ended sessions leave behind follows from it.
    fn replays(&self) {
        let (mut state, mut records) = (self.start.clone(), Vec::new());
        for stamped in &self.events {
            records.extend(Record::of(&state, stamped.at, &stamped.event));
            Engine::apply(&mut state, stamped);
        }
        assert_eq!(state, *self.engine.state(), "replay gives the same state");
        assert_eq!(records, self.records.0, "and the same history");
        for told in records.iter().map(|record| &record.told) {
            let lasted = told.ended_at_ms - told.asked_at_ms;
            assert_eq!(told.waited_ms + told.served_ms + told.held_ms, lasted, "{told:?}");
            assert_eq!(told.accepted_at_ms.is_some(), told.owner.is_some(), "{told:?}");
            assert_eq!(told.first_owner.is_some(), told.owner.is_some(), "{told:?}");
        }
        let mut again = Engine::from_state(state);
        let mut out = Vec::new();
        let tick = Request { actor: Actor::System, id: None, command: Command::Tick };
        again.handle(self.now, &tick, &mut out).expect("a tick is never refused");
        assert_eq!(out, [], "nothing was left to decide");
        assert_eq!(again.next_deadline(), self.engine.next_deadline());
    }
}

/// The names that enums have in the journal, in snake case.
mod erased {
    use serde::Serialize;

    pub trait Named {
        fn name(&self) -> String;
    }

    impl<T: Serialize> Named for T {
        fn name(&self) -> String {
            let value = serde_json::to_value(self).expect("plain data");
            value.as_str().expect("a name").to_owned()
        }
    }
}
