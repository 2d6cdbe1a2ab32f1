//! The person at this machine held back (P3.4): their keyboards and pointers do nothing, and what a rep sends does. Only as
//! long as the broker says so and is heard, and the person has not said `stop`.

use super::screen::Screen;
use crate::limits;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

#[derive(Default)]
pub(super) struct Holding {
    told: bool,
    heard: bool,
    hold: watch::Sender<bool>,
    /// None: nothing here can be held.
    task: Option<JoinHandle<()>>,
}

impl Holding {
    pub fn new(screen: Option<&Arc<Screen>>) -> Self {
        let (hold, wanted) = watch::channel(false);
        let screen = screen.filter(|screen| screen.holds().is_ok()).cloned();
        let task = screen.map(|screen| tokio::spawn(follow(screen, wanted)));
        Self { told: false, heard: true, hold, task }
    }

    /// The broker says how the person is held back. What the person should know of it, where it is something else than before.
    pub fn told(&mut self, mode: &str) -> Option<&'static str> {
        let told = mode != "none";
        if std::mem::replace(&mut self.told, told) == told {
            return None;
        }
        self.follow();
        Some(match (told, &self.task) {
            (false, _) => "Your keyboard and mouse are yours again.",
            (true, Some(_)) => {
                "Your keyboard and mouse on this screen do nothing for now; Ctrl-C at this program ends that."
            }
            (true, None) => "The site wants that your keyboard and mouse do nothing for now; nothing here does that.",
        })
    }

    /// Nobody is held back while the broker, which could end it, is not heard (W2.5).
    pub fn heard(&mut self, heard: bool) {
        self.heard = heard;
        self.follow();
    }

    /// The person's own stop does not wait for the broker (P6.5).
    pub fn stop(&mut self) {
        self.told = false;
        self.follow();
    }

    /// All is given back. What does not answer gives it back as this program ends.
    pub async fn end(self) {
        drop(self.hold);
        if let Some(task) = self.task {
            let _ = tokio::time::timeout(Duration::from_millis(limits::HANDSHAKE.0), task).await;
        }
    }

    fn follow(&self) {
        self.hold.send_replace(self.told && self.heard);
    }
}

/// Does what is wanted, and once a second again: a keyboard that is plugged in meanwhile is held too.
async fn follow(screen: Arc<Screen>, mut wanted: watch::Receiver<bool>) {
    let mut going = true;
    while going {
        let hold = *wanted.borrow_and_update();
        set(&screen, hold).await;
        tokio::select! {
            changed = wanted.changed() => going = changed.is_ok(),
            () = tokio::time::sleep(Duration::from_millis(limits::HOLDING_TICK.0)), if hold => {}
        }
    }
    set(&screen, false).await;
}

async fn set(screen: &Arc<Screen>, hold: bool) {
    let screen = Arc::clone(screen);
    match tokio::task::spawn_blocking(move || screen.hold(hold)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the person is not held back"),
        Err(error) => tracing::error!(%error, "nobody is held back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_4_w2_5_nobody_is_held_back_while_the_broker_is_not_heard_nor_after_their_own_stop() {
        let mut holding = Holding { heard: true, ..Holding::default() };
        let holds = |holding: &Holding| *holding.hold.borrow();
        assert!(holding.told("none").is_none() && !holds(&holding));
        assert!(holding.told("input").is_some() && holds(&holding));
        holding.heard(false);
        assert!(!holds(&holding));
        assert!(holding.told("input").is_none() && !holds(&holding), "said again before the silence");
        holding.heard(true);
        assert!(holds(&holding));
        holding.stop();
        assert!(!holds(&holding));
        assert!(holding.told("display_and_input").is_some() && holds(&holding), "asked for anew");
        assert!(holding.told("none").is_some() && !holds(&holding));
    }
}
