//! Channels across broken lines, a change of transport and a restart of the broker: no byte lost or doubled (W3).

use crate::{
    attack::in_time,
    place::{Line, Person, Place, a_session, open},
};
use bytes::Bytes;
use equipoise::{
    client::{Reader, Transport, Writer},
    limits::LEGS_OF_SESSION,
    wire::{
        Flags, Kind,
        control::{Ev, Value},
        frame::CloseReason,
    },
};

/// Bytes that tell where they stand.
fn document(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn write_all(mut writer: Writer, kind: Kind, bytes: Vec<u8>) -> Writer {
    for piece in bytes.chunks(50_000) {
        writer.write(kind, Flags::default(), Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.write(kind, Flags::FIN, Bytes::new()).await.unwrap();
    writer.finish().await.unwrap();
    writer
}

/// Reads to the end; each chunk must stand where the one before ended.
async fn read_all(mut reader: Reader, progress: impl Fn(usize)) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.read().await.unwrap() {
        assert_eq!(chunk.offset, bytes.len() as u64, "in order, nothing missing");
        bytes.extend_from_slice(&chunk.bytes);
        progress(bytes.len());
    }
    bytes
}

/// A download from the customer to Ana.
async fn download(ana: &mut Person, customer: &mut Person) -> (Reader, Writer) {
    let args = [("direction", Value::Text("download".into())), ("path", Value::Text("/srv/file".into()))];
    let (to_ana, to_customer) = open(ana, customer, "file_transfer", &args).await;
    (ana.client.reader(&to_ana.channels[0]), customer.client.writer(&to_customer.channels[0]))
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_5_a_file_passes_whole_and_in_order_over_websocket() {
    a_file_passes(Transport::Ws, Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_5_a_file_passes_whole_and_in_order_over_quic() {
    a_file_passes(Transport::Quic, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_5_a_file_passes_from_one_transport_to_the_other() {
    a_file_passes(Transport::Ws, Transport::Quic).await;
}

async fn a_file_passes(rep: Transport, customers: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (mut ana, mut customer) = a_session(place.target(rep), place.target(customers)).await;
    let (reader, writer) = download(&mut ana, &mut customer).await;
    let sent = document(3_000_000);
    let (_, got) =
        in_time(async { tokio::join!(write_all(writer, Kind::File, sent.clone()), read_all(reader, |_| {})) }).await;
    assert!(got == sent);
    ana.client.close().await;
    customer.client.close().await;
    place.close().await;
}

/// A stream that its writer kept open after the channel's end would never be given back.
#[tokio::test(flavor = "multi_thread")]
async fn w4_5_more_channels_come_and_go_than_a_connection_may_have_streams() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (mut ana, mut customer) = a_session(place.target(Transport::Quic), place.target(Transport::Quic)).await;
    for _ in 0..LEGS_OF_SESSION + 4 {
        let (mut reader, mut writer) = download(&mut ana, &mut customer).await;
        in_time(writer.write(Kind::File, Flags::default(), Bytes::from_static(b"begun"))).await.unwrap();
        assert!(in_time(reader.read()).await.unwrap().is_some());
        reader.cancel(CloseReason::Cancelled).await;
        let closed = |ev| matches!(ev, Ev::Closed { .. }).then_some(());
        in_time(ana.until(closed)).await;
        in_time(customer.until(closed)).await;
    }
    ana.client.close().await;
    customer.client.close().await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_a_file_survives_cut_lines_on_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (near, far) = (Line::to(place.address).await, Line::to(place.address).await);
    let (rep_at, customer_at) =
        (place.target_at(near.address, Transport::Ws), place.target_at(far.address, Transport::Ws));
    let (mut ana, mut customer) = a_session(rep_at, customer_at).await;
    let (reader, writer) = download(&mut ana, &mut customer).await;
    let sent = document(4_000_000);
    let (cut_at, cuts) = (std::cell::Cell::new(300_000), std::cell::Cell::new(0));
    let cutting = |got: usize| {
        if got >= cut_at.get() {
            cut_at.set(cut_at.get() + 700_000);
            match cuts.replace(cuts.get() + 1) % 3 {
                0 => near.cut(),
                1 => far.cut(),
                _ => {
                    near.cut();
                    far.cut();
                }
            }
        }
    };
    let writing = tokio::spawn(write_all(writer, Kind::File, sent.clone()));
    let got = in_time(read_all(reader, cutting)).await;
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    in_time(writing).await.unwrap();
    assert!(cuts.get() >= 5, "the lines were cut {} times", cuts.get());
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_3_a_file_survives_a_restart_of_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = Some(Place::open(folder.path()).await);
    let target = place.as_ref().unwrap().target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target).await;
    let (reader, writer) = download(&mut ana, &mut customer).await;
    let sent = document(3_000_000);
    let (reached, mut half) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(write_all(writer, Kind::File, sent.clone()));
    let reading = tokio::spawn(read_all(reader, move |got| {
        // Nobody waits for it any more.
        let _ = reached.send(got);
    }));
    half.wait_for(|got| *got > 1_000_000).await.unwrap();
    let old = place.take().unwrap();
    let address = old.address;
    old.close().await;
    let place = Place::open_at(folder.path(), address).await;
    let got = in_time(reading).await.unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    in_time(writing).await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_5_a_file_survives_changes_of_transport_on_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (mut ana, mut customer) = a_session(place.target(Transport::Ws), place.target(Transport::Quic)).await;
    let (reader, writer) = download(&mut ana, &mut customer).await;
    let sent = document(6_000_000);
    let (reached, mut got) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(write_all(writer, Kind::File, sent.clone()));
    let reading = tokio::spawn(read_all(reader, move |bytes| {
        // Nobody waits for it any more.
        let _ = reached.send(bytes);
    }));
    let hears = [ana.happenings, customer.happenings];
    for happenings in hears {
        happenings.ignore();
    }
    let steps = [
        (&ana.client, Transport::Quic),
        (&customer.client, Transport::Ws),
        (&ana.client, Transport::Ws),
        (&customer.client, Transport::Quic),
    ];
    for (at, (client, transport)) in (1..).zip(steps) {
        got.wait_for(|got| *got > at * 1_000_000).await.unwrap();
        in_time(client.switch(transport)).await.unwrap();
    }
    let got = in_time(reading).await.unwrap();
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    in_time(writing).await.unwrap();
    place.close().await;
}
