//! The clipboard of an X11 desktop (P3.3): text both ways through the CLIPBOARD selection. What was put there stays as
//! long as this endpoint runs, or until another program copies something.

use super::DesktopError;
use crate::limits;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use x11rb::{
    COPY_FROM_PARENT, CURRENT_TIME, NONE,
    connection::Connection,
    protocol::{
        Event,
        xproto::{
            AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, PropMode, SELECTION_NOTIFY_EVENT,
            SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
        },
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

x11rb::atom_manager! {
    Atoms: AtomsCookie {
        CLIPBOARD,
        UTF8_STRING,
        TARGETS,
        INCR,
        EQUIPOISE_CLIPBOARD,
        PLAIN: b"text/plain;charset=utf-8",
    }
}

/// Programs answer at once or never.
const ANSWER: Duration = Duration::from_secs(2);

pub struct Selection {
    display: Option<String>,
    own: Arc<Own>,
}

/// The window that owns what was put into the clipboard; its thread answers whoever pastes.
struct Own {
    connection: RustConnection,
    window: Window,
    atoms: Atoms,
    text: Mutex<String>,
}

impl Selection {
    pub fn open(display: Option<&str>) -> Result<Self, DesktopError> {
        let (connection, window, atoms) = window_on(display)?;
        let own = Arc::new(Own { connection, window, atoms, text: Mutex::default() });
        let answering = Arc::clone(&own);
        let thread = std::thread::Builder::new().name("clipboard".into()).spawn(move || answering.answer());
        thread.map_err(|_| DesktopError::Unfit("no thread for the clipboard"))?;
        Ok(Self { display: display.map(str::to_owned), own })
    }

    pub fn set(&self, text: String) -> Result<(), DesktopError> {
        *self.own.text.lock() = text;
        let Own { connection, window, atoms, .. } = &*self.own;
        connection.set_selection_owner(*window, atoms.CLIPBOARD, CURRENT_TIME)?.check()?;
        Ok(())
    }

    /// Empty where nobody has copied anything.
    pub fn get(&self) -> Result<String, DesktopError> {
        let (connection, window, atoms) = window_on(self.display.as_deref())?;
        let property = atoms.EQUIPOISE_CLIPBOARD;
        connection.convert_selection(window, atoms.CLIPBOARD, atoms.UTF8_STRING, property, CURRENT_TIME)?;
        connection.flush()?;
        let deadline = Instant::now() + ANSWER;
        loop {
            match event(&connection, deadline)? {
                None => return Err(DesktopError::Unfit("the program that copied does not answer")),
                Some(Event::SelectionNotify(answer)) if answer.property == NONE => return Ok(String::new()),
                Some(Event::SelectionNotify(_)) => break,
                Some(_) => {}
            }
        }
        let words = u32::try_from(limits::CLIPBOARD_BYTES_MAX / 4).unwrap_or(u32::MAX);
        let found = connection.get_property(true, window, property, AtomEnum::ANY, 0, words)?.reply()?;
        if found.type_ == atoms.INCR || found.bytes_after > 0 {
            return Err(DesktopError::Unfit("more is copied than a clipboard carries here"));
        }
        Ok(String::from_utf8_lossy(&found.value).into_owned())
    }
}

impl Drop for Selection {
    fn drop(&mut self) {
        // Ends the thread; a server that is gone has ended it already.
        let _ = self.own.connection.destroy_window(self.own.window);
        let _ = self.own.connection.flush();
    }
}

impl Own {
    fn answer(&self) {
        while let Ok(event) = self.connection.wait_for_event() {
            let answered = match event {
                Event::SelectionRequest(request) => self.give(&request),
                Event::DestroyNotify(_) => return,
                _ => Ok(()),
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "the clipboard could not be given");
            }
        }
    }

    fn give(&self, request: &SelectionRequestEvent) -> Result<(), DesktopError> {
        let Atoms { UTF8_STRING, TARGETS, PLAIN, .. } = self.atoms;
        // Old programs name no property and mean the target's.
        let property = if request.property == NONE { request.target } else { request.property };
        let text = self.text.lock().clone();
        let given = if request.target == TARGETS {
            let targets = [TARGETS, UTF8_STRING, PLAIN];
            self.connection.change_property32(
                PropMode::REPLACE,
                request.requestor,
                property,
                AtomEnum::ATOM,
                &targets,
            )?;
            true
        } else if [UTF8_STRING, PLAIN].contains(&request.target) {
            self.connection.change_property8(
                PropMode::REPLACE,
                request.requestor,
                property,
                request.target,
                text.as_bytes(),
            )?;
            true
        } else {
            false
        };
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if given { property } else { NONE },
        };
        self.connection.send_event(false, request.requestor, EventMask::NO_EVENT, answer)?;
        Ok(self.connection.flush()?)
    }
}

/// A connection of its own with a window that is never shown.
fn window_on(display: Option<&str>) -> Result<(RustConnection, Window, Atoms), DesktopError> {
    let (connection, screen) = RustConnection::connect(display)?;
    let root = connection.setup().roots.get(screen).ok_or(DesktopError::Unfit("the display has no screen"))?.root;
    let atoms = Atoms::new(&connection)?.reply()?;
    let window = connection.generate_id()?;
    let aux = CreateWindowAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
    let class = WindowClass::INPUT_ONLY;
    connection.create_window(0, window, root, 0, 0, 1, 1, 0, class, COPY_FROM_PARENT, &aux)?.check()?;
    Ok((connection, window, atoms))
}

/// The next event before the deadline.
fn event(connection: &RustConnection, deadline: Instant) -> Result<Option<Event>, DesktopError> {
    loop {
        if let Some(event) = connection.poll_for_event()? {
            return Ok(Some(event));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut waits = [PollFd::new(connection.stream(), PollFlags::IN)];
        // Interrupted or timed out: the loop looks again.
        let _ = poll(&mut waits, Some(&left));
    }
}
