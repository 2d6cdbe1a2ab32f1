//! Why a session is offered to whom it is, or why it waits (R9). Costs nothing when nobody asks, and changes nothing.

use super::{Engine, Queue, Refusal, Session, State, command::Ask, event::MoveRule, index, session::Waiting};
use crate::{
    ids::*,
    limits,
    routing::{
        Demand, Test,
        console::{SessionTests, first_failed},
        skills,
    },
    site::Algorithm,
    time::Time,
};
use std::collections::BTreeMap;

/// An answer of R9.1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    pub queue: Queue,
    /// None: a rep's own queue, from which nothing is offered.
    pub algorithm: Option<Algorithm>,
    /// The step of R4.6 at which somebody matched, and what was still asked for then.
    pub step: u32,
    pub skills: Vec<SkillId>,
    /// In the order in which it would be offered to them; empty where the team has no algorithm.
    pub candidates: Vec<UserId>,
    /// There are more candidates than are listed.
    pub more: bool,
    /// Would pass every test, but the step that they match may not be taken yet (R4.7), or the preferred rep is waited
    /// for (R4.8).
    pub held_back: Vec<UserId>,
    /// When a further step may be taken, or the preferred rep's window ends.
    pub widens_at: Option<Time>,
    /// The first failed test of R3 of each member who is left out.
    pub rejected: BTreeMap<UserId, Test>,
    /// On offer to this rep, or offered to next.
    pub chosen: Option<UserId>,
    /// The rule that brought it into this queue; none: the customer's own choice.
    pub moved_by: Option<MoveRule>,
}

impl Engine {
    /// R9.2, a dry run: what would become of this ask at this moment, or why it would be refused.
    pub fn explain_ask(&self, now: Time, ask: &Ask) -> Result<Explanation, Refusal> {
        let queue = self.admits(ask)?;
        let state = self.state();
        let mut session = Session::asked(now, SessionId(state.next_session), ask, &state.site);
        session.place(now, queue, true);
        Ok(match session.waiting() {
            Some(waiting) => state.explain_waiting(now, &session, waiting, None),
            None => unreachable!("it was just placed"),
        })
    }
}

impl State {
    /// Why this waiting session is where it is; none where it does not wait.
    pub fn explain(&self, now: Time, id: SessionId) -> Option<Explanation> {
        self.explain_but(now, id, None)
    }

    /// The same, where this rep has just let an offer of it run out without that being a rejection (R5.4).
    pub(super) fn explain_but(&self, now: Time, id: SessionId, avoided: Option<UserId>) -> Option<Explanation> {
        let session = self.sessions.get(&id)?;
        Some(self.explain_waiting(now, session, session.waiting()?, avoided))
    }

    fn explain_waiting(&self, now: Time, session: &Session, waiting: &Waiting, avoided: Option<UserId>) -> Explanation {
        let chosen = waiting.offer.as_ref().map(|offer| offer.rep);
        let mut explanation = Explanation {
            queue: waiting.queue,
            algorithm: None,
            step: 0,
            skills: session.skills.clone(),
            candidates: Vec::new(),
            more: false,
            held_back: Vec::new(),
            widens_at: None,
            rejected: BTreeMap::new(),
            chosen,
            moved_by: session.moved_by,
        };
        let Queue::Team(team_id) = waiting.queue else { return explanation };
        let Some(team) = self.site.teams.get(&team_id) else { return explanation };
        explanation.algorithm = Some(team.algorithm);
        let portal_bars = index::portal_bars(&self.site, session, team_id);
        for user_id in team.members.keys() {
            let Some(user) = self.site.users.get(user_id) else { continue };
            let rejected = session.rejected_by.contains(user_id);
            let tests = SessionTests { rejected, portal_bars, lens_bars: self.lens_bars(session, *user_id) };
            let console = self.consoles.get(user_id);
            if let Some(test) = first_failed(user, team_id, team, console, tests, now) {
                explanation.rejected.insert(*user_id, test);
            }
        }
        if team.algorithm == Algorithm::None {
            return explanation;
        }
        let demand = index::demand(&self.site, session, waiting, team_id);
        self.candidates(session, &demand, avoided, &mut explanation);
        if !explanation.more {
            let listed =
                |user: &UserId| explanation.rejected.contains_key(user) || explanation.candidates.contains(user);
            explanation.held_back = team.members.keys().copied().filter(|user| !listed(user)).collect();
        }
        let window = session.window_ends().filter(|_| matches!(demand, Demand::Only(_)));
        explanation.widens_at = [window, self.relax_at(session, waiting)].into_iter().flatten().min();
        explanation.chosen = chosen.or(explanation.candidates.first().copied());
        explanation
    }

    /// Everyone it would be offered to, as if each in turn rejected it.
    fn candidates(&self, session: &Session, demand: &Demand, avoided: Option<UserId>, explanation: &mut Explanation) {
        let mut first_step = None;
        loop {
            let may = |rep: UserId| !explanation.rejected.contains_key(&rep) && !explanation.candidates.contains(&rep);
            let Some((rep, _, step)) = self.pick_but(session, demand, avoided, may) else { break };
            if explanation.candidates.len() == limits::CANDIDATES_TOLD {
                explanation.more = true;
                break;
            }
            first_step.get_or_insert(step);
            explanation.candidates.push(rep);
        }
        if let Some(step) = first_step {
            explanation.step = step;
            let mut steps = skills::steps(&self.site.skills, &session.skills);
            if (step as usize) < steps.len() {
                explanation.skills = steps.swap_remove(step as usize);
            }
        }
    }

    /// R10.1: how many would be offered before it if all reps were alike, and itself; none where it does not wait.
    pub fn position(&self, id: SessionId) -> Option<u32> {
        let session = self.sessions.get(&id)?;
        let waiting = session.placed()?;
        let ageing = self.site.options.priority_ageing_per_min;
        let place =
            |session: &Session| crate::routing::Place::new(session.priority, ageing, session.first_queued, session.id);
        let mine = place(session);
        let before = self.waiting_in(waiting.queue).filter(|other| place(&self.sessions[other]) < mine).count();
        u32::try_from(before + 1).ok()
    }

    /// What waits in a queue in the order in which it would be offered if all reps were alike (I-Q19).
    pub fn in_order(&self, queue: Queue) -> Vec<SessionId> {
        let ageing = self.site.options.priority_ageing_per_min;
        let place =
            |session: &Session| crate::routing::Place::new(session.priority, ageing, session.first_queued, session.id);
        let mut waiting: Vec<SessionId> = self.waiting_in(queue).collect();
        waiting.sort_by_key(|id| place(&self.sessions[id]));
        waiting
    }
}
