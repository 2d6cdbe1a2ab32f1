//! Who goes on sending when the right is gone (H-74, P6.3): from either end and over both transports it is answered at most
//! once a second, put on record once a second, and cut off when it does not stop. Nothing of it arrives.

use crate::{
    attack::{Ground, Raw, frame, in_time},
    place::hello,
    quic::{Attacker, prefixed},
};
use bytes::Bytes;
use equipoise::{
    client::{Client, Reader, Transport},
    engine::{Actor, Command, Event},
    framing::{self, websocket::Item},
    ids::ChannelId,
    limits,
    policy::Tool,
    site::raw::RawSite,
    wire::{
        Credential, Do, Ev, Flags, Frame, FromBroker, FromClient, Header, Hello, Kind,
        control::{ChannelView, Open, Opened, Role},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// A client that does not care what it was told.
enum Hostile {
    /// And the code that it ended with.
    Ws(Box<Raw>, u16),
    Quic(Box<Attacker>, VecDeque<Bytes>),
}

impl Hostile {
    async fn enter(ground: &Ground, transport: Transport, hello: Hello) -> Self {
        match transport {
            Transport::Ws => {
                let mut raw = ground.socket().await;
                raw.enter(hello).await.expect("a good hello is welcomed");
                Self::Ws(Box::new(raw), 0)
            }
            Transport::Quic => {
                let mut attacker = Attacker::connect(ground.quic, framing::ALPN).await.unwrap();
                attacker.hello(hello).await;
                Self::Quic(Box::new(attacker), VecDeque::new())
            }
        }
    }

    async fn request(&mut self, id: u64, act: Do) {
        let message = FromClient::Request { id, act: Box::new(act) }.encode();
        match self {
            Self::Ws(raw, _) => raw.message(&message).await,
            Self::Quic(attacker, _) => attacker.say(&message).await,
        }
    }

    /// The next message, control and steering alike; none where the connection ended.
    async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Ws(raw, code) => loop {
                match raw.next().await? {
                    Item::Message(message) => return Some(message),
                    Item::Close(close) => {
                        *code = close.map_or(1005, |(code, _)| code);
                        return None;
                    }
                    _ => {}
                }
            },
            Self::Quic(attacker, waiting) => loop {
                if let Some(message) = waiting.pop_front() {
                    return Some(message);
                }
                let (_, receive, splitter) = attacker.control.as_mut().expect("a control stream");
                let mut piece = [0; 16 * 1024];
                let read = in_time(receive.read(&mut piece)).await.ok()??;
                waiting.extend(splitter.feed_all(&piece[..read]).expect("the broker frames well"));
            },
        }
    }

    async fn opened(&mut self) -> Opened {
        loop {
            let message = self.next().await.expect("the connection goes on");
            if let Ok(FromBroker::Push { ev: Some(ev), .. }) = FromBroker::decode(&message)
                && let Ev::Opened(opened) = *ev
            {
                return opened;
            }
        }
    }

    /// One frame while it may.
    async fn write(&mut self, kind: Kind, channel: u32) {
        let bytes = encoded(kind, channel, 0);
        match self {
            Self::Ws(raw, _) => raw.message(&bytes).await,
            Self::Quic(attacker, _) => {
                let mut stream = in_time(attacker.connection.open_uni()).await.unwrap();
                stream.write_all(&prefixed(&bytes)).await.unwrap();
            }
        }
    }

    /// Reads to the channel's end, as everybody is told of it.
    async fn is_told(&mut self, channel: u32) {
        while !closes(&self.next().await.expect("the connection goes on"), channel) {}
    }

    /// Sends until it is cut off. Gives how often it was told again that the channel is over, and the code of the end.
    async fn flood(mut self, kind: Kind, channel: u32) -> (u32, u64) {
        let bytes = encoded(kind, channel, PAYLOAD.len() as u64);
        let count = limits::DROPPED_FRAMES_BURST as usize + 500;
        match &mut self {
            Self::Ws(raw, _) => raw.send(&frame(0x82, &bytes).repeat(count)).await,
            // A stream may be stopped: there is always another.
            Self::Quic(attacker, _) => {
                let flood = prefixed(&bytes).repeat(count);
                while let Ok(mut stream) = in_time(attacker.connection.open_uni()).await {
                    let _ = stream.write_all(&flood).await;
                }
            }
        }
        let mut told = 0;
        while let Some(message) = self.next().await {
            told += u32::from(closes(&message, channel));
        }
        let code = match &mut self {
            Self::Ws(_, code) => u64::from(*code),
            Self::Quic(attacker, _) => attacker.ends().await,
        };
        (told, code)
    }
}

const PAYLOAD: &[u8] = b"rm -r / ";

fn encoded(kind: Kind, channel: u32, offset: u64) -> Bytes {
    let header = Header { kind, flags: Flags::default(), channel: ChannelId(channel), offset };
    Frame { header, payload: Bytes::from_static(PAYLOAD) }.encode()
}

fn closes(message: &Bytes, channel: u32) -> bool {
    let close = Frame::decode(message.clone()).ok().filter(|frame| frame.header.kind == Kind::Close);
    close.is_some_and(|close| close.header.channel == ChannelId(channel))
}

/// What it wrote while it might has come.
async fn came(client: &Client, channel: &ChannelView) -> Reader {
    let mut reader = client.reader(channel);
    let chunk = in_time(reader.read()).await.unwrap().expect("the channel is open");
    assert_eq!(chunk.bytes, PAYLOAD);
    reader
}

/// The channel that the hostile end writes.
fn written_by(opened: &Opened, participant: u16) -> ChannelView {
    opened.channels.iter().find(|channel| channel.writer == participant).cloned().expect("it writes one of them")
}

async fn on_record(ground: &mut Ground, session: u64) -> (u16, Tool, String) {
    ground
        .recorded(|event| match event {
            Event::Refused { session: of, participant, tool, source, .. } if of.0 == session => {
                Some((participant.0, tool, source))
            }
            _ => None,
        })
        .await
}

/// A session in which the right to a shell is taken from a hostile customer that writes one.
async fn taken_away(ground: &mut Ground, transport: Transport) -> (Hostile, u64, ChannelView) {
    let hello = ground.customers_hello().await;
    let mut mal = Hostile::enter(ground, transport, hello).await;
    let waits = |ev| match ev {
        Ev::Offer { session, .. } => Some(session),
        Ev::Session(view) if view.owner.is_none() => Some(view.session),
        _ => None,
    };
    let session = ground.ana.until(waits).await;
    if ground.ana.client.act(Do::Accept { session }).await.is_err() {
        ground.ana.client.act(Do::Take { session }).await.unwrap();
    }
    let open = Do::Open(Open { session, tool: "shell".into(), args: BTreeMap::new() });
    in_time(ground.ana.client.act(open)).await.unwrap();
    mal.request(1, Do::AcceptOpen { session, open: 1, facts: BTreeMap::new() }).await;
    let opened = mal.opened().await;
    let channel = written_by(&opened, 0);
    mal.write(Kind::ShellOutput, channel.channel).await;
    let _reader = came(&ground.ana.client, &channel).await;
    let site = crate::place::SITE.replace("shell = \"yes\"", "shell = \"no\"");
    let edit = Command::ApplySite(RawSite::parse(&site).unwrap().into());
    ground.place.broker.command(Actor::System, edit).await.unwrap();
    mal.is_told(channel.channel).await;
    (mal, session, channel)
}

async fn a_customer_whose_shell_was_taken_away(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let (mal, session, channel) = taken_away(&mut ground, transport).await;
    let began = Instant::now();
    let (told, code) = mal.flood(Kind::ShellOutput, channel.channel).await;
    assert_eq!(code, 4029);
    let seconds = began.elapsed().as_secs() as u32;
    assert!((1..=2 + seconds).contains(&told), "again once a second: {told} in {seconds} s");
    assert_eq!(on_record(&mut ground, session).await, (0, Tool::Shell, "default".to_owned()));
    ground.close().await;
}

async fn a_rep_whose_shell_the_customer_took_back(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let session = ground.ana.session;
    let token = ground.token("ben").await;
    let mut ben = Hostile::enter(&ground, transport, hello(Role::Rep, Credential::Token(token))).await;
    in_time(ground.ana.client.act(Do::Share { session, to: "rep:ben".into() })).await.unwrap();
    ben.request(1, Do::Join { session }).await;
    ben.request(2, Do::Open(Open { session, tool: "shell".into(), args: BTreeMap::new() })).await;
    let requested = |ev| if let Ev::Requested { open, .. } = ev { Some(open) } else { None };
    let open = ground.customer.until(requested).await;
    ground.customer.client.act(Do::AcceptOpen { session, open, facts: BTreeMap::new() }).await.unwrap();
    let opened = ben.opened().await;
    let channel = opened.channels.iter().find(|channel| channel.writer != 0).cloned().expect("he types");
    ben.write(Kind::ShellInput, channel.channel).await;
    let _reader = came(&ground.customer.client, &channel).await;
    ground.customer.client.act(Do::TakeBack { session, tool: Some("shell".into()) }).await.unwrap();
    ben.is_told(channel.channel).await;
    let began = Instant::now();
    let (told, code) = ben.flood(Kind::ShellInput, channel.channel).await;
    assert_eq!(code, 4029);
    let seconds = began.elapsed().as_secs() as u32;
    assert!((1..=2 + seconds).contains(&told), "again once a second: {told} in {seconds} s");
    let (participant, tool, source) = on_record(&mut ground, session).await;
    assert_eq!((participant, tool, source.as_str()), (channel.writer, Tool::Shell, "customer"));
    ground.close().await;
}

#[tokio::test]
async fn h_74_p6_3_a_customer_that_goes_on_without_right_is_told_recorded_and_cut_off_over_websocket() {
    a_customer_whose_shell_was_taken_away(Transport::Ws).await;
}

#[tokio::test]
async fn h_74_p6_3_a_customer_that_goes_on_without_right_is_told_recorded_and_cut_off_over_quic() {
    a_customer_whose_shell_was_taken_away(Transport::Quic).await;
}

#[tokio::test]
async fn h_74_p6_3_a_rep_that_goes_on_without_right_is_told_recorded_and_cut_off_over_websocket() {
    a_rep_whose_shell_the_customer_took_back(Transport::Ws).await;
}

#[tokio::test]
async fn h_74_p6_3_a_rep_that_goes_on_without_right_is_told_recorded_and_cut_off_over_quic() {
    a_rep_whose_shell_the_customer_took_back(Transport::Quic).await;
}

#[tokio::test]
async fn p6_3_what_was_refused_just_before_the_end_of_a_connection_goes_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let (mut mal, session, channel) = taken_away(&mut ground, Transport::Ws).await;
    for _ in 0..2 {
        mal.write(Kind::ShellOutput, channel.channel).await;
    }
    assert_eq!(on_record(&mut ground, session).await.0, 0);
    drop(mal);
    assert_eq!(on_record(&mut ground, session).await.0, 0, "the second frame of the same second");
    ground.close().await;
}
