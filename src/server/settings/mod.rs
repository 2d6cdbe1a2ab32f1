//! Settings: from the defaults, a TOML file, the environment and flags, the later winning; read loosely, checked once,
//! every problem reported with its key. `config/equipoise.toml` documents each with its default (a test compares).
//!
//! To add one: a line in [`KEYS`], a field of [`Settings`], its line in `Settings::check`, a paragraph in the file.

mod mail;
mod read;

use crate::{limits, mail::Encryption, ops::logging, transport::Congestion};
use read::Reader;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Every key, its default as it stands in a TOML file, and what it sets.
pub const KEYS: &[(&str, &str)] = &[
    ("data.folder", "\"data\""),
    ("data.reserve_mib", "64"),
    ("site.file", "\"\""),
    ("listen.address", "\"0.0.0.0:8443\""),
    ("listen.plain_text", "\"never\""),
    ("listen.allowed_origins", "[]"),
    ("tls.certificate", "\"\""),
    ("tls.key", "\"\""),
    ("tls.allow_1_2", "false"),
    ("quic.enabled", "true"),
    ("quic.address", "\"\""),
    ("quic.congestion", "\"bbr\""),
    ("limits.connections_per_address", "1000"),
    ("limits.window_kib", "1024"),
    ("mail.server", "\"\""),
    ("mail.port", "0"),
    ("mail.encryption", "\"starttls\""),
    ("mail.authority", "\"\""),
    ("mail.username", "\"\""),
    ("mail.password_file", "\"\""),
    ("mail.from", "\"\""),
    ("mail.public_url", "\"\""),
    ("ops.listen", "\"127.0.0.1:9464\""),
    ("ops.allow_remote", "false"),
    ("log.level", "\"info\""),
    ("log.format", "\"text\""),
    ("process.workers", "0"),
];

/// Checked settings: paths are not yet opened, addresses not yet bound.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    pub data_folder: PathBuf,
    pub reserve_bytes: u64,
    /// Imported at the first start only; none: an empty site.
    pub site_file: Option<PathBuf>,
    pub listen: SocketAddr,
    pub plain_text: PlainText,
    pub allowed_origins: Vec<String>,
    /// Certificate chain and key; none: a self-made certificate in the data folder.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    pub tls_1_2: bool,
    /// None: no QUIC.
    pub quic: Option<SocketAddr>,
    pub congestion: Congestion,
    /// From one IPv4 address or IPv6 /64, over WebSocket and QUIC together.
    pub connections_per_address: usize,
    /// What a channel's window may grow to, bytes.
    pub window_max: u64,
    /// None: no mail is sent.
    pub mail: Option<MailSettings>,
    /// None: no operations listener.
    pub ops: Option<SocketAddr>,
    pub ops_allow_remote: bool,
    pub log_level: String,
    pub log_format: logging::Format,
    /// 0: one for each core.
    pub workers: usize,
}

/// The mail server and what letters say of this broker; files are not yet read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailSettings {
    pub server: String,
    pub port: u16,
    pub encryption: Encryption,
    pub authority: Option<PathBuf>,
    /// A name, and the file with its password.
    pub login: Option<(String, PathBuf)>,
    pub from: String,
    pub public_url: url::Url,
}

/// Where TLS may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlainText {
    Never,
    /// Only on a loopback address; the broker refuses to start elsewhere.
    Loopback,
    /// A proxy in front ends TLS.
    BehindProxy,
}

/// One thing that is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Such as `listen.address`; empty where no key is meant.
    pub key: String,
    /// A file, or `environment`, or `flag`.
    pub origin: String,
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.key.is_empty(), self.origin.is_empty()) {
            (false, false) => write!(f, "{} ({}): {}", self.key, self.origin, self.message),
            (false, true) => write!(f, "{}: {}", self.key, self.message),
            (true, false) => write!(f, "{}: {}", self.origin, self.message),
            (true, true) => f.write_str(&self.message),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// Where settings come from, weakest first.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// `EQUIPOISE_…` variables by their full names.
    pub environment: Vec<(String, String)>,
    /// Keys and values as in a TOML file, without quotes.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// This file, this process's environment, these flags.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(read::ENVIRONMENT_PREFIX))
            .collect();
        Self { file, environment, flags }
    }
}

impl Settings {
    /// Reads and checks; reports all problems at once.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        Self::check(Reader::of(sources)?)
    }

    /// The same from a file's text alone.
    pub fn of_text(text: &str) -> Result<Self, Problems> {
        let mut reader = Reader::of(&Sources::default())?;
        reader.file("text", text)?;
        Self::check(reader)
    }

    fn check(mut r: Reader) -> Result<Self, Problems> {
        let listen = r.parse::<SocketAddr>("listen.address", "an address and port such as 0.0.0.0:8443");
        let plain_text = r.word(
            "listen.plain_text",
            &[("never", PlainText::Never), ("loopback", PlainText::Loopback), ("behind_proxy", PlainText::BehindProxy)],
        );
        if let (Some(listen), Some(PlainText::Loopback)) = (listen, plain_text)
            && !listen.ip().is_loopback()
        {
            r.problem("listen.plain_text", format!("{} is not a loopback address", listen.ip()));
        }
        let allowed_origins = r.list("listen.allowed_origins");
        for origin in allowed_origins.iter().flatten() {
            if !is_origin(origin) {
                r.problem(
                    "listen.allowed_origins",
                    format!("{origin:?} is not an exact origin such as https://help.example.com"),
                );
            }
        }
        let certificate = r.path("tls.certificate");
        let key = r.path("tls.key");
        if certificate.is_some() != key.is_some() {
            let missing = if key.is_none() { "tls.key" } else { "tls.certificate" };
            r.problem(missing, "tls.certificate and tls.key belong together".to_owned());
        }
        let quic_enabled = r.bool("quic.enabled");
        let quic_address = match r.text("quic.address").as_deref() {
            None | Some("") => listen,
            Some(_) => r.parse::<SocketAddr>("quic.address", "an address and port such as 0.0.0.0:8443"),
        };
        let congestion = r.word("quic.congestion", &[("bbr", Congestion::Bbr), ("cubic", Congestion::Cubic)]);
        let mail = mail::check(&mut r);
        let ops_allow_remote = r.bool("ops.allow_remote");
        let ops = match r.text("ops.listen").as_deref() {
            None | Some("") => None,
            Some(_) => r.parse::<SocketAddr>("ops.listen", "an address and port such as 127.0.0.1:9464, or nothing"),
        };
        if let (Some(ops), Some(false)) = (ops, ops_allow_remote)
            && !ops.ip().is_loopback()
        {
            r.problem("ops.listen", format!("{} is not a loopback address, and ops.allow_remote is off", ops.ip()));
        }
        let log_level = r.text("log.level");
        if let Some(Err(e)) = log_level.as_deref().map(logging::check_level) {
            r.problem("log.level", e.to_string());
        }
        let log_format = r.word("log.format", &[("text", logging::Format::Text), ("json", logging::Format::Json)]);
        let data_folder = r.text("data.folder");
        if data_folder.as_deref() == Some("") {
            r.problem("data.folder", "names no folder".to_owned());
        }
        let reserve_mib = r.integer("data.reserve_mib", 1..=1_048_576);
        let site_file = r.path("site.file");
        let tls_1_2 = r.bool("tls.allow_1_2");
        let connections_per_address = r.integer("limits.connections_per_address", 1..=1_000_000);
        let most = limits::WINDOW_BYTES_MOST / 1024;
        let window_kib = r.integer("limits.window_kib", limits::WINDOW_BYTES_MAX / 1024..=most);
        let workers = r.integer("process.workers", 0..=1024);

        r.finish()?;
        let known = "no problem was found, so every setting has a value";
        Ok(Self {
            data_folder: data_folder.expect(known).into(),
            reserve_bytes: reserve_mib.expect(known) * 1024 * 1024,
            site_file,
            listen: listen.expect(known),
            plain_text: plain_text.expect(known),
            allowed_origins: allowed_origins.expect(known),
            tls_files: certificate.zip(key),
            tls_1_2: tls_1_2.expect(known),
            quic: quic_address.filter(|_| quic_enabled == Some(true)),
            congestion: congestion.expect(known),
            connections_per_address: connections_per_address.expect(known) as usize,
            window_max: window_kib.expect(known) * 1024,
            mail,
            ops,
            ops_allow_remote: ops_allow_remote.expect(known),
            log_level: log_level.expect(known),
            log_format: log_format.expect(known),
            workers: workers.expect(known) as usize,
        })
    }

    /// Settings that are weaker than their defaults, each with what it gives up.
    pub fn weaknesses(&self) -> Vec<(&'static str, String)> {
        let mut weak = Vec::new();
        match self.plain_text {
            PlainText::Never => {}
            PlainText::Loopback => {
                weak.push(("listen.plain_text", "connections from this machine are not encrypted".to_owned()));
            }
            PlainText::BehindProxy => weak.push((
                "listen.plain_text",
                format!("whoever reaches {} other than through the proxy is not encrypted", self.listen),
            )),
        }
        if self.tls_1_2 {
            weak.push(("tls.allow_1_2", "TLS 1.2 is spoken".to_owned()));
        }
        weak.extend(self.mail.iter().flat_map(MailSettings::weaknesses));
        if self.ops_allow_remote {
            weak.push(("ops.allow_remote", "metrics and readiness can be read from other machines".to_owned()));
        }
        if self.allowed_origins.iter().any(|origin| origin.starts_with("http://")) {
            weak.push(("listen.allowed_origins", "a page without TLS may connect".to_owned()));
        }
        if self.reserve_bytes < limits::DISK_RESERVE_BYTES {
            weak.push(("data.reserve_mib", "less room is kept for finishing what was acknowledged".to_owned()));
        }
        if self.connections_per_address > limits::CONNECTIONS_PER_ADDRESS {
            weak.push(("limits.connections_per_address", "one address may take more of the broker's room".to_owned()));
        }
        if self.window_max > limits::WINDOW_BYTES_MAX {
            weak.push((
                "limits.window_kib",
                "each channel of one who stops reading may take more of the broker's memory".to_owned(),
            ));
        }
        if logs_people(&self.log_level) {
            weak.push(("log.level", "names and addresses of people are logged".to_owned()));
        }
        weak
    }

    /// The settings of a broker that is only ever reached from this machine: `demo` and tests.
    pub fn local(data_folder: &Path, listen: SocketAddr) -> Self {
        let mut settings = Self::load(&Sources::default()).expect("the defaults have no problem");
        settings.data_folder = data_folder.to_owned();
        settings.listen = listen;
        settings.quic = Some(listen);
        settings.ops = Some(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0));
        settings
    }
}

/// Scheme, host and perhaps a port, as a browser writes it: no path, no user, no wildcard.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}

/// DEBUG and TRACE may name people.
fn logs_people(level: &str) -> bool {
    let level = level.to_ascii_lowercase();
    level.split([',', '=']).any(|word| matches!(word.trim(), "debug" | "trace"))
}

#[cfg(test)]
mod tests;
