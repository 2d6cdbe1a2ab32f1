//! P1.1 over real sockets: who may edit a part of the site fetches it and makes that part live, and nothing else.

use crate::{
    attack::in_time,
    place::{PASSWORD, Place, SITE, hello},
};
use equipoise::{
    client::{ActError, Client, ClientError, Happening, Happenings, Transport, sign_in},
    engine::{Actor, Command},
    site::raw::RawSite,
    wire::{
        Credential, Do, Done,
        control::{Ask, KeyKind, Role},
    },
};
use std::path::Path;

/// Ben edits teams, Kim nothing; Lou administers a technician group.
fn site() -> String {
    let ben = "username = \"ben\"\npublic_name = \"Ben\"\nprivate_name = \"Ben B\"\nteams = { desk = \"member\" }\n\
               permissions = [\"support\", \"accept_from_queue\"]";
    assert!(SITE.contains(ben));
    let site = SITE.replace(ben, &ben.replace("\"support\", ", "\"support\", \"edit_teams\", "));
    let site = site.replace("code = \"tier1\"\n", "code = \"tier1\"\nadmins = [\"lou\"]\n");
    format!("{site}\n[[user]]\nusername = \"lou\"\n[[issue]]\ncode = \"mail\"\nteam = \"desk\"\n")
}

async fn place(folder: &Path) -> Place {
    let place = Place::open_with(folder, "127.0.0.1:0".parse().unwrap(), &site(), Box::new(|_, _| {})).await;
    for name in ["ana", "ben", "kim", "lou", "root"] {
        place.broker.set_password(Actor::System, name, PASSWORD.to_owned()).await.unwrap();
    }
    place
}

async fn enters(place: &Place, name: &str, role: Role) -> Result<(Client, Happenings), ClientError> {
    let target = place.target(Transport::Ws);
    let token = sign_in(&target, name, PASSWORD).await.unwrap();
    in_time(Client::connect(target, hello(role, Credential::Token(token)))).await
}

async fn live(client: &Client) -> (String, u64) {
    let Ok(Done::Site { toml, version, next: None }) = in_time(client.act(Do::Site {})).await else {
        panic!("a small site comes whole")
    };
    (toml, version)
}

/// Applies an edited text, in two pieces.
async fn applies(client: &Client, text: &str, version: u64) -> Result<Done, (String, String)> {
    let (first, last) = text.split_at(text.len() / 2);
    let piece = |text: &str, more| Do::ApplySite { text: text.to_owned(), more, version: Some(version) };
    in_time(client.act(piece(first, true))).await.map_err(code)?;
    in_time(client.act(piece(last, false))).await.map_err(code)
}

fn code(error: ActError) -> (String, String) {
    match error {
        ActError::Refused(refused) => (refused.code, refused.message),
        other => panic!("it is refused: {other}"),
    }
}

#[tokio::test]
async fn bu_040_a_team_editor_makes_his_part_live_and_is_told_what_is_not_his() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    // At a console as well as without one, which takes no seat.
    for (role, length) in [(Role::Admin, 11), (Role::Rep, 12)] {
        let (ben, _hears) = enters(&place, "ben", role).await.unwrap();
        let (text, version) = live(&ben).await;
        for secret in ["argon2", "$v=", "phc", "password"] {
            assert!(!text.contains(secret), "{secret} is no part of a site");
        }
        let mut raw = RawSite::parse(&text).unwrap();
        raw.team[0].max_queue = length;
        raw.user.iter_mut().find(|user| user.username == "kim").unwrap().teams.clear();
        let done = applies(&ben, &raw.to_toml(), version).await;
        assert!(matches!(done, Ok(Done::Applied { .. })), "{done:?}");
        let (text, now) = live(&ben).await;
        assert_eq!(RawSite::parse(&text).unwrap(), raw);
        assert!(now > version);
        assert_eq!(applies(&ben, &raw.to_toml(), version).await.unwrap_err().0, "stale");

        let mut mine = raw.clone();
        mine.issue[0].priority = 99;
        mine.user.iter_mut().find(|user| user.username == "ben").unwrap().permissions.push("administrator".into());
        let (code, message) = applies(&ben, &mine.to_toml(), now).await.unwrap_err();
        assert_eq!(code, "not_permitted");
        assert!(message.contains("issue mail priority (edit_issues)"), "{message}");
        assert!(message.contains("user ben permissions (an administrator)"), "{message}");
        assert_eq!(live(&ben).await, (text, now), "nothing of it is live");
        in_time(ben.close()).await;
    }
    place.close().await;
}

#[tokio::test]
async fn i_a9_who_edits_a_part_can_do_nothing_else_that_an_administrator_can() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    for name in ["ben", "lou"] {
        let (client, _hears) = enters(&place, name, Role::Admin).await.unwrap();
        let set = |username: &str| Do::SetPassword {
            username: username.into(),
            password: "nobody should ever have this".into(),
            must_reset: false,
            expires_at_ms: None,
        };
        for act in [
            set("root"),
            set("kim"),
            set(name),
            Do::ResetSecondFactor { username: "root".into() },
            Do::MakeServiceKey { name: "mine".into() },
            Do::MakeKey { queue: Some("team:desk".into()), kind: KeyKind::Link, lives_s: None },
            Do::MakeButton { queue: Some("team:desk".into()), portal: None },
            Do::Ask(Ask { queue: "team:desk".into(), ..Ask::default() }),
            Do::ExplainAsk(Ask { queue: "team:desk".into(), ..Ask::default() }),
            Do::PublishNotice { text: "hello".into(), lives_s: None },
            Do::Notices {},
            Do::RepList { portal: "main".into() },
            Do::Logout {},
            Do::GetNext {},
        ] {
            let shown = format!("{act:?}");
            let (code, message) = code(in_time(client.act(act)).await.unwrap_err());
            assert_eq!(code, "not_permitted", "{name}: {shown}: {message}");
        }
        in_time(client.close()).await;
    }
    let Err(ClientError::Denied { code, .. }) = enters(&place, "kim", Role::Admin).await.map(|_| ()) else {
        panic!("who edits nothing does not come in to administer")
    };
    assert_eq!(code, 4503);
    // Nor does she fetch or edit the site from her console.
    let (kim, _hears) = enters(&place, "kim", Role::Rep).await.unwrap();
    let refused = [
        Do::Site {},
        Do::SitePart { at: 1 },
        Do::ApplySite { text: site(), more: true, version: None },
        Do::ApplySite { text: site(), more: false, version: None },
    ];
    for act in refused {
        assert_eq!(self::code(in_time(kim.act(act)).await.unwrap_err()).0, "not_permitted");
    }
    in_time(kim.close()).await;
    place.close().await;
}

#[tokio::test]
async fn i_a5_a_right_that_is_taken_away_ends_the_connection_that_it_was_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    let (ben, mut hears) = enters(&place, "ben", Role::Admin).await.unwrap();
    let (lou, _others) = enters(&place, "lou", Role::Admin).await.unwrap();
    let (text, _) = live(&ben).await;
    let less = RawSite::parse(&text.replace("\"edit_teams\"", "\"opt_out\"")).unwrap().into();
    place.broker.command(Actor::System, Command::ApplySite(less)).await.unwrap();
    let ended = in_time(async {
        loop {
            match hears.recv().await {
                Some(Happening::Ended { code, .. }) => break Some(code),
                Some(_) => {}
                None => break None,
            }
        }
    });
    assert_eq!(ended.await, Some(4501));
    drop(ben);
    live(&lou).await;
    in_time(lou.close()).await;
    place.close().await;
}
