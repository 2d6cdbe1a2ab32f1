//! The task that owns a client's connection: moves messages, keeps it alive, comes back when it breaks, and goes over
//! to another transport when asked.

use super::{
    ClientError, Happening, Order, Transport,
    dial::{self, Dialer, Entered},
    state::{BrokerFault, Heard, Shared, code_or_normal},
};
use crate::{
    clock::spread,
    framing::{
        Link,
        websocket::{Fault, Item, Step},
    },
    limits,
    wire::{CloseCode, Credential, FromClient, Hello, control::Role},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until, timeout},
};

const PING_INTERVAL: Duration = Duration::from_millis(limits::PING_INTERVAL.0);
/// With channels open the broker is heard three times within the lease (W2.5).
const PING_LEASED: Duration = Duration::from_millis(limits::ENDPOINT_LEASE.0 / 3);
const PING_DEAD: Duration = Duration::from_millis(limits::PING_DEAD.0);
const FAREWELL: Duration = Duration::from_millis(limits::FAREWELL.0);

pub(super) struct Task {
    dialer: Arc<Dialer>,
    transport: Transport,
    hello: Hello,
    shared: Arc<Shared>,
    happened: mpsc::Sender<Happening>,
    pings: u64,
    /// What the broker asked for before it closed.
    retry_after: Option<Duration>,
}

/// How a connection stopped being used.
#[derive(Debug)]
enum Stop {
    Closed(u16, String),
    Broke(String),
    /// The client was told to close, or nobody holds it any more.
    Close(Option<oneshot::Sender<()>>),
    Switch(Transport, Box<Link>, oneshot::Sender<Result<(), ClientError>>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Broke(fault.to_string())
    }
}

impl From<BrokerFault> for Stop {
    fn from(fault: BrokerFault) -> Self {
        Self::Broke(fault.to_string())
    }
}

/// Another transport being dialled while the connection goes on.
type Dialling = Option<(Transport, tokio::task::JoinHandle<Result<Link, ClientError>>, SwitchReply)>;
type SwitchReply = oneshot::Sender<Result<(), ClientError>>;

impl Task {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        transport: Transport,
        hello: Hello,
        shared: Arc<Shared>,
        happened: mpsc::Sender<Happening>,
    ) -> Self {
        Self { dialer, transport, hello, shared, happened, pings: 0, retry_after: None }
    }

    /// Runs until the client is closed or the broker says that there is no coming back.
    pub(super) async fn run(mut self, entered: Entered, mut orders: mpsc::Receiver<Order>) {
        let mut entered = entered;
        let (code, reason) = loop {
            let mut link = match self.attach(entered).await {
                Ok(link) => link,
                Err(stop) => {
                    match self.stopped(stop, None, &mut orders).await {
                        Ok(next) => entered = next,
                        Err(ended) => break ended,
                    }
                    continue;
                }
            };
            let stop = self.serve(&mut link, &mut orders).await;
            match self.stopped(stop, Some(link), &mut orders).await {
                Ok(next) => entered = next,
                Err(ended) => break ended,
            }
        };
        self.shared.state().end(code, &reason);
        self.tell(Happening::Ended { code, reason }).await;
    }

    /// Makes a welcomed connection the client's own, and says again on it what is open.
    async fn attach(&mut self, entered: Entered) -> Result<Link, Stop> {
        let Entered { mut link, welcome, rest } = entered;
        let resumed = welcome.resumed;
        // Accounts that have no sessions of their own have nothing to resume: they show their token again.
        if !matches!(self.hello.role, Role::Service | Role::Admin) {
            self.hello.credential = Credential::Resume(welcome.resume.clone().into());
        }
        self.shared.state().attached(welcome);
        self.retry_after = None;
        self.ping(&mut link);
        self.tell(Happening::Connected { transport: self.transport, resumed }).await;
        let mut inbox = VecDeque::new();
        for message in rest {
            inbox.push_back(self.shared.state().message(message)?);
        }
        self.listen(&mut link, &mut inbox).await;
        Ok(link)
    }

    /// Serves one connection until it stops being used.
    async fn serve(&mut self, link: &mut Link, orders: &mut mpsc::Receiver<Order>) -> Stop {
        let mut dialling: Dialling = None;
        match self.pump(link, orders, &mut dialling).await {
            Ok(never) => match never {},
            Err(stop) => {
                if let Some((_, task, reply)) = dialling.take() {
                    task.abort();
                    // Whoever asked for the switch may have stopped waiting.
                    let _ = reply.send(Err(ClientError::Unreachable("the connection broke meanwhile".into())));
                }
                stop
            }
        }
    }

    async fn pump(
        &mut self,
        link: &mut Link,
        orders: &mut mpsc::Receiver<Order>,
        dialling: &mut Dialling,
    ) -> Result<std::convert::Infallible, Stop> {
        let mut inbox = VecDeque::new();
        let mut pinged = Instant::now();
        let timer = sleep_until((pinged + PING_LEASED).into());
        tokio::pin!(timer);
        loop {
            if link.has_room() {
                self.shared.state().fill(link);
            }
            let shared = &self.shared;
            // Reading and writing come first; work waits where the link has no room for it.
            tokio::select! {
                biased;
                step = link.step(|item| take(item, shared, &mut inbox)) => {
                    self.listen(link, &mut inbox).await;
                    if step? == Step::End {
                        return Err(Stop::Broke("the broker is gone".into()));
                    }
                }
                () = shared.work.notified(), if link.has_room() => {}
                order = orders.recv() => match order {
                    None => return Err(Stop::Close(None)),
                    Some(Order::Close(reply)) => return Err(Stop::Close(Some(reply))),
                    Some(Order::Switch(transport, reply)) => self.dial(transport, reply, dialling),
                },
                dialled = dialled(dialling), if dialling.is_some() => {
                    if let Some((transport, _, reply)) = dialling.take() {
                        match dialled {
                            Ok(next) => return Err(Stop::Switch(transport, Box::new(next), reply)),
                            // Whoever asked may have stopped waiting.
                            Err(error) => drop(reply.send(Err(error))),
                        }
                    }
                }
                () = &mut timer => {
                    let now = Instant::now();
                    let (heard, leased) = {
                        let state = self.shared.state();
                        (state.heard, !state.channels.is_empty())
                    };
                    if now.saturating_duration_since(heard) >= PING_DEAD {
                        return Err(Stop::Broke("nothing was heard from the broker for too long".into()));
                    }
                    let interval = if leased { PING_LEASED } else { PING_INTERVAL };
                    if now.saturating_duration_since(pinged) >= interval {
                        pinged = now;
                        self.ping(link);
                    }
                    timer.as_mut().reset((now + PING_LEASED).into());
                }
            }
        }
    }

    fn ping(&mut self, link: &mut Link) {
        self.pings += 1;
        self.shared.state().pinged(self.pings);
        link.queue_control(&FromClient::Ping(self.pings).encode());
    }

    /// Acts on what was heard, in order.
    async fn listen(&mut self, link: &mut Link, inbox: &mut VecDeque<Heard>) {
        while let Some(heard) = inbox.pop_front() {
            match heard {
                Heard::Nothing => {}
                Heard::Ev(seq, ev) => self.tell(Happening::Ev { seq, ev }).await,
                Heard::Ping(n) => link.queue_control(&FromClient::Pong(n).encode()),
                Heard::Bye(retry_after) => self.retry_after = retry_after.map(Duration::from_millis),
            }
        }
    }

    async fn tell(&self, happening: Happening) {
        // Nobody listens: nothing to hold up.
        let _ = self.happened.send(happening).await;
    }

    fn dial(&self, transport: Transport, reply: SwitchReply, dialling: &mut Dialling) {
        if dialling.is_some() {
            let busy = ClientError::Unreachable("another switch is under way".into());
            // Whoever asked may have stopped waiting.
            return drop(reply.send(Err(busy)));
        }
        let dialer = self.dialer.clone();
        *dialling = Some((transport, tokio::spawn(async move { dialer.open(transport).await }), reply));
    }

    /// What follows the end of a connection: the next one, or the end of all.
    async fn stopped(
        &mut self,
        stop: Stop,
        link: Option<Link>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<Entered, (u16, String)> {
        match stop {
            Stop::Close(reply) => {
                if let Some(mut link) = link {
                    self.shared.state().fill(&mut link);
                    // The broker may be gone; then nobody is owed a good-bye.
                    let _ = timeout(FAREWELL, link.close(CloseCode::Normal.number(), "")).await;
                }
                // Whoever asked may have stopped waiting.
                let _ = reply.map(|reply| reply.send(()));
                Err((CloseCode::Normal.number(), "closed".into()))
            }
            Stop::Switch(transport, next, reply) => {
                self.transport_hello();
                match dial::say_hello(*next, &self.hello).await {
                    Ok(entered) => {
                        self.transport = transport;
                        if let Some(mut old) = link {
                            // The broker closes it as well; whoever is first.
                            tokio::spawn(async move { timeout(FAREWELL, old.close(1000, "moved")).await });
                        }
                        let _ = reply.send(Ok(()));
                        Ok(entered)
                    }
                    Err(error) => {
                        let fatal = !error.come_back();
                        let reason = error.to_string();
                        let _ = reply.send(Err(error));
                        if fatal {
                            Err((CloseCode::Unauthenticated.number(), reason))
                        } else {
                            self.reconnect(orders).await
                        }
                    }
                }
            }
            Stop::Closed(code, reason) => {
                // What a code we do not know means, its range says (W4.2).
                let give_up = code >= 4500 || code == CloseCode::Normal.number();
                if give_up { Err((code, reason)) } else { self.reconnect(orders).await }
            }
            Stop::Broke(reason) => {
                tracing::debug!(reason, "the connection broke");
                self.reconnect(orders).await
            }
        }
    }

    fn transport_hello(&mut self) {
        let state = self.shared.state();
        self.hello.seen = state.seen.or(self.hello.seen);
    }

    /// Tries until it is in again: full jitter from the base to the cap, and never sooner than the broker asked for.
    async fn reconnect(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<Entered, (u16, String)> {
        let mut attempt = 0;
        let mut switching: Option<SwitchReply> = None;
        loop {
            let retry_in = jitter(attempt).max(self.retry_after.take().unwrap_or_default());
            attempt += 1;
            self.tell(Happening::Lost { retry_in }).await;
            tokio::select! {
                () = sleep(retry_in) => {}
                order = orders.recv() => match order {
                    None => return Err((CloseCode::Normal.number(), "closed".into())),
                    Some(Order::Close(reply)) => {
                        let _ = reply.send(());
                        return Err((CloseCode::Normal.number(), "closed".into()));
                    }
                    Some(Order::Switch(transport, reply)) => {
                        self.transport = transport;
                        switching = Some(reply);
                    }
                },
            }
            self.transport_hello();
            match self.dialer.enter(self.transport, &self.hello).await {
                Ok(entered) => {
                    if let Some(reply) = switching.take() {
                        let _ = reply.send(Ok(()));
                    }
                    return Ok(entered);
                }
                Err(error) if error.come_back() => {
                    tracing::debug!(%error, "no connection yet");
                    if let ClientError::Denied { retry_after_ms, .. } = &error {
                        self.retry_after = retry_after_ms.map(Duration::from_millis);
                    }
                }
                Err(ClientError::Denied { code, reason, .. }) => return Err((code, reason)),
                Err(error) => return Err((CloseCode::Unauthenticated.number(), error.to_string())),
            }
        }
    }
}

/// Hands one item to the state; what the task itself must do about it waits in the inbox.
fn take(item: Item, shared: &Shared, inbox: &mut VecDeque<Heard>) -> Result<(), Stop> {
    match item {
        Item::Message(message) => {
            match shared.state().message(message)? {
                Heard::Nothing => {}
                heard => inbox.push_back(heard),
            }
            Ok(())
        }
        Item::Close(close) => {
            let (code, reason) = code_or_normal(close);
            Err(Stop::Closed(code, reason))
        }
        Item::Ping(_) | Item::Pong | Item::EmptyFragment => Ok(()),
    }
}

async fn dialled(dialling: &mut Dialling) -> Result<Link, ClientError> {
    match dialling {
        Some((_, task, _)) => task.await.unwrap_or_else(|error| Err(ClientError::Unreachable(error.to_string()))),
        None => std::future::pending().await,
    }
}

/// Full jitter: anything up to the base doubled with each attempt, and up to the cap.
pub(crate) fn jitter(attempt: u32) -> Duration {
    let ceiling = limits::RECONNECT_BASE.0.saturating_mul(1 << attempt.min(16)).min(limits::RECONNECT_CAP.0);
    spread(Duration::from_millis(ceiling))
}
