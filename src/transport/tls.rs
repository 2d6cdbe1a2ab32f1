//! The broker's certificate: read from files, or made here and kept; and what TLS is spoken with it.

use data_encoding::HEXLOWER;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Days a certificate made here is good for: what browsers take at most.
const SELF_MADE_DAYS: i64 = 398;
/// Made anew when it has fewer days left than this, so that a broker that is restarted monthly never serves a dead one.
const RENEW_DAYS: i64 = 30;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path}: no certificate or key can be read from it: {error}")]
    Pem { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("{path}: holds no certificate")]
    Empty { path: PathBuf },
    #[error("the key in {path} does not fit the certificate: {error}")]
    Key { path: PathBuf, error: rustls::Error },
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Where the certificate comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// PEM: the chain, end entity first, and its key.
    Files { certificate: PathBuf, key: PathBuf },
    /// A P-256 certificate made here and kept in this folder, for clients that pin it (W6.4).
    SelfMade { folder: PathBuf, names: Vec<String> },
}

/// The certificate in use. It can be loaded again without dropping anyone (W6.4).
#[derive(Debug)]
pub struct Certificate {
    source: Source,
    current: parking_lot::RwLock<Arc<CertifiedKey>>,
    reset_key: [u8; 32],
}

impl Certificate {
    /// `now_ms`: milliseconds since 1970 UTC, for a certificate that is made here.
    pub fn load(source: Source, now_ms: i64) -> Result<Arc<Self>, TlsError> {
        let (current, reset_key) = read(&source, now_ms)?;
        Ok(Arc::new(Self { source, current: parking_lot::RwLock::new(Arc::new(current)), reset_key }))
    }

    /// Reads the files again. On an error the certificate in use stays.
    pub fn reload(&self, now_ms: i64) -> Result<(), TlsError> {
        *self.current.write() = Arc::new(read(&self.source, now_ms)?.0);
        Ok(())
    }

    /// A secret that follows from the certificate's key, for QUIC's resets: the same after a restart.
    pub fn reset_key(&self) -> [u8; 32] {
        self.reset_key
    }

    /// SHA-256 of the certificate, as clients pin it: `sha256:` and 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let current = self.current.read();
        let hash = current.cert.first().map(Sha256::digest).unwrap_or_default();
        format!("sha256:{}", HEXLOWER.encode(&hash))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

/// TLS 1.3 alone, unless `tls12` says otherwise; no early data, so that nothing a client says can be replayed (H-08).
pub fn server_config(certificate: &Arc<Certificate>, alpn: &[&[u8]], tls12: bool) -> Result<ServerConfig, TlsError> {
    let versions: &[_] =
        if tls12 { &[&rustls::version::TLS13, &rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificate.clone());
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    // Tickets are sealed with keys that live twelve hours; none are kept here.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn read(source: &Source, now_ms: i64) -> Result<(CertifiedKey, [u8; 32]), TlsError> {
    match source {
        Source::Files { certificate, key } => read_files(certificate, key),
        Source::SelfMade { folder, names } => {
            let certificate = folder.join("certificate.pem");
            let key = folder.join("key.pem");
            let made = folder.join("certificate.made");
            if !key.exists() || now_ms.saturating_sub(made_at(&made)) > (SELF_MADE_DAYS - RENEW_DAYS) * DAY_MS {
                make(names, now_ms, &certificate, &key, &made)?;
            }
            read_files(&certificate, &key)
        }
    }
}

/// The chain with its key, and the secret for resets.
fn read_files(certificate: &Path, key: &Path) -> Result<(CertifiedKey, [u8; 32]), TlsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Pem { path, error }
    };
    let chain = CertificateDer::pem_slice_iter(&read_file(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path: certificate.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_slice(&read_file(key)?).map_err(pem(key))?;
    let secret = Sha256::new().chain_update(b"equipoise/1 reset").chain_update(private.secret_der()).finalize().into();
    let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())
        .map_err(|error| TlsError::Key { path: key.to_owned(), error })?;
    Ok((certified, secret))
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::File { path: path.to_owned(), error })
}

fn made_at(path: &Path) -> i64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn make(names: &[String], now_ms: i64, certificate: &Path, key: &Path, made: &Path) -> Result<(), TlsError> {
    let mut params = rcgen::CertificateParams::new(names.to_vec())?;
    let (from, until) = (day(now_ms - DAY_MS), day(now_ms + (SELF_MADE_DAYS - 1) * DAY_MS));
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    params.distinguished_name.push(rcgen::DnType::CommonName, "equipoise");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let pem = params.self_signed(&pair)?.pem();
    write_file(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write_file(certificate, pem.as_bytes(), 0o644)?;
    write_file(made, now_ms.to_string().as_bytes(), 0o644)
}

/// Year, month and day in UTC.
fn day(ms: i64) -> (i32, u8, u8) {
    let date = jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

/// Written beside the target and renamed, so that a crash leaves the old file or the new one.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    let part = path.with_extension("part");
    let write = || {
        if let Err(error) = fs::remove_file(&part)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| TlsError::File { path: path.to_owned(), error })
}

/// A host in a certificate may be a name or an address; loopback names are always there for clients on this machine.
pub fn names_for(hosts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), "::1".into()];
    for host in hosts {
        let unspecified = host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
        if !unspecified && !names.contains(&host) {
            names.push(host);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: i64 = 1_800_000_000_000;

    fn self_made(folder: &Path) -> Source {
        Source::SelfMade { folder: folder.to_owned(), names: names_for(["broker.example".into(), "0.0.0.0".into()]) }
    }

    #[test]
    fn a_certificate_made_here_is_kept_until_it_nears_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let first = Certificate::load(self_made(folder.path()), NOW).unwrap().fingerprint();
        assert!(first.starts_with("sha256:") && first.len() == 7 + 64);
        let mode = fs::metadata(folder.path().join("key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "the key is for its owner alone");
        let again = Certificate::load(self_made(folder.path()), NOW + 300 * DAY_MS).unwrap();
        assert_eq!(again.fingerprint(), first);
        again.reload(NOW + 370 * DAY_MS).unwrap();
        assert_ne!(again.fingerprint(), first);
    }

    #[test]
    fn w6_4_a_broken_file_leaves_the_certificate_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = Certificate::load(self_made(folder.path()), NOW).unwrap();
        let before = certificate.fingerprint();
        fs::write(folder.path().join("certificate.pem"), "nonsense").unwrap();
        assert!(matches!(certificate.reload(NOW), Err(TlsError::Empty { .. })));
        assert_eq!(certificate.fingerprint(), before);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_by_name() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&one, &two] {
            Certificate::load(self_made(folder.path()), NOW).unwrap();
        }
        let source = Source::Files { certificate: one.path().join("certificate.pem"), key: two.path().join("key.pem") };
        assert!(matches!(Certificate::load(source, NOW), Err(TlsError::Key { .. })));
    }
}
