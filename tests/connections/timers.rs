//! What time brings to those who are connected (R7.9).

use crate::place::{PASSWORD, Place, SITE, a_session, open};
use bytes::Bytes;
use equipoise::{
    client::{Client, Happening, Transport, sign_in},
    engine::{Actor, Event},
    ids::*,
    wire::{
        Credential, Do, Ev, Flags, Kind,
        control::{Role, Value},
    },
};
use std::{path::Path, time::Duration};
use tokio::sync::mpsc;

/// A place whose events a test can wait for.
async fn told(data: &Path, site: &str) -> (Place, mpsc::Receiver<Event>) {
    let (tell, events) = mpsc::channel(4_096);
    let follower = Box::new(move |turn: &[equipoise::engine::Stamped], _: &equipoise::engine::State| {
        // A test that has what it waited for listens no more.
        turn.iter().for_each(|stamped| drop(tell.try_send(stamped.event.clone())));
    });
    let place = Place::open_with(data, "127.0.0.1:0".parse().unwrap(), site, follower).await;
    place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
    (place, events)
}

async fn until<T>(events: &mut mpsc::Receiver<Event>, wanted: impl Fn(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = wanted(events.recv().await.expect("the broker lives")) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("it happens in time")
}

#[tokio::test]
async fn r7_9_a_shell_that_moves_data_shows_its_rep_active_and_the_owner_hears_it() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE.replace("default_policy = \"open\"", "default_policy = \"open\"\nsession_inactivity_s = 300");
    let (place, mut events) = told(folder.path(), &site).await;
    let (mut ana, mut customer) = a_session(place.target(Transport::Ws), place.target(Transport::Quic)).await;
    let size = [("cols", Value::Int(80)), ("rows", Value::Int(24))];
    let (_, own) = open(&mut ana, &mut customer, "shell", &size).await;
    let output = own.channels.iter().find(|channel| channel.writer == 0).expect("the customer writes the output");
    let mut output = customer.client.writer(output);
    output.write(Kind::ShellOutput, Flags::default(), Bytes::from_static(b"$ ")).await.unwrap();
    let moved = |event| if let Event::DataMoved { session, by } = event { Some((session, by)) } else { None };
    let (session, by) = until(&mut events, moved).await;
    assert_eq!((session, by), (SessionId(ana.session), vec![ParticipantId(1)]));
    place.close().await;
}

#[tokio::test]
async fn r7_9_the_consoles_own_idle_time_logs_the_rep_out_over_the_wire() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE.replace("default_policy = \"open\"", "default_policy = \"open\"\nconsole_idle_s = 300");
    let (place, _events) = told(folder.path(), &site).await;
    let target = place.target(Transport::Ws);
    let token = sign_in(&target, "ana", PASSWORD).await.unwrap();
    let (ana, mut hears) =
        Client::connect(target, crate::place::hello(Role::Rep, Credential::Token(token))).await.unwrap();
    // The console reports that nobody has touched it for its whole time.
    ana.act(Do::Idle { for_s: 300 }).await.unwrap();
    let mut reason = None;
    let code = loop {
        match hears.recv().await.expect("the connection's end is told") {
            Happening::Ev { ev: Ev::LoggedOut { reason: why }, .. } => reason = Some(why),
            Happening::Ended { code, .. } => break code,
            _ => {}
        }
    };
    assert_eq!((reason.as_deref(), code), (Some("console_idle"), 4501));
    place.close().await;
}
