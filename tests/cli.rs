//! The binary as scripts see it: exit codes, and what goes to which stream.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;
use std::process::{Output, Stdio};

fn equipoise(args: &[&str]) -> Output {
    let mut command = Command::cargo_bin("equipoise").unwrap();
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().output().unwrap()
}

#[track_caller]
fn ends(output: &Output, code: i32) -> (String, String) {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let err = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out, err)
}

#[test]
fn help_and_version_are_results() {
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["agent", "--help"], &["rep", "--help"]] {
        let (out, err) = ends(&equipoise(args), 0);
        assert!(!out.is_empty() && err.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_on_standard_error() {
    for args in [&[][..], &["fly"], &["serve", "--wings"], &["site", "check"], &["completions", "cobol"]] {
        let (out, err) = ends(&equipoise(args), 2);
        assert!(out.is_empty() && !err.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_settings_are_exit_code_2_and_all_are_named() {
    let (out, err) = ends(&equipoise(&["config", "check", "--set", "log.level=equipoise=loud", "--listen", "here"]), 2);
    assert!(out.is_empty());
    assert!(err.contains("log.level (flag)") && err.contains("listen.address (flag)"), "{err}");
    assert!(err.lines().all(|line| line.starts_with("equipoise: ")), "{err}");
}

#[test]
fn the_example_settings_are_sound() {
    let (out, _) = ends(&equipoise(&["config", "check", "--config", "config/equipoise.toml"]), 0);
    assert_eq!(out, "the settings are sound\n");
    let (out, _) = ends(&equipoise(&["config", "check", "--set", "tls.allow_1_2=true", "--json"]), 0);
    assert_eq!(out, "{\"problems\":[],\"weaker\":{\"tls.allow_1_2\":\"TLS 1.2 is spoken\"}}\n");
}

#[test]
fn site_check_names_every_problem_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(
        &file,
        "[site]\nname = \"Example\"\nnoname = 1\n[[team]]\ncode = \"Net!\"\nalgorithm = \"least_busy\"\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let (out, err) = ends(&equipoise(&["site", "check", path]), 2);
    assert!(out.is_empty());
    assert!(err.contains("line 3") && err.contains("line 5"), "{err}");
    let (out, _) = ends(&equipoise(&["site", "check", path, "--json"]), 2);
    assert!(out.starts_with("{\"ok\":false,\"problems\":[{"), "{out}");
    let (_, err) = ends(&equipoise(&["site", "check", "nowhere.toml"]), 2);
    assert!(err.starts_with("equipoise: nowhere.toml: "), "{err}");
}

#[test]
fn p3_32_site_check_warns_of_domains_compared_by_contains() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    let tools = "tools = { cobrowse_domains = [\"example.com\"], cobrowse_domains_match = \"contains\" }";
    std::fs::write(&file, format!("[site]\nname = \"s\"\n[[policy]]\ncode = \"web\"\n{tools}\n")).unwrap();
    let path = file.to_str().unwrap();
    let (out, err) = ends(&equipoise(&["site", "check", path]), 0);
    assert!(out.ends_with("sound\n") && err.contains("warning: policy[0].tools.cobrowse_domains_match"), "{err}");
    let (out, err) = ends(&equipoise(&["site", "check", path, "--json"]), 0);
    assert!(out.contains("\"warnings\":[{") && err.is_empty(), "{out}{err}");
}

#[test]
fn p6_4_policy_explain_against_says_what_changes_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.toml");
    let site = std::fs::read_to_string("config/site.toml").unwrap();
    let new = site.replacen("reboot = \"yes\"", "reboot = \"no\"", 1);
    assert_ne!(site, new);
    std::fs::write(&file, new).unwrap();
    let explain = |more: &[&str], code: i32| {
        let args = ["policy", "explain", "--site", "config/site.toml", "--against", file.to_str().unwrap()];
        ends(&equipoise(&[&args, more].concat()), code)
    };
    let (everybody, _) = explain(&[], 0);
    let changed: Vec<&str> = everybody.lines().collect();
    assert!(changed.iter().all(|line| line.starts_with("reboot ")), "{everybody}");
    assert!(["ana", "dev"].iter().all(|user| changed.iter().any(|line| line.contains(user))), "{everybody}");
    let (ana, _) = explain(&["--user", "ana"], 0);
    assert!(ana.contains("reboot") && !ana.contains("dev"), "{ana}");
    let (json, _) = explain(&["--json"], 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let all = json["changes"].as_array().unwrap();
    assert!(!all.is_empty() && all.iter().all(|change| change["tool"] == "reboot"), "{json}");
    // LR-028.
    std::fs::write(&file, site.replacen("consent_s = 3600", "consent_s = 3600, each = true", 1)).unwrap();
    let (ana, _) = explain(&["--user", "ana"], 0);
    assert!(ana.lines().any(|line| line.starts_with("shell ") && line.contains("→ yes (prompt each, ")), "{ana}");
    let same = ["policy", "explain", "--site", "config/site.toml", "--against", "config/site.toml"];
    assert_eq!(ends(&equipoise(&same), 0).0, "nobody's permissions change\n");
    let (_, err) = explain(&["--user", "nobody"], 2);
    assert!(err.contains("nobody"), "{err}");
}

/// One key in 64 begins so.
#[test]
fn a_key_or_token_may_begin_with_a_hyphen() {
    // Nobody listens there: what counts is that the arguments are understood.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let key = "-1xK2mQ9aLr0VbTz7cYw3g";
    for args in [
        &["agent", "--server", &server, "--key", key][..],
        &["rep", "--server", &server, "--invite", key, "--name", "eve", "-c", "items"],
        &["setup", "--data", data, "--token", key, "--username", "root", "--no-second-factor"],
    ] {
        let mut command = Command::cargo_bin("equipoise").unwrap();
        let output =
            command.args(args).env_clear().env("EQUIPOISE_PASSWORD", "correct horse battery").output().unwrap();
        ends(&output, 1);
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    #[expect(clippy::disallowed_methods, reason = "a test starts the binary; the broker starts no process")]
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("equipoise"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn completions_and_the_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let (out, _) = ends(&equipoise(&["completions", shell]), 0);
        assert!(out.contains("equipoise"), "{shell}");
    }
    let (out, _) = ends(&equipoise(&["man"]), 0);
    assert!(out.contains(".TH equipoise"), "{out}");
}
