//! Invitations by mail: the letter that follows one, what a failed one tells the engine, and the answer that comes back
//! from a letter's link (R7.4, R7.5).

use super::{Broker, Origin, Shared, port, refused, view};
use crate::{
    engine::{Actor, Command, Event, Queue, Reason, Stamped, command::InvitationAnswer},
    identity::{KeyShape, Secret},
    ids::*,
    mail::{Letter, Letters},
    site::Site,
    wire::Refused,
};
use std::sync::Arc;

/// A letter to be sent once its invitation is durable.
pub(super) struct InvitationLetter {
    letter: Letter,
    token: SecretHash,
}

impl InvitationLetter {
    /// Of the invitation among these events, if it goes by mail. `secret` is what it is answered with.
    pub(super) fn of(events: &[Stamped], site: &Site, letters: &Letters, secret: &Secret) -> Option<Box<Self>> {
        let secret = secret.reveal();
        let (letter, token) = events.iter().find_map(|Stamped { event, .. }| match event {
            Event::Invited { session, by, to: Queue::Personal(user), mailed: Some(token), .. } => {
                let to = &site.users.get(user)?.email;
                let by = site.users.get(by).map_or("", |by| by.private_name.as_str());
                Some((letters.invitation(to, by, session.0, secret), *token))
            }
            Event::ExternalInvited { by, address, key, .. } => {
                Some((letters.external(address, &view::public_name(site, *by), secret), *key))
            }
            _ => None,
        })?;
        Some(Box::new(Self { letter, token }))
    }

    /// Off the owner's turn; it is told if no server took the letter.
    pub(super) fn send(self, shared: &Arc<Shared>) {
        let Some(post) = &shared.post else { return };
        let (owner, token) = (shared.clone(), self.token);
        post.send(self.letter, move || owner.tell_owner(Command::MailFailed { token }));
    }
}

impl Broker {
    /// Answers a mailed invitation for whoever has the link from the letter. Wrong ones count as wrong keys do (H-47).
    pub async fn answer_invitation(
        &self,
        token: &str,
        answer: InvitationAnswer,
        origin: &Origin,
    ) -> Result<(), Refused> {
        if Secret::key_shape(token) != Some(KeyShape::Link) {
            return Err(refused("malformed", "this is no link of an invitation: copy all of it from the mail"));
        }
        let (token, tried) = self.try_key(token, None, origin).await.map_err(|denied| denied.refused)?;
        let answered = self.command(Actor::System, Command::AnswerInvitation { token, answer }).await;
        match &answered {
            Err(refusal) if refusal.reason == Reason::KeyGone => self.wrong_key(tried),
            _ => self.shared.attempts.give_back(tried),
        }
        answered.map_err(port::refused_by).map(|_| ())
    }
}
