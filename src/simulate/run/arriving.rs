//! Customers who come by chance, and the shifts of those who serve them.

use super::{Act, Run};
use crate::{
    engine::{Entry, Queue, Reason, command::Ask},
    limits,
    simulate::{
        chance::Chance,
        line::Line,
        report::Tally,
        scenario::{Arrivals, Distribution, Shift},
    },
    time::{Span, Time},
};

/// A list of arrivals under way.
pub(super) struct Source {
    of: Arrivals,
    entry: Result<Entry, Reason>,
    queue: Option<Queue>,
    gaps: Chance,
    handling: Chance,
    patience: Chance,
    /// Milliseconds, unrounded.
    next: f64,
    came: u64,
}

impl Run {
    pub(super) fn arrivals<E>(
        &mut self,
        arrivals: Vec<Arrivals>,
        staff: &[Shift],
        tell: &mut impl FnMut(Line) -> Result<(), E>,
    ) -> Result<(), E> {
        self.total = Tally::over(self.horizon);
        for shift in staff {
            let Some(user) = self.names.user(&shift.rep) else { continue };
            self.plan(shift.from, Act::Login(user));
            if let Some(to) = shift.to {
                self.plan(to, Act::Logout(user));
            }
        }
        for (at, of) in arrivals.into_iter().enumerate() {
            let queue = self.names.first_queue(&of.queue);
            if let Some(queue) = queue {
                self.tallies.entry(queue).or_insert_with(|| Tally::over(self.horizon));
            }
            let chance = |what| Chance::new(of.seed, at as u64 * 3 + what);
            let (gaps, handling, patience) = (chance(1), chance(2), chance(3));
            let entry = self.names.entry(&of.queue);
            self.sources.push(Source { of, entry, queue, gaps, handling, patience, next: 0.0, came: 0 });
            self.next_arrival(at);
        }
        let last = self.horizon + limits::SIMULATED_DRAIN;
        while let Some(at) = self.next_due().filter(|at| *at <= last) {
            if at > self.horizon && self.engine.state().sessions.is_empty() {
                break;
            }
            self.go_to(at);
            self.what_is_due();
            self.tell_lines(tell)?;
        }
        if self.now < self.horizon {
            self.go_to(self.horizon);
        }
        self.tell_lines(tell)
    }

    pub(super) fn arrive(&mut self, at: usize) {
        let source = &mut self.sources[at];
        source.came += 1;
        let name = format!("{}#{}", source.of.queue, source.came);
        let draw = |mean_s: f64, chance: &mut Chance| {
            let seconds = match source.of.distribution {
                Distribution::Exponential => chance.exponential(mean_s),
                Distribution::Fixed => mean_s,
            };
            Span((seconds * 1000.0).round() as u64)
        };
        let handle = draw(source.of.handle_mean_s, &mut source.handling);
        let patience = source.of.patience_mean_s.map(|mean| draw(mean, &mut source.patience));
        let asked = source.entry.and_then(|entry| {
            let skills = source.of.skills.iter().map(|skill| self.names.skill(skill)).collect::<Result<_, _>>()?;
            Ok((entry, skills, source.of.priority))
        });
        let queue = source.queue;
        let asked = asked.and_then(|(entry, skills, priority)| {
            let ask = Ask { skills, priority, ..Ask::of(entry) };
            self.ask(name.clone(), ask, queue)
        });
        match asked {
            Ok(session) => {
                if let Some(guest) = self.guests.get_mut(&session) {
                    guest.left = Some(handle);
                }
                if let Some(patience) = patience {
                    self.plan(self.now + patience, Act::Leave(session));
                }
            }
            Err(reason) => {
                let address = self.sources[at].of.queue.clone();
                self.refused("ask", Some(reason), |it, _| {
                    it.session = Some(name);
                    it.queue = Some(address);
                });
            }
        }
        self.next_arrival(at);
    }

    fn next_arrival(&mut self, at: usize) {
        let source = &mut self.sources[at];
        if source.of.rate_per_h <= 0.0 {
            return;
        }
        source.next += source.gaps.exponential(3_600_000.0 / source.of.rate_per_h);
        let next = Time(source.next as u64);
        if next < source.of.horizon() {
            self.plan(next, Act::Arrive(at));
        }
    }
}
