//! The person at the endpoint: who is there, what is asked, what was typed.

use super::{Endpoint, Outcome};
use crate::{
    agent::{
        Allow,
        button::ItemKey,
        plain,
        prompt::{self, Question},
        tool::{Asked, News},
    },
    client::transfer,
    policy::Tool,
    wire::{
        Do,
        control::{Open, ParticipantView},
    },
};
use std::collections::BTreeMap;

impl Endpoint<'_> {
    pub(super) fn serving(&mut self, participants: &[ParticipantView]) {
        let reps = participants.iter().filter(|one| one.participant != 0);
        self.who.send_replace(reps.map(|one| (one.participant, plain(&one.name))).collect());
        self.say_once(self.with_you());
    }

    fn with_you(&self) -> String {
        let here: Vec<_> = self.who.borrow().values().cloned().collect();
        match here.is_empty() {
            true => "Nobody serves you at the moment.".into(),
            false => format!("With you: {}.", here.join(", ")),
        }
    }

    /// What was allowed at the start covers the site's disclaimer too; where nobody can be asked it is declined.
    pub(super) fn disclaimer(&mut self, session: u64, text: &str) {
        for line in text.lines() {
            self.terminal.say(&plain(line));
        }
        if self.allow == Allow::Ask && self.terminal.present() {
            self.disclaimer = Some(session);
            return self.terminal.say("Do you agree? [y/N]");
        }
        self.act(Do::AnswerDisclaimer { session, agree: self.allow != Allow::Ask });
    }

    pub(super) fn prompt(&mut self, question: Question) {
        let answer = if self.allow.covers(&question.tools) {
            self.terminal.say(&format!(
                "{} may use {}, as you said at the start.",
                question.by,
                question.tools.join(", ")
            ));
            Some(true)
        } else if self.terminal.present() {
            let text = self.questions.ask(question.clone());
            self.terminal.say(&text);
            None
        } else {
            Some(false)
        };
        if let Some(allow) = answer {
            self.act(Do::Answer { session: question.session, prompt: question.prompt, allow });
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        if let Some(session) = self.disclaimer.take() {
            let agree = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
            return self.act(Do::AnswerDisclaimer { session, agree });
        }
        if let Some((question, allow)) = self.questions.answer(line) {
            self.terminal.say(if allow { "Allowed." } else { "Not allowed." });
            return self.act(Do::Answer { session: question.session, prompt: question.prompt, allow });
        }
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("", _) => {}
            ("stop" | "t", "") => self.take_back(None),
            ("stop", tool) if Tool::from_name(tool.trim()).is_some() => self.take_back(Some(tool.trim())),
            ("clip", text) => {
                let said = self.means.clipboard.set(text.to_owned());
                self.terminal.say(&said.map_or_else(|error| error.to_string(), |()| "Copied.".into()));
            }
            ("who", "") => {
                self.terminal.say(&self.with_you());
                for running in self.running.values() {
                    self.terminal.say(&format!("{} can {}.", running.by, prompt::plainly(&running.tool)));
                }
                if self.running.is_empty() {
                    self.terminal.say("Nobody can reach anything on this computer.");
                }
            }
            _ => self.chat(line.trim().to_owned()),
        }
    }

    /// The person's own stop wins over everything, so it does not wait for the broker (P4.6, P6.5).
    pub(super) fn take_back(&mut self, tool: Option<&str>) {
        self.running.retain(|_, running| {
            let stays = tool.is_some_and(|tool| running.tool != tool);
            if !stays {
                running.task.abort();
            }
            stays
        });
        if tool.is_none_or(|tool| matches!(tool, "screen" | "customer_restrictions")) {
            self.holding.stop();
        }
        self.terminal.say("Stopped. Whoever wants to use something again has to ask again.");
        if tool.is_none_or(|tool| tool == prompt::UNATTENDED) && std::mem::take(&mut self.lets_come) {
            self.forget_item_key();
        }
        self.act(Do::TakeBack { session: self.session, tool: tool.map(str::to_owned) });
    }

    /// The broker has it good no more as soon as it hears of that; here nobody can use it from now on.
    fn forget_item_key(&mut self) {
        let key = ItemKey::find(None, self.means.pin.clone());
        match key.map(|key| key.forget()) {
            Some(Err(error)) => self.terminal.say(&format!("The key to stand by with could not be deleted: {error}.")),
            _ => self.terminal.say("Nobody connects to this computer without you."),
        }
    }

    pub(super) fn chat(&mut self, text: String) {
        // The latest writes: one before it may have been turned off since.
        let chat = self.running.values().rev().find(|running| running.tool == "chat");
        if let Some(chat) = chat {
            if chat.news.try_send(News::Say(text)).is_err() {
                self.terminal.say("The message could not be sent.");
            }
            return;
        }
        let (client, session) = (self.means.client.clone(), self.session);
        self.tasks.spawn(async move {
            let open = Open { session, tool: "chat".into(), args: BTreeMap::new() };
            Outcome::Chat { opened: client.act(Do::Open(open)).await, text }
        });
    }
}

/// What is asked for, with the file's name where there is one.
pub(super) fn about(asked: &Asked) -> String {
    let said = |name| transfer::text(&asked.args, name).map(plain);
    let (path, to) = (said("path").unwrap_or_default(), said("to").unwrap_or_default());
    match (asked.tool.as_str(), transfer::text(&asked.args, "direction").or(transfer::text(&asked.args, "verb"))) {
        ("canned_scripts", _) => format!("run the script {}", said("script").unwrap_or_default()),
        ("push_url", _) => format!("show you the page {}", said("url").unwrap_or_default()),
        ("system_info_actions", _) if said("action").as_deref() == Some("end_process") => {
            format!("end process {}", said("target").unwrap_or_default())
        }
        ("pin_jump_client", _) if said("mode").as_deref() == Some("unpin") => {
            "have this computer stand by no more".into()
        }
        ("clipboard", Some("rep_to_customer")) => "put a text into your clipboard".into(),
        ("clipboard", Some("customer_to_rep")) => "read your clipboard".into(),
        ("file_transfer", Some("upload")) => format!("store a file at {path}"),
        ("file_transfer", Some("download")) => format!("fetch {path}"),
        ("file_manager", Some("list")) => format!("look into {path}"),
        ("file_manager", Some("stat")) => format!("look at {path}"),
        ("file_manager", Some("rename")) => format!("rename {path} to {to}"),
        ("file_manager", Some("delete")) => format!("delete {path}"),
        ("file_manager", Some("make")) => format!("make a directory {path}"),
        _ => prompt::plainly(&asked.tool).to_owned(),
    }
}
