//! Pictures there and back, and damaged on the way.

use super::*;
use crate::wire::Flags;
use bytes::BufMut;
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
