//! Passwords: argon2id, at most two at once, and one and the same work for a user that does not exist (I-A7, I-M4).

use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, PASSWORD_HASHES_AT_ONCE, PASSWORD_HASHES_WAITING};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc::PasswordHash};
use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

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

    /// A PHC string with a fresh salt, for a password that keeps the rules. Its bytes are hashed as they came.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let password = Zeroizing::new(password);
        check(&password)?;
        self.compute(move || {
            argon2().hash_password(password.as_bytes()).expect("a checked password hashes").to_string()
        })
        .await
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

/// The rules: length in bytes, and not a common one. No rule of composition.
fn check(password: &str) -> Result<(), PasswordError> {
    if password.len() < PASSWORD_BYTES_MIN {
        return Err(PasswordError::TooShort);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let lower = Zeroizing::new(password.to_lowercase());
    let letters: Zeroizing<String> = Zeroizing::new(lower.chars().filter(|c| c.is_alphabetic()).collect());
    let different = lower.chars().collect::<BTreeSet<_>>().len();
    let common =
        different < 5 || COMMON_WHOLE.contains(&lower.as_str()) || COMMON_WORDS.contains(without_repetition(&letters));
    if common { Err(PasswordError::Common) } else { Ok(()) }
}

/// "passwordpassword" is as common as "password".
fn without_repetition(word: &str) -> &str {
    (1..=word.len() / 2)
        .filter(|length| word.len().is_multiple_of(*length) && word.is_char_boundary(*length))
        .map(|length| &word[..length])
        .find(|part| part.repeat(word.len() / part.len()) == word)
        .unwrap_or(word)
}

/// Words that stay common whatever digits and signs stand around them. Those of the product stand first.
static COMMON_WORDS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    "equipoise equipoiseadmin equipoisepassword adminequipoise remotesupport support supportsupport helpdesk \
     servicedesk customer operator representative \
     password passw passwd passwort motdepasse contrasena senha haslo parola passphrase mypassword yourpassword \
     newpassword oldpassword thepassword passwordis temppassword testpassword userpassword adminpassword rootpassword \
     defaultpassword changeme changemenow changeit pleasechangeme letmein letmeinnow letmeinplease \
     admin administrator adminadmin root rootroot toor superuser sysadmin system manager service guest default \
     user username test testing tester testtest demo example temp temporary secret topsecret mysecret private \
     welcome welcomeback welcomehome welcometo login loginlogin logmein access accessgranted trustnoone trustme \
     qwerty qwertyui qwertyuiop qwertyuiopasdfghjkl qwertyuiopasdfghjklzxcvbnm qwertyqwerty qwertz qwertzuiop azerty \
     azertyuiop asdfgh asdfghjkl asdfasdf zxcvbn zxcvbnm qazwsx qazwsxedc qazwsxedcrfv qweasd qweasdzxc qwerasdf \
     qwerasdfzxcv abcdef abcdefg abcdefgh abcdefghi abcdefghij abcdefghijkl abcdefghijklm abcdefghijklmnopqrstuvwxyz \
     iloveyou iloveyousomuch iloveu ilovemyself ilovemyfamily iloveme loveyou lovelove mylove sweetheart beautiful \
     princess prince sunshine mysunshine rainbow butterfly chocolate strawberry cheesecake banana orange cookie \
     football footballfootball baseball basketball soccer hockey tennis golfer liverpool liverpoolfc arsenal chelsea \
     manchester manchesterunited barcelona fcbarcelona realmadrid juventus dallascowboys \
     superman batman spiderman ironman starwars startrek pokemon pikachu naruto minecraft fortnite matrix terminator \
     dragon dragonball dragonballz master mastermaster monkey shadow hunter ranger killer warrior phoenix tiger \
     michael jennifer jessica michelle jordan daniel robert thomas charlie andrew joshua matthew anthony ashley \
     amanda nicole elizabeth alexander christopher samantha victoria \
     computer internet microsoft windows google facebook linkedin samsung iphone android apple linux ubuntu oracle \
     cisco server database network company business office \
     january february march april may june july august september october november december \
     monday tuesday wednesday thursday friday saturday sunday spring summer autumn winter christmas \
     london paris berlin madrid newyork california america australia germany england france canada mexico brasil \
     freedom whatever nothing something anything everything forever together jesuschrist godisgood blessed angel \
     hello hellohello helloworld hellokitty goodmorning goodnight goodluck thankyou comeon fuckyou fuckoff asshole \
     correcthorsebatterystaple thequickbrownfox thequickbrownfoxjumpsoverthelazydog loremipsum loremipsumdolorsitamet"
        .split_ascii_whitespace()
        .collect()
});

/// Common ones that have no word in them.
const COMMON_WHOLE: &[&str] = &[
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456789012345",
    "1234567890123456",
    "12345678901234567890",
    "012345678901",
    "0123456789012",
    "0123456789abcdef",
    "098765432109",
    "0987654321098",
    "987654321098",
    "123123123123",
    "123456123456",
    "12345678910",
    "123456789101",
    "1234567891011",
    "123456789101112",
    "1234512345123",
    "123454321234",
    "1234567654321",
    "123456654321",
    "1234567887654321",
    "112233445566",
    "11223344556677",
    "1122334455667788",
    "147258369147",
    "159753159753",
    "159357159357",
    "741852963741",
    "789456123789",
    "789456123000",
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u",
    "1q2w3e4r5t6y7u8i",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6",
    "q1w2e3r4t5y6u7i8",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "1qaz2wsx3edc4rfv5tgb",
    "1qazxsw23edc",
    "qwe123qwe123",
    "qwe123asd456",
    "qweasdzxc123",
    "asd123asd123",
    "abc123abc123",
    "a1b2c3d4e5f6",
    "a1b2c3d4e5f6g7",
    "aa123456789",
    "a123456789a1",
    "p@ssw0rd1234",
    "p@ssw0rd12345",
    "p@ssw0rd123!",
    "p@ssword1234",
    "passw0rd1234",
    "passw0rd12345",
    "pa$$w0rd1234",
    "pa$$word1234",
    "p455w0rd1234",
    "adm1n1strat0r",
    "@dministrator",
    "l3tm31nn0w12",
    "w3lc0m3w3lc0m3",
    "3qu1p01s31234",
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
        let phc = passwords.hash("seven green ladders".into()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert_eq!(passwords.verify(Some(phc.clone()), "seven green ladders".into()).await, Ok(true));
        assert_eq!(passwords.verify(Some(phc.clone()), "seven green ladder".into()).await, Ok(false));
        assert_ne!(passwords.hash("seven green ladders".into()).await.unwrap(), phc, "the salt differs");
    }

    #[tokio::test]
    async fn i_a7_an_unknown_user_is_checked_against_a_hash_of_the_same_cost() {
        let known = Passwords::new().hash("seven green ladders".into()).await.unwrap();
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
        assert_eq!(passwords.hash("x".repeat(1 << 20)).await, Err(PasswordError::TooLong));
        assert_eq!(passwords.hash("short".into()).await, Err(PasswordError::TooShort));
        let nul = passwords.hash("with a \0 in the middle".into()).await.unwrap();
        assert_eq!(passwords.verify(Some(nul.clone()), "with a \0 in the middle".into()).await, Ok(true));
        assert_eq!(passwords.verify(Some(nul.clone()), "with a \0 in the other place".into()).await, Ok(false));
        assert_eq!(passwords.verify(Some(nul), "x".repeat(1 << 20)).await, Ok(false));
        let (composed, decomposed) = ("caf\u{e9} au lait 17", "cafe\u{301} au lait 17");
        let phc = passwords.hash(composed.into()).await.unwrap();
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
        for common in [
            "password1234",
            "Equipoise2024!",
            "123456789012",
            "aaaaaaaaaaaa",
            "Passwordpassword1",
            "!!Administrator99",
            "1q2w3e4r5t6y",
        ] {
            assert_eq!(check(common), Err(PasswordError::Common), "{common}");
        }
        for fine in ["seven green ladders", "Tr0ub4dor&3xyz", "пароль на каждый день", "84719305628471x"]
        {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
    }
}
