//! What a rep draws over a customer's screen (P3.6): one frame of kind `annotation` is one of these.
//!
//! `shape u8` (0 clear, 1 arrow, 2 rectangle, 3 line, 4 text), `red u8, green u8, blue u8, count u16`, then `count` points of
//! `x u16, y u16`, then UTF-8 text to the end. All numbers are big-endian; points are pixels of the picture.

use bytes::{Buf, BufMut, Bytes};
use std::fmt;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation {
    pub shape: Shape,
    pub colour: [u8; 3],
    pub points: Vec<(u16, u16)>,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Takes everything away that this rep drew.
    Clear,
    Arrow,
    Rectangle,
    Line,
    Text,
}

const SHAPES: [Shape; 5] = [Shape::Clear, Shape::Arrow, Shape::Rectangle, Shape::Line, Shape::Text];

impl Annotation {
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![self.shape as u8];
        bytes.extend_from_slice(&self.colour);
        let count = u16::try_from(self.points.len()).unwrap_or(u16::MAX);
        bytes.put_u16(count);
        for (x, y) in self.points.iter().take(usize::from(count)) {
            bytes.put_u16(*x);
            bytes.put_u16(*y);
        }
        bytes.extend_from_slice(self.text.as_bytes());
        bytes.into()
    }

    /// None: it is none.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let shape = *SHAPES.get(usize::from(bytes.try_get_u8().ok()?))?;
        let colour = [bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?];
        let count = bytes.try_get_u16().ok()?;
        if bytes.len() < usize::from(count) * 4 {
            return None;
        }
        let points = (0..count).map(|_| (bytes.get_u16(), bytes.get_u16())).collect();
        Some(Self { shape, colour, points, text: std::str::from_utf8(bytes).ok()?.to_owned() })
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match self.shape {
            Shape::Clear => return f.write_str("nothing any more"),
            Shape::Arrow => "an arrow",
            Shape::Rectangle => "a rectangle",
            Shape::Line => "a line",
            Shape::Text => "a text",
        };
        write!(f, "{shape}")?;
        if let Some((x, y)) = self.points.first() {
            write!(f, " at {x},{y}")?;
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn p3_6_an_annotation_reads_as_it_was_drawn() {
        let drawn = Annotation {
            shape: Shape::Arrow,
            colour: [255, 0, 0],
            points: vec![(10, 20), (300, 200)],
            text: "press här".into(),
        };
        let bytes = drawn.encode();
        assert_eq!(bytes[..8], [1, 255, 0, 0, 0, 2, 0, 10]);
        assert_eq!(Annotation::decode(&bytes), Some(drawn.clone()));
        assert_eq!(drawn.to_string(), "an arrow at 10,20: press här");
        assert_eq!(Annotation::decode(&bytes[..9]), None);
        assert_eq!(Annotation::decode(&[9, 0, 0, 0, 0, 0]), None);
        assert_eq!(Annotation::decode(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_annotation_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = Annotation::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
