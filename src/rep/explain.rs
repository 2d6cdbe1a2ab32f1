//! R9 in words: whom a session is offered to and why, and what was decided about it before.

use super::filter::plain;
use crate::wire::control::{Decision, Explained};
use std::fmt::Write;

/// For people, a line for each thing.
pub fn explanation(explained: &Explained) -> String {
    let mut lines = Vec::new();
    if let Some(refused) = &explained.refused {
        lines.push(format!("would be refused: {} ({} {})", refused.message, refused.code, refused.rule));
    } else if explained.queue.is_empty() {
        lines.push(format!("s{} does not wait", explained.session));
    } else {
        waits(explained, &mut lines);
    }
    if explained.decisions_left_out > 0 {
        lines.push(format!("{} older decisions are not shown", explained.decisions_left_out));
    }
    lines.extend(explained.decisions.iter().map(decision));
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

fn waits(explained: &Explained, lines: &mut Vec<String>) {
    let mut place = match explained.session {
        0 => format!("would wait in {}", explained.queue),
        session => format!("s{session} in {}", explained.queue),
    };
    if !explained.algorithm.is_empty() {
        let _ = write!(place, " ({})", explained.algorithm);
    }
    if !explained.moved_by.is_empty() {
        let _ = write!(place, ", brought here by {}", explained.moved_by);
    }
    lines.push(place);
    if !explained.skills.is_empty() {
        lines.push(format!("asks for: {} (step {})", explained.skills.join(", "), explained.step));
    } else if explained.step > 0 {
        lines.push(format!("asks for no skill any more (step {})", explained.step));
    }
    let load = |rep: &String| match explained.sessions.get(rep) {
        Some(1) => format!("{rep} (1 session)"),
        Some(count) => format!("{rep} ({count} sessions)"),
        None => rep.clone(),
    };
    let mut candidates = explained.candidates.iter().map(load).collect::<Vec<_>>().join(", ");
    if candidates.is_empty() {
        candidates = "nobody".to_owned();
    } else if explained.more {
        candidates += " and more";
    }
    lines.push(format!("candidates: {candidates}"));
    if let Some(chosen) = &explained.chosen {
        lines.push(format!("chosen: {chosen}"));
    }
    if !explained.held_back.is_empty() {
        let until = explained.widens_at_ms.map(|ms| format!(" until {}", clock(ms))).unwrap_or_default();
        lines.push(format!("held back{until}: {}", explained.held_back.join(", ")));
    }
    lines.extend(explained.rejected.iter().map(|(rep, why)| format!("not {rep}: {why}")));
    let counted: u32 = explained.left_out.values().sum();
    if counted as usize > explained.rejected.len() {
        let counts = explained.left_out.iter().map(|(test, count)| format!("{count} {test}")).collect::<Vec<_>>();
        lines.push(format!("left out in all: {}", counts.join(", ")));
    }
}

fn decision(decision: &Decision) -> String {
    let mut line = format!("{}  {}", clock(decision.at_ms), decision.event);
    if let Some(offer) = decision.offer {
        let _ = write!(line, " #{offer}");
    }
    for (word, field) in [("", &decision.rep), ("from ", &decision.from), ("to ", &decision.to)] {
        if let Some(field) = field {
            let _ = write!(line, " {word}{field}");
        }
    }
    let mut why = Vec::new();
    why.extend(decision.step.map(|step| format!("step {step}")));
    why.extend(decision.sessions.map(|sessions| format!("{sessions} sessions")));
    why.extend([&decision.rule, &decision.reason].into_iter().filter(|text| !text.is_empty()).cloned());
    if !why.is_empty() {
        let _ = write!(line, " ({})", why.join(", "));
    }
    line
}

/// A moment to the millisecond, in UTC.
pub fn clock(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| format!("{ms} ms"), |moment| format!("{moment:.3}"))
}
