//! P3.29: who writes on a session, what, and how much.

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Outcome, Reason},
    ids::*,
    limits,
    policy::Tool,
};
use std::collections::BTreeMap;

fn field(session: SessionId, field: &str, value: &str) -> Command {
    Command::SetField { session, field: field.to_owned(), value: value.to_owned() }
}

fn key(session: SessionId, value: &str) -> Command {
    Command::SetExternalKey { session, value: value.to_owned() }
}

fn fields(world: &World, session: SessionId) -> BTreeMap<String, String> {
    world.engine.state().sessions[&session].fields.clone()
}

/// `ana` may set external keys, by her own permission and the site's policy.
fn with_keys() -> String {
    let site = SITE.replacen("\"jump_shell\"]", "\"jump_shell\", \"edit_external_key\"]", 1);
    site.replacen("record = \"with_consent\"", "external_key = \"yes\", record = \"with_consent\"", 1)
}

#[test]
fn p3_29_a_field_is_written_changed_and_taken_away_by_its_name_as_written() {
    let (mut world, session) = World::serving(None);
    world.rep("ana", field(session, "order", "4711")).unwrap();
    world.rep("ana", field(session, "Order", "two")).unwrap();
    world.rep("ana", field(session, "order", "4712")).unwrap();
    assert_eq!(fields(&world, session).get("order").map(String::as_str), Some("4712"));
    assert_eq!(fields(&world, session).get("Order").map(String::as_str), Some("two"));
    world.rep("ana", field(session, "order", "")).unwrap();
    world.rep("ana", field(session, "order", "")).unwrap();
    assert_eq!(fields(&world, session).len(), 1);
    world.rep("ana", Command::Hold { session }).unwrap();
    world.rep("ana", field(session, "Order", "three")).expect("a rep writes while the session is held");
}

#[test]
fn p3_29_the_same_again_is_no_event_and_is_not_remembered_as_one() {
    let (mut world, session) = World::serving(None);
    let ana = Actor::Party(Party::Rep(world.user("ana")));
    world.act(ana, Some(7), field(session, "order", "4711")).unwrap();
    let before = world.engine.state().clone();
    assert_eq!(world.act(ana, Some(8), field(session, "order", "4711")), Ok(Outcome::Done));
    assert_eq!(&before, world.engine.state());
}

#[test]
fn p3_29_names_values_and_numbers_of_fields_are_bounded() {
    let (mut world, session) = World::serving(None);
    for name in ["", "two words", "naïve", "a.b", "line\n", &"x".repeat(limits::CODE_BYTES_MAX + 1)] {
        assert_eq!(reason(&world.rep("ana", field(session, name, "1"))), Reason::Malformed, "{name:?}");
    }
    let long = "x".repeat(limits::NAME_BYTES_MAX + 1);
    assert_eq!(reason(&world.rep("ana", field(session, "order", &long))), Reason::Malformed);
    for number in 0..limits::FIELDS_PER_SESSION {
        world.rep("ana", field(session, &format!("f-{number}"), &long[1..])).unwrap();
    }
    assert_eq!(reason(&world.rep("ana", field(session, "more", "1"))), Reason::LimitReached);
    world.rep("ana", field(session, "f-0", "changed")).expect("no new one");
    world.rep("ana", field(session, "f-1", "")).expect("one less");
    world.rep("ana", field(session, "more", "1")).expect("there is room");
}

#[test]
fn p3_29_p6_3_the_external_key_needs_the_policy_and_the_permission_of_the_user() {
    let mut world = World::of(&with_keys());
    let session = world.serve(None, present());
    world.rep("ana", key(session, "CASE-7")).unwrap();
    assert_eq!(world.engine.state().sessions[&session].ask.customer.external_key, "CASE-7");
    world.joined("lea", session);
    let refused = world.rep("lea", key(session, "mine")).unwrap_err();
    assert_eq!((refused.reason, refused.tool), (Reason::NotPermitted, Some(Tool::ExternalKey)));
    assert_eq!(refused.source.as_deref(), Some("user:lea"), "the policy would let her, her account does not");
    world.rep("lea", field(session, "order", "4711")).expect("fields need no permission of the user");

    world.apply_site(&with_keys().replacen("external_key = \"yes\"", "external_key = \"no\"", 1));
    let refused = world.rep("ana", key(session, "")).unwrap_err();
    assert_eq!(refused.source.as_deref(), Some("default"), "from the turn of the edit on");
    assert_eq!(world.engine.state().sessions[&session].ask.customer.external_key, "CASE-7");
}

#[test]
fn p3_29_r7_6_the_customer_and_who_monitors_write_nothing_and_who_is_not_in_it_cannot_tell() {
    let (mut world, session) = World::serving(None);
    let refused = world.customer(session, field(session, "order", "1")).unwrap_err();
    assert_eq!((refused.reason, refused.tool), (Reason::NotPermitted, Some(Tool::CustomFields)));
    world.log_in("lea");
    let here = world.rep("lea", field(session, "order", "1")).unwrap_err();
    let nowhere = world.rep("lea", field(SessionId(99), "order", "1")).unwrap_err();
    assert_eq!((here.reason, nowhere.reason), (Reason::UnknownSession, Reason::UnknownSession));
    world.rep("lea", Command::Join { session }).expect("a lead watches");
    let refused = world.rep("lea", field(session, "order", "1")).unwrap_err();
    assert_eq!((refused.source.as_deref(), refused.rule.as_str()), (Some("monitor"), "R7.6"));
    world.rep("lea", Command::Join { session }).expect("and joins");
    world.rep("lea", field(session, "order", "1")).unwrap();
    assert_eq!(fields(&world, session).len(), 1);
}

/// The site wants two fields written before a rep ends a session.
fn with_end_fields() -> String {
    SITE.replacen("[options]\n", "[options]\nend_fields = [\"company\", \"notes\"]\n", 1)
}

#[test]
fn ra_013_a_rep_ends_what_it_serves_once_the_fields_the_site_wants_are_written() {
    let (mut world, session) = World::serving(None);
    world.apply_site(&with_end_fields());
    let refused = world.rep("ana", Command::End { session }).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::FieldsMissing, "RA-013"));
    assert_eq!(refused.message, "write these fields of the session before it ends: company, notes");
    world.rep("ana", field(session, "notes", "a cable")).unwrap();
    world.rep("ana", Command::Hold { session }).unwrap();
    let refused = world.rep("ana", Command::End { session }).unwrap_err();
    assert_eq!(refused.message, "write these fields of the session before it ends: company");
    world.rep("ana", field(session, "company", "Acme")).unwrap();
    world.rep("ana", Command::End { session }).unwrap();
    assert!(!world.engine.state().sessions.contains_key(&session));
}

#[test]
fn ra_013_neither_a_customer_nor_who_may_not_write_nor_a_session_that_waits_is_held_up() {
    let (mut world, session) = World::serving(None);
    world.apply_site(&with_end_fields());
    world.customer(session, Command::End { session }).unwrap();

    let session = world.serve(None, present());
    let closed =
        with_end_fields().replacen("record = \"with_consent\"", "custom_fields = \"no\", record = \"with_consent\"", 1);
    world.apply_site(&closed);
    world.rep("ana", Command::End { session }).expect("nobody is asked for what it may not do");

    world.apply_site(&with_end_fields());
    let key = world.key("ana", "net");
    let waits = world.redeem(key, None, present()).unwrap();
    world.rep("lea", Command::End { session: waits }).expect_err("lea is not logged in");
    world.log_in("lea");
    world.rep("lea", Command::End { session: waits }).expect("nobody served it");
}
