//! Support buttons: making one, handing one over, and what there are.

use super::{
    Fault, acts,
    console::{Answer, Console},
    filter::plain,
};
use crate::{
    client::transfer::Facts,
    wire::{
        Do, Done,
        control::{ButtonView, Value},
    },
};
use serde_json::json;

pub async fn make(console: &Console, queue: Option<String>, portal: Option<String>) -> Result<Answer, Fault> {
    match console.hub.client.act(Do::MakeButton { queue, portal }).await? {
        Done::Button { button, key } => {
            let said = format!("button {button}: key {}, for whoever has it, again and again", &*key);
            Ok(Answer::new(said, json!({"button": button, "key": key})))
        }
        done => Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
    }
}

pub async fn deploy(console: &Console, queue: Option<String>, portal: Option<String>) -> Result<Answer, Fault> {
    let named = [("queue", queue), ("portal", portal)];
    let args: Facts =
        named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::Text(text?)))).collect();
    acts::plain_act(console, "deploy", args, "the customer's end keeps a button").await
}

pub async fn list(console: &Console) -> Result<Answer, Fault> {
    let (mut all, mut more): (Vec<ButtonView>, bool) = (Vec::new(), true);
    while more {
        let after = all.last().map_or(0, |last| last.button);
        let Done::Buttons { buttons, more: others } = console.hub.client.act(Do::Buttons { after }).await? else {
            return Err(Fault::Wrong("the broker answered something else".into()));
        };
        more = others && !buttons.is_empty();
        all.extend(buttons);
    }
    let line = |one: &ButtonView| {
        let portal = one.portal.as_ref().map_or(String::new(), |portal| format!(" through {}", plain(portal)));
        format!("{}: {}{portal}, by {}", one.button, plain(&one.queue), plain(&one.by))
    };
    let text =
        if all.is_empty() { "no button".to_owned() } else { all.iter().map(line).collect::<Vec<_>>().join("\n") };
    Ok(Answer::new(text, json!({ "buttons": all })))
}

pub async fn move_to(console: &Console, button: u32, portal: Option<String>) -> Result<Answer, Fault> {
    let through = portal.as_deref().unwrap_or("the customer's own portal");
    let said = format!("button {button} leads through {through}");
    console.act(Do::SetButtonPortal { button, portal }, said).await
}
