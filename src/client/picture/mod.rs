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
mod encode;
mod viewer;

pub use encode::encode;
pub use viewer::Viewer;

use crate::limits;

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

#[cfg(test)]
mod tests;
