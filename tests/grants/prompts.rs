//! P4: asking the customer.

use crate::world::*;
use equipoise::{
    engine::{Command, Event, Outcome, Reason},
    ids::*,
    policy::Tool,
    wire::control::Value,
};
use expect_test::expect;

fn allow(session: SessionId, prompt: u32, allow: bool) -> Command {
    Command::Answer { session, prompt: PromptId(prompt), allow }
}

#[test]
fn p4_1_a_tool_that_prompts_waits_for_the_customer_and_one_that_does_not_goes_on() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.customer(session, allow(session, 1, true)).unwrap();
    expect![[r#"
        open 1 system_info by 1
        open 1 offered to 0
        prompt 1 by 1: shell
        open 2 shell by 1, prompt 1
        prompt 1 allowed by customer
        open 2 offered to 0"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_2_prompt_once_covers_all_tools_that_prompt() {
    let (mut world, session) = World::serving(Some("once"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.customer(session, allow(session, 1, true)).unwrap();
    world.open("ana", session, Tool::Screen, &[("control", Value::Bool(true))]).unwrap();
    world.open("ana", session, Tool::FileTransfer, &upload("/home/ana/a")).unwrap();
    expect![[r#"
        prompt 1 by 1: screen clipboard file_transfer shell system_info canned_scripts webcam
        open 1 shell by 1, prompt 1
        prompt 1 allowed by customer
        open 1 offered to 0
        open 2 screen by 1
        open 2 offered to 0
        open 3 file_transfer by 1
        open 3 offered to 0"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_2_a_no_covers_what_waits_and_the_next_use_asks_again() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.customer(session, allow(session, 1, false)).unwrap();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        prompt 1 by 1: shell
        open 1 shell by 1, prompt 1
        prompt 1 denied by customer
        open 1 refused: prompt_denied
        prompt 2 by 1: shell
        open 2 shell by 1, prompt 2"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_3_silence_is_the_configured_answer() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.wait(29);
    assert!(!world.words().contains("denied"));
    world.wait(1);
    expect![[r#"
        prompt 1 denied by timeout
        open 1 refused: prompt_denied"#]]
    .assert_eq(&world.words());

    let (mut world, session) = World::serving(Some("kind"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.wait(30);
    expect![[r#"
        prompt 1 by 1: shell silence allows
        open 1 shell by 1, prompt 1
        prompt 1 allowed by timeout
        open 1 offered to 0"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_3_a_disconnect_is_a_deny_even_where_silence_allows() {
    let (mut world, session) = World::serving(Some("kind"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.words();
    world.system(Command::Lost { party: Party::Customer(session), epoch: AttachEpoch(1) }).unwrap();
    world.open("ana", session, Tool::Screen, &[]).unwrap();
    expect![[r#"
        detached 1
        prompt 1 denied by disconnected
        open 1 refused: prompt_denied
        prompt 2 by 1: screen silence allows
        open 2 screen by 1, prompt 2
        prompt 2 denied by disconnected
        open 2 refused: prompt_denied"#]]
    .assert_eq(&world.words());
}

#[test]
fn h_76_an_answer_that_is_forged_late_double_or_for_another_prompt_is_nothing() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.words();
    assert_eq!(reason(&world.rep("ana", allow(session, 1, true))), Reason::NotPermitted);
    let key = world.key("ana", "net");
    let other = world.redeem(key, None, present()).unwrap();
    world.words();
    assert_eq!(reason(&world.customer(other, allow(session, 1, true))), Reason::UnknownSession);
    assert_eq!(reason(&world.customer(session, allow(session, 2, true))), Reason::PromptGone);
    world.customer(session, allow(session, 1, false)).unwrap();
    assert_eq!(reason(&world.customer(session, allow(session, 1, true))), Reason::PromptGone);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.wait(30);
    assert_eq!(reason(&world.customer(session, allow(session, 2, true))), Reason::PromptGone);
    assert_eq!(world.channels(session), 0);
}

#[test]
fn p4_4_consent_to_record_is_asked_each_time() {
    let (mut world, session) = World::serving(Some("once"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.customer(session, allow(session, 1, true)).unwrap();
    world.words();
    world.open("ana", session, Tool::Record, &[]).unwrap();
    world.customer(session, allow(session, 2, true)).unwrap();
    world.open("ana", session, Tool::Record, &[]).unwrap();
    expect![[r#"
        prompt 2 by 1: record anew
        open 2 record by 1, prompt 2
        prompt 2 allowed by customer
        open 2 offered to 0
        prompt 3 by 1: record anew
        open 3 record by 1, prompt 3"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_4_a_canned_script_in_view_only_is_asked_each_time() {
    let (mut world, session) = World::serving(Some("strict"));
    for prompt in 1..=2 {
        let opening = world.open("ana", session, Tool::CannedScripts, &[("script", text("fix"))]).unwrap();
        assert_eq!(opening, Outcome::Opening { open: OpenId(prompt), prompt: Some(PromptId(prompt)) });
        world.customer(session, allow(session, prompt, true)).unwrap();
    }
}

#[test]
fn p4_5_where_nobody_is_present_the_default_is_the_answer_at_once() {
    let (mut world, session) = World::serving_customer(Some("kind"), absent());
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        prompt 1 by 1: shell silence allows
        open 1 shell by 1, prompt 1
        prompt 1 allowed by nobody
        open 1 offered to 0"#]]
    .assert_eq(&world.words());

    let (mut world, session) = World::serving_customer(None, absent());
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        prompt 1 by 1: shell
        open 1 shell by 1, prompt 1
        prompt 1 denied by nobody
        open 1 refused: prompt_denied"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_6_what_is_taken_back_stops_and_the_next_use_asks_again() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::Screen, &[]);
    let outcome = world.customer(session, Command::TakeBack { session, tool: Some(Tool::Shell) }).unwrap();
    let legs = vec![(ChannelId(1), ParticipantId(1)), (ChannelId(2), ParticipantId(0))];
    assert_eq!(outcome, Outcome::Revoked { epoch: PermissionEpoch(1), legs });
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        taken back: shell
        channel 1 closed: revoked by shell of customer
        channel 2 closed: revoked by shell of customer
        permissions 1
        prompt 3 by 1: shell
        open 3 shell by 1, prompt 3"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_6_i_p8_after_taking_back_everything_only_a_consent_opens_again() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Chat, &[]);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.words();
    world.customer(session, Command::TakeBack { session, tool: None }).unwrap();
    assert_eq!(world.channels(session), 0);
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.opened("customer", session, Tool::Chat, &[]);
    assert_eq!(world.channels(session), 2, "what the customer asks for is consent");
    assert_eq!(reason(&world.rep("ana", Command::TakeBack { session, tool: None })), Reason::NotPermitted);
    let epochs = world.engine.state().tools.epoch(session);
    assert_eq!(epochs, PermissionEpoch(1));
}

#[test]
fn p4_6_consent_survives_a_reconnect() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.system(Command::Lost { party: Party::Customer(session), epoch: AttachEpoch(1) }).unwrap();
    world.wait(10);
    world.words();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        open 2 shell by 1
        open 2 offered to 0"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_7_requests_for_one_tool_share_a_prompt_and_other_tools_go_on() {
    let (mut world, session) = World::serving(None);
    world.joined("lea", session);
    world.words();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.open("lea", session, Tool::Shell, &[]).unwrap();
    world.open("ana", session, Tool::Clipboard, &[("direction", text("rep_to_customer"))]).unwrap();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    world.customer(session, allow(session, 1, true)).unwrap();
    expect![[r#"
        prompt 1 by 1: shell
        open 1 shell by 1, prompt 1
        open 2 shell by 2, prompt 1
        prompt 2 by 1: clipboard
        open 3 clipboard by 1, prompt 2
        open 4 system_info by 1
        open 4 offered to 0
        prompt 1 allowed by customer
        open 1 offered to 0
        open 2 offered to 0"#]]
    .assert_eq(&world.words());
}

#[test]
fn p4_7_a_prompt_that_nobody_waits_for_is_withdrawn() {
    let (mut world, session) = World::serving(None);
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    let take_back = Command::RefuseOpen { session, open: OpenId(1), reason: "changed my mind".to_owned() };
    world.rep("ana", take_back).unwrap();
    expect![[r#"
        prompt 1 by 1: shell
        open 1 shell by 1, prompt 1
        open 1 refused: end_refused
        prompt 1 denied by withdrawn"#]]
    .assert_eq(&world.words());
}

const EXPIRING: &str = "prompt = { mode = \"always\", once = true, timeout_s = 20, answer = \"deny\"";

#[test]
fn p4_6_a_consent_may_run_out_and_then_what_runs_by_it_stops() {
    let site = SITE.replace(EXPIRING, &format!("{EXPIRING}, consent_s = 600"));
    let mut world = World::of(&site);
    let session = world.serve(Some("once"), present());
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::Chat, &[]);
    world.wait(599);
    assert_eq!(world.words(), "");
    world.wait(1);
    expect![[r#"
        channel 1 closed: revoked by shell of consent
        channel 2 closed: revoked by shell of consent
        permissions 1"#]]
    .assert_eq(&world.words());
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    assert!(world.words().starts_with("prompt 2"), "the next use asks again");
}

#[test]
fn p4_6_consent_is_for_the_participant_who_asked() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.joined("lea", session);
    world.words();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.open("lea", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        open 2 shell by 1
        open 2 offered to 0
        prompt 2 by 2: shell
        open 3 shell by 2, prompt 2"#]]
    .assert_eq(&world.words());
    world.rep("lea", Command::Depart { session }).unwrap();
    world.words();
    world.joined("lea", session);
    world.words();
    world.open("lea", session, Tool::Shell, &[]).unwrap();
    assert!(world.words().starts_with("prompt 3 by 3"), "who comes back comes anew");
}

#[test]
fn p4_6_r7_6_consent_ends_with_a_take_over_for_both() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.log_in("lea");
    world.rep("lea", Command::TakeOver { session }).unwrap();
    world.words();
    for (rep, prompt) in [("lea", 2), ("ana", 3)] {
        let opening = world.open(rep, session, Tool::Shell, &[]).unwrap();
        assert!(matches!(opening, Outcome::Opening { prompt: Some(PromptId(asked)), .. } if asked == prompt), "{rep}");
        world.customer(session, allow(session, prompt, false)).unwrap();
    }
}

#[test]
fn p4_6_i_p4_a_right_that_went_and_came_back_is_asked_for_again() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.apply_site(&SITE.replace("tools = { record", "tools = { shell = \"no\", record"));
    world.apply_site(SITE);
    world.words();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    assert!(world.words().starts_with("prompt 2 by 1: shell"));
}

#[test]
fn p4_3_i_p4_a_prompt_on_other_terms_than_the_policys_is_withdrawn() {
    let (mut world, session) = World::serving(Some("kind"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    let answer = "once = false, timeout_s = 30, answer = \"allow\"";
    world.words();
    world.apply_site(&SITE.replace(answer, "once = false, timeout_s = 30, answer = \"deny\""));
    expect![[r#"
        prompt 1 denied by withdrawn
        open 1 refused: prompt_denied
        permissions 1"#]]
    .assert_eq(&world.words());
    world.wait(30);
    assert_eq!(world.channels(session), 0, "silence by the old terms would have allowed it");
}

#[test]
fn p4_6_whoever_takes_the_screen_back_takes_back_what_needs_it() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
    world.opened("ana", session, Tool::Clipboard, &[("direction", text("rep_to_customer"))]);
    world.opened("ana", session, Tool::SystemInfo, &[]);
    world.customer(session, Command::TakeBack { session, tool: Some(Tool::Screen) }).unwrap();
    expect![[r#"
        taken back: screen
        channel 1 closed: revoked by screen of customer
        channel 2 closed: revoked by screen of customer
        channel 3 closed: revoked by clipboard of customer
        permissions 1"#]]
    .assert_eq(&world.words());
    world.open("ana", session, Tool::Clipboard, &[("direction", text("rep_to_customer"))]).unwrap();
    assert!(world.words().starts_with("prompt 3 by 1: clipboard"));
}

/// The site with this rule of its default policy's, beside the built-in mode: the shell, the screen and more are asked for.
fn house(rule: &str) -> String {
    let next = "[[policy]]\ncode = \"strict\"";
    SITE.replace(next, &format!("prompt = {{ {rule} }}\n{next}"))
}

fn serving(rule: &str) -> (World, SessionId) {
    let mut world = World::of(&house(rule));
    let session = world.serve(None, present());
    (world, session)
}

#[test]
fn lr_028_a_yes_is_for_the_requests_that_waited_and_the_next_asks_again() {
    let (mut world, session) = serving("each = true");
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.customer(session, allow(session, 1, true)).unwrap();
    for open in [1, 2] {
        let accept = Command::AcceptOpen { session, open: OpenId(open), facts: values(&[]) };
        world.customer(session, accept).unwrap();
    }
    world.words();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    world.customer(session, allow(session, 2, false)).unwrap();
    world.open("ana", session, Tool::SystemInfo, &[]).unwrap();
    expect![[r#"
        prompt 2 by 1: shell each
        open 3 shell by 1, prompt 2
        prompt 2 denied by customer
        open 3 refused: prompt_denied
        open 4 system_info by 1
        open 4 offered to 0"#]]
    .assert_eq(&world.words());
    assert_eq!(world.channels(session), 4, "what was opened goes on");
}

#[test]
fn lr_028_what_was_opened_by_a_yes_is_taken_back_and_ended_by_an_edit_as_ever() {
    let (mut world, session) = serving("each = true");
    world.opened("ana", session, Tool::Shell, &[]);
    world.customer(session, Command::TakeBack { session, tool: Some(Tool::Shell) }).unwrap();
    assert_eq!(world.channels(session), 0);
    // A yes after that is for one request too.
    for prompt in [2, 3] {
        world.words();
        world.opened("ana", session, Tool::Shell, &[]);
        let prompts = world.log().iter().filter(|it| matches!(it.event, Event::Prompted { .. })).count();
        assert_eq!(prompts, prompt);
    }
    world.apply_site(&house("each = true").replace("tools = { record", "tools = { shell = \"no\", record"));
    assert_eq!(world.channels(session), 0);
}

#[test]
fn lr_028_consent_s_says_how_long_it_goes_on_and_another_yes_prolongs_it() {
    let (mut world, session) = serving("each = true, consent_s = 60");
    world.opened("ana", session, Tool::Shell, &[]);
    world.wait(40);
    world.opened("ana", session, Tool::Shell, &[]);
    world.wait(59);
    assert_eq!(world.channels(session), 4);
    world.wait(1);
    assert_eq!(world.channels(session), 0);
}

#[test]
fn lr_028_an_edit_to_each_ends_what_was_said_for_later_and_nothing_that_is_open() {
    let (mut world, session) = serving("consent_s = 60");
    world.opened("ana", session, Tool::Shell, &[]);
    world.open("ana", session, Tool::Screen, &[]).unwrap();
    world.words();
    world.apply_site(&house("consent_s = 60, each = true"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        prompt 2 denied by withdrawn
        open 2 refused: prompt_denied
        permissions 1
        prompt 3 by 1: shell each
        open 3 shell by 1, prompt 3"#]]
    .assert_eq(&world.words());
    assert_eq!(world.channels(session), 2);
    // A yes of before an edit back covers nothing either.
    world.apply_site(&house("consent_s = 60"));
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        prompt 3 denied by withdrawn
        open 3 refused: prompt_denied
        permissions 2
        prompt 4 by 1: shell
        open 4 shell by 1, prompt 4"#]]
    .assert_eq(&world.words());
    world.customer(session, allow(session, 4, false)).unwrap();
    world.wait(60);
    assert_eq!(world.channels(session), 0, "the time of the first yes still counts");
}

#[test]
fn lr_028_an_edit_from_each_makes_no_yes_a_lasting_one() {
    let (mut world, session) = serving("each = true");
    world.opened("ana", session, Tool::Shell, &[]);
    world.apply_site(SITE);
    world.words();
    world.opened("ana", session, Tool::Shell, &[]);
    world.words();
    world.open("ana", session, Tool::Shell, &[]).unwrap();
    expect![[r#"
        open 3 shell by 1
        open 3 offered to 0"#]]
    .assert_eq(&world.words());
    let prompts = world.log().iter().filter(|it| matches!(it.event, Event::Prompted { .. })).count();
    assert_eq!(prompts, 2, "the second yes lasts, the first did not");
}
