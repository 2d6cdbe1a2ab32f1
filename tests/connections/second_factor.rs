//! Codes of an authenticator: replayed, too old, of somebody else, and lost with the telephone (H-53).

use crate::{
    attack::{Ground, http, in_time},
    place::{PASSWORD, hello},
};
use equipoise::{
    client::{self, ClientError, SignIn},
    engine::Actor,
    framing::{SECOND_FACTOR_PATH, SIGN_IN_PATH},
    wire::{Credential, Do, control::Role},
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use totp_rs::{Builder, Secret, Totp};

/// With a password for Ben; the pair that must not notice anything is Ana's.
async fn ground(folder: &std::path::Path) -> Ground {
    let ground = Ground::open(folder).await;
    ground.place.broker.set_password(Actor::System, "ben", PASSWORD.to_owned()).await.unwrap();
    ground
}

pub async fn post(ground: &Ground, path: &str, body: Value) -> (u16, Value) {
    let body = body.to_string();
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, text) = http(ground.plain, text).await;
    (status, serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap())
}

async fn sign_in(ground: &Ground, code: &str) -> (u16, Value) {
    post(ground, SIGN_IN_PATH, json!({ "username": "ben", "password": PASSWORD, "code": code })).await
}

#[expect(clippy::disallowed_methods, reason = "an authenticator has a clock of its own")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An authenticator that was told this secret.
fn authenticator(secret: &Value) -> Totp {
    Builder::new().with_secret(Secret::try_from_base32(secret.as_str().unwrap()).unwrap()).build().unwrap()
}

/// Ben's authenticator, the code that confirmed it, and his recovery codes.
pub async fn enrolled(ground: &Ground) -> (Totp, String, Vec<String>) {
    let (status, begun) = post(ground, SECOND_FACTOR_PATH, json!({ "username": "ben", "password": PASSWORD })).await;
    assert_eq!(status, 200, "{begun}");
    assert!(begun["uri"].as_str().unwrap().starts_with("otpauth://totp/Test:ben?secret="), "{begun}");
    let authenticator = authenticator(&begun["secret"]);
    let code = authenticator.generate(now_s()).to_string();
    let confirm = json!({ "username": "ben", "password": PASSWORD, "code": code });
    let (status, confirmed) = post(ground, &format!("{SECOND_FACTOR_PATH}/confirm"), confirm).await;
    assert_eq!(status, 200, "{confirmed}");
    let codes = confirmed["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
    (authenticator, code, codes.collect())
}

#[tokio::test]
async fn h_53_a_code_works_once_and_neither_two_steps_early_nor_late() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    let (authenticator, confirmed_with, _) = enrolled(&ground).await;
    let (status, told) = post(&ground, SIGN_IN_PATH, json!({ "username": "ben", "password": PASSWORD })).await;
    assert_eq!((status, &told["type"]), (401, &json!("urn:equipoise:problem:second_factor_required")), "{told}");
    assert_eq!(sign_in(&ground, &confirmed_with).await.0, 401, "the code of the enrolment is used up");
    // The step after, which is good already: the one of the enrolment is not.
    let next = authenticator.generate(now_s() + 30).to_string();
    let (status, told) = sign_in(&ground, &next).await;
    assert_eq!(status, 200, "{told}");
    assert!(told["token"].is_string());
    assert_eq!(sign_in(&ground, &next).await.0, 401, "the same code again");
    for seconds in [-90, 90] {
        let skewed = authenticator.generate(now_s().saturating_add_signed(seconds)).to_string();
        assert_eq!(sign_in(&ground, &skewed).await.0, 401, "{seconds} s from now");
    }
    ground.close().await;
}

/// By itself, for a site takes ten sign-ins a second.
#[tokio::test]
async fn h_53_a_recovery_code_works_once() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    let (_, _, recovery) = enrolled(&ground).await;
    assert_eq!(sign_in(&ground, &recovery[0].to_lowercase()).await.0, 200);
    assert_eq!(sign_in(&ground, &recovery[0]).await.0, 401, "a recovery code works once");
    assert_eq!(sign_in(&ground, &recovery[1]).await.0, 200);
    ground.close().await;
}

#[tokio::test]
async fn h_53_i_a3_of_those_who_show_one_code_at_the_same_instant_one_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    let (_, _, recovery) = enrolled(&ground).await;
    let all = futures_util::future::join_all((0..4).map(|_| sign_in(&ground, &recovery[0]))).await;
    let inside = all.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(inside, 1, "{all:?}");
    ground.close().await;
}

#[tokio::test]
async fn h_53_guessed_codes_lock_the_account_and_asking_for_one_does_not_unlock_it() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    enrolled(&ground).await;
    let mut told = Vec::new();
    for n in 0..6 {
        told.push(sign_in(&ground, &format!("{n:06}")).await.0);
        // The password alone neither counts nor clears what was counted: one more or one less would show in the next
        // two answers. Asked once only, for a site takes ten sign-ins a second.
        if n == 3 {
            post(&ground, SIGN_IN_PATH, json!({ "username": "ben", "password": PASSWORD })).await;
        }
    }
    assert_eq!(told, [401, 401, 401, 401, 401, 429]);
    ground.close().await;
}

#[tokio::test]
async fn i_a5_an_enrolment_ends_what_was_signed_in_and_nobody_enrols_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    let before = ground.token("ben").await;
    let mut ben = ground.rep("ben").await;
    let wrong = json!({ "username": "ben", "password": "not his password at all" });
    assert_eq!(post(&ground, SECOND_FACTOR_PATH, wrong).await.0, 401);
    enrolled(&ground).await;
    let ended = in_time(async {
        loop {
            match ben.happenings.recv().await {
                Some(client::Happening::Ended { .. }) | None => break,
                Some(_) => {}
            }
        }
    });
    ended.await;
    let again = ground.greet(hello(Role::Rep, Credential::Token(before))).await;
    assert_eq!(again.err(), Some(4501), "an access token of before");
    let begin = json!({ "username": "ben", "password": PASSWORD });
    assert_eq!(post(&ground, SECOND_FACTOR_PATH, begin).await.0, 401, "another enrolment needs a code too");
    let target = ground.target();
    let refused = client::sign_in(&target, "ben", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(refused) if refused.code == "second_factor_required"));
    ground.close().await;
}

#[tokio::test]
async fn a_lost_telephone_is_forgotten_by_an_administrator_or_with_a_recovery_code_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    let (_, _, recovery) = enrolled(&ground).await;
    let reset = Do::ResetSecondFactor { username: "ben".into() };
    assert!(in_time(ground.ana.client.act(reset)).await.is_err(), "a rep resets nobody");
    let end = json!({ "username": "ben", "password": PASSWORD, "code": recovery[0] });
    assert_eq!(post(&ground, &format!("{SECOND_FACTOR_PATH}/end"), end).await.0, 200);
    assert_eq!(post(&ground, SIGN_IN_PATH, json!({ "username": "ben", "password": PASSWORD })).await.0, 200);

    let (_, _, recovery) = enrolled(&ground).await;
    let address = ground.place.address;
    in_time(ground.place.close()).await;
    let place = crate::place::Place::open_at(folder.path(), address).await;
    let target = place.target(client::Transport::Ws);
    assert!(client::sign_in(&target, "ben", PASSWORD).await.is_err(), "it is asked for after a restart");
    let shown = SignIn { username: "ben", password: PASSWORD, code: Some(&recovery[0]), new_password: None };
    client::sign_in_with(&target, shown).await.unwrap();
    place.broker.reset_second_factor(Actor::System, "ben").await.unwrap();
    client::sign_in(&target, "ben", PASSWORD).await.unwrap();
    in_time(place.close()).await;
}

#[tokio::test]
async fn b_41_the_shared_secret_stands_nowhere_in_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let ground = ground(folder.path()).await;
    let (authenticator, _, recovery) = enrolled(&ground).await;
    in_time(ground.place.close()).await;
    let secret = authenticator.secret();
    let mut canaries = vec![secret.as_bytes().to_vec(), secret.to_base32().into_bytes(), PASSWORD.as_bytes().to_vec()];
    canaries.extend(recovery.into_iter().map(String::into_bytes));
    let mut folders = vec![folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            let found = |canary: &Vec<u8>| bytes.windows(canary.len()).any(|window| window == canary);
            assert!(!canaries.iter().any(found), "{}", path.display());
        }
    }
    assert!(files > 3, "the journal is among them");
}
