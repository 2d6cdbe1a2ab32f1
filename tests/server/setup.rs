//! The first administrator's second factor, as a person at a terminal and a script meet it.

use crate::process::{Broker, Talk, equipoise, equipoise_with};
use std::time::{SystemTime, UNIX_EPOCH};
use totp_rs::{Builder, Secret};

const PASSWORD: &str = "long enough for all";

/// The code that an authenticator shows, so many steps from now.
#[expect(clippy::disallowed_methods, reason = "an authenticator has a clock of its own")]
fn code(secret: &str, steps: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let secret = Secret::try_from_base32(secret).expect("base32 was shown");
    let authenticator = Builder::new().with_secret(secret).build().expect("a secret is long enough");
    authenticator.generate(now.saturating_add_signed(30 * steps)).to_string()
}

#[test]
fn i_a8_h_53_the_first_administrator_enrols_a_second_factor_and_signs_in_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::start(&data, &["--site", "config/site.toml"]);
    broker.said_plainly("There is no administrator yet");
    let setup = ["setup", "--data", data.to_str().unwrap(), "--username", "root"];

    // A script without a code sets nothing up, and a password that is too short shows no secret.
    let silent = equipoise(&setup, PASSWORD);
    assert_eq!(silent.code, 2, "{silent:?}");
    assert!(silent.err.contains("nothing was set up"), "{silent:?}");
    let short = equipoise(&setup, "short");
    assert!(short.code == 1 && !short.out.contains("otpauth"), "{short:?}");

    let mut person = Talk::start(&setup, PASSWORD);
    let uri = person.says("otpauth://totp/");
    let secret = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    person.hears(&code(&secret, -100));
    person.complains("the code is not one of the new secret");
    person.hears(&code(&secret, 0));
    let done = person.ends();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.trim_start().starts_with("root is the administrator"), "{done:?}");
    let recovery: Vec<&str> = done.out.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(recovery.len(), 10, "{done:?}");

    let url = format!("https://{}", broker.field("serving", "http"));
    let pin = broker.field("clients pin this certificate", "pin");
    let export = ["site", "export", "--server", &url, "--pin", &pin, "--login", "root"];
    let alone = equipoise(&export, PASSWORD);
    assert_eq!(alone.code, 1, "the password alone: {alone:?}");
    let with = |code: &str| equipoise_with(&export, &[("EQUIPOISE_PASSWORD", PASSWORD), ("EQUIPOISE_CODE", code)]);
    let exported = with(&code(&secret, 1));
    assert!(exported.code == 0 && exported.out.contains("root"), "{exported:?}");
    assert_eq!(with(recovery[0]).code, 0);
    assert_eq!(with(recovery[0]).code, 1, "a recovery code works once");

    // `explain` signs in the same way, and shows nothing without the code.
    let ask = ["explain", "ask", "team:desk", "--server", &url, "--pin", &pin, "--login", "root", "--json"];
    let alone = equipoise(&ask, PASSWORD);
    assert!(alone.code == 1 && alone.out.is_empty(), "{alone:?}");
    let explained = equipoise_with(&ask, &[("EQUIPOISE_PASSWORD", PASSWORD), ("EQUIPOISE_CODE", recovery[1])]);
    assert!(explained.code == 0 && explained.out.contains("\"queue\":\"team:desk\""), "{explained:?}");
    assert_eq!(broker.end("TERM"), 0);
}

#[test]
fn i_a8_an_empty_password_has_one_made_and_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::start(&data, &["--site", "config/site.toml"]);
    broker.said_plainly("There is no administrator yet");
    let setup = ["setup", "--data", data.to_str().unwrap(), "--username", "root", "--no-second-factor"];
    let done = equipoise(&setup, "");
    assert_eq!(done.code, 0, "{done:?}");
    let password = done.out.lines().find_map(|line| line.strip_prefix("  ")).unwrap();
    let url = format!("https://{}", broker.field("serving", "http"));
    let pin = broker.field("clients pin this certificate", "pin");
    let exported = equipoise(&["site", "export", "--server", &url, "--pin", &pin, "--login", "root"], password);
    assert_eq!(exported.code, 0, "{exported:?}");
    assert_eq!(broker.end("TERM"), 0);
}
