//! What the owner is asked, what a mail weighs in a turn, and how one that cannot be taken is refused.

use super::owed::storage_denied;
use crate::{
    broker::{
        Connection, Denied, Origin,
        edits::{Edited, Editor},
        port::refused_by,
    },
    engine::{Actor, Command, Outcome, Reason, Refusal, Request, State},
    identity::{LinkSeed, Secret},
    ids::*,
    limits,
    relay::Outbox,
    time::Time,
    wire::control::{Do, FromBroker, Hello, Value},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;

/// What the owner is asked.
pub(in crate::broker) enum Mail {
    /// A request of an attached connection; the answer goes to its outbox.
    Act { from: Arc<Connection>, id: u64, act: Box<Do> },
    /// An edit of the site, read; `version` is the one that was edited.
    Edit { from: Arc<Connection>, id: u64, site: Edited, version: Option<u64> },
    /// Somebody who said hello.
    Enter(Box<Enter>),
    /// A command of the broker's own.
    Command { request: Box<Request>, reply: oneshot::Sender<Result<Outcome, Refusal>> },
    /// A look at the state between two turns.
    Look(Box<dyn FnOnce(&State) + Send>),
}

pub(in crate::broker) struct Enter {
    pub way: Way,
    pub hello: Hello,
    pub origin: Origin,
    pub outbox: Arc<Outbox>,
    pub resume: Secret,
    pub reply: oneshot::Sender<Result<Arc<Connection>, Denied>>,
}

/// What somebody presented, as far as it was proven outside.
pub(in crate::broker) enum Way {
    /// A password was right, against this version of the credential (W5.7).
    User {
        user: UserId,
        version: u32,
    },
    Key(SecretHash),
    Service {
        key: SecretHash,
        links: LinkSeed,
    },
    Resume(SecretHash),
}

/// Bytes of a mail whose number its sender chooses.
pub(super) fn text_bytes(mail: &Mail) -> usize {
    let facts = |facts: &BTreeMap<String, Value>| -> usize {
        let one = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::List(texts) => texts.iter().map(|text| text.len() + 8).sum(),
            Value::Bool(_) | Value::Int(_) => 8,
        };
        facts.iter().map(|(name, value)| name.len() + one(value) + 8).sum()
    };
    match mail {
        Mail::Act { act, .. } => match &**act {
            Do::Open(open) => facts(&open.args),
            Do::AcceptOpen { facts: given, .. } | Do::Note { facts: given, .. } => facts(given),
            Do::PublishNotice { text, .. } => text.len(),
            // Of a template the text comes to it, and to an item why it is refused.
            Do::MakeJob(job) => {
                2 * limits::SCRIPT_BYTES_MAX + job.items.iter().map(|item| item.len() + 256).sum::<usize>()
            }
            Do::JobEnded(said) => 2 * said.output.len(),
            Do::SetField { field, value, .. } => field.len() + value.len(),
            Do::SetExternalKey { value, .. } => value.len(),
            Do::SetLocale { locale, .. } => locale.len(),
            Do::Ask(ask) => ask.customer_name.len() + ask.details.len() + ask.external_key.len(),
            _ => 0,
        },
        Mail::Enter(enter) => {
            let client = &enter.hello.client;
            client.name.len() + client.version.len() + client.display_name.len() + client.locale.len()
        }
        Mail::Command { .. } | Mail::Edit { .. } | Mail::Look(_) => 0,
    }
}

pub(super) fn is_an_edit(mail: &Mail) -> bool {
    match mail {
        Mail::Edit { .. } => true,
        Mail::Command { request, .. } => matches!(request.command, Command::ApplySite(_)),
        _ => false,
    }
}

pub(super) fn is_of_an_edit((_, request): &(Time, Request)) -> bool {
    matches!(request.command, Command::ApplySite(_))
}

/// What has happened already, and only has to become known.
pub(super) fn is_an_end(command: &Command) -> bool {
    matches!(command, Command::Lost { .. } | Command::ChannelEnded { .. } | Command::LegEnded { .. })
}

/// A command of the broker's own, whose answer nobody waits for.
pub(super) fn own_mail(command: Command) -> Mail {
    let (reply, _) = oneshot::channel();
    Mail::Command { request: Box::new(Request { actor: Actor::System, id: None, command }), reply }
}

/// Changes nothing, so a full disk does not hinder it (W5.2).
pub(super) fn is_a_look(mail: &Mail) -> bool {
    let Mail::Act { act, .. } = mail else { return false };
    matches!(
        **act,
        Do::Notices {}
            | Do::Buttons { .. }
            | Do::JumpItems { .. }
            | Do::Targets { .. }
            | Do::JobTemplates { .. }
            | Do::Jobs { .. }
            | Do::Job { .. }
            | Do::RepList { .. }
            | Do::History(_)
            | Do::Explain { .. }
            | Do::ExplainAsk(_)
            | Do::Site {}
            | Do::SitePart { .. }
    )
}

pub(super) fn refuse_mail(mail: Mail, refusal: &Refusal) {
    match mail {
        Mail::Look(_) => {}
        Mail::Act { from, id, .. } => {
            from.say(&FromBroker::Reply { re: id, answer: Err(Box::new(refused_by(refusal.clone()))) });
        }
        Mail::Edit { from, id, .. } => Editor::Connection { to: from, id }.refuse(refusal),
        Mail::Enter(enter) => {
            let _ = enter.reply.send(Err(storage_denied(refusal)));
        }
        Mail::Command { reply, .. } => {
            let _ = reply.send(Err(refusal.clone()));
        }
    }
}

pub(super) fn fenced() -> Refusal {
    Refusal::new(Reason::StorageFull, "W5.6", "another broker owns this site: this one ends; come back to the other")
}

pub(super) fn storage_full() -> Refusal {
    Refusal::new(
        Reason::StorageFull,
        "W5.2",
        "the broker's disk takes no more; what was acknowledged is safe; free space and try again",
    )
}

pub(super) fn broken() -> Refusal {
    Refusal::new(Reason::Overloaded, "W5.2", "the broker made a mistake and starts afresh from its journal; try again")
}
