//! Passwords: argon2id, at most two at once, and one and the same work for a user that does not exist (I-A7, I-M4).

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, PASSWORD_HASHES_AT_ONCE, PASSWORD_HASHES_WAITING};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc::PasswordHash};
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;
use zxcvbn::{Score, zxcvbn};

/// OWASP's minimum: 19 MiB, two passes, one lane. Never lower.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Made with the parameters above from a password that nobody has: what an unknown user is checked against.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has at least {PASSWORD_BYTES_MIN} bytes")]
    TooShort,
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    #[error("this password is among the first that are tried; take a longer sentence or a generated one")]
    Common,
    /// The line is full: come back in a second.
    #[error("too many sign-ins at once; try again in a moment")]
    Overloaded,
}

/// Computes and checks hashes. Shared by all who sign in, so that the bounds hold for the process.
#[derive(Debug)]
pub struct Passwords {
    /// One permit for each that may compute or wait.
    line: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            line: Arc::new(Semaphore::new(PASSWORD_HASHES_AT_ONCE + PASSWORD_HASHES_WAITING)),
            cores: Arc::new(Semaphore::new(PASSWORD_HASHES_AT_ONCE)),
        }
    }
}

impl Passwords {
    pub fn new() -> Self {
        Self::default()
    }

    /// A PHC string with a fresh salt, for a password that keeps the rules. Its bytes are hashed as they came. `words`
    /// are those of the place, which nobody's password may be made of: the user's name, the site's.
    pub async fn hash(&self, password: String, words: Vec<String>) -> Result<String, PasswordError> {
        let password = Zeroizing::new(password);
        check_length(&password)?;
        self.compute(move || {
            if is_common(&password, &words) {
                return Err(PasswordError::Common);
            }
            Ok(argon2().hash_password(password.as_bytes()).expect("a checked password hashes").to_string())
        })
        .await?
    }

    /// Whether the password is the one of `phc`; with none (an unknown user), false after the same work.
    ///
    /// # Errors
    /// [`PasswordError::Overloaded`] only.
    pub async fn verify(&self, phc: Option<String>, password: String) -> Result<bool, PasswordError> {
        let password = Zeroizing::new(password);
        self.compute(move || {
            let hash = phc.as_deref().and_then(|phc| PasswordHash::new(phc).ok());
            let nobodys = || PasswordHash::new(NOBODYS).expect("the constant is a PHC string");
            let known = hash.is_some();
            // No password is longer: what is beyond the bound cannot be right, and is not hashed (H-51).
            let fits = password.len() <= PASSWORD_BYTES_MAX;
            let tried = if fits { password.as_bytes() } else { b"" };
            let right = argon2().verify_password(tried, &hash.unwrap_or_else(nobodys)).is_ok();
            right && known && fits
        })
        .await
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.line).try_acquire_owned().map_err(|_| PasswordError::Overloaded)?;
        let core = Arc::clone(&self.cores).acquire_owned().await.map_err(|_| PasswordError::Overloaded)?;
        // The permits go with the work: who gives up waiting does not make room before the core is free.
        let computed = tokio::task::spawn_blocking(move || {
            let made = work();
            drop((core, place));
            made
        });
        computed.await.map_err(|_| PasswordError::Overloaded)
    }
}

fn check_length(password: &str) -> Result<(), PasswordError> {
    match password.len() {
        ..PASSWORD_BYTES_MIN => Err(PasswordError::TooShort),
        PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX => Ok(()),
        _ => Err(PasswordError::TooLong),
    }
}

/// Whether it is among the first that are tried: common passwords and words, names, dates, rows of keys, and what people
/// make of them. `words` are those that somebody would try here. No rule of composition.
fn is_common(password: &str, words: &[String]) -> bool {
    let words: Vec<&str> = PRODUCT_WORDS.iter().copied().chain(words.iter().map(String::as_str)).collect();
    zxcvbn(password, &words).score() < Score::Four
}

/// What whoever attacks this product tries first.
const PRODUCT_WORDS: &[&str] = &[
    "equipoise",
    "remote",
    "support",
    "remotesupport",
    "helpdesk",
    "servicedesk",
    "customer",
    "operator",
    "representative",
    "administrator",
    "correcthorsebatterystaple",
];

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the constants are in range");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_password_is_right_or_wrong_and_its_hash_says_how_it_was_made() {
        let passwords = Passwords::new();
        let phc = passwords.hash("seven green ladders".into(), vec![]).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(passwords.verify(Some(phc.clone()), "seven green ladders".into()).await, Ok(true));
        assert_eq!(passwords.verify(Some(phc.clone()), "seven green ladder".into()).await, Ok(false));
        assert_ne!(passwords.hash("seven green ladders".into(), vec![]).await.unwrap(), phc, "the salt differs");
    }

    #[tokio::test]
    async fn i_a7_an_unknown_user_is_checked_against_a_hash_of_the_same_cost() {
        let known = Passwords::new().hash("seven green ladders".into(), vec![]).await.unwrap();
        let cost = |phc: &str| {
            let hash = PasswordHash::new(phc).unwrap();
            (hash.algorithm.to_string(), hash.version, hash.params.to_string(), hash.hash.unwrap().as_bytes().len())
        };
        assert_eq!(cost(&known), cost(NOBODYS));
        assert_eq!(Passwords::new().verify(None, "seven green ladders".into()).await, Ok(false));
    }

    #[tokio::test]
    async fn h_51_length_is_bounded_and_bytes_are_hashed_as_sent() {
        let passwords = Passwords::new();
        assert_eq!(passwords.hash("x".repeat(1 << 20), vec![]).await, Err(PasswordError::TooLong));
        assert_eq!(passwords.hash("short".into(), vec![]).await, Err(PasswordError::TooShort));
        let nul = passwords.hash("with a \0 in the middle".into(), vec![]).await.unwrap();
        assert_eq!(passwords.verify(Some(nul.clone()), "with a \0 in the middle".into()).await, Ok(true));
        assert_eq!(passwords.verify(Some(nul.clone()), "with a \0 in the other place".into()).await, Ok(false));
        assert_eq!(passwords.verify(Some(nul), "x".repeat(1 << 20)).await, Ok(false));
        let (composed, decomposed) = ("caf\u{e9} au lait 17", "cafe\u{301} au lait 17");
        let phc = passwords.hash(composed.into(), vec![]).await.unwrap();
        assert_eq!(passwords.verify(Some(phc), decomposed.into()).await, Ok(false));
    }

    #[tokio::test]
    async fn h_52_two_hashes_at_once_sixty_four_wait_the_rest_is_told_to_come_back() {
        let passwords = Arc::new(Passwords::new());
        let (begun, beginning) = std::sync::mpsc::sync_channel(200);
        // Nothing comes through the gate; it opens as its sender goes.
        let (held, gate) = std::sync::mpsc::sync_channel::<()>(0);
        let gate = Arc::new(parking_lot::Mutex::new(gate));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let (passwords, begun, gate) = (Arc::clone(&passwords), begun.clone(), Arc::clone(&gate));
            tasks.spawn(async move {
                passwords
                    .compute(move || {
                        begun.send(()).unwrap();
                        assert!(gate.lock().recv().is_err());
                    })
                    .await
            });
        }
        // All that find no place are answered while none of the others is done.
        for _ in 0..200 - PASSWORD_HASHES_AT_ONCE - PASSWORD_HASHES_WAITING {
            assert_eq!(tasks.join_next().await.unwrap().unwrap(), Err(PasswordError::Overloaded));
        }
        for _ in 0..PASSWORD_HASHES_AT_ONCE {
            beginning.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        assert!(beginning.try_recv().is_err(), "a third one computes");
        drop(held);
        while let Some(done) = tasks.join_next().await {
            assert_eq!(done.unwrap(), Ok(()));
        }
    }

    #[test]
    fn common_passwords_are_refused_whatever_is_around_them() {
        let words = ["anaokafor".to_owned(), "Northwind".to_owned()];
        for common in [
            "password1234",
            "P@ssw0rd1234!",
            "Equipoise2024!",
            "123456789012",
            "aaaaaaaaaaaa",
            "Passwordpassword1",
            "!!Administrator99",
            "1q2w3e4r5t6y",
            "qwertyuiop[]",
            "iloveyou1990",
            "Northwind2026",
            "AnaOkafor2026",
        ] {
            assert!(is_common(common, &words), "{common}");
        }
        for fine in ["seven green ladders", "Tr0ub4dor&3xyz", "пароль на каждый день", "84719305628471x"]
        {
            assert!(!is_common(fine, &words), "{fine}");
        }
    }

    #[tokio::test]
    async fn a_common_password_is_refused_where_one_is_set() {
        let passwords = Passwords::new();
        assert_eq!(passwords.hash("password1234".into(), vec![]).await, Err(PasswordError::Common));
        let words = vec!["Northwind".to_owned()];
        assert_eq!(passwords.hash("Northwind2026".into(), words).await, Err(PasswordError::Common));
    }
}
