//! A jump session and the endpoint that stands by, each after the broker died (R2.3, W3.4, W5.2).

use crate::{
    people::{Person, Shell},
    place::Place,
};
use equipoise::{
    client::Transport::{self, Quic, Ws},
    wire::{Do, Done, Ev},
};

async fn jump(ana: &mut Person) -> u64 {
    let done = ana.client.act(Do::Jump { item: "srv".into() }).await.unwrap();
    let Done::Session(session) = done else { panic!("a session: {done:?}") };
    let session = session.session;
    ana.told("its endpoint", |ev| match ev {
        Ev::Session(seen) if seen.session == session => {
            seen.participants.iter().any(|one| one.attached && one.participant == 0).then_some(())
        }
        _ => None,
    })
    .await;
    session
}

async fn goes_on_after_kill_9(endpoint: Transport) {
    let mut place = Place::open().await;
    let agent = place.jump_client(endpoint, &place.item_key().await, place.folder.path());
    let mut ana = Person::rep(&place, Ws, "ana").await;
    let session = jump(&mut ana).await;
    let mut shell = Shell::open(&mut ana, session).await;
    shell.types("kept=$((40+2)); echo $kept-before").await;
    shell.shows("42-before").await;
    for life in ["second", "third"] {
        place.kill();
        place.start_again();
        // The very same shell, through the very same session.
        shell.types(&format!("echo $kept-{life}")).await;
        shell.shows(&format!("42-{life}")).await;
    }
    ana.client.act(Do::End { session }).await.unwrap();
    agent.out.has("Standing by.");

    // Stands by again, also after a broker that died while nothing ran.
    place.kill();
    place.start_again();
    let mut lines = 0;
    agent.out.until("that it stands by again", |line| {
        lines += u32::from(line == "Standing by.");
        (lines == 2).then_some(())
    });
    let next = jump(&mut ana).await;
    assert!(next > session);
    let mut shell = Shell::open(&mut ana, next).await;
    shell.types("echo $((40+3))-new-$kept").await;
    shell.shows("43-new-").await;
    ana.client.act(Do::End { session: next }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_3_w3_4_a_jump_session_goes_on_after_kill_9_with_both_ends_over_websocket() {
    goes_on_after_kill_9(Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_3_w3_4_a_jump_session_goes_on_after_kill_9_with_both_ends_over_quic() {
    goes_on_after_kill_9(Quic).await;
}
