//! What this endpoint shows as its screen, and takes input for.

#[cfg(feature = "desktop")]
use super::desktop::{Desktop, DesktopError, Selection};
use super::{clipboard::Clipboard, demo::Scene, tool::ToolError};
use crate::{client::picture::Canvas, wire::Kind};
use parking_lot::Mutex;

/// What is to be shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Show {
    #[default]
    None,
    /// A generated moving picture that shows the input it gets.
    Demo,
    /// The X11 display of this name, or of `DISPLAY`.
    #[cfg(feature = "desktop")]
    Desktop(Option<String>),
}

impl Show {
    /// The desktop where there is one, else the generated picture. Wayland gives its screen to no program like this one.
    pub fn whatever_is_there() -> Self {
        #[cfg(feature = "desktop")]
        {
            let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            if set("WAYLAND_DISPLAY") {
                return Self::None;
            }
            if set("DISPLAY") {
                return Self::Desktop(None);
            }
        }
        Self::Demo
    }
}

pub enum Screen {
    Demo(Mutex<Scene>),
    #[cfg(feature = "desktop")]
    Desktop(Box<Desktop>),
}

#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    #[cfg(feature = "desktop")]
    #[error(transparent)]
    Desktop(#[from] DesktopError),
}

/// The screen, if there is one, and the clipboard that goes with it.
pub fn open(show: &Show) -> Result<(Option<Screen>, Clipboard), ScreenError> {
    let clipboard = match show {
        Show::None | Show::Demo => Clipboard::default(),
        #[cfg(feature = "desktop")]
        Show::Desktop(display) => Clipboard::Desktop(Selection::open(display.as_deref())?),
    };
    Ok((Screen::open(show)?, clipboard))
}

impl Screen {
    pub fn open(show: &Show) -> Result<Option<Self>, ScreenError> {
        Ok(match show {
            Show::None => None,
            Show::Demo => Some(Self::Demo(Mutex::default())),
            #[cfg(feature = "desktop")]
            Show::Desktop(display) => Some(Self::Desktop(Box::new(Desktop::open(display.as_deref())?))),
        })
    }

    /// What it shows at this moment.
    pub fn draw(&self) -> Result<Canvas, ToolError> {
        match self {
            Self::Demo(scene) => Ok(scene.lock().next()),
            #[cfg(feature = "desktop")]
            Self::Desktop(desktop) => desktop.grab().map_err(|error| ToolError::Refused(error.to_string())),
        }
    }

    /// Whether the person's own keyboards and pointers can be held here.
    pub fn holds(&self) -> Result<(), ToolError> {
        match self {
            Self::Demo(_) => {
                Err(ToolError::Refused("no_screen: a generated picture has no keyboard of a person".into()))
            }
            #[cfg(feature = "desktop")]
            Self::Desktop(desktop) => desktop.holds().map_err(|error| ToolError::Refused(error.to_string())),
        }
    }

    /// Holds the person's own keyboards and pointers, or lets them go.
    pub fn hold(&self, hold: bool) -> Result<(), ToolError> {
        match self {
            Self::Demo(_) if hold => self.holds(),
            Self::Demo(_) => Ok(()),
            #[cfg(feature = "desktop")]
            Self::Desktop(desktop) => desktop.hold(hold).map_err(|error| ToolError::Refused(error.to_string())),
        }
    }

    /// Takes one input frame; malformed ones change nothing.
    pub fn input(&self, kind: Kind, bytes: &[u8]) {
        match self {
            Self::Demo(scene) => scene.lock().input(kind, bytes),
            #[cfg(feature = "desktop")]
            Self::Desktop(desktop) => {
                if let Err(error) = desktop.input(kind, bytes) {
                    tracing::debug!(%error, "input could not be given to the desktop");
                }
            }
        }
    }
}
