//! Passwords that have to be replaced: at the next sign-in, or from a date on. The sign-in itself makes it good, durably,
//! before anybody comes in, and whoever does not know the old one learns nothing of it.

use crate::{
    attack::{Ground, in_time},
    place::{PASSWORD, Place, hello},
    second_factor::{enrolled, post},
};
use equipoise::{
    client::{self, Client, Happening, SignIn, Transport, sign_in, sign_in_with},
    engine::Actor,
    framing::{SECOND_FACTOR_PATH, SIGN_IN_PATH},
    wire::{Credential, Do, control::Role},
};
use serde_json::{Value, json};

const NEW: &str = "eleven cold harbours under a brass moon";
/// Long over, and never reached.
const PAST: u64 = 1_000;
const FAR: u64 = 9_000_000_000_000;

async fn admin(place: &Place) -> Client {
    place.broker.set_password(Actor::System, "root", PASSWORD.to_owned()).await.unwrap();
    let target = place.target(Transport::Ws);
    let token = sign_in(&target, "root", PASSWORD).await.unwrap();
    Client::connect(target, hello(Role::Admin, Credential::Token(token))).await.unwrap().0
}

/// An administrator gives somebody a password.
async fn gives(admin: &Client, username: &str, must_reset: bool, expires_at_ms: Option<u64>) {
    let (username, password) = (username.to_owned(), PASSWORD.into());
    in_time(admin.act(Do::SetPassword { username, password, must_reset, expires_at_ms })).await.unwrap();
}

/// The status of a sign-in as Ben, and what kind of problem there was.
async fn ben(ground: &Ground, password: &str, new: Option<&str>) -> (u16, String) {
    let mut body = json!({ "username": "ben", "password": password });
    if let Some(new) = new {
        body["new_password"] = new.into();
    }
    let (status, told) = post(ground, SIGN_IN_PATH, body).await;
    let kind = told["type"].as_str().map(|kind| kind.trim_start_matches("urn:equipoise:problem:").to_owned());
    (status, kind.unwrap_or_default())
}

fn problem(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

#[tokio::test]
async fn a_password_that_has_to_be_reset_lets_nobody_in_until_its_user_has_chosen_another() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let root = admin(&ground.place).await;
    gives(&root, "ben", true, None).await;
    let over = problem(401, "password_reset_required");
    for new in [None, Some(NEW)] {
        let wrong = ben(&ground, "not his password at all", new).await;
        assert_eq!(wrong, problem(401, "unauthenticated"), "who does not know it learns nothing");
    }
    assert_eq!(ben(&ground, PASSWORD, None).await, over);
    for bad in ["password1234", "short", PASSWORD, &"x".repeat(1_025)] {
        assert_eq!(ben(&ground, PASSWORD, Some(bad)).await, problem(400, "malformed"), "{bad}");
    }
    assert_eq!(ben(&ground, PASSWORD, None).await, over, "nothing was changed by that");
    let address = ground.place.address;
    in_time(root.close()).await;
    in_time(ground.place.close()).await;

    let place = Place::open_at(folder.path(), address).await;
    let target = place.target(Transport::Ws);
    let refused = sign_in(&target, "ben", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, client::ClientError::Refused(refused) if refused.code == "password_reset_required"));
    let shown = SignIn { username: "ben", password: PASSWORD, code: None, new_password: Some(NEW) };
    let token = sign_in_with(&target, shown).await.unwrap();
    let (ben, _) = Client::connect(target.clone(), hello(Role::Rep, Credential::Token(token))).await.unwrap();
    in_time(ben.close()).await;
    in_time(place.close()).await;

    let place = Place::open_at(folder.path(), address).await;
    let target = place.target(Transport::Ws);
    assert!(sign_in(&target, "ben", PASSWORD).await.is_err(), "the old one is nobody's");
    sign_in(&target, "ben", NEW).await.unwrap();
    in_time(place.close()).await;
}

#[tokio::test]
async fn a_password_is_over_from_its_date_on_and_one_that_its_user_chose_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let root = admin(&ground.place).await;
    gives(&root, "ben", false, Some(FAR)).await;
    assert_eq!(ben(&ground, PASSWORD, None).await.0, 200);
    gives(&root, "ben", false, Some(PAST)).await;
    assert_eq!(ben(&ground, PASSWORD, None).await, problem(401, "password_reset_required"));
    assert_eq!(ben(&ground, PASSWORD, Some(NEW)).await.0, 200);
    assert_eq!(ben(&ground, NEW, None).await.0, 200);
    // A token that was made before is no way around it.
    gives(&root, "ben", true, None).await;
    let token = ground.token("ben").await;
    assert_eq!(ground.greet(hello(Role::Rep, Credential::Token(token))).await.err(), Some(4503));
    gives(&root, "root", true, None).await;
    let token = ground.token("root").await;
    assert_eq!(ground.greet(hello(Role::Admin, Credential::Token(token))).await.err(), Some(4503));
    ground.close().await;
}

#[tokio::test]
async fn i_a5_who_chooses_another_password_cuts_off_whoever_came_in_by_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    ground.place.broker.set_password(Actor::System, "ben", PASSWORD.to_owned()).await.unwrap();
    let mut before = ground.rep("ben").await;
    assert_eq!(ben(&ground, PASSWORD, Some(NEW)).await.0, 200, "nobody has to be told to");
    let ended = in_time(async {
        loop {
            match before.happenings.recv().await {
                Some(Happening::Ended { .. }) | None => break,
                Some(_) => {}
            }
        }
    });
    ended.await;
    ground.close().await;
}

#[tokio::test]
async fn h_53_a_code_is_asked_for_first_and_used_up_by_the_sign_in_that_changes_the_password_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let root = admin(&ground.place).await;
    gives(&root, "ben", false, None).await;
    let (_, _, recovery) = enrolled(&ground).await;
    let recovery = &recovery[0];
    gives(&root, "ben", true, None).await;

    let kind = |told: &Value| told["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
    let mut shown = json!({ "username": "ben", "password": PASSWORD, "new_password": NEW });
    let told = post(&ground, SIGN_IN_PATH, shown.clone()).await.1;
    assert_eq!(kind(&told), "second_factor_required", "a password alone changes nothing");
    let only_code = json!({ "username": "ben", "password": PASSWORD, "code": recovery });
    assert_eq!(kind(&post(&ground, SIGN_IN_PATH, only_code.clone()).await.1), "password_reset_required");
    assert_eq!(kind(&post(&ground, SECOND_FACTOR_PATH, only_code).await.1), "password_reset_required");
    shown["code"] = recovery.as_str().into();
    assert_eq!(post(&ground, SIGN_IN_PATH, shown).await.0, 200, "the code was not used up before");
    let again = json!({ "username": "ben", "password": NEW, "code": recovery });
    assert_eq!(kind(&post(&ground, SIGN_IN_PATH, again).await.1), "unauthenticated");
    ground.close().await;
}

#[tokio::test]
async fn h_52_being_told_to_choose_another_neither_counts_nor_clears_failures() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let root = admin(&ground.place).await;
    gives(&root, "ben", true, None).await;
    let mut told = Vec::new();
    for n in 0..6 {
        told.push(ben(&ground, "not his password at all", Some(NEW)).await.0);
        if n == 3 {
            assert_eq!(ben(&ground, PASSWORD, None).await.1, "password_reset_required");
        }
    }
    assert_eq!(told, [401, 401, 401, 401, 401, 429]);
    ground.close().await;
}
