//! Who comes back, or lags and rejoins: offers told again, channels taken up where they are, relay and engine of one
//! mind (W1.7, W3.3, W5.2).

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, a_session, hello, open},
};
use bytes::Bytes;
use equipoise::{
    client::{self, Client, Reader, Transport, Writer},
    engine::{Actor, Command},
    ids::{ChannelId, ParticipantId, Party, SessionId, UserId},
    policy::Tool,
    wire::{
        Credential, Do, Done, Ev, Flags, Kind,
        control::{KeyKind, Opened, Role},
    },
};
use std::{future::poll_fn, pin::pin, task::Poll};

async fn sign_in(place: &Place, name: &str, transport: Transport) -> Person {
    let target = place.target(transport);
    let token = client::sign_in(&target, name, PASSWORD).await.unwrap();
    let (client, happenings) = Client::connect(target, hello(Role::Rep, Credential::Token(token))).await.unwrap();
    Person { client, happenings, session: 0 }
}

/// Ben joins Ana's session at her invitation.
async fn ben_joins(place: &Place, ana: &mut Person) -> Person {
    place.broker.set_password(Actor::System, "ben", PASSWORD.to_owned()).await.unwrap();
    let mut ben = sign_in(place, "ben", Transport::Ws).await;
    let session = ana.session;
    ana.client.act(Do::Share { session, to: "rep:ben".into() }).await.unwrap();
    ben.until(|ev| matches!(ev, Ev::Invited { .. }).then_some(())).await;
    ben.client.act(Do::Join { session }).await.unwrap();
    ben.session = session;
    ben
}

fn opened(ev: Ev) -> Option<Opened> {
    if let Ev::Opened(opened) = ev { Some(opened) } else { None }
}

fn output(opened: &Opened) -> &equipoise::wire::control::ChannelView {
    let shows = |kinds: &[String]| kinds.iter().any(|kind| kind == "shell_output");
    opened.channels.iter().find(|channel| shows(&channel.kinds)).expect("a shell shows something")
}

async fn says(writer: &mut Writer, text: &'static str) {
    in_time(writer.write(Kind::ShellOutput, Flags::default(), Bytes::from_static(text.as_bytes()))).await.unwrap();
}

async fn hears(reader: &mut Reader) -> (u64, String) {
    let chunk = in_time(reader.read()).await.unwrap().expect("it goes on");
    (chunk.offset, String::from_utf8(chunk.bytes.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_1_a_console_that_changes_its_connection_is_told_of_its_open_offer_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let mut ana = sign_in(&place, "ana", Transport::Ws).await;
    let queue = Some("team:desk".to_owned());
    let key = ana.client.act(Do::MakeKey { queue, kind: KeyKind::Code, lives_s: None }).await.unwrap();
    let Done::Key { key, .. } = key else { panic!("a key was made: {key:?}") };
    let (customer, _hears) =
        Client::connect(place.target(Transport::Ws), hello(Role::Customer, Credential::Key(key.into()))).await.unwrap();
    let offer =
        |ev| if let Ev::Offer { session, expires_at_ms, .. } = ev { Some((session, expires_at_ms)) } else { None };
    let first = ana.until(offer).await;
    assert_eq!(Some(first.0), customer.welcome().session);
    in_time(ana.client.switch(Transport::Quic)).await.unwrap();
    assert_eq!(ana.until(offer).await, first, "with the same end");
    assert!(first.1 > ana.client.welcome().now_ms, "what is left of it can be reckoned");
    ana.client.act(Do::Accept { session: first.0 }).await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_a_console_started_anew_reads_on_where_the_channel_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let target = place.target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target).await;
    let (to_ana, to_customer) = open(&mut ana, &mut customer, "shell", &[]).await;
    let mut writer = customer.client.writer(output(&to_customer));
    let mut reader = ana.client.reader(output(&to_ana));
    says(&mut writer, "hello").await;
    assert_eq!(hears(&mut reader).await, (0, "hello".into()));
    // Its process is gone, and with it what it knew; another one signs in.
    let mut again = sign_in(&place, "ana", Transport::Quic).await;
    let told = again.until(opened).await;
    let mut reader = again.client.reader(output(&told));
    in_time(async {
        while !writer.refresh_wanted() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    says(&mut writer, "again").await;
    assert_eq!(hears(&mut reader).await, (5, "again".into()));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_7_a_reader_that_was_left_behind_rejoins_beside_a_fast_one() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let target = place.target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target).await;
    let mut ben = ben_joins(&place, &mut ana).await;
    let (to_ana, to_customer) = open(&mut ana, &mut customer, "shell", &[]).await;
    let to_ben = ben.until(opened).await;
    let mut writer = customer.client.writer(output(&to_customer));
    let mut fast = ana.client.reader(output(&to_ana));
    let mut slow = ben.client.reader(output(&to_ben));
    let writing = tokio::spawn(async move {
        // Until the session, and with it the channel, ends.
        while writer.write(Kind::ShellOutput, Flags::default(), Bytes::from(vec![b'x'; 1_000])).await.is_ok() {}
    });
    let (reached, mut far) = tokio::sync::watch::channel(0);
    let reading = tokio::spawn(async move {
        let mut next = 0;
        while let Ok(Some(chunk)) = fast.read().await {
            assert_eq!(chunk.offset, next, "the fast one misses nothing");
            next += chunk.bytes.len() as u64;
            // Nobody waits for it any more.
            let _ = reached.send(next);
        }
        next
    });
    // Far beyond what the slow one allows: it was left behind.
    in_time(far.wait_for(|far| *far > 1_000_000)).await.unwrap();
    let (mut next, mut jumped) = (0, None);
    while jumped.is_none_or(|at| next < at + 500_000) {
        let chunk = in_time(slow.read()).await.expect("its channel goes on").expect("nobody ended it");
        if chunk.offset != next {
            assert!(chunk.offset > next && jumped.is_none(), "one jump: {next} to {}, {jumped:?}", chunk.offset);
            assert!(chunk.offset > 1_000_000, "to where the channel is");
            jumped = Some(chunk.offset);
        }
        next = chunk.offset + chunk.bytes.len() as u64;
    }
    ana.client.act(Do::End { session: ana.session }).await.unwrap();
    in_time(writing).await.unwrap();
    assert!(in_time(reading).await.unwrap() >= next - 65_536);
    place.close().await;
}

/// The owner is held up until both commands wait for it, so they are of one turn; the second makes its record too
/// large, so that the journal takes neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn w5_2_a_leg_cut_in_a_turn_that_never_was_is_over_for_the_engine_too() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let target = place.target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target).await;
    let mut ben = ben_joins(&place, &mut ana).await;
    let (to_ana, to_customer) = open(&mut ana, &mut customer, "shell", &[]).await;
    let to_ben = ben.until(opened).await;
    let channel = output(&to_ben).channel;
    let session = SessionId(ana.session);
    let user: UserId = place.broker.look(|state| state.site.codes.users["ben"]).await.unwrap();

    let (started, has_started) = tokio::sync::oneshot::channel();
    let (go_on, held) = std::sync::mpsc::sync_channel::<()>(1);
    let broker = place.broker.clone();
    let holding = tokio::spawn(async move {
        broker
            .look(move |_| {
                started.send(()).unwrap();
                held.recv().unwrap();
            })
            .await
    });
    has_started.await.unwrap();
    let ben_goes = Command::Depart { session };
    let broker = place.broker.clone();
    let mut cut = pin!(broker.command(Actor::Party(Party::Rep(user)), ben_goes));
    let too_large = Command::Refusals {
        session,
        participant: ParticipantId(1),
        tool: Tool::Shell,
        count: 1,
        source: "x".repeat(equipoise::limits::TURN_BYTES_MAX),
    };
    let mut fails = pin!(broker.command(Actor::System, too_large));
    poll_fn(|context| {
        assert!(cut.as_mut().poll(context).is_pending() && fails.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    go_on.send(()).unwrap();
    holding.await.unwrap().unwrap();
    assert!(in_time(cut).await.is_err() && in_time(fails).await.is_err(), "neither was done");

    let closed = |ev| if let Ev::Closed { channel, .. } = ev { Some(channel) } else { None };
    assert_eq!(in_time(ben.until(closed)).await, channel, "its end is durable");
    let readers = place.broker.look(move |state| {
        let using = state.tools.session(session).unwrap();
        assert!(state.session(session).unwrap().participant_of(Party::Rep(user)).is_some(), "Ben did not leave");
        using.channels[&ChannelId(channel)].spec.readers.clone()
    });
    let relayed = place.broker.directory().channel(ChannelId(channel)).unwrap().channel.readers();
    assert_eq!(in_time(readers).await.unwrap(), relayed, "the engine and the relay are of one mind");
    assert_eq!(relayed.len(), 1);
    let mut writer = customer.client.writer(output(&to_customer));
    let mut reader = ana.client.reader(output(&to_ana));
    says(&mut writer, "on it goes").await;
    assert_eq!(hears(&mut reader).await, (0, "on it goes".into()));
    place.close().await;
}
