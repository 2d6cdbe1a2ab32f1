//! P6.2 over real sockets: what changes while people are in a session reaches them, and their open channels, at once.

use crate::place::{Place, a_session};
use equipoise::{
    client::Transport,
    wire::{Ev, control::Value},
};

#[tokio::test]
async fn p3_31_p3_30_the_endpoint_is_told_the_flags_that_only_it_can_honour() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (ana, mut customer) = a_session(place.target(Transport::Ws), place.target(Transport::Quic)).await;
    let told = |ev| match ev {
        Ev::Permissions { tools, options, .. } => Some((tools, options)),
        _ => None,
    };
    let (tools, options) = customer.until(told).await;
    assert!(tools.is_empty(), "what a rep may do is for reps");
    assert_eq!(options["mask_selectors"], Value::List(vec![".card".to_owned()]));
    assert_eq!(options["termination"], Value::Text("lock".to_owned()));
    assert!(!options.contains_key("transfer_to"), "nothing beyond what the endpoint needs");
    ana.client.close().await;
    customer.client.close().await;
    place.close().await;
}
