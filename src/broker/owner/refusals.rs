//! What was refused since the last record of it: the journal has one for each person and tool a second (P6.3), however
//! much is asked for.

use super::{Mail, own_mail};
use crate::{
    engine::{Command, Refusal},
    ids::*,
    policy::Tool,
    wire::control::Do,
};
use std::collections::BTreeMap;

/// No more entries than connections have tools: whoever is refused is connected.
#[derive(Default)]
pub(super) struct Refusals {
    tools: BTreeMap<(SessionId, ParticipantId, Tool), (u32, String)>,
    answers: BTreeMap<Party, (SessionId, PromptId, u32, &'static str)>,
    jobs: BTreeMap<UserId, (u32, String)>,
}

/// What a request is about, where its refusal goes on record.
pub(super) enum Recorded {
    Tool(SessionId, Tool),
    Answer(SessionId, PromptId),
    Job,
}

impl Recorded {
    pub fn of(act: &Do) -> Option<Self> {
        match act {
            Do::Open(open) => Some(Self::Tool(SessionId(open.session), Tool::from_name(&open.tool)?)),
            Do::GiveControl { session, .. } => Some(Self::Tool(SessionId(*session), Tool::Screen)),
            Do::SetChat { session, .. } => Some(Self::Tool(SessionId(*session), Tool::Chat)),
            Do::SetField { session, .. } => Some(Self::Tool(SessionId(*session), Tool::CustomFields)),
            Do::SetExternalKey { session, .. } => Some(Self::Tool(SessionId(*session), Tool::ExternalKey)),
            Do::Answer { session, prompt, .. } => Some(Self::Answer(SessionId(*session), PromptId(*prompt))),
            Do::MakeJob(_) | Do::Jobs { .. } | Do::Job { .. } | Do::JobTemplates { .. } => Some(Self::Job),
            _ => None,
        }
    }

    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Tool(session, _) | Self::Answer(session, _) => Some(*session),
            Self::Job => None,
        }
    }
}

impl Refusals {
    /// `seat`: as whom the party sits in the session.
    pub fn note(&mut self, what: Recorded, party: Party, seat: Option<ParticipantId>, refusal: &Refusal) {
        match what {
            Recorded::Tool(session, tool) => {
                let (Some(seat), Some(source)) = (seat, &refusal.source) else { return };
                let (count, _) = self.tools.entry((session, seat, tool)).or_insert_with(|| (0, source.clone()));
                *count = count.saturating_add(1);
            }
            Recorded::Answer(session, prompt) => {
                let known = self.answers.entry(party).or_insert((session, prompt, 0, ""));
                *known = (session, prompt, known.2.saturating_add(1), refusal.reason.name());
            }
            Recorded::Job => {
                let (Party::Rep(user), Some(source)) = (party, &refusal.source) else { return };
                let (count, _) = self.jobs.entry(user).or_insert_with(|| (0, source.clone()));
                *count = count.saturating_add(1);
            }
        }
    }

    pub fn take(&mut self) -> impl Iterator<Item = Mail> + use<> {
        let tools = std::mem::take(&mut self.tools).into_iter();
        let answers = std::mem::take(&mut self.answers).into_iter();
        let tools = tools.map(|((session, participant, tool), (count, source))| Command::Refusals {
            session,
            participant,
            tool,
            count,
            source,
        });
        let answers = answers.map(|(by, (session, prompt, count, code))| Command::AnswersRefused {
            session,
            prompt,
            by,
            count,
            code: code.to_owned(),
        });
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let jobs = jobs.map(|(by, (count, source))| Command::JobsRefused { by, count, source });
        tools.chain(answers).chain(jobs).map(own_mail)
    }
}
