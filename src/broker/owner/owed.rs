//! What is owed to whoever asked, and how it is paid: only when the turn is durable, or refused when it is not.

use super::{Enter, Owner, Way};
use crate::{
    broker::{
        Connection, Denied,
        directory::Proof,
        edits::{self, Editor},
        invitation::InvitationLetter,
        jobs,
        perform::Finals,
        port::refused_by,
        resolve, view,
    },
    engine::{Actor, Command, Outcome, Refusal, command::Ask, telling::Teller},
    identity::Secret,
    ids::*,
    journal::Journal,
    limits,
    wire::{
        CloseCode,
        control::{Done, Explained, FromBroker, Refused},
    },
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is owed to whoever asked, once the turn is durable.
pub(super) enum Owed {
    Reply {
        to: Arc<Connection>,
        id: u64,
        answer: Result<Answer, Refusal>,
    },
    Entered {
        enter: Box<Enter>,
        outcome: Result<(Actor, AttachEpoch), Denied>,
    },
    Command {
        reply: oneshot::Sender<Result<Outcome, Refusal>>,
        outcome: Result<Outcome, Refusal>,
    },
    /// Answered when everything that the edit touched is judged (P6.2).
    Edited(Editor),
}

/// An answer that is finished from the state after the turn.
pub(super) enum Answer {
    Outcome { outcome: Outcome, secret: Option<Secret>, expires_at_ms: u64, letter: Option<Box<InvitationLetter>> },
    Look(resolve::Look),
}

impl Owner {
    /// Gives whoever asked what is owed, the turn being durable.
    pub(super) fn pay(&mut self, owed: Owed, finals: &Finals) {
        match owed {
            Owed::Command { reply, outcome } => {
                // Whoever asked may have gone.
                let _ = reply.send(outcome);
            }
            Owed::Reply { to, id, answer: Ok(Answer::Look(resolve::Look::Past(session, offer))) } => {
                self.pasts.tell(to, id, Teller::new(session, offer), || self.journal.read_from(Seq(1)));
            }
            Owed::Reply { to, id, answer: Ok(Answer::Look(resolve::Look::History(question))) } => {
                self.histories.tell(to, id, *question, self.journal.history());
            }
            Owed::Edited(editor) => self.edits.wait(editor),
            Owed::Reply { to, id, mut answer } => {
                if let Ok(Answer::Outcome { letter, .. }) = &mut answer
                    && let Some(letter) = letter.take()
                {
                    letter.send(&self.shared);
                }
                if let (Actor::Service(_), Ok(Answer::Outcome { outcome: Outcome::Session(session), .. })) =
                    (to.actor, &answer)
                {
                    self.performer.watch(*session, &to, self.engine.state());
                }
                let answer = answer
                    .map(|answer| Box::new(self.done(answer, finals)))
                    .map_err(|refusal| Box::new(refused_by(refusal)));
                to.say(&FromBroker::Reply { re: id, answer });
            }
            Owed::Entered { enter, outcome } => {
                let Enter { way, hello, origin, outbox, resume, reply } = *enter;
                let proof = match way {
                    Way::User { version, .. } => Proof::Credential(version.into()),
                    Way::Service { key, links } => Proof::Key { key, links },
                    Way::Key(_) | Way::Resume(_) => Proof::OfParty,
                };
                let connection = outcome.map(|(actor, epoch)| {
                    let state = self.engine.state();
                    self.performer.enter(actor, epoch, outbox, origin.transport, hello, proof, resume, state, self.head)
                });
                if let Err(Ok(orphan)) = reply.send(connection) {
                    // The transport gave up while the turn was made durable: the party is lost at once.
                    if self.shared.directory.leave(&orphan)
                        && let Some(party) = orphan.party()
                    {
                        self.shared.tell_owner(Command::Lost { party, epoch: orphan.epoch });
                    }
                }
            }
        }
    }

    /// R9.2: that it would be refused is an answer as well.
    fn dry_run(&self, ask: &Ask) -> Explained {
        let state = self.engine.state();
        match self.engine.explain_ask(state.now, ask) {
            Ok(found) => found.told(state, SessionId(0)),
            Err(refusal) => Explained { refused: Some(Box::new(refused_by(refusal))), ..Explained::default() },
        }
    }

    fn done(&self, answer: Answer, finals: &Finals) -> Done {
        let state = self.engine.state();
        match answer {
            Answer::Look(resolve::Look::Explain(session) | resolve::Look::Past(session, _)) => {
                Done::Explained(Box::new(state.explained(session)))
            }
            Answer::Look(resolve::Look::ExplainAsk(ask)) => Done::Explained(Box::new(self.dry_run(&ask))),
            // Answered when it has been read.
            Answer::Look(resolve::Look::History(_)) => Done::Yes {},
            Answer::Look(resolve::Look::Notices) => view::notices(state),
            Answer::Look(resolve::Look::JumpItems(viewer, after)) => view::jump_items(state, viewer, after),
            Answer::Look(resolve::Look::Targets { rep, session, handing, like, after }) => {
                view::targets(state, rep, session, handing, &like, after)
            }
            Answer::Look(resolve::Look::Buttons(actor, after)) => view::buttons(state, actor, after),
            Answer::Look(resolve::Look::Jobs(look)) => jobs::done(state, look),
            Answer::Look(resolve::Look::RepList(portal)) => view::rep_list(state, portal),
            Answer::Look(resolve::Look::Site(at)) => edits::site_from(state, at),
            Answer::Outcome { outcome, secret, expires_at_ms, .. } => match (outcome, secret) {
                (Outcome::Session(session), Some(join)) => {
                    Done::Asked { session: session.0, join: join.reveal().into() }
                }
                (Outcome::Session(session), None) => match state.session(session) {
                    Some(_) => Done::Session(Box::new(self.performer.session_view(state, session))),
                    None => Done::Yes {},
                },
                (Outcome::Done | Outcome::Service(_), Some(key)) => {
                    Done::Key { key: key.reveal().into(), expires_at_ms }
                }
                (Outcome::Button(button), Some(key)) => Done::Button { button: button.0, key: key.reveal().into() },
                (Outcome::Job(job), _) => jobs::one(state, job, 0),
                (Outcome::JobTaken(job), _) => jobs::taken(state, job),
                (Outcome::Notice(notice), _) => Done::Notice { notice: notice.0 },
                (Outcome::Opening { open, prompt }, _) => {
                    Done::Opening { open: open.0, prompt: prompt.map(|prompt| prompt.0) }
                }
                (Outcome::Revoked { epoch, legs }, _) => Done::Revoked { epoch: epoch.0, finals: finals.of(&legs) },
                _ => Done::Yes {},
            },
        }
    }
}

pub(super) fn refuse_owed(owed: Owed, refusal: &Refusal) {
    match owed {
        Owed::Edited(editor) => editor.refuse(refusal),
        Owed::Reply { to, id, .. } => {
            to.say(&FromBroker::Reply { re: id, answer: Err(Box::new(refused_by(refusal.clone()))) });
        }
        Owed::Entered { enter, .. } => {
            let _ = enter.reply.send(Err(storage_denied(refusal)));
        }
        Owed::Command { reply, .. } => {
            let _ = reply.send(Err(refusal.clone()));
        }
    }
}

pub(super) fn storage_denied(refusal: &Refusal) -> Denied {
    let refused = Refused { retry_after_ms: Some(limits::JOURNAL_RETRY.0), ..refused_by(refusal.clone()) };
    Denied { code: CloseCode::Storage, refused, work: None }
}
