//! A client with nothing in it but the protocol, so that the load costs little beside what it measures.

use crate::Failure;
use bytes::Bytes;
use equipoise::{
    client::{self, Target},
    framing::{
        Link,
        websocket::{Fault, Item, Step},
    },
    ids::ChannelId,
    limits,
    wire::{
        Frame, Kind,
        control::{Do, Done, Ev, FromBroker, FromClient, Hello, Welcome},
    },
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What waits in a generator's own buffer at most: four writes of the broker's batch.
pub const GENERATOR_BYTES: usize = 4 * limits::WRITE_BATCH_BYTES;

/// Requests of one connection: a fifth below what a service account may, for pongs count as well.
const REQUESTS_PER_S: f64 = limits::SERVICE_MESSAGES_PER_S as f64 * 0.8;

pub struct Lean {
    pub link: Link,
    pub welcome: Welcome,
    pub pushes: VecDeque<Ev>,
    /// Data and steering frames that came between control messages.
    pub frames: VecDeque<Frame>,
    /// Names of the pushes that are taken; the others are not even decoded. Empty: all.
    pub only: &'static [&'static str],
    next_id: u64,
    began: Instant,
}

impl Lean {
    pub async fn connect(at: &Target, hello: Hello) -> Result<Self, Failure> {
        let mut link = client::open(at).await.map_err(failed)?;
        link.after_hello(limits::LEGS_OF_CONSOLE, limits::WINDOW_BYTES_MOST);
        link.queue_control(&FromClient::Hello(Box::new(hello)).encode());
        let mut first = VecDeque::new();
        while first.is_empty() {
            step(&mut link, &mut first).await?;
        }
        let welcome = match first.pop_front().as_deref().map(FromBroker::decode) {
            Some(Ok(FromBroker::Welcome(welcome))) => *welcome,
            Some(Ok(FromBroker::Bye(bye))) => return Err(Failure::Run(format!("{}: {}", bye.code, bye.reason))),
            other => return Err(Failure::Run(format!("the first message was no welcome: {other:?}"))),
        };
        let mut lean = Self {
            link,
            welcome,
            pushes: VecDeque::new(),
            frames: VecDeque::new(),
            only: &[],
            next_id: 1,
            began: Instant::now(),
        };
        for message in first {
            lean.sort(message)?;
        }
        Ok(lean)
    }

    /// Asks and waits for the answer.
    pub async fn act(&mut self, act: Do) -> Result<Done, Failure> {
        let id = self.send(act);
        loop {
            for message in self.read().await? {
                if let FromBroker::Reply { re, answer } = message
                    && re == id
                {
                    return answer.map(|done| *done).map_err(|refused| Failure::Run(format!("{refused:?}")));
                }
            }
        }
    }

    /// Waits until one more request is within the pace of a service account: who is faster is cut off (W4.3).
    pub async fn paced(&mut self) {
        let due = self.began + Duration::from_secs_f64(self.next_id as f64 / REQUESTS_PER_S);
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    /// Queues a request; its answer is among what [`Self::read`] gives.
    pub fn send(&mut self, act: Do) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.link.queue_control(&FromClient::Request { id, act: Box::new(act) }.encode());
        id
    }

    pub fn send_frame(&mut self, frame: &Frame) {
        if frame.header.kind.is_data() {
            self.link.queue_frame(frame);
        } else {
            self.link.queue_control(&frame.encode());
        }
    }

    /// Would one more frame of this channel leave soon, or only wait here?
    pub fn has_room(&mut self, channel: ChannelId) -> bool {
        self.link.waiting() < GENERATOR_BYTES && self.link.takes(channel)
    }

    /// Writes all that is queued.
    pub async fn flush(&mut self, messages: &mut VecDeque<Bytes>) -> Result<(), Failure> {
        while !self.link.is_idle() {
            self.step(messages).await?;
        }
        Ok(())
    }

    /// Says that somebody is there, without reading on until there is nothing left.
    pub async fn speak(&mut self) -> Result<(), Failure> {
        self.link.queue_control(&FromClient::Ping(0).encode());
        while !self.link.is_idle() {
            self.read().await?;
        }
        Ok(())
    }

    /// Writes what waits and reads what is there into `messages`.
    pub async fn step(&mut self, messages: &mut VecDeque<Bytes>) -> Result<(), Failure> {
        step(&mut self.link, messages).await
    }

    /// Waits for a push that `wanted` takes.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&Ev) -> Option<T>) -> Result<T, Failure> {
        loop {
            while let Some(ev) = self.pushes.pop_front() {
                if let Some(found) = wanted(&ev) {
                    return Ok(found);
                }
            }
            self.read().await?;
        }
    }

    /// One step of the link: what came, pushes and frames put aside.
    pub async fn read(&mut self) -> Result<Vec<FromBroker>, Failure> {
        let mut messages = VecDeque::new();
        self.step(&mut messages).await?;
        messages.into_iter().filter_map(|message| self.sort(message).transpose()).collect()
    }

    fn sort(&mut self, message: Bytes) -> Result<Option<FromBroker>, Failure> {
        if message.first().is_some_and(|byte| *byte < 0x80) {
            self.frames.push_back(Frame::decode(message).map_err(failed)?);
            return Ok(None);
        }
        if !self.only.is_empty()
            && pushed(&message).is_some_and(|name| !self.only.iter().any(|it| it.as_bytes() == name))
        {
            return Ok(None);
        }
        match FromBroker::decode(&message).map_err(failed)? {
            FromBroker::Push { ev: Some(ev), .. } => {
                self.pushes.push_back(*ev);
                Ok(None)
            }
            FromBroker::Push { ev: None, .. } => Ok(None),
            FromBroker::Ping(n) => {
                self.link.queue_control(&FromClient::Pong(n).encode());
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }
}

/// The name of what a push tells: `{seq: …, ev: {name: …}}`.
fn pushed(message: &[u8]) -> Option<&[u8]> {
    const EV: &[u8] = b"\xa2ev\x81";
    let at = message.windows(EV.len()).take(EV_WITHIN).position(|bytes| bytes == EV)? + EV.len();
    let length = usize::from(message.get(at)?.checked_sub(SHORT_TEXT)?);
    message.get(at + 1..at + 1 + length)
}

/// A push's number comes first, in nine bytes at the most.
const EV_WITHIN: usize = 16;
/// MessagePack: a text of up to 31 bytes begins with this and its length.
const SHORT_TEXT: u8 = 0xa0;

/// Writes what waits on a link and reads what is there into `messages`.
pub async fn step(link: &mut Link, messages: &mut VecDeque<Bytes>) -> Result<(), Failure> {
    let mut closed = None;
    let step = link
        .step(|item| -> Result<(), Fault> {
            match item {
                Item::Message(message) => messages.push_back(message),
                Item::Close(reason) => closed = Some(reason),
                _ => {}
            }
            Ok(())
        })
        .await
        .map_err(failed)?;
    match (closed, step) {
        (Some(reason), _) => Err(Failure::Run(format!("the broker closed: {reason:?}"))),
        (None, Step::End) => Err(Failure::Run("the broker is gone".into())),
        (None, _) => Ok(()),
    }
}

/// What a reader says that has taken all up to `at` and granted up to `granted`: as a client does, half a first window at
/// a time, of a window that has grown as far as any may; the broker makes of it what it allows.
pub fn credit(channel: ChannelId, at: u64, granted: &mut u64) -> Option<Frame> {
    let limit = at + limits::WINDOW_BYTES_MOST;
    (limit >= *granted + limits::FILE_WINDOW_BYTES / 2).then(|| {
        *granted = limit;
        Frame::credit(channel, at, limit)
    })
}

/// Where a CREDIT frame moves the writer's limit.
pub fn limit_of(frame: &Frame) -> Option<u64> {
    (frame.header.kind == Kind::Credit).then(|| frame.payload.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)))?
}

pub fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Run(error.to_string())
}
