//! Steps become requests: with ids of what is there, now and then of what is not.

use crate::{
    history::History,
    jobs, model, reaching,
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

/// The step's act; none where there is nothing to do it to. Who would have to be logged in for it logs in instead, most
/// of the time.
pub fn request(history: &mut History<'_>, step: &Step) -> Option<(Actor, Command)> {
    match asked(history, step)? {
        (Actor::Party(Party::Rep(user)), _)
            if !history.state().consoles.contains_key(&user) && !step.dice.is_multiple_of(3) =>
        {
            Some(login(history, user))
        }
        asked => Some(asked),
    }
}

fn login(history: &mut History<'_>, user: UserId) -> (Actor, Command) {
    let resume = history.secret(Some(Party::Rep(user)));
    (Actor::System, Command::Login { user, version: 0, resume, client: ClientInfo::default() })
}

fn asked(history: &mut History<'_>, step: &Step) -> Option<(Actor, Command)> {
    let state = history.state();
    // A user whom an edit deleted is unknown from there on.
    let named = |number: usize| state.site.codes.users.get(&format!("r{number}")).copied().unwrap_or(UserId(900));
    let here: Vec<UserId> = state.consoles.keys().copied().collect();
    // Who acts is logged in, most of the time.
    let anybody = here.is_empty() || matches!(step.act, Act::Login | Act::Disable) || step.dice.is_multiple_of(8);
    let user = if anybody { named(step.rep) } else { here[step.session / 1000 % here.len()] };
    let other = named(step.other);
    let rep = Actor::Party(Party::Rep(user));
    let alive: Vec<SessionId> = state.sessions.keys().copied().collect();
    let served: Vec<SessionId> = alive.iter().copied().filter(|it| state.sessions[it].owner().is_some()).collect();
    // What is done with a session is done with one that is served, most of the time.
    let came = |it: &SessionId| state.parties.get(Party::Customer(*it)).is_some();
    let from: Vec<SessionId> = match step.act {
        _ if step.dice.is_multiple_of(7) => alive.clone(),
        Act::CustomerLost | Act::CustomerBack | Act::Leave => alive.iter().copied().filter(came).collect(),
        act if needs_service(act) && served.is_empty() => return jump(history, rep),
        act if needs_service(act) => served,
        _ => alive.clone(),
    };
    let from = if from.is_empty() { &alive } else { &from };
    let session = if from.is_empty() { SessionId(step.dice % 3) } else { from[step.session % from.len()] };
    let customer = Party::Customer(session);
    let queue = history.queue(step, other);
    Some(match step.act {
        Act::Wait => (Actor::System, Command::Tick),
        // Now and then who was invited by mail and has not answered.
        Act::Login => {
            let invited = reaching::invited_by_mail(history).filter(|_| step.dice.is_multiple_of(2));
            login(history, invited.unwrap_or(user))
        }
        Act::Logout => (rep, Command::Logout { user }),
        Act::ExternalLost => {
            let (session, participant) = reaching::external(history, step)?;
            return lost(history, Party::External(session, participant));
        }
        Act::ExternalBack => {
            let (session, participant) = reaching::external(history, step)?;
            return back(history, Party::External(session, participant), step);
        }
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
        Act::Jump => return jump(history, rep),
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
        Act::Join => {
            let invited = reaching::invited_to(history, session).filter(|_| !step.dice.is_multiple_of(3));
            (invited.map_or(rep, |user| Actor::Party(Party::Rep(user))), Command::Join { session })
        }
        Act::TakeOver => (rep, Command::TakeOver { session }),
        Act::Transfer | Act::Share | Act::Depart | Act::Hold | Act::Resume | Act::End => {
            let owner = state.sessions.get(&session).and_then(|it| it.owner());
            let owner = owner.filter(|_| !step.dice.is_multiple_of(4));
            let actor = owner.map_or(rep, |owner| Actor::Party(Party::Rep(owner)));
            let command = match step.act {
                Act::Transfer => Command::Transfer { session, to: queue },
                Act::Share => {
                    let mail = (!step.dice.is_multiple_of(3)).then(|| history.secret(None));
                    history.mails.extend(mail);
                    Command::Share { session, to: share_with(history, step, queue), mail }
                }
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
        Act::EditSite => {
            // Whom external reps are let in by changes more often while some are there.
            let outsiders = !history.checker.shadow.people.externals.is_empty();
            let what = if outsiders && step.dice.is_multiple_of(3) { 13 } else { step.dice % 17 };
            (Actor::System, Command::ApplySite(edited(&state.site.raw, step, what).into()))
        }
        Act::Crash | Act::Repeat => return None,
        Act::StandBy | Act::MakeJob | Act::TakeJob | Act::EndJob | Act::CancelJob => {
            return jobs::request(history, step, user);
        }
        _ => return reaching::request(history, step, user, session),
    })
}

fn jump(history: &History<'_>, rep: Actor) -> Option<(Actor, Command)> {
    let item = *history.state().site.codes.jump_items.get("j0")?;
    let by_endpoint = history.state().parties.get(Party::JumpClient(item)).is_some_and(|endpoint| endpoint.connected);
    Some((rep, Command::Jump { item, join: None, by_endpoint }))
}

fn needs_service(act: Act) -> bool {
    let transfers =
        [Act::Transfer, Act::Share, Act::Join, Act::Depart, Act::TakeOver, Act::Hold, Act::Resume, Act::End];
    let reaches = [Act::InviteExternal, Act::AskForHelp, Act::Data, Act::Write];
    transfers.contains(&act) || reaches.contains(&act)
}

/// Now and then a rep who is reached by mail alone.
fn share_with(history: &History<'_>, step: &Step, queue: Queue) -> Queue {
    let away = |user: &&UserId| !history.state().consoles.contains_key(user);
    let extended = history.checker.shadow.people.extended.iter().find(away);
    extended.filter(|_| step.dice % 16 < 11).map_or(queue, |user| Queue::Personal(*user))
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
        kind: if roll(6) == 0 { kinds[roll(4) as usize] } else { SessionKind::Support },
        portal: site.codes.portals.get("p0").copied().filter(|_| roll(3) == 0),
        skills: if roll(2) == 0 { skills } else { Vec::new() },
        priority: (roll(2) == 0).then(|| [10, 50, 90, 101][roll(4) as usize]),
        relax_after: (roll(3) == 0).then(|| Span::seconds(5)),
        preferred: (roll(4) == 0).then(|| (other, Span::seconds(15))),
        join,
        ..Ask::of(entry)
    }
}

/// The site with one thing changed, not always for the better.
fn edited(raw: &RawSite, step: &Step, what: u64) -> RawSite {
    let mut raw = raw.clone();
    let team = format!("t{}", step.team);
    let rep = format!("r{}", step.rep);
    match what {
        0 => raw.options.offer_timeout_is_rejection ^= true,
        1 => raw.options.fallback_rules_normal = vec![4],
        2 => raw.options.max_active_sessions = (step.dice / 16 % 4) as u32,
        3 => raw.user.retain(|user| user.username != rep),
        4 => raw.options.fallback_team = team,
        12 => raw.options.disclaimer ^= true,
        16 => raw.jump_item.retain(|item| item.code != "j1"),
        13 => raw.policy.iter_mut().filter(|policy| policy.code == "guest").for_each(|it| it.for_invites ^= true),
        _ => {
            let Some(user) = raw.user.iter_mut().find(|user| user.username == rep) else { return raw };
            match what {
                5 => user.skills = vec![format!("s{}", step.other)],
                6 => user.max_sessions = (step.dice / 16 % 4) as u32,
                7 => user.enabled ^= true,
                8 if user.teams.remove(&team).is_some() => {}
                8 => drop(user.teams.insert(team, "member".to_owned())),
                9 => user.permissions.retain(|permission| permission != "support"),
                10 => user.exempt_from_assignment ^= true,
                14 => user.email.clear(),
                15 => user.permissions.retain(|permission| permission != "extended_availability"),
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
