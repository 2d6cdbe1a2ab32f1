//! Pictures become a screen's pixels again. Nothing that comes is trusted: what it unpacks to is bounded.

use super::{Canvas, FORMAT, PNG, PictureError, RAW, RUNS, Tile};
use crate::{limits, wire::Flags};
use bytes::Buf;

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

fn number(picture: &mut &[u8]) -> Result<u16, PictureError> {
    picture.try_get_u16().map_err(|_| PictureError::Short)
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
