//! An endpoint that stands by for a jump item: connected without a session, the customer's end of each that a rep starts
//! there, and where jobs run (P8.8). It asks nobody before: what a session may do the policies say (P4.5).

use super::{AgentError, Options, Terminal, button::ItemKey, endpoint::serve_at, jobs::Jobs, join, plain};
use crate::{
    client::{ActError, Client, ClientError, Happening, Happenings, jitter},
    limits,
    wire::{CloseCode, Do, control::Ev},
};
use std::{io, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Stands by until `stop` is cancelled, or its key is good no more, or another endpoint came with it.
pub async fn stand_by(options: Options, mut terminal: Terminal, stop: CancellationToken) -> Result<(), AgentError> {
    // What may go wrong with the machine's own files is said at once, and not when somebody jumps.
    super::files::Roots::open(&options.roots).map_err(AgentError::Root)?;
    // A session is come back into by the item's key, so nothing of one is kept.
    let options = Options { state: None, ..options };
    let mut jobs = Jobs::new(options.jobs);
    let stood = stand(&options, &mut terminal, &mut jobs, &stop).await;
    jobs.end().await;
    stood
}

/// P3.25: has the key that is kept here be good no more, and deletes it. Whoever stands by with it is cut off.
pub async fn revoke(options: Options) -> Result<(), AgentError> {
    let none = || AgentError::ItemKey(io::ErrorKind::NotFound.into());
    let key = ItemKey::find(None, options.pin.clone()).ok_or_else(none)?;
    let options = Options { key: key.as_str().to_owned(), ..options };
    let gone = CloseCode::Gone.number();
    match join::stand_by(&options, false).await {
        Ok((client, happenings)) => {
            happenings.ignore();
            let revoked = client.act(Do::RevokeItemKey { item: None }).await;
            client.close().await;
            match revoked {
                Ok(_) => {}
                // Cut off with everybody who came by it, before the answer was here.
                Err(ActError::Closed { code, .. }) if code == gone => {}
                Err(ActError::Closed { code, reason }) => {
                    return Err(AgentError::Ended { code, reason: plain(&reason) });
                }
                Err(ActError::Refused(refused)) => {
                    return Err(AgentError::Join(Box::new(ClientError::Refused(refused))));
                }
            }
        }
        // It was good no more before.
        Err(ClientError::Denied { code, .. }) if code == gone => {}
        Err(error) => return Err(AgentError::Join(Box::new(error))),
    }
    key.forget().map_err(AgentError::ItemKey)
}

/// Through one connection after another.
async fn stand(
    options: &Options,
    terminal: &mut Terminal,
    jobs: &mut Jobs,
    stop: &CancellationToken,
) -> Result<(), AgentError> {
    let mut again = 0;
    loop {
        let connected = tokio::select! {
            connected = connect(options, terminal) => connected?,
            () = stop.cancelled() => return Ok(()),
        };
        let (client, happenings) = connected;
        let since = Instant::now();
        terminal.say(&format!("Standing by for {}. Ctrl-C leaves.", plain(&client.welcome().you)));
        let mut line = Line { client, happenings, jobs, connected: true, next: None, ended: None };
        let ended = wait(options, terminal, &mut line, stop).await;
        line.client.close().await;
        match ended {
            None => return Ok(()),
            Some((code, _)) if code == CloseCode::Replaced.number() => return Err(AgentError::Replaced),
            // The way back of this connection is gone; the key may be good still.
            Some((code, reason)) => terminal.say(&format!("No longer connected ({code}): {}.", plain(&reason))),
        }
        // One that held is no sign of a broker that has too much to do.
        if since.elapsed() >= Duration::from_millis(limits::RECONNECT_CAP.0) {
            again = 0;
        }
        tokio::select! {
            () = tokio::time::sleep(jitter(again)) => again += 1,
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// A machine may be up before its network is.
async fn connect(options: &Options, terminal: &mut Terminal) -> Result<(Client, Happenings), AgentError> {
    let mut tries = 0;
    loop {
        match join::stand_by(options, terminal.present()).await {
            Err(error) if error.come_back() => {
                terminal.say(&format!("Not standing by yet: {}.", plain(&error.to_string())));
                tokio::time::sleep(jitter(tries)).await;
                tries += 1;
            }
            connected => return connected.map_err(|error| AgentError::Join(Box::new(error))),
        }
    }
}

/// Takes up one session after another. Code and reason where the connection ended for good; none: it was stopped.
async fn wait(
    options: &Options,
    terminal: &mut Terminal,
    line: &mut Line<'_>,
    stop: &CancellationToken,
) -> Option<(u16, String)> {
    let mut tries = 0;
    loop {
        let Some(session) = line.next.take() else {
            if line.ended.is_some() {
                return line.ended.take();
            }
            let before = line.connected;
            tokio::select! {
                () = line.hear() => {}
                // What is typed while nobody is there is said to nobody.
                _ = terminal.line() => {}
                () = stop.cancelled() => return None,
            }
            match (before, line.connected) {
                (true, false) => terminal.say("Connection lost; it is tried again."),
                (false, true) => terminal.say("Standing by."),
                _ => {}
            }
            line.jobs.said().iter().for_each(|said| terminal.say(said));
            continue;
        };
        terminal.say(&format!("Session {session} begins."));
        let served = {
            let serving = serve_at(options.clone(), terminal, stop.clone());
            tokio::pin!(serving);
            loop {
                tokio::select! {
                    served = &mut serving => break served,
                    () = line.hear(), if line.ended.is_none() => {}
                }
            }
        };
        if stop.is_cancelled() {
            return None;
        }
        // Told again after a connection that broke, of what was served already.
        line.next.take_if(|next| *next == session);
        match served {
            Ok(()) => tries = 0,
            Err(AgentError::Ended { code, reason }) if code == CloseCode::Replaced.number() => {
                return Some((code, reason));
            }
            // A session that is over says so at the next try.
            Err(error) if line.ended.is_none() && tries_again(&error) => {
                terminal.say(&format!("Not in the session at the moment: {}.", plain(&error.to_string())));
                line.next.get_or_insert(session);
                tokio::select! {
                    () = tokio::time::sleep(jitter(tries)) => tries += 1,
                    () = stop.cancelled() => return None,
                }
            }
            Err(error) => terminal.say(&format!("Not in the session: {}.", plain(&error.to_string()))),
        }
        line.jobs.said().iter().for_each(|said| terminal.say(said));
        if line.next.is_none() && line.connected {
            terminal.say("Standing by.");
        }
    }
}

/// The connection that stands by, and what it has said so far.
struct Line<'a> {
    client: Client,
    happenings: Happenings,
    jobs: &'a mut Jobs,
    connected: bool,
    /// The session to take up.
    next: Option<u64>,
    /// Code and reason, where it ended for good.
    ended: Option<(u16, String)>,
}

impl Line<'_> {
    async fn hear(&mut self) {
        let happened = tokio::select! {
            happened = self.happenings.recv() => happened,
            () = self.jobs.step(&self.client) => return,
        };
        match happened {
            Some(Happening::Ev { ev: Ev::Job { job, call }, .. }) => self.jobs.called(&self.client, job, call),
            Some(Happening::Ev { ev: Ev::Jumped { session }, .. }) => self.next = Some(session),
            Some(Happening::Ev { .. }) => {}
            Some(Happening::Connected { .. }) => self.connected = true,
            Some(Happening::Lost { .. }) => self.connected = false,
            Some(Happening::Ended { code, reason }) => self.ended = Some((code, reason)),
            None => self.ended = Some((CloseCode::Normal.number(), "closed".to_owned())),
        }
    }
}

fn tries_again(error: &AgentError) -> bool {
    match error {
        AgentError::Join(error) => error.come_back(),
        error => matches!(error, AgentError::Ended { .. }),
    }
}
