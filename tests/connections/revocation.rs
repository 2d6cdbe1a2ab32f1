//! The revocation race (B-28): a rep sends and a slow customer reads, and somewhere between the customer or an
//! administrator takes the right away. Not one byte beyond the final offsets that the acknowledgement named.

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, a_session, hello},
    random::Random,
};
use bytes::Bytes;
use equipoise::{
    client::{Client, Transport},
    engine::Actor,
    wire::{
        Credential, Do, Done, Ev, Flags, Kind,
        control::{FinalOffset, Open, Opened, Role, Value},
        frame::CloseReason,
    },
};
use std::collections::BTreeMap;

/// Trials for each pair of transports; more by hand: `EQUIPOISE_TRIALS=2500`.
const TRIALS: u64 = 50;

struct Trial {
    place: Place,
    ana: Person,
    customer: Person,
    root: Client,
    dice: Random,
}

impl Trial {
    async fn open(data: &std::path::Path, rep: Transport, customers: Transport) -> Self {
        let place = Place::open(data).await;
        let (ana, customer) = a_session(place.target(rep), place.target(customers)).await;
        place.broker.set_password(Actor::System, "root", PASSWORD.to_owned()).await.unwrap();
        let token = place.broker.token_for("root").await.unwrap();
        let as_root = hello(Role::Admin, Credential::Token(token));
        let (root, hears) = Client::connect(place.target(Transport::Ws), as_root).await.unwrap();
        hears.ignore();
        Self { place, ana, customer, root, dice: Random(28) }
    }

    /// An upload: the customer is asked again where it took the tool back before.
    async fn upload(&mut self) -> (Opened, Opened) {
        let session = self.ana.session;
        let args = [("direction", "upload"), ("path", "/srv/file")];
        let args: BTreeMap<String, Value> =
            args.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned()))).collect();
        let asked = Do::Open(Open { session, tool: "file_transfer".into(), args });
        let Done::Opening { open, prompt } = in_time(self.ana.client.act(asked)).await.unwrap() else {
            panic!("it is opening")
        };
        if let Some(prompt) = prompt {
            in_time(self.customer.client.act(Do::Answer { session, prompt, allow: true })).await.unwrap();
        }
        let requested = |ev| matches!(ev, Ev::Requested { open: asked, .. } if asked == open).then_some(());
        self.customer.until(requested).await;
        in_time(self.customer.client.act(Do::AcceptOpen { session, open, facts: BTreeMap::new() })).await.unwrap();
        let opened = |ev| match ev {
            Ev::Opened(opened) if opened.open == open => Some(opened),
            _ => None,
        };
        (self.ana.until(opened).await, self.customer.until(opened).await)
    }

    /// By the customer or by an edit of the site, which is then undone.
    async fn revoke(&mut self) -> Vec<FinalOffset> {
        let session = self.customer.session;
        if self.dice.once_in(2) {
            let back = Do::TakeBack { session, tool: Some("file_transfer".into()) };
            let Done::Revoked { finals, .. } = in_time(self.customer.client.act(back)).await.unwrap() else {
                panic!("it is taken back")
            };
            return finals;
        }
        let without = SITE.replace("file_transfer = \"both\"", "file_transfer = \"none\"");
        let mut named = Vec::new();
        for text in [without, SITE.to_owned()] {
            let edit = Do::ApplySite { text, more: false, version: None };
            let Done::Applied { finals, .. } = in_time(self.root.act(edit)).await.unwrap() else {
                panic!("it is applied")
            };
            named.extend(finals);
        }
        named
    }

    async fn once(&mut self) -> (u64, u64) {
        let (to_ana, to_customer) = self.upload().await;
        let channel = to_ana.channels[0].channel;
        let mut writer = self.ana.client.writer(&to_ana.channels[0]);
        let mut reader = self.customer.client.reader(&to_customer.channels[0]);
        let piece = Bytes::from(vec![7; 1 + self.dice.below(20_000)]);
        let writing = tokio::spawn(async move {
            while writer.write(Kind::File, Flags::default(), piece.clone()).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let mut got = 0;
        let enough = self.dice.below(400_000) as u64;
        while got < enough {
            got += in_time(reader.read()).await.unwrap().unwrap().bytes.len() as u64;
        }
        // From here on it reads nothing until the right is gone: what waits for it has to be purged.
        let finals = self.revoke().await;
        let last = finals.iter().find(|last| last.channel == channel).expect("the leg is named").offset;
        let end = loop {
            match in_time(reader.read()).await {
                Ok(chunk) => got += chunk.expect("it does not end well").bytes.len() as u64,
                Err(end) => break end,
            }
        };
        assert_eq!((end.reason, end.at), (CloseReason::Revoked, last), "the reader is told the same");
        assert!(got <= last, "{got} bytes came, {last} were final");
        in_time(writing).await.unwrap();
        (got, last)
    }
}

async fn race(rep: Transport, customers: Transport) {
    let trials = std::env::var("EQUIPOISE_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(TRIALS);
    let folder = tempfile::tempdir().unwrap();
    let mut trial = Trial::open(folder.path(), rep, customers).await;
    let mut passed = 0;
    for _ in 0..trials {
        let (got, _) = trial.once().await;
        passed += got;
    }
    assert!(passed > 0, "bytes passed before they were stopped");
    println!("{trials} trials, {passed} bytes passed, none beyond a final offset");
    let Trial { place, ana, customer, root, .. } = trial;
    root.close().await;
    ana.client.close().await;
    customer.client.close().await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b_28_i_p3_no_byte_passes_a_revocation_over_websocket() {
    race(Transport::Ws, Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b_28_i_p3_no_byte_passes_a_revocation_over_quic() {
    race(Transport::Quic, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b_28_i_p3_no_byte_passes_a_revocation_from_websocket_to_quic() {
    race(Transport::Ws, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b_28_i_p3_no_byte_passes_a_revocation_from_quic_to_websocket() {
    race(Transport::Quic, Transport::Ws).await;
}
