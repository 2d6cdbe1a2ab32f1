//! The file manager between a real agent and a real console (P3.9).

use super::place::{self, Place, SITE};
use bytes::Bytes;
use equipoise::{
    agent::Allow,
    client::Happening,
    limits,
    wire::{
        Do, Ev, Flags, Kind,
        control::{Open, Value},
    },
};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn p3_9_a_rep_browses_and_manages_below_the_shared_directory() {
    let place = Place::open(SITE).await;
    let share = place.folder("share");
    std::fs::write(share.join("a.txt"), b"12345").unwrap();
    std::os::unix::fs::symlink(place.folder("outside"), share.join("way-out")).unwrap();
    std::fs::write(place.path("outside/kept"), b"kept").unwrap();
    let (mut customer, mut rep) = place.serving(Allow::All, &share).await;
    let at = |name: &str| share.join(name).display().to_string();

    rep.line(&format!("ls {}", at("")), "5  a.txt\n").await;
    rep.until("way-out@").await;
    rep.line(&format!("mkdir {}", at("new-dir")), "is made").await;
    rep.line(&format!("mv {} {}", at("a.txt"), at("new-dir/b.txt")), "new-dir/b.txt\n").await;
    rep.line(&format!("ls {}", at("new-dir")), "5  b.txt").await;
    assert_eq!(std::fs::read(share.join("new-dir/b.txt")).unwrap(), b"12345");

    rep.line(&format!("rm {}", at("new-dir")), "not_empty").await;
    rep.line(&format!("mv {} {}", at("new-dir/b.txt"), at("new-dir")), "exists").await;
    rep.line(&format!("rm {}", at("none")), "not_found").await;
    rep.line(&format!("rm {}", at("")), "path_refused").await;
    rep.line(&format!("ls {}", at("way-out")), "path_refused").await;
    rep.line(&format!("rm {}", at("way-out/kept")), "path_refused").await;
    rep.line(&format!("mv {} {}", at("new-dir/b.txt"), place.path("outside/x").display()), "path_refused").await;
    rep.line(&format!("ls {}/../outside", at("new-dir")), "path_refused").await;
    assert_eq!(place::names(&place.path("outside")), ["kept"]);

    rep.line(&format!("rm {}", at("new-dir/b.txt")), "is deleted").await;
    rep.line(&format!("rm {}", at("new-dir")), "is deleted").await;
    rep.line(&format!("rm {}", at("way-out")), "is deleted").await;
    assert!(place::names(&share).is_empty());
    assert_eq!(place::names(&place.path("outside")), ["kept"]);
    assert!(customer.seen().contains("Ana wants to delete"), "{}", customer.seen());
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_9_who_may_only_browse_changes_nothing() {
    let place = Place::open(&SITE.replace("file_manager = \"manage\"", "file_manager = \"browse\"")).await;
    let share = place.folder("share");
    std::fs::write(share.join("a"), b"1").unwrap();
    let (mut customer, mut rep) = place.serving(Allow::All, &share).await;
    let at = |name: &str| share.join(name).display().to_string();
    rep.line(&format!("ls {}", at("")), "1  a").await;
    for denied in [format!("rm {}", at("a")), format!("mkdir {}", at("b")), format!("mv {} {}", at("a"), at("c"))] {
        rep.line(&denied, "permission `file_manager` by default").await;
    }
    assert_eq!(place::names(&share), ["a"]);
    assert!(!customer.seen().contains("delete"), "the endpoint was not even asked");
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_8_only_listed_directories_are_managed() {
    let place = Place::open(&SITE.replace("customer_paths = \"any\"", "customer_paths = [\"/srv/listed\"]")).await;
    let share = place.folder("share");
    let (mut customer, mut rep) = place.serving(Allow::All, &share).await;
    rep.line(&format!("ls {}", share.display()), "no listed directory covers this path").await;
    assert!(!customer.seen().contains("look into"), "the endpoint was not even asked");
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_72_a_link_swapped_in_while_a_file_comes_gets_nothing() {
    let place = Place::open(SITE).await;
    let (share, elsewhere) = (place.folder("share"), place.folder("elsewhere"));
    let inside = place.folder("share/in");
    let file = place.random_file("up", 24_000_000);
    let mut customer = place.customer(equipoise::client::Transport::Ws, Allow::All, &share).await;
    let put = format!("accept; put {} {}; end", file.display(), inside.join("stored").display());
    let mut rep = place.rep(equipoise::client::Transport::Ws, Some(&put));
    place::until_some(|| {
        let partial = place::names(&inside).into_iter().find(|name| name.contains(".part-"))?;
        (std::fs::metadata(inside.join(partial)).ok()?.len() > 500_000).then_some(())
    })
    .await;
    std::fs::rename(&inside, share.join("was-in")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &inside).unwrap();
    rep.left().await.unwrap_or_else(|error| panic!("{error}\n{}\n{}", rep.seen(), customer.seen()));
    customer.ended().await.unwrap();
    assert!(place::names(&elsewhere).is_empty(), "the link was followed");
    assert!(std::fs::read(share.join("was-in/stored")).unwrap() == std::fs::read(&file).unwrap());
    place.close().await;
}

/// A rep whose client keeps to nothing it says.
#[tokio::test(flavor = "multi_thread")]
async fn h_68_more_bytes_than_were_declared_end_the_channel_and_leave_nothing_behind() {
    let place = Place::open(SITE).await;
    let share = place.folder("share");
    let mut customer = place.customer(equipoise::client::Transport::Ws, Allow::All, &share).await;
    let (rep, mut happenings) = place.bare_rep().await;
    let session = loop {
        if let Happening::Ev { ev: Ev::Offer { session, .. }, .. } =
            happenings.recv().await.expect("the session is offered")
        {
            break session;
        }
    };
    rep.act(Do::Accept { session }).await.unwrap();
    for size in [4, limits::INTEGER_MAX.cast_signed(), -1] {
        let args = [
            ("direction", Value::Text("upload".into())),
            ("path", Value::Text(share.join("up").display().to_string())),
            ("size", Value::Int(size)),
        ];
        let args: BTreeMap<String, Value> = args.map(|(name, value)| (name.to_owned(), value)).into();
        let asked = rep.act(Do::Open(Open { session, tool: "file_transfer".into(), args })).await;
        if size < 0 {
            asked.expect_err("no file has less than nothing");
            continue;
        }
        asked.unwrap();
        let opened = loop {
            match happenings.recv().await.expect("the endpoint answers") {
                Happening::Ev { ev: Ev::Opened(opened), .. } => break Some(opened),
                Happening::Ev { ev: Ev::RefusedOpen { refused, .. }, .. } => {
                    assert!(refused.message.contains("disk_full"), "{refused:?}");
                    break None;
                }
                _ => {}
            }
        };
        assert_eq!(opened.is_some(), size == 4, "no disk holds so much");
        let Some(opened) = opened else { continue };
        let channel = opened.channels[0].channel;
        let mut writer = rep.writer(&opened.channels[0]);
        writer.write(Kind::File, Flags::default(), Bytes::from_static(b"five!")).await.unwrap();
        let mut failed = false;
        loop {
            match happenings.recv().await.expect("the channel is closed") {
                Happening::Ev { ev: Ev::Noted { channel: noted, facts, .. }, .. } if noted == channel => {
                    failed |= matches!(facts.get("failed"), Some(Value::Text(why)) if why.starts_with("too_large"));
                }
                Happening::Ev { ev: Ev::Closed { channel: closed, .. }, .. } if closed == channel => break,
                _ => {}
            }
        }
        assert!(failed, "the endpoint says why");
    }
    assert!(place::names(&share).is_empty(), "{:?}", place::names(&share));
    rep.act(Do::End { session }).await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}
