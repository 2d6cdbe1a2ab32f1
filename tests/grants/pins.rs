//! Keys that the endpoint of a session draws for a jump item and gives up again (P3.17): by whom, in which session, and what
//! becomes of whoever came by them.

use crate::{jumps, world::*};
use equipoise::{
    engine::{Actor, Command, Event, Outcome, Reason, Refusal},
    ids::*,
    policy::Tool,
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
