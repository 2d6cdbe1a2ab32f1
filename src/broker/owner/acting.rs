//! What a connection asks for: its request, resolved and decided.

use super::{
    Owner,
    owed::{Answer, Owed},
    refusals::Recorded,
};
use crate::{
    broker::{
        Connection,
        directory::Proof,
        edits::{Edited, Editor},
        invitation::InvitationLetter,
        resolve,
    },
    engine::{Command, Reason, Refusal, Request, Turn},
    identity::Secret,
    ids::*,
    limits,
    time::Time,
    wire::control::{Do, KeyKind},
};

impl Owner {
    pub(super) fn act(
        &mut self,
        now: Time,
        from: &Connection,
        id: u64,
        act: Do,
        turn: &mut Turn,
    ) -> Result<Answer, Refusal> {
        let recorded = Recorded::of(&act);
        self.acted(now, from, id, act, turn).inspect_err(|refusal| {
            if let (Some(what), Some(party)) = (recorded, from.party()) {
                let seat = what.session().and_then(|session| from.seat(session));
                self.refusals.note(what, party, seat, refusal);
            }
        })
    }

    fn acted(&mut self, now: Time, from: &Connection, id: u64, act: Do, turn: &mut Turn) -> Result<Answer, Refusal> {
        // A connection that was replaced says nothing any more (W3.1).
        if from.outbox.closing().is_some() {
            return Err(Refusal::new(Reason::Stale, "W3.1", "this connection was replaced by a newer one"));
        }
        // Asked for again, a session has the same link.
        let kept = match (&act, &from.proof) {
            (Do::Ask(_), Proof::Key { links, .. }) if id >= limits::SERVICE_REQUEST_IDS_FROM => Some(links.link(id)),
            _ => None,
        };
        let is_kept = kept.is_some();
        let secret = kept.or_else(|| match act {
            Do::MakeKey { kind: KeyKind::Code, .. } => Some(Secret::code()),
            Do::MakeKey { .. }
            | Do::MakeButton { .. }
            | Do::MakeItemKey { .. }
            | Do::Ask(_)
            | Do::InviteExternal { .. } => Some(Secret::link()),
            Do::MakeServiceKey { .. } => Some(Secret::token()),
            _ => None,
        });
        // The answer to an earlier one was lost with its secret, of which only the hash is known: another is made.
        let known = || self.engine.state().parties.remembered(from.actor, id).is_some();
        let again = secret.is_some() && !is_kept && known();
        // Of the links in a mail, if one is sent (R7.4).
        let mail = (matches!(act, Do::Share { .. }) && self.shared.post.is_some()).then(Secret::link);
        let hash = secret.as_ref().map_or(SecretHash([0; 32]), Secret::hash);
        match resolve::resolve(act, from.actor, self.engine.state(), now, hash)? {
            resolve::Resolved::Look(look) => Ok(Answer::Look(look)),
            resolve::Resolved::Command(command) => {
                let mut command = *command;
                if let Command::Share { mail: of_links, .. } = &mut command {
                    *of_links = mail.as_ref().map(Secret::hash);
                }
                let expires_at_ms = match &command {
                    Command::MakeKey { expires, .. } => expires.0,
                    Command::InviteExternal { .. } => (now + limits::EXTERNAL_KEY).0,
                    _ => 0,
                };
                let request = Request { actor: from.actor, id: (!again).then_some(id), command };
                let before = turn.events.len();
                let outcome = self.decide(now, request, turn)?;
                let letter = self.shared.post.as_ref().zip(mail.as_ref().or(secret.as_ref()));
                let letter = letter.and_then(|(post, secret)| {
                    InvitationLetter::of(&turn.events[before..], &self.engine.state().site, post.letters(), secret)
                });
                Ok(Answer::Outcome { outcome, secret, expires_at_ms, letter })
            }
        }
    }

    /// Makes the site another one, if it is still the one that was edited (W5.7).
    pub(super) fn edit(
        &mut self,
        now: Time,
        editor: Editor,
        site: Edited,
        version: Option<u64>,
        turn: &mut Turn,
    ) -> Owed {
        let Editor::Connection { to, id } = &editor else { return Owed::Edited(editor) };
        let (to, id, live) = (to.clone(), *id, self.engine.state().site_version);
        let stale = to.outbox.closing().is_some() || version.is_some_and(|version| version != live);
        let done = match stale {
            true => Err(Refusal::new(Reason::Stale, "W5.7", "the site was edited meanwhile: look at it again")),
            false => {
                self.engine.checked(site.checked);
                let request = Request { actor: to.actor, id: None, command: Command::ApplySite(site.raw) };
                self.decide(now, request, turn)
            }
        };
        match done {
            Ok(_) => Owed::Edited(editor),
            Err(refusal) => Owed::Reply { to, id, answer: Err(refusal) },
        }
    }
}
