//! Who somebody is: passwords, tokens, keys, and how often one may try. It must never know a session, a queue or a
//! socket; secrets leave it once, for the one they belong to, and stay behind as hashes only.

mod attempts;
mod passwords;
mod second_factor;
mod secrets;
mod tokens;

pub(crate) use attempts::Net;
pub use attempts::{Attempts, KeyTry, LockoutsError, NoTry};
pub use passwords::{PasswordError, Passwords};
pub use second_factor::{Begun, Confirmed, SEALING_KEY_BYTES, SecondFactors, Shown};
pub use secrets::{KeyShape, LinkSeed, Secret};
pub use tokens::{Bound, Holder, Tokens};
