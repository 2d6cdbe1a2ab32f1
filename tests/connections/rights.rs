//! What people in sessions try beyond their rights (H-42, H-70, H-73…H-81, H-86).

use crate::{
    attack::{Ground, in_time},
    place::{Person, open},
};
use bytes::Bytes;
use equipoise::{
    client::ActError,
    engine::Event,
    ids::{Party, SessionId},
    limits,
    wire::{
        Do, Done, Ev, Flags, Kind,
        control::{ClientInfo, Open, Opened, Value},
        frame::CloseReason,
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
        Do::GiveControl { session, on: true },
        Do::SetChat { session, on: false },
        Do::SetField { session, field: "order".into(), value: "4711".into() },
        Do::SetExternalKey { session, value: "CASE-7".into() },
        Do::SetLocale { session, locale: "de".into() },
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
            Do::SetPassword {
                username: "ana".into(),
                password: "a password of my own".into(),
                must_reset: false,
                expires_at_ms: None,
            },
            Do::MakeServiceKey { name: "mine".into() },
            Do::Site {},
        ] {
            assert_eq!(refused(person, act).await.code, "not_permitted");
        }
    }
    ground.close().await;
}

/// A tool and its arguments, who writes on it, and one more kind that is not its own.
type Case<'a> = (&'a str, &'a [(&'a str, Value)], u16, Kind);

#[tokio::test]
async fn h_73_h_70_a_frame_of_a_kind_that_was_not_opened_closes_its_channel_and_the_session_lives() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    // A chat and a clipboard: a file's bytes, a keystroke, a line for a shell do not belong there, whoever writes.
    let to_customer = [("direction", Value::Text("rep_to_customer".into()))];
    let to_rep = [("direction", Value::Text("customer_to_rep".into()))];
    let cases: [Case; 4] = [
        ("chat", &[], 0, Kind::Clipboard),
        ("chat", &[], 1, Kind::Clipboard),
        ("clipboard", &to_customer, 1, Kind::Chat),
        ("clipboard", &to_rep, 0, Kind::Chat),
    ];
    for (tool, args, writes, also) in cases {
        for kind in [Kind::File, Kind::Keys, Kind::Click, Kind::ShellInput, also] {
            let (to_ana, to_customer) = open(&mut ground.ana, &mut ground.customer, tool, args).await;
            let mine = to_ana.channels.iter().find(|channel| channel.writer == writes).expect("that way is there");
            assert!(to_customer.channels.iter().any(|channel| channel.channel == mine.channel));
            let (from, to) = match writes {
                0 => (&ground.customer, &ground.ana),
                _ => (&ground.ana, &ground.customer),
            };
            let mut writer = from.client.writer(mine);
            let mut reader = to.client.reader(mine);
            let _ = in_time(writer.write(kind, Flags::default(), Bytes::from_static(b"x"))).await;
            let read = in_time(reader.read()).await;
            assert!(!matches!(read, Ok(Some(_))), "{kind:?} of {writes} arrived on {tool}: {read:?}");
            assert!(in_time(writer.finish()).await.is_err(), "{kind:?}: the writer hears that it is over");
            // The other way of a chat ends with its writer.
            for rest in to_ana.channels.iter().filter(|channel| channel.channel != mine.channel) {
                let end = if rest.writer == 0 { &ground.customer } else { &ground.ana };
                end.client.writer(rest).cancel(CloseReason::Cancelled).await;
            }
            let mut open: Vec<u32> = to_ana.channels.iter().map(|channel| channel.channel).collect();
            while !open.is_empty() {
                let closed = |ev| if let Ev::Closed { channel, .. } = ev { Some(channel) } else { None };
                let over = ground.ana.until(closed).await;
                open.retain(|channel| *channel != over);
            }
            ground.unharmed().await;
        }
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
        "eve\nINFO root signed in",
        "\u{9b}31meve",
        "eve\0",
        "\u{202e}nimda",
        "\u{2066}x\u{2069}",
        &"e".repeat(1_000),
        // More than a hello may have.
        &"e".repeat(1 << 20),
    ] {
        for field in 0..3 {
            let mut hello = ground.customers_hello().await;
            match field {
                0 => hello.client.display_name = name.to_owned(),
                1 => hello.client.version = name.to_owned(),
                _ => hello.client.name = name.to_owned(),
            }
            let code = if name.len() > limits::HELLO_BYTES_MAX { 1009 } else { 4540 };
            let head: String = name.chars().take(100).collect();
            assert_eq!(ground.greet(hello).await.err(), Some(code), "{head:?}");
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
async fn h_76_an_answer_that_is_forged_double_or_for_another_s_session_changes_nothing_and_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let session = ground.ana.session;
    let ben = ground.rep("ben").await;
    let (mut mal, _) = ground.greet(ground.customers_hello().await).await.unwrap();
    // What was taken back is asked for, whatever the policy says.
    let customer = ground.customer.client.clone();
    in_time(customer.act(Do::TakeBack { session, tool: Some("shell".into()) })).await.unwrap();
    let open = Do::Open(Open { session, tool: "shell".into(), args: BTreeMap::new() });
    let Done::Opening { prompt: Some(prompt), .. } = in_time(ground.ana.client.act(open)).await.unwrap() else {
        panic!("the customer is asked")
    };
    let yes = || Do::Answer { session, prompt, allow: true };
    assert_eq!(refused(&ground.ana, yes()).await.code, "not_permitted");
    assert_eq!(refused(&ben, yes()).await.code, "unknown_session");
    mal.request(1, yes()).await;
    assert_eq!(mal.reply(1).await.unwrap_err().code, "unknown_session");
    // The customer's own no counts, and none of the three before it, nor what comes after.
    in_time(customer.act(Do::Answer { session, prompt, allow: false })).await.unwrap();
    for again in [yes(), Do::Answer { session, prompt: prompt + 1, allow: true }] {
        assert_eq!(refused(&ground.customer, again).await.code, "prompt_gone");
    }
    let denied = |ev| match ev {
        Ev::RefusedOpen { refused, .. } => Some(refused.code),
        _ => None,
    };
    assert_eq!(ground.ana.until(denied).await, "prompt_denied");
    let mut missing: BTreeMap<&str, u32> = [("ana", 1), ("ben", 1), ("mal", 1), ("customer", 2)].into();
    let reps = ground.place.broker.look(|state| ["ana", "ben"].map(|rep| state.site.codes.users[rep])).await.unwrap();
    while !missing.is_empty() {
        let (by, of, count) = ground
            .recorded(|event| match event {
                Event::AnswersRefused { by, session, count, .. } => Some((by, session.0, count)),
                _ => None,
            })
            .await;
        assert_eq!(of, session);
        let who = match by {
            Party::Rep(rep) if rep == reps[0] => "ana",
            Party::Rep(_) => "ben",
            Party::Customer(SessionId(own)) if own == session => "customer",
            _ => "mal",
        };
        let left = missing.get_mut(who).unwrap_or_else(|| panic!("{who} again"));
        *left -= count;
        if *left == 0 {
            missing.remove(who);
        }
    }
    ground.close().await;
}
