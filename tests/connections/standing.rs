//! P3.4, P3.30 over real sockets: the customer's end is told how its person is held back and what it does at the end, told
//! again when it comes back or the broker was started anew, and told at once when nobody holds the person back any more.

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, a_session, hello, open},
};
use bytes::Bytes;
use equipoise::{
    client::{Client, Transport},
    engine::{Actor, Command},
    site::raw::RawSite,
    wire::{
        Credential, Do, Done, Ev, Flags, Kind,
        control::{Opened, Role, Value},
        frame::CloseReason,
    },
};
use std::path::Path;

fn site() -> String {
    let more =
        "customer_restrictions = \"input\", termination_override = \"yes\", screen = \"control\", shell = \"yes\"";
    SITE.replacen("screen = \"control\", shell = \"yes\"", more, 1)
}

async fn place(folder: &Path) -> Place {
    let place = Place::open_with(folder, "127.0.0.1:0".parse().unwrap(), &site(), Box::new(|_, _| {})).await;
    place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
    place
}

/// Reads on until both stand like this.
async fn stands(person: &mut Person, restricted: &str, termination: &str) {
    let wanted = (Some(Value::Text(restricted.to_owned())), Some(Value::Text(termination.to_owned())));
    let told = |ev| match ev {
        Ev::Permissions { mut options, .. } => {
            let stands = (options.remove("customer_restrictions"), options.remove("termination"));
            (stands == wanted).then_some(())
        }
        _ => None,
    };
    person.until(told).await;
}

/// Both are asked for and taken up.
async fn set(ana: &mut Person, customer: &mut Person) {
    let text = |mode: &str| [("mode", Value::Text(mode.to_owned()))];
    for (tool, mode) in [("customer_restrictions", "input"), ("termination", "log_out")] {
        let args = text(mode).map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let session = ana.session;
        let asked = Do::Open(equipoise::wire::control::Open { session, tool: tool.to_owned(), args });
        in_time(ana.client.act(asked)).await.unwrap();
        let open = customer.until(|ev| if let Ev::Requested { open, .. } = ev { Some(open) } else { None }).await;
        in_time(customer.client.act(Do::AcceptOpen { session, open, facts: Default::default() })).await.unwrap();
    }
}

#[tokio::test]
async fn bu_111_p3_4_bu_135_p3_30_the_customers_end_is_told_again_when_it_comes_back_and_after_the_broker_was_started_anew()
 {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path()).await;
    let (mut ana, mut customer) = a_session(here.target(Transport::Ws), here.target(Transport::Ws)).await;
    stands(&mut customer, "none", "lock").await;
    set(&mut ana, &mut customer).await;
    stands(&mut customer, "input", "log_out").await;
    stands(&mut ana, "input", "log_out").await;

    in_time(customer.client.switch(Transport::Quic)).await.unwrap();
    stands(&mut customer, "input", "log_out").await;

    // Every later push says the same, whatever it is about.
    let edited = site()
        .replace("shell = \"yes\"", "shell = \"no\"")
        .replace("termination = \"lock\"", "termination = \"nothing\"");
    here.broker.command(Actor::System, Command::ApplySite(RawSite::parse(&edited).unwrap().into())).await.unwrap();
    stands(&mut customer, "input", "log_out").await;

    let resume = customer.client.welcome().resume;
    here.close().await;
    let here = Place::open_at(folder.path(), "127.0.0.1:0".parse().unwrap()).await;
    let (client, happenings) =
        in_time(Client::connect(here.target(Transport::Ws), hello(Role::Customer, Credential::Resume(resume.into()))))
            .await
            .unwrap();
    let mut customer = Person { client, happenings, session: ana.session };
    stands(&mut customer, "input", "log_out").await;
    here.close().await;
}

#[tokio::test]
async fn bu_111_p3_4_the_customers_end_is_told_at_once_that_nobody_holds_its_person_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path()).await;
    let (mut ana, mut customer) = a_session(here.target(Transport::Ws), here.target(Transport::Quic)).await;
    let session = ana.session;
    set(&mut ana, &mut customer).await;
    stands(&mut customer, "input", "log_out").await;
    in_time(ana.client.act(Do::Hold { session })).await.unwrap();
    stands(&mut customer, "none", "log_out").await;

    in_time(ana.client.act(Do::Resume { session })).await.unwrap();
    set(&mut ana, &mut customer).await;
    stands(&mut customer, "input", "log_out").await;
    let without = site().replace("customer_restrictions = \"input\"", "customer_restrictions = \"none\"");
    here.broker.command(Actor::System, Command::ApplySite(RawSite::parse(&without).unwrap().into())).await.unwrap();
    stands(&mut customer, "none", "log_out").await;

    // Back in a queue nobody serves it: its end is told so while it waits, and so is one that comes back then.
    here.broker.command(Actor::System, Command::ApplySite(RawSite::parse(&site()).unwrap().into())).await.unwrap();
    set(&mut ana, &mut customer).await;
    stands(&mut customer, "input", "log_out").await;
    in_time(ana.client.act(Do::Transfer { session, to: "team:desk".into() })).await.unwrap();
    stands(&mut customer, "none", "log_out").await;
    in_time(customer.client.switch(Transport::Ws)).await.unwrap();
    stands(&mut customer, "none", "log_out").await;
    here.close().await;
}

#[tokio::test]
async fn lr_012_p3_18_a_customer_whose_chat_is_turned_off_says_nothing_more_until_it_is_on() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path()).await;
    let (mut ana, mut customer) = a_session(here.target(Transport::Ws), here.target(Transport::Quic)).await;
    let session = ana.session;
    let (to_ana, to_customer) = open(&mut ana, &mut customer, "chat", &[]).await;
    let own = |opened: &Opened| opened.channels.iter().find(|channel| channel.writer == 0).cloned().unwrap();
    let mut writer = customer.client.writer(&own(&to_customer));
    let mut reader = ana.client.reader(&own(&to_ana));
    writer.write(Kind::Chat, Flags::default(), Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(in_time(reader.read()).await.unwrap().unwrap().bytes, "hello");

    let Done::Revoked { .. } = in_time(ana.client.act(Do::SetChat { session, on: false })).await.unwrap() else {
        panic!("its channel ended")
    };
    let _ = writer.write(Kind::Chat, Flags::default(), Bytes::from_static(b"more")).await;
    let end = in_time(reader.read()).await.expect_err("nothing passes any more");
    assert_eq!((end.reason, end.at), (CloseReason::Revoked, 5));
    chat_is(&mut customer, "no").await;
    in_time(ana.client.act(Do::SetChat { session, on: true })).await.unwrap();
    let requested = |ev| if let Ev::Requested { open, tool, .. } = ev { Some((open, tool)) } else { None };
    let (again, tool) = customer.until(requested).await;
    assert_eq!(tool, "chat");
    let accept = Do::AcceptOpen { session, open: again, facts: Default::default() };
    in_time(customer.client.act(accept)).await.unwrap();
    let opened = |ev| if let Ev::Opened(opened) = ev { Some(opened) } else { None };
    let (to_ana, to_customer) = (ana.until(opened).await, customer.until(opened).await);
    let mut writer = customer.client.writer(&own(&to_customer));
    let mut reader = ana.client.reader(&own(&to_ana));
    writer.write(Kind::Chat, Flags::default(), Bytes::from_static(b"back")).await.unwrap();
    assert_eq!(in_time(reader.read()).await.unwrap().unwrap().bytes, "back");
    here.close().await;
}

async fn chat_is(person: &mut Person, wanted: &str) {
    let told = |ev| match ev {
        Ev::Permissions { mut options, .. } => {
            (options.remove("chat") == Some(Value::Text(wanted.to_owned()))).then_some(())
        }
        _ => None,
    };
    person.until(told).await;
}
