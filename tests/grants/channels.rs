//! W1.1: what the channels of each tool are, and who reads along.

use crate::world::*;
use equipoise::{
    engine::{Command, Reason},
    policy::Tool,
    wire::control::{Class, Value},
};
use expect_test::expect;

#[test]
fn w1_1_the_channels_of_the_tools() {
    let (mut world, session) = World::serving(None);
    world.joined("lea", session);
    world.opened("ana", session, Tool::Shell, &[("cols", Value::Int(80)), ("rows", Value::Int(24))]);
    world.opened("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
    world.opened("ana", session, Tool::Chat, &[]);
    world.opened("lea", session, Tool::Chat, &[]);
    world.opened("ana", session, Tool::FileTransfer, &upload("/tmp/a"));
    world.opened("ana", session, Tool::FileTransfer, &download("/tmp/a"));
    world.opened("ana", session, Tool::Clipboard, &[("direction", text("customer_to_rep"))]);
    world.opened("ana", session, Tool::SystemInfo, &[]);
    world.opened("customer", session, Tool::Webcam, &[]);
    let using = world.engine.state().tools.session(session).unwrap();
    let lines: Vec<String> = using
        .channels
        .values()
        .map(|channel| {
            let spec = &channel.spec;
            let readers: Vec<String> = spec.readers.iter().map(ToString::to_string).collect();
            let lossy = if spec.lossy { " lossy" } else { "" };
            format!("{}: {}>{} {:?}{lossy}", channel.tool.name(), spec.writer, readers.join(","), spec.class)
        })
        .collect();
    expect![[r#"
        shell: 0>1,2 Shell
        shell: 1>0 Input
        screen: 0>1,2 Picture lossy
        screen: 1>0 Input
        chat: 0>1,2 Input
        chat: 1>0,2 Input
        chat: 2>0,1 Input
        file_transfer: 1>0 File
        file_transfer: 0>1 File
        clipboard: 0>1 Input
        system_info: 0>1 File
        webcam: 0>1,2 Picture lossy"#]]
    .assert_eq(&lines.join("\n"));
    assert!(using.channels.values().all(|channel| channel.spec.lossy == (channel.spec.class == Class::Picture)));
}

#[test]
fn w1_2_channel_ids_are_unique_in_the_site_and_never_used_again() {
    let (mut world, first) = World::serving(None);
    world.opened("ana", first, Tool::Chat, &[]);
    let key = world.key("ana", "net");
    let second = world.redeem(key, None, present()).unwrap();
    world.rep("ana", Command::Take { session: second }).unwrap();
    world.rep("ana", Command::End { session: first }).unwrap();
    let channels = world.opened("ana", second, Tool::Chat, &[]);
    assert_eq!(channels.iter().map(|spec| spec.channel.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(world.engine.state().tools.session_of(channels[0].channel), Some(second));
}

#[test]
fn w1_1_who_joins_reads_along_what_it_may_see() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Shell, &[]);
    world.opened("ana", session, Tool::Screen, &[("control", Value::Bool(true))]);
    world.opened("ana", session, Tool::Chat, &[]);
    world.opened("ana", session, Tool::FileTransfer, &download("/tmp/a"));
    world.joined("bob", session);
    expect![[r#"
        channel 3 read by 2
        channel 5 read by 2
        channel 6 read by 2"#]]
    .assert_eq(&world.words());
}

#[test]
fn p3_18_a_chat_has_one_channel_for_each_writer() {
    let (mut world, session) = World::serving(None);
    world.opened("customer", session, Tool::Chat, &[]);
    assert_eq!(reason(&world.open("ana", session, Tool::Chat, &[])), Reason::WrongState);
    assert_eq!(reason(&world.open("customer", session, Tool::Chat, &[])), Reason::WrongState);
    world.joined("lea", session);
    let channels = world.opened("lea", session, Tool::Chat, &[]);
    assert_eq!(channels.len(), 1, "the customer's channel is there");
    assert_eq!(world.channels(session), 3);
}
