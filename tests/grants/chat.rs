//! P3.18: the chat at the start of a session, and whether its customer may write in it.

use crate::world::*;
use equipoise::{
    engine::{Command, Outcome, Reason},
    ids::*,
    policy::Tool,
    site::SessionKind,
};
use expect_test::expect;

fn site(options: &str) -> String {
    SITE.replacen("record = \"with", &format!("{options}, record = \"with"), 1)
}

fn at_start() -> String {
    site("chat_at_start = \"yes\"")
}

impl World {
    fn take_up(&mut self, session: SessionId, open: u32) {
        let accept = Command::AcceptOpen { session, open: OpenId(open), facts: values(&[]) };
        self.customer(session, accept).expect("was offered");
    }

    fn set_chat(&mut self, rep: &str, session: SessionId, on: bool) -> Answer {
        self.rep(rep, Command::SetChat { session, on })
    }
}

#[test]
fn lr_011_p3_18_the_chat_is_asked_for_when_a_session_becomes_active() {
    let mut world = World::of(&at_start());
    world.log_in("ana");
    let key = world.key("ana", "net");
    let session = world.redeem(key, None, present()).unwrap();
    world.words();
    world.rep("ana", Command::Take { session }).unwrap();
    expect![[r#"
        open 1 chat by 1
        open 1 offered to 0"#]]
    .assert_eq(&world.words());
    world.take_up(session, 1);
    expect!["open 1 opened: 1 Chat 0>1; 2 Chat 1>0"].assert_eq(&world.words());
    // It is there once, whoever comes: again it is asked for where somebody else begins to serve the session.
    world.joined("lea", session);
    world.rep("ana", Command::Hold { session }).unwrap();
    world.rep("ana", Command::Resume { session }).unwrap();
    assert!(!world.words().contains("chat by"));
    world.rep("ana", Command::Transfer { session, to: equipoise::engine::Queue::Team(world.team("net")) }).unwrap();
    world.words();
    world.rep("lea", Command::Take { session }).unwrap();
    assert!(world.words().contains("open 2 chat by 3"));
}

#[test]
fn lr_011_p3_18_nothing_is_asked_for_without_the_option_the_chat_or_somebody_at_the_other_end() {
    for policy in
        [String::new(), "chat_at_start = \"no\"".to_owned(), "chat_at_start = \"yes\", chat = \"no\"".to_owned()]
    {
        let site = if policy.is_empty() { SITE.to_owned() } else { site(&policy) };
        let mut world = World::of(&site);
        let session = world.serve(None, present());
        assert!(world.engine.state().tools.session(session).is_none(), "{policy}");
    }
    // Who was accepted before coming is asked once there.
    let mut world = World::of(&at_start());
    world.log_in("ana");
    let (session, join) = world.asked("net", SessionKind::Support);
    world.rep("ana", Command::Take { session }).unwrap();
    assert!(!world.words().contains("chat by"));
    world.redeem(join, None, present()).unwrap();
    assert!(world.words().contains("open 1 chat by 1"));
}

#[test]
fn lr_011_p3_18_nobody_chats_before_the_customer_has_agreed() {
    let mut world =
        World::of(&at_start().replacen("[options]", "[options]\ndisclaimer = true\ndisclaimer_text = \"Look.\"", 1));
    world.log_in("ana");
    let (session, join) = world.asked("net", SessionKind::Support);
    world.rep("ana", Command::Take { session }).unwrap();
    world.redeem(join, None, present()).unwrap();
    assert!(!world.words().contains("chat by"));
    world.customer(session, Command::AnswerDisclaimer { session, agree: true }).unwrap();
    assert!(world.words().contains("open 1 chat by 1"));
}

#[test]
fn lr_012_p3_18_a_rep_turns_the_customers_chat_off_and_on_again() {
    let mut world = World::of(&site("chat_files = \"yes\""));
    let session = world.serve(None, present());
    world.opened("ana", session, Tool::Chat, &[]);
    world.joined("lea", session);
    world.words();
    let off = world.set_chat("ana", session, false).unwrap();
    assert!(matches!(off, Outcome::Revoked { ref legs, .. } if legs.len() == 2), "{off:?}");
    expect![[r#"
        channel 1 closed: revoked by chat of chat_toggle
        permissions 1"#]]
    .assert_eq(&world.words());
    for tool in [Tool::Chat, Tool::ChatFiles] {
        let refused = world.open("customer", session, tool, &[]).unwrap_err();
        assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("chat_toggle")));
    }
    // Reps write on, also one who begins to.
    world.opened("lea", session, Tool::Chat, &[]);
    assert_eq!(world.channels(session), 2, "hers and ana's");
    assert_eq!(world.set_chat("lea", session, false).unwrap(), Outcome::Done, "it is off");
    world.words();
    world.set_chat("lea", session, true).unwrap();
    expect![[r#"
        open 3 chat by 2
        open 3 offered to 0"#]]
    .assert_eq(&world.words());
    world.take_up(session, 3);
    expect!["open 3 opened: 4 Chat 0>1,2"].assert_eq(&world.words());
}

#[test]
fn lr_012_p3_18_only_with_the_right_and_until_somebody_else_accepts_the_session() {
    let without = site("chat_toggle = \"no\"");
    let mut world = World::of(&without);
    let session = world.serve(None, present());
    let refused = world.set_chat("ana", session, false).unwrap_err();
    assert_eq!((refused.reason, refused.tool), (Reason::NotPermitted, Some(Tool::Chat)));
    assert_eq!(refused.source.as_deref(), Some("default"));
    let by_customer = world.customer(session, Command::SetChat { session, on: false });
    assert_eq!(reason(&by_customer), Reason::NotPermitted);
    world.apply_site(SITE);
    world.set_chat("ana", session, false).unwrap();
    // Who may not any more turns it on no more than off; who begins to serve it begins anew.
    world.apply_site(&without);
    assert_eq!(reason(&world.set_chat("ana", session, true)), Reason::NotPermitted);
    let net = equipoise::engine::Queue::Team(world.team("net"));
    world.rep("ana", Command::Transfer { session, to: net }).unwrap();
    assert!(world.engine.state().sessions[&session].chat_off);
    world.rep("ana", Command::Take { session }).unwrap();
    assert!(!world.engine.state().sessions[&session].chat_off);
}
