//! The second factor: six digits that an authenticator computes from a shared secret and the time (RFC 6238), and
//! recovery codes for whoever lost it. A secret leaves here once, for the authenticator; what stays is sealed with a
//! key of its own, so that a journal, a backup or an export tells nobody how to compute codes (B-41).

use super::Secret;
use crate::{
    ids::{SecretHash, UserId},
    limits::{CODE_TYPED_BYTES_MAX, ENROLMENT, ENROLMENTS_MAX, RECOVERY_CODES},
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

/// Bytes of the key that seals secrets.
pub const SEALING_KEY_BYTES: usize = 32;
/// 160 bits, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
const SEALED_VERSION: &str = "v1.";

type Shared = Zeroizing<[u8; SECRET_BYTES]>;

/// What somebody showed beside the password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A right code, of this step of thirty seconds since 1970.
    Step(u64),
    /// Looks like a recovery code; whether it is one of theirs is known elsewhere.
    Recovery(SecretHash),
}

/// An enrolment that was begun: what the authenticator needs, shown once.
#[derive(Debug)]
pub struct Begun {
    /// Base32, for typing it in.
    pub secret: Zeroizing<String>,
    /// `otpauth://…`, for a picture that a telephone reads.
    pub uri: Zeroizing<String>,
}

/// A secret that was confirmed by a code, and what is kept of it.
#[derive(Debug)]
pub struct Confirmed {
    pub sealed: String,
    pub step: u64,
    /// Each works once; shown once.
    pub recovery: Vec<Secret>,
}

pub struct SecondFactors {
    key: LessSafeKey,
    begun: Mutex<HashMap<UserId, (Shared, Instant)>>,
}

impl SecondFactors {
    /// With the key that sealed what there is.
    pub fn new(key: &[u8; SEALING_KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of the cipher's length");
        Self { key: LessSafeKey::new(key), begun: Mutex::default() }
    }

    pub fn make_key() -> Zeroizing<[u8; SEALING_KEY_BYTES]> {
        random()
    }

    /// Begins an enrolment, in place of one this user began before. None: too many are under way.
    pub fn begin(&self, user: UserId, username: &str, issuer: &str) -> Option<Begun> {
        let secret: Shared = random();
        let now = Instant::now();
        {
            let mut begun = self.begun.lock();
            begun.retain(|_, (_, until)| *until > now);
            if begun.len() >= ENROLMENTS_MAX && !begun.contains_key(&user) {
                return None;
            }
            begun.insert(user, (secret.clone(), now + Duration::from_millis(ENROLMENT.0)));
        }
        let text = Zeroizing::new(BASE32_NOPAD.encode(&secret[..]));
        let escaped =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
        let (issuer, username) = (escaped(issuer), escaped(username));
        let uri = format!("otpauth://totp/{issuer}:{username}?secret={}&issuer={issuer}", *text);
        Some(Begun { secret: text, uri: Zeroizing::new(uri) })
    }

    /// Ends an enrolment with a code of the new secret. None: none was begun, it is long ago, or the code is wrong.
    pub fn confirm(&self, user: UserId, code: &str, now_s: u64) -> Option<Confirmed> {
        let mut begun = self.begun.lock();
        let (secret, until) = begun.get(&user)?;
        if *until <= Instant::now() {
            begun.remove(&user);
            return None;
        }
        let step = step_of(secret, code, now_s)?;
        let (secret, _) = begun.remove(&user)?;
        let recovery = (0..RECOVERY_CODES).map(|_| Secret::recovery()).collect();
        Some(Confirmed { sealed: self.seal(user, &secret), step, recovery })
    }

    /// What this code is, for a user whose secret was sealed so. None: no code of this secret at this time.
    pub fn check(&self, user: UserId, sealed: &str, code: &str, now_s: u64) -> Option<Shown> {
        if let Some(recovery) = Secret::canonical_recovery(code) {
            return Some(Shown::Recovery(recovery));
        }
        step_of(&self.unseal(user, sealed)?, code, now_s).map(Shown::Step)
    }

    /// Bound to the user: one user's sealed secret is no good in another's place.
    fn seal(&self, user: UserId, secret: &Shared) -> String {
        let nonce: Zeroizing<[u8; NONCE_LEN]> = random();
        let mut sealed = secret.to_vec();
        let aad = Aad::from(user.0.to_be_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), aad, &mut sealed)
            .expect("a secret is short");
        format!("{SEALED_VERSION}{}", BASE64URL_NOPAD.encode(&[&nonce[..], &sealed].concat()))
    }

    fn unseal(&self, user: UserId, sealed: &str) -> Option<Shared> {
        let bytes = BASE64URL_NOPAD.decode(sealed.strip_prefix(SEALED_VERSION)?.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(user.0.to_be_bytes());
        let secret = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut sealed).ok()?;
        Some(Zeroizing::new((&*secret).try_into().ok()?))
    }
}

impl std::fmt::Debug for SecondFactors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecondFactors(…)")
    }
}

/// The step of a code: this one, or one to either side, for clocks that are not quite right (I-T3).
fn step_of(secret: &Shared, code: &str, now_s: u64) -> Option<u64> {
    if code.len() > CODE_TYPED_BYTES_MAX {
        return None;
    }
    let digits: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| !matches!(c, ' ' | '-')).collect());
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    totp(secret).check(&digits, now_s)
}

fn totp(secret: &Shared) -> Totp {
    // SHA-1, six digits, thirty seconds, one step to either side: what every authenticator takes.
    Builder::new().with_secret(secret.to_vec()).with_skew(1).build().expect("the parameters are those of the RFC")
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).expect("the operating system gives random bytes once it is up");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: UserId = UserId(7);
    const NOW: u64 = 1_800_000_015;

    fn factors() -> SecondFactors {
        SecondFactors::new(&SecondFactors::make_key())
    }

    fn code(begun: &Begun, at_s: u64) -> String {
        let secret = BASE32_NOPAD.decode(begun.secret.as_bytes()).unwrap();
        totp(&Zeroizing::new(secret.try_into().unwrap())).generate(at_s).to_string()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, SHA-1; the last six of the eight digits.
        let secret: Shared = Zeroizing::new(*b"12345678901234567890");
        for (at, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(step_of(&secret, code, at), Some(at / 30));
        }
    }

    #[test]
    fn h_53_a_code_is_right_one_step_to_either_side_and_no_further() {
        let factors = factors();
        let begun = factors.begin(ANA, "ana", "Test").unwrap();
        let sealed = factors.confirm(ANA, &code(&begun, NOW), NOW).unwrap().sealed;
        let shown = |at| factors.check(ANA, &sealed, &code(&begun, at), NOW);
        let step = NOW / 30;
        assert_eq!(
            [NOW - 30, NOW, NOW + 30].map(shown),
            [step - 1, step, step + 1].map(|step| Some(Shown::Step(step)))
        );
        assert_eq!([NOW - 60, NOW + 60, NOW - 3_600, 0].map(shown), [None; 4]);
        let right = code(&begun, NOW);
        let spaced = format!(" {} {} ", &right[..3], &right[3..]);
        assert_eq!(factors.check(ANA, &sealed, &spaced, NOW), Some(Shown::Step(step)));
        for bad in ["", "12345", "1234567", "１２３４５６", "-12345", "+12345", &"1".repeat(10_000)] {
            assert_eq!(factors.check(ANA, &sealed, bad, NOW), None, "{bad:.20}");
        }
    }

    #[test]
    fn a_sealed_secret_is_good_for_its_user_with_its_key_alone() {
        let factors = factors();
        let begun = factors.begin(ANA, "ana", "Test").unwrap();
        let right = code(&begun, NOW);
        let sealed = factors.confirm(ANA, &right, NOW).unwrap().sealed;
        assert!(!sealed.contains(begun.secret.as_str()));
        assert!(factors.check(ANA, &sealed, &right, NOW).is_some());
        assert_eq!(factors.check(UserId(8), &sealed, &right, NOW), None);
        assert_eq!(self::factors().check(ANA, &sealed, &right, NOW), None);
        for bad in ["", "v1.", "v2.AAAA", &sealed[..sealed.len() - 2], "v1.\u{e9}"] {
            assert_eq!(factors.check(ANA, bad, &right, NOW), None, "{bad}");
        }
    }

    #[test]
    fn an_enrolment_ends_with_a_right_code_once() {
        let factors = factors();
        let first = factors.begin(ANA, "ana", "Test").unwrap();
        let second = factors.begin(ANA, "ana", "Test").unwrap();
        assert_ne!(first.secret, second.secret);
        assert!(factors.confirm(ANA, &code(&first, NOW), NOW).is_none(), "the later one holds");
        assert!(factors.confirm(UserId(8), &code(&second, NOW), NOW).is_none());
        let confirmed = factors.confirm(ANA, &code(&second, NOW), NOW).unwrap();
        assert_eq!((confirmed.step, confirmed.recovery.len()), (NOW / 30, RECOVERY_CODES));
        assert!(factors.confirm(ANA, &code(&second, NOW), NOW).is_none(), "it is over");
    }

    #[test]
    fn i_m1_enrolments_under_way_are_bounded() {
        let factors = factors();
        for user in 0..ENROLMENTS_MAX as u32 {
            assert!(factors.begin(UserId(user), "x", "Test").is_some());
        }
        assert!(factors.begin(UserId(u32::MAX), "x", "Test").is_none());
        assert!(factors.begin(UserId(0), "x", "Test").is_some(), "in place of their own");
    }

    #[test]
    fn an_authenticator_reads_the_uri() {
        let begun = factors().begin(ANA, "ana b", "Help & Desk").unwrap();
        let uri = url::Url::parse(&begun.uri).unwrap();
        assert_eq!((uri.scheme(), uri.host_str(), uri.path()), ("otpauth", Some("totp"), "/Help%20%26%20Desk:ana%20b"));
        let query: Vec<(String, String)> = uri.query_pairs().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(query, [pair("secret", &begun.secret), pair("issuer", "Help & Desk")]);
    }
}
