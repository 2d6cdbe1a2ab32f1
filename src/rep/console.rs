//! Does what a rep typed, one command after another, while pushes are printed beside it.

use super::{
    Fault, RepError, acts, buttons,
    command::{Command, HELP, WaitFor},
    documents::{self, texts},
    explain::explanation,
    fields, files, history,
    hub::Hub,
    jobs, jumps,
    keyboard::Keyboard,
    notices, passwords,
    screen::Screen,
    shell::{Left, RemoteShell},
    show, targets, view,
};
use crate::{
    client::{
        Transport, Writer,
        annotation::{Annotation, Shape},
        transfer::Facts,
    },
    limits,
    wire::{
        Do, Done, Flags, Kind,
        control::{KeyKind, Open, Opened, SessionView},
    },
};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What a script waits for an offer or an end at most.
const SCRIPT_WAIT: Duration = Duration::from_secs(600);

pub struct Console {
    pub hub: Arc<Hub>,
    pub keyboard: Keyboard,
    scripted: bool,
    /// A shell that was left and may be come back to.
    shell: Option<RemoteShell>,
    chats: BTreeMap<u64, (u32, Writer)>,
    /// What this rep draws on, by session.
    marks: BTreeMap<u64, Writer>,
    screen: Option<Screen>,
}

/// What is printed when a command was done.
pub struct Answer {
    pub text: String,
    pub json: Json,
}

impl Answer {
    pub fn new(text: impl Into<String>, json: Json) -> Self {
        Self { text: text.into(), json }
    }
}

impl Console {
    pub fn new(hub: Arc<Hub>, keyboard: Keyboard, scripted: bool) -> Self {
        Self { hub, keyboard, scripted, shell: None, chats: BTreeMap::new(), marks: BTreeMap::new(), screen: None }
    }

    /// The first command that is not done ends it.
    pub async fn script(&mut self, commands: Vec<Command>) -> Result<(), RepError> {
        for command in commands {
            if command == Command::Quit {
                break;
            }
            if !self.perform(command).await {
                return Err(RepError::Command);
            }
        }
        Ok(())
    }

    /// Reads commands until the input ends, `quit`, or Ctrl-C where nothing runs.
    pub async fn typed(&mut self) -> Result<(), RepError> {
        self.hub.out.say("`help` lists the commands");
        loop {
            let hub = Arc::clone(&self.hub);
            let line = tokio::select! {
                line = self.keyboard.line() => line,
                (code, reason) = hub.over() => return Err(RepError::Ended { code, reason }),
                _ = tokio::signal::ctrl_c() => None,
            };
            let Some(line) = line else { return Ok(()) };
            match Command::parse(&line) {
                Ok(Command::Quit) => return Ok(()),
                Ok(command) => {
                    tokio::select! {
                        _ = self.perform(command) => {}
                        _ = tokio::signal::ctrl_c() => hub.out.say("stopped"),
                    }
                }
                Err(wrong) => self.hub.out.fault(&wrong, json!({"code": "usage", "message": wrong})),
            }
        }
    }

    /// Ends what still runs.
    pub async fn close(&mut self) {
        if let Some(screen) = self.screen.take() {
            screen.stop().await;
        }
        if let Some(shell) = self.shell.take() {
            shell.close().await;
        }
        for (_, mut chat) in std::mem::take(&mut self.chats).into_values() {
            let _ = chat.finish().await;
        }
    }

    /// True if it was done.
    async fn perform(&mut self, command: Command) -> bool {
        match self.execute(command).await {
            Ok(answer) => {
                self.hub.out.answer(&answer.text, answer.json);
                true
            }
            Err(fault) => {
                self.hub.out.fault(&fault.to_string(), fault.json());
                false
            }
        }
    }

    async fn execute(&mut self, command: Command) -> Result<Answer, Fault> {
        match command {
            Command::Nothing | Command::Quit => Ok(Answer::new("", Json::Null)),
            Command::Help => Ok(Answer::new(HELP, json!(HELP))),
            Command::Queues => Ok(self.hub.look(|view| {
                let sessions: Vec<_> = view.sessions.values().collect();
                Answer::new(
                    view.queues(),
                    json!({"sessions": sessions, "teams": view.teams.values().collect::<Vec<_>>()}),
                )
            })),
            Command::Reps => Ok(self.hub.look(|view| {
                let reps: Vec<_> = view.reps.values().collect();
                Answer::new(view.rep_list(), json!({"reps": reps}))
            })),
            Command::Accept(session) => {
                let session = self.offered(session).await?;
                self.serve(session, Do::Accept { session }).await
            }
            Command::Reject(session) => {
                let session = self.offered(session).await?;
                self.act(Do::Reject { session }, format!("s{session} rejected")).await
            }
            Command::Take(session) => self.serve(session, Do::Take { session }).await,
            Command::Next => match self.hub.client.act(Do::GetNext {}).await? {
                Done::Session(session) => Ok(self.serving(&session)),
                done => Ok(Answer::new("taken", plainly(&done))),
            },
            Command::Key(queue) => self.key(queue).await,
            Command::Button(queue, portal) => buttons::make(self, queue, portal).await,
            Command::Deploy(queue, portal) => buttons::deploy(self, queue, portal).await,
            Command::Buttons => buttons::list(self).await,
            Command::Revoke(button) => {
                self.act(Do::RevokeButton { button }, format!("button {button} is revoked")).await
            }
            Command::Portal(button, portal) => buttons::move_to(self, button, portal).await,
            Command::Whom(act, like) => targets::list(self, act, like).await,
            Command::Items(text) => jumps::list(self, text).await,
            Command::Jump(item) => jumps::jump(self, item).await,
            Command::ItemKey(item) => jumps::key(self, item).await,
            Command::Pin(item) => jumps::pin(self, &item).await,
            Command::Unpin(item) => jumps::unpin(self, &item).await,
            Command::Unattended(item) => jumps::unattended(self, &item).await,
            Command::RevokeItemKey(item) => jumps::revoke(self, item).await,
            Command::Templates => jobs::templates(self).await,
            Command::Job(asked) => jobs::make(self, asked).await,
            Command::Jobs(before) => jobs::list(self, before).await,
            Command::JobResult { job, wait } => jobs::result(self, job, wait).await,
            Command::CancelJob(job) => self.act(Do::CancelJob { job }, format!("job {job} is cancelled")).await,
            Command::Use(session) => {
                self.hub.look(|view| view.current = Some(session));
                Ok(Answer::new(format!("working in s{session}"), json!({"session": session})))
            }
            Command::Shell(None) => self.shell().await,
            Command::Shell(Some(line)) => RemoteShell::once(self, &line).await,
            Command::Put { local, remote, overwrite } => files::put(self, &local, &remote, overwrite).await,
            Command::Get { remote, local, overwrite } => files::get(self, &remote, &local, overwrite).await,
            Command::List(path) => documents::list(self, &path).await,
            Command::Move { from, to } => documents::change(self, "rename", &from, Some(&to)).await,
            Command::Remove(path) => documents::change(self, "delete", &path, None).await,
            Command::MakeDirectory(path) => documents::change(self, "make", &path, None).await,
            Command::Processes => documents::processes(self).await,
            Command::EndProcess(pid) => documents::end_process(self, pid).await,
            Command::Capture(file) => documents::capture(self, &file).await,
            Command::Script(code) => acts::script(self, &code).await,
            Command::Page(url) => acts::plain_act(self, "push_url", texts(&[("url", &url)]), "shown").await,
            Command::Reboot => acts::plain_act(self, "reboot", Facts::new(), "the machine restarts").await,
            Command::Restrict(mode) => {
                let said = "it is said at the customer's end";
                acts::plain_act(self, "customer_restrictions", texts(&[("mode", &mode)]), said).await
            }
            Command::AtEnd(mode) => {
                let said = "it is said at the customer's end";
                acts::plain_act(self, "termination", texts(&[("mode", &mode)]), said).await
            }
            Command::Mark(x, y, text) => self.mark((x, y), text).await,
            Command::Clip(text) => acts::clip(self, text).await,
            Command::Info => documents::info(self).await,
            Command::Chat(text) => self.chat(text).await,
            Command::Screen { control, save, pictures } => self.screen(control, save, pictures).await,
            Command::ScreenStop => match self.screen.take() {
                Some(screen) => Ok(screen.stop().await),
                None => Err(Fault::Wrong("no screen is shown".into())),
            },
            Command::Show(to) => show::begin(self, &to).await,
            Command::ShowStop => show::end(self).await,
            Command::Control(on) => show::control(self, on).await,
            Command::Shot(file) => match &self.screen {
                Some(screen) => screen.shot(&file),
                None => Err(Fault::Wrong("no screen is shown".into())),
            },
            Command::Press(keys) => {
                let named = |down: u8, key: &u32| [&[0, down][..], &key.to_be_bytes()].concat();
                for key in &keys {
                    self.input(Kind::Keys, &named(1, key)).await?;
                }
                for key in keys.iter().rev() {
                    self.input(Kind::Keys, &named(0, key)).await?;
                }
                Ok(Answer::new("", json!({"input": "sent"})))
            }
            Command::Point(x, y) => self.input(Kind::Pointer, &[x, y].map(u16::to_be_bytes).concat()).await,
            Command::Click(x, y) => {
                let place = [x, y].map(u16::to_be_bytes).concat();
                self.input(Kind::Click, &[&[1, 1][..], &place].concat()).await?;
                self.input(Kind::Click, &[&[1, 0][..], &place].concat()).await
            }
            Command::Type(text) => self.input(Kind::Keys, text.as_bytes()).await,
            Command::Field(field, value) => fields::write(self, &field, &value).await,
            Command::ExternalKey(value) => fields::call(self, &value).await,
            Command::Fields => fields::list(self),
            Command::SetChat(on) => {
                let said = if on { "the customer's chat is on" } else { "the customer's chat is off" };
                self.act_in_session(|session| Do::SetChat { session, on }, said).await
            }
            Command::Hold => self.act_in_session(|session| Do::Hold { session }, "held").await,
            Command::Resume => self.act_in_session(|session| Do::Resume { session }, "resumed").await,
            Command::End => {
                self.say_last_words().await?;
                self.act_in_session(|session| Do::End { session }, "ended").await
            }
            Command::Transfer(to) => {
                self.act_in_session(|session| Do::Transfer { session, to: to.clone() }, "transferred").await
            }
            Command::Share(to) => self.act_in_session(|session| Do::Share { session, to: to.clone() }, "shared").await,
            Command::Invite(address, policy) => {
                let session = self.session()?;
                self.key_for(Do::InviteExternal { session, address, policy }, "one external rep").await
            }
            Command::Assist(issue) => {
                let session = self.session()?;
                self.act(Do::AskForHelp { session, issue }, format!("help is asked for with s{session}")).await
            }
            Command::Join(session) => self.serve(session, Do::Join { session }).await,
            Command::Leave => self.act_in_session(|session| Do::Depart { session }, "left").await,
            Command::TakeOver(session) => self.serve(session, Do::TakeOver { session }).await,
            Command::Extended(on) => {
                let said = format!("extended availability is {}", if on { "on" } else { "off" });
                self.act(Do::Extended { on }, said).await
            }
            Command::Notice { text, minutes } => notices::publish(self, text, minutes).await,
            Command::Notices => notices::list(self).await,
            Command::Withdraw(notice) => {
                self.act(Do::WithdrawNotice { notice }, format!("notice {notice} is withdrawn")).await
            }
            Command::Password { username, keep } => passwords::give(self, username, keep).await,
            Command::Unlock(username) => {
                let said = format!("{username} may sign in again at once");
                self.act(Do::Unlock { username }, said).await
            }
            Command::Switch(transport) => self.switch(&transport).await,
            Command::Status(code) => {
                let said = format!("status {code}");
                self.act(Do::Status { code }, said).await
            }
            Command::History(asked) => history::list(self, asked).await,
            Command::Explain(offer) => {
                let asked = Do::Explain { session: self.session()?, past: offer.is_none(), offer };
                match self.hub.client.act(asked).await? {
                    Done::Explained(explained) => Ok(Answer::new(explanation(&explained), json!(explained))),
                    done => Ok(Answer::new("", plainly(&done))),
                }
            }
            Command::Wait(what) => self.wait(what).await,
        }
    }

    /// The session that tools work in.
    pub fn session(&self) -> Result<u64, Fault> {
        let found = self.hub.look(|view| view.working_in(&self.hub.me));
        found.ok_or_else(|| Fault::Wrong("no session: accept or take one, or choose with `use N`".into()))
    }

    /// Opens a tool in the session, waiting for the customer and the other end.
    pub async fn open(&self, tool: &str, args: Facts) -> Result<Opened, Fault> {
        let session = self.session()?;
        let asked = Open { session, tool: tool.into(), args };
        let open = match self.hub.client.act(Do::Open(asked)).await? {
            Done::Opened(opened) => {
                self.hub.opened(opened.clone());
                return Ok(opened);
            }
            Done::Opening { open, prompt } => {
                if prompt.is_some() {
                    self.hub.out.say("the customer is asked");
                }
                open
            }
            _ => return Err(Fault::Wrong("the broker answered something else".into())),
        };
        let so_long = Duration::from_millis(limits::TOOL_ANSWER.0);
        let answered = self.hub.until(so_long, |view| {
            let opened = view.opens.remove(&(session, open));
            let gone = || view.gone.contains_key(&session).then(|| Err(Fault::Wrong("the session is over".into())));
            opened.map(|opened| opened.map_err(|refused| Fault::Refused(Box::new(refused)))).or_else(gone)
        });
        answered.await?
    }

    pub async fn note(&self, session: u64, channel: u32, facts: Facts) -> Result<(), Fault> {
        self.hub.client.act(Do::Note { session, channel, facts }).await?;
        Ok(())
    }

    pub async fn act(&self, act: Do, said: String) -> Result<Answer, Fault> {
        let done = self.hub.client.act(act).await?;
        Ok(Answer::new(said, plainly(&done)))
    }

    pub async fn act_in_session(&self, act: impl Fn(u64) -> Do, said: &str) -> Result<Answer, Fault> {
        let session = self.session()?;
        self.act(act(session), format!("s{session} {said}")).await
    }

    /// The offer that is meant. A script waits for one.
    async fn offered(&self, session: Option<u64>) -> Result<u64, Fault> {
        match session.or_else(|| self.hub.look(|view| view.due_offer())) {
            Some(session) => Ok(session),
            None if self.scripted => self.hub.until(SCRIPT_WAIT, |view| view.due_offer()).await,
            None => Err(Fault::Wrong("nothing is offered".into())),
        }
    }

    async fn serve(&self, session: u64, act: Do) -> Result<Answer, Fault> {
        let done = self.hub.client.act(act).await?;
        self.hub.look(|view| {
            view.offers.remove(&session);
            view.current = Some(session);
        });
        match done {
            Done::Session(session) => Ok(self.serving(&session)),
            done => Ok(Answer::new(format!("you serve s{session}"), plainly(&done))),
        }
    }

    pub fn serving(&self, session: &SessionView) -> Answer {
        self.hub.look(|view| {
            view.offers.remove(&session.session);
            view.sessions.insert(session.session, session.clone());
            view.current = Some(session.session);
        });
        Answer::new(format!("you serve {}", view::summary(session)), json!(session))
    }

    async fn key(&self, queue: Option<String>) -> Result<Answer, Fault> {
        self.key_for(Do::MakeKey { queue, kind: KeyKind::Code, lives_s: None }, "one customer").await
    }

    pub async fn key_for(&self, act: Do, whom: &str) -> Result<Answer, Fault> {
        match self.hub.client.act(act).await? {
            Done::Key { key, expires_at_ms } => {
                let json = json!({"key": key, "expires_at_ms": expires_at_ms});
                Ok(Answer::new(format!("key {}, for {whom}", &*key), json))
            }
            done => Ok(Answer::new("", plainly(&done))),
        }
    }

    async fn shell(&mut self) -> Result<Answer, Fault> {
        let mut shell = match self.shell.take().filter(RemoteShell::alive) {
            Some(shell) => shell,
            None => RemoteShell::open(self, None).await?,
        };
        match shell.attach(self).await? {
            Left::Ended(how) => Ok(Answer::new(how.clone(), json!({"shell": how}))),
            Left::Detached => {
                self.shell = Some(shell);
                Ok(Answer::new("the shell goes on; `shell` comes back to it", json!({"shell": "detached"})))
            }
        }
    }

    async fn chat(&mut self, text: String) -> Result<Answer, Fault> {
        let session = self.session()?;
        let channel = match self.hub.look(|view| view.chats.get(&session).cloned()) {
            Some(channel) => channel,
            None => {
                let opened = self.open("chat", Facts::new()).await?;
                let own = self.hub.own(&opened).cloned();
                own.ok_or_else(|| Fault::Wrong("no channel to write on was opened".into()))?
            }
        };
        let known = self.chats.get(&session).is_some_and(|(number, _)| *number == channel.channel);
        if !known {
            self.chats.insert(session, (channel.channel, self.hub.client.writer(&channel)));
        }
        if let Some((_, writer)) = self.chats.get_mut(&session) {
            writer.write(Kind::Chat, Flags::default(), Bytes::from(text)).await?;
        }
        Ok(Answer::new("", json!({"chat": "sent"})))
    }

    async fn mark(&mut self, at: (u16, u16), text: String) -> Result<Answer, Fault> {
        let session = self.session()?;
        let drawn = Annotation { shape: Shape::Arrow, colour: [255, 0, 0], points: vec![at], text }.encode();
        for anew in [false, true] {
            if anew || !self.marks.contains_key(&session) {
                let opened = self.open("annotations", Facts::new()).await?;
                let own = self.hub.own(&opened).ok_or_else(|| Fault::Wrong("no channel was opened".into()))?;
                self.marks.insert(session, self.hub.client.writer(own));
            }
            let writer = self.marks.get_mut(&session).ok_or_else(|| Fault::Wrong("no channel was opened".into()))?;
            match writer.write(Kind::Annotation, Flags::default(), drawn.clone()).await {
                // The one from before has ended meanwhile.
                Err(_) if !anew => drop(self.marks.remove(&session)),
                Err(end) => return Err(end.into()),
                Ok(()) => break,
            }
        }
        Ok(Answer::new("", json!({"mark": "sent"})))
    }

    /// The end of a session overtakes what was said in it: that arrives first, or its reader takes too long.
    async fn say_last_words(&mut self) -> Result<(), Fault> {
        if let Some((_, mut chat)) = self.chats.remove(&self.session()?) {
            // Whether it arrived or not, the session is to end.
            let _ = tokio::time::timeout(Duration::from_millis(limits::FAREWELL.0), chat.finish()).await;
        }
        Ok(())
    }

    async fn screen(&mut self, control: bool, save: Option<String>, pictures: Option<u64>) -> Result<Answer, Fault> {
        if let Some(before) = self.screen.take() {
            before.stop().await;
        }
        let mut screen = Screen::open(self, control, save).await?;
        match pictures {
            Some(count) => {
                screen.shown(count).await;
                Ok(screen.stop().await)
            }
            None => {
                screen.shown(1).await;
                let Answer { text, json } = screen.about();
                self.screen = Some(screen);
                Ok(Answer::new(format!("the screen is shown: {text}; `screen stop` ends it"), json))
            }
        }
    }

    async fn input(&mut self, kind: Kind, bytes: &[u8]) -> Result<Answer, Fault> {
        let screen = self.screen.as_mut().ok_or_else(|| Fault::Wrong("no screen is shown".into()))?;
        screen.input(kind, Bytes::copy_from_slice(bytes)).await?;
        Ok(Answer::new("", json!({"input": "sent"})))
    }

    async fn switch(&self, name: &str) -> Result<Answer, Fault> {
        let transport = match name {
            "ws" => Transport::Ws,
            "quic" => Transport::Quic,
            other => return Err(Fault::Wrong(format!("`{other}` is no transport: ws or quic"))),
        };
        self.hub.client.switch(transport).await?;
        Ok(Answer::new(format!("on {name}"), json!({"transport": name})))
    }

    async fn wait(&self, what: WaitFor) -> Result<Answer, Fault> {
        match what {
            WaitFor::Seconds(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            WaitFor::Offer => {
                self.hub.until(SCRIPT_WAIT, |view| view.due_offer()).await?;
            }
            WaitFor::End => {
                let session = self.session()?;
                self.hub.until(SCRIPT_WAIT, |view| view.gone.get(&session).copied()).await?;
            }
        }
        Ok(Answer::new("", Json::Null))
    }
}

fn plainly(done: &Done) -> Json {
    serde_json::to_value(done).unwrap_or_default()
}
