//! The keyboards and pointers that a person has at this screen, and none of those by which input is injected.

use super::DesktopError;
use parking_lot::Mutex;
use x11rb::{
    CURRENT_TIME, NONE,
    connection::Connection,
    protocol::{
        xinput::{ConnectionExt as _, DeviceId, DeviceType, GrabOwner},
        xproto::{Atom, AtomEnum, ConnectionExt as _, GrabMode, GrabStatus, Window},
    },
    rust_connection::RustConnection,
};

/// As XInput2 counts: every device.
const ALL: DeviceId = 0;

/// Those that are held. They are grabbed, not disabled: the server gives them back by itself when this program's connection
/// ends, however it ends, and nobody is left without a keyboard.
#[derive(Default)]
pub(super) struct Devices {
    held: Mutex<Vec<DeviceId>>,
}

impl Devices {
    /// The server has XInput 2.
    pub fn supported(connection: &RustConnection) -> Result<(), DesktopError> {
        match connection.xinput_xi_query_version(2, 2)?.reply()?.major_version {
            2.. => Ok(()),
            _ => Err(DesktopError::Unfit("the display has no XInput 2")),
        }
    }

    /// Holds all that are there and not held yet.
    pub fn hold(&self, connection: &RustConnection, root: Window) -> Result<(), DesktopError> {
        let held = &mut *self.held.lock();
        let there = connection.xinput_xi_query_device(ALL)?.reply()?.infos;
        held.retain(|known| there.iter().any(|device| device.deviceid == *known));
        let mark = connection.intern_atom(false, b"XTEST Device")?.reply()?.atom;
        let (mode, mask) = (GrabMode::ASYNC, [0]);
        let mut refused = false;
        for device in there {
            let attached = matches!(device.type_, DeviceType::SLAVE_POINTER | DeviceType::SLAVE_KEYBOARD);
            let id = device.deviceid;
            if !attached || held.contains(&id) || injects(connection, id, mark)? {
                continue;
            }
            let grab = connection.xinput_xi_grab_device(
                root,
                CURRENT_TIME,
                NONE,
                id,
                mode,
                mode,
                GrabOwner::NO_OWNER,
                &mask,
            )?;
            match grab.reply()?.status {
                GrabStatus::SUCCESS => held.push(id),
                _ => refused = true,
            }
        }
        if refused { Err(DesktopError::Unfit("another program holds a keyboard or a pointer")) } else { Ok(()) }
    }

    pub fn let_go(&self, connection: &RustConnection) -> Result<(), DesktopError> {
        for device in self.held.lock().drain(..) {
            // One that was unplugged is held by nobody.
            connection.xinput_xi_ungrab_device(CURRENT_TIME, device)?.ignore_error();
        }
        Ok(connection.flush()?)
    }
}

/// Is it the server's own device for injected input?
fn injects(connection: &RustConnection, device: DeviceId, mark: Atom) -> Result<bool, DesktopError> {
    let marked = connection.xinput_xi_get_property(device, false, mark, AtomEnum::ANY.into(), 0, 1)?.reply()?;
    Ok(marked.type_ != NONE)
}
