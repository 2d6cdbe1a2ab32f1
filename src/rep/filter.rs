//! What a customer's shell may send to the rep's terminal (W6.1): text, colours and cursor movement. Everything that
//! sets the clipboard or the title, makes the terminal answer, or reaches a printer is dropped. Sequences are parsed
//! and written anew, so that what is not understood never passes.

use std::io::Write;
use vte::{Params, Parser, Perform};

/// Keeps its place over chunk borders.
#[derive(Default)]
pub struct Filter {
    parser: Parser,
    clean: Clean,
}

impl Filter {
    /// The harmless part of these bytes.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.parser.advance(&mut self.clean, bytes);
        std::mem::take(&mut self.clean.out)
    }
}

/// One line of text from elsewhere, without control and bidirectional characters.
pub fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

#[derive(Default)]
struct Clean {
    out: Vec<u8>,
}

impl Perform for Clean {
    fn print(&mut self, c: char) {
        // U+0080 to U+009F are sequences of one character to a terminal. The parser executes them, but prints those
        // whose two bytes came apart.
        if c.is_control() {
            return;
        }
        self.out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn execute(&mut self, byte: u8) {
        // Bell, backspace, tab, line feeds, carriage return, the two shifts. Not ENQ, which asks for the answer-back.
        if matches!(byte, 0x07..=0x0f) {
            self.out.push(byte);
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !harmless(intermediates, action) {
            return;
        }
        let (markers, between): (Vec<u8>, Vec<u8>) =
            intermediates.iter().partition(|byte| (0x3c..=0x3f).contains(*byte));
        self.out.extend_from_slice(b"\x1b[");
        self.out.extend_from_slice(&markers);
        for (at, group) in params.iter().enumerate() {
            if at > 0 {
                self.out.push(b';');
            }
            for (at, part) in group.iter().enumerate() {
                if at > 0 {
                    self.out.push(b':');
                }
                write!(self.out, "{part}").expect("a vector takes all");
            }
        }
        self.out.extend_from_slice(&between);
        self.out.extend_from_slice(action.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], ignore: bool, byte: u8) {
        let known = match intermediates {
            // Save and restore the cursor, index, next line, tab stop, reverse index, keypad modes, reset.
            [] => matches!(byte, b'7' | b'8' | b'D' | b'E' | b'H' | b'M' | b'=' | b'>' | b'c'),
            // Character sets, and the alignment pattern.
            [b'(' | b')' | b'*' | b'+'] => matches!(byte, b'0' | b'A' | b'B'),
            [b'#'] => byte == b'8',
            _ => false,
        };
        if known && !ignore {
            self.out.push(0x1b);
            self.out.extend_from_slice(intermediates);
            self.out.push(byte);
        }
    }
}

/// Sequences that only draw or set a mode. Reports (`n`, `c`, `x`, `$p`, `>q`), window operations (`t`), the printer
/// (`i`) and everything unknown are not among them.
fn harmless(intermediates: &[u8], action: char) -> bool {
    match intermediates {
        [] => {
            matches!(action, '@' | 'A'..='M' | 'P' | 'S' | 'T' | 'X' | 'Z' | '`' | 'a' | 'b' | 'd'..='h' | 'l' | 'm' | 'r' | 's' | 'u')
        }
        [b'?'] => matches!(action, 'h' | 'l' | 'J' | 'K' | 'r' | 's'),
        // Cursor shape, soft reset, scrolling sideways.
        [b' '] => matches!(action, 'q' | '@' | 'A'),
        [b'!'] => action == 'p',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn w6_1_a_sequence_of_one_character_does_not_pass_however_its_bytes_are_cut() {
        for text in ["a\u{9b}31mb", "a\u{9d}52;c;QUFB\u{9c}b", "a\u{90}x\u{9c}b", "a\u{85}b"] {
            for cut in 0..=text.len() {
                let mut filter = Filter::default();
                let (front, back) = text.as_bytes().split_at(cut);
                let clean = String::from_utf8([filter.pass(front), filter.pass(back)].concat()).unwrap();
                assert!(!clean.chars().any(char::is_control), "{text:?} cut at {cut}: {clean:?}");
            }
        }
    }

    fn pass(text: &str) -> String {
        String::from_utf8(Filter::default().pass(text.as_bytes())).unwrap()
    }

    #[test]
    fn w6_1_text_colours_and_cursor_pass() {
        for harmless in [
            "plain ünïcode 漢字\r\n\tline\x08\x07",
            "\x1b[1;31mred\x1b[0m",
            "\x1b[38:2:10:20:30mdirect\x1b[48;5;200m",
            "\x1b[2J\x1b[10;20H\x1b[?1049h\x1b[?25l\x1b[4 q\x1b[!p",
            "\x1b7\x1b8\x1b(0lqk\x1b(B\x1b=\x1b>",
        ] {
            assert_eq!(pass(harmless).replace("\x1b[0!p", "\x1b[!p"), harmless);
        }
    }

    #[test]
    fn w6_1_clipboard_title_and_answer_backs_are_dropped() {
        for attack in [
            "\x1b]52;c;cm0gLXJmIC8K\x07",
            "\x1b]52;c;?\x1b\\",
            "\x1b]0;title\x07",
            "\x1b]2;title\x1b\\",
            "\x1b]8;;https://evil.example\x1b\\",
            "\x1b]4;1;?\x07",
            "\x1b[c",
            "\x1b[>c",
            "\x1b[=c",
            "\x1b[5n",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[x",
            "\x1b[>q",
            "\x1b[21t",
            "\x1b[18t",
            "\x1b[?2026$p",
            "\x1b[5i",
            "\x1b[?5i",
            "\x1b[?u",
            "\x1bZ",
            "\x05",
            "\x1bP$qm\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1b_Gi=1,a=q;AAAA\x1b\\",
            "\x1b^private\x1b\\",
            "\x1bXstring\x1b\\",
            "\u{9b}6n",
            "\u{9d}52;c;AAAA\u{9c}",
        ] {
            let left: String = pass(&format!("<{attack}>")).chars().filter(|c| !c.is_ascii_graphic()).collect();
            assert_eq!(left, "", "{attack:?}");
            assert!(!pass(attack).contains('\x1b'), "{attack:?}");
        }
    }

    #[test]
    fn w6_1_a_sequence_cut_in_two_is_still_dropped() {
        let mut filter = Filter::default();
        let mut out = filter.pass(b"a\x1b]52;c;QUJ");
        out.extend(filter.pass(b"D\x07b\x1b["));
        out.extend(filter.pass(b"6nc"));
        assert_eq!(out, b"abc");
    }

    #[test]
    fn h_78_names_and_texts_stay_on_their_line() {
        assert_eq!(plain("ana\r\n\x1b]0;x\x07 \u{202e}evil"), "ana\u{fffd}\u{fffd}\u{fffd}]0;x\u{fffd} \u{fffd}evil");
    }

    proptest! {
        #[test]
        fn w6_1_what_passed_passes_unchanged_and_holds_no_string_sequence(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b'['), Just(b']'), Just(b'P'), Just(b'6'), Just(b'n')], 0..300)
        ) {
            let once = Filter::default().pass(&bytes);
            prop_assert_eq!(&Filter::default().pass(&once), &once);
            for opener in [b"\x1b]", b"\x1bP", b"\x1b_", b"\x1b^", b"\x1bX", b"\x1bZ"] {
                prop_assert!(!once.windows(2).any(|two| two == opener));
            }
            prop_assert!(!once.contains(&0x05));
        }
    }
}
