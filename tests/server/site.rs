//! `site export` and `site apply` against a running broker, as the scripts of who edits it see them.

use crate::process::{Broker, Ended, equipoise};
use equipoise::{
    client::{self, Client, Target, Transport},
    transport::Congestion,
    wire::{
        Credential, Do, Hello,
        control::{ClientInfo, Role},
    },
};

pub const PASSWORD: &str = "long enough for all";

/// A broker with the example site, and how its administrator reaches it.
pub fn served(data: &std::path::Path) -> (Broker, [String; 6]) {
    let mut broker = Broker::start(data, &["--site", "config/site.toml"]);
    broker.said_plainly("There is no administrator yet");
    let made = equipoise(
        &["setup", "--data", &data.display().to_string(), "--username", "root", "--no-second-factor"],
        PASSWORD,
    );
    assert_eq!(made.code, 0, "{made:?}");
    let url = format!("https://{}", broker.field("serving", "http"));
    let pin = broker.field("clients pin this certificate", "pin");
    (broker, ["--server".into(), url, "--pin".into(), pin, "--login".into(), "root".into()])
}

#[test]
fn p6_2_an_edit_is_shown_then_live_and_a_wrong_one_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (mut broker, door) = served(&folder.path().join("data"));
    let site = |args: &[&str], code: i32| -> Ended {
        let args = [&["site"], args, &door.each_ref().map(String::as_str)].concat();
        let ended = equipoise(&args, PASSWORD);
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        ended
    };
    let file = folder.path().join("site.toml");
    let path = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();

    let live = site(&["export"], 0).out;
    write(&live);
    assert_eq!(site(&["apply", path, "--dry-run"], 0).out, "the live site is like the file\n");

    let edited = live.replacen("reboot = \"yes\"", "reboot = \"no\"", 1);
    assert_ne!(live, edited);
    write(&edited);
    let shown = site(&["apply", path, "--dry-run"], 0).out;
    assert!(shown.contains("~ policy full tools.reboot: \"yes\" → \"no\"\n"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("reboot ") && line.contains("for ana")), "{shown}");
    // Without a terminal nobody can agree.
    let unasked = site(&["apply", path], 2);
    assert!(unasked.err.contains("say --yes"), "{unasked:?}");

    write(&format!("{edited}\n[[team]]\ncode = \"Net!\"\n[[issue]]\ncode = \"x\"\nteam = \"nobody\"\n"));
    let wrong = site(&["apply", path, "--yes"], 2).err;
    assert!(wrong.contains(": line ") && wrong.contains("team[") && wrong.contains("issue["), "{wrong}");
    assert_eq!(site(&["export"], 0).out, live, "nothing of it is live");

    write(&edited);
    let applied = site(&["apply", path, "--yes"], 0).out;
    assert!(applied.lines().any(|line| line.starts_with("applied: version ")), "{applied}");
    assert_eq!(site(&["export"], 0).out, edited);

    // P3.32: who applies it is warned, and so is who reads the log.
    write(&format!("{edited}\n[[policy]]\ncode = \"loose\"\ntools = {{ cobrowse_domains_match = \"contains\" }}\n"));
    let loose = site(&["apply", path, "--yes", "--json"], 0);
    assert!(loose.err.contains("warning: policy[") && loose.err.contains("`suffix` does not"), "{loose:?}");
    let said: serde_json::Value = serde_json::from_str(&loose.out).unwrap();
    assert_eq!((&said["applied"], said["settings"].as_array().map(Vec::len)), (&true.into(), Some(1)), "{said}");
    assert!(broker.field("`contains` lets", "key").ends_with("tools.cobrowse_domains_match"));
    assert_eq!(broker.end("TERM"), 0);
}

/// The administrator gives somebody the password.
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
fn given(door: &[String; 6], username: &str) {
    let target = Target {
        url: door[1].parse().unwrap(),
        transport: Transport::Ws,
        pin: client::parse_pin(&door[3]),
        congestion: Congestion::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let token = client::sign_in(&target, "root", PASSWORD).await.unwrap();
        let hello = Hello {
            role: Role::Admin,
            site: None,
            credential: Credential::Token(token),
            client: ClientInfo::default(),
            features: Vec::new(),
            seen: None,
        };
        let (root, happenings) = Client::connect(target, hello).await.unwrap();
        happenings.ignore();
        let (username, password) = (username.to_owned(), PASSWORD.into());
        root.act(Do::SetPassword { username, password, must_reset: false, expires_at_ms: None }).await.unwrap();
        root.close().await;
    });
}

#[test]
fn bu_040_a_rep_applies_what_is_hers_and_sees_beforehand_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mut broker, door) = served(&folder.path().join("data"));
    // Ana may edit teams, Ben nothing.
    for username in ["ana", "ben"] {
        given(&door, username);
    }
    let site = |login: &str, args: &[&str], code: i32| -> Ended {
        let args = [&["site"], args, &door.each_ref().map(String::as_str)[..4], &["--login", login]].concat();
        let ended = equipoise(&args, PASSWORD);
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        ended
    };
    let file = folder.path().join("site.toml");
    let path = file.to_str().unwrap();
    let live = site("ana", &["export"], 0).out;
    assert_eq!(live, site("root", &["export"], 0).out);
    let nothing = site("ben", &["export"], 1).err;
    assert!(nothing.contains("administers nothing"), "{nothing}");

    let queue = "max_queue = 0";
    let edited = live.replacen(queue, "max_queue = 40", 1);
    assert_ne!(live, edited);
    std::fs::write(&file, &edited).unwrap();
    let shown = site("ana", &["apply", path, "--yes"], 0).out;
    assert!(shown.contains("~ team desk max_queue: 0 → 40\n") && !shown.contains("! "), "{shown}");
    assert_eq!(site("root", &["export"], 0).out, edited);

    std::fs::write(&file, edited.replacen("seats = 10", "seats = 11", 1).replacen(queue, "max_queue = 41", 1)).unwrap();
    let beyond = "! not for ana to edit: site seats (an administrator)\n";
    let shown = site("ana", &["apply", path, "--dry-run"], 0).out;
    assert!(shown.contains(beyond) && shown.matches("! ").count() == 1, "{shown}");
    let json = site("ana", &["apply", path, "--dry-run", "--json"], 0).out;
    let said: serde_json::Value = serde_json::from_str(&json).unwrap();
    let named = serde_json::json!([{ "what": "site seats", "needs": "administrator" }]);
    assert_eq!((&said["beyond"], &said["applied"]), (&named, &false.into()), "{said}");
    let refused = site("ana", &["apply", path, "--yes"], 1).err;
    assert!(refused.contains("not_permitted") && refused.contains("site seats (an administrator)"), "{refused}");
    assert_eq!(site("ana", &["export"], 0).out, edited);
    assert_eq!(broker.end("TERM"), 0);
}
