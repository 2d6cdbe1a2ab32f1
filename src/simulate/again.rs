//! Decides the commands of a journal again and compares what comes of them with what came of them then (I8). The first
//! difference ends it: what follows would only repeat it.

use super::{line::Line, names::Names};
use crate::{
    engine::{Engine, Event, Reason, Stamped, State, Turn},
    ids::Seq,
    site::Site,
    time::Time,
};
use serde::Serialize;

/// The journal so far, decided again.
pub struct Again {
    engine: Engine,
    /// What the journal itself says, folded.
    told: State,
    names: Names,
    /// The moment of the first event: lines count from here.
    began: Option<Time>,
    records: u64,
    events: u64,
}

/// Where deciding again gives something else.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// The record, and the event in it from 1.
    pub record: Seq,
    pub event: usize,
    /// What the journal has there; none: nothing more.
    pub was: Option<Stamped>,
    /// What comes of it at present; none: nothing more.
    pub is: Option<Stamped>,
    /// A command of the record that would be refused at present, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The end of a journal that came out as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Same {
    pub records: u64,
    pub events: u64,
}

impl Default for Again {
    fn default() -> Self {
        Self::new()
    }
}

impl Again {
    pub fn new() -> Self {
        let engine = Engine::from_state(State::default());
        let told = engine.state().clone();
        Self { engine, told, names: Names::new(&Site::default()), began: None, records: 0, events: 0 }
    }

    /// Decides one record again. Its events as lines go to `tell`, as the journal has them.
    ///
    /// # Errors
    /// Something else comes of it.
    pub fn record(&mut self, seq: Seq, turn: &Turn, tell: &mut impl FnMut(Line)) -> Result<(), Box<Difference>> {
        let mut is = Vec::with_capacity(turn.events.len());
        let mut refused = None;
        for (now, request) in &turn.requests {
            if let Err(refusal) = self.engine.handle(*now, request, &mut is) {
                refused.get_or_insert(refusal);
            }
        }
        if turn.requests.is_empty()
            && let Some(last) = turn.events.last()
        {
            // Timers alone; each fired at its own moment.
            self.engine.advance(last.at, &mut is);
        }
        for stamped in &turn.events {
            self.told.apply(stamped.at, &stamped.event);
            if matches!(stamped.event, Event::SiteApplied { .. }) {
                self.names.learn(&self.told.site);
            }
            let began = *self.began.get_or_insert(stamped.at);
            if let Some(happening) = self.names.happening(&stamped.event) {
                tell(Line { at: Time(stamped.at.since(began).0), happening });
            }
        }
        self.records += 1;
        self.events += turn.events.len() as u64;
        let same = is.iter().zip(&turn.events).take_while(|(is, was)| is == was).count();
        if same == is.len() && same == turn.events.len() {
            return Ok(());
        }
        let refused = refused.map(|refusal| format!("{}: {}", Reason::name(refusal.reason), refusal.message));
        let (was, is) = (turn.events.get(same).cloned(), is.get(same).cloned());
        Err(Box::new(Difference { record: seq, event: same + 1, was, is, refused }))
    }

    /// All records came out as they were; so did the state.
    ///
    /// # Errors
    /// The state that was decided is not the fold of what was written: its parts that differ.
    pub fn end(self) -> Result<Same, String> {
        if *self.engine.state() == self.told {
            return Ok(Same { records: self.records, events: self.events });
        }
        let parts = |state: &State| match serde_json::to_value(state) {
            Ok(serde_json::Value::Object(parts)) => parts,
            _ => serde_json::Map::default(),
        };
        let (decided, told) = (parts(self.engine.state()), parts(&self.told));
        let differ: Vec<&str> = decided
            .iter()
            .filter(|(name, part)| told.get(*name) != Some(*part))
            .map(|(name, _)| name.as_str())
            .collect();
        Err(format!(
            "every event came out as it was, but the state decided differs from the fold of them in: {}",
            differ.join(", ")
        ))
    }
}
