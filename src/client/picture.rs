//! The documented picture format of a screen: whole pictures of tiles, key or delta.
//!
//! A picture is `format u8 = 1, width u16, height u16`, then tiles until the end:
//! `x u16, y u16, width u16, height u16, coding u8, length u32`, then `length` bytes. Coding 0 is raw RGB, three bytes a
//! pixel, row by row; coding 1 is runs of `count u8 (1–255), red, green, blue`; coding 2 is a PNG file of eight-bit RGB.
//! All numbers are big-endian, and tiles of a picture do not overlap. A key picture holds tiles for every pixel; a delta
//! only those that changed. It is cut into frames of kind `picture`, the
//! first with START, the last with END, and all with KEY where it is a key picture.
//!
//! Input goes the other way: `pointer` is `x u16, y u16`; `click` is `button u8, down u8, x u16, y u16`; `keys` is UTF-8.

use crate::{limits, wire::Flags};
use bytes::{Buf, BufMut};

const FORMAT: u8 = 1;
const RAW: u8 = 0;
const RUNS: u8 = 1;
const PNG: u8 = 2;
const TILE: u16 = 32;
/// Changed tiles beside each other travel as one, up to this width.
const WIDE: u16 = 8 * TILE;
/// Runs so much shorter than raw pixels need no better packing.
const RUNS_ARE_GOOD: usize = 16;
/// A picture without any tile.
pub const HEADER_BYTES: usize = 5;

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
    #[error("the tiles of a picture overlap")]
    Overlap,
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

    /// Three bytes a pixel, row by row.
    pub fn from_rgb(width: u16, height: u16, rgb: Vec<u8>) -> Result<Self, PictureError> {
        let canvas = Self::new(width, height)?;
        if rgb.len() != canvas.rgb.len() {
            return Err(PictureError::Tile);
        }
        Ok(Self { rgb, ..canvas })
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

    /// The same pixels in this tile, in a picture of the same size.
    fn same(&self, other: &Self, tile: Tile) -> bool {
        (tile.y..tile.y + tile.height).all(|row| {
            let from = self.place(tile.x, row);
            let line = from..from + usize::from(tile.width) * 3;
            self.rgb[line.clone()] == other.rgb[line]
        })
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
        let mut run: Option<Tile> = None;
        for x in (0..canvas.width).step_by(usize::from(TILE)) {
            let tile = Tile { x, y, width: TILE.min(canvas.width - x), height: TILE.min(canvas.height - y) };
            if before.is_some_and(|before| before.same(canvas, tile)) {
                if let Some(run) = run.take() {
                    put(&mut picture, canvas, run);
                }
                continue;
            }
            run = Some(match run {
                Some(run) if run.width + tile.width <= WIDE => Tile { width: run.width + tile.width, ..run },
                Some(run) => {
                    put(&mut picture, canvas, run);
                    tile
                }
                None => tile,
            });
        }
        if let Some(run) = run {
            put(&mut picture, canvas, run);
        }
    }
    picture
}

fn put(picture: &mut Vec<u8>, canvas: &Canvas, tile: Tile) {
    let pixels = canvas.tile(tile);
    let runs = runs(&pixels);
    let (coding, data) = if runs.len() * RUNS_ARE_GOOD <= pixels.len() {
        (RUNS, runs)
    } else {
        let packed = png_of(tile.width, tile.height, &pixels);
        let packings = [(PNG, packed), (RUNS, runs), (RAW, pixels)];
        packings.into_iter().min_by_key(|(_, data)| data.len()).expect("there are three")
    };
    for number in [tile.x, tile.y, tile.width, tile.height] {
        picture.put_u16(number);
    }
    picture.put_u8(coding);
    picture.put_u32(data.len() as u32);
    picture.extend_from_slice(&data);
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
    // What is unpacked is bounded by the size of the picture, however it is packed.
    let mut room = canvas.rgb.len();
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
        room = room.checked_sub(tile.bytes()).ok_or(PictureError::Overlap)?;
        let unpacked;
        let pixels = match coding {
            RAW => data,
            RUNS => {
                unpacked = unpack(data, tile.bytes())?;
                &unpacked[..]
            }
            PNG => {
                unpacked = unpack_png(data, tile)?;
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

fn unpack_png(data: &[u8], tile: Tile) -> Result<Vec<u8>, PictureError> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(data)).read_info().map_err(|_| PictureError::Tile)?;
    let info = reader.info();
    let fits = (info.width, info.height) == (u32::from(tile.width), u32::from(tile.height));
    if !fits || reader.output_color_type() != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(PictureError::Tile);
    }
    let mut pixels = vec![0; tile.bytes()];
    reader.next_frame(&mut pixels).map_err(|_| PictureError::Tile)?;
    Ok(pixels)
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
    fn a_picture_with_many_colours_is_packed_as_png() {
        let mut canvas = Canvas::new(300, 64).unwrap();
        for (at, pixel) in canvas.rgb.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&[(at % 300) as u8, (at / 300) as u8, 7]);
        }
        let picture = encode(&canvas, None);
        assert!(picture.len() < canvas.rgb.len() / 4, "{} bytes", picture.len());
        let mut viewer = Viewer::default();
        assert!(viewer.take(KEY, &picture).unwrap());
        assert_eq!(viewer.canvas(), Some(&canvas));
        let shown = Canvas::from_rgb(300, 64, canvas.rgb.clone()).unwrap();
        assert_eq!(encode(&canvas, Some(&shown)).len(), HEADER_BYTES, "nothing changed");
        assert_eq!(Canvas::from_rgb(300, 65, canvas.rgb), Err(PictureError::Tile));
    }

    #[test]
    fn what_a_picture_unpacks_to_is_bounded_by_its_size() {
        let tile = [0, 0, 0, 0, 0, 2, 0, 1, 1, 0, 0, 0, 4, 2, 9, 9, 9];
        let once = [&[1, 0, 2, 0, 1][..], &tile].concat();
        let mut viewer = Viewer::default();
        assert!(viewer.take(KEY, &once).unwrap());
        assert_eq!(viewer.take(KEY, &[&once[..], &tile].concat()), Err(PictureError::Overlap));
        let bomb = png_of(2_000, 2_000, &vec![0; 12_000_000]);
        let mut picture = vec![1, 0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 0, 1, 2];
        picture.put_u32(bomb.len() as u32);
        picture.extend_from_slice(&bomb);
        assert_eq!(viewer.take(KEY, &picture), Err(PictureError::Tile));
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
