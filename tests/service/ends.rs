//! How a broker ends: told by a signal it sees everybody off; a second one, or a second broker, is answered at once.

use crate::{
    people::{Person, with_agent, with_customer},
    place::Place,
    process::Process,
};
use equipoise::{
    client::{
        Happening,
        Transport::{Quic, Ws},
    },
    wire::Do,
};

#[tokio::test(flavor = "multi_thread")]
async fn h_103_a_second_broker_on_the_same_folder_refuses_to_start() {
    let place = Place::open().await;
    let mut second = Process::start(&["serve", "--listen", "127.0.0.1:0", "--data", place.data.to_str().unwrap()]);
    assert_eq!(second.ended().code(), Some(1));
    second.err.has("in use by another broker");
    // The first one takes no notice.
    Person::rep(&place, Ws, "ana").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_104_sigterm_tells_everybody_when_to_come_back_and_ends_well() {
    let mut place = Place::open().await;
    let (mut ana, mut customer, session) = with_customer(&place, Ws, Quic, "ana").await;
    place.broker.signal("TERM");
    place.broker.done();
    for person in [&mut ana, &mut customer] {
        person.hears("a loss", |happening| matches!(happening, Happening::Lost { .. }).then_some(())).await;
    }
    place.start_again();
    ana.connected_again().await;
    customer.connected_again().await;
    let still_hers = |view: &crate::people::Sessions| {
        let owner = view.get(&session).and_then(|session| session.owner.clone());
        (owner.as_deref() != Some("ana")).then(|| format!("s{session} is {owner:?}'s"))
    };
    ana.views(still_hers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_4_an_agent_that_was_away_when_its_session_ended_ends_well() {
    let mut place = Place::open().await;
    let (ana, mut agent, session) = with_agent(&place, Ws, Ws, "ana", place.folder.path()).await;
    agent.signal("STOP");
    place.kill();
    place.start_again();
    ana.client.act(Do::End { session }).await.unwrap();
    agent.signal("CONT");
    agent.done();
    agent.out.has("The session ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn h_104_a_peer_that_is_stuck_does_not_hold_up_the_end_and_a_second_signal_waits_for_nobody() {
    for signals in [1, 2] {
        let mut place = Place::open().await;
        let (_ana, agent, _) = with_agent(&place, Ws, Ws, "ana", place.folder.path()).await;
        agent.signal("STOP");
        place.broker.signal("TERM");
        place.broker.err.field("draining", "level");
        if signals == 1 {
            place.broker.done();
        } else {
            place.broker.signal("TERM");
            assert_eq!(place.broker.ended().code(), Some(1));
            place.broker.err.has("ended by a second signal");
        }
    }
}
