//! One function for each decoder that reads what others wrote: it must not panic, hang or take more memory than it was
//! given bytes for, and what it takes it must make again. Fuzz targets and the replay of their corpora share these.

use equipoise::{
    policy::paths::{self, Os},
    site::{Site, raw::RawSite},
    wire::{Frame, FromBroker, FromClient},
};

#[cfg(feature = "io")]
#[path = "decoders_io.rs"]
mod io;
#[cfg(feature = "io")]
pub use io::*;

/// A fuzz target and the folder of its corpus.
pub type Target = (&'static str, fn(&[u8]));

pub const PURE: [Target; 4] = [("control", control), ("frame", frame), ("path", path), ("site_file", site_file)];

pub fn control(bytes: &[u8]) {
    if let Ok(message) = FromClient::decode(bytes) {
        assert_eq!(FromClient::decode(&message.encode()), Ok(message));
    }
    if let Ok(message) = FromBroker::decode(bytes) {
        assert_eq!(FromBroker::decode(&message.encode()), Ok(message));
    }
}

pub fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes.to_vec().into()) {
        assert_eq!(frame.encode(), bytes, "a frame has one form only");
    }
}

pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for os in Os::ALL {
        if let Ok(normal) = paths::normalize(os, &text) {
            assert_eq!(paths::normalize(os, &normal).as_ref(), Ok(&normal), "normalising twice changes nothing");
        }
    }
}

pub fn site_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parsed = RawSite::parse(&text);
    // Read in one go it says what it says key by key.
    if let Ok((_, at_once)) = Site::with_raw(&text, None) {
        assert_eq!(parsed.as_ref(), Ok(&*at_once));
    }
    if let Ok(raw) = parsed {
        // Refused or taken, but never a panic.
        let _ = Site::check(raw.into(), None);
    }
}
