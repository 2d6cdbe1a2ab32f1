//! Keys that the endpoint of a session draws for a jump item and gives up again: pinned (P3.17), or allowed by its customer for
//! when nobody is there (P3.25). By whom, in which session, and what becomes of whoever came by them.

use crate::{jumps, world::*};
use equipoise::{
    engine::{
        Actor, Command, Event, Outcome, Reason, Refusal,
        jumps::{Consent, ItemKeys},
    },
    ids::*,
    policy::Tool,
    time::Time,
};

/// Ana may pin and jump, bob looks at the items of the group.
fn site() -> String {
    let site = jumps::site("operator", "viewer");
    let site = site.replace("record = \"with_consent\"", "pin_jump_client = \"yes\"");
    let site = site.replace("\"jump_shell\"]", "\"jump_shell\", \"jump_client\"]");
    format!("{site}[[jump_item]]\ncode = \"kiosk\"\ngroup = \"servers\"\nmethod = \"jump_shell\"\n")
}

fn item(world: &World, code: &str) -> JumpItemId {
    world.engine.state().site.codes.jump_items[code]
}

/// Asked for and, where it has to be, allowed; not taken up yet.
fn asks(world: &mut World, session: SessionId, args: &[(&str, &str)]) -> Result<OpenId, Refusal> {
    let args: Vec<_> = args.iter().map(|(name, value)| (*name, text(value))).collect();
    let Outcome::Opening { open, prompt } = world.open("ana", session, Tool::PinJumpClient, &args)? else {
        panic!("an open is opening")
    };
    if let Some(prompt) = prompt {
        world.customer(session, Command::Answer { session, prompt, allow: true })?;
    }
    Ok(open)
}

fn takes_up(world: &mut World, session: SessionId, open: OpenId, key: SecretHash) -> Result<Outcome, Refusal> {
    let hash: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    world.customer(session, Command::AcceptOpen { session, open, facts: values(&[("token", text(&hash))]) })
}

fn pinned(world: &mut World, session: SessionId, code: &str) -> SecretHash {
    let (open, key) = (asks(world, session, &[("item", code)]).expect("may pin"), world.secret());
    takes_up(world, session, open, key).expect("was offered");
    key
}

fn unpins(world: &mut World, session: SessionId, code: &str) -> Result<OpenId, Refusal> {
    asks(world, session, &[("item", code), ("mode", "unpin")])
}

fn stands_by(world: &mut World, key: SecretHash) -> Result<SecretHash, Refusal> {
    let resume = world.secret();
    world.system(Command::StandBy { key, client: absent(), resume }).map(|_| resume)
}

/// A session on `srv`, in which its endpoint is the customer's end, and the endpoint's way back.
fn jumped(world: &mut World, key: SecretHash) -> (SessionId, SecretHash) {
    let way_back = stands_by(world, key).expect("the key is good");
    let jump = Command::Jump { item: item(world, "srv"), join: None, by_endpoint: true };
    let Outcome::Session(session) = world.rep("ana", jump).expect("it stands by") else { panic!("a session") };
    assert_eq!(world.redeem(key, None, present()), Ok(session));
    (session, way_back)
}

fn gone(world: &World) -> Vec<Event> {
    let gone = |event: &Event| matches!(event, Event::ItemKeyGone { .. });
    world.log().iter().map(|stamped| stamped.event.clone()).filter(gone).collect()
}

#[test]
fn p3_17_bu_128_who_unpins_an_endpoint_has_its_key_forgotten_and_the_session_goes_on() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let key = pinned(&mut world, session, "srv");
    world.rep("ana", Command::End { session }).unwrap();
    let (session, way_back) = jumped(&mut world, key);
    world.opened("ana", session, Tool::SystemInfo, &[]);

    // The key of another item, and one that nobody has, are not this endpoint's.
    let other = world.secret();
    let kiosk = item(&world, "kiosk");
    world.system(Command::MakeItemKey { item: kiosk, key: other }).unwrap();
    let open = unpins(&mut world, session, "SRV").unwrap();
    let unknown = world.secret();
    for wrong in [other, unknown] {
        assert_eq!(reason(&takes_up(&mut world, session, open, wrong)), Reason::Malformed);
    }
    takes_up(&mut world, session, open, key).unwrap();
    let (ana, srv) = (world.user("ana"), item(&world, "srv"));
    assert_eq!(gone(&world), [Event::ItemKeyGone { item: srv, by: Some(Actor::Party(Party::Rep(ana))) }]);

    assert!(!world.engine.state().stands_by(srv));
    let presented = way_back;
    let resume = world.secret();
    assert_eq!(reason(&world.system(Command::Reattach { presented, resume })), Reason::TokenGone);
    assert_eq!(stands_by(&mut world, key).unwrap_err().reason, Reason::KeyGone);
    assert_eq!(world.redeem(key, None, absent()).unwrap_err().reason, Reason::KeyGone);
    assert_eq!(world.channels(session), 1, "what runs goes on");
    world.opened("ana", session, Tool::Chat, &[]);

    // Another machine is not pinned to the item under this session; once it is over it is, and is jumped to.
    let again = asks(&mut world, session, &[("item", "srv")]).unwrap_err();
    assert_eq!((again.reason, again.rule.as_str()), (Reason::WrongState, "P3.17"));
    world.rep("ana", Command::End { session }).unwrap();
    let jump = Command::Jump { item: srv, join: None, by_endpoint: true };
    assert_eq!(reason(&world.rep("ana", jump)), Reason::NotStandingBy);
    let session = world.serve(None, present());
    let key = pinned(&mut world, session, "srv");
    world.rep("ana", Command::End { session }).unwrap();
    jumped(&mut world, key);
}

#[test]
fn p3_17_bu_128_an_endpoint_that_does_not_stand_by_at_the_moment_is_unpinned_all_the_same() {
    // In the session in which it was pinned, before it ever stood by.
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let key = pinned(&mut world, session, "srv");
    let open = unpins(&mut world, session, "srv").unwrap();
    takes_up(&mut world, session, open, key).unwrap();
    assert_eq!(stands_by(&mut world, key).unwrap_err().reason, Reason::KeyGone);

    // While its line is lost: it finds neither its way back nor its key good.
    let key = pinned(&mut world, session, "srv");
    world.rep("ana", Command::End { session }).unwrap();
    let (session, presented) = jumped(&mut world, key);
    let (party, epoch) = (Party::JumpClient(item(&world, "srv")), AttachEpoch(1));
    world.system(Command::Lost { party, epoch }).unwrap();
    let open = unpins(&mut world, session, "srv").unwrap();
    takes_up(&mut world, session, open, key).unwrap();
    let resume = world.secret();
    assert_eq!(reason(&world.system(Command::Reattach { presented, resume })), Reason::TokenGone);
    assert_eq!(stands_by(&mut world, key).unwrap_err().reason, Reason::KeyGone);

    // Where the customer's end is not there either nobody takes it up, and the key stays.
    world.rep("ana", Command::End { session }).unwrap();
    let session = world.serve(None, present());
    let key = pinned(&mut world, session, "srv");
    world.rep("ana", Command::End { session }).unwrap();
    let (session, _) = jumped(&mut world, key);
    let epoch = world.engine.state().parties.get(Party::Customer(session)).unwrap().epoch;
    let open = unpins(&mut world, session, "srv").unwrap();
    world.system(Command::Lost { party: Party::Customer(session), epoch }).unwrap();
    world.wait(61);
    assert_eq!(reason(&takes_up(&mut world, session, open, key)), Reason::OpenGone);
    assert!(stands_by(&mut world, key).is_ok());
}

#[test]
fn p3_17_bu_128_nobody_unpins_without_both_rights_or_an_item_that_is_not_theirs_to_start() {
    let mut world = World::of(&site());
    let session = world.serve(None, present());
    let none = unpins(&mut world, session, "srv").unwrap_err();
    assert_eq!((none.reason, none.message.as_str()), (Reason::WrongState, "this item has no endpoint's key"));
    for odd in [&[("mode", "unpin")][..], &[("item", "srv"), ("mode", "forget")]] {
        assert_eq!(asks(&mut world, session, odd).unwrap_err().reason, Reason::Malformed, "{odd:?}");
    }
    let key = pinned(&mut world, session, "srv");
    let cases = [
        ("pin_jump_client = \"yes\"", "pin_jump_client = \"no\"", "P6.3", "default"),
        (", \"jump_client\"]", "]", "P6.3", "user:ana"),
        ("ana = \"operator\"", "ana = \"viewer\"", "P8.1", "jump_group:servers"),
    ];
    for (was, is, rule, source) in cases {
        world.apply_site(&site());
        let open = unpins(&mut world, session, "srv").unwrap();
        world.apply_site(&site().replace(was, is));
        let refused = unpins(&mut world, session, "srv").unwrap_err();
        assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, rule), "{is}");
        assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::PinJumpClient), Some(source)), "{is}");
        // Nor is what was asked for before taken up.
        assert_eq!(reason(&takes_up(&mut world, session, open, key)), Reason::OpenGone, "{is}");
    }
    world.apply_site(&site());
    assert_eq!(gone(&world), []);

    // In a session on one item another is not unpinned.
    world.rep("ana", Command::End { session }).unwrap();
    let (kiosk, other) = (item(&world, "kiosk"), world.secret());
    world.system(Command::MakeItemKey { item: kiosk, key: other }).unwrap();
    let (session, _) = jumped(&mut world, key);
    let refused = unpins(&mut world, session, "kiosk").unwrap_err();
    assert_eq!((refused.reason, refused.message.as_str()), (Reason::WrongState, "this session runs on another item"));
}

/// Ana may ask for it, by the right of the session alone; `prompt` is the site's.
fn unattended(prompt: &str) -> String {
    let site = jumps::site("operator", "viewer").replace("record = \"with_consent\"", "unattended = \"yes\"");
    let house = "webcam = \"both\" }\n";
    assert!(site.contains(house));
    site.replace(house, &format!("{house}prompt = {{ {prompt} }}\n"))
}

fn asks_for_later(world: &mut World, session: SessionId) -> Result<(OpenId, Option<PromptId>), Refusal> {
    match world.open("ana", session, Tool::Unattended, &[("item", text("srv"))])? {
        Outcome::Opening { open, prompt } => Ok((open, prompt)),
        other => panic!("{other:?}"),
    }
}

/// The customer said yes, and its end took it up.
fn allowed(world: &mut World, session: SessionId) -> SecretHash {
    let (open, prompt) = asks_for_later(world, session).expect("may ask");
    let prompt = prompt.expect("it is asked");
    world.customer(session, Command::Answer { session, prompt, allow: true }).expect("waits");
    let key = world.secret();
    takes_up(world, session, open, key).expect("was offered");
    key
}

fn consent(world: &World) -> Option<Consent> {
    world.engine.state().item_keys.consent(item(world, "srv")).copied()
}

#[test]
fn p3_25_p4_4_lr_047_the_customer_is_always_asked_and_silence_lets_nobody_come() {
    // Whatever the policy says of prompts, and whatever was answered before.
    for prompt in [
        "mode = \"never\"",
        "mode = \"per_tool\", tools = [\"shell\"], answer = \"allow\"",
        "mode = \"always\", once = true",
    ] {
        let mut world = World::of(&unattended(prompt));
        let session = world.serve(None, present());
        world.opened("ana", session, Tool::Shell, &[]);
        for allow in [true, false] {
            let (open, prompt) = asks_for_later(&mut world, session).unwrap();
            let prompt = prompt.expect("it is asked each time");
            let asked = &world.engine.state().tools.session(session).unwrap().prompts[&prompt];
            assert_eq!((&asked.tools[..], asked.silence_allows), (&[Tool::Unattended][..], false));
            world.customer(session, Command::Answer { session, prompt, allow }).unwrap();
            let taken = {
                let key = world.secret();
                takes_up(&mut world, session, open, key)
            };
            assert_eq!(taken.is_ok(), allow);
            if allow {
                let root = Actor::Admin(world.user("root"));
                let revoke = Command::RevokeItemKey { item: item(&world, "srv") };
                world.act(root, None, revoke).unwrap();
            }
        }
    }
    // Silence denies, and so does a machine at which nobody sits, also where the policy's answer is to allow.
    let silent = unattended("mode = \"always\", answer = \"allow\", timeout_s = 20");
    let mut world = World::of(&silent);
    let session = world.serve(None, present());
    asks_for_later(&mut world, session).unwrap();
    world.words();
    world.wait(20);
    assert_eq!(world.words(), "prompt 1 denied by timeout\nopen 1 refused: prompt_denied");
    let mut world = World::of(&silent);
    let session = world.serve(None, absent());
    asks_for_later(&mut world, session).unwrap();
    assert!(world.words().ends_with("prompt 1 denied by nobody\nopen 1 refused: prompt_denied"));
    assert_eq!(consent(&world), None);

    // A colleague who asks meanwhile is answered for itself.
    let site = unattended("mode = \"never\"").replace("bob = \"viewer\"", "bob = \"operator\"");
    let site =
        site.replace("[\"support\", \"accept_from_queue\"]", "[\"support\", \"accept_from_queue\", \"jump_shell\"]");
    let mut world = World::of(&site.replace("policy_attended = \"viewer\"\n", ""));
    let session = world.serve(None, present());
    world.joined("bob", session);
    let (_, first) = asks_for_later(&mut world, session).unwrap();
    let args = [("item", text("srv"))];
    let Ok(Outcome::Opening { prompt: second, .. }) = world.open("bob", session, Tool::Unattended, &args) else {
        panic!("he may ask")
    };
    assert!(second.is_some() && first != second);
}

#[test]
fn p3_25_lr_047_what_the_customer_allowed_is_kept_with_the_key_and_takes_the_right_of_the_session_alone() {
    let mut world = World::of(&unattended("mode = \"never\""));
    let session = world.serve(None, present());
    world.wait(5);
    let key = allowed(&mut world, session);
    let given = Consent { session, rep: world.user("ana"), at: Time(5_000) };
    assert_eq!(consent(&world), Some(given));
    let kept = rmp_serde::to_vec_named(&world.engine.state().item_keys).unwrap();
    let again: ItemKeys = rmp_serde::from_slice(&kept).unwrap();
    assert_eq!(again.consent(item(&world, "srv")), Some(&given), "in a snapshot too");
    let refused = asks_for_later(&mut world, session).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::WrongState, "P3.25"), "it has a key");

    // Another key is not what the customer allowed.
    let (srv, other) = (item(&world, "srv"), world.secret());
    world.system(Command::MakeItemKey { item: srv, key: other }).unwrap();
    assert_eq!(consent(&world), None);
    assert_eq!(stands_by(&mut world, key).unwrap_err().reason, Reason::KeyGone);

    for (was, is, rule, source) in [
        ("unattended = \"yes\"", "unattended = \"no\"", "P6.3", "default"),
        ("ana = \"operator\"", "ana = \"viewer\"", "P8.1", "jump_group:servers"),
    ] {
        let site = unattended("mode = \"never\"");
        let mut world = World::of(&site);
        let session = world.serve(None, present());
        let (open, prompt) = asks_for_later(&mut world, session).unwrap();
        world.apply_site(&site.replace(was, is));
        let refused = asks_for_later(&mut world, session).unwrap_err();
        assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, rule), "{is}");
        assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::Unattended), Some(source)), "{is}");
        if let Some(prompt) = prompt {
            let _ = world.customer(session, Command::Answer { session, prompt, allow: true });
        }
        let key = world.secret();
        assert_eq!(reason(&takes_up(&mut world, session, open, key)), Reason::OpenGone, "{is}");
    }
    let mut world = World::of(&unattended("mode = \"never\""));
    let session = world.serve(None, present());
    let none = world.open("ana", session, Tool::Unattended, &[]);
    assert_eq!(reason(&none), Reason::Malformed, "there would be nothing to keep");
}

#[test]
fn p3_25_p4_6_lr_047_it_is_taken_back_by_whoever_is_at_the_endpoint_and_by_administrators_and_whoever_unpins() {
    for by in ["endpoint", "administrator", "unpin", "stop", "stop all"] {
        let site = unattended("mode = \"never\"").replace("webcam = \"both\"", "pin_jump_client = \"yes\"");
        let mut world = World::of(&site.replace("\"jump_shell\"]", "\"jump_shell\", \"jump_client\"]"));
        let first = world.serve(None, present());
        let key = allowed(&mut world, first);
        let (session, way_back) = jumped(&mut world, key);
        let (srv, root) = (item(&world, "srv"), Actor::Admin(world.user("root")));
        let revoke = Command::RevokeItemKey { item: srv };

        // Nobody else does.
        assert_eq!(reason(&world.rep("ana", revoke.clone())), Reason::NotPermitted);
        for party in [Party::Customer(session), Party::JumpClient(JumpItemId(99))] {
            assert_eq!(reason(&world.act(Actor::Party(party), None, revoke.clone())), Reason::NotPermitted);
        }
        // What is stopped in a later session there is that session's.
        world.customer(session, Command::TakeBack { session, tool: None }).unwrap();
        assert!(consent(&world).is_some() && world.engine.state().stands_by(srv));

        match by {
            "endpoint" => drop(world.act(Actor::Party(Party::JumpClient(srv)), Some(7), revoke).unwrap()),
            "administrator" => drop(world.act(root, None, revoke).unwrap()),
            "unpin" => {
                let open = unpins(&mut world, session, "srv").unwrap();
                takes_up(&mut world, session, open, key).unwrap();
            }
            stop => {
                let tool = (stop == "stop").then_some(Tool::Unattended);
                world.customer(first, Command::TakeBack { session: first, tool }).unwrap();
            }
        }
        assert_eq!(consent(&world), None, "{by}");
        assert!(!world.engine.state().stands_by(srv), "{by}");
        assert_eq!(stands_by(&mut world, key).unwrap_err().reason, Reason::KeyGone, "{by}");
        let (presented, resume) = (way_back, world.secret());
        assert_eq!(reason(&world.system(Command::Reattach { presented, resume })), Reason::TokenGone, "{by}");
        // Only who unpins stays in the session on it.
        assert_eq!(world.engine.state().session(session).is_some(), by == "unpin", "{by}");
        assert!(world.engine.state().session(first).is_some(), "{by}");
        if by == "unpin" {
            world.rep("ana", Command::End { session }).unwrap();
        }
        let jump = Command::Jump { item: srv, join: None, by_endpoint: true };
        assert_eq!(reason(&world.rep("ana", jump)), Reason::NotStandingBy, "{by}");
        assert_eq!(reason(&world.act(root, None, Command::RevokeItemKey { item: srv })), Reason::WrongState, "{by}");
        // It may be asked for again.
        allowed(&mut world, first);
    }
}
