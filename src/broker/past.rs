//! Past decisions for whoever asks (R9.1): the journal is read again on a thread of its own, so that a question never
//! holds up the owner.

use super::{Connection, port::refused_by};
use crate::{
    engine::{Reason, Refusal, telling::Teller},
    journal::{Damage, Rows},
    limits,
    wire::control::{Done, Explained, FromBroker},
};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(super) struct Pasts {
    room: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Pasts {
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { room: Arc::new(Semaphore::new(limits::PASTS_READ)), shutdown }
    }

    /// Answers when the journal has been read, or refuses while another is.
    pub fn tell(&self, to: Arc<Connection>, id: u64, teller: Teller, journal: impl FnOnce() -> Result<Rows, Damage>) {
        let answer = move |to: &Connection, told: Result<Explained, Refusal>| {
            let answer =
                told.map(Box::new).map(Done::Explained).map(Box::new).map_err(|refusal| Box::new(refused_by(refusal)));
            to.say(&FromBroker::Reply { re: id, answer });
        };
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            let busy = "the journal is being read for somebody else; ask again in a moment";
            return answer(&to, Err(Refusal::new(Reason::Overloaded, "R9.1", busy)));
        };
        let rows = match journal() {
            Ok(rows) => rows,
            Err(damage) => return answer(&to, Err(unreadable(&damage))),
        };
        let shutdown = self.shutdown.clone();
        tokio::task::spawn_blocking(move || {
            answer(&to, read(teller, rows, &shutdown));
            drop(room);
        });
    }
}

fn read(mut teller: Teller, rows: Rows, shutdown: &CancellationToken) -> Result<Explained, Refusal> {
    for row in rows {
        if shutdown.is_cancelled() {
            return Err(Refusal::new(Reason::Overloaded, "R9.1", "the broker is about to restart"));
        }
        if !teller.fold(&row.map_err(|damage| unreadable(&damage))?.turn.events) {
            break;
        }
    }
    teller.told()
}

fn unreadable(damage: &Damage) -> Refusal {
    Refusal::new(Reason::StorageFull, "R9.1", format!("the past cannot be read: {damage}"))
}
