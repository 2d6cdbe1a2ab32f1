//! A client with nothing in it but the protocol, so that the load costs little beside what it measures.

use crate::Failure;
use bytes::Bytes;
use equipoise::{
    framing::{
        SUBPROTOCOL, WEBSOCKET_PATH,
        websocket::{End, Fault, Item, Socket, Step},
    },
    wire::{
        Frame, Kind,
        control::{Do, Done, Ev, FromBroker, FromClient, Hello, Welcome},
    },
};
use std::{collections::VecDeque, net::SocketAddr};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, http::HeaderValue};

pub struct Lean {
    pub socket: Socket<TcpStream>,
    pub welcome: Welcome,
    pub pushes: VecDeque<Ev>,
    /// Data and steering frames that came between control messages.
    pub frames: VecDeque<Frame>,
    next_id: u64,
}

impl Lean {
    pub async fn connect(address: SocketAddr, hello: Hello) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{address}{WEBSOCKET_PATH}").into_client_request().map_err(failed)?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        let (upgraded, _) = tokio_tungstenite::client_async(request, stream).await.map_err(failed)?;
        // The broker says nothing before the hello, so nothing was read ahead.
        let mut socket = Socket::new(End::Client, upgraded.into_inner(), Bytes::new());
        socket.queue(&FromClient::Hello(Box::new(hello)).encode(), &[]);
        let mut first = VecDeque::new();
        while first.is_empty() {
            step(&mut socket, &mut first).await?;
        }
        let mut lean = Self {
            socket,
            welcome: Welcome {
                protocol: 0,
                site: String::new(),
                you: String::new(),
                session: None,
                participant: None,
                resume: String::new().into(),
                features: Vec::new(),
                ping_interval_s: 0,
                now_ms: 0,
                resumed: false,
            },
            pushes: VecDeque::new(),
            frames: VecDeque::new(),
            next_id: 1,
        };
        let mut welcomed = false;
        for message in first {
            match lean.sort(message)? {
                Some(FromBroker::Welcome(welcome)) => {
                    lean.welcome = *welcome;
                    welcomed = true;
                }
                Some(FromBroker::Bye(bye)) => return Err(Failure::Run(format!("{}: {}", bye.code, bye.reason))),
                _ => {}
            }
        }
        if welcomed { Ok(lean) } else { Err(Failure::Run("the first message was no welcome".into())) }
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

    /// Queues a request; its answer is among what [`Self::read`] gives.
    pub fn send(&mut self, act: Do) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.socket.queue(&FromClient::Request { id, act: Box::new(act) }.encode(), &[]);
        id
    }

    pub fn send_frame(&mut self, frame: &Frame) {
        self.socket.queue(&frame.header.encode(), &frame.payload);
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

    /// One step of the socket: what came, pushes and frames put aside.
    pub async fn read(&mut self) -> Result<Vec<FromBroker>, Failure> {
        let mut messages = VecDeque::new();
        step(&mut self.socket, &mut messages).await?;
        messages.into_iter().filter_map(|message| self.sort(message).transpose()).collect()
    }

    fn sort(&mut self, message: Bytes) -> Result<Option<FromBroker>, Failure> {
        if message.first().is_some_and(|byte| *byte < 0x80) {
            self.frames.push_back(Frame::decode(message).map_err(failed)?);
            return Ok(None);
        }
        match FromBroker::decode(&message).map_err(failed)? {
            FromBroker::Push { ev: Some(ev), .. } => {
                self.pushes.push_back(*ev);
                Ok(None)
            }
            FromBroker::Push { ev: None, .. } => Ok(None),
            FromBroker::Ping(n) => {
                self.socket.queue(&FromClient::Pong(n).encode(), &[]);
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }
}

/// Writes what waits and reads what is there into `messages`.
pub async fn step(socket: &mut Socket<TcpStream>, messages: &mut VecDeque<Bytes>) -> Result<Step, Failure> {
    let mut closed = None;
    let step = socket
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
        (None, step) => Ok(step),
    }
}

/// Where a CREDIT frame moves the writer's limit.
pub fn limit_of(frame: &Frame) -> Option<u64> {
    (frame.header.kind == Kind::Credit).then(|| frame.payload.first_chunk::<8>().map(|b| u64::from_be_bytes(*b)))?
}

pub fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Run(error.to_string())
}
