//! Who somebody is: passwords, tokens, keys, and how often one may try. It must never know a session, a queue or a
//! socket; secrets leave it once, for the one they belong to, and stay behind as hashes only.

mod attempts;
mod passwords;
mod secrets;
mod tokens;

pub use attempts::Attempts;
pub use passwords::{PasswordError, Passwords};
pub use secrets::{KeyShape, LinkSeed, Secret};
pub use tokens::{Bound, Holder, Tokens};
