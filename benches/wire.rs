//! Control messages and frame headers, without a socket.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use equipoise::{
    ids::ChannelId,
    wire::{
        Do, Flags, Frame, FromClient, Header, Kind,
        control::{Open, Value},
    },
};
use sha2::{Digest, Sha256};
use std::hint::black_box;

fn control(c: &mut Criterion) {
    let accept = FromClient::Request { id: 3, act: Do::Accept { session: 9 }.into() };
    let args = [("direction", "upload"), ("path", "/home/ana/report.pdf")];
    let args = args.map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned()))).into();
    let open = Open { session: 9, tool: "file_transfer".into(), args };
    let open = FromClient::Request { id: 4, act: Do::Open(open).into() };
    for (name, message) in [("accept", accept), ("open", open)] {
        let bytes = message.encode();
        c.bench_function(&format!("wire/decode {name}"), |b| b.iter(|| FromClient::decode(black_box(&bytes))));
        c.bench_function(&format!("wire/encode {name}"), |b| b.iter(|| black_box(&message).encode()));
    }
}

/// What no change of ours touches: by how much it differs from one run to another, the machine does.
fn floor(c: &mut Criterion) {
    let bytes = vec![7; 16 * 1024];
    c.bench_function("floor/SHA-256 of 16 KiB", |b| b.iter(|| Sha256::digest(black_box(&bytes))));
}

fn frames(c: &mut Criterion) {
    let header = Header { kind: Kind::File, flags: Flags::default(), channel: ChannelId(7), offset: 1 << 40 };
    let bytes = Frame { header, payload: vec![0; 16 * 1024].into() }.encode();
    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Elements(1));
    group.bench_function("frame header, both ways", |b| {
        b.iter(|| Header::decode(black_box(&bytes), 16 * 1024).map(|header| header.encode()))
    });
    group.finish();
}

criterion_group!(benches, floor, control, frames);
criterion_main!(benches);
