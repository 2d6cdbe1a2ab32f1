//! Whom the session that is worked in may be handed to (BU-057, BU-058).

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::{
    limits,
    wire::{
        Do, Done,
        control::{RepView, TeamView},
    },
};
use serde_json::json;

/// What a person reads at once.
const SHOWN: usize = limits::TARGETS_LISTED;

pub async fn list(console: &Console, act: String, like: String) -> Result<Answer, Fault> {
    let session = console.session()?;
    let (mut teams, mut reps, mut next) = (Vec::new(), Vec::new(), Some(0));
    while let Some(after) = next.filter(|_| teams.len() < SHOWN && reps.len() < SHOWN) {
        let asked = Do::Targets { session, act: act.clone(), like: like.clone(), after };
        match console.hub.client.act(asked).await? {
            Done::Targets { teams: some, reps: people, next: on } => {
                teams.extend(some);
                reps.extend(people);
                next = on.filter(|on| *on > after);
            }
            done => return Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
        }
    }
    let team = |it: &TeamView| {
        format!("team:{} {}, {} waiting, {} logged in", plain(&it.team), plain(&it.name), it.waiting, it.reps)
    };
    let rep = |it: &RepView| {
        format!("rep:{} {}, {}, {} sessions", plain(&it.rep), plain(&it.name), plain(&it.status), it.sessions)
    };
    let mut lines: Vec<String> = teams.iter().map(team).chain(reps.iter().map(rep)).collect();
    if lines.is_empty() {
        lines.push("nobody".to_owned());
    }
    let more = next.is_some();
    if more {
        lines.push("and more: say more of a name".to_owned());
    }
    Ok(Answer::new(lines.join("\n"), json!({ "teams": teams, "reps": reps, "more": more })))
}
