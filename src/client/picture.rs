//! The documented picture format of the generated screen: whole pictures of tiles, key or delta.
//!
//! A picture is `format u8 = 1, width u16, height u16`, then tiles until the end:
//! `x u16, y u16, width u16, height u16, coding u8, length u32`, then `length` bytes. Coding 0 is raw RGB, three bytes a
//! pixel, row by row; coding 1 is runs of `count u8 (1–255), red, green, blue`. All numbers are big-endian. A key
//! picture holds tiles for every pixel; a delta only those that changed. It is cut into frames of kind `picture`, the
//! first with START, the last with END, and all with KEY where it is a key picture.
//!
//! Input goes the other way: `pointer` is `x u16, y u16`; `click` is `button u8, down u8, x u16, y u16`; `keys` is UTF-8.

use crate::{limits, wire::Flags};
use bytes::{Buf, BufMut};

const FORMAT: u8 = 1;
const RAW: u8 = 0;
const RUNS: u8 = 1;
const TILE: u16 = 32;

/// A screen's pixels, three bytes each, row by row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Canvas {
    width: u16,
    height: u16,
    rgb: Vec<u8>,
}

/// What is wrong with a picture; the sender is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PictureError {
    #[error("the picture ends in the middle")]
    Short,
    #[error("picture format {0} is not known")]
    Format(u8),
    #[error("a picture of {0}×{1} is not allowed")]
    Size(u16, u16),
    #[error("a tile lies outside the picture")]
    Outside,
    #[error("a tile's pixels do not fit its size")]
    Tile,
    #[error("tile coding {0} is not known")]
    Coding(u8),
    #[error("a delta came before any key picture")]
    NoKey,
    #[error("a picture is longer than {} bytes", limits::PICTURE_BYTES_MAX)]
    TooLong,
}

impl Canvas {
    /// Black. Sides are at least 1 and at most `PICTURE_SIDE_MAX`, and all pixels fit `PICTURE_BYTES_MAX`.
    pub fn new(width: u16, height: u16) -> Result<Self, PictureError> {
        let sides = 1..=limits::PICTURE_SIDE_MAX;
        let bytes = usize::from(width) * usize::from(height) * 3;
        if !sides.contains(&width) || !sides.contains(&height) || bytes > limits::PICTURE_BYTES_MAX {
            return Err(PictureError::Size(width, height));
        }
        Ok(Self { width, height, rgb: vec![0; bytes] })
    }

    pub fn size(&self) -> (u16, u16) {
        (self.width, self.height)
    }

    /// The colour at a place, black outside.
    pub fn at(&self, x: u16, y: u16) -> [u8; 3] {
        if x >= self.width || y >= self.height {
            return [0; 3];
        }
        let at = self.place(x, y);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Paints a rectangle; what lies outside is cut off.
    pub fn fill(&mut self, x: u16, y: u16, width: u16, height: u16, colour: [u8; 3]) {
        let right = x.saturating_add(width).min(self.width);
        for row in y..y.saturating_add(height).min(self.height) {
            if x < right {
                let (from, to) = (self.place(x, row), self.place(x, row) + usize::from(right - x) * 3);
                self.rgb[from..to].chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&colour));
            }
        }
    }

    /// As a PNG file.
    pub fn to_png(&self) -> Vec<u8> {
        png_of(self.width, self.height, &self.rgb)
    }

    fn place(&self, x: u16, y: u16) -> usize {
        (usize::from(y) * usize::from(self.width) + usize::from(x)) * 3
    }

    fn tile(&self, tile: Tile) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(tile.bytes());
        for row in tile.y..tile.y + tile.height {
            let from = self.place(tile.x, row);
            pixels.extend_from_slice(&self.rgb[from..from + usize::from(tile.width) * 3]);
        }
        pixels
    }
}

/// One whole picture: a key picture if there is no `before` of the same size, else what differs from it.
pub fn encode(canvas: &Canvas, before: Option<&Canvas>) -> Vec<u8> {
    let before = before.filter(|before| before.size() == canvas.size());
    let mut picture = vec![FORMAT];
    picture.put_u16(canvas.width);
    picture.put_u16(canvas.height);
    for y in (0..canvas.height).step_by(usize::from(TILE)) {
        for x in (0..canvas.width).step_by(usize::from(TILE)) {
            let tile = Tile { x, y, width: TILE.min(canvas.width - x), height: TILE.min(canvas.height - y) };
            let pixels = canvas.tile(tile);
            if before.is_some_and(|before| before.tile(tile) == pixels) {
                continue;
            }
            let runs = runs(&pixels);
            let (coding, data) = if runs.len() < pixels.len() { (RUNS, runs) } else { (RAW, pixels) };
            for number in [tile.x, tile.y, tile.width, tile.height] {
                picture.put_u16(number);
            }
            picture.put_u8(coding);
            picture.put_u32(data.len() as u32);
            picture.extend_from_slice(&data);
        }
    }
    picture
}

/// Puts pictures together from frames and keeps the latest.
#[derive(Default, Debug)]
pub struct Viewer {
    picture: Vec<u8>,
    begun: bool,
    canvas: Option<Canvas>,
    /// Whole pictures shown.
    pub shown: u64,
    /// A delta is useless until the next key picture.
    needs_key: bool,
}

impl Viewer {
    /// Takes one frame; true when it completed a picture that is now on the canvas. After an error the next key
    /// picture makes all well again.
    pub fn take(&mut self, flags: Flags, bytes: &[u8]) -> Result<bool, PictureError> {
        if flags.has(Flags::START) {
            self.picture.clear();
            self.begun = true;
            if flags.has(Flags::GAP) {
                self.needs_key = true;
            }
            if flags.has(Flags::KEY) {
                self.needs_key = false;
            }
        }
        if !self.begun {
            return Ok(false);
        }
        if self.picture.len() + bytes.len() > limits::PICTURE_BYTES_MAX {
            self.begun = false;
            self.needs_key = true;
            return Err(PictureError::TooLong);
        }
        self.picture.extend_from_slice(bytes);
        if !flags.has(Flags::END) {
            return Ok(false);
        }
        self.begun = false;
        if self.needs_key {
            return Ok(false);
        }
        let shown = apply(&mut self.canvas, &self.picture, flags.has(Flags::KEY));
        self.needs_key = shown.is_err();
        self.shown += u64::from(shown.is_ok());
        shown.map(|()| true)
    }

    pub fn canvas(&self) -> Option<&Canvas> {
        self.canvas.as_ref()
    }

    pub fn needs_key(&self) -> bool {
        self.needs_key
    }
}

fn apply(canvas: &mut Option<Canvas>, mut picture: &[u8], key: bool) -> Result<(), PictureError> {
    let format = picture.try_get_u8().map_err(|_| PictureError::Short)?;
    if format != FORMAT {
        return Err(PictureError::Format(format));
    }
    let (width, height) = (number(&mut picture)?, number(&mut picture)?);
    if key {
        *canvas = Some(Canvas::new(width, height)?);
    }
    let canvas = canvas.as_mut().filter(|canvas| canvas.size() == (width, height)).ok_or(PictureError::NoKey)?;
    while picture.has_remaining() {
        let tile = Tile {
            x: number(&mut picture)?,
            y: number(&mut picture)?,
            width: number(&mut picture)?,
            height: number(&mut picture)?,
        };
        let coding = picture.try_get_u8().map_err(|_| PictureError::Short)?;
        let length = picture.try_get_u32().map_err(|_| PictureError::Short)? as usize;
        let data = picture.get(..length).ok_or(PictureError::Short)?;
        picture.advance(length);
        if u32::from(tile.x) + u32::from(tile.width) > u32::from(width)
            || u32::from(tile.y) + u32::from(tile.height) > u32::from(height)
        {
            return Err(PictureError::Outside);
        }
        let unpacked;
        let pixels = match coding {
            RAW => data,
            RUNS => {
                unpacked = unpack(data, tile.bytes())?;
                &unpacked[..]
            }
            other => return Err(PictureError::Coding(other)),
        };
        if pixels.len() != tile.bytes() || pixels.is_empty() {
            return Err(PictureError::Tile);
        }
        for (row, line) in (tile.y..).zip(pixels.chunks_exact(usize::from(tile.width) * 3)) {
            let from = canvas.place(tile.x, row);
            canvas.rgb[from..from + line.len()].copy_from_slice(line);
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Tile {
    x: u16,
    y: u16,
    width: u16,
    height: u16,
}

impl Tile {
    fn bytes(self) -> usize {
        usize::from(self.width) * usize::from(self.height) * 3
    }
}

fn number(picture: &mut &[u8]) -> Result<u16, PictureError> {
    picture.try_get_u16().map_err(|_| PictureError::Short)
}

/// RGB pixels as a PNG file, packed fast rather than small.
fn png_of(width: u16, height: u16, rgb: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width.into(), height.into());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(rgb)?;
        writer.finish()
    });
    written.expect("memory takes everything, and the pixels are as many as the sides say");
    file
}

fn runs(pixels: &[u8]) -> Vec<u8> {
    let mut runs: Vec<u8> = Vec::new();
    for pixel in pixels.chunks_exact(3) {
        let last = runs.len().wrapping_sub(4);
        match runs.get_mut(last..) {
            Some([count, colour @ ..]) if *colour == *pixel && *count < u8::MAX => *count += 1,
            _ => runs.extend_from_slice(&[1, pixel[0], pixel[1], pixel[2]]),
        }
    }
    runs
}

fn unpack(data: &[u8], expected: usize) -> Result<Vec<u8>, PictureError> {
    if !data.len().is_multiple_of(4) {
        return Err(PictureError::Tile);
    }
    let mut pixels = Vec::with_capacity(expected);
    for run in data.chunks_exact(4) {
        let count = usize::from(run[0]);
        if count == 0 || pixels.len() + count * 3 > expected {
            return Err(PictureError::Tile);
        }
        pixels.extend_from_slice(&run[1..].repeat(count));
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Flags = Flags(Flags::START.0 | Flags::END.0 | Flags::KEY.0);
    const DELTA: Flags = Flags(Flags::START.0 | Flags::END.0);

    fn noisy(width: u16, height: u16, seed: u8) -> Canvas {
        let mut canvas = Canvas::new(width, height).unwrap();
        for (at, byte) in canvas.rgb.iter_mut().enumerate() {
            *byte = (at as u8).wrapping_mul(seed).wrapping_add(seed);
        }
        canvas
    }

    #[test]
    fn a_key_picture_and_its_deltas_show_the_same_pixels() {
        let first = noisy(70, 41, 7);
        let mut second = first.clone();
        second.fill(34, 10, 5, 5, [255, 0, 0]);
        let mut viewer = Viewer::default();
        assert!(viewer.take(KEY, &encode(&first, None)).unwrap());
        assert_eq!(viewer.canvas(), Some(&first));
        let delta = encode(&second, Some(&first));
        assert!(delta.len() < encode(&second, None).len() / 2, "only changed tiles travel");
        assert!(viewer.take(DELTA, &delta).unwrap());
        assert_eq!(viewer.canvas(), Some(&second));
        assert_eq!(viewer.shown, 2);
    }

    #[test]
    fn a_picture_in_several_frames_shows_at_its_end() {
        let canvas = noisy(64, 64, 3);
        let picture = encode(&canvas, None);
        let (front, back) = picture.split_at(100);
        let mut viewer = Viewer::default();
        assert!(!viewer.take(Flags::START.with(Flags::KEY), front).unwrap());
        assert!(viewer.take(Flags::END.with(Flags::KEY), back).unwrap());
        assert_eq!(viewer.canvas(), Some(&canvas));
    }

    #[test]
    fn w1_7_after_a_gap_deltas_wait_for_a_key_picture() {
        let canvas = noisy(40, 40, 5);
        let mut viewer = Viewer::default();
        viewer.take(KEY, &encode(&canvas, None)).unwrap();
        assert!(!viewer.take(DELTA.with(Flags::GAP), &encode(&canvas, None)).unwrap());
        assert!(viewer.needs_key());
        assert!(!viewer.take(DELTA, &encode(&canvas, None)).unwrap());
        assert!(viewer.take(KEY.with(Flags::GAP), &encode(&canvas, None)).unwrap());
    }

    #[test]
    fn damage_is_an_error_and_a_key_picture_mends_it() {
        let canvas = noisy(33, 33, 9);
        let picture = encode(&canvas, None);
        let mut viewer = Viewer::default();
        assert_eq!(viewer.take(KEY, &picture[..picture.len() - 1]), Err(PictureError::Short));
        assert_eq!(viewer.take(KEY, &[2, 0, 1, 0, 1]), Err(PictureError::Format(2)));
        assert_eq!(viewer.take(KEY, &[1, 255, 255, 0, 1]), Err(PictureError::Size(65535, 1)));
        assert_eq!(
            viewer.take(KEY, &[1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 3, 1, 2, 3]),
            Err(PictureError::Outside)
        );
        assert!(viewer.take(KEY, &picture).unwrap());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_picture_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), flags in 0u8..32) {
            let mut viewer = Viewer::default();
            let small = noisy(8, 8, 1);
            viewer.take(KEY, &encode(&small, None)).unwrap();
            let mut picture = vec![1, 0, 8, 0, 8];
            picture.extend_from_slice(&bytes);
            let _ = viewer.take(Flags(flags), &picture);
            let _ = viewer.take(Flags(flags), &bytes);
            prop_assert!(viewer.take(KEY, &encode(&small, None)).unwrap());
        }
    }
}
