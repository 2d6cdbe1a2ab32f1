//! This machine's clipboard, as text (P3.3).

use super::tool::ToolError;
use parking_lot::Mutex;

/// Where there is no desktop, what was copied at this endpoint's own terminal.
#[derive(Debug, Default)]
pub struct Clipboard {
    text: Mutex<String>,
}

impl Clipboard {
    pub fn get(&self) -> Result<String, ToolError> {
        Ok(self.text.lock().clone())
    }

    pub fn set(&self, text: String) -> Result<(), ToolError> {
        *self.text.lock() = text;
        Ok(())
    }
}
