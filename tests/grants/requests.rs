//! W1.3: who may ask for what, and the other end's answer.

use crate::world::*;
use equipoise::{
    engine::{Command, Event, Outcome, Reason, Refusal},
    ids::*,
    limits,
    policy::Tool,
    site::SessionKind,
    wire::control::{ClientInfo, Value},
};
use expect_test::expect;
use std::collections::BTreeMap;

#[test]
fn w1_3_a_request_goes_to_the_other_end_and_is_opened_by_its_yes() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    let accept = Command::AcceptOpen { session, open: OpenId(1), facts: values(&[("size", Value::Int(7))]) };
    assert_eq!(reason(&world.rep("ana", accept.clone())), Reason::OpenGone, "who asks cannot answer");
    world.customer(session, accept.clone()).unwrap();
    assert_eq!(reason(&world.customer(session, accept)), Reason::OpenGone, "it is answered once");
    expect![[r#"
        open 1 system_info by 1
        open 1 offered to 0
        open 1 opened: 1 Document 0>1"#]]
    .assert_eq(&world.words());
    let using = world.engine.state().tools.session(session).unwrap();
    assert_eq!(using.channels[&ChannelId(1)].facts["size"], Value::Int(7));
}

#[test]
fn w1_3_the_other_end_may_say_no_or_nothing() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.customer(session, Command::RefuseOpen { session, open: OpenId(1), reason: "busy".to_owned() }).unwrap();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.wait(limits::OPEN_ANSWER.0 / 1000 - 1);
    assert!(!world.words().contains("open_gone"));
    world.wait(1);
    expect!["open 2 refused: open_gone"].assert_eq(&world.words());
    let accept = Command::AcceptOpen { session, open: OpenId(2), facts: BTreeMap::new() };
    assert_eq!(reason(&world.customer(session, accept)), Reason::OpenGone);
}

#[test]
fn r10_2_nothing_opens_before_the_customer_of_an_accepted_session_agrees() {
    let mut world =
        World::of(&SITE.replacen("[options]", "[options]\ndisclaimer = true\ndisclaimer_text = \"Look.\"", 1));
    world.log_in("ana");
    let (session, join) = world.asked("net", SessionKind::Support);
    world.rep("ana", Command::Take { session }).unwrap();
    assert_eq!(world.redeem(join, None, present()), Ok(session));
    let refused = world.open("ana", session, Tool::SystemInfo, &[]).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_ref()), (Reason::WrongState, "R10.2"));
    world.customer(session, Command::AnswerDisclaimer { session, agree: true }).unwrap();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
}

#[test]
fn p6_3_a_denied_tool_says_which_permission_and_which_layer() {
    let (mut world, session) = World::serving(Some("strict"));
    let refused = world.open("ana", session, Tool::Shell, &[]).unwrap_err();
    assert_eq!((refused.reason, refused.tool), (Reason::NotPermitted, Some(Tool::Shell)));
    assert_eq!(refused.source.as_deref(), Some("portal:strict"));
    let refused = world.open("ana", session, Tool::Reboot, &[]).unwrap_err();
    assert_eq!(refused.source.as_deref(), Some("builtin"));
    assert_eq!(world.words(), "", "a refusal leaves no event");
}

#[test]
fn p3_1_p3_7_the_portal_holds_down_screen_and_files() {
    let (mut world, session) = World::serving(Some("strict"));
    world.open("ana", session, Tool::Screen, &[]).unwrap();
    let control = world.open("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
    assert_eq!(reason(&control), Reason::NotPermitted);
    world.open("ana", session, Tool::FileTransfer, &download("/home/ana/a.txt")).unwrap();
    assert_eq!(reason(&world.open("ana", session, Tool::FileTransfer, &upload("/home/ana/a"))), Reason::NotPermitted);
    let clipboard = world.open("ana", session, Tool::Clipboard, &[("direction", text("customer_to_rep"))]);
    assert_eq!(clipboard.unwrap_err().source.as_deref(), Some("portal:strict"), "the clipboard needs control");
}

#[test]
fn p3_8_a_path_outside_the_list_is_refused_with_the_layer_of_the_list() {
    let (mut world, session) = World::serving(Some("strict"));
    for path in ["/home/anabel/x", "/home/ana/../root", "relative", "/etc/passwd"] {
        let refused = world.open("ana", session, Tool::FileTransfer, &download(path)).unwrap_err();
        assert_eq!(refused.reason, Reason::PathRefused, "{path}");
        assert_eq!(refused.source.as_deref(), Some("portal:strict"));
    }
    let hidden = world.open("ana", session, Tool::FileTransfer, &download("/home/ana/\u{202e}x"));
    assert_eq!(reason(&hidden), Reason::Malformed, "that is no path at all");
    world.open("ana", session, Tool::FileTransfer, &download("/home//ana/a.txt/")).unwrap();
    let using = world.engine.state().tools.session(session).unwrap();
    assert_eq!(using.opens[&OpenId(1)].args["path"], text("/home/ana/a.txt"), "the grant carries the canonical path");
}

#[test]
fn h_42_who_is_not_in_a_session_cannot_tell_whether_it_exists() {
    let (mut world, session) = World::serving(None);
    world.log_in("lea");
    let here = world.open("lea", session, Tool::SystemInfo, &[]).unwrap_err();
    let nowhere = world.open("lea", SessionId(99), Tool::SystemInfo, &[]).unwrap_err();
    assert_eq!(here.reason, Reason::UnknownSession);
    assert_eq!(here.reason, nowhere.reason);
    assert_eq!(here.message.replace('1', "99"), nowhere.message);
}

#[test]
fn w1_3_tools_open_only_while_the_session_is_served() {
    let (mut world, session) = World::serving(None);
    world.rep("ana", Command::Hold { session }).unwrap();
    assert_eq!(reason(&world.open("ana", session, Tool::SystemInfo, &[])), Reason::WrongState);
    world.rep("ana", Command::Resume { session }).unwrap();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    let key = world.key("ana", "net");
    let waiting = world.redeem(key, None, present()).unwrap();
    assert_eq!(reason(&world.open("customer", waiting, Tool::Chat, &[])), Reason::WrongState);
}

#[test]
fn h_77_a_rep_who_opens_channels_without_end_meets_the_limit() {
    let (mut world, session) = World::serving(None);
    for _ in 0..limits::CHANNELS_PER_SESSION {
        world.opened("ana", session, Tool::SystemInfo, &[]);
    }
    for _ in limits::CHANNELS_PER_SESSION..10_000 {
        assert_eq!(reason(&world.open("ana", session, Tool::SystemInfo, &[])), Reason::LimitReached);
    }
    assert_eq!(world.channels(session), limits::CHANNELS_PER_SESSION);
}

#[test]
fn h_77_a_customer_who_opens_channels_without_end_meets_the_limit_too() {
    let (mut world, session) = World::serving(None);
    let opened = (0..10_000).take_while(|_| world.open("customer", session, Tool::Webcam, &[]).is_ok()).count();
    assert!((1..=limits::CHANNELS_PER_SESSION / 2).contains(&opened), "{opened}");
    assert_eq!(reason(&world.open("customer", session, Tool::Webcam, &[])), Reason::LimitReached);
}

#[test]
fn h_77_requests_that_nobody_answers_meet_the_limit_too() {
    let (mut world, session) = World::serving(None);
    let opened = (0..10_000).take_while(|_| world.open("ana", session, Tool::SystemInfo, &[]).is_ok()).count();
    assert!(opened <= limits::CHANNELS_PER_SESSION / 2, "{opened}");
    assert_eq!(reason(&world.open("ana", session, Tool::SystemInfo, &[])), Reason::LimitReached);
}

#[test]
fn w1_8_notes_come_from_an_end_of_the_channel_and_are_kept() {
    let (mut world, session) = World::serving(None);
    world.joined("lea", session);
    let channels = world.opened("ana", session, Tool::FileTransfer, &upload("/tmp/a"));
    let channel = channels[0].channel;
    let note = |name: &str| Command::Note { session, channel, facts: values(&[(name, text("x"))]) };
    world.rep("ana", note("sha256")).unwrap();
    world.customer(session, note("stored")).unwrap();
    assert_eq!(reason(&world.rep("lea", note("sha256"))), Reason::OpenGone, "it is not her file");
    let using = world.engine.state().tools.session(session).unwrap();
    assert_eq!(using.channels[&channel].facts.keys().collect::<Vec<_>>(), ["sha256", "stored"]);
    for number in 0..limits::FACTS_MAX - 2 {
        world.customer(session, note(&number.to_string())).unwrap();
    }
    assert_eq!(reason(&world.customer(session, note("more"))), Reason::LimitReached);
    world.customer(session, note("stored")).unwrap();
}

#[test]
fn w1_1_another_rep_types_beside_into_a_running_shell() {
    let (mut world, session) = World::serving(None);
    let shell = world.opened("ana", session, Tool::Shell, &[]);
    world.joined("lea", session);
    world.words();
    let beside = [("beside", Value::Int(i64::from(shell[0].channel.0)))];
    let input = world.opened("lea", session, Tool::Shell, &beside);
    assert_eq!((input.len(), input[0].writer), (1, ParticipantId(2)));
    let nothing = [("beside", Value::Int(99))];
    assert_eq!(reason(&world.open("lea", session, Tool::Shell, &nothing)), Reason::OpenGone);
    world.system(Command::ChannelEnded { channel: shell[0].channel, reason: "finished".to_owned() }).unwrap();
    expect![[r#"
        channel 1 closed: finished
        channel 2 closed: finished
        channel 3 closed: finished"#]]
    .assert_eq(&world.words());
    assert_eq!(world.channels(session), 0, "nobody types into a shell that ended");
}

#[test]
fn r1_4_a_chat_session_is_only_chat() {
    let mut world = World::new();
    world.log_in("ana");
    let (session, join) = world.asked("net", SessionKind::Chat);
    world.redeem(join, None, present()).unwrap();
    world.rep("ana", Command::Take { session }).unwrap();
    assert_eq!(world.open("ana", session, Tool::Shell, &[]).unwrap_err().rule, "R1.4");
    assert_eq!(world.opened("ana", session, Tool::Chat, &[]).len(), 2);
}

#[test]
fn p3_10_p2_5_a_shell_jump_is_always_a_shell_and_its_presence_is_of_its_start() {
    for (client, source) in [(absent(), "absent"), (present(), "present")] {
        let mut world = World::new();
        world.log_in("ana");
        let (item, join) = (world.engine.state().site.codes.jump_items["srv"], world.secret());
        let started = world.rep("ana", Command::Jump { item, join: Some(join), by_endpoint: false }).unwrap();
        let Outcome::Session(session) = started else { panic!("{started:?}") };
        world.redeem(join, None, client).unwrap();
        world.words();
        world.open("ana", session, Tool::Shell, &[]).unwrap();
        let words = world.words();
        // By the policy for nobody present silence allows; by the other the customer is asked.
        assert_eq!(words.contains("allowed by nobody"), source == "absent", "{words}");
        let control = world.open("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
        assert_eq!(control.unwrap_err().source.as_deref(), Some("jump_item:srv"));
    }
}

#[test]
fn p6_3_refusals_go_on_record_in_one_event_that_changes_nothing() {
    let (mut world, session) = World::serving(None);
    let before = world.engine.state().clone();
    let record = Command::Refusals {
        session,
        participant: ParticipantId(1),
        tool: Tool::Shell,
        count: 5_000,
        source: "portal:strict".to_owned(),
    };
    assert_eq!(reason(&world.rep("ana", record.clone())), Reason::NotPermitted);
    world.system(record).unwrap();
    assert_eq!(world.engine.state(), &before);
}

#[test]
fn bo_030_p3_11_a_mobile_endpoint_is_asked_for_no_more_than_its_option_allows() {
    let of_os = |os: &str| ClientInfo { os: os.to_owned(), ..present() };
    let extended = SITE.replacen("record = \"with", "system_info_mobile = \"extended\", record = \"with", 1);
    let detail = |world: &mut World, session, args: &[(&str, Value)]| -> Result<Option<Value>, Refusal> {
        world.open("ana", session, Tool::SystemInfo, args)?;
        let requested = world.log().iter().rev().find_map(|stamped| match &stamped.event {
            Event::OpenRequested { args, .. } => Some(args.get("detail").cloned()),
            _ => None,
        });
        Ok(requested.expect("it was asked for"))
    };
    for os in ["android", "ios"] {
        let mut world = World::new();
        let session = world.serve(None, of_os(os));
        let refused = detail(&mut world, session, &[("detail", text("extended"))]).unwrap_err();
        assert_eq!((refused.reason, refused.tool), (Reason::NotPermitted, Some(Tool::SystemInfo)));
        assert_eq!(refused.source.as_deref(), Some("builtin"));
        assert_eq!(detail(&mut world, session, &[]).unwrap(), Some(text("standard")), "the end is told how much");
        world.apply_site(&extended);
        assert_eq!(detail(&mut world, session, &[("detail", text("extended"))]).unwrap(), Some(text("extended")));
        assert_eq!(detail(&mut world, session, &[("detail", text("standard"))]).unwrap(), Some(text("standard")));
        assert_eq!(detail(&mut world, session, &[]).unwrap(), Some(text("extended")));
        // What waits for the end by a right that is gone is not had any more.
        world.words();
        world.apply_site(SITE);
        assert!(world.words().contains("refused: not_permitted"));
    }
    // Elsewhere it means nothing, and any other word is none.
    let mut world = World::new();
    let session = world.serve(None, present());
    assert_eq!(detail(&mut world, session, &[]).unwrap(), None);
    assert_eq!(detail(&mut world, session, &[("detail", text("all"))]).unwrap_err().reason, Reason::Malformed);
}
