//! Requests that wait for their answers. A request keeps its number and its bytes across connections, and the broker
//! does it once however often it comes (W3.5).

use super::{ActError, state::Shared};
use crate::{
    limits,
    wire::{Do, Done, FromClient, Refused},
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u64,
    open: BTreeMap<u64, Open>,
    unsent: VecDeque<u64>,
}

#[derive(Debug)]
struct Open {
    message: Bytes,
    reply: oneshot::Sender<Result<Done, ActError>>,
}

impl Requests {
    /// A service account's, whose numbers are never used again, whichever of its programs asked: they begin at random,
    /// and so far below the largest that they never reach it.
    pub(super) fn of_service() -> Self {
        let mut bytes = [0; 8];
        // Without randomness they are a connection's own, and not remembered across connections.
        let drawn = getrandom::fill(&mut bytes).is_ok();
        let first = limits::SERVICE_REQUEST_IDS_FROM;
        Self { last: if drawn { first + (u64::from_ne_bytes(bytes) >> 12) } else { 0 }, ..Self::default() }
    }

    pub(super) fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    fn ask(&mut self, act: Do) -> oneshot::Receiver<Result<Done, ActError>> {
        self.last += 1;
        let id = self.last;
        let message = FromClient::Request { id, act: Box::new(act) }.encode();
        let (reply, answer) = oneshot::channel();
        self.open.insert(id, Open { message, reply });
        self.unsent.push_back(id);
        answer
    }

    pub(super) fn next(&mut self) -> Option<Bytes> {
        while let Some(id) = self.unsent.pop_front() {
            if let Some(open) = self.open.get(&id) {
                return Some(open.message.clone());
            }
        }
        None
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.unsent.is_empty()
    }

    pub(super) fn answered(&mut self, id: u64, answer: Result<Box<Done>, Box<Refused>>) {
        if let Some(open) = self.open.remove(&id) {
            // Whoever asked may have stopped waiting.
            let _ = open.reply.send(answer.map(|done| *done).map_err(|refused| ActError::Refused(*refused)));
        }
    }

    /// On a fresh connection everything without an answer is sent again, in the order it was asked.
    pub(super) fn again(&mut self) {
        self.unsent = self.open.keys().copied().collect();
    }

    pub(super) fn end(&mut self, code: u16, reason: &str) {
        for (_, open) in std::mem::take(&mut self.open) {
            let _ = open.reply.send(Err(ActError::Closed { code, reason: reason.to_owned() }));
        }
        self.unsent.clear();
    }
}

impl Shared {
    pub(super) async fn act(&self, act: Do) -> Result<Done, ActError> {
        let closed = |code: u16, reason: &str| ActError::Closed { code, reason: reason.to_owned() };
        let _room = self.room.acquire().await.map_err(|_| closed(1000, "the client is closed"))?;
        let answer = {
            let mut state = self.state();
            if let Some((code, reason)) = &state.ended {
                return Err(closed(*code, reason));
            }
            state.requests.ask(act)
        };
        self.work.notify_one();
        answer.await.unwrap_or_else(|_| Err(closed(1000, "the client is closed")))
    }
}
