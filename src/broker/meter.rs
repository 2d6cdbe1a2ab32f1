//! Which line of the relay's counters the channels of a tool count on: metrics name tools, the relay knows none.

use crate::{policy::Tool, relay::Label};

/// Tools that open channels. Each is a label of some thirty series, so the list is closed.
const METERED: [Tool; 20] = [
    Tool::Screen,
    Tool::ShowMyScreen,
    Tool::Clipboard,
    Tool::FileTransfer,
    Tool::FileManager,
    Tool::Shell,
    Tool::SystemInfo,
    Tool::SystemInfoActions,
    Tool::Registry,
    Tool::CannedScripts,
    Tool::EmbeddedScripts,
    Tool::Annotations,
    Tool::Chat,
    Tool::ChatFiles,
    Tool::ScreenCapture,
    Tool::Webcam,
    Tool::Voice,
    Tool::DocumentShare,
    Tool::DocumentDownload,
    Tool::MobileSettings,
];

/// Lines there are: the last is for what has none of its own.
pub(super) const LINES: usize = METERED.len() + 1;

/// The line of a tool's channels.
pub(super) fn label(tool: Tool) -> Label {
    Label(METERED.iter().position(|metered| *metered == tool).unwrap_or(METERED.len()))
}

/// Every line with its name in metrics.
pub fn lines() -> impl Iterator<Item = (Label, &'static str)> {
    let names = METERED.iter().map(|tool| tool.name()).chain(["other"]);
    names.enumerate().map(|(at, name)| (Label(at), name))
}
