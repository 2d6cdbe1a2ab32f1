//! The two ends of a session against a real broker: a real shell on a pseudo-terminal, real files, both transports.
#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod acts;
#[cfg(feature = "desktop")]
mod desktop;
mod history;
mod jobs;
mod jumps;
mod manager;
mod notices;
mod outside;
mod passwords;
mod place;
mod shows;

use equipoise::{agent::Allow, client::Transport};
use place::{Place, SITE};
use std::path::Path;

async fn the_story(rep: Transport, customer: Transport) {
    let place = Place::open(SITE).await;
    let share = place.folder("share");
    let file = place.random_file("up", 3_000_000);
    let mut customer = place.customer(customer, Allow::All, &share).await;
    let script = format!(
        "accept; shell: echo $((6*7)) from the shell; put {up} {to}; get {to} {down}; info; chat good day; \
         screen --control --save {picture} --pictures 3; end",
        up = file.display(),
        to = share.join("stored").display(),
        down = place.path("down").display(),
        picture = place.path("picture.png").display(),
    );
    let mut rep = place.rep(rep, Some(&script));
    rep.left().await.unwrap_or_else(|error| panic!("{error}\n{}\n{}", rep.seen(), customer.seen()));
    customer.ended().await.unwrap();

    let sent = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::read(share.join("stored")).unwrap(), sent, "{}", customer.seen());
    assert_eq!(std::fs::read(place.path("down")).unwrap(), sent, "{}", rep.seen());
    assert_eq!(place::names(&share), ["stored"]);
    let seen = rep.seen();
    assert!(seen.contains("42 from the shell"), "{seen}");
    assert!(seen.contains(&place::sha256(&sent)), "{seen}");
    assert!(seen.contains("\"arch\""), "{seen}");
    assert!(seen.contains("pictures of 320×200"), "{seen}");
    assert!(std::fs::read(place.path("picture.png")).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    let seen = customer.seen();
    assert!(seen.contains("Ana: good day"), "{seen}");
    assert!(seen.contains("With you: Ana."), "{seen}");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_over_websocket() {
    the_story(Transport::Ws, Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_over_quic() {
    the_story(Transport::Quic, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_with_the_ends_on_different_transports() {
    the_story(Transport::Ws, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_3_a_denied_tool_names_the_permission_and_the_layer() {
    let place = Place::open(&SITE.replace("shell = \"yes\"", "shell = \"no\"")).await;
    let mut customer = place.customer(Transport::Ws, Allow::All, &place.folder("share")).await;
    let mut rep = place.rep(Transport::Ws, Some("accept; shell: id"));
    rep.left().await.expect_err("the shell is not allowed");
    let seen = rep.seen();
    assert!(seen.contains("permission `shell` by default"), "{seen}");
    assert!(!customer.seen().contains("command line"), "the endpoint was not even asked");
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_the_customer_answers_on_the_terminal_and_takes_back() {
    let place = Place::open(&SITE.replace("mode = \"never\"", "mode = \"always\"")).await;
    let mut customer = place.customer(Transport::Ws, Allow::Ask, &place.folder("share")).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.until("accept or reject").await;
    rep.type_in("accept\n").await;
    rep.until("you serve").await;
    rep.type_in("shell: id\n").await;
    customer.until("Allow? [y/N]").await;
    customer.type_in("n").await;
    rep.until("prompt_denied").await;

    rep.type_in("shell\n").await;
    customer.until("Allow? [y/N]").await;
    customer.type_in("y").await;
    rep.type_in("echo $((40+2))-here\n").await;
    rep.until("42-here").await;
    customer.type_in("who").await;
    customer.until("With you: Ana").await;
    customer.until("Ana can use a command line").await;
    customer.type_in("stop").await;
    customer.until("Stopped.").await;
    rep.until("the shell was closed").await;

    rep.type_in("shell: id\n").await;
    customer.until("Allow? [y/N]").await;
    customer.leave().await.unwrap();
    rep.until("is gone").await;
    rep.type_in("quit\n").await;
    rep.left().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lr_028_the_customer_is_asked_at_each_action_and_told_that_it_is_for_once() {
    let place = Place::open(&SITE.replace("mode = \"never\"", "mode = \"always\", each = true")).await;
    let (mut customer, mut rep) = place.serving(Allow::Ask, &place.folder("share")).await;
    for answer in ["y", "n"] {
        rep.type_in("shell: echo $((40+2))-here\n").await;
        customer.until("Allow this once? [y/N]").await;
        customer.type_in(answer).await;
        rep.until(if answer == "y" { "42-here" } else { "prompt_denied" }).await;
    }
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_5_where_nobody_sits_no_prompt_is_shown_and_the_default_answers() {
    for (answer, seen) in [("allow", "42-here"), ("deny", "prompt_denied")] {
        let prompt = format!("mode = \"always\", timeout_s = 3600, answer = \"{answer}\"");
        let place = Place::open(&SITE.replace("mode = \"never\"", &prompt)).await;
        let attended = place.options(Transport::Ws, Allow::Ask, &place.folder("share")).await;
        let options = equipoise::agent::Options { unattended: true, ..attended };
        let (mut customer, mut rep) = place.serving_with(options).await;
        rep.line("shell: echo $((40+2))-here", seen).await;
        assert!(!customer.seen().contains("Allow?"), "{}", customer.seen());
        rep.type_in("end\nquit\n").await;
        rep.left().await.unwrap();
        customer.ended().await.unwrap();
        assert!(!customer.seen().contains("Allow?"), "{}", customer.seen());
        place.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_2_what_may_not_be_written_is_refused_and_leaves_nothing() {
    let place = Place::open(SITE).await;
    let share = place.folder("share");
    std::fs::write(share.join("kept"), b"kept").unwrap();
    std::os::unix::fs::symlink(place.folder("outside"), share.join("way-out")).unwrap();
    let file = place.random_file("up", 10_000);
    let mut customer = place.customer(Transport::Ws, Allow::All, &share).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.until("accept or reject").await;
    rep.type_in("accept\n").await;
    rep.until("you serve").await;
    let put = |to: &Path, more: &str| format!("put {} {} {more}\n", file.display(), to.display());

    rep.type_in(&put(&share.join("kept"), "")).await;
    rep.until("exists:").await;
    rep.type_in(&put(&place.path("outside/x"), "")).await;
    rep.until("path_refused:").await;
    rep.type_in(&put(&share.join("way-out/x"), "")).await;
    rep.until("path_refused:").await;
    rep.type_in(&put(&share.join("no-such/x"), "")).await;
    rep.until("not_found:").await;
    rep.type_in(&format!("get {} {}\n", share.join("no-such").display(), place.path("down").display())).await;
    rep.until("not_found:").await;
    assert_eq!(std::fs::read(share.join("kept")).unwrap(), b"kept");
    assert_eq!(place::names(&share), ["kept", "way-out"]);
    assert!(place::names(&place.path("outside")).is_empty());
    assert!(!place.path("down").exists());
    assert!(place::names(&place.path("")).iter().all(|name| !name.contains(".part-")));

    rep.type_in(&put(&share.join("kept"), "--overwrite")).await;
    rep.until("sent 10000 bytes").await;
    assert_eq!(std::fs::read(share.join("kept")).unwrap(), std::fs::read(&file).unwrap());
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w6_1_ctrl_c_overtakes_a_flood() {
    let place = Place::open(SITE).await;
    let mut customer = place.customer(Transport::Ws, Allow::All, &place.folder("share")).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.until("accept or reject").await;
    rep.type_in("accept\n").await;
    rep.until("you serve").await;
    rep.type_in("shell\n").await;
    rep.type_in("yes flood\n").await;
    rep.until(&"flood\r\n".repeat(2_000)).await;
    rep.type_in("\x03").await;
    rep.until("^C").await;
    rep.type_in("echo $((40+2))-after\n").await;
    rep.until("42-after").await;
    rep.type_in("exit\n").await;
    rep.until("the shell ended").await;
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_5_a_session_goes_on_over_another_transport() {
    let place = Place::open(SITE).await;
    let mut customer = place.customer(Transport::Ws, Allow::All, &place.folder("share")).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.until("accept or reject").await;
    rep.type_in("accept\n").await;
    rep.until("you serve").await;
    rep.type_in("chat before\n").await;
    customer.until("Ana: before").await;
    for transport in ["quic", "ws"] {
        rep.type_in(&format!("switch {transport}\n")).await;
        rep.until(&format!("on {transport}")).await;
        rep.type_in(&format!("chat after {transport}\n")).await;
        customer.until(&format!("Ana: after {transport}")).await;
        customer.type_in(&format!("heard {transport}")).await;
        rep.until(&format!("Bo: heard {transport}")).await;
    }
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_4_a_transfer_outlives_the_broker() {
    let mut place = Place::open(SITE).await;
    let share = place.folder("share");
    let file = place.random_file("up", 24_000_000);
    let mut customer = place.customer(Transport::Ws, Allow::All, &share).await;
    let put = format!("accept; put {} {}; end", file.display(), share.join("stored").display());
    let mut rep = place.rep(Transport::Ws, Some(&put));
    place::until_some(|| {
        let partial = place::names(&share).into_iter().find(|name| name.contains(".part-"))?;
        let written = std::fs::metadata(share.join(partial)).ok()?.len();
        (written > 500_000).then_some(())
    })
    .await;
    place.restart().await;
    rep.left().await.unwrap_or_else(|error| panic!("{error}\n{}\n{}", rep.seen(), customer.seen()));
    customer.ended().await.unwrap();
    assert!(std::fs::read(share.join("stored")).unwrap() == std::fs::read(&file).unwrap(), "the file differs");
    assert!(rep.seen().contains("connection lost"), "the restart came too late: {}", rep.seen());
    place.close().await;
}
