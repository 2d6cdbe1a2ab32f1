//! The generated screen: a moving picture that shows the input it gets, so that view and control can be proved without
//! a desktop. The format is that of `client::picture`.

use crate::{client::picture::Canvas, wire::Kind};

pub const WIDTH: u16 = 320;
pub const HEIGHT: u16 = 200;
const BALL: u16 = 24;
const SKY: [u8; 3] = [24, 28, 48];
const BALL_COLOUR: [u8; 3] = [240, 180, 40];
const POINTER_COLOUR: [u8; 3] = [80, 220, 120];
const PRESSED_COLOUR: [u8; 3] = [230, 60, 60];
const KEYS_COLOUR: [u8; 3] = [90, 150, 250];
/// Keys shown, the latest at the right.
const KEYS_SHOWN: usize = 40;

/// What stands on the generated screen.
#[derive(Default, Debug)]
pub struct Scene {
    tick: u32,
    pointer: Option<(u16, u16)>,
    pressed: bool,
    keys: Vec<u8>,
}

impl Scene {
    /// Takes one input frame; malformed ones change nothing.
    pub fn input(&mut self, kind: Kind, bytes: &[u8]) {
        match (kind, bytes) {
            (Kind::Pointer, &[x1, x0, y1, y0]) => {
                self.point(u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]))
            }
            (Kind::Click, &[_, down, x1, x0, y1, y0]) => {
                self.pressed = down != 0;
                self.point(u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
            }
            // A named key shows as its number's last byte.
            (Kind::Keys, &[0, down, _, _, _, key]) if down != 0 => self.keys.push(key),
            (Kind::Keys, &[0, ..]) => {}
            (Kind::Keys, keys) => {
                self.keys.extend_from_slice(keys);
            }
            _ => {}
        }
        let over = self.keys.len().saturating_sub(KEYS_SHOWN);
        self.keys.drain(..over);
    }

    /// Moves on by one picture.
    pub fn next(&mut self) -> Canvas {
        let canvas = self.draw();
        self.tick = self.tick.wrapping_add(1);
        canvas
    }

    fn point(&mut self, x: u16, y: u16) {
        self.pointer = Some((x.min(WIDTH - 1), y.min(HEIGHT - 1)));
    }

    fn draw(&self) -> Canvas {
        let mut canvas = Canvas::new(WIDTH, HEIGHT).expect("the demo's size is within the limits");
        canvas.fill(0, 0, WIDTH, HEIGHT, SKY);
        let (x, y) = (bounce(self.tick * 7, WIDTH - BALL), bounce(self.tick * 5, HEIGHT - BALL));
        canvas.fill(x, y, BALL, BALL, BALL_COLOUR);
        for (key, at) in self.keys.iter().zip(0u16..) {
            let height = u16::from(*key % 64) / 2 + 4;
            canvas.fill(at * 8, HEIGHT - height, 6, height, KEYS_COLOUR);
        }
        if let Some((x, y)) = self.pointer {
            let colour = if self.pressed { PRESSED_COLOUR } else { POINTER_COLOUR };
            canvas.fill(x.saturating_sub(6), y, 13, 1, colour);
            canvas.fill(x, y.saturating_sub(6), 1, 13, colour);
        }
        canvas
    }
}

/// Forth and back between 0 and `width`.
fn bounce(way: u32, width: u16) -> u16 {
    let width = u32::from(width);
    let at = way % (2 * width);
    at.min(2 * width - at) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_moves_and_shows_what_was_typed_and_clicked() {
        let mut scene = Scene::default();
        assert_ne!(scene.next(), scene.next());
        scene.input(Kind::Pointer, &[1, 4, 0, 100]);
        assert_eq!(scene.next().at(260, 100), POINTER_COLOUR);
        scene.input(Kind::Click, &[1, 1, 1, 4, 0, 100]);
        scene.input(Kind::Keys, b"a");
        let shown = scene.next();
        assert_eq!(shown.at(260, 100), PRESSED_COLOUR);
        assert_eq!(shown.at(0, HEIGHT - 1), KEYS_COLOUR);
        assert_eq!(shown.at(8, HEIGHT - 1), SKY);
        scene.input(Kind::Keys, &[0, 1, 0, 0, 0xff, 0x51]);
        scene.input(Kind::Keys, &[0, 0, 0, 0, 0xff, 0x51]);
        assert_eq!(scene.keys, [b'a', 0x51]);
    }

    #[test]
    fn malformed_input_changes_nothing() {
        let mut scene = Scene::default();
        scene.input(Kind::Pointer, &[1]);
        scene.input(Kind::Click, &[]);
        scene.input(Kind::ShellInput, b"rm");
        scene.input(Kind::Keys, &[0xff; 10_000]);
        assert_eq!((scene.pointer, scene.pressed, scene.keys.len()), (None, false, KEYS_SHOWN));
        scene.input(Kind::Pointer, &[255; 4]);
        assert_eq!(scene.pointer, Some((WIDTH - 1, HEIGHT - 1)));
    }
}
