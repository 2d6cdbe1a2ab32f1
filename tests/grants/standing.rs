//! P3.4, P3.30: what outlasts its request: how the customer is held back, and what its end does when the session is over.

use crate::world::*;
use equipoise::{
    engine::{Command, Event, Outcome, Queue, Reason},
    ids::*,
    policy::{Tool, Word},
};

/// Everybody but who only views may hold the customer back, and say what happens at the end.
fn site() -> String {
    let more = "customer_restrictions = \"display_and_input\", termination = \"lock\", termination_override = \"yes\", \
                record = \"with_consent\"";
    SITE.replacen("record = \"with_consent\"", more, 1)
}

impl World {
    fn held_back(site: &str) -> (Self, SessionId) {
        let mut world = Self::of(site);
        let session = world.serve(None, present());
        world.restrict("ana", session, "display_and_input");
        (world, session)
    }

    fn restrict(&mut self, rep: &str, session: SessionId, mode: &str) {
        self.opened(rep, session, Tool::CustomerRestrictions, &[("mode", text(mode))]);
    }

    fn restricted(&self, session: SessionId) -> Option<Word> {
        self.engine.state().sessions[&session].restricted.map(|(_, mode)| mode)
    }

    /// Why they were lifted last, by the layer or what else did it.
    fn lifted_by(&self) -> Option<String> {
        self.log().iter().rev().find_map(|stamped| match &stamped.event {
            Event::RestrictionsLifted { cause, .. } => {
                Some(cause.as_ref().map_or("", |it| it.source.as_str()).to_owned())
            }
            _ => None,
        })
    }
}

#[test]
fn bu_111_ra_012_the_session_remembers_how_its_customer_is_held_back_until_it_is_lifted() {
    let (mut world, session) = World::held_back(&site());
    assert_eq!(world.restricted(session), Some(Word::DisplayAndInput));
    world.restrict("ana", session, "input");
    assert_eq!(world.restricted(session), Some(Word::Input));
    // Whoever takes part lifts what another has set: that takes no right.
    world.joined("bob", session);
    let refused = world.open("bob", session, Tool::CustomerRestrictions, &[("mode", text("input"))]).unwrap_err();
    assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("user:bob")));
    world.restrict("bob", session, "off");
    assert_eq!((world.restricted(session), world.lifted_by().as_deref()), (None, Some("")));
}

#[test]
fn bu_111_a_request_that_the_customers_end_refuses_holds_nobody_back() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    world.open("ana", session, Tool::CustomerRestrictions, &[("mode", text("input"))]).unwrap();
    assert_eq!(world.restricted(session), None, "it is only asked for");
    let refuse = Command::RefuseOpen { session, open: OpenId(1), reason: "no".to_owned() };
    world.customer(session, refuse).unwrap();
    assert_eq!(world.restricted(session), None);
}

#[test]
fn bu_111_p3_4_nobody_is_held_back_by_who_does_not_serve_any_more() {
    type Ends = fn(&mut World, SessionId);
    let ends: [(&str, Ends); 6] = [
        ("hold", |world, session| drop(world.rep("ana", Command::Hold { session }).unwrap())),
        ("", |world, session| {
            let to = Queue::Team(world.team("net"));
            world.rep("ana", Command::Transfer { session, to }).unwrap();
        }),
        ("", |world, _| {
            let user = world.user("ana");
            world.system(Command::Logout { user }).unwrap();
        }),
        ("", |world, session| {
            world.joined("lea", session);
            world.rep("ana", Command::Depart { session }).unwrap();
        }),
        ("take_over", |world, session| {
            world.log_in("lea");
            world.rep("lea", Command::TakeOver { session }).unwrap();
        }),
        ("customer", |world, session| {
            let tool = Some(Tool::CustomerRestrictions);
            world.customer(session, Command::TakeBack { session, tool }).unwrap();
        }),
    ];
    for (at, (source, end)) in ends.into_iter().enumerate() {
        let (mut world, session) = World::held_back(&site());
        end(&mut world, session);
        assert_eq!((world.restricted(session), world.lifted_by().as_deref()), (None, Some(source)), "{at}");
    }
}

#[test]
fn bu_111_p6_2_an_edit_that_takes_the_right_away_lifts_them_and_says_which_layer_did() {
    let (mut world, session) = World::held_back(&site());
    world.apply_site(&site().replace("record = \"with_consent\"", "record = \"no\""));
    assert_eq!(world.restricted(session), Some(Word::DisplayAndInput), "an edit of something else changes nothing");
    world.apply_site(&site().replace("\"display_and_input\"", "\"input\""));
    assert_eq!((world.restricted(session), world.lifted_by().as_deref()), (None, Some("default")));

    // What it needs is gone: control of the screen.
    let (mut world, session) = World::held_back(&site());
    world.apply_site(&format!(
        "{}[[technician_group]]\ncode = \"tier1\"\nmembers = [\"ana\"]\ntools = {{ screen = \"view\" }}\n",
        site()
    ));
    assert_eq!((world.restricted(session), world.lifted_by().as_deref()), (None, Some("technician_group:tier1")));
}

#[test]
fn bu_111_p4_6_a_consent_that_runs_out_lifts_what_was_set_by_it() {
    let asks = "[[policy]]\ncode = \"house\"\nprompt = { mode = \"always\", consent_s = 60 }\n";
    let (mut world, session) = World::held_back(&site().replacen("[[policy]]\ncode = \"house\"\n", asks, 1));
    world.wait(59);
    assert_eq!(world.restricted(session), Some(Word::DisplayAndInput));
    world.wait(1);
    assert_eq!((world.restricted(session), world.lifted_by().as_deref()), (None, Some("consent")));
}

#[test]
fn bu_111_lr_028_nobody_is_asked_whether_what_holds_them_back_may_end() {
    let asks = "[[policy]]\ncode = \"house\"\nprompt = { mode = \"always\", each = true }\n";
    let (mut world, session) = World::held_back(&site().replacen("[[policy]]\ncode = \"house\"\n", asks, 1));
    let off = world.open("ana", session, Tool::CustomerRestrictions, &[("mode", text("off"))]).unwrap();
    assert!(matches!(off, Outcome::Opening { prompt: None, .. }), "{off:?}");
    let again = world.open("ana", session, Tool::CustomerRestrictions, &[("mode", text("input"))]).unwrap();
    assert!(matches!(again, Outcome::Opening { prompt: Some(_), .. }), "{again:?}");
}

#[test]
fn bu_111_another_reps_coming_and_a_lost_line_change_nothing() {
    let (mut world, session) = World::held_back(&site());
    world.joined("lea", session);
    world.rep("lea", Command::Depart { session }).unwrap();
    world.system(Command::LoseConnections).unwrap();
    assert_eq!((world.restricted(session), world.lifted_by()), (Some(Word::DisplayAndInput), None));
}

#[test]
fn bu_135_p3_30_what_happens_at_the_end_is_remembered_over_edits_holds_and_other_reps() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let set = |world: &World| world.engine.state().sessions[&session].termination;
    assert_eq!(set(&world), None, "the policy's");
    world.opened("ana", session, Tool::Termination, &[("mode", text("log_out"))]);
    assert_eq!(set(&world), Some(Word::LogOut));
    world.apply_site(&site().replace("termination = \"lock\"", "termination = \"nothing\""));
    world.rep("ana", Command::Hold { session }).unwrap();
    world.rep("ana", Command::Resume { session }).unwrap();
    world.log_in("lea");
    world.rep("lea", Command::TakeOver { session }).unwrap();
    world.rep("lea", Command::Transfer { session, to: Queue::Team(world.team("net")) }).unwrap();
    world.rep("ana", Command::Take { session }).unwrap();
    assert_eq!(set(&world), Some(Word::LogOut));
    // Who may not override any more changes nothing, and undoes nothing.
    world.apply_site(&site().replace("termination_override = \"yes\"", "termination_override = \"no\""));
    assert_eq!(reason(&world.open("ana", session, Tool::Termination, &[("mode", text("lock"))])), Reason::NotPermitted);
    assert_eq!(set(&world), Some(Word::LogOut));
}
