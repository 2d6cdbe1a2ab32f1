//! Settings from their four sources, and the documented file.

use super::*;

const DOCUMENTED: &str = include_str!("../../../config/equipoise.toml");

fn file(text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("equipoise.toml");
    std::fs::write(&path, text).unwrap();
    (folder, Sources { file: Some(path), ..Sources::default() })
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn the_documented_file_has_every_key_with_its_default() {
    let mut section = String::new();
    let mut written = Vec::new();
    for line in DOCUMENTED.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            written.push((format!("{section}.{key}"), value.to_owned()));
        }
    }
    assert_eq!(written, pairs(KEYS));
}

#[test]
fn the_documented_file_is_the_same_as_no_file() {
    let (_folder, sources) = file(DOCUMENTED);
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings, Settings::load(&Sources::default()).unwrap());
    assert!(settings.weaknesses().is_empty());
}

#[test]
fn one_key_under_two_spellings_is_a_problem() {
    let (_folder, sources) = file("\"log.level\" = \"warn\"\n[log]\nlevel = \"error\"\n");
    let problems = Settings::load(&sources).unwrap_err().0;
    assert_eq!(problems.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), ["log.level"]);
    assert!(problems[0].message.contains("given twice"), "{}", problems[0]);
}

#[test]
fn the_environment_is_stronger_than_the_file_and_a_flag_is_stronger_than_both() {
    let (_folder, mut sources) = file("[log]\nlevel = \"warn\"\nformat = \"json\"\n[data]\nfolder = \"one\"\n");
    sources.environment = pairs(&[("EQUIPOISE_LOG__LEVEL", "error"), ("EQUIPOISE_DATA__FOLDER", "two")]);
    sources.flags = pairs(&[("data.folder", "three")]);
    let settings = Settings::load(&sources).unwrap();
    assert_eq!(settings.log_format, logging::Format::Json);
    assert_eq!(settings.log_level, "error");
    assert_eq!(settings.data_folder, Path::new("three"));
}

#[test]
fn every_kind_of_value_can_come_from_the_environment() {
    let environment = pairs(&[
        ("EQUIPOISE_QUIC__ENABLED", "false"),
        ("EQUIPOISE_PROCESS__WORKERS", "3"),
        ("EQUIPOISE_LISTEN__ALLOWED_ORIGINS", "https://a.example, https://b.example:8443"),
        ("EQUIPOISE_LISTEN__ADDRESS", "127.0.0.1:0"),
        ("EQUIPOISE_PASSWORD", "no setting"),
    ]);
    let settings = Settings::load(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(settings.quic, None);
    assert_eq!(settings.workers, 3);
    assert_eq!(settings.allowed_origins, ["https://a.example", "https://b.example:8443"]);
    assert_eq!(settings.listen, "127.0.0.1:0".parse().unwrap());
}

#[test]
fn all_problems_are_reported_at_once_with_their_keys() {
    let (_folder, mut sources) = file(
        "[listen]\naddress = 8443\nadress = \"x\"\nallowed_origins = [\"*\"]\n[process]\nworkers = -1\n\
         [tls]\nkey = \"k.pem\"\n[log]\nlevel = \"equipoise=loud\"\n[nothing]\nhere = 1\n",
    );
    sources.environment = pairs(&[("EQUIPOISE_QUIC__CONGESTION", "reno"), ("EQUIPOISE_QUIET", "1")]);
    sources.flags = pairs(&[("ops.listen", "0.0.0.0:9464")]);
    let Problems(problems) = Settings::load(&sources).unwrap_err();
    let mut keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "listen.address",
            "listen.adress",
            "listen.allowed_origins",
            "log.level",
            "nothing.here",
            "ops.listen",
            "process.workers",
            "quic.congestion",
            "quiet",
            "tls.certificate"
        ]
    );
    let text = Problems(problems).to_string();
    assert!(text.contains("did you mean listen.address?"), "{text}");
    assert!(
        text.contains("quic.congestion (environment EQUIPOISE_QUIC__CONGESTION): \"reno\" is not one of"),
        "{text}"
    );
    assert!(text.contains("ops.listen (flag): "), "{text}");
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_named() {
    let (_folder, sources) = file("[listen\n");
    let text = Settings::load(&sources).unwrap_err().to_string();
    assert!(text.contains("equipoise.toml: "), "{text}");
    let sources = Sources { file: Some("/nowhere/equipoise.toml".into()), ..Sources::default() };
    let text = Settings::load(&sources).unwrap_err().to_string();
    assert!(text.starts_with("/nowhere/equipoise.toml: "), "{text}");
}

#[test]
fn plain_text_on_loopback_is_refused_elsewhere() {
    let plain = |address| {
        let flags = pairs(&[("listen.plain_text", "loopback"), ("listen.address", address)]);
        Settings::load(&Sources { flags, ..Sources::default() })
    };
    assert!(plain("127.0.0.1:80").is_ok());
    assert!(plain("[::1]:80").is_ok());
    assert!(plain("0.0.0.0:80").is_err());
    assert!(plain("192.0.2.1:80").is_err());
}

#[test]
fn what_is_weaker_than_the_default_is_named() {
    let flags = pairs(&[
        ("listen.plain_text", "behind_proxy"),
        ("listen.allowed_origins", "http://a.example"),
        ("tls.allow_1_2", "true"),
        ("ops.allow_remote", "true"),
        ("ops.listen", "0.0.0.0:9464"),
        ("data.reserve_mib", "1"),
        ("log.level", "info,equipoise::relay=trace"),
    ]);
    let settings = Settings::load(&Sources { flags, ..Sources::default() }).unwrap();
    let keys: Vec<&str> = settings.weaknesses().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "listen.plain_text",
            "tls.allow_1_2",
            "ops.allow_remote",
            "listen.allowed_origins",
            "data.reserve_mib",
            "log.level"
        ]
    );
}
