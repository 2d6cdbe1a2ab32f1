//! Steps that reach beyond those who serve a session become requests: invitations, external reps, help, what customers
//! are told, what is written on it.

use crate::{
    history::History,
    world::{Act, Step},
};
use equipoise::{
    engine::{
        Actor, Command, Queue,
        command::{Customer, InvitationAnswer},
        session::Role,
    },
    ids::*,
    time::Span,
    wire::control::ClientInfo,
};

/// The step's act, by this rep with this session; none where there is nothing to do it to.
pub fn request(history: &mut History<'_>, step: &Step, user: UserId, session: SessionId) -> Option<(Actor, Command)> {
    let rep = Actor::Party(Party::Rep(user));
    Some(match step.act {
        Act::InviteExternal => {
            let site = &history.state().site;
            let code = ["guest", "partner", "house"].get((step.dice / 4 % 4) as usize);
            let policy = code.and_then(|code| site.codes.policies.get(*code)).copied();
            let address = if step.dice.is_multiple_of(16) { "nobody" } else { "eve@partner.example" }.to_owned();
            let key = history.secret(None);
            history.external_keys.push(key);
            (served_by(history, step, session, rep), Command::InviteExternal { session, address, policy, key })
        }
        Act::ExternalCome => {
            // Now and then with one that was used.
            let at = step.session % history.external_keys.len().max(1);
            let key = *history.external_keys.get(at)?;
            if !step.dice.is_multiple_of(4) {
                history.external_keys.remove(at);
            }
            let resume = history.secret(arriving(history, key));
            (Actor::System, Command::RedeemInvite { key, client: ClientInfo::default(), resume })
        }
        Act::ExternalLeave => {
            let (session, participant) = external(history, step)?;
            (Actor::Party(Party::External(session, participant)), Command::Depart { session })
        }
        Act::Write => {
            let value = ["", "4711", "4712"][(step.dice % 3) as usize].to_owned();
            let command = match step.dice / 3 % 4 {
                0 => Command::SetExternalKey { session, value },
                number => Command::SetField { session, field: format!("field-{number}"), value },
            };
            (served_by(history, step, session, rep), command)
        }
        Act::MakeButton => {
            let queue = history.queue(step, user);
            let portal = history.portal(step);
            let token = history.secret(None);
            history.buttons.push(token);
            (rep, Command::MakeButton { queue, portal, token })
        }
        // Now and then of one that was never made, or is gone.
        Act::Press => {
            let key = *history.buttons.get(step.session % history.buttons.len().max(1))?;
            let resume = history.secret(None);
            (Actor::System, Command::Redeem { key, portal: None, customer: Customer::default(), resume })
        }
        Act::EditButton => {
            let there: Vec<_> = history.state().buttons.live().map(|(id, button)| (id, button.by)).collect();
            let (button, by) = *there.get(step.session % there.len().max(1))?;
            let actor = if step.dice.is_multiple_of(3) { rep } else { Actor::Party(Party::Rep(by)) };
            let command = match step.dice.is_multiple_of(2) {
                true => Command::RevokeButton { button },
                false => Command::SetButtonPortal { button, portal: history.portal(step) },
            };
            (actor, command)
        }
        Act::Extended => (rep, Command::Extended { on: !step.dice.is_multiple_of(3) }),
        Act::AnswerInvitation => {
            let answer = match step.dice % 4 {
                0 => InvitationAnswer::Decline,
                1 => InvitationAnswer::DeclineAndSwitchOff,
                _ => InvitationAnswer::Accept,
            };
            (Actor::System, Command::AnswerInvitation { token: mailed(history, step)?, answer })
        }
        Act::MailFailed => (Actor::System, Command::MailFailed { token: mailed(history, step)? }),
        Act::AskForHelp => {
            let issue = *history.state().site.codes.issues.get("i0")?;
            (served_by(history, step, session, rep), Command::AskForHelp { session, issue })
        }
        Act::AnswerDisclaimer => {
            let reads = history.checker.shadow.people.disclaimers.keys().copied();
            let session = reads.cycle().nth(step.session % 8).unwrap_or(session);
            let agree = !step.dice.is_multiple_of(5);
            (Actor::Party(Party::Customer(session)), Command::AnswerDisclaimer { session, agree })
        }
        Act::PublishNotice => {
            let lives = (!step.dice.is_multiple_of(4)).then(|| Span(1 + step.dice % 200_000));
            (rep, Command::PublishNotice { text: "the mail is down".to_owned(), lives })
        }
        Act::WithdrawNotice => {
            let notice = history.state().notices.live().map(|(id, _)| id).nth(step.session % 3);
            (rep, Command::WithdrawNotice { notice: notice.unwrap_or(NoticeId(1)) })
        }
        _ => return None,
    })
}

/// Who serves the session, most of the time.
pub fn served_by(history: &History<'_>, step: &Step, session: SessionId, otherwise: Actor) -> Actor {
    let serves = |role: Role| matches!(role, Role::Owner | Role::Sharer);
    let there = history.state().sessions.get(&session).and_then(|it| it.participants.iter().find(|it| serves(it.role)));
    there.filter(|_| !step.dice.is_multiple_of(5)).map_or(otherwise, |it| Actor::Party(it.party))
}

/// Whom an open invitation into this session is for, if it is for one rep.
pub fn invited_to(history: &History<'_>, session: SessionId) -> Option<UserId> {
    history.state().sessions.get(&session)?.invites.iter().find_map(|invite| personal(invite.to))
}

fn personal(queue: Queue) -> Option<UserId> {
    match queue {
        Queue::Personal(user) => Some(user),
        Queue::Team(_) => None,
    }
}

/// Whom an open invitation went to by mail.
pub fn invited_by_mail(history: &History<'_>) -> Option<UserId> {
    let open = history.state().sessions.values().flat_map(|it| &it.invites);
    let unanswered = open.filter(|invite| invite.mailed.is_some() && !invite.accepted);
    unanswered.filter_map(|invite| personal(invite.to)).next()
}

/// An external rep who is in some session.
pub fn external(history: &History<'_>, step: &Step) -> Option<(SessionId, ParticipantId)> {
    let externals = &history.checker.shadow.people.externals;
    externals.keys().copied().cycle().nth(step.session % externals.len().max(1))
}

/// The party that comes with this key, if it is let in.
fn arriving(history: &History<'_>, key: SecretHash) -> Option<Party> {
    let state = history.state();
    let session = state.keys.external(key)?.session;
    Some(Party::External(session, ParticipantId(state.sessions.get(&session)?.next_participant)))
}

/// The token of an open invitation, now and then of one that is not open any more.
fn mailed(history: &History<'_>, step: &Step) -> Option<SecretHash> {
    let invites = history.state().sessions.values().flat_map(|it| &it.invites).filter(|invite| !invite.accepted);
    let mut open = invites.filter_map(|invite| invite.mailed);
    let open = open.next().filter(|_| !step.dice.is_multiple_of(5));
    open.or_else(|| history.mails.get(step.session % history.mails.len().max(1)).copied())
}
