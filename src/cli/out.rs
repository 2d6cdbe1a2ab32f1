//! What a command leaves behind: lines on standard output, one line of error on standard error, an exit code.

use std::{
    error::Error,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(super) enum Failure {
    /// Exit code 2: the arguments, the settings or a file that was named are wrong.
    Usage(String),
    /// Exit code 1.
    Failed(String),
    /// The reader of standard output went away: it has what it wanted.
    Closed,
}

impl Failure {
    pub(super) fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }

    pub(super) fn failed(error: &dyn Error) -> Self {
        Self::Failed(chain(error))
    }

    pub(super) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text, 2),
            Self::Failed(text) => (text, 1),
            Self::Closed => return ExitCode::SUCCESS,
        };
        for line in text.lines() {
            Out.note(line);
        }
        ExitCode::from(code)
    }
}

/// An error and its causes in one line; a cause that its effect already quotes is not said twice.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

/// Standard output; a closed pipe ends the command without noise.
pub(super) struct Out;

impl Out {
    pub(super) fn line(&self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    pub(super) fn json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|e| Failure::failed(&e))?;
        self.line(&text)
    }

    /// On standard error. Closed, it leaves only the exit code.
    pub(super) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "equipoise: {text}");
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Failed(format!("standard output: {e}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Said>>);

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let deepest = Said("no such file", None);
        let middle = Said("key.pem: no such file", Some(Box::new(deepest)));
        let error = Said("TLS cannot be set up", Some(Box::new(middle)));
        assert_eq!(chain(&error), "TLS cannot be set up: key.pem: no such file");
    }
}
