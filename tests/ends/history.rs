//! The history of sessions at the console (BU-048, RA-013).

use crate::place::{Place, SITE};
use equipoise::{agent::Allow, client::Transport};

#[tokio::test(flavor = "multi_thread")]
async fn bu_048_ra_013_a_rep_writes_on_a_session_ends_it_and_finds_it_in_the_history() {
    let place = Place::open(&SITE.replace("\"opt_out\", ", "\"opt_out\", \"reports_own\", ")).await;
    let mut customer = place.customer(Transport::Ws, Allow::All, &place.folder("share")).await;
    let script = "history; accept; field company Bakery 12; end; history --since 1h --long; history --rep ana; \
                  history --until 2020-01-01; history --team nobody";
    let mut ana = place.rep(Transport::Ws, Some(script));
    ana.left().await.expect_err("there is no such team");
    customer.ended().await.unwrap();
    let seen = ana.seen();
    let lines: Vec<&str> = seen.lines().map(str::trim).collect();
    assert_eq!(lines.iter().filter(|line| **line == "no session ended").count(), 2, "{seen}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("ENDED (UTC)")).count(), 2, "{seen}");
    let row = lines
        .iter()
        .find(|line| line.contains("team:desk") && line.ends_with("by_rep"))
        .unwrap_or_else(|| panic!("{seen}"));
    assert!(row.contains("  s1  ") && row.contains("  ana  "), "{seen}");
    assert_eq!(lines.iter().filter(|line| **line == "company: Bakery 12").count(), 1, "only with --long: {seen}");
    assert!(lines.contains(&"with ana (owner)"), "{seen}");
    assert!(seen.contains("refused (unknown_team)"), "{seen}");
    place.close().await;
}
