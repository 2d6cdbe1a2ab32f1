//! Jump items: what there are, a session on one, and the key that its endpoint stands by with.

use super::{
    Fault, acts,
    console::{Answer, Console},
    documents::texts,
    filter::plain,
};
use crate::{
    limits,
    wire::{
        Do, Done,
        control::{JumpItemView, ParticipantView},
    },
};
use serde_json::json;
use std::time::Duration;

pub async fn list(console: &Console, text: Option<String>) -> Result<Answer, Fault> {
    let (mut all, mut after): (Vec<JumpItemView>, Option<u32>) = (Vec::new(), Some(0));
    while let Some(from) = after {
        match console.hub.client.act(Do::JumpItems { after: from }).await? {
            Done::JumpItems { items, next } => {
                all.extend(items);
                after = next.filter(|next| *next > from);
            }
            done => return Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
        }
    }
    if let Some(text) = text.map(|text| text.to_lowercase()) {
        let has = |named: &Option<String>| named.as_ref().is_some_and(|named| named.to_lowercase().contains(&text));
        all.retain(|one| one.item.contains(&text) || has(&one.group) || has(&one.owner));
    }
    all.sort_by(|one, other| one.item.cmp(&other.item));
    let lines =
        if all.is_empty() { "no jump item".to_owned() } else { all.iter().map(line).collect::<Vec<_>>().join("\n") };
    Ok(Answer::new(lines, json!({ "items": all })))
}

fn line(one: &JumpItemView) -> String {
    let place = match (&one.group, &one.owner) {
        (Some(group), _) => format!(", group {}", plain(group)),
        (None, Some(owner)) => format!(", of {}", plain(owner)),
        (None, None) => String::new(),
    };
    let state = match (one.session, one.stands_by) {
        (Some(session), _) => format!("in s{session}"),
        (None, true) => "stands by".to_owned(),
        (None, false) => "away".to_owned(),
    };
    let consent = match &one.consent {
        Some(given) => format!(", allowed in s{} to {}", given.session, plain(&given.rep)),
        None => String::new(),
    };
    let not_yours = if one.may_start { "" } else { ", not yours to start" };
    format!("{}: {} by {}{place}{consent}{not_yours}", plain(&one.item), state, plain(&one.method))
}

/// Ready as soon as the endpoint is there: a tool asked for before finds nobody.
pub async fn jump(console: &Console, item: String) -> Result<Answer, Fault> {
    let session = match console.hub.client.act(Do::Jump { item }).await? {
        Done::Session(session) => *session,
        done => return Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
    };
    let answer = console.serving(&session);
    let came = |who: &[ParticipantView]| who.iter().any(|one| one.participant == 0 && one.attached);
    let came = console.hub.until(Duration::from_millis(limits::JUMP_WAITS.0), |view| {
        match view.sessions.get(&session.session) {
            None => Some(Err(Fault::Wrong(format!("s{} ended before its endpoint came", session.session)))),
            Some(now) => came(&now.participants).then_some(Ok(())),
        }
    });
    match came.await {
        Ok(came) => came.map(|()| answer),
        Err(Fault::Silent) => {
            Err(Fault::Wrong(format!("the endpoint of s{} has not come yet: it may still, or `end`", session.session)))
        }
        Err(fault) => Err(fault),
    }
}

pub async fn key(console: &Console, item: String) -> Result<Answer, Fault> {
    let whom = format!("the endpoint of {}: `equipoise agent --stand-by`", plain(&item));
    console.key_for(Do::MakeItemKey { item }, &whom).await
}

pub async fn revoke(console: &Console, item: String) -> Result<Answer, Fault> {
    let said = format!("{} has no key any more", plain(&item));
    console.act(Do::RevokeItemKey { item: Some(item) }, said).await
}

/// P3.17: the customer's end keeps a key of this item, to stand by with.
pub async fn pin(console: &Console, item: &str) -> Result<Answer, Fault> {
    let said = "the customer's end keeps the item's key";
    acts::plain_act(console, "pin_jump_client", texts(&[("item", item)]), said).await
}

/// The one it has is good no more; this session goes on.
pub async fn unpin(console: &Console, item: &str) -> Result<Answer, Fault> {
    let said = "the item has no key any more";
    acts::plain_act(console, "pin_jump_client", texts(&[("item", item), ("mode", "unpin")]), said).await
}

/// P3.25: the customer is asked whether reps may come when nobody is there; the customer's end then keeps a key of this item.
pub async fn unattended(console: &Console, item: &str) -> Result<Answer, Fault> {
    let said = "the customer allows it, and the customer's end keeps the item's key";
    acts::plain_act(console, "unattended", texts(&[("item", item)]), said).await
}
