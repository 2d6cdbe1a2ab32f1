//! R7.5 end to end: a rep invites somebody from outside, who comes with the key at a console of their own.

use crate::place::{Place, SITE};
use equipoise::{agent::Allow, client::Transport, rep::Way};

fn site() -> String {
    let guest = "[[policy]]\ncode = \"guest\"\nfor_invites = true\ntools = { shell = \"no\" }\n";
    let more = |site: String, after: &str, what: &str| {
        assert!(site.contains(after), "`{after}` is not in the site");
        site.replace(after, &format!("{after}{what}"))
    };
    let site = more(SITE.to_owned(), "code = \"open\"\ntools = { ", "invite_external = \"yes\", ");
    let site = more(site, "\"share_outside\"", ", \"invite_external\"");
    format!("{site}{guest}")
}

async fn invited(place: &Place, transport: Transport) {
    let mut customer = place.customer(Transport::Ws, Allow::All, &place.folder("share")).await;
    let mut ana = place.rep(Transport::Ws, None);
    ana.until("accept or reject").await;
    ana.type_in("accept\n").await;
    ana.until("you serve").await;
    ana.type_in("invite eve@partner.example\n").await;
    ana.until("for one external rep").await;
    let seen = ana.seen();
    let line = seen.lines().rfind(|line| line.contains("for one external rep")).unwrap();
    let key = line.split("key ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let way = || Way::Invite { key: key.clone(), name: "Eve".into() };

    let mut eve = place.console(way(), transport, None);
    eve.until("Ana").await;
    eve.type_in("info\n").await;
    eve.until("\"arch\"").await;
    for (command, refusal) in [
        ("shell: id", "permission `shell` by invite"),
        ("end", "ends a session"),
        ("transfer team:desk", "only a rep's console may do this"),
    ] {
        eve.type_in(&format!("{command}\n")).await;
        eve.until(refusal).await;
    }
    assert!(!eve.seen().contains("Ana A"), "private names stay inside: {}", eve.seen());
    assert!(!customer.seen().contains("eve@partner.example"), "{}", customer.seen());

    // The key worked once.
    let mut mal = place.console(way(), transport, Some("info"));
    mal.left().await.expect_err("the key is used");

    ana.type_in("end\n").await;
    eve.until("ended").await;
    eve.left().await.expect_err("the broker closed it");
    customer.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_5_h_81_an_external_rep_helps_in_one_session_over_websocket() {
    let place = Place::open(&site()).await;
    invited(&place, Transport::Ws).await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_5_h_81_an_external_rep_helps_in_one_session_over_quic() {
    let place = Place::open(&site()).await;
    invited(&place, Transport::Quic).await;
    place.close().await;
}
