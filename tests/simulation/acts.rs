//! Steps become requests: with ids of what is there, now and then of what is not.

use crate::{
    history::History,
    model,
    world::{Act, Step},
};
use equipoise::{
    engine::{
        Actor, Command, Entry, Queue,
        command::{Ask, Customer},
    },
    ids::*,
    site::{SessionKind, raw::RawSite},
    time::Span,
    wire::control::ClientInfo,
};

/// The step's act; none where there is nothing to do it to.
pub fn request(history: &mut History<'_>, step: &Step) -> Option<(Actor, Command)> {
    let state = history.state();
    // A user whom an edit deleted is unknown from there on.
    let named = |number: usize| state.site.codes.users.get(&format!("r{number}")).copied().unwrap_or(UserId(900));
    let (user, other) = (named(step.rep), named(step.other));
    let alive: Vec<SessionId> = state.sessions.keys().copied().collect();
    let session = if alive.is_empty() { SessionId(step.dice % 3) } else { alive[step.session % alive.len()] };
    let customer = Party::Customer(session);
    let queue = history.queue(step, other);
    let rep = Actor::Party(Party::Rep(user));
    Some(match step.act {
        Act::Wait => (Actor::System, Command::Tick),
        Act::Login => {
            let resume = history.secret(Some(Party::Rep(user)));
            (Actor::System, Command::Login { user, version: 0, resume, client: ClientInfo::default() })
        }
        Act::Logout => (rep, Command::Logout { user }),
        Act::Lost => return lost(history, Party::Rep(user)),
        Act::Back => return back(history, Party::Rep(user), step),
        Act::LoseForGood => (Actor::System, Command::LoseForGood { user }),
        Act::OptOut => (rep, Command::OptOut),
        Act::OptIn => (rep, Command::OptIn),
        Act::Status => {
            let code = ["available", "available", "lunch", "busy", "nonsense"][(step.dice % 5) as usize];
            (rep, Command::Status { code: code.to_owned() })
        }
        Act::Idle => (rep, Command::Idle { since: history.now - Span(step.dice % 300_000) }),
        Act::Active => (rep, Command::Active),
        Act::Ask => (Actor::System, Command::Ask(ask(history, step, queue, other))),
        Act::Jump => (rep, Command::Jump { item: *state.site.codes.jump_items.get("j0")?, join: None }),
        Act::MakeKey => {
            let entry = history.issue().filter(|_| step.dice.is_multiple_of(3)).unwrap_or(Entry::Queue(queue));
            let key = history.secret(None);
            history.keys.push(key);
            let expires = history.now + Span(step.dice % 200_000);
            (rep, Command::MakeKey { entry, key, code: step.dice.is_multiple_of(2), expires })
        }
        Act::UseKey => {
            let key = history.keys.pop()?;
            let resume = history.secret(None);
            (Actor::System, Command::Redeem { key, portal: None, customer: Customer::default(), resume })
        }
        Act::CustomerCome => {
            let key = state.sessions.get(&session)?.ask.join?;
            let portal = state.site.codes.portals.get("p0").copied().filter(|_| step.dice.is_multiple_of(3));
            let resume = history.secret(Some(customer));
            (Actor::System, Command::Redeem { key, portal, customer: Customer::default(), resume })
        }
        Act::CustomerLost => return lost(history, customer),
        Act::CustomerBack => return back(history, customer, step),
        Act::Accept | Act::Reject => {
            // Whose turn it is, most of the time: otherwise hardly an act would be allowed.
            let of = |id: SessionId| Some((id, model::offered(state.sessions.get(&id)?)?));
            let any = of(session).or_else(|| alive.iter().find_map(|id| of(*id)));
            let (session, rep) = match any.filter(|_| !step.dice.is_multiple_of(4)) {
                Some((session, rep)) => (session, Actor::Party(Party::Rep(rep))),
                None => (session, rep),
            };
            (rep, if step.act == Act::Accept { Command::Accept { session } } else { Command::Reject { session } })
        }
        Act::Take => (rep, Command::Take { session }),
        Act::GetNext => (rep, Command::GetNext),
        Act::Join => (rep, Command::Join { session }),
        Act::TakeOver => (rep, Command::TakeOver { session }),
        Act::Transfer | Act::Share | Act::Depart | Act::Hold | Act::Resume | Act::End => {
            let owner = state.sessions.get(&session).and_then(|it| it.owner());
            let owner = owner.filter(|_| !step.dice.is_multiple_of(4));
            let actor = owner.map_or(rep, |owner| Actor::Party(Party::Rep(owner)));
            let command = match step.act {
                Act::Transfer => Command::Transfer { session, to: queue },
                Act::Share => Command::Share { session, to: queue, mail: None },
                Act::Depart => Command::Depart { session },
                Act::Hold => Command::Hold { session },
                Act::Resume => Command::Resume { session },
                _ => Command::End { session },
            };
            (actor, command)
        }
        Act::Leave => (Actor::Party(customer), Command::End { session }),
        Act::Restart => (Actor::System, Command::LoseConnections),
        Act::Clock => {
            // Mostly forward, sometimes back, as a clock that is set does.
            let wall = state.wall_ms(history.now);
            let by = step.dice % 1_800_000;
            let ms = if step.dice.is_multiple_of(3) { wall - by / 4 } else { wall + by };
            (Actor::System, Command::CivilTime { ms })
        }
        Act::Data => {
            let by = (0..3).map(ParticipantId).filter(|it| step.dice >> it.0 & 1 == 1).collect();
            (Actor::System, Command::DataMoved { session, by })
        }
        Act::Disable => (Actor::System, Command::DisableUser { user }),
        Act::DeleteTeam => {
            let team = state.site.codes.teams.get(&format!("t{}", step.team)).copied().unwrap_or(TeamId(900));
            (Actor::System, Command::DeleteTeam { team })
        }
        Act::EditSite => (Actor::System, Command::ApplySite(Box::new(edited(&state.site.raw, step)))),
        Act::Crash | Act::Repeat => return None,
    })
}

fn lost(history: &History<'_>, party: Party) -> Option<(Actor, Command)> {
    let epoch = history.state().parties.get(party)?.epoch;
    Some((Actor::System, Command::Lost { party, epoch }))
}

/// Comes back with its token, now and then with a used one.
fn back(history: &mut History<'_>, party: Party, step: &Step) -> Option<(Actor, Command)> {
    let mut presented = *history.resume.get(&party)?;
    if step.dice.is_multiple_of(9)
        && let Some(used) = history.used.get(step.session % history.used.len().max(1))
    {
        presented = *used;
        let resume = history.secret(None);
        return Some((Actor::System, Command::Reattach { presented, resume }));
    }
    let resume = history.secret(Some(party));
    Some((Actor::System, Command::Reattach { presented, resume }))
}

fn ask(history: &History<'_>, step: &Step, queue: Queue, other: UserId) -> Ask {
    let mut dice = step.dice;
    let mut roll = |sides: u64| {
        dice /= 7;
        dice % sides
    };
    let site = &history.state().site;
    let entry = history.issue().filter(|_| roll(6) == 0).unwrap_or(Entry::Queue(queue));
    let skills: Vec<SkillId> = site.skills.keys().copied().filter(|_| roll(3) == 0).take(3).collect();
    let join = (roll(2) == 0).then(|| SecretHash::of(format!("join {}", history.state().next_session).as_bytes()));
    let kinds = [SessionKind::Support, SessionKind::RepToRep, SessionKind::Chat, SessionKind::Presentation];
    Ask {
        entry,
        kind: if roll(6) == 0 { kinds[roll(4) as usize] } else { SessionKind::Support },
        portal: site.codes.portals.get("p0").copied().filter(|_| roll(3) == 0),
        skills: if roll(2) == 0 { skills } else { Vec::new() },
        priority: (roll(2) == 0).then(|| [10, 50, 90, 101][roll(4) as usize]),
        relax_after: (roll(3) == 0).then(|| Span::seconds(5)),
        preferred: (roll(4) == 0).then(|| (other, Span::seconds(15))),
        customer: Customer::default(),
        join,
        helps: None,
        item: None,
    }
}

/// The site with one thing changed, not always for the better.
fn edited(raw: &RawSite, step: &Step) -> RawSite {
    let mut raw = raw.clone();
    let team = format!("t{}", step.team);
    let rep = format!("r{}", step.rep);
    match step.dice % 12 {
        0 => raw.options.offer_timeout_is_rejection ^= true,
        1 => raw.options.fallback_rules_normal = vec![4],
        2 => raw.options.max_active_sessions = (step.dice / 12 % 4) as u32,
        3 => raw.user.retain(|user| user.username != rep),
        4 => raw.options.fallback_team = team,
        _ => {
            let Some(user) = raw.user.iter_mut().find(|user| user.username == rep) else { return raw };
            match step.dice % 12 {
                5 => user.skills = vec![format!("s{}", step.other)],
                6 => user.max_sessions = (step.dice / 12 % 4) as u32,
                7 => user.enabled ^= true,
                8 if user.teams.remove(&team).is_some() => {}
                8 => drop(user.teams.insert(team, "member".to_owned())),
                9 => user.permissions.retain(|permission| permission != "support"),
                10 => user.exempt_from_assignment ^= true,
                _ => {
                    if let Some(team) = raw.team.iter_mut().find(|it| it.code == team) {
                        team.persistent ^= true;
                    }
                }
            }
        }
    }
    raw
}
