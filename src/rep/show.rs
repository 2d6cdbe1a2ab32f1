//! This rep's own screen, shown to another rep (BU-067, BU-068).

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::wire::{Do, Done};
use serde_json::json;

/// Asks another rep to look; the screen is opened first, for they may answer at once.
pub async fn begin(console: &Console, to: &str) -> Result<Answer, Fault> {
    console.hub.open_screen()?;
    let to = if to.contains(':') { to.to_owned() } else { format!("rep:{to}") };
    let said = format!("{} is asked to look at your screen", plain(&to));
    match console.hub.client.act(Do::ShowScreen { to }).await? {
        Done::Session(session) => {
            console.hub.look(|view| view.sessions.insert(session.session, (*session).clone()));
            Ok(Answer::new(said, json!(session)))
        }
        done => Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
    }
}

pub async fn control(console: &Console, on: bool) -> Result<Answer, Fault> {
    let said = if on { "control is given" } else { "control is taken back" };
    console.act(Do::GiveControl { session: shown(console)?, on }, said.to_owned()).await
}

pub async fn end(console: &Console) -> Result<Answer, Fault> {
    console.act(Do::End { session: shown(console)? }, "your screen is not shown any more".to_owned()).await
}

fn shown(console: &Console) -> Result<u64, Fault> {
    let session = console.hub.look(|view| view.shown_by(&console.hub.me));
    session.ok_or_else(|| Fault::Wrong("you show your screen to nobody: `show REP` does".into()))
}
