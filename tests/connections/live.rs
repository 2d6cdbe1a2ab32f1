//! Connections that live while what they stand on changes: accounts, keys, tokens, and patience (I-A5, W1.6, W3.4).

use crate::{
    attack::{Ground, Raw, in_time},
    place::hello,
};
use equipoise::{
    engine::{Actor, Command, Enrolled},
    ids::{ChannelId, UserId},
    limits,
    site::raw::RawSite,
    wire::{
        Credential, Do, Done, Frame,
        control::{Ask, Role},
    },
};

const WORD: &str = "nine loud bells in a dry field";

/// An administrator, and a connection of theirs.
async fn root(ground: &Ground) -> (Raw, UserId) {
    let broker = &ground.place.broker;
    let phc = broker.hash_password("root", WORD.to_owned()).await.unwrap();
    let first = Command::CreateFirstAdmin { username: "root".to_owned(), phc, second_factor: None };
    broker.command(Actor::System, first).await.unwrap();
    let user = broker.look(|state| state.site.codes.users["root"]).await.unwrap();
    (administrator(ground).await, user)
}

async fn administrator(ground: &Ground) -> Raw {
    let token = ground.place.broker.token_for("root").await.unwrap();
    ground.greet(hello(Role::Admin, Credential::Token(token))).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn i_a5_a_changed_password_closes_every_other_connection_of_an_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (mut here, _) = root(&ground).await;
    let mut elsewhere = administrator(&ground).await;
    let token = ground.place.broker.token_for("root").await.unwrap();
    here.request(
        1,
        Do::SetPassword {
            username: "root".into(),
            password: "another long word of mine".into(),
            must_reset: false,
            expires_at_ms: None,
        },
    )
    .await;
    assert!(here.reply(1).await.is_ok());
    assert_eq!(elsewhere.ends().await, 4501);
    here.is_alive().await;
    let old = ground.greet(hello(Role::Admin, Credential::Token(token))).await;
    assert_eq!(old.err(), Some(4501), "what was signed in before is no good");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_a5_a_second_factor_set_or_removed_closes_what_an_administrator_opened_before() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (mut before, user) = root(&ground).await;
    before.is_alive().await;
    let set = Enrolled { user, sealed: "sealed".to_owned(), step: 1, recovery: Vec::new() };
    in_time(ground.place.broker.command(Actor::System, Command::SetSecondFactor(set))).await.unwrap();
    assert_eq!(before.ends().await, 4501, "it was set");

    let (mut here, mut elsewhere) = (administrator(&ground).await, administrator(&ground).await);
    elsewhere.is_alive().await;
    let token = ground.place.broker.token_for("root").await.unwrap();
    here.request(1, Do::ResetSecondFactor { username: "root".into() }).await;
    assert_eq!(elsewhere.ends().await, 4501, "it was removed");
    let old = ground.greet(hello(Role::Admin, Credential::Token(token))).await;
    assert_eq!(old.err(), Some(4501), "what was signed in before is no good");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_a5_a_disabled_administrator_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (mut here, user) = root(&ground).await;
    here.is_alive().await;
    in_time(ground.place.broker.command(Actor::System, Command::DisableUser { user })).await.unwrap();
    assert_eq!(here.ends().await, 4501);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_a5_who_is_no_administrator_any_more_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (mut here, user) = root(&ground).await;
    let mut site = ground.place.broker.look(|state| RawSite::clone(&state.site.raw)).await.unwrap();
    site.user.iter_mut().find(|user| user.username == "root").unwrap().permissions.clear();
    let change = Command::ApplySite(site.into());
    in_time(ground.place.broker.command(Actor::Admin(user), change)).await.unwrap();
    assert_eq!(here.ends().await, 4501);
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_a5_a_new_key_of_a_service_account_closes_what_came_with_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (mut admin, _) = root(&ground).await;
    let mut keys = Vec::new();
    for (id, name) in [(1, "till"), (2, "desk")] {
        admin.request(id, Do::MakeServiceKey { name: name.into() }).await;
        let Ok(Done::Key { key, .. }) = admin.reply(id).await else { panic!("a key was made") };
        keys.push(ground.greet(hello(Role::Service, Credential::Key(key.into()))).await.unwrap().0);
    }
    admin.request(3, Do::MakeServiceKey { name: "till".into() }).await;
    assert!(admin.reply(3).await.is_ok());
    assert_eq!(keys[0].ends().await, 4501);
    keys[1].is_alive().await;
    ground.close().await;
}

#[tokio::test]
async fn w3_4_h_56_a_resume_token_is_good_for_the_role_it_was_given_for() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (_first, welcome) = ground.greet(ground.customers_hello().await).await.unwrap();
    let resume = |role| hello(role, Credential::Resume(welcome.resume.clone().into()));
    for role in [Role::Rep, Role::Admin, Role::Service] {
        assert_eq!(ground.greet(resume(role)).await.err(), Some(4501), "{role:?}");
    }
    assert!(ground.greet(resume(Role::Customer)).await.is_ok(), "a wrong claim used none up");
    ground.close().await;
}

#[tokio::test]
async fn w1_6_who_has_everything_sent_again_and_again_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut raw = ground.stranger().await;
    let restarts = [Frame::resume(ChannelId(1), 0).encode(), Frame::refresh(ChannelId(1)).encode()];
    // What a session's channels all say when their end comes back, twice over.
    for at in 0..limits::RESTARTS_BURST_PER_SESSION {
        raw.message(&restarts[at as usize % 2]).await;
    }
    raw.is_alive().await;
    for at in 0..limits::RESTARTS_BURST_PER_SESSION + 10 * limits::RESTARTS_PER_S {
        raw.message(&restarts[at as usize % 2]).await;
    }
    assert_eq!(raw.ends().await, 4029);
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_5_a_service_that_asks_again_on_another_connection_has_the_same_session_and_link() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let (mut admin, _) = root(&ground).await;
    admin.request(1, Do::MakeServiceKey { name: "till".into() }).await;
    let Ok(Done::Key { key, .. }) = admin.reply(1).await else { panic!("a key was made") };
    let mut answers = Vec::new();
    for id in [limits::SERVICE_REQUEST_IDS_FROM + 7, limits::SERVICE_REQUEST_IDS_FROM + 8, 7] {
        for _ in 0..2 {
            let credential = Credential::Key(key.clone().into());
            let (mut raw, _) = ground.greet(hello(Role::Service, credential)).await.unwrap();
            raw.request(id, Do::Ask(Ask { queue: "team:desk".into(), ..Ask::default() })).await;
            let Ok(Done::Asked { session, join }) = raw.reply(id).await else { panic!("asked") };
            answers.push((session, String::from(join)));
        }
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[2], answers[3]);
    assert_ne!(answers[0].0, answers[2].0, "another number is another request");
    assert_ne!(answers[0].1, answers[2].1);
    assert_ne!(answers[4].0, answers[5].0, "a small number is its connection's own");
    let (_joined, welcome) = ground.greet(hello(Role::Customer, Credential::Key(answers[1].1.clone()))).await.unwrap();
    assert_eq!(welcome.session, Some(answers[0].0), "and the link leads there");
    ground.close().await;
}
