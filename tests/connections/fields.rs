//! What reps write on a session (P3.29), over real sockets: who is shown it, that it outlives the broker, and that who may
//! not write is refused on record.

use crate::{
    attack::{Ground, in_time},
    place::{PASSWORD, Person, Place, SITE, hello},
};
use equipoise::{
    client::{ActError, Client, Transport, sign_in},
    engine::{Actor, Command, Event},
    ids::SecretHash,
    limits,
    policy::Tool,
    wire::{
        Credential, Do, Done, Ev,
        control::{Ask, Role, SessionView},
    },
};
use std::{net::SocketAddr, path::Path};

const KEY: &str = "the till's own key";

async fn open(folder: &Path, site: &str) -> (Place, Person) {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder, listen, site, Box::new(|_, _| {})).await;
    for rep in ["ana", "ben"] {
        place.broker.set_password(Actor::System, rep, PASSWORD.to_owned()).await.unwrap();
    }
    let make = Command::MakeServiceKey { name: "till".into(), token: SecretHash::of(KEY.as_bytes()) };
    place.broker.command(Actor::System, make).await.unwrap();
    let till = enter(&place, hello(Role::Service, Credential::Key(KEY.into()))).await;
    (place, till)
}

async fn enter(place: &Place, said: equipoise::wire::Hello) -> Person {
    let (client, happenings) = Client::connect(place.target(Transport::Ws), said).await.unwrap();
    Person { client, happenings, session: 0 }
}

async fn rep(place: &Place, name: &str) -> Person {
    let token = sign_in(&place.target(Transport::Ws), name, PASSWORD).await.unwrap();
    enter(place, hello(Role::Rep, Credential::Token(token))).await
}

async fn asks(till: &Person, details: &str) -> u64 {
    let ask = Ask { queue: "team:desk".into(), details: details.into(), external_key: "T-1".into(), ..Ask::default() };
    match in_time(till.client.act(Do::Ask(ask))).await {
        Ok(Done::Asked { session, .. }) => session,
        other => panic!("asked: {other:?}"),
    }
}

fn field(session: u64, field: &str, value: &str) -> Do {
    Do::SetField { session, field: field.into(), value: value.into() }
}

/// Waits until the session is shown with both.
async fn shown(person: &mut Person, session: u64, order: Option<&str>, key: &str) {
    let is = |view: &SessionView| {
        let has = view.fields.get("order").map(String::as_str) == order && view.external_key == key;
        view.session == session && has
    };
    person
        .until(|ev| match ev {
            Ev::Session(view) => is(&view).then_some(()),
            Ev::Snapshot { sessions, .. } => sessions.iter().any(is).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn p3_29_what_a_rep_writes_is_shown_to_reps_and_to_who_asked_and_outlives_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE
        .replace("\"opt_out\", ", "\"opt_out\", \"edit_external_key\", ")
        .replace("tools = { screen", "tools = { external_key = \"yes\", screen");
    let (place, mut till) = open(folder.path(), &site).await;
    let (mut ana, mut ben) = (rep(&place, "ana").await, rep(&place, "ben").await);
    let session = asks(&till, "").await;
    if ana.client.act(Do::Accept { session }).await.is_err() {
        ana.client.act(Do::Take { session }).await.unwrap();
    }
    ana.client.act(field(session, "order", "4711")).await.unwrap();
    ana.client.act(Do::SetExternalKey { session, value: "CASE-7".into() }).await.unwrap();
    for person in [&mut ana, &mut ben, &mut till] {
        shown(person, session, Some("4711"), "CASE-7").await;
    }
    place.close().await;

    let place = Place::open_at(folder.path(), "127.0.0.1:0".parse().unwrap()).await;
    let mut ana = rep(&place, "ana").await;
    shown(&mut ana, session, Some("4711"), "CASE-7").await;
    ana.client.act(field(session, "order", "")).await.unwrap();
    ana.client.act(Do::SetExternalKey { session, value: String::new() }).await.unwrap();
    shown(&mut ana, session, None, "").await;
    place.close().await;
}

#[tokio::test]
async fn p3_29_p6_3_who_may_not_write_is_refused_on_record_and_a_line_break_is_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let session = ground.ana.session;
    let refused = async |person: &Person, act: Do| match in_time(person.client.act(act)).await {
        Err(ActError::Refused(refused)) => refused,
        other => panic!("refused: {other:?}"),
    };
    let key = Do::SetExternalKey { session, value: "CASE-7".into() };
    let said = refused(&ground.ana, key.clone()).await;
    assert_eq!((said.code.as_str(), said.tool.as_deref(), said.source.as_deref()), denied("external_key"));
    let said = refused(&ground.customer, field(session, "order", "4711")).await;
    assert_eq!((said.code.as_str(), said.tool.as_deref(), said.source.as_deref()), denied("custom_fields"));
    for value in ["two\nlines", "back\u{202e}wards", &"x".repeat(limits::NAME_BYTES_MAX + 1)] {
        assert_eq!(refused(&ground.ana, field(session, "order", value)).await.code, "malformed");
    }
    let mut recorded = Vec::new();
    for _ in 0..2 {
        let record = ground.recorded(|event| match event {
            Event::Refused { participant, tool, source, .. } => Some((participant.0, tool, source)),
            Event::FieldSet { .. } | Event::ExternalKeySet { .. } => panic!("it was refused: {event:?}"),
            _ => None,
        });
        recorded.push(record.await);
    }
    recorded.sort();
    let (rep, customer) = ((1, Tool::ExternalKey), (0, Tool::CustomFields));
    assert_eq!(recorded, [customer, rep].map(|(seat, tool)| (seat, tool, "builtin".to_owned())));
    ground.unharmed().await;
    ground.close().await;
}

fn denied(tool: &str) -> (&'static str, Option<&str>, Option<&'static str>) {
    ("not_permitted", Some(tool), Some("builtin"))
}

#[tokio::test]
async fn w4_4_a_console_is_shown_many_sessions_however_much_is_written_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let (place, till) = open(folder.path(), SITE).await;
    let _ana = rep(&place, "ana").await;
    let details = "x".repeat(limits::TEXT_BYTES_MAX);
    // Twice what may wait for a socket: all of it at once would end the connection.
    let mut asked = Vec::new();
    for _ in 0..2 * limits::CONTROL_QUEUE_BYTES / details.len() {
        asked.push(asks(&till, &details).await);
    }
    let mut ben = rep(&place, "ben").await;
    let (mut seen, mut whole) = (Vec::new(), false);
    while !whole {
        let part = |ev| if let Ev::Snapshot { sessions, last, .. } = ev { Some((sessions, last)) } else { None };
        let (sessions, last) = ben.until(part).await;
        seen.extend(sessions.iter().map(|view| view.session));
        whole = last;
    }
    assert!(seen.len() > 100 && asked.starts_with(&seen), "the oldest first: {seen:?}");
    let took = ben.client.act(Do::Status { code: "away".into() });
    in_time(took).await.expect("the connection goes on");
    place.close().await;
}
