//! What people in sessions try beyond their rights (H-42, H-70, H-73…H-81, H-86).

use crate::{
    attack::{Ground, in_time},
    place::{Person, open},
};
use bytes::Bytes;
use equipoise::{
    client::ActError,
    wire::{
        Do, Done, Ev, Flags, Kind,
        control::{ClientInfo, Open, Opened},
    },
};
use std::collections::BTreeMap;

async fn refused(person: &Person, act: Do) -> equipoise::wire::Refused {
    match in_time(person.client.act(act)).await {
        Err(ActError::Refused(refused)) => refused,
        other => panic!("refused: {other:?}"),
    }
}

fn everything(session: u64) -> Vec<Do> {
    let open = Open { session, tool: "system_info".into(), args: BTreeMap::new() };
    vec![
        Do::Accept { session },
        Do::Reject { session },
        Do::Take { session },
        Do::Join { session },
        Do::TakeOver { session },
        Do::Hold { session },
        Do::Resume { session },
        Do::Depart { session },
        Do::End { session },
        Do::Transfer { session, to: "team:desk".into() },
        Do::Share { session, to: "rep:ben".into() },
        Do::Open(open),
        Do::AcceptOpen { session, open: 1, facts: BTreeMap::new() },
        Do::RefuseOpen { session, open: 1, reason: String::new() },
        Do::Note { session, channel: 1, facts: BTreeMap::new() },
        Do::Answer { session, prompt: 1, allow: true },
        Do::TakeBack { session, tool: None },
    ]
}

#[tokio::test]
async fn h_42_a_customer_cannot_tell_another_s_session_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let (mut raw, welcome) = ground.greet(ground.customers_hello().await).await.unwrap();
    let (theirs, nowhere) = (ground.ana.session, 987_654);
    assert_ne!(welcome.session, Some(theirs));
    let mut id = 0;
    for (here, there) in everything(theirs).into_iter().zip(everything(nowhere)) {
        let name = format!("{here:?}");
        let mut answers = Vec::new();
        for act in [here, there] {
            id += 1;
            raw.request(id, act).await;
            answers.push(raw.reply(id).await.unwrap_err());
        }
        assert_eq!(answers[0].code, answers[1].code, "{name}");
        let message = answers[0].message.replace(&theirs.to_string(), &nowhere.to_string());
        assert_eq!(message, answers[1].message, "{name}");
    }
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_86_people_do_nothing_of_an_administrator_s() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    for person in [&ground.ana, &ground.customer] {
        for act in [
            Do::SetPassword { username: "ana".into(), password: "a password of my own".into() },
            Do::MakeServiceKey { name: "mine".into() },
            Do::Site {},
        ] {
            assert_eq!(refused(person, act).await.code, "not_permitted");
        }
    }
    ground.close().await;
}

#[tokio::test]
async fn h_73_h_70_a_frame_of_a_kind_that_was_not_opened_closes_its_channel_and_the_session_lives() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    // A chat channel: a file's bytes, a keystroke and the clipboard do not belong on it.
    for kind in [Kind::File, Kind::Keys, Kind::Click, Kind::Clipboard, Kind::ShellInput] {
        let (to_ana, to_customer) = open(&mut ground.ana, &mut ground.customer, "chat", &[]).await;
        // The customer's way stands first, then the reps'.
        let mine = to_customer.channels.last().expect("Ana's way");
        assert!(to_ana.channels.iter().any(|channel| channel.channel == mine.channel));
        let mut writer = ground.ana.client.writer(mine);
        let mut reader = ground.customer.client.reader(mine);
        let _ = in_time(writer.write(kind, Flags::default(), Bytes::from_static(b"x"))).await;
        let read = in_time(reader.read()).await;
        assert!(!matches!(read, Ok(Some(_))), "{kind:?} arrived: {read:?}");
        assert!(in_time(writer.finish()).await.is_err(), "{kind:?}: the writer hears that it is over");
        ground.unharmed().await;
    }
    ground.close().await;
}

#[tokio::test]
async fn h_75_nothing_sent_beside_a_revocation_arrives_after_it() {
    for before in [0, 1, 7] {
        let folder = tempfile::tempdir().unwrap();
        let mut ground = Ground::open(folder.path()).await;
        let (to_ana, to_customer) = open(&mut ground.ana, &mut ground.customer, "shell", &[]).await;
        let input = |opened: &Opened| {
            let found = opened.channels.iter().find(|channel| channel.kinds.iter().any(|kind| kind == "shell_input"));
            found.cloned().expect("a shell has an input")
        };
        let mut writer = ground.ana.client.writer(&input(&to_ana));
        let mut reader = ground.customer.client.reader(&input(&to_customer));
        let typing = tokio::spawn(async move {
            while writer.write(Kind::ShellInput, Flags::default(), Bytes::from_static(b"rm -rf / ")).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        // So much of it came; then the customer takes it back while more is on its way.
        let mut got = 0;
        for _ in 0..before {
            got += in_time(reader.read()).await.unwrap().expect("it is open").bytes.len() as u64;
        }
        let session = ground.customer.session;
        let take_back = ground.customer.client.act(Do::TakeBack { session, tool: Some("shell".into()) });
        let revoked = in_time(take_back).await.unwrap();
        let Done::Revoked { finals, .. } = revoked else { panic!("revoked: {revoked:?}") };
        let last = finals.iter().find(|last| last.channel == input(&to_customer).channel);
        let last = last.expect("its final offset").offset;
        while let Ok(Some(chunk)) = in_time(reader.read()).await {
            got += chunk.bytes.len() as u64;
        }
        assert!(got <= last, "{got} bytes came, {last} were final");
        in_time(typing).await.unwrap();
        ground.close().await;
    }
}

#[tokio::test]
async fn h_78_names_with_controls_escapes_or_a_megabyte_do_not_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    for name in [
        "\u{1b}]0;owned\u{7}",
        "eve\r\nINFO root signed in",
        "eve\0",
        "\u{202e}nimda",
        "\u{2066}x\u{2069}",
        &"e".repeat(1_000),
    ] {
        for field in 0..3 {
            let mut hello = ground.customers_hello().await;
            match field {
                0 => hello.client.display_name = name.to_owned(),
                1 => hello.client.version = name.to_owned(),
                _ => hello.client.name = name.to_owned(),
            }
            assert_eq!(ground.greet(hello).await.err(), Some(4540), "{name:?}");
        }
    }
    // Markup is text like any other: it is kept as it is, and consoles show it as text.
    let mut hello = ground.customers_hello().await;
    hello.client = ClientInfo { display_name: "<img src=x onerror=alert(1)>".into(), ..hello.client };
    assert!(ground.greet(hello).await.is_ok());
    ground.close().await;
}

#[tokio::test]
async fn h_80_a_borrowed_name_changes_nobody_s_identity() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    for name in ["Administrator", "Ana", "ana", "rep:ana"] {
        let mut hello = ground.customers_hello().await;
        hello.client.display_name = name.to_owned();
        let (mut raw, welcome) = ground.greet(hello).await.unwrap();
        assert_eq!(welcome.you, "customer");
        raw.request(1, Do::MakeKey { queue: None, kind: Default::default(), lives_s: None }).await;
        assert!(raw.reply(1).await.is_err(), "{name} is no rep");
        let session = welcome.session.unwrap();
        let seen = |ev| match ev {
            Ev::Session(view) if view.session == session => Some(view),
            _ => None,
        };
        let view = ground.ana.until(seen).await;
        assert!(view.owner.is_none(), "{view:?}");
        ground.unharmed().await;
    }
    ground.close().await;
}

#[tokio::test]
async fn h_81_who_was_only_invited_neither_transfers_nor_ends_nor_reaches_further() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let mut ben = ground.rep("ben").await;
    let session = ground.ana.session;
    in_time(ground.ana.client.act(Do::Share { session, to: "rep:ben".into() })).await.unwrap();
    ben.until(|ev| matches!(ev, Ev::Invited { session: invited, .. } if invited == session).then_some(())).await;
    in_time(ben.client.act(Do::Accept { session })).await.unwrap();
    for act in [
        Do::Transfer { session, to: "team:desk".into() },
        Do::TakeOver { session },
        Do::End { session },
        Do::Answer { session, prompt: 1, allow: true },
        Do::TakeBack { session, tool: None },
        Do::Join { session: session + 1 },
        Do::Site {},
    ] {
        let name = format!("{act:?}");
        let answer = in_time(ben.client.act(act)).await;
        assert!(matches!(answer, Err(ActError::Refused(_))), "{name}: {answer:?}");
    }
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_76_a_rep_cannot_answer_for_the_customer() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let session = ground.ana.session;
    for prompt in 0..5 {
        refused(&ground.ana, Do::Answer { session, prompt, allow: true }).await;
        refused(&ground.customer, Do::Answer { session, prompt, allow: true }).await;
    }
    ground.close().await;
}
