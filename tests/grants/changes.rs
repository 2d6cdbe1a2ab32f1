//! P6.2: what closes when people leave, a session ends or is held, and rights go.

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Queue, Reason},
    ids::*,
    limits,
    policy::Tool,
    site::SessionKind,
    wire::control::Value,
};
use expect_test::expect;
use std::collections::BTreeSet;

#[test]
fn r7_3_a_transfer_ends_the_grants_of_those_who_leave() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.open("ana", session, Tool::Clipboard, &[("direction", text("rep_to_customer"))]).unwrap();
    world.words();
    let to = Queue::Team(world.team("net"));
    world.rep("ana", Command::Transfer { session, to }).unwrap();
    expect![[r#"
        channel 1 closed: session_ended
        channel 2 closed: session_ended
        open 2 refused: wrong_state
        prompt 2 denied by withdrawn"#]]
    .assert_eq(&world.words());
    world.log_in("lea");
    world.rep("lea", Command::Take { session }).unwrap();
    let asked = world.open("lea", session, Tool::Shell, &[]);
    assert!(format!("{asked:?}").contains("PromptId"), "consent was given to somebody else");
}

#[test]
fn w1_1_the_legs_of_one_who_departs_close_and_the_others_go_on() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::Chat, &[]);
    world.joined("lea", session);
    world.opened("lea", session, Tool::Chat, &[]);
    world.open("lea", session, Tool::Clipboard, &[("direction", text("rep_to_customer"))]).unwrap();
    world.words();
    world.rep("lea", Command::Depart { session }).unwrap();
    expect![[r#"
        channel 1 closed to 2: session_ended
        channel 3 closed to 2: session_ended
        channel 4 closed to 2: session_ended
        channel 5 closed: session_ended
        open 4 refused: open_gone
        prompt 2 denied by withdrawn"#]]
    .assert_eq(&world.words());
    assert_eq!(world.channels(session), 4);
}

#[test]
fn w1_3_the_end_of_a_session_ends_everything_in_it() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Chat, &[]);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.words();
    world.rep("ana", Command::End { session }).unwrap();
    expect![[r#"
        ended 1
        channel 1 closed: session_ended
        channel 2 closed: session_ended
        open 2 refused: session_ended
        open 3 refused: session_ended
        prompt 1 denied by withdrawn"#]]
    .assert_eq(&world.words());
    assert!(world.engine.state().tools.session(session).is_none(), "nothing of it is kept");
    assert_eq!(world.engine.state().tools.channels().count(), 0);
}

#[test]
fn r7_7_hold_closes_control_and_lets_talk_and_files_go_on() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::Chat, &[]);
    world.opened("ana", session, Tool::FileTransfer, &upload("/tmp/a"));
    world.rep("ana", Command::Hold { session }).unwrap();
    expect![[r#"
        channel 1 closed: revoked by screen of hold
        channel 2 closed: revoked by screen of hold
        channel 3 closed: revoked by shell of hold
        channel 4 closed: revoked by shell of hold
        permissions 1"#]]
    .assert_eq(&world.words());
}

#[test]
fn r7_6_who_is_taken_over_from_watches_and_does_nothing_more() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::FileTransfer, &download("/tmp/a"));
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.log_in("lea");
    world.words();
    world.rep("lea", Command::TakeOver { session }).unwrap();
    expect![[r#"
        channel 2 closed: revoked by shell of take_over
        channel 3 closed: revoked by file_transfer of take_over
        open 3 refused: not_permitted
        permissions 1
        channel 1 read by 2"#]]
    .assert_eq(&world.words());
}

#[test]
fn p6_2_rights_that_a_change_takes_away_stop_at_once() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
    world.opened("ana", session, Tool::FileTransfer, &upload("/tmp/a"));
    world.opened("ana", session, Tool::FileTransfer, &download("/srv/a"));
    world.open("ana", session, Tool::Clipboard, &[("direction", text("rep_to_customer"))]).unwrap();
    world.words();
    let site = SITE.replace(
        "tools = { record = \"with_consent\"",
        "tools = { shell = \"no\", screen = \"view\", customer_paths = [\"/srv\"], record = \"with_consent\"",
    );
    world.apply_site(&site);
    expect![[r#"
        channel 1 closed: revoked by shell of default
        channel 2 closed: revoked by shell of default
        channel 4 closed: revoked by screen of default
        channel 5 closed: revoked by customer_paths of default
        open 5 refused: not_permitted
        prompt 4 denied by withdrawn
        permissions 1"#]]
    .assert_eq(&world.words());
    assert_eq!(world.engine.state().tools.epoch(session), PermissionEpoch(1));
    assert_eq!(reason(&world.open("ana", session, Tool::Shell, &[])), Reason::NotPermitted);
}

#[test]
fn p2_5_each_participant_has_its_own_layer() {
    let (mut world, session) = World::serving(None);
    world.joined("bob", session);
    assert_eq!(world.open("bob", session, Tool::Shell, &[]).unwrap_err().source.as_deref(), Some("user:bob"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.open("bob", session, Tool::Screen, &[]).unwrap();
}

#[test]
fn r7_6_who_monitors_watches_only() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Screen, &[]);
    world.log_in("lea");
    world.words();
    world.rep("lea", Command::Join { session }).unwrap();
    expect!["channel 1 read by 2"].assert_eq(&world.words());
    let refused = world.open("lea", session, Tool::SystemInfo, &[]).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "R7.6"));
}

#[test]
fn w1_8_only_the_relay_says_that_a_channel_ended() {
    let (mut world, session) = World::serving(None);
    let chat = world.opened("ana", session, Tool::Chat, &[])[0].channel;
    let ended = Command::ChannelEnded { channel: chat, reason: "fault".to_owned() };
    assert_eq!(reason(&world.rep("ana", ended.clone())), Reason::NotPermitted);
    assert_eq!(reason(&world.act(Actor::Service(ServiceId(1)), None, ended.clone())), Reason::NotPermitted);
    world.system(ended.clone()).unwrap();
    world.system(ended).unwrap();
    expect!["channel 1 closed: fault"].assert_eq(&world.words());
}

#[test]
fn p1_1_p1_2_what_a_user_may_do_in_the_product_and_in_a_session_are_two_things() {
    let mut world = World::of(&SITE.replace(", \"jump_shell\"]", "]"));
    world.log_in("ana");
    let item = world.engine.state().site.codes.jump_items["srv"];
    let jump = world.rep("ana", Command::Jump { item, join: None, by_endpoint: false });
    assert_eq!(reason(&jump), Reason::NotPermitted, "no jump without its user permission, whatever the policies say");
    let (mut world, session) = World::serving(Some("strict"));
    assert_eq!(reason(&world.open("ana", session, Tool::Shell, &[])), Reason::NotPermitted, "the session says no");
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.joined("bob", session);
    assert_eq!(reason(&world.open("bob", session, Tool::Shell, &[])), Reason::NotPermitted, "for this participant");
}

#[test]
fn p6_5_what_the_customer_stopped_stays_stopped_whatever_a_layer_says() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Chat, &[]);
    world.opened("ana", session, Tool::SystemInfo, &[]);
    world.customer(session, Command::TakeBack { session, tool: Some(Tool::SystemInfo) }).unwrap();
    let never =
        SITE.replace("[[policy]]\ncode = \"house\"\n", "[[policy]]\ncode = \"house\"\nprompt = { mode = \"never\" }\n");
    world.apply_site(&never);
    world.words();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    assert!(world.words().starts_with("prompt 1 by 1: system_info"), "no policy says that it need not be asked");
}

#[test]
fn p6_2_an_edit_that_touches_many_sessions_is_judged_some_at_a_time_and_new_requests_meet_it_at_once() {
    let (mut world, sessions) = many_sessions();
    world.apply_site(&without_system_info());
    let open = |world: &World| sessions.iter().filter(|session| world.channels(**session) > 0).count();
    let all = sessions.len();
    assert_eq!((open(&world), world.engine.state().tools.unjudged()), (all, all));
    let last = *sessions.last().unwrap();
    assert_eq!(reason(&world.open("ana", last, Tool::SystemInfo, &[])), Reason::NotPermitted, "though not judged yet");
    assert_eq!(reason(&world.rep("ana", Command::JudgeRights)), Reason::NotPermitted);
    world.system(Command::JudgeRights).unwrap();
    assert_eq!((open(&world), world.engine.state().tools.unjudged()), (100, 100));
    world.system(Command::JudgeRights).unwrap();
    assert_eq!((open(&world), world.engine.state().tools.unjudged()), (0, 0));
    let epochs: BTreeSet<_> = sessions.iter().map(|session| world.engine.state().tools.epoch(*session)).collect();
    assert_eq!(epochs, BTreeSet::from([PermissionEpoch(1)]), "each session once (I-P4)");
}

#[test]
fn p6_2_an_edit_before_the_last_one_is_judged_leaves_nobody_with_what_neither_allows() {
    let (mut world, sessions) = many_sessions();
    world.apply_site(&without_system_info());
    world.system(Command::JudgeRights).unwrap();
    // Some have lost it, some were not looked at yet; now the site is again what it was at first.
    world.apply_site(SITE);
    while world.engine.state().tools.unjudged() > 0 {
        world.system(Command::JudgeRights).unwrap();
    }
    let epochs: Vec<_> = sessions.iter().map(|session| world.engine.state().tools.epoch(*session).0).collect();
    assert_eq!(epochs.iter().filter(|epoch| **epoch == 2).count(), limits::SESSIONS_JUDGED_PER_TURN, "told of both");
    assert!(epochs.iter().all(|epoch| *epoch >= 1), "everybody is told what holds");
    world.opened("ana", sessions[0], Tool::SystemInfo, &[]);
}

#[test]
fn p6_2_sessions_that_an_edit_does_not_concern_hear_nothing_of_it() {
    let (mut world, sessions) = many_sessions();
    world.apply_site(
        &SITE.replace("tools = { shell = \"no\", file_transfer", "tools = { shell = \"yes\", file_transfer"),
    );
    assert_eq!(world.engine.state().tools.unjudged(), sessions.len(), "all are looked at");
    world.system(Command::JudgeRights).unwrap();
    assert_eq!((world.engine.state().tools.unjudged(), world.words().as_str()), (0, ""), "and found unconcerned");
}

/// More than one turn judges, each with a channel open.
fn many_sessions() -> (World, Vec<SessionId>) {
    let mut world = World::new();
    world.log_in("ana");
    let mut sessions = Vec::new();
    for _ in 0..limits::SESSIONS_JUDGED_PER_TURN + 100 {
        let (session, join) = world.asked("net", SessionKind::Support);
        world.redeem(join, Some("kind"), present()).expect("a fresh link");
        world.rep("ana", Command::Take { session }).expect("it waits for her");
        world.opened("ana", session, Tool::SystemInfo, &[]);
        sessions.push(session);
    }
    world.words();
    (world, sessions)
}

fn without_system_info() -> String {
    SITE.replace("tools = { record", "tools = { system_info = \"no\", record")
}

#[test]
fn p6_2_an_edit_touches_only_those_whose_permissions_it_changes() {
    let (mut world, session) = World::serving(Some("strict"));
    world.apply_site(&SITE.replace("name = \"test\"", "name = \"another\""));
    world.apply_site(
        &SITE.replace("tools = { screen = \"view\", shell = \"no\" }\n\"#", "tools = { screen = \"none\" }\n\"#"),
    );
    assert_eq!(world.words(), "");
    let wider = SITE.replace("tools = { shell = \"no\", file_transfer", "tools = { shell = \"yes\", file_transfer");
    world.apply_site(&wider);
    assert_eq!(world.words(), "permissions 1", "what widens is told too");
    assert_eq!(world.engine.state().tools.epoch(session), PermissionEpoch(1));
}
