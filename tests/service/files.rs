//! Bytes in bulk: whole files both ways, a change of transport under way, and readers who do not read.

use crate::{
    people::{Person, text, with_agent, with_customer},
    place::Place,
    process::{DEADLINE, Process, assert_same, document},
};
use bytes::Bytes;
use equipoise::{
    client::{
        Transport::{Quic, Ws},
        file::Source,
    },
    wire::{
        Do, Ev, Flags, Kind,
        control::{ChannelView, Value},
    },
};
use tokio::time::timeout;

/// More than a broker may keep of what a reader does not take.
const KEPT: u64 = 24 * 1024 * 1024;

/// Of a file that is written before its reader has taken any of it.
const SMALL: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
async fn w1_8_files_of_64_mib_pass_both_ways_with_their_checksums() {
    let place = Place::open().await;
    std::fs::write(place.path("here"), document(64 << 20)).unwrap();
    for (agent_by, rep_by) in [(Quic, Ws), (Ws, Quic)] {
        let far = tempfile::tempdir().unwrap();
        let key = {
            let dora = Person::rep(&place, Ws, "dora").await;
            crate::place::key(&dora.client).await
        };
        let mut agent = place.agent(agent_by, &key, far.path());
        let there = far.path().join("there").display().to_string();
        let (here, back) = (place.path("here"), far.path().join("back"));
        let script = format!("accept; put {} {there}; get {there} {}; end", here.display(), back.display());
        let mut rep = place.rep(rep_by, "dora", &script);
        rep.done();
        agent.done();
        assert_same(&here, &back);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_5_a_file_passes_whole_while_its_ends_change_their_transport() {
    const SIZE: usize = 8_000_000;
    let place = Place::open().await;
    let (mut ana, mut customer, session) = with_customer(&place, Ws, Quic, "ana").await;
    let opened = {
        let args = [("direction", text("download")), ("path", text("/srv/file"))];
        let (opened, _) = tokio::join!(ana.opens(session, "file_transfer", &args), customer.takes_up(session));
        opened
    };
    let (mut reader, mut writer) =
        (ana.client.reader(&opened.channels[0]), customer.client.writer(&opened.channels[0]));
    let writing = tokio::spawn(async move {
        for piece in document(SIZE).chunks(50_000) {
            writer.write(Kind::File, Flags::default(), Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writer.write(Kind::File, Flags::FIN, Bytes::new()).await.unwrap();
        writer.finish().await.unwrap();
    });
    let mut got = Vec::new();
    let mut changes = [(&ana, Quic), (&customer, Ws), (&ana, Ws), (&customer, Quic), (&ana, Quic)].into_iter();
    let pieces = changes.len() + 1;
    while let Some(chunk) =
        timeout(DEADLINE, reader.read()).await.unwrap_or_else(|_| panic!("stopped at {}", got.len())).unwrap()
    {
        assert_eq!(chunk.offset, got.len() as u64, "each byte once, in order");
        got.extend_from_slice(&chunk.bytes);
        if got.len() * pieces / SIZE > 5 - changes.len()
            && let Some((who, to)) = changes.next()
        {
            who.client.switch(to).await.unwrap();
        }
    }
    writing.await.unwrap();
    assert!(changes.next().is_none(), "all changes happened in mid-transfer");
    assert!(got == document(SIZE));
}

/// A process at one end of a file; what the other end notes comes to the broker while it is away.
struct Away<'a> {
    process: &'a Process,
    other: &'a mut Person,
    session: u64,
}

impl Away<'_> {
    /// Writes the file, and says what it is while its reader is away.
    async fn writes(&mut self, place: &mut Place, channel: &ChannelView) {
        let here = place.path("here");
        let mut writer = self.other.client.writer(channel);
        writer.write(Kind::File, Flags::FIN, std::fs::read(&here).unwrap().into()).await.unwrap();
        let mut source = Source::open(&here).unwrap();
        while !source.read().unwrap().is_empty() {}
        self.is_noted(place, channel, ("sha256", text(&source.sha256()))).await;
        self.hears_noted(channel, "stored").await;
        writer.finish().await.unwrap();
    }

    /// Reads the file, and says that it is stored while its writer is away.
    async fn reads(&mut self, place: &mut Place, channel: &ChannelView) {
        let mut reader = self.other.client.reader(channel);
        self.hears_noted(channel, "sha256").await;
        self.is_noted(place, channel, ("stored", Value::Bool(true))).await;
        while reader.read().await.unwrap().is_some() {}
    }

    async fn is_noted(&mut self, place: &mut Place, channel: &ChannelView, (name, value): (&str, Value)) {
        self.process.signal("STOP");
        place.kill();
        place.start_again();
        let facts = [(name.to_owned(), value)].into();
        self.other.client.act(Do::Note { session: self.session, channel: channel.channel, facts }).await.unwrap();
        self.process.signal("CONT");
    }

    async fn hears_noted(&mut self, channel: &ChannelView, name: &str) {
        let noted = |ev: &Ev| match ev {
            Ev::Noted { channel: of, facts, .. } if *of == channel.channel => facts.contains_key(name).then_some(()),
            _ => None,
        };
        self.other.told(name, noted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_8_w3_3_an_agent_knows_what_was_noted_while_it_was_away() {
    let (mut place, far) = (Place::open().await, tempfile::tempdir().unwrap());
    std::fs::write(place.path("here"), document(SMALL)).unwrap();
    let there = far.path().join("there");
    let path = ("path", text(there.to_str().unwrap()));
    let (mut ana, agent, session) = with_agent(&place, Ws, Ws, "ana", far.path()).await;
    let args = [("direction", text("upload")), path.clone(), ("size", Value::Int(SMALL as i64))];
    let up = ana.opens(session, "file_transfer", &args).await;
    let mut away = Away { process: &agent, other: &mut ana, session };
    away.writes(&mut place, &up.channels[0]).await;
    assert_same(&place.path("here"), &there);
    let down = away.other.opens(session, "file_transfer", &[("direction", text("download")), path]).await;
    away.reads(&mut place, &down.channels[0]).await;
    agent.out.has("bytes was sent, SHA-256");
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_8_w3_3_a_console_knows_what_was_noted_while_it_was_away() {
    let mut place = Place::open().await;
    let (here, back) = (place.path("here"), place.path("back"));
    std::fs::write(&here, document(SMALL)).unwrap();
    let script = format!("accept; put {} /srv/there; get /srv/there {}; end", here.display(), back.display());
    let key = {
        let dora = Person::rep(&place, Ws, "dora").await;
        crate::place::key(&dora.client).await
    };
    let mut customer = Person::customer(&place, Ws, key).await;
    let mut rep = place.rep(Ws, "dora", &script);
    let served = |ev: &Ev| if let Ev::Serving { session, .. } = ev { Some(*session) } else { None };
    let session = customer.told("who serves", served).await;
    let up = customer.takes_up(session).await;
    let mut away = Away { process: &rep, other: &mut customer, session };
    away.reads(&mut place, &up.channels[0]).await;
    let down = away.other.takes_up_with(session, &[("size", Value::Int(SMALL as i64))]).await;
    away.writes(&mut place, &down.channels[0]).await;
    rep.done();
    assert_same(&here, &back);
}

/// Dora comes into Ana's session.
async fn joins(place: &Place, ana: &Person, session: u64) -> Person {
    let mut dora = Person::rep(place, Ws, "dora").await;
    ana.client.act(Do::Share { session, to: "rep:dora".into() }).await.unwrap();
    dora.told("an invitation", |ev| matches!(ev, Ev::Invited { .. }).then_some(())).await;
    dora.client.act(Do::Join { session }).await.unwrap();
    dora
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_7_a_rep_who_reads_nothing_does_not_stop_a_shell_for_the_other() {
    const SIZE: usize = 32 << 20;
    let place = Place::open().await;
    let (mut ana, mut customer, session) = with_customer(&place, Ws, Ws, "ana").await;
    let mut dora = joins(&place, &ana, session).await;
    let (opened, _) = tokio::join!(ana.opens(session, "shell", &[]), customer.takes_up(session));
    let out = opened.channels.iter().find(|channel| channel.writer == 0).unwrap();
    let hers = dora.told("the shell", |ev| if let Ev::Opened(opened) = ev { Some(opened.clone()) } else { None }).await;
    let hers = hers.channels.iter().find(|channel| channel.channel == out.channel).unwrap();
    let _never_read = dora.client.reader(hers);
    let (mut reader, mut writer) = (ana.client.reader(out), customer.client.writer(out));
    let before = place.broker.memory();
    let writing = tokio::spawn(async move {
        for piece in document(SIZE).chunks(64_000) {
            writer.write(Kind::ShellOutput, Flags::default(), Bytes::copy_from_slice(piece)).await.unwrap();
        }
        writer
    });
    let (mut got, mut most) = (Vec::new(), 0);
    while got.len() < SIZE {
        let chunk = timeout(DEADLINE, reader.read()).await.expect("goes on").unwrap().unwrap();
        assert_eq!(chunk.offset, got.len() as u64);
        got.extend_from_slice(&chunk.bytes);
        if got.len() % (1 << 20) < chunk.bytes.len() {
            most = most.max(place.broker.memory());
        }
    }
    drop(writing.await.unwrap());
    assert!(got == document(SIZE));
    assert!(most < before + KEPT, "the broker grew from {before} to {most} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_7_pictures_go_at_the_pace_of_the_fastest_beside_a_rep_who_reads_none() {
    const PICTURES: usize = 400;
    let place = Place::open().await;
    let (mut ana, mut customer, session) = with_customer(&place, Quic, Ws, "ana").await;
    let mut dora = joins(&place, &ana, session).await;
    let (opened, _) = tokio::join!(ana.opens(session, "screen", &[]), customer.takes_up(session));
    let screen = opened.channels.iter().find(|channel| channel.writer == 0).unwrap();
    let hers =
        dora.told("the screen", |ev| if let Ev::Opened(opened) = ev { Some(opened.clone()) } else { None }).await;
    let hers = hers.channels.iter().find(|channel| channel.channel == screen.channel).unwrap();
    let _never_read = dora.client.reader(hers);
    let (mut reader, mut writer) = (ana.client.reader(screen), customer.client.writer(screen));
    let before = place.broker.memory();
    let writing = tokio::spawn(async move {
        let picture = Bytes::from(document(80_000));
        for _ in 0..PICTURES {
            let flags = Flags::START.with(Flags::END).with(Flags::KEY);
            writer.write(Kind::Picture, flags, picture.clone()).await.unwrap();
        }
        writer
    });
    let mut whole = 0;
    while whole < PICTURES {
        let chunk = timeout(DEADLINE, reader.read()).await;
        let chunk = chunk.unwrap_or_else(|_| panic!("stopped at {whole}")).unwrap().unwrap();
        whole += usize::from(chunk.flags.has(Flags::END));
    }
    drop(writing.await.unwrap());
    let after = place.broker.memory();
    assert!(after < before + KEPT, "the broker grew from {before} to {after} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_goes_on_while_a_rep_changes_transport() {
    let place = Place::open().await;
    let (mut ana, _agent, session) = with_agent(&place, Ws, Quic, "ana", place.folder.path()).await;
    let mut shell = crate::people::Shell::open(&mut ana, session).await;
    shell.types("kept=here; echo $((40 + 2))").await;
    shell.shows("42").await;
    for (at, to) in [Quic, Ws, Quic].into_iter().enumerate() {
        ana.client.switch(to).await.unwrap();
        shell.types(&format!("echo $kept-$(({at} + 100))")).await;
        shell.shows(&format!("here-{}", at + 100)).await;
    }
}
