//! A line that loses packets: small frames leave twice, and what is read is what was written (W4.5, F20).

use crate::{
    attack::in_time,
    place::{Person, Place, a_session, open},
    random::Random,
};
use bytes::Bytes;
use equipoise::{
    client::{Reader, Transport, Writer},
    ops,
    wire::{Flags, Kind, control::Value},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::UdpSocket, task::JoinSet};

/// Packets lost each way, of a hundred.
const LOST: usize = 8;

/// A line to a broker, for one client, that loses what its dice say.
struct LossyLine {
    address: SocketAddr,
    _ways: JoinSet<()>,
}

impl LossyLine {
    async fn to(broker: SocketAddr) -> Self {
        let near = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let far = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        far.connect(broker).await.unwrap();
        let address = near.local_addr().unwrap();
        let mut ways = JoinSet::new();
        let (near_too, far_too) = (near.clone(), far.clone());
        let (tell, mut told) = tokio::sync::watch::channel(None);
        ways.spawn(async move {
            let (mut dice, mut packet) = (Random(20), vec![0; 2048]);
            while let Ok((read, from)) = near.recv_from(&mut packet).await {
                tell.send_replace(Some(from));
                if dice.below(100) >= LOST {
                    let _ = far.send(&packet[..read]).await;
                }
            }
        });
        ways.spawn(async move {
            let (mut dice, mut packet) = (Random(40), vec![0; 2048]);
            let client = told.wait_for(Option::is_some).await.unwrap().unwrap();
            while let Ok(read) = far_too.recv(&mut packet).await {
                if dice.below(100) >= LOST {
                    let _ = near_too.send_to(&packet[..read], client).await;
                }
            }
        });
        Self { address, _ways: ways }
    }
}

/// How often something was counted in this process.
fn counted(what: &str) -> u64 {
    let text = ops::metrics::recorder().render();
    let series = format!("equipoise_copies_total{{what=\"{what}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
}

/// Small messages, until copies of some have left and there were enough of them.
async fn messages(mut writer: Writer) -> Vec<u8> {
    let (mut dice, mut written, before) = (Random(60), Vec::new(), counted("sent"));
    for n in 0.. {
        if n >= 1_000 && counted("sent") > before {
            break;
        }
        let piece = vec![n as u8; 1 + dice.below(900)];
        written.extend_from_slice(&piece);
        writer.write(Kind::File, Flags::default(), Bytes::from(piece)).await.unwrap();
        // A file among them now and then.
        if n % 300 == 299 {
            let piece = vec![n as u8; 40_000];
            written.extend_from_slice(&piece);
            writer.write(Kind::File, Flags::default(), Bytes::from(piece)).await.unwrap();
        }
    }
    writer.write(Kind::File, Flags::FIN, Bytes::new()).await.unwrap();
    writer.finish().await.unwrap();
    written
}

async fn read_all(mut reader: Reader) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.read().await.unwrap() {
        assert_eq!(chunk.offset, bytes.len() as u64, "in order, nothing missing");
        bytes.extend_from_slice(&chunk.bytes);
    }
    bytes
}

async fn a_file(ana: &mut Person, customer: &mut Person, direction: &str) -> (Reader, Writer) {
    let args = [("direction", Value::Text(direction.into())), ("path", Value::Text("/srv/file".into()))];
    let (to_ana, to_customer) = open(ana, customer, "file_transfer", &args).await;
    let (to_ana, to_customer) = (&to_ana.channels[0], &to_customer.channels[0]);
    if direction == "download" {
        (ana.client.reader(to_ana), customer.client.writer(to_customer))
    } else {
        (customer.client.reader(to_customer), ana.client.writer(to_ana))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_5_f20_on_a_line_that_loses_both_ends_copy_small_frames_and_read_each_byte_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let line = LossyLine::to(place.address).await;
    ops::metrics::recorder();
    let lossy = place.target_at(line.address, Transport::Quic);
    let (mut ana, mut customer) = a_session(place.target(Transport::Quic), lossy).await;
    for direction in ["download", "upload"] {
        let (reader, writer) = a_file(&mut ana, &mut customer, direction).await;
        let (sent, got) = in_time(async { tokio::join!(messages(writer), read_all(reader)) }).await;
        assert!(sent == got, "{direction}: {} of {} bytes", got.len(), sent.len());
    }
    ana.client.close().await;
    customer.client.close().await;
    place.close().await;
}
