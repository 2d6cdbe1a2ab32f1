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

async fn targets(client: &Client, session: u64, act: &str, like: &str) -> (Vec<String>, Vec<String>, bool) {
    let asked = Do::Targets { session, act: act.into(), like: like.into() };
    let Ok(Done::Targets { teams, reps, more }) = in_time(client.act(asked)).await else { panic!("it is told") };
    (teams.into_iter().map(|team| team.team).collect(), reps.into_iter().map(|rep| rep.rep).collect(), more)
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
    let (teams, reps, more) = targets(&ana.client, session, "share", "").await;
    assert_eq!((teams.len(), reps, more), (limits::TARGETS_LISTED, vec!["fay".to_owned()], true));
    assert_eq!(targets(&ana.client, session, "share", "TEAM 101").await, (vec!["t101".into()], vec![], false));
    assert_eq!(targets(&ana.client, session, "share", "far").await, (vec![], vec!["fay".into()], false));
    assert_eq!(targets(&ana.client, session, "transfer", "").await, (vec!["desk".into()], vec![], false));
    for (client, act, code) in [
        (&fay, "share", "unknown_session"),
        (&customer.client, "share", "not_permitted"),
        (&ana.client, "x", "malformed"),
    ] {
        let asked = Do::Targets { session, act: act.into(), like: String::new() };
        let Err(ActError::Refused(refused)) = in_time(client.act(asked)).await else { panic!("refused") };
        assert_eq!(refused.code, code);
    }
    place.close().await;
}
