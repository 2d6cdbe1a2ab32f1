//! The first administrator's second factor, and a password that has to be replaced, as a person at a terminal and a script
//! meet them.

use crate::process::{Broker, Talk, equipoise, equipoise_with};
use equipoise::{
    client::{Client, Congestion, Target, Transport, parse_pin, sign_in},
    wire::{
        Credential, Do, Hello,
        control::{ClientInfo, Role},
    },
};
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

/// An administrator gives itself the password it has, to be replaced at the next sign-in.
async fn must_reset(url: &str, pin: &str) {
    let (pin, congestion) = (parse_pin(pin), Congestion::default());
    let target = Target { url: url.parse().expect("an address"), transport: Transport::Ws, pin, congestion };
    let credential = Credential::Token(sign_in(&target, "root", PASSWORD).await.expect("it is right"));
    let (client, features) = (ClientInfo::default(), Vec::new());
    let said = Hello { role: Role::Admin, site: None, credential, client, features, seen: None };
    let (root, _) = Client::connect(target, said).await.expect("an administrator");
    let (username, password) = ("root".to_owned(), PASSWORD.into());
    root.act(Do::SetPassword { username, password, must_reset: true, expires_at_ms: None }).await.expect("may");
    root.close().await;
}

#[test]
fn a_password_that_is_over_is_replaced_where_the_terminal_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut broker = Broker::start(&data, &["--site", "config/site.toml"]);
    broker.said_plainly("There is no administrator yet");
    let setup = ["setup", "--data", data.to_str().unwrap(), "--username", "root", "--no-second-factor"];
    assert_eq!(equipoise(&setup, PASSWORD).code, 0);
    let url = format!("https://{}", broker.field("serving", "http"));
    let pin = broker.field("clients pin this certificate", "pin");
    tokio::runtime::Runtime::new().unwrap().block_on(must_reset(&url, &pin));

    let export = ["site", "export", "--server", &url, "--pin", &pin, "--login", "root"];
    let with =
        |new: &str| equipoise_with(&export, &[("EQUIPOISE_PASSWORD", PASSWORD), ("EQUIPOISE_NEW_PASSWORD", new)]);
    let weak = with("short");
    assert!(weak.code == 1 && weak.err.contains("at least 12 bytes"), "{weak:?}");
    let new = "eleven cold harbours under a brass moon";
    let exported = with(new);
    assert!(exported.code == 0 && exported.out.contains("root"), "{exported:?}");
    assert_eq!(with(new).code, 1, "the old one is nobody's");
    assert_eq!(equipoise(&export, new).code, 0);
    assert_eq!(broker.end("TERM"), 0);
}
