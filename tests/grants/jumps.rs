//! Scripts in sessions on jump items (P8.6, BU-090): the role of each participant, and an edit while one runs.

use crate::world::*;
use equipoise::{
    engine::{Command, Outcome, Queue, Reason},
    ids::SessionId,
    policy::Tool,
};

/// Ana and bob may jump; the item is in a group in which bob only looks.
fn site(ana: &str, bob: &str) -> String {
    let groups = format!(
        "[[jump_item_role]]\ncode = \"operator\"\nallows = [\"start_sessions\"]\n[[jump_item_role]]\ncode = \"viewer\"\n\
         [[jump_group]]\ncode = \"servers\"\nmembers = {{ ana = \"{ana}\", bob = \"{bob}\" }}\n"
    );
    let site = SITE.replacen("code = \"srv\"\n", "code = \"srv\"\ngroup = \"servers\"\n", 1);
    format!("{site}{groups}")
}

fn jumped(world: &mut World) -> Result<SessionId, equipoise::engine::Refusal> {
    let (item, join) = (world.engine.state().site.codes.jump_items["srv"], world.secret());
    match world.rep("ana", Command::Jump { item, join: Some(join), by_endpoint: false })? {
        Outcome::Session(session) => {
            world.redeem(join, None, present()).expect("the item's own way in");
            Ok(session)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn p8_1_p6_3_a_jump_that_the_role_does_not_start_is_refused_with_the_rule_and_the_group() {
    let mut world = World::of(&site("viewer", "viewer"));
    world.log_in("ana");
    let refused = jumped(&mut world).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P8.1"));
    assert_eq!(refused.source.as_deref(), Some("jump_group:servers"));
    assert_eq!(refused.message, "sessions on srv are not yours to start (jump group servers: role viewer)");
    world.apply_site(&site("default", "viewer"));
    let refused = jumped(&mut world).unwrap_err();
    assert_eq!((refused.rule.as_str(), refused.source.as_deref()), ("P8.2", Some("user:ana")));
    assert_eq!(refused.message, "sessions on srv are not yours to start (the default role of ana: no access)");
}

#[test]
fn p8_6_bu_090_who_may_not_start_sessions_on_the_item_runs_no_script_there() {
    let mut world = World::of(&site("operator", "viewer"));
    world.log_in("ana");
    let session = jumped(&mut world).unwrap();
    world.opened("ana", session, Tool::CannedScripts, &[("script", text("fix"))]);
    world.joined("bob", session);
    let refused = world.open("bob", session, Tool::CannedScripts, &[("script", text("fix"))]).unwrap_err();
    assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("jump_group:servers")));
    world.opened("bob", session, Tool::SystemInfo, &[]);

    // The session becomes his: he serves it, and runs none.
    let to = Queue::Personal(world.user("bob"));
    world.rep("ana", Command::Transfer { session, to }).unwrap();
    world.rep("bob", Command::Take { session }).unwrap();
    assert!(world.open("bob", session, Tool::CannedScripts, &[("script", text("fix"))]).is_err());
    world.apply_site(&site("operator", "operator"));
    world.opened("bob", session, Tool::CannedScripts, &[("script", text("fix"))]);
}

#[test]
fn p6_2_p8_6_an_edit_of_a_role_ends_the_script_that_runs_and_not_the_session() {
    let mut world = World::of(&site("operator", "viewer"));
    world.log_in("ana");
    let session = jumped(&mut world).unwrap();
    world.opened("ana", session, Tool::CannedScripts, &[("script", text("fix"))]);
    world.opened("ana", session, Tool::SystemInfo, &[]);
    world.words();
    world.apply_site(&site("viewer", "viewer"));
    let said = "channel 1 closed: revoked by canned_scripts of jump_group:servers\npermissions 1";
    assert_eq!(world.words(), said);
    assert_eq!(world.channels(session), 1, "what is no script goes on, and so does the session");
    assert_eq!(jumped(&mut world).unwrap_err().reason, Reason::NotPermitted, "and the next jump is refused");
}
