//! Edits of the live site: the text in pieces, and the answer that waits until every right they take away has ended.

use super::{Connection, perform::Finals, port::refused_by, refused};
use crate::{
    engine::{Actor, Checked, Event, Outcome, Reason, Refusal, Stamped, State, may_apply},
    limits,
    site::{Problem, Site, raw::RawSite},
    wire::control::{Done, FinalOffset, FromBroker, Refused},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;

/// Who waits for an edit to be done.
pub(super) enum Editor {
    Connection { to: Arc<Connection>, id: u64 },
    Command(oneshot::Sender<Result<Outcome, Refusal>>),
}

/// Edits whose consequences are not all there yet (P6.2).
#[derive(Default)]
pub(super) struct Edits {
    editors: Vec<Editor>,
    sessions: u32,
    legs: u32,
    finals: Vec<FinalOffset>,
}

impl Edits {
    pub fn wait(&mut self, editor: Editor) {
        self.editors.push(editor);
    }

    /// Takes what one durable turn ended.
    pub fn gather(&mut self, events: &[Stamped], finals: &Finals) {
        if self.editors.is_empty() {
            return;
        }
        let mut ended = BTreeMap::new();
        for Stamped { event, .. } in events {
            let (channel, only) = match event {
                Event::ChannelClosed { channel, cause: Some(_), .. } => (*channel, None),
                Event::LegClosed { channel, reader, cause: Some(_), .. } => (*channel, Some(reader.0)),
                Event::RightsJudged { sessions } => {
                    self.sessions += sessions.len() as u32;
                    continue;
                }
                _ => continue,
            };
            let legs = finals.of_channel(channel).filter(|last| only.is_none_or(|reader| last.participant == reader));
            ended.extend(legs.map(|last| ((last.channel, last.participant), last)));
        }
        self.legs += ended.len() as u32;
        let room = limits::FINALS_NAMED.saturating_sub(self.finals.len());
        self.finals.extend(ended.into_values().take(room));
    }

    /// Answers whoever waits, nothing being left to judge.
    pub fn answer(&mut self, state: &State) {
        let Self { editors, sessions, legs, finals } = std::mem::take(self);
        let warnings: Vec<String> = match editors.is_empty() {
            true => Vec::new(),
            false => state.site.raw.warnings().iter().map(ToString::to_string).take(limits::WARNINGS_NAMED).collect(),
        };
        for editor in editors {
            match editor {
                Editor::Command(reply) => {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(Outcome::Done));
                }
                Editor::Connection { to, id } => {
                    let (finals, warnings) = (finals.clone(), warnings.clone());
                    let done = Done::Applied { version: state.site_version, sessions, legs, finals, warnings };
                    to.say(&FromBroker::Reply { re: id, answer: Ok(Box::new(done)) });
                }
            }
        }
    }

    /// The engine was folded anew: what these edits did stands or falls with the journal, and their editors look again.
    pub fn abandon(&mut self, refusal: &Refusal) {
        for editor in std::mem::take(self).editors {
            editor.refuse(refusal);
        }
    }
}

impl Editor {
    pub fn refuse(self, refusal: &Refusal) {
        match self {
            Self::Command(reply) => {
                let _ = reply.send(Err(refusal.clone()));
            }
            Self::Connection { to, id } => {
                to.say(&FromBroker::Reply { re: id, answer: Err(Box::new(refused_by(refusal.clone()))) });
            }
        }
    }
}

/// An edited site's text as it comes in, piece by piece.
#[derive(Default)]
pub(super) struct Pieces(String);

impl Pieces {
    /// The whole text with its last piece.
    pub fn take(&mut self, piece: &str, more: bool) -> Result<Option<String>, Refused> {
        if self.0.len() + piece.len() > limits::SITE_TEXT_BYTES_MAX {
            self.0 = String::new();
            let message = format!("a site file has at most {} bytes", limits::SITE_TEXT_BYTES_MAX);
            return Err(refused("limit_reached", &message));
        }
        self.0.push_str(piece);
        Ok((!more).then(|| std::mem::take(&mut self.0)))
    }
}

/// An edited site as its file says it, and checked beside the one it is an edit of.
pub(super) struct Edited {
    pub raw: Arc<RawSite>,
    pub checked: Checked,
}

/// Reads an edited site, or says everything that is wrong with it, each with key and line, and what of it its author may
/// not edit: found here as well as in its turn, which a file full of that does not hold up.
pub(super) fn read(text: &str, live: &Site, version: u64, author: Actor) -> Result<Edited, Refusal> {
    let (site, raw) = Site::with_raw(text, Some(live)).map_err(|problems| wrong(&problems))?;
    may_apply(live, &site, &raw, author)?;
    Ok(Edited { raw, checked: Checked { site: Arc::new(site), version } })
}

fn wrong(problems: &[Problem]) -> Refusal {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let mut message = all.join("\n");
    let mut end = message.len().min(limits::SITE_PIECE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    Refusal::new(Reason::BadSite, "", message)
}

/// The live site's text from this byte on, as much as fits a message.
pub(super) fn site_from(state: &State, at: u64) -> Done {
    let text = state.site.raw.to_toml();
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = boundary(usize::try_from(at).unwrap_or(usize::MAX));
    let to = boundary(from + limits::SITE_PIECE_BYTES);
    let next = (to < text.len()).then_some(to as u64);
    Done::Site { toml: text[from..to].to_owned(), version: state.site_version, next }
}
