//! Support buttons: what a portal has to do with them, their bounds, and one that a customer's end keeps (P3.17).

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Outcome, Queue, Reason},
    ids::*,
    limits,
    policy::Tool,
    wire::control::Value,
};

/// Ana has buttons and may hand one over.
fn site() -> String {
    let more = "\"jump_shell\", \"buttons_personal\", \"buttons_team_deploy\"]";
    let site = SITE.replacen("\"jump_shell\"]", more, 1);
    site.replacen("record = \"with_consent\"", "deploy = \"yes\", record = \"with_consent\"", 1)
}

fn hex(token: SecretHash) -> Value {
    Value::Text(token.0.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl World {
    fn button(&mut self, queue: Queue, portal: Option<&str>) -> (Answer, SecretHash) {
        let (token, portal) = (self.secret(), portal.map(|code| self.portal(code)));
        (self.rep("ana", Command::MakeButton { queue, portal, token }), token)
    }

    fn own(&self) -> Queue {
        Queue::Personal(self.user("ana"))
    }

    /// Ana asks the customer's end to keep one.
    fn deploys(&mut self, session: SessionId, args: &[(&str, Value)]) -> OpenId {
        match self.open("ana", session, Tool::Deploy, args) {
            Ok(Outcome::Opening { open, .. }) => open,
            other => panic!("{other:?}"),
        }
    }

    fn takes_it(&mut self, session: SessionId, open: OpenId, token: Value) -> Answer {
        self.customer(session, Command::AcceptOpen { session, open, facts: values(&[("token", token)]) })
    }
}

#[test]
fn p3_17_a_button_that_the_customers_end_keeps_leads_back_and_the_end_alone_knows_its_token() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let (open, token) = (world.deploys(session, &[]), world.secret());
    assert_eq!(world.redeem(token, None, present()).unwrap_err().reason, Reason::KeyGone);
    for no_token in [text("x"), text(&"g".repeat(64)), Value::Int(7)] {
        assert_eq!(reason(&world.takes_it(session, open, no_token)), Reason::Malformed);
    }
    world.takes_it(session, open, hex(token)).unwrap();
    world.rep("ana", Command::End { session }).unwrap();
    for _ in 0..2 {
        let again = world.redeem(token, None, present()).unwrap();
        let waiting = world.engine.state().sessions[&again].waiting().map(|waiting| waiting.queue);
        assert_eq!(waiting, Some(world.own()));
    }
    // A token that was given out is nobody else's.
    let session = world.serve(None, present());
    let open = world.deploys(session, &[]);
    assert_eq!(reason(&world.takes_it(session, open, hex(token))), Reason::Stale);
}

#[test]
fn p3_17_p6_3_handing_one_over_needs_the_sessions_policy_and_the_users_permission_for_that_queue() {
    let mut world = World::of(&site().replacen("deploy = \"yes\"", "deploy = \"no\"", 1));
    let session = world.serve(None, present());
    let refused = world.open("ana", session, Tool::Deploy, &[]).unwrap_err();
    assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("default")));
    let (made, _) = world.button(world.own(), None);
    made.expect("as a link it is no tool of a session");

    world.apply_site(&site().replacen(", \"buttons_team_deploy\"", "", 1));
    world.deploys(session, &[]);
    let refused = world.open("ana", session, Tool::Deploy, &[("queue", text("team:net"))]).unwrap_err();
    assert_eq!((refused.reason, refused.tool), (Reason::NotPermitted, Some(Tool::Deploy)));
    assert_eq!(refused.source.as_deref(), Some("user:ana"));

    world.apply_site(&site());
    let open = world.deploys(session, &[("queue", text("team:net")), ("portal", text("strict"))]);
    for wrong in [("queue", text("team:desk")), ("queue", text("rep:bob")), ("portal", text("nowhere"))] {
        world.open("ana", session, Tool::Deploy, &[wrong]).unwrap_err();
    }
    // The right that went meanwhile is gone when it is taken up.
    world.apply_site(&site().replacen(", \"buttons_team_deploy\"", "", 1));
    let token = world.secret();
    assert_eq!(reason(&world.takes_it(session, open, hex(token))), Reason::OpenGone);
    world.joined("bob", session);
    let refused = world.open("bob", session, Tool::Deploy, &[]).unwrap_err();
    assert_eq!(refused.source.as_deref(), Some("user:bob"));
}

#[test]
fn lr_026_p3_24_a_button_into_ones_own_queue_is_a_calling_card_and_a_way_of_private_sessions() {
    let without = site()
        + "[[technician_group]]\ncode = \"tier1\"\nmembers = [\"ana\"]\ntools = { private_sessions = \"deny\" }\n";
    let pins = site().replacen("deploy = \"yes\"", "deploy = \"yes\", private_ways = [\"pin\"]", 1);
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let (made, token) = world.button(world.own(), None);
    made.unwrap();
    for (site, source) in [(without, "technician_group:tier1"), (pins, "default")] {
        world.apply_site(&site);
        let (made, _) = world.button(world.own(), None);
        let refused = made.unwrap_err();
        assert_eq!((refused.rule.as_str(), refused.source.as_deref()), ("P3.24", Some(source)));
        let refused = world.open("ana", session, Tool::Deploy, &[]).unwrap_err();
        assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::PrivateSessions), Some(source)));
        // What was given out before opens nothing meanwhile.
        assert_eq!(world.redeem(token, None, present()).unwrap_err().reason, Reason::KeyGone);
        // Into a team's queue it has a permission of its own.
        world.open("ana", session, Tool::Deploy, &[("queue", text("team:net"))]).unwrap();
    }
    world.apply_site(&site());
    world.redeem(token, None, present()).unwrap();
}

#[test]
fn p2_1_sessions_by_a_button_have_the_policy_of_its_portal_from_when_it_was_set() {
    let mut world = World::of(&site());
    world.log_in("ana");
    let (made, token) = world.button(world.own(), Some("strict"));
    let Ok(Outcome::Button(button)) = made else { panic!("{made:?}") };
    let served = |world: &mut World| {
        let session = world.redeem(token, Some("kind"), present()).unwrap();
        world.rep("ana", Command::Take { session }).unwrap();
        session
    };
    let before = served(&mut world);
    let shell = |world: &mut World, session| world.open("ana", session, Tool::Shell, &[]);
    assert_eq!(shell(&mut world, before).unwrap_err().source.as_deref(), Some("portal:strict"));
    let root = Actor::Admin(world.user("root"));
    world.act(root, None, Command::SetButtonPortal { button, portal: None }).unwrap();
    let after = served(&mut world);
    shell(&mut world, after).expect("through the portal of the customer's own connection");
    shell(&mut world, before).expect_err("a session keeps the portal that it came through");

    // Without its portal it would open more than it was meant to.
    let strict = world.portal("strict");
    world.act(root, None, Command::SetButtonPortal { button, portal: Some(strict) }).unwrap();
    let gone = site().replacen("[[portal]]\ncode = \"strict\"\npolicy = \"strict\"\n", "", 1);
    world.apply_site(&gone);
    assert_eq!(world.redeem(token, None, present()).unwrap_err().reason, Reason::KeyGone);
}

#[test]
fn i_k1_buttons_of_a_queue_and_the_sessions_that_wait_by_one_are_bounded() {
    let mut world = World::of(&site());
    world.log_in("ana");
    let own = world.own();
    let (_, token) = world.button(own, None);
    for _ in 1..limits::BUTTONS_PER_REP {
        world.button(own, None).0.unwrap();
    }
    assert_eq!(reason(&world.button(own, None).0), Reason::LimitReached);
    let net = Queue::Team(world.team("net"));
    world.button(net, None).0.expect("another queue");
    world.rep("ana", Command::RevokeButton { button: ButtonId(2) }).unwrap();
    world.button(own, None).0.expect("one less");

    let mut waiting: Vec<SessionId> =
        (0..limits::BUTTON_WAITING).map(|_| world.redeem(token, None, present()).unwrap()).collect();
    assert_eq!(world.redeem(token, None, present()).unwrap_err().reason, Reason::LimitReached);
    let session = waiting.pop().unwrap();
    world.rep("ana", Command::Take { session }).unwrap();
    world.redeem(token, None, present()).expect("one waits no more");
}

#[test]
fn i_a10_whoever_may_have_no_buttons_makes_lists_and_revokes_none() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let (made, token) = world.button(world.own(), None);
    let Ok(Outcome::Button(button)) = made else { panic!("{made:?}") };
    let queue = world.own();
    let others =
        [Actor::Service(ServiceId(1)), Actor::Party(Party::Customer(session)), Actor::Admin(world.user("bob"))];
    for actor in others {
        let token = world.secret();
        assert!(world.act(actor, None, Command::MakeButton { queue, portal: None, token }).is_err());
        assert_eq!(reason(&world.act(actor, None, Command::RevokeButton { button })), Reason::NotPermitted);
        let state = world.engine.state();
        assert!(!state.buttons.live().any(|(_, button)| state.may_manage_button(actor, button)));
    }
    world.redeem(token, None, present()).unwrap();
}
