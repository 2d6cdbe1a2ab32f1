//! BU-057, BU-058: a console asks to whom it may hand a session, and is told of nobody whom it may not.

use crate::{
    attack::in_time,
    place::{PASSWORD, Place, SITE, a_session, hello},
};
use equipoise::{
    client::{ActError, Client, Transport},
    engine::Actor,
    limits,
    wire::{Credential, Do, Done, control::Role},
};
use std::collections::BTreeSet;

/// All of them, in as many answers as it takes; how many those were.
async fn targets(client: &Client, session: u64, act: &str, like: &str) -> (Vec<String>, Vec<String>, usize) {
    let (mut all, mut people, mut answers, mut after) = (Vec::new(), Vec::new(), 0, Some(0));
    while let Some(from) = after {
        let asked = Do::Targets { session, act: act.into(), like: like.into(), after: from };
        let Ok(Done::Targets { teams, reps, next }) = in_time(client.act(asked)).await else { panic!("it is told") };
        assert!(teams.len() <= limits::TARGETS_LISTED && reps.len() <= limits::TARGETS_LISTED);
        assert!(next.is_none_or(|next| next > from), "it goes on");
        all.extend(teams.into_iter().map(|team| team.team));
        people.extend(reps.into_iter().map(|rep| rep.rep));
        (answers, after) = (answers + 1, next);
    }
    (all, people, answers)
}

#[tokio::test]
async fn bu_057_bu_058_a_console_is_told_whom_it_may_hand_a_session_to() {
    let mut site = SITE.to_owned();
    for at in 0..limits::TARGETS_LISTED + 2 {
        site += &format!("[[team]]\ncode = \"t{at}\"\nname = \"Team {at}\"\nalgorithm = \"none\"\npersistent = true\n");
    }
    site += "[[user]]\nusername = \"fay\"\nprivate_name = \"Fay Far\"\nteams = { t7 = \"member\" }\npermissions = [\"support\"]\n";
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site, Box::new(|_, _| {})).await;
    for name in ["ana", "fay"] {
        place.broker.set_password(Actor::System, name, PASSWORD.to_owned()).await.unwrap();
    }
    let token = place.broker.token_for("fay").await.unwrap();
    let as_fay = hello(Role::Rep, Credential::Token(token));
    let (fay, _hears) = in_time(Client::connect(place.target(Transport::Ws), as_fay)).await.unwrap();
    let (ana, customer) = a_session(place.target(Transport::Ws), place.target(Transport::Ws)).await;
    let session = ana.session;
    // Ana may share beyond her teams, and transfer within them.
    let (teams, reps, answers) = targets(&ana.client, session, "share", "").await;
    let distinct: BTreeSet<&String> = teams.iter().collect();
    assert_eq!(distinct.len(), teams.len(), "each is told once");
    assert!(teams.len() > limits::TARGETS_LISTED + 2, "{teams:?}");
    assert_eq!((reps, answers), (vec!["fay".to_owned()], 2));
    assert_eq!(targets(&ana.client, session, "share", "TEAM 101").await, (vec!["t101".into()], vec![], 1));
    assert_eq!(targets(&ana.client, session, "share", "far").await, (vec![], vec!["fay".into()], 1));
    assert_eq!(targets(&ana.client, session, "transfer", "").await, (vec!["desk".into()], vec![], 1));
    for (client, act, code) in [
        (&fay, "share", "unknown_session"),
        (&customer.client, "share", "not_permitted"),
        (&ana.client, "x", "malformed"),
    ] {
        let asked = Do::Targets { session, act: act.into(), like: String::new(), after: 0 };
        let Err(ActError::Refused(refused)) = in_time(client.act(asked)).await else { panic!("refused") };
        assert_eq!(refused.code, code);
    }
    place.close().await;
}
