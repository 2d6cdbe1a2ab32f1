//! A screen's pixels become a picture: tiles that changed, each packed as it is smallest.

use super::{Canvas, FORMAT, PNG, RAW, RUNS, RUNS_ARE_GOOD, TILE, Tile, WIDE, png_of};
use bytes::BufMut;

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
