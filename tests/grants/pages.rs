//! LG-037: the page at the start of a co-browse session.

use crate::world::*;
use equipoise::{
    engine::{Command, Event, Queue, Reason, event::Cause},
    ids::*,
    policy::Tool,
    site::SessionKind,
};
use expect_test::expect;

const PAGE: &str = "https://www.example.com/start";

fn site() -> String {
    format!("{SITE}[[portal]]\ncode = \"web\"\nstart_url = \"{PAGE}\"\n")
}

impl World {
    /// A session that an integrator asked for, whose customer came through this portal.
    fn arrived(&mut self, kind: SessionKind, portal: Option<&str>) -> SessionId {
        let (session, join) = self.asked("net", kind);
        self.redeem(join, portal, present()).expect("a fresh token");
        self.words();
        session
    }

    /// What is asked for as this rep begins to serve it.
    fn begins(&mut self, rep: &str, session: SessionId) -> String {
        self.log_in(rep);
        self.words();
        self.rep(rep, Command::Take { session }).expect("waits in the queue of a member's team");
        self.words()
    }
}

#[test]
fn lg_037_the_portals_page_is_opened_once_when_somebody_begins_to_serve() {
    let mut world = World::of(&site());
    let session = world.arrived(SessionKind::Cobrowse, Some("web"));
    let begun = world.begins("ana", session);
    expect![[r#"
        open 1 push_url by 1
        open 1 offered to 0"#]]
    .assert_eq(&begun);
    let url = world.log().iter().find_map(|stamped| match &stamped.event {
        Event::OpenRequested { args, .. } => args.get("url").cloned(),
        _ => None,
    });
    assert_eq!(url, Some(text(PAGE)));
    world.customer(session, Command::AcceptOpen { session, open: OpenId(1), facts: values(&[]) }).unwrap();
    let to = Queue::Team(world.team("net"));
    world.rep("ana", Command::Transfer { session, to }).unwrap();
    assert_eq!(world.begins("lea", session), "", "whoever goes on with it finds it where it is");
}

#[test]
fn lg_037_other_sessions_and_other_portals_begin_with_none() {
    for (kind, portal) in [
        (SessionKind::Support, Some("web")),
        (SessionKind::Cobrowse, Some("kind")),
        (SessionKind::Cobrowse, None),
        (SessionKind::Chat, Some("web")),
    ] {
        let mut world = World::of(&site());
        let session = world.arrived(kind, portal);
        assert_eq!(world.begins("ana", session), "", "{kind:?} {portal:?}");
    }
}

#[test]
fn lg_037_the_customer_is_asked_where_pushed_pages_are_asked_for() {
    let always = "prompt = { mode = \"always\" }\n[[policy]]\ncode = \"strict\"";
    let mut world = World::of(&site().replace("[[policy]]\ncode = \"strict\"", always));
    let session = world.arrived(SessionKind::Cobrowse, Some("web"));
    let begun = world.begins("ana", session);
    expect![[r#"
        prompt 1 by 1: push_url
        open 1 push_url by 1, prompt 1"#]]
    .assert_eq(&begun);
}

#[test]
fn lg_037_p3_19_whoever_serves_may_show_the_page_of_the_start_again_and_no_other() {
    let mut world = World::of(&site());
    let session = world.arrived(SessionKind::Cobrowse, Some("web"));
    world.begins("ana", session);
    world.open("ana", session, Tool::PushUrl, &[("url", text(PAGE))]).unwrap();
    let other = world.open("ana", session, Tool::PushUrl, &[("url", text("https://www.example.com/other"))]);
    assert_eq!(reason(&other), Reason::NotPermitted);
}

#[test]
fn lg_037_p3_32_a_page_that_is_not_listed_in_the_session_is_refused_on_record() {
    let site = site()
        .replace("code = \"viewer\"\ntools = {", "code = \"viewer\"\ntools = { cobrowse_domains = [\"other.org\"],");
    let mut world = World::of(&site);
    let session = world.arrived(SessionKind::Cobrowse, Some("web"));
    let begun = world.begins("bob", session);
    expect![[r#"
        open 1 push_url by 1
        open 1 refused: not_permitted"#]]
    .assert_eq(&begun);
    let cause = world.log().iter().rev().find_map(|stamped| match &stamped.event {
        Event::OpenRefused { cause, .. } => cause.clone(),
        _ => None,
    });
    assert_eq!(cause, Some(Cause { tool: Tool::CobrowseDomains, source: "user:bob".to_owned() }));
}
