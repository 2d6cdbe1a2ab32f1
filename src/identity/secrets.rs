//! Secrets made here: tokens, link tokens, and join codes that people read out (security.md, values).

use crate::{ids::SecretHash, limits::CODE_TYPED_BYTES_MAX};
use data_encoding::BASE64URL_NOPAD;
use std::fmt;
use zeroize::Zeroizing;

/// A secret in the clear, on its way to the one it belongs to. Not shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// What somebody typed or pasted as a session key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyShape {
    /// Short, for people: guesses are limited for the whole site.
    Code,
    /// 128 bits: nobody guesses one, so it works while codes are refused (I-K3).
    Link,
}

/// Crockford's alphabet: no I, L, O or U.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_SYMBOLS: usize = 8;
const RECOVERY_SYMBOLS: usize = 16;
const TOKEN_BYTES: usize = 32;
const LINK_BYTES: usize = 16;

/// What the join links of one service account's requests are made of. A request that comes again is answered with the
/// link it was answered with before (W3.5), and no link is stored for it. Not shown, wiped when dropped.
pub struct LinkSeed(Zeroizing<[u8; 32]>);

impl LinkSeed {
    /// From the account's key: who has that may ask for the same links anyway, and its hash tells nothing of them.
    pub fn of(key: &str) -> Self {
        let text = Zeroizing::new(format!("equipoise join links\0{key}"));
        Self(Zeroizing::new(SecretHash::of(text.as_bytes()).0))
    }

    /// The link for the session that this request asks for.
    pub fn link(&self, request: u64) -> Secret {
        let mut text = Zeroizing::new([0; 40]);
        text[..32].copy_from_slice(&self.0[..]);
        text[32..].copy_from_slice(&request.to_be_bytes());
        let bytes = Zeroizing::new(SecretHash::of(&text[..]).0);
        Secret(Zeroizing::new(BASE64URL_NOPAD.encode(&bytes[..LINK_BYTES])))
    }
}

impl Secret {
    /// 256 bits: access and resume tokens, tickets, keys of service accounts.
    pub fn token() -> Self {
        Self::random::<TOKEN_BYTES>()
    }

    /// 128 bits for the fragment of a join link.
    pub fn link() -> Self {
        Self::random::<LINK_BYTES>()
    }

    /// A join code, `XXXX-XXXX`: 40 bits, uniform (I-K2).
    pub fn code() -> Self {
        Self::symbols::<CODE_SYMBOLS>()
    }

    /// A recovery code of a second factor, `XXXX-XXXX-XXXX-XXXX`: 80 bits.
    pub fn recovery() -> Self {
        Self::symbols::<RECOVERY_SYMBOLS>()
    }

    fn symbols<const N: usize>() -> Self {
        let mut code = String::with_capacity(N + N / 4);
        for (at, byte) in fill::<N>().iter().enumerate() {
            if at > 0 && at % 4 == 0 {
                code.push('-');
            }
            code.push(char::from(SYMBOLS[usize::from(byte % 32)]));
        }
        Self(Zeroizing::new(code))
    }

    fn random<const N: usize>() -> Self {
        Self(Zeroizing::new(BASE64URL_NOPAD.encode(&fill::<N>()[..])))
    }

    /// For the message that carries it to its owner, and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it. A code's hash is of its canonical form, as [`Self::canonical_key`] gives it.
    pub fn hash(&self) -> SecretHash {
        let code = Self::canonical_key(&self.0).or_else(|| Self::canonical_recovery(&self.0));
        code.unwrap_or_else(|| SecretHash::of(self.0.as_bytes()))
    }

    /// The hash of a session key as typed or pasted: spaces, hyphens, case and look-alikes (O for 0, I and L for 1) do
    /// not matter in a code; a link's token is taken as it is. None: it is neither (H-50).
    pub fn canonical_key(typed: &str) -> Option<SecretHash> {
        match Self::key_shape(typed)? {
            KeyShape::Link => Some(SecretHash::of(typed.as_bytes())),
            KeyShape::Code => canonical_code::<CODE_SYMBOLS>(typed).map(|code| SecretHash::of(&code[..])),
        }
    }

    /// The same for a recovery code.
    pub fn canonical_recovery(typed: &str) -> Option<SecretHash> {
        canonical_code::<RECOVERY_SYMBOLS>(typed).map(|code| SecretHash::of(&code[..]))
    }

    pub fn key_shape(typed: &str) -> Option<KeyShape> {
        if canonical_code::<CODE_SYMBOLS>(typed).is_some() {
            return Some(KeyShape::Code);
        }
        let mut bytes = Zeroizing::new([0; LINK_BYTES]);
        let is_link = typed.len() == BASE64URL_NOPAD.encode_len(LINK_BYTES)
            && BASE64URL_NOPAD.decode_mut(typed.as_bytes(), &mut bytes[..]).is_ok();
        is_link.then_some(KeyShape::Link)
    }
}

fn canonical_code<const N: usize>(typed: &str) -> Option<Zeroizing<[u8; N]>> {
    if typed.len() > CODE_TYPED_BYTES_MAX {
        return None;
    }
    let mut code = Zeroizing::new([0; N]);
    let mut length = 0;
    for byte in typed.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        let symbol = match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        *code.get_mut(length)? = SYMBOLS.contains(&symbol).then_some(symbol)?;
        length += 1;
    }
    (length == N).then_some(code)
}

fn fill<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).expect("the operating system gives random bytes once it is up");
    bytes
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn h_50_a_code_is_known_however_it_was_typed() {
        let code = Secret(Zeroizing::new("01AB-CD0Z".to_owned()));
        for typed in
            ["01AB-CD0Z", "01abcd0z", " 01 ab cd 0z ", "O1AB-CDOZ", "oIab-cdoz", "0Lab-cd0Z", "0-1-a-b-c-d-0-z"]
        {
            assert_eq!(Secret::canonical_key(typed), Some(code.hash()), "{typed:?}");
        }
        assert_ne!(Secret::canonical_key("01AB-CD0Y"), Some(code.hash()));
    }

    #[test]
    fn h_50_what_is_no_code_and_no_link_is_refused() {
        let huge = "A".repeat(10_000);
        for typed in [
            "",
            "01AB-CD0",
            "01AB-CD0ZZ",
            "０１ＡＢ-ＣＤ０Ｚ",
            "01AB\0CD0Z",
            "01AB-CDUZ",
            "01AB_CD0Z",
            "01AB\tCD0Z",
            &huge,
        ] {
            assert_eq!(Secret::canonical_key(typed), None, "{typed:?}");
        }
        assert_eq!(Secret::canonical_key(&" ".repeat(10_000)), None);
    }

    #[test]
    fn i_k2_codes_are_eight_symbols_of_crockford_and_differ() {
        let codes: HashSet<_> = (0..1_000).map(|_| Secret::code().reveal().to_owned()).collect();
        assert!(codes.len() > 990);
        let mut seen = HashSet::new();
        for code in &codes {
            assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'));
            assert_eq!(Secret::key_shape(code), Some(KeyShape::Code));
            seen.extend(code.bytes());
        }
        assert_eq!(seen.len(), 33, "every symbol comes, and the hyphen");
    }

    #[test]
    fn a_recovery_code_is_known_however_it_was_typed_and_is_no_join_code() {
        let code = Secret::recovery();
        assert_eq!(code.reveal().len(), 19);
        let typed = code.reveal().to_lowercase().replace('-', " ").replace('0', "o");
        assert_eq!(Secret::canonical_recovery(&typed), Secret::canonical_recovery(code.reveal()));
        assert!(Secret::canonical_recovery(code.reveal()).is_some());
        assert_eq!(Secret::key_shape(code.reveal()), None);
        assert_eq!(Secret::canonical_recovery(Secret::code().reveal()), None);
    }

    #[test]
    fn a_link_is_known_by_its_shape_and_keeps_its_case() {
        for _ in 0..1_000 {
            let link = Secret::link();
            assert_eq!(Secret::key_shape(link.reveal()), Some(KeyShape::Link));
            assert_eq!(Secret::canonical_key(link.reveal()), Some(link.hash()));
        }
        assert_eq!(Secret::key_shape(Secret::token().reveal()), None);
        assert_eq!(Secret::token().reveal().len(), 43);
    }

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::token();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
