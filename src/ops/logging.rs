//! Structured logs on standard error, as text for people or JSON lines for machines. Nothing about people stands above
//! DEBUG and secrets stand nowhere; WARN and ERROR are for our own faults.

use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Text,
    Json,
}

/// Changes the level while the process runs (SIGHUP).
#[derive(Clone)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("log level {0:?}: {1}")]
    Level(String, String),
    #[error("logging is already set up")]
    Twice,
}

/// Starts logging with a filter such as `info` or `info,equipoise::relay=trace`.
pub fn start(level: &str, format: Format) -> Result<Level, LoggingError> {
    let (filter, handle) = reload::Layer::new(check_level(level)?);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        Format::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour)).try_init()
        }
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
    }
    .map_err(|_| LoggingError::Twice)?;
    Ok(Level(handle))
}

/// Reads a filter; its problem is said in words.
pub fn check_level(level: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::builder().parse(level).map_err(|e| LoggingError::Level(level.to_owned(), e.to_string()))
}

impl Level {
    /// On a problem the level stays what it was (H-92).
    pub fn set(&self, level: &str) -> Result<(), LoggingError> {
        let filter = check_level(level)?;
        self.0.reload(filter).map_err(|e| LoggingError::Level(level.to_owned(), e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_level_is_refused_in_words() {
        assert!(check_level("info,equipoise::relay=trace").is_ok());
        let problem = check_level("equipoise=loud").expect_err("loud is no level").to_string();
        assert!(problem.contains("equipoise=loud"), "{problem}");
    }

    #[test]
    fn h_92_a_broken_level_leaves_the_old_one() {
        let (_layer, handle) = reload::Layer::<EnvFilter, Registry>::new(EnvFilter::new("warn"));
        let level = Level(handle.clone());
        assert!(level.set("equipoise=loud").is_err());
        assert_eq!(handle.with_current(ToString::to_string).expect("the layer lives"), "warn");
        level.set("debug").expect("debug is a level");
        assert_eq!(handle.with_current(ToString::to_string).expect("the layer lives"), "debug");
    }
}
