//! LR-022: a machine that was told to start again is waited for longer, and BU-132: for how long is the site's.

use crate::world::*;
use equipoise::{
    engine::Command,
    ids::*,
    policy::Tool,
    time::{Span, Time},
};

fn site() -> String {
    SITE.replacen("record = \"with_consent\"", "reboot = \"yes\", record = \"with_consent\"", 1)
}

fn lose(world: &mut World, session: SessionId, epoch: u32) {
    let lost = Command::Lost { party: Party::Customer(session), epoch: AttachEpoch(epoch) };
    world.system(lost).expect("it was there");
}

fn there(world: &World, session: SessionId) -> bool {
    world.engine.state().session(session).is_some()
}

/// The machine of this session takes the order to start again.
fn told(world: &mut World, session: SessionId) {
    assert!(world.opened("ana", session, Tool::Reboot, &[]).is_empty(), "it has no channel");
}

fn served(site: &str) -> (World, SessionId) {
    let mut world = World::of(site);
    let session = world.serve(None, present());
    (world, session)
}

#[test]
fn lr_022_a_machine_that_starts_again_is_waited_for_half_an_hour_from_when_it_was_told() {
    let (mut world, session) = served(&site());
    told(&mut world, session);
    assert!(!world.engine.state().sessions[&session].reboots(), "it is there still");
    world.wait(20);
    lose(&mut world, session, 1);
    assert!(world.engine.state().sessions[&session].reboots());
    world.wait(1_779);
    assert!(there(&world, session));
    world.wait(1);
    assert!(!there(&world, session));
}

#[test]
fn lr_022_without_a_reboot_and_after_it_the_usual_time_counts() {
    let (mut world, session) = served(&site());
    lose(&mut world, session, 1);
    world.wait(299);
    assert!(there(&world, session));
    world.wait(1);
    assert!(!there(&world, session));

    // It comes back, and is lost again.
    let mut world = World::of(&site());
    world.log_in("ana");
    let (key, presented, resume) = (world.key("ana", "net"), world.secret(), world.secret());
    let customer = equipoise::engine::command::Customer { client: present(), ..Default::default() };
    world.system(Command::Redeem { key, portal: None, customer, resume: presented }).unwrap();
    let session = *world.engine.state().sessions.keys().next().unwrap();
    world.rep("ana", Command::Take { session }).unwrap();
    told(&mut world, session);
    lose(&mut world, session, 1);
    world.wait(600);
    world.system(Command::Reattach { presented, resume }).expect("the machine is back");
    assert!(world.engine.state().sessions[&session].rebooting.is_none());
    lose(&mut world, session, 2);
    world.wait(300);
    assert!(!there(&world, session));
}

#[test]
fn lr_022_one_that_never_went_is_not_waited_for_later() {
    let (mut world, session) = served(&site());
    told(&mut world, session);
    world.now = world.now + Span::minutes(60);
    lose(&mut world, session, 1);
    world.wait(299);
    assert!(there(&world, session));
    world.wait(1);
    assert!(!there(&world, session));
}

#[test]
fn bu_132_lr_022_both_times_are_the_sites_and_are_edited_live() {
    let text = site().replace("[options]", "[options]\nreconnect_timeout_s = 60\nreboot_timeout_s = 120");
    let (mut world, session) = served(&text);
    lose(&mut world, session, 1);
    world.wait(60);
    assert!(!there(&world, session));

    let (mut world, session) = served(&site());
    told(&mut world, session);
    lose(&mut world, session, 1);
    world.wait(100);
    world.apply_site(&text);
    world.wait(19);
    assert!(there(&world, session));
    world.wait(1);
    assert!(!there(&world, session), "two minutes from when it was told");
}

#[test]
fn lr_022_a_broker_that_died_meanwhile_knows_of_it() {
    let (mut world, session) = served(&site());
    told(&mut world, session);
    world.wait(20);
    // The fold of the journal is compared as the world goes; what follows a restart is this.
    world.system(Command::LoseConnections).unwrap();
    assert!(world.engine.state().sessions[&session].reboots());
    world.wait(1_700);
    assert!(there(&world, session));
    assert!(world.now < Time(0) + Span::minutes(30));
    world.wait(80);
    assert!(!there(&world, session));
}
