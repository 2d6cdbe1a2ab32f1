//! BU-053: who has not the permission `support` serves no customer, and nothing comes to them; what else their account
//! may do, they do.

use crate::world::*;
use equipoise::{
    engine::{
        Actor, Command, Entry, Event, Outcome, Queue, Reason,
        command::{Ask, Customer},
    },
    ids::*,
    site::SessionKind,
};

/// Pia may everything of a rep but support: she presents. Root administers.
fn site() -> String {
    let pia = r#"[[user]]
username = "pia"
teams = { net = "manager" }
permissions = ["accept_from_queue", "get_next", "generate_keys", "jump_shell", "share_outside", "transfer_outside",
  "extended_availability", "show_screen_to_reps", "show_on_public_site", "invite_external"]
email = "pia@example.com"
"#;
    let without = r#"permissions = ["support", "accept_from_queue"]"#;
    assert!(SITE.contains(without));
    format!("{SITE}{pia}")
}

fn expires(world: &World) -> equipoise::time::Time {
    world.now + equipoise::time::Span::minutes(15)
}

#[test]
fn bu_053_without_support_nothing_is_begun_and_the_refusal_names_the_permission_and_its_source() {
    for name in ["pia", "root"] {
        let mut world = World::of(&site());
        let session = world.serve(None, present());
        world.log_in(name);
        let (waits, _) = world.asked("net", SessionKind::Support);
        let (key, to) = (world.secret(), Queue::Team(world.team("desk")));
        let net = Entry::Queue(Queue::Team(world.team("net")));
        let expires = expires(&world);
        let item = *world.engine.state().site.jump_items.keys().next().unwrap();
        for command in [
            Command::Accept { session: waits },
            Command::Take { session: waits },
            Command::GetNext,
            Command::Transfer { session: waits, to },
            Command::Join { session },
            Command::TakeOver { session },
            Command::Resume { session },
            Command::Share { session, to, mail: None },
            Command::InviteExternal { session, address: "eve@partner.example".into(), policy: None, key },
            Command::MakeKey { entry: net, key, code: true, expires },
            Command::Jump { item, join: None, by_endpoint: false },
            Command::OptIn,
            Command::Extended { on: true },
        ] {
            let asked = format!("{name}: {command:?}");
            let refusal = world.rep(name, command).expect_err(&asked);
            assert_eq!(refusal.reason, Reason::NotPermitted, "{asked}");
            assert!(refusal.message.contains("permission support"), "{asked}: {}", refusal.message);
            assert_eq!(refusal.source, Some(format!("user:{name}")), "{asked}");
        }
        // The same with it.
        world.apply_site(
            &site().replace("\"get_next\", \"generate_keys\"", "\"get_next\", \"support\", \"generate_keys\""),
        );
        if name == "pia" {
            world.rep("pia", Command::Join { session }).expect("a manager watches");
            world.rep("pia", Command::GetNext).expect("it waits in her team");
        }
    }
}

#[test]
fn bu_053_the_source_is_the_group_policy_that_gives_the_permissions() {
    let group = "[[group_policy]]\ncode = \"speakers\"\nmembers = [\"bob\"]\n[group_policy.permissions]\nstate = \"final\"\n\
                 values = [\"get_next\"]\n";
    let mut world = World::of(&format!("{SITE}{group}"));
    world.log_in("bob");
    let refusal = world.rep("bob", Command::GetNext).unwrap_err();
    assert_eq!(refusal.source.as_deref(), Some("group_policy:speakers"));
}

#[test]
fn bu_053_nothing_is_handed_to_who_may_not_support() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    world.log_in("pia");
    let pia = Queue::Personal(world.user("pia"));
    for command in [Command::Share { session, to: pia, mail: None }, Command::Transfer { session, to: pia }] {
        let refusal = world.rep("ana", command).unwrap_err();
        assert_eq!((refusal.reason, refusal.source.as_deref()), (Reason::NotPermitted, Some("user:pia")));
    }
    // Not by an administrator either, nor by a customer: her own queue serves nobody (R2.6).
    let by_root = Actor::Admin(world.user("root"));
    assert_eq!(reason(&world.act(by_root, None, Command::Transfer { session, to: pia })), Reason::NotPermitted);
    let ask = Command::Ask(Ask { customer: Customer::default(), ..Ask::of(Entry::Queue(pia)) });
    assert_eq!(reason(&world.system(ask)), Reason::NoRepAvailable);
    // She presents all the same.
    let to = world.user("ana");
    let Outcome::Session(show) = world.rep("pia", Command::ShowScreen { to }).unwrap() else { panic!("a show") };
    world.rep("ana", Command::Join { session: show }).unwrap();
}

#[test]
fn bu_053_who_is_shown_a_screen_needs_no_support() {
    let site = site().replace("\"generate_keys\", \"jump_shell\"]", "\"generate_keys\", \"show_screen_to_reps\"]");
    let mut world = World::of(&site);
    world.log_in("ana");
    world.log_in("root");
    let to = world.user("root");
    let Outcome::Session(session) = world.rep("ana", Command::ShowScreen { to }).unwrap() else { panic!("a show") };
    world.rep("root", Command::Accept { session }).expect("he was asked");
}

#[test]
fn bu_053_at_login_no_session_starts_by_itself() {
    let site = site().replace("[options]", "[options]\nauto_start = true");
    let mut world = World::of(&site);
    world.log_in("pia");
    assert_eq!(world.engine.state().sessions.len(), 0);
    world.log_in("bob");
    assert_eq!(world.engine.state().sessions.len(), 1, "bob may");
}

#[test]
fn bu_053_p6_2_who_loses_support_leaves_at_once_and_stays_logged_in() {
    let mut world = World::of(SITE);
    let alone = world.serve(None, present());
    let shared = world.serve(None, present());
    let held = world.serve(None, present());
    world.rep("ana", Command::Hold { session: held }).unwrap();
    world.joined("bob", shared);
    world.log_in("lea");
    let lea = Queue::Personal(world.user("lea"));
    world.rep("ana", Command::Share { session: shared, to: lea, mail: None }).unwrap();
    let seen = world.log().len();
    let without = |text: &str, user: &str| {
        let (before, after) = text.split_once(&format!("username = \"{user}\"")).unwrap();
        format!("{before}username = \"{user}\"{}", after.replacen("\"support\", ", "", 1))
    };
    world.apply_site(&without(&without(SITE, "ana"), "lea"));

    let state = world.engine.state();
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    assert_eq!(state.sessions[&shared].owner(), Some(bob), "rule 1 of R8.2");
    for session in [alone, held] {
        assert!(state.sessions[&session].waiting().is_some(), "back in its team's queue");
    }
    assert_eq!(state.sessions_of(ana).count(), 0);
    assert!(state.consoles.contains_key(&ana), "she may still administer or present");
    assert!(state.sessions[&shared].invites.is_empty());
    let gone = world.log()[seen..].iter().any(|stamped| {
        matches!(&stamped.event, Event::InviteGone { to, reason, .. } if *to == lea && reason == "no_support")
    });
    assert!(gone);
    assert_eq!(reason(&world.rep("ana", Command::Take { session: alone })), Reason::NotPermitted);

    // It never falls to somebody who loses it in the same edit.
    world.apply_site(SITE);
    world.joined("ana", shared);
    world.apply_site(&without(&without(SITE, "bob"), "ana"));
    let state = world.engine.state();
    assert!(state.sessions[&shared].waiting().is_some());
    assert!(state.sessions[&shared].participant_of(Party::Rep(ana)).is_none());
}
