//! Passwords that have to be replaced: at the next sign-in, or from a date on. The sign-in itself makes it good, durably,
//! before anybody comes in, and whoever does not know the old one learns nothing of it.

use crate::{
    attack::{Ground, in_time},
    place::{PASSWORD, Place, hello},
    second_factor::{enrolled, post},
};
use equipoise::{
    client::{self, ActError, Client, Happening, SignIn, Transport, sign_in, sign_in_with},
    engine::{Actor, Command},
    framing::{SECOND_FACTOR_PATH, SIGN_IN_PATH},
    ids::Party,
    journal, limits,
    wire::{Credential, Do, Done, control::Role},
};
use serde_json::{Value, json};
use std::path::Path;

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

/// Kim may set passwords.
async fn may_set_passwords(ground: &Ground) {
    let mut raw = ground.place.broker.look(|state| (*state.site.raw).clone()).await.unwrap();
    for user in raw.user.iter_mut().filter(|user| user.username == "kim") {
        user.permissions.push("set_passwords".to_owned());
    }
    in_time(ground.place.broker.command(Actor::System, Command::ApplySite(raw.into()))).await.unwrap();
}

fn set(username: &str, must_reset: bool) -> Do {
    Do::SetPassword { username: username.into(), password: PASSWORD.into(), must_reset, expires_at_ms: None }
}

fn unlock(username: &str) -> Do {
    Do::Unlock { username: username.into() }
}

fn code(answer: Result<Done, ActError>) -> String {
    match answer {
        Ok(Done::Yes {}) => String::new(),
        Err(ActError::Refused(refused)) => refused.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bu_034_who_may_set_passwords_helps_a_colleague_in_and_the_journal_knows_who_did_it() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    may_set_passwords(&ground).await;
    let kim = ground.rep("kim").await;
    let mut before = ground.rep("ben").await;
    assert_eq!(code(in_time(kim.client.act(set("BEN", true))).await), "");
    let ended = in_time(async {
        loop {
            match before.happenings.recv().await {
                Some(Happening::Ended { code, .. }) => break code,
                Some(_) => {}
                None => panic!("it says how it ends"),
            }
        }
    });
    assert_eq!(ended.await, 4510, "what was signed in as him signs in again");
    assert_eq!(ben(&ground, PASSWORD, None).await, problem(401, "password_reset_required"));
    // A crash leaves what stands in the folder: copied while the broker runs.
    let crashed = tempfile::tempdir().unwrap();
    copy(folder.path(), crashed.path());
    let user = ground.place.broker.look(|state| (state.site.codes.users["kim"], state.site.codes.users["ben"]));
    let (by, whom) = user.await.unwrap();
    in_time(kim.client.close()).await;
    ground.close().await;

    let place = Place::open_at(crashed.path(), "127.0.0.1:0".parse().unwrap()).await;
    let shown = SignIn { username: "ben", password: PASSWORD, code: None, new_password: Some(NEW) };
    sign_in_with(&place.target(Transport::Ws), shown).await.unwrap();
    in_time(place.close()).await;
    let text = everything(&crashed.path().join("data"));
    let said = |word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(!said(PASSWORD) && !said(NEW), "no password stands anywhere");
    let turns = requests(&crashed.path().join("data"));
    let set = turns.iter().filter(|turn| matches!(turn.1, Command::SetCredential { user, .. } if user == whom));
    let actors: Vec<Actor> = set.map(|turn| turn.0).collect();
    assert_eq!(
        actors,
        [Actor::Party(Party::Rep(by)), Actor::System],
        "she did it, and then he himself as he signed in"
    );
}

#[tokio::test]
async fn bu_034_nobody_sets_what_is_not_theirs_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    may_set_passwords(&ground).await;
    let (kim, ben) = (ground.rep("kim").await, ground.rep("ben").await);
    let kim_admin = {
        let token = ground.token("kim").await;
        let target = ground.place.target(Transport::Ws);
        in_time(Client::connect(target, hello(Role::Admin, Credential::Token(token)))).await.unwrap().0
    };
    for client in [&kim.client, &kim_admin] {
        for whom in ["root", "kim"] {
            assert_eq!(code(in_time(client.act(set(whom, false))).await), "not_permitted", "{whom}");
            assert_eq!(code(in_time(client.act(unlock(whom))).await), "not_permitted", "{whom}");
        }
        assert_eq!(code(in_time(client.act(unlock("nobody"))).await), "unknown_rep");
        assert_eq!(code(in_time(client.act(Do::Site {})).await), "not_permitted", "she edits nothing");
    }
    for whom in ["ben", "kim", "root", "nobody"] {
        assert_eq!(code(in_time(ben.client.act(set(whom, false))).await), "not_permitted", "{whom}");
        assert_eq!(code(in_time(ben.client.act(unlock(whom))).await), "not_permitted", "{whom}");
    }
    let weak = Do::SetPassword {
        username: "ben".into(),
        password: "password1234".into(),
        must_reset: true,
        expires_at_ms: None,
    };
    assert_eq!(code(in_time(kim.client.act(weak)).await), "malformed");
    for client in [kim.client, kim_admin, ben.client] {
        in_time(client.close()).await;
    }
    ground.close().await;
}

#[tokio::test]
async fn bu_034_an_account_that_waits_is_unlocked_or_has_another_password_and_may_try_at_once() {
    // Each at a broker of its own: one lets in ten tries a second, whoever makes them.
    for help in [unlock("ben"), set("ben", false)] {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::open(folder.path()).await;
        may_set_passwords(&ground).await;
        ground.place.broker.set_password(Actor::System, "ben", PASSWORD.to_owned()).await.unwrap();
        let kim = ground.rep("kim").await;
        for _ in 0..limits::SIGN_IN_FAILURES {
            assert_eq!(ben(&ground, "not his password at all", None).await.0, 401);
        }
        assert_eq!(ben(&ground, PASSWORD, None).await.0, 429);
        assert_eq!(code(in_time(kim.client.act(help)).await), "");
        assert_eq!(ben(&ground, PASSWORD, None).await.0, 200);
        in_time(kim.client.close()).await;
        ground.close().await;
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            std::fs::set_permissions(&to, entry.metadata().unwrap().permissions()).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Every byte that is kept.
fn everything(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { everything(&path) } else { std::fs::read(path).unwrap() }).collect()
}

/// Who asked for what, as the journal has it.
fn requests(data: &Path) -> Vec<(Actor, Command)> {
    let turns = journal::read(data).unwrap().map(|row| row.unwrap().turn);
    turns.flat_map(|turn| turn.requests).map(|(_, request)| (request.actor, request.command)).collect()
}
