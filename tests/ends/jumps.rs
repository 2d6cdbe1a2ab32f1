//! An endpoint that stands by, as its owner runs it, and a rep who jumps to it from the console (R2.3, P8).

use crate::place::{Machine, Place, SITE};
use equipoise::{
    agent::{self, AgentError, Allow},
    client::Transport,
    rep::Way,
};
use std::path::PathBuf;

/// Ana may jump to `srv`, and to a router by a shell; `root` makes the keys.
fn site() -> String {
    let ana = "\"support\", \"accept_from_queue\", \"get_next\"";
    let site = SITE.replace(ana, &format!("\"jump_client\", \"jump_shell\", {ana}"));
    format!(
        "{site}\n[[user]]\nusername = \"root\"\npermissions = [\"administrator\"]\n[[jump_item]]\ncode = \"srv\"\n\
         [[jump_item]]\ncode = \"router\"\nmethod = \"jump_shell\"\n"
    )
}

/// As an administrator reads it at the console.
async fn key(place: &Place, item: &str) -> String {
    place.admit("root").await;
    let mut root = place.console(Way::Login("root".into()), Transport::Ws, Some(&format!("itemkey {item}")));
    root.left().await.unwrap();
    let seen = root.seen();
    let key = seen.split("key ").nth(1).and_then(|rest| rest.split(',').next()).map(str::to_owned);
    key.unwrap_or_else(|| panic!("a key in {seen}"))
}

async fn options(place: &Place, item: &str) -> agent::Options {
    let options = place.options(Transport::Ws, Allow::Ask, &place.folder("share")).await;
    agent::Options { key: key(place, item).await, stand_by: true, ..options }
}

async fn stands_by(place: &Place, options: &agent::Options) -> Machine {
    let mut machine = place.machine(options, &["--stand-by"]);
    machine.until("Standing by for").await;
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_3_a_rep_jumps_to_an_endpoint_that_stands_by_again_and_again() {
    let place = Place::open(&site()).await;
    let options = options(&place, "srv").await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("items", "router: away by jump_shell").await;
    rep.line("", "srv: away by jump_client").await;
    rep.line("jump srv", "refused (not_standing_by) [R2.3]").await;
    rep.line("jump elsewhere", "refused (unknown_item) [P8]").await;
    let mut machine = stands_by(&place, &options).await;
    for said in ["one", "two"] {
        rep.line("items srv", "srv: stands by by jump_client").await;
        rep.line("jump srv", "you serve").await;
        machine.until("With you: Ana.").await;
        rep.line(&format!("shell: echo $((40+2))-{said}"), &format!("42-{said}")).await;
        rep.line("info", "\"arch\"").await;
        rep.line("items srv", "srv: in s").await;
        rep.line("end", "ended").await;
        machine.until("Standing by.").await;
    }
    rep.type_in("quit\n").await;
    rep.left().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_3_w3_4_the_endpoint_is_back_in_its_session_after_its_machine_or_the_broker_went_down() {
    let mut place = Place::open(&site()).await;
    let options = options(&place, "srv").await;
    let mut machine = stands_by(&place, &options).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("jump srv", "you serve").await;
    rep.type_in("shell\n").await;
    rep.line("echo $((40+2))-before", "42-before").await;
    place.restart().await;
    // The same shell goes on.
    rep.line("echo $((40+3))-$$-meanwhile", "-meanwhile").await;
    machine.goes_down();
    let mut machine = stands_by(&place, &options).await;
    machine.until("With you: Ana.").await;
    rep.until("the shell was closed").await;
    rep.line("shell: echo $((40+4))-after", "44-after").await;
    rep.line("end", "ended").await;
    machine.until("Standing by.").await;
    // A session that begins while nobody is there, and ends so, leaves nothing behind.
    machine.goes_down();
    let mut machine = stands_by(&place, &options).await;
    rep.line("jump srv", "you serve").await;
    machine.until("With you: Ana.").await;
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_10_bu_081_an_item_of_another_method_is_served_by_what_stands_by_for_it() {
    // Of a shell jump the shell is what the endpoint starts, whatever the policy says of shells.
    let place = Place::open(&site().replace("shell = \"yes\"", "shell = \"no\"")).await;
    let options = options(&place, "router").await;
    let mut machine = stands_by(&place, &options).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("jump router", "you serve").await;
    rep.line("shell: echo $((40+2))-there", "42-there").await;
    rep.type_in("end\nquit\n").await;
    machine.until("Standing by.").await;
    rep.left().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_3_who_is_replaced_or_has_no_key_any_more_says_so_and_ends() {
    let place = Place::open(&site()).await;
    let options = options(&place, "srv").await;
    let mut first = place.standing_with(options.clone()).await;
    let mut second = place.standing_with(options.clone()).await;
    assert!(matches!(first.ended().await, Err(AgentError::Replaced)), "{}", first.seen());
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("jump srv", "you serve").await;
    second.until("With you: Ana.").await;
    key(&place, "srv").await;
    let ended = second.ended().await;
    assert!(matches!(ended, Err(AgentError::Join(_))), "{ended:?}\n{}", second.seen());
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();

    // Ctrl-C while nobody is there.
    let fresh = agent::Options { key: key(&place, "srv").await, ..options };
    let mut third = place.standing_with(fresh).await;
    third.leave().await.unwrap();
    place.close().await;
}

/// An end that allows everything beforehand, and the file in which it keeps the key of an item.
async fn keeps_a_key(place: &Place) -> (agent::Options, PathBuf) {
    let kept = place.path("key");
    let options = place.options(Transport::Ws, Allow::All, &place.folder("share")).await;
    (agent::Options { pin: Some(kept.clone()), ..options }, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_17_bu_128_a_rep_pins_the_customers_machine_and_jumps_to_it_later() {
    let site = site().replace("tools = { screen", "tools = { pin_jump_client = \"yes\", screen");
    let place = Place::open(&site).await;
    let (options, kept) = keeps_a_key(&place).await;
    let (mut customer, mut rep) = place.serving_with(options.clone()).await;
    rep.line("pin elsewhere", "refused (unknown_item) [P8]").await;
    // The key of another item is nobody's to overwrite; and where it cannot be kept, the item has none.
    std::fs::write(&kept, "another").unwrap();
    rep.line("pin srv", "has_pin").await;
    std::fs::remove_file(&kept).unwrap();
    let in_the_way = place.path("key.drawn.new");
    std::fs::create_dir(&in_the_way).unwrap();
    rep.line("pin srv", "refused").await;
    std::fs::remove_dir(&in_the_way).unwrap();
    rep.line("pin srv", "the customer's end keeps the item's key").await;
    customer.until("the key to stand by with is kept here").await;
    rep.line("pin srv", "refused (wrong_state) [P3.17]").await;
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();

    let key = std::fs::read_to_string(&kept).unwrap();
    let mut machine = stands_by(&place, &agent::Options { key, ..options }).await;
    rep.line("jump srv", "you serve").await;
    rep.line("shell: echo $((40+2))-later", "42-later").await;
    rep.type_in("end\nquit\n").await;
    machine.until("Standing by.").await;
    rep.left().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_17_bu_128_a_rep_unpins_the_machine_and_goes_on_with_the_session_until_its_end() {
    let site = site().replace("tools = { screen", "tools = { pin_jump_client = \"yes\", screen");
    let place = Place::open(&site).await;
    let (options, kept) = keeps_a_key(&place).await;
    let (mut customer, mut rep) = place.serving_with(options.clone()).await;
    rep.line("unpin srv", "refused (wrong_state) [P3.17]").await;
    rep.line("pin srv", "the customer's end keeps the item's key").await;
    customer.until("the key to stand by with is kept here").await;
    // The key of another item is not this end's to give up.
    key(&place, "router").await;
    rep.line("unpin router", "other_item").await;
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();

    let key = std::fs::read_to_string(&kept).unwrap();
    let mut machine = place.standing_with(agent::Options { key, stand_by: true, ..options.clone() }).await;
    rep.line("jump srv", "you serve").await;
    machine.until("With you: Ana.").await;
    rep.line("unpin srv", "the item has no key any more").await;
    machine.until("the key to stand by with is good no more").await;
    assert!(!kept.exists(), "and is not kept");
    rep.line("shell: echo $((40+2))-still", "42-still").await;
    rep.line("end", "ended").await;
    machine.until("No longer connected (4510)").await;
    assert!(matches!(machine.ended().await, Err(AgentError::Join(_))), "{}", machine.seen());
    rep.line("items srv", "srv: away").await;

    // It may be pinned again, or another machine.
    let (mut customer, mut rep) = place.serving_with(agent::Options { key: place.key().await, ..options }).await;
    rep.line("pin srv", "the customer's end keeps the item's key").await;
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_25_lr_047_the_customer_lets_a_rep_come_when_nobody_is_there_and_takes_it_back() {
    let site = site().replace("tools = { screen", "tools = { unattended = \"yes\", screen");
    let place = Place::open(&site).await;
    // Everything is allowed beforehand, but for this.
    let (options, kept) = keeps_a_key(&place).await;
    let (mut customer, mut rep) = place.serving_with(options.clone()).await;
    rep.type_in("unattended srv\n").await;
    customer
        .until("connect to this computer later on, when you are not there. Allow until you take it back? [y/N]")
        .await;
    customer.type_in("n").await;
    rep.until("prompt_denied").await;
    assert!(!kept.exists());
    rep.type_in("unattended srv\n").await;
    customer.until("Allow until you take it back? [y/N]").await;
    customer.type_in("y").await;
    rep.until("the customer's end keeps the item's key").await;
    customer.until("the key to stand by with is kept here").await;
    rep.line("items srv", "srv: away by jump_client, allowed in s").await;
    // In the same session it is taken back with everything else, or by its name.
    customer.type_in("stop unattended").await;
    customer.until("Nobody connects to this computer without you.").await;
    assert!(!kept.exists());
    customer.type_in("done").await;
    rep.until("done").await;
    rep.line("items srv", "srv: away by jump_client\n").await;
    rep.type_in("unattended srv\n").await;
    customer.until("Allow until you take it back? [y/N]").await;
    customer.type_in("y").await;
    rep.until("the customer's end keeps the item's key").await;
    customer.until("the key to stand by with is kept here").await;
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();

    let key = std::fs::read_to_string(&kept).unwrap();
    let by_key = agent::Options { key, stand_by: true, ..options.clone() };
    let mut machine = place.standing_with(by_key.clone()).await;
    rep.line("jump srv", "you serve").await;
    machine.until("With you: Ana.").await;
    agent::revoke(options.clone()).await.unwrap();
    assert!(!kept.exists(), "the key is not kept");
    rep.until("is gone").await;
    assert!(machine.ended().await.is_err(), "{}", machine.seen());
    rep.line("jump srv", "refused (not_standing_by) [R2.3]").await;
    assert!(matches!(agent::revoke(options.clone()).await, Err(AgentError::ItemKey(_))), "there is none");
    // One that is good no more is deleted all the same.
    std::fs::write(&kept, &by_key.key).unwrap();
    agent::revoke(options).await.unwrap();
    assert!(!kept.exists());
    rep.type_in("quit\n").await;
    rep.left().await.unwrap();

    // By an administrator, of any item.
    let options = self::options(&place, "router").await;
    let mut router = place.standing_with(options).await;
    let mut root = place.console(Way::Login("root".into()), Transport::Ws, Some("revokekey router; revokekey router"));
    root.until("router has no key any more").await;
    root.until("refused (wrong_state) [P3.25]").await;
    assert!(matches!(router.ended().await, Err(AgentError::Join(_))), "{}", router.seen());
    drop(root.left().await);
    place.close().await;
}
