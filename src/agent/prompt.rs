//! Questions to the person at the endpoint (P4): which are open, which are answered without asking, and what is shown.
//! The broker owns the timer and the answer; this only shows the time that is left.

use std::collections::{BTreeSet, VecDeque};

pub const UNATTENDED: &str = "unattended";

/// What is allowed without asking; the person said so when starting the endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Allow {
    #[default]
    Ask,
    Tools(BTreeSet<String>),
    All,
}

impl Allow {
    /// From `shell,file_transfer`.
    pub fn tools(names: &str) -> Self {
        Self::Tools(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// One answer covers all tools of a question, so all of them must be allowed. To be reached when nobody is there is not
    /// among everything: it is asked for, or named (P3.25).
    pub fn covers(&self, tools: &[String]) -> bool {
        match self {
            Self::Ask => false,
            Self::Tools(names) => tools.iter().all(|tool| names.contains(tool)),
            Self::All => tools.iter().all(|tool| tool != UNATTENDED),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    pub session: u64,
    pub prompt: u32,
    pub tools: Vec<String>,
    pub by: String,
    /// Seconds left when it came.
    pub seconds: u64,
    /// A yes is for this one time.
    pub each: bool,
}

/// Open questions in the order they came; a line of the terminal answers the first.
#[derive(Default, Debug)]
pub struct Questions {
    open: VecDeque<Question>,
}

impl Questions {
    /// A question that came twice, over a reconnect, stands once. The text is for the person.
    pub fn ask(&mut self, question: Question) -> String {
        let text = question.text();
        if !self.open.iter().any(|open| open.prompt == question.prompt) {
            self.open.push_back(question);
        }
        text
    }

    /// True if it was still open.
    pub fn gone(&mut self, prompt: u32) -> bool {
        let before = self.open.len();
        self.open.retain(|question| question.prompt != prompt);
        before != self.open.len()
    }

    /// Takes `y` or `n` for the oldest open question; anything else answers nothing.
    pub fn answer(&mut self, line: &str) -> Option<(Question, bool)> {
        let allow = match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => true,
            "n" | "no" => false,
            "" if !self.open.is_empty() => false,
            _ => return None,
        };
        self.open.pop_front().map(|question| (question, allow))
    }
}

impl Question {
    fn text(&self) -> String {
        let tools: Vec<_> = self.tools.iter().map(|tool| plainly(tool)).collect();
        let how_long = match self.each {
            // Asked each time, but a yes to this outlasts the session.
            _ if self.tools.iter().any(|tool| tool == UNATTENDED) => " until you take it back",
            true => " this once",
            false => "",
        };
        format!("{} asks to {}. Allow{how_long}? [y/N] ({} s)", self.by, tools.join(" and to "), self.seconds)
    }
}

/// What a tool lets somebody do, in words for the person whose machine it is.
pub fn plainly(tool: &str) -> &str {
    match tool {
        "shell" => "use a command line on this computer",
        "file_transfer" => "send and fetch files",
        "file_manager" => "look into directories, and rename, delete and make things in them where allowed",
        "system_info" => "see information about this computer",
        "screen" => "see this screen, and control it where allowed",
        "chat" => "chat with you",
        "clipboard" => "share the clipboard",
        "canned_scripts" => "run a prepared script on this computer",
        "push_url" => "show you a page of the web",
        "reboot" => "restart this computer",
        "termination" => "say what happens on this computer when the session is over",
        "system_info_actions" => "list and end what runs on this computer",
        "screen_capture" => "take one picture of this screen",
        "customer_restrictions" => "have your own keyboard and mouse do nothing",
        "annotations" => "draw over this screen",
        "pin_jump_client" => "reach this computer later, without you, or undo that",
        UNATTENDED => "connect to this computer later on, when you are not there",
        "deploy" => "leave a way to ask for help on this computer",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(prompt: u32, tool: &str) -> Question {
        Question { session: 1, prompt, tools: vec![tool.to_owned()], by: "Ana".to_owned(), seconds: 30, each: false }
    }

    #[test]
    fn p4_a_line_answers_the_oldest_question() {
        let mut questions = Questions::default();
        assert_eq!(questions.answer("y"), None);
        assert_eq!(
            questions.ask(question(1, "shell")),
            "Ana asks to use a command line on this computer. Allow? [y/N] (30 s)"
        );
        let once = Question { each: true, ..question(3, "shell") };
        assert!(once.text().contains(". Allow this once? [y/N]"));
        questions.ask(question(2, "screen"));
        assert_eq!(questions.answer("what?"), None);
        assert_eq!(questions.answer(" Y "), Some((question(1, "shell"), true)));
        assert_eq!(questions.answer(""), Some((question(2, "screen"), false)));
        assert_eq!(questions.answer(""), None);
    }

    #[test]
    fn p4_3_a_question_that_is_gone_takes_no_answer() {
        let mut questions = Questions::default();
        questions.ask(question(1, "shell"));
        questions.ask(question(1, "shell"));
        assert!(questions.gone(1));
        assert!(!questions.gone(1));
        assert_eq!(questions.answer("y"), None);
    }

    #[test]
    fn p4_2_what_is_allowed_beforehand_must_cover_every_tool() {
        let allow = Allow::tools("shell, file_transfer,");
        assert!(allow.covers(&["shell".to_owned(), "file_transfer".to_owned()]));
        assert!(!allow.covers(&["shell".to_owned(), "screen".to_owned()]));
        assert!(!Allow::Ask.covers(&["chat".to_owned()]));
        assert!(Allow::All.covers(&["screen".to_owned()]));
    }

    #[test]
    fn p3_25_lr_047_who_allows_everything_is_asked_before_anybody_may_come_unattended() {
        assert!(!Allow::All.covers(&["unattended".to_owned()]));
        assert!(Allow::tools("unattended").covers(&["unattended".to_owned()]));
    }
}
