//! Text that people and their machines chose, as it comes in: bounded, and with nothing in it that makes one text look like
//! another or leave its line (H-78).

use crate::engine::{Reason, Refusal};
use unicode_normalization::UnicodeNormalization;

/// One line, of composed characters: a name that looks the same is the same.
pub(super) fn bounded(field: &str, text: String, bytes_max: usize) -> Result<String, Refusal> {
    // Before it is composed, which takes time by its length; and after it, for some characters take more then.
    fit(field, text, bytes_max, &[]).and_then(|text| fit(field, text.nfc().collect(), bytes_max, &[]))
}

/// Several lines, as they were written.
pub(super) fn lines(field: &str, text: String, bytes_max: usize) -> Result<String, Refusal> {
    fit(field, text, bytes_max, &['\n', '\t'])
}

fn fit(field: &str, text: String, bytes_max: usize, allowed: &[char]) -> Result<String, Refusal> {
    if text.len() > bytes_max {
        return Err(malformed(field, format!("longer than {bytes_max} bytes")));
    }
    let unfit = |c: char| {
        (c.is_control() && !allowed.contains(&c))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
    };
    match text.chars().find(|c| unfit(*c)) {
        Some(c) => Err(malformed(field, format!("holds the character U+{:04X}, which may not stand here", c as u32))),
        None => Ok(text),
    }
}

pub(super) fn malformed(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::Malformed, "W4.1", format!("{field}: {}", message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn h_78_names_that_look_the_same_are_the_same() {
        let name = |text: &str| bounded("name", text.to_owned(), 12);
        assert_eq!(name("Zoe\u{308} K."), name("Zo\u{eb} K."));
        assert_eq!(name("Zoe\u{308} K."), Ok("Zo\u{eb} K.".to_owned()));
        // U+FB1D is longer when it is composed: two characters that are never put together.
        assert!("\u{fb1d}".nfc().collect::<String>().len() > "\u{fb1d}".len());
        assert!(name("\u{fb1d}\u{fb1d}\u{fb1d}\u{fb1d}").is_err(), "12 bytes as it came, 16 as it would stand there");
        assert!(name("a\u{202e}b").is_err() && name("a\nb").is_err() && name("a longer name").is_err());
        assert_eq!(lines("note", "e\u{301}\n\t".to_owned(), 12), Ok("e\u{301}\n\t".to_owned()));
    }

    proptest! {
        #[test]
        fn h_78_what_came_in_once_comes_in_again_as_it_is(text in "\\PC{0,40}") {
            if let Ok(once) = bounded("name", text, 120) {
                prop_assert_eq!(bounded("name", once.clone(), 120), Ok(once));
            }
        }
    }
}
