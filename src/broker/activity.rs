//! Which reps' channels moved data (R7.9). Looked at about once a second, told to the owner at most once in
//! [`limits::ACTIVITY_INTERVAL`] for each session, and only where somebody's time runs: frames cost nothing for it.

use super::directory::Routed;
use crate::{
    engine::{Command, State, event::ChannelSpec},
    ids::*,
    limits,
    wire::{Kind, control::Class},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

#[derive(Default)]
pub(super) struct Activity {
    sessions: BTreeMap<SessionId, Watched>,
}

#[derive(Default)]
struct Watched {
    moved: BTreeSet<ParticipantId>,
    told: Option<Instant>,
}

impl Activity {
    /// What the owner should hear at this moment, these channels having moved data since the last.
    pub fn look(&mut self, moved: &[Arc<Routed>], state: &State, now: Instant) -> Vec<Command> {
        for routed in moved.iter().filter(|routed| state.times_inactivity(routed.session)) {
            self.sessions.entry(routed.session).or_default().moved.extend(active(routed.channel.spec()));
        }
        let interval = Duration::from_millis(limits::ACTIVITY_INTERVAL.0);
        let mut news = Vec::new();
        self.sessions.retain(|session, watched| {
            let rests = watched.told.is_some_and(|told| now.duration_since(told) < interval);
            if !rests && !watched.moved.is_empty() {
                let by = std::mem::take(&mut watched.moved).into_iter().collect();
                news.push(Command::DataMoved { session: *session, by });
                watched.told = Some(now);
                return true;
            }
            rests
        });
        news
    }
}

/// Whom data on this channel shows to be active: who reads or writes a shell or a file, and who writes anything by
/// hand. A picture that comes by itself or an open microphone shows nothing.
fn active(spec: &ChannelSpec) -> Vec<ParticipantId> {
    match spec.class {
        Class::Shell | Class::File => spec.readers.iter().copied().chain([spec.writer]).collect(),
        Class::Input if spec.kinds != Kind::Voice.bit() => vec![spec.writer],
        Class::Input | Class::Picture => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(class: Class, kinds: u32) -> ChannelSpec {
        let (writer, readers) = (ParticipantId(0), vec![ParticipantId(1), ParticipantId(2)]);
        ChannelSpec { channel: ChannelId(1), kinds, class, lossy: false, writer, readers }
    }

    #[test]
    fn r7_9_shells_and_files_show_everyone_active_and_what_is_written_by_hand_its_writer() {
        let ids = |ids: &[u16]| ids.iter().copied().map(ParticipantId).collect::<Vec<_>>();
        assert_eq!(active(&spec(Class::Shell, Kind::ShellOutput.bit())), ids(&[1, 2, 0]));
        assert_eq!(active(&spec(Class::File, Kind::File.bit())), ids(&[1, 2, 0]));
        assert_eq!(active(&spec(Class::Input, Kind::Keys.bit())), ids(&[0]));
        assert_eq!(active(&spec(Class::Input, Kind::Voice.bit())), ids(&[]));
        assert_eq!(active(&spec(Class::Picture, Kind::Picture.bit())), ids(&[]));
    }
}
