//! `audit export` of a broker's data folder, while it runs and after something was erased.

use crate::{
    process::{Ended, equipoise},
    site::{PASSWORD, served},
};
use rusqlite::Connection;
use serde_json::Value;

#[test]
fn ra_033_the_trail_tells_who_changed_what_and_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut broker, door) = served(&data);
    let door = door.each_ref().map(String::as_str);
    let live = equipoise(&[&["site", "export"], &door[..]].concat(), PASSWORD).out;
    let file = folder.path().join("site.toml");
    std::fs::write(&file, live.replacen("reboot = \"yes\"", "reboot = \"no\"", 1)).unwrap();
    let applied = equipoise(&[&["site", "apply", file.to_str().unwrap(), "--yes"], &door[..]].concat(), PASSWORD);
    assert_eq!(applied.code, 0, "{applied:?}");

    let export = |args: &[&str]| -> Ended {
        let ended = equipoise(&[&["audit", "export", "--data", data.to_str().unwrap()], args].concat(), "");
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    };
    let entries = |args: &[&str]| -> Vec<Value> {
        let lines = export(&[args, &["--json"]].concat()).out;
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let admin = entries(&["--admin"]);
    let made = admin.iter().find(|entry| entry["event"] == "credential_set").unwrap();
    assert_eq!(made["phc"], "(hidden)");
    let edit = admin.iter().rposition(|entry| entry["request"] == "apply_site").unwrap();
    assert_eq!(admin[edit]["by"], "root");
    assert_eq!(admin[edit + 1]["differences"][0]["key"], "tools.reboot");
    assert!(admin.iter().all(|entry| entry["event"] != "owner_took"));
    assert!(entries(&[]).iter().any(|entry| entry["event"] == "owner_took"));
    let told = export(&["--admin", "--since", "1h"]).out;
    assert!(told.contains(" apply_site by root\n"), "{told}");
    assert!(told.contains("\n    ~ policy full tools.reboot: \"yes\" → \"no\"\n"), "{told}");
    assert_eq!(export(&["--admin", "--until", "1h"]).out, "");
    assert_eq!(export(&["--session", "7"]).out, "");
    assert!(!export(&["--json"]).out.contains("argon2"));

    // What was erased is named, and the rest is told as before.
    assert_eq!(broker.end("TERM"), 0);
    let database = Connection::open(data.join("sites/main/journal.db")).unwrap();
    let seq = made["seq"].as_u64().unwrap();
    database.execute("UPDATE turns SET payload = NULL WHERE seq = ?1", [i64::try_from(seq).unwrap()]).unwrap();
    let erased = entries(&[]);
    assert!(erased.iter().any(|entry| entry["seq"] == seq && entry["erased"] == true));
    assert!(erased.iter().any(|entry| entry["request"] == "apply_site"));
    let nowhere = equipoise(&["audit", "export", "--data", folder.path().join("none").to_str().unwrap()], "");
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
    assert!(nowhere.err.contains("there is nothing of this name"), "{nowhere:?}");
}
