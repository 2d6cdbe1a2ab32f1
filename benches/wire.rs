//! Control messages and frame headers, without a socket.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use equipoise::{
    ids::ChannelId,
    wire::{
        Do, Flags, Frame, FromClient, Header, Kind,
        control::{Open, Value},
    },
};
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

criterion_group!(benches, control, frames);
criterion_main!(benches);
