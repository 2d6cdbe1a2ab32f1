//! The customer takes a right back while bytes flow: the answer names where each channel ends, and no byte past it
//! arrives.

use crate::{
    people::{text, with_customer},
    place::Place,
    process::{DEADLINE, document},
};
use bytes::Bytes;
use equipoise::{
    client::Transport::{self, Quic, Ws},
    wire::{Do, Flags, Kind, control::Done, frame::CloseReason},
};
use tokio::time::timeout;

async fn taken_back(rep_by: Transport, customer_by: Transport) {
    let place = Place::open().await;
    let (mut ana, mut customer, session) = with_customer(&place, rep_by, customer_by, "ana").await;
    for round in 0..5 {
        let args = [("direction", text("download")), ("path", text("/srv/file"))];
        let (opened, _) = tokio::join!(ana.opens(session, "file_transfer", &args), customer.takes_up(session));
        let channel = &opened.channels[0];
        let (mut reader, mut writer) = (ana.client.reader(channel), customer.client.writer(channel));
        let writing = tokio::spawn(async move {
            let piece = Bytes::from(document(40_000));
            while writer.write(Kind::File, Flags::default(), piece.clone()).await.is_ok() {}
        });
        let mut got = 0;
        while got < 300_000 + round * 100_000 {
            got += timeout(DEADLINE, reader.read()).await.unwrap().unwrap().unwrap().bytes.len() as u64;
        }
        let taking = tokio::spawn({
            let client = customer.client.clone();
            async move { client.act(Do::TakeBack { session, tool: Some("file_transfer".into()) }).await.unwrap() }
        });
        let end = loop {
            match timeout(DEADLINE, reader.read()).await.unwrap() {
                Ok(chunk) => got += chunk.expect("it does not end well").bytes.len() as u64,
                Err(end) => break end,
            }
        };
        let Done::Revoked { finals, .. } = taking.await.unwrap() else { panic!("it is taken back") };
        assert_eq!(end.reason, CloseReason::Revoked);
        let last = finals.iter().find(|leg| leg.channel == channel.channel).expect("the leg is named").offset;
        assert_eq!(end.at, last, "both ends are told the same");
        assert!(got <= last, "{got} bytes came, the last was to be {last}");
        if rep_by == Ws {
            assert_eq!(got, last, "and on one stream all before it");
        }
        writing.await.unwrap();
        // Whatever was under way has come by the time a question is answered.
        ana.client.act(Do::Explain { session, past: false, offer: None }).await.unwrap();
        assert!(timeout(DEADLINE, reader.read()).await.unwrap().is_err(), "nothing comes any more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i_p3_what_is_taken_back_in_mid_transfer_ends_at_the_named_offset_over_websocket() {
    taken_back(Ws, Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_p3_what_is_taken_back_in_mid_transfer_ends_at_the_named_offset_over_quic() {
    taken_back(Quic, Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_p3_what_is_taken_back_in_mid_transfer_ends_at_the_named_offset_over_both() {
    taken_back(Ws, Quic).await;
}
