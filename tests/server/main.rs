//! The whole binary as an operator sees it: first run, signals, a second broker on one folder, what is served where.
#![cfg(feature = "io")]

mod again;
mod audit;
mod files;
mod process;
mod setup;
mod site;

use process::{Broker, ask, equipoise, get};
use std::time::Duration;

#[test]
fn i_a8_the_first_administrator_is_made_once_with_the_token_and_only_then_the_doors_open() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::start(&data, &[]);
    let ops = broker.field("operations listener", "address");
    broker.said_plainly("There is no administrator yet");
    let (status, body) = get(&ops, "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("setup_required"), "{body}");

    // H-83: a wrong token, then a password that is too short: neither uses the token up.
    let data_folder = data.to_str().unwrap();
    let wrong = equipoise(
        &["setup", "--data", data_folder, "--token", "wrong", "--username", "root", "--no-second-factor"],
        "long enough for all",
    );
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("the token is not right"), "{wrong:?}");
    let short = equipoise(&["setup", "--data", data_folder, "--username", "root", "--no-second-factor"], "short");
    assert_eq!(short.code, 1, "{short:?}");
    let right =
        equipoise(&["setup", "--data", data_folder, "--username", "root", "--no-second-factor"], "long enough for all");
    assert_eq!(right.code, 0, "{right:?}");
    broker.field("serving", "http");
    assert_eq!(get(&ops, "/readyz").0, 200);
    assert!(!data.join("setup-token").exists() && !data.join("setup.sock").exists());
    let again = equipoise(
        &["setup", "--data", data_folder, "--token", "x", "--username", "eve", "--no-second-factor"],
        "long enough for all",
    );
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(broker.end("TERM"), 0);

    // The administrator is in the journal: the next start serves at once.
    let mut broker = Broker::start(&data, &[]);
    // R11.3: nobody has to find out for himself who has no second factor.
    assert_eq!(broker.field("administrators sign in with a password alone", "administrators"), "1");
    broker.field("serving", "http");
    assert_eq!(broker.end("INT"), 0);
}

/// Whatever somebody might try the setup under: exactly, with something behind it, before it, or written otherwise.
fn setups() -> Vec<String> {
    let places = ["/", "//", "/./", "/v1/", "/v1//", "/healthz/", "/livez/../", "/livez/%2e%2e/", "http://localhost/"];
    let names = ["setup", "setup/", "setup/x", "setup%2f", "setup;x", "setup?x", "%73etup", "SETUP", "Setup.aspx/x"];
    places.iter().flat_map(|place| names.iter().map(move |name| format!("{place}{name}"))).collect()
}

#[test]
fn h_82_no_listener_knows_a_setup_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::demo(&data);
    let ops = broker.ops();
    for path in setups() {
        for version in ["1.0", "1.1"] {
            let (status, body) = ask(&ops, &format!("GET {path} HTTP/{version}"));
            assert_eq!(status, 404, "{path} HTTP/{version}: {body}");
        }
    }
    assert_eq!(broker.end("TERM"), 0);
}

#[test]
fn h_103_a_second_broker_on_one_folder_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut first = Broker::demo(&data);
    let second = equipoise(&["demo", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()], "");
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.starts_with("equipoise: "), "{second:?}");
    assert_eq!(get(&first.ops(), "/livez").0, 200);
    assert_eq!(first.end("TERM"), 0);
}

#[test]
fn h_104_h_92_sigterm_ends_it_in_order_and_a_hang_up_with_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("equipoise.toml");
    std::fs::write(&config, "[log]\nlevel = \"info\"\n").unwrap();
    let mut broker = Broker::start(&data, &["--config", config.to_str().unwrap()]);
    let ops = broker.field("operations listener", "address");
    broker.said_plainly("There is no administrator yet");
    let data_folder = data.to_str().unwrap();
    assert_eq!(
        equipoise(&["setup", "--data", data_folder, "--username", "root", "--no-second-factor"], "long enough for all")
            .code,
        0
    );
    broker.field("serving", "http");

    let broken = [
        ("[log]\nlevel = \"equipoise=loud\"\n", "log.level"),
        ("[log]\nlevle = \"info\"\n", "log.levle"),
        ("\"log.level\" = \"info\"\n[log]\nlevel = \"warn\"\n", "log.level"),
        ("[log\n", "equipoise.toml"),
    ];
    for (text, named) in broken {
        std::fs::write(&config, text).unwrap();
        broker.signal("HUP");
        let problems = broker.field("the settings were not reloaded", "problems");
        assert!(problems.contains(named), "{text:?}: {problems}");
    }
    std::fs::write(&config, "[log]\nlevel = \"info\"\n").unwrap();
    broker.signal("HUP");
    broker.field("settings reloaded", "level");
    assert_eq!(get(&ops, "/livez").0, 200);
    assert_eq!(broker.end("TERM"), 0);
}

#[test]
fn metrics_are_served_with_every_name_of_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::demo(&data);
    let (status, text) = get(&broker.ops(), "/metrics");
    assert_eq!(status, 200);
    let document = include_str!("../../docs/operations.md");
    let names: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let documented: Vec<&str> = names.into_iter().filter(|name| name.starts_with("equipoise_")).collect();
    assert!(documented.len() > 20);
    for name in &documented {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is not served");
    }
    let served = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in served {
        assert!(documented.contains(&name), "{name} is not documented");
    }
    assert!(text.contains("equipoise_ready 1"), "{text}");
    assert!(text.contains("equipoise_insecure_settings 0"), "{text}");
    assert_eq!(broker.end("TERM"), 0);
}

#[test]
fn a_full_disk_is_named_by_readyz() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::start(&data, &["--set", "data.reserve_mib=1048576"]);
    let ops = broker.field("operations listener", "address");
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !get(&ops, "/readyz").1.contains("disk_full") {
        assert!(std::time::Instant::now() < until, "readyz never said that the disk is full");
        std::thread::yield_now();
    }
    assert_eq!(broker.end("TERM"), 0);
}
