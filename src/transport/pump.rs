//! The pump of one connection: one task moves both directions. What is read goes to the port; what waits in
//! the outbox leaves in batches as large as the socket takes, so a message costs no wake-up of its own.

use super::{FAREWELL, HELLO, duration, pace::Bucket};
use crate::{
    broker::{Broker, Denied, Origin, Port},
    framing::{
        Link,
        websocket::{Fault, Item, Step},
    },
    ids::ChannelId,
    limits,
    relay::{Admitted, Closing, Sink},
    wire::{
        CloseCode, Frame, FromBroker, FromClient, Hello, Part, Work,
        control::{Bye, Role},
    },
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep_until, timeout},
};

/// Why a connection ends, and what its peer is told.
#[derive(Debug)]
struct Farewell {
    code: CloseCode,
    reason: String,
    retry_after_ms: Option<u64>,
    work: Option<Work>,
}

/// How the pump stopped.
#[derive(Debug)]
enum Ended {
    /// We close.
    Close(Farewell),
    /// The peer closed, with this code; it is answered in kind.
    Closed(u16),
    /// Nobody is there any more.
    Gone,
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        match fault.code() {
            Some(code) => Self::close(code, fault.to_string()),
            None => Self::Gone,
        }
    }
}

impl From<CloseCode> for Ended {
    fn from(code: CloseCode) -> Self {
        Self::close(code, "the relay refused a frame".to_owned())
    }
}

impl Ended {
    fn close(code: CloseCode, reason: impl Into<String>) -> Self {
        Self::Close(Farewell { code, reason: reason.into(), retry_after_ms: None, work: None })
    }
}

/// Serves one connection to its end, from before its hello. `permit` is the stranger's place, given back once the
/// hello is good; `opened` is when the peer was told that it may speak.
pub(super) async fn serve(
    mut link: Link,
    origin: Origin,
    broker: Broker,
    permit: Arc<OwnedSemaphorePermit>,
    opened: Instant,
) {
    let transport = origin.transport.name();
    link.before_hello();
    // Who enters needs much room for a moment: not in the task, which lives for hours.
    let ended = match Box::pin(enter(&mut link, &broker, origin, opened)).await {
        Ok(mut port) => {
            drop(permit);
            drop(broker);
            let connected = metrics::gauge!("equipoise_connections", "transport" => transport);
            connected.increment(1);
            let ended = Pump::new(&mut link, &mut port).pump().await;
            connected.decrement(1);
            ended.map_or_else(|ended| ended, |()| Ended::Gone)
        }
        Err(ended) => ended,
    };
    let code = part(&mut link, ended).await;
    metrics::counter!("equipoise_connections_closed_total", "transport" => transport, "code" => code).increment(1);
}

/// Waits for the hello and has it proved.
async fn enter(link: &mut Link, broker: &Broker, origin: Origin, opened: Instant) -> Result<Port, Ended> {
    let hello = tokio::select! {
        hello = timeout(HELLO, hello(link)) => {
            hello.map_err(|_| Ended::close(CloseCode::Timeout, "no hello within ten seconds"))??
        }
        () = broker.shutdown().cancelled() => return Err(Ended::close(CloseCode::Restart, "the broker is about to restart")),
    };
    let heard = Instant::now();
    let legs = if matches!(hello.role, Role::Customer | Role::External | Role::JumpClient) {
        limits::LEGS_OF_SESSION
    } else {
        limits::LEGS_OF_CONSOLE
    };
    let port = broker.enter(hello, origin).await.map_err(|Denied { code, refused, work }| {
        Ended::Close(Farewell { code, reason: refused.message, retry_after_ms: refused.retry_after_ms, work })
    })?;
    link.after_hello(legs, broker.window_max());
    // On WebSocket the hello is the answer to what opened the connection; on QUIC it comes with what opens it.
    port.outbox().measured(link.round_trip().unwrap_or(heard - opened));
    Ok(port)
}

async fn hello(link: &mut Link) -> Result<Hello, Ended> {
    let mut first = None;
    while first.is_none() {
        let step = link
            .step(|item| match item {
                Item::Message(message) if first.is_none() => {
                    first = Some(message);
                    Ok(())
                }
                Item::Close(close) => Err(Ended::Closed(code_of(close))),
                // Whoever says more before the welcome does not speak this protocol.
                _ => Err(Ended::close(CloseCode::BadMessage, "the first message is a hello, and then comes a welcome")),
            })
            .await?;
        if step == Step::End {
            return Err(Ended::Gone);
        }
    }
    match FromClient::decode(&first.unwrap_or_default()) {
        Ok(FromClient::Hello(hello)) => Ok(*hello),
        Ok(_) => Err(Ended::close(CloseCode::BadMessage, "the first message is a hello")),
        Err(bad) => Err(Ended::close(bad.close_code(), bad.to_string())),
    }
}

/// Closing, from whichever side: says why, waits a little for the answer, and ends the stream. Gives the code for
/// the metrics.
async fn part(link: &mut Link, ended: Ended) -> &'static str {
    let (number, goodbye) = match ended {
        Ended::Gone => return "gone",
        Ended::Closed(number) => (number, timeout(FAREWELL, link.close_too(number)).await),
        Ended::Close(Farewell { code, reason, retry_after_ms, work }) => {
            let number = code.number();
            tracing::debug!(code = number, reason, "closing a connection");
            // A close frame holds few words, and the portal's may be many (R2.6).
            if retry_after_ms.is_some() || work.is_some() || reason.len() > limits::CLOSE_REASON_BYTES {
                let bye = FromBroker::Bye(Bye { code: number, reason: reason.clone(), retry_after_ms, work });
                link.queue_control(&bye.encode());
            }
            (number, timeout(FAREWELL, link.close(number, &reason)).await)
        }
    };
    // A peer that has gone silent is owed nothing more.
    drop(goodbye);
    super::code_name(number)
}

fn code_of(close: Option<(u16, String)>) -> u16 {
    close.map_or(CloseCode::Normal.number(), |(code, _)| code)
}

// ---- the pump -------------------------------------------------------------------------------------------------------

const PING_INTERVAL: Duration = duration(limits::PING_INTERVAL);
const PINGS_TOGETHER: Duration = duration(limits::PINGS_TOGETHER);
const PING_DEAD: Duration = duration(limits::PING_DEAD);
const FRAME_DEADLINE: Duration = duration(limits::FRAME_DEADLINE);
const STALL: Duration = duration(limits::CONNECTION_STALL);

struct Pump<'a> {
    link: &'a mut Link,
    port: &'a mut Port,
    bucket: Bucket,
    heartbeat: Heartbeat,
    items: u64,
    /// Since when a message is half here, and how many were whole before it.
    partial: Option<(Instant, u64)>,
    /// Since when the socket takes nothing, and what it had taken before.
    stuck: Option<(Instant, u64)>,
    /// What was read and is not handled yet.
    inbox: VecDeque<FromClient>,
}

impl<'a> Pump<'a> {
    fn new(link: &'a mut Link, port: &'a mut Port) -> Self {
        let now = Instant::now();
        Self {
            link,
            bucket: Bucket::new(port.pace(), now),
            port,
            heartbeat: Heartbeat::new(now),
            items: 0,
            partial: None,
            stuck: None,
            inbox: VecDeque::new(),
        }
    }

    /// Until one of both ends it; `Ok` where the peer is simply gone.
    async fn pump(&mut self) -> Result<(), Ended> {
        let timer = sleep_until(self.due().into());
        tokio::pin!(timer);
        let outbox = self.port.outbox().clone();
        loop {
            for channel in self.link.freed() {
                outbox.writable(channel);
            }
            let mut has_room = self.link.has_room();
            if has_room {
                let drained = outbox.drain(limits::WRITE_BATCH_BYTES, &mut Batch(self.link));
                if drained.roomy {
                    self.port.left(outbox.roomy());
                }
                if !drained.more
                    && let Some(closing) = outbox.closing()
                {
                    let Closing { code, reason, retry_after_ms } = closing;
                    return Err(Ended::Close(Farewell { code, reason, retry_after_ms, work: None }));
                }
                has_room = self.link.has_room();
            }
            // Reading and writing come first: a timer may wait for a batch, a frame may not wait for a timer.
            tokio::select! {
                biased;
                step = step(self.link, self.port, &mut self.bucket, &mut self.inbox) => {
                    let flushed = self.after_step();
                    if !self.inbox.is_empty() {
                        // Few connections have something to say at a time: no other keeps room for it.
                        Box::pin(self.messages()).await;
                    }
                    let step = step?;
                    flushed?;
                    match step {
                        Step::Read => {}
                        Step::Written => self.stuck = None,
                        Step::End => return Ok(()),
                    }
                }
                () = outbox.ready(), if has_room => {}
                () = &mut timer => self.tick()?,
            }
            let due = self.due().into();
            if timer.is_elapsed() || due < timer.deadline() {
                timer.as_mut().reset(due);
            }
        }
    }

    /// What came whole before a fault or a close still counts.
    fn after_step(&mut self) -> Result<(), Ended> {
        let items = self.link.items();
        let came = items != self.items;
        if !came && !self.link.is_partial() {
            self.partial = None;
            return Ok(());
        }
        let now = Instant::now();
        let same = self.partial.filter(|(_, before)| *before == items);
        self.partial = self.link.is_partial().then(|| same.unwrap_or((now, items)));
        if came {
            self.items = items;
            self.heartbeat.heard(now);
            self.port.flush(now.into())?;
        }
        Ok(())
    }

    async fn messages(&mut self) {
        while let Some(message) = self.inbox.pop_front() {
            match message {
                // In its turn behind all that was said before: the pong tells the client that it has heard it.
                FromClient::Ping(n) => {
                    // On overflow the outbox is closing already.
                    let _ = self.port.outbox().control(FromBroker::Pong(n).encode());
                }
                FromClient::Pong(n) => {
                    if let Some(answer) = self.heartbeat.answered(n, Instant::now()) {
                        self.port.outbox().measured(self.link.round_trip().unwrap_or(answer));
                    }
                }
                message => self.port.message(message).await,
            }
        }
    }

    /// When the next of the clocks of this connection runs out.
    fn due(&mut self) -> Instant {
        if self.link.is_idle() {
            self.stuck = None;
        } else if self.stuck.is_none() {
            self.stuck = Some((Instant::now(), self.link.taken()));
        }
        let partial = self.partial.map(|(since, _)| since + FRAME_DEADLINE);
        let stuck = self.stuck.map(|(since, _)| since + STALL);
        let beat = self.heartbeat.due();
        [partial, stuck].into_iter().flatten().fold(beat, Instant::min)
    }

    fn tick(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let beat = self.heartbeat.tick(now);
        if beat == Some(Beat::Dead) {
            return Err(Ended::close(CloseCode::Timeout, "nothing was heard for too long"));
        }
        if self.partial.is_some_and(|(since, _)| now >= since + FRAME_DEADLINE) {
            return Err(Ended::close(CloseCode::Timeout, "a frame was not completed in time"));
        }
        if let Some((since, taken)) = self.stuck
            && now >= since + STALL
        {
            if self.link.taken() == taken {
                return Err(Ended::close(CloseCode::Slow, "this connection takes nothing"));
            }
            self.stuck = Some((now, self.link.taken()));
        }
        if let Some(Beat::Ping(n)) = beat {
            self.link.queue_control(&FromBroker::Ping(n).encode());
        }
        Ok(())
    }
}

/// W3.6: when to ask whether anybody is there, and when nobody is.
#[derive(Debug)]
struct Heartbeat {
    pings: u64,
    /// When the last of them went.
    pinged: Instant,
    next_ping: Instant,
    heard: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beat {
    Ping(u64),
    Dead,
}

impl Heartbeat {
    fn new(now: Instant) -> Self {
        Self { pings: 0, pinged: now, next_ping: together(now + PING_INTERVAL), heard: now }
    }

    /// Anything came: whoever speaks need not answer pings.
    fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// How long the answer to the last ping took; of no other, for a peer may say any number.
    fn answered(&self, n: u64, now: Instant) -> Option<Duration> {
        (n > 0 && n == self.pings).then(|| now.saturating_duration_since(self.pinged))
    }

    fn due(&self) -> Instant {
        self.next_ping.min(self.heard + PING_DEAD)
    }

    fn tick(&mut self, now: Instant) -> Option<Beat> {
        if now >= self.heard + PING_DEAD {
            return Some(Beat::Dead);
        }
        (now >= self.next_ping).then(|| {
            self.next_ping = together(now + PING_INTERVAL);
            self.pinged = now;
            self.pings += 1;
            Beat::Ping(self.pings)
        })
    }
}

/// The last moment until then at which pings are sent: one wake-up serves the pings of many connections.
fn together(at: Instant) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let past = at.saturating_duration_since(*START).as_micros() % PINGS_TOGETHER.as_micros();
    at - Duration::from_micros(past as u64)
}

/// Moves bytes both ways; frames go to their channel as soon as what came together is read, control waits in the inbox for its turn.
async fn step(
    link: &mut Link,
    port: &mut Port,
    bucket: &mut Bucket,
    inbox: &mut VecDeque<FromClient>,
) -> Result<Step, Ended> {
    let flooded = || Ended::close(CloseCode::RateLimited, "too many messages");
    link.step(|item| match item {
        Item::Message(message) => match Part::of(&message) {
            Some(Part::Frame) => {
                let frame =
                    Frame::decode(message).map_err(|error| Ended::close(CloseCode::BadMessage, error.to_string()))?;
                Ok(port.frame(frame)?)
            }
            _ => {
                if !bucket.take(Instant::now()) {
                    return Err(flooded());
                }
                let message =
                    FromClient::decode(&message).map_err(|bad| Ended::close(bad.close_code(), bad.to_string()))?;
                inbox.push_back(message);
                Ok(())
            }
        },
        Item::Ping(_) | Item::Pong | Item::EmptyFragment if bucket.take(Instant::now()) => Ok(()),
        Item::Ping(_) | Item::Pong | Item::EmptyFragment => Err(flooded()),
        Item::Close(close) => Err(Ended::Closed(code_of(close))),
    })
    .await
}

/// Writes what leaves the outbox into the socket's next batch. What it is handed was admitted this very moment.
struct Batch<'a>(&'a mut Link);

impl Sink for Batch<'_> {
    fn control(&mut self, message: Bytes) {
        self.0.queue_control(&message);
    }

    fn takes(&mut self, channel: ChannelId) -> bool {
        self.0.takes(channel)
    }

    fn frame(&mut self, admitted: Admitted<'_>) {
        self.0.queue_frame(admitted.frame());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn h_37_a_peer_that_says_nothing_is_dead_after_two_pings() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        let mut beats = Vec::new();
        while beats.last().is_none_or(|(_, beat)| *beat != Some(Beat::Dead)) {
            let due = heartbeat.due();
            beats.push((due - start, heartbeat.tick(due)));
        }
        let said: Vec<_> = beats.iter().map(|(_, beat)| *beat).collect();
        assert_eq!(said, [Some(Beat::Ping(1)), Some(Beat::Ping(2)), Some(Beat::Dead)]);
        for ((at, _), due) in beats.iter().zip([20, 40]).map(|(beat, due)| (beat, Duration::from_secs(due))) {
            assert!(*at <= due && *at + 2 * PINGS_TOGETHER > due, "{at:?}, due after {due:?}");
        }
        assert_eq!(beats[2].0, Duration::from_secs(45));
    }

    #[test]
    fn w3_6_f23_pings_of_connections_that_came_at_different_moments_are_sent_together() {
        let start = Instant::now();
        let moments: BTreeSet<_> = (0..100).map(|ms| Heartbeat::new(start + Duration::from_millis(ms)).due()).collect();
        assert!(moments.len() <= 2, "{moments:?}");
        assert!(moments.iter().all(|at| *at > start + PING_INTERVAL - PINGS_TOGETHER));
    }

    #[test]
    fn w3_6_whoever_speaks_lives_without_answering_pings() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            if second % 44 == 0 {
                heartbeat.heard(now);
            }
            assert_ne!(heartbeat.tick(now), Some(Beat::Dead), "after {second} s");
        }
    }
}
