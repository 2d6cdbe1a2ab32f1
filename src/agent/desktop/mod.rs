//! The real screen of an X11 desktop: its pixels, its pointer and keys, its clipboard. Wayland's compositors give none of
//! this to a program: under them only a screen named with `--screen x11` is tried, and shows what X programs show.

mod devices;
mod keys;
mod selection;

pub use selection::Selection;

use crate::{client::picture::Canvas, wire::Kind};
use devices::Devices;
use keys::Keyboard;
use parking_lot::Mutex;
use x11rb::{
    connection::Connection,
    errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError},
    protocol::{
        xproto::{
            BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, ImageFormat, ImageOrder, KEY_PRESS_EVENT,
            KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, Screen, Visualtype, Window,
        },
        xtest::ConnectionExt as _,
    },
    rust_connection::RustConnection,
};

/// Why there is no picture, or no input.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    #[error("no_screen: {0}")]
    Connect(#[from] ConnectError),
    #[error("no_screen: {0}")]
    Connection(#[from] ConnectionError),
    #[error("no_screen: {0}")]
    Reply(#[from] ReplyError),
    #[error("no_screen: {0}")]
    Id(#[from] ReplyOrIdError),
    #[error("no_screen: {0}")]
    Unfit(&'static str),
}

/// One screen of an X server.
pub struct Desktop {
    connection: RustConnection,
    root: Window,
    layout: Layout,
    keyboard: Mutex<Keyboard>,
    devices: Devices,
}

impl Desktop {
    /// The screen of a display such as `:0`, or of `DISPLAY`.
    pub fn open(display: Option<&str>) -> Result<Self, DesktopError> {
        let (connection, screen) = RustConnection::connect(display)?;
        let screen = connection.setup().roots.get(screen).ok_or(DesktopError::Unfit("the display has no screen"))?;
        let (root, layout) = (screen.root, Layout::of(&connection, screen)?);
        connection.xtest_get_version(2, 2)?.reply()?;
        let keyboard = Mutex::new(Keyboard::read(&connection)?);
        Ok(Self { connection, root, layout, keyboard, devices: Devices::default() })
    }

    /// Whether the person's own keyboards and pointers can be told from what is injected.
    pub fn holds(&self) -> Result<(), DesktopError> {
        Devices::supported(&self.connection)
    }

    /// What the person types and points at does nothing, until they are let go (P3.4).
    pub fn hold(&self, hold: bool) -> Result<(), DesktopError> {
        if hold { self.devices.hold(&self.connection, self.root) } else { self.devices.let_go(&self.connection) }
    }

    /// What is on the screen at this moment.
    pub fn grab(&self) -> Result<Canvas, DesktopError> {
        let size = self.connection.get_geometry(self.root)?.reply()?;
        let (width, height) = (size.width, size.height);
        let image =
            self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, width, height, u32::MAX)?.reply()?;
        let rgb = self.layout.rgb(usize::from(width), usize::from(height), &image.data);
        Canvas::from_rgb(width, height, rgb).map_err(|_| DesktopError::Unfit("the screen is larger than pictures are"))
    }

    /// Does what an input frame says; one that is malformed does nothing.
    pub fn input(&self, kind: Kind, bytes: &[u8]) -> Result<(), DesktopError> {
        match (kind, bytes) {
            (Kind::Pointer, &[x1, x0, y1, y0]) => {
                self.point(u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]))?
            }
            (Kind::Click, &[button, down, x1, x0, y1, y0]) if (1..=9).contains(&button) => {
                self.point(u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]))?;
                self.fake(if down != 0 { BUTTON_PRESS_EVENT } else { BUTTON_RELEASE_EVENT }, button)?;
            }
            (Kind::Keys, &[0, down, s3, s2, s1, s0]) => {
                let keysym = u32::from_be_bytes([s3, s2, s1, s0]);
                let (key, _) = self.keyboard.lock().key(&self.connection, keysym)?;
                self.fake(if down != 0 { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT }, key)?;
            }
            (Kind::Keys, text) => {
                for c in String::from_utf8_lossy(text).chars() {
                    self.type_in(keys::keysym(c))?;
                }
            }
            _ => {}
        }
        Ok(self.connection.flush()?)
    }

    fn point(&self, x: u16, y: u16) -> Result<(), DesktopError> {
        let at = |place: u16| i16::try_from(place).unwrap_or(i16::MAX);
        self.connection.xtest_fake_input(MOTION_NOTIFY_EVENT, 0, 0, self.root, at(x), at(y), 0)?;
        Ok(())
    }

    fn type_in(&self, keysym: u32) -> Result<(), DesktopError> {
        let keyboard = &mut *self.keyboard.lock();
        let (key, shifted) = keyboard.key(&self.connection, keysym)?;
        let shift = shifted.then(|| keyboard.shift());
        if let Some(shift) = shift {
            self.fake(KEY_PRESS_EVENT, shift)?;
        }
        self.fake(KEY_PRESS_EVENT, key)?;
        self.fake(KEY_RELEASE_EVENT, key)?;
        if let Some(shift) = shift {
            self.fake(KEY_RELEASE_EVENT, shift)?;
        }
        Ok(())
    }

    fn fake(&self, event: u8, detail: u8) -> Result<(), DesktopError> {
        self.connection.xtest_fake_input(event, detail, 0, self.root, 0, 0, 0)?;
        Ok(())
    }
}

/// How the server lays pixels out.
struct Layout {
    bytes_per_pixel: usize,
    /// Bits a row is padded to.
    row_bits: usize,
    least_first: bool,
    masks: [u32; 3],
}

impl Layout {
    fn of(connection: &RustConnection, screen: &Screen) -> Result<Self, DesktopError> {
        let setup = connection.setup();
        let format = setup.pixmap_formats.iter().find(|format| format.depth == screen.root_depth);
        let format = format.ok_or(DesktopError::Unfit("the screen's depth has no format"))?;
        let mut visuals = screen.allowed_depths.iter().flat_map(|depth| &depth.visuals);
        let visual: &Visualtype = visuals
            .find(|visual| visual.visual_id == screen.root_visual)
            .ok_or(DesktopError::Unfit("the screen has no visual"))?;
        let masks = [visual.red_mask, visual.green_mask, visual.blue_mask];
        if !matches!(format.bits_per_pixel, 16 | 24 | 32) || masks.contains(&0) {
            return Err(DesktopError::Unfit("the screen has no true colours"));
        }
        Ok(Self {
            bytes_per_pixel: usize::from(format.bits_per_pixel / 8),
            row_bits: usize::from(format.scanline_pad),
            least_first: setup.image_byte_order == ImageOrder::LSB_FIRST,
            masks,
        })
    }

    fn rgb(&self, width: usize, height: usize, data: &[u8]) -> Vec<u8> {
        let row = (width * self.bytes_per_pixel * 8).next_multiple_of(self.row_bits.max(8)) / 8;
        let mut rgb = Vec::with_capacity(width * height * 3);
        for line in data.chunks_exact(row).take(height) {
            for pixel in line.chunks_exact(self.bytes_per_pixel).take(width) {
                let value = pixel.iter().enumerate().fold(0, |value: u32, (at, byte)| {
                    let at = if self.least_first { at } else { self.bytes_per_pixel - 1 - at };
                    value | (u32::from(*byte) << (8 * at))
                });
                rgb.extend(self.masks.map(|mask| channel(value, mask)));
            }
        }
        rgb
    }
}

/// One colour of a pixel, as eight bits.
fn channel(pixel: u32, mask: u32) -> u8 {
    let (value, most) = ((pixel & mask) >> mask.trailing_zeros(), mask >> mask.trailing_zeros());
    // Within a byte, for value is at most `most`.
    (u64::from(value) * 255 / u64::from(most)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_every_usual_layout_become_rgb() {
        let wide = Layout { bytes_per_pixel: 4, row_bits: 32, least_first: true, masks: [0xff_0000, 0xff00, 0xff] };
        assert_eq!(wide.rgb(2, 1, &[3, 2, 1, 0, 30, 20, 10, 255]), [1, 2, 3, 10, 20, 30]);
        let most = Layout { least_first: false, ..wide };
        assert_eq!(most.rgb(1, 1, &[0, 1, 2, 3]), [1, 2, 3]);
        let small = Layout { bytes_per_pixel: 2, row_bits: 32, least_first: true, masks: [0xf800, 0x07e0, 0x1f] };
        assert_eq!(small.rgb(1, 2, &[0xff, 0xff, 9, 9, 0x00, 0xf8, 9, 9]), [255, 255, 255, 255, 0, 0]);
    }
}
