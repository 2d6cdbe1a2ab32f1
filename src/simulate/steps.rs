//! One step of a scenario, from names to a command of the engine.

use super::{
    run::Run,
    scenario::{Preferred, Step, Verb},
};
use crate::{
    engine::{Actor, Command, Queue, Reason, command::Ask},
    ids::*,
};

/// Takes a step, or leaves a line that says why not.
pub(super) fn take(run: &mut Run, step: &Step) {
    let refused = attempt(run, step).err();
    run.refused(step.verb.name(), refused, |line, _| {
        line.rep.clone_from(&step.rep);
        line.by.clone_from(&step.by);
        line.session.clone_from(&step.session);
        line.queue.clone_from(&step.queue);
        line.to.clone_from(&step.to);
        line.item.clone_from(&step.item);
        line.team.clone_from(&step.team);
    });
}

fn attempt(run: &mut Run, step: &Step) -> Result<(), Reason> {
    let names = &run.names;
    // Those of a verb are there: the scenario was checked.
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let user = || names.rep_named(&text(&step.rep));
    let session = || names.session_named(&text(&step.session));
    let (actor, command) = match step.verb {
        Verb::Login => {
            let user = user()?;
            return run.log_in(user).map(drop);
        }
        Verb::Ask => return ask(run, step),
        Verb::Jump => {
            let (user, item, name) = (user()?, names.jump_item(&text(&step.item))?, text(&step.session));
            return jump(run, user, item, name);
        }
        Verb::Logout => (rep(user()?), Command::Logout { user: user()? }),
        Verb::Lose => (Actor::System, Command::LoseForGood { user: user()? }),
        Verb::Disable => (Actor::System, Command::DisableUser { user: user()? }),
        Verb::DeleteTeam => (Actor::System, Command::DeleteTeam { team: names.team_named(&text(&step.team))? }),
        Verb::OptIn => (rep(user()?), Command::OptIn),
        Verb::OptOut => (rep(user()?), Command::OptOut),
        Verb::Status => (rep(user()?), Command::Status { code: text(&step.code) }),
        Verb::Idle => (rep(user()?), Command::Idle { since: run.now }),
        Verb::Active => (rep(user()?), Command::Active),
        Verb::GetNext => (rep(user()?), Command::GetNext),
        Verb::Accept => (rep(user()?), Command::Accept { session: session()? }),
        Verb::Reject => (rep(user()?), Command::Reject { session: session()? }),
        Verb::Take => (rep(user()?), Command::Take { session: session()? }),
        Verb::Join => (rep(user()?), Command::Join { session: session()? }),
        Verb::Depart => (rep(user()?), Command::Depart { session: session()? }),
        Verb::TakeOver => (rep(user()?), Command::TakeOver { session: session()? }),
        Verb::Hold => (rep(user()?), Command::Hold { session: session()? }),
        Verb::Resume => (rep(user()?), Command::Resume { session: session()? }),
        Verb::Transfer | Verb::Share => {
            let by = names.rep_named(&text(if step.by.is_some() { &step.by } else { &step.rep }))?;
            let (session, to) = (session()?, names.queue(&text(&step.to))?);
            let command = match step.verb {
                Verb::Transfer => Command::Transfer { session, to },
                _ => Command::Share { session, to, mail: None },
            };
            (rep(by), command)
        }
        Verb::Leave => {
            let session = session()?;
            (Actor::Party(Party::Customer(session)), Command::End { session })
        }
        Verb::End => {
            let session = session()?;
            (ends(run, step, session)?, Command::End { session })
        }
    };
    run.ask_engine(actor, command).map(drop)
}

/// Who ends it: the customer, the rep who is named, else its owner or the rep in whose own queue it waits.
fn ends(run: &Run, step: &Step, session: SessionId) -> Result<Actor, Reason> {
    if step.by.as_deref() == Some("customer") {
        return Ok(Actor::Party(Party::Customer(session)));
    }
    if let Some(name) = &step.rep {
        return run.names.rep_named(name).map(rep);
    }
    let Some(it) = run.engine.state().session(session) else { return Err(Reason::SessionEnded) };
    match (it.owner(), it.waiting().map(|waiting| waiting.queue)) {
        (Some(owner), _) | (None, Some(Queue::Personal(owner))) => Ok(rep(owner)),
        _ => Err(Reason::WrongState),
    }
}

fn ask(run: &mut Run, step: &Step) -> Result<(), Reason> {
    let names = &run.names;
    let name = step.session.clone().unwrap_or_default();
    if names.is_taken(&name) {
        return Err(Reason::WrongState);
    }
    let address = step.queue.as_deref().unwrap_or_default();
    let entry = names.entry(address);
    let queue = names.first_queue(address);
    let skills: Result<Vec<SkillId>, Reason> = step.skills.iter().map(|skill| names.skill(skill)).collect();
    let preferred = step.preferred.as_ref().map(|Preferred { rep, window_s }| Ok((names.rep_named(rep)?, *window_s)));
    let ask = Ask {
        kind: step.kind,
        portal: step.portal.as_deref().and_then(|portal| names.portal(portal)),
        priority: step.priority,
        relax_after: step.relax_after_s,
        preferred: preferred.transpose()?,
        skills: skills?,
        ..Ask::of(entry?)
    };
    run.ask(name, ask, queue).map(drop)
}

fn jump(run: &mut Run, user: UserId, item: JumpItemId, name: String) -> Result<(), Reason> {
    if run.names.is_taken(&name) {
        return Err(Reason::WrongState);
    }
    let session = SessionId(run.engine.state().next_session);
    run.names.label(session, name);
    let done = run.ask_engine(rep(user), Command::Jump { item, join: None, by_endpoint: false });
    if done.is_err() {
        run.names.forget(session);
    }
    done.map(drop)
}

fn rep(user: UserId) -> Actor {
    Actor::Party(Party::Rep(user))
}
