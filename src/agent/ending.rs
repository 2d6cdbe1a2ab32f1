//! What this end does when its session is over (P3.30): what the broker said last, and the commands that the owner of this
//! machine gave for it. Without a command nothing is done, and the person is told so.

use super::shell::Shell;
use crate::limits;
use std::time::Duration;
use tokio::time::Instant;

/// Lines of the system's shell, where the owner of this machine allows these.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    pub lock: Option<String>,
    pub log_out: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Lock,
    LogOut,
}

#[derive(Debug)]
pub(super) struct Ending {
    commands: Commands,
    told: Option<Act>,
    /// For how long the broker waits for this end when it is away.
    waited_for: Duration,
    /// Since when the broker is not reached.
    lost: Option<Instant>,
    over: bool,
}

impl Ending {
    pub fn new(commands: Commands) -> Self {
        let waited_for = Duration::from_secs(limits::RECONNECT_TIMEOUT_S_DEFAULT.into());
        Self { commands, told: None, waited_for, lost: None, over: false }
    }

    /// The broker says how this session ends. What the person should know of it, where it is something else than before.
    pub fn told(&mut self, mode: &str) -> Option<String> {
        let told = match mode {
            "lock" => Some(Act::Lock),
            "log_out" => Some(Act::LogOut),
            _ => None,
        };
        if std::mem::replace(&mut self.told, told) == told {
            return None;
        }
        let Some(act) = told else {
            return Some("When this session is over nothing is done on this computer.".to_owned());
        };
        Some(match self.command(act) {
            Some(_) => format!("When this session is over {}.", act.done()),
            None => format!("The site wants that {} when this session is over; {}.", act.wanted(), act.nothing()),
        })
    }

    pub fn waited_for(&mut self, seconds: u64) {
        self.waited_for = Duration::from_secs(seconds);
    }

    pub fn lost(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
    }

    pub fn connected(&mut self) {
        self.lost = None;
    }

    /// Nobody came back in the time that the broker gives (R10.3): the session is over, whoever says so later.
    pub fn timed_out(&self, now: Instant) -> bool {
        self.lost.is_some_and(|lost| now.saturating_duration_since(lost) >= self.waited_for)
    }

    /// The session is over: what there is to do, once.
    fn take(&mut self) -> Option<(Act, Option<String>)> {
        let act = self.told.filter(|_| !std::mem::replace(&mut self.over, true))?;
        Some((act, self.command(act).map(str::to_owned)))
    }

    /// Does what was told last, once for a session. What the person should know of it.
    pub async fn apply(&mut self) -> Option<String> {
        let (act, command) = self.take()?;
        let Some(command) = command else {
            return Some(format!("The site wanted that {}; {}.", act.wanted(), act.nothing()));
        };
        let run = async {
            let (mut shell, mut output) = Shell::script(&command).map_err(|error| error.to_string())?;
            while output.recv().await.is_some() {}
            match shell.left().await {
                Some(0) => Ok(()),
                code => Err(code.map_or_else(|| "it does not end".to_owned(), |code| format!("it ended with {code}"))),
            }
        };
        let ran = tokio::time::timeout(Duration::from_millis(limits::ENDING_COMMAND.0), run).await;
        Some(match ran.unwrap_or_else(|_| Err("it took too long".to_owned())) {
            Ok(()) => format!("The session is over: {}.", act.done()),
            Err(why) => format!("The session is over, but what {} failed: {why}.", act.does()),
        })
    }

    fn command(&self, act: Act) -> Option<&str> {
        match act {
            Act::Lock => self.commands.lock.as_deref(),
            Act::LogOut => self.commands.log_out.as_deref(),
        }
    }
}

impl Act {
    const fn done(self) -> &'static str {
        match self {
            Self::Lock => "this computer is locked",
            Self::LogOut => "this computer's user is logged out",
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Lock => "this computer be locked",
            Self::LogOut => "this computer's user be logged out",
        }
    }

    const fn does(self) -> &'static str {
        match self {
            Self::Lock => "locks this computer",
            Self::LogOut => "logs its user out",
        }
    }

    const fn nothing(self) -> &'static str {
        match self {
            Self::Lock => "nothing here does that (`--lock COMMAND`)",
            Self::LogOut => "nothing here does that (`--log-out COMMAND`)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending() -> Ending {
        Ending::new(Commands { lock: Some("true".to_owned()), log_out: None })
    }

    #[test]
    fn p3_30_the_person_is_told_what_comes_and_what_this_end_cannot_do() {
        let mut ending = ending();
        assert_eq!(ending.told("nothing"), None, "nobody thinks otherwise");
        assert_eq!(ending.told("lock").unwrap(), "When this session is over this computer is locked.");
        assert_eq!(ending.told("lock"), None, "it is said once");
        let told = ending.told("log_out").unwrap();
        assert!(told.contains("wants that this computer's user be logged out") && told.contains("--log-out"), "{told}");
        assert!(ending.told("nothing").unwrap().contains("nothing is done"));
    }

    #[test]
    fn p3_30_what_was_told_last_counts_and_is_done_once() {
        let mut ending = ending();
        ending.told("log_out");
        ending.told("lock");
        assert_eq!(ending.take(), Some((Act::Lock, Some("true".to_owned()))));
        assert_eq!(ending.take(), None);
        let mut without = self::ending();
        without.told("log_out");
        assert_eq!(without.take(), Some((Act::LogOut, None)));
        assert_eq!(self::ending().take(), None, "nobody said anything");
    }

    #[test]
    fn bu_132_p3_30_reconnecting_times_out_when_the_brokers_own_time_is_over() {
        let (mut ending, start) = (ending(), Instant::now());
        let timeout = Duration::from_secs(90);
        ending.waited_for(90);
        let almost = start + timeout - Duration::from_secs(1);
        assert!(!ending.timed_out(start + timeout), "it was never lost");
        ending.lost(start);
        // Each try that fails says so again.
        ending.lost(almost);
        assert!(!ending.timed_out(almost));
        assert!(ending.timed_out(start + timeout));
        ending.connected();
        assert!(!ending.timed_out(start + timeout));
    }
}
