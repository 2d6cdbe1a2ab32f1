//! The channels a tool listens to.

use crate::{
    client::{Chunk, Reader},
    wire::control::ChannelView,
};
use tokio::{sync::mpsc, task::JoinSet};

/// What the far ends send, from one task for each channel.
pub(super) enum Input {
    /// From which participant.
    Chunk(u16, Chunk),
    End,
}

/// The channels a tool listens to, each with a task of its own, so that none waits for another.
pub(super) struct Inputs {
    tasks: JoinSet<()>,
    send: mpsc::Sender<Input>,
    receive: mpsc::Receiver<Input>,
    open: usize,
}

impl Inputs {
    pub(super) fn new() -> Self {
        let (send, receive) = mpsc::channel(1);
        Self { tasks: JoinSet::new(), send, receive, open: 0 }
    }

    pub(super) fn listen(&mut self, mut reader: Reader, channel: ChannelView) {
        self.open += 1;
        let send = self.send.clone();
        self.tasks.spawn(async move {
            while let Ok(Some(chunk)) = reader.read().await {
                if send.send(Input::Chunk(channel.writer, chunk)).await.is_err() {
                    return;
                }
            }
            let _ = send.send(Input::End).await;
        });
    }

    pub(super) async fn next(&mut self) -> Option<Input> {
        let input = self.receive.recv().await;
        if let Some(Input::End) = input {
            self.open -= 1;
        }
        input
    }

    pub(super) fn all_ended(&self) -> bool {
        self.open == 0
    }
}
