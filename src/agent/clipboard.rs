//! This machine's clipboard, as text (P3.3).

#[cfg(feature = "desktop")]
use super::desktop::Selection;
use super::tool::ToolError;
use parking_lot::Mutex;

pub enum Clipboard {
    /// Where there is no desktop: what was copied at this endpoint's own terminal.
    Own(Mutex<String>),
    #[cfg(feature = "desktop")]
    Desktop(Selection),
}

impl Default for Clipboard {
    fn default() -> Self {
        Self::Own(Mutex::default())
    }
}

impl Clipboard {
    pub fn get(&self) -> Result<String, ToolError> {
        match self {
            Self::Own(text) => Ok(text.lock().clone()),
            #[cfg(feature = "desktop")]
            Self::Desktop(selection) => selection.get().map_err(|error| ToolError::Refused(error.to_string())),
        }
    }

    pub fn set(&self, copied: String) -> Result<(), ToolError> {
        match self {
            Self::Own(text) => {
                *text.lock() = copied;
                Ok(())
            }
            #[cfg(feature = "desktop")]
            Self::Desktop(selection) => selection.set(copied).map_err(|error| ToolError::Refused(error.to_string())),
        }
    }
}
