//! Whom the session that is worked in may be handed to (BU-057, BU-058).

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::wire::{Do, Done};
use serde_json::json;

pub async fn list(console: &Console, act: String, like: String) -> Result<Answer, Fault> {
    let session = console.session()?;
    let (teams, reps, more) = match console.hub.client.act(Do::Targets { session, act, like }).await? {
        Done::Targets { teams, reps, more } => (teams, reps, more),
        done => return Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
    };
    let team = |it: &crate::wire::control::TeamView| {
        format!("team:{} {}, {} waiting, {} logged in", plain(&it.team), plain(&it.name), it.waiting, it.reps)
    };
    let rep = |it: &crate::wire::control::RepView| {
        format!("rep:{} {}, {}, {} sessions", plain(&it.rep), plain(&it.name), plain(&it.status), it.sessions)
    };
    let mut lines: Vec<String> = teams.iter().map(team).chain(reps.iter().map(rep)).collect();
    if lines.is_empty() {
        lines.push("nobody".to_owned());
    }
    if more {
        lines.push("and more: say more of a name".to_owned());
    }
    Ok(Answer::new(lines.join("\n"), json!({ "teams": teams, "reps": reps, "more": more })))
}
