//! LR-052: a rep looks through one camera at a time, in whichever sessions the tool is opened (R1.4).

use crate::world::*;
use equipoise::{
    engine::{Command, Reason},
    ids::*,
    policy::Tool,
    site::SessionKind,
};

fn world() -> World {
    World::of(&SITE.replacen("record = \"with_consent\"", "lens = \"yes\", record = \"with_consent\"", 1))
}

fn refused(world: &mut World, name: &str, session: SessionId) {
    let refusal = world.open(name, session, Tool::Lens, &[]).expect_err("one camera is open already");
    assert_eq!((refusal.reason, refusal.rule.as_str()), (Reason::LimitReached, "R1.4"));
}

#[test]
fn lr_052_r1_4_the_camera_of_a_second_session_waits_until_the_first_is_closed() {
    let mut world = world();
    let (one, two) = (world.serve(None, present()), world.serve(None, present()));
    let channel = world.opened("ana", one, Tool::Lens, &[]).remove(0).channel;
    refused(&mut world, "ana", two);
    refused(&mut world, "ana", one);
    // Another rep has a camera of their own.
    world.joined("lea", two);
    world.opened("lea", two, Tool::Lens, &[]);
    world.system(Command::ChannelEnded { channel, reason: "finished".into() }).unwrap();
    world.opened("ana", two, Tool::Lens, &[]);
}

#[test]
fn lr_052_r1_4_one_that_is_asked_for_counts() {
    let mut world = world();
    let (one, two) = (world.serve(None, present()), world.serve(None, present()));
    world.open("ana", one, Tool::Lens, &[]).expect("the first");
    refused(&mut world, "ana", two);
}

#[test]
fn lr_052_r1_4_a_lens_session_elsewhere_counts_and_its_own_camera_opens() {
    let mut world = world();
    let support = world.serve(None, present());
    let (lens, join) = world.asked("net", SessionKind::Lens);
    assert_eq!(world.redeem(join, None, present()).unwrap(), lens);
    world.rep("ana", Command::Take { session: lens }).unwrap();
    refused(&mut world, "ana", support);
    world.opened("ana", lens, Tool::Lens, &[]);
}
