//! What operators need: the clock everybody reads, logs, metrics and the health listener. It never decides anything
//! about sessions and never sees a payload, a secret or a name.

pub use crate::clock;
pub mod follow;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;

pub use health::{Check, Health};
