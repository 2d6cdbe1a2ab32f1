//! BU-067, BU-068 across kill −9: what is shown, and control that was given, are as they were; what was typed meanwhile
//! arrives once.

use crate::{people::Person, place::Place, process::DEADLINE};
use bytes::Bytes;
use equipoise::{
    client::Transport::{self, Quic, Ws},
    wire::{
        Do, Ev, Flags, Kind,
        control::{Done, Value},
    },
};
use tokio::time::timeout;

async fn killed(dora_by: Transport, eli_by: Transport) {
    let mut place = Place::open().await;
    let mut dora = Person::rep(&place, dora_by, "dora").await;
    let mut eli = Person::rep(&place, eli_by, "eli").await;
    let Done::Session(view) = dora.client.act(Do::ShowScreen { to: "rep:eli".into() }).await.unwrap() else {
        panic!("it is a session")
    };
    let session = view.session;
    // Asked, and not answered: the question outlives the broker.
    place.kill();
    place.start_again();
    for rep in [&mut dora, &mut eli] {
        rep.connected_again().await;
        rep.connected_again().await;
    }
    eli.client.act(Do::Join { session }).await.unwrap();
    dora.client.act(Do::GiveControl { session, on: true }).await.unwrap();
    let control = [("control", Value::Bool(true))];
    let (opened, _) = tokio::join!(eli.opens(session, "screen", &control), dora.takes_up(session));
    let (pictures, input): (Vec<_>, Vec<_>) = opened.channels.iter().partition(|channel| channel.writer == 0);
    let (mut shows, mut sees) = (dora.client.writer(pictures[0]), eli.client.reader(pictures[0]));
    let (mut types, mut takes) = (eli.client.writer(input[0]), dora.client.reader(input[0]));
    let whole = Flags::START.with(Flags::END).with(Flags::KEY);
    for round in 0..2 {
        shows.write(Kind::Picture, whole, Bytes::from(format!("picture {round}"))).await.unwrap();
        let seen = timeout(DEADLINE, sees.read()).await.unwrap().unwrap().unwrap();
        assert_eq!(seen.bytes, format!("picture {round}"));
        place.kill();
        types.write(Kind::Keys, Flags::default(), Bytes::from(format!("{round}"))).await.unwrap();
        place.start_again();
        let typed = timeout(DEADLINE, takes.read()).await.unwrap().unwrap().unwrap();
        assert_eq!((typed.offset, typed.bytes), (round, Bytes::from(format!("{round}"))), "once, and in order");
    }
    let Done::Revoked { finals, .. } = dora.client.act(Do::GiveControl { session, on: false }).await.unwrap() else {
        panic!("it is taken back")
    };
    assert_eq!(finals.len(), 1);
    assert!(timeout(DEADLINE, takes.read()).await.unwrap().is_err());
    eli.client.act(Do::Depart { session }).await.unwrap();
    let gone = |ev: &Ev| matches!(ev, Ev::SessionGone { session: over, .. } if *over == session).then_some(());
    dora.told("the end", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_bu_067_a_screen_is_shown_on_after_a_kill_over_websocket() {
    killed(Ws, Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_bu_067_a_screen_is_shown_on_after_a_kill_with_an_end_on_quic() {
    killed(Ws, Quic).await;
}
