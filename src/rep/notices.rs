//! Notices to the customers who wait (R10.1): publishing one, and what they are told.

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::wire::{Do, Done};
use serde_json::json;

pub async fn publish(console: &Console, text: String, minutes: Option<u64>) -> Result<Answer, Fault> {
    let lives_s = minutes.map(|minutes| minutes.saturating_mul(60));
    match console.hub.client.act(Do::PublishNotice { text, lives_s }).await? {
        Done::Notice { notice } => {
            Ok(Answer::new(format!("notice {notice} is told to whoever waits"), json!({"notice": notice})))
        }
        done => Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
    }
}

pub async fn list(console: &Console) -> Result<Answer, Fault> {
    let Done::Notices { notices } = console.hub.client.act(Do::Notices {}).await? else {
        return Err(Fault::Wrong("the broker answered something else".into()));
    };
    let now_ms = console.hub.now_ms();
    let line = |notice: &crate::wire::control::NoticeView| {
        let lives = match notice.until_ms {
            Some(until) => format!("{} min", until.saturating_sub(now_ms).div_ceil(60_000)),
            None => "until withdrawn".to_owned(),
        };
        format!("{} ({}, {lives}): {}", notice.notice, plain(&notice.by), plain(&notice.text))
    };
    let text = match notices.is_empty() {
        true => "no notice".to_owned(),
        false => notices.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    Ok(Answer::new(text, json!({ "notices": notices })))
}
