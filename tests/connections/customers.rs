//! What reaches a customer's connection, and what never does (R10).

use crate::place::{PASSWORD, Person, Place, SITE, hello, open};
use equipoise::{
    client::{ActError, Client, ClientError, Transport, sign_in},
    engine::Actor,
    wire::{
        Credential, Do, Done, Ev,
        control::{KeyKind, Open, Role, SessionView, Value},
    },
};
use std::path::Path;

async fn place(folder: &Path, site: &str) -> Place {
    let place = Place::open_with(folder, "127.0.0.1:0".parse().unwrap(), site, Box::new(|_, _| {})).await;
    for rep in ["ana", "ben"] {
        place.broker.set_password(Actor::System, rep, PASSWORD.to_owned()).await.unwrap();
    }
    place
}

async fn rep(place: &Place, name: &str) -> Person {
    let target = place.target(Transport::Ws);
    let token = sign_in(&target, name, PASSWORD).await.unwrap();
    let (client, happenings) = Client::connect(target, hello(Role::Rep, Credential::Token(token))).await.unwrap();
    Person { client, happenings, session: 0 }
}

async fn key(rep: &Person) -> String {
    let made =
        rep.client.act(Do::MakeKey { queue: Some("team:desk".into()), kind: KeyKind::Code, lives_s: None }).await;
    let Done::Key { key, .. } = made.unwrap() else { panic!("a key was made") };
    key.into()
}

async fn customer(place: &Place, key: String) -> Result<Person, ClientError> {
    let target = place.target(Transport::Quic);
    let (client, happenings) = Client::connect(target, hello(Role::Customer, Credential::Key(key))).await?;
    let session = client.welcome().session.unwrap();
    Ok(Person { client, happenings, session })
}

#[tokio::test]
async fn r10_2_a_private_name_never_reaches_a_customer() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE
        .replace("private_name = \"Ana A\"", "private_name = \"Secret Ana\"")
        .replace("private_name = \"Ben B\"", "private_name = \"Secret Ben\"")
        .replace("mode = \"never\"", "mode = \"always\"")
        .replace("default_policy = \"open\"", "default_policy = \"open\"\nrep_alias = \"The desk\"");
    let place = place(folder.path(), &site).await;
    let mut ana = rep(&place, "ana").await;
    let mut customer = customer(&place, key(&ana).await).await.unwrap();
    let (mut heard, session) = (Vec::new(), customer.session);
    ana.session = session;
    let hears = |heard: &mut Vec<String>, ev: &Ev| heard.push(format!("{ev:?}"));
    let named = |ev: Ev| {
        hears(&mut heard, &ev);
        if let Ev::Waiting { name, .. } = ev { Some(name) } else { None }
    };
    assert_eq!(customer.until(named).await, "The desk", "nobody's name is known yet");
    ana.client.act(Do::Accept { session }).await.unwrap();
    let mut ben = rep(&place, "ben").await;
    ana.client.act(Do::Share { session, to: "rep:ben".into() }).await.unwrap();
    ben.until(|ev| matches!(ev, Ev::Invited { .. }).then_some(())).await;
    ben.client.act(Do::Join { session }).await.unwrap();
    let both = |ev: Ev| {
        hears(&mut heard, &ev);
        let Ev::Serving { participants, .. } = ev else { return None };
        (participants.len() == 3).then(|| participants.into_iter().map(|one| one.name).collect::<Vec<_>>())
    };
    assert_eq!(customer.until(both).await[1..], ["Ana", "Ben"]);
    let args = std::collections::BTreeMap::new();
    let ask = Do::Open(equipoise::wire::control::Open { session, tool: "system_info".into(), args });
    ana.client.act(ask).await.unwrap();
    let prompt = |ev: Ev| {
        hears(&mut heard, &ev);
        if let Ev::Prompt { prompt, by, .. } = ev { Some((prompt, by)) } else { None }
    };
    let (prompt, by) = customer.until(prompt).await;
    assert_eq!(by, "Ana");
    customer.client.act(Do::Answer { session, prompt, allow: false }).await.unwrap();
    ana.client.act(Do::TakeOver { session }).await.unwrap_err();
    ana.client.act(Do::Depart { session }).await.unwrap();
    ben.client.act(Do::End { session }).await.unwrap();
    let ended = |ev: Ev| {
        hears(&mut heard, &ev);
        matches!(ev, Ev::Ended { .. }).then_some(())
    };
    customer.until(ended).await;
    assert!(heard.len() > 5 && heard.iter().all(|ev| !ev.contains("Secret")), "{heard:#?}");
    place.close().await;
}

#[tokio::test]
async fn lg_023_a_customers_language_is_shown_to_reps_and_changed_by_the_customer_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = place(folder.path(), SITE).await;
    let ana = rep(&first, "ana").await;
    let mut said = hello(Role::Customer, Credential::Key(key(&ana).await));
    said.client.locale = "de-CH".to_owned();
    let (customer, _hears) = Client::connect(first.target(Transport::Quic), said).await.unwrap();
    let session = customer.welcome().session.unwrap();
    let of = |wanted: &'static str| {
        move |ev: Ev| match ev {
            Ev::Session(view) if view.session == session && view.locale == wanted => Some(()),
            Ev::Snapshot { sessions, .. } => {
                sessions.iter().any(|view| view.session == session && view.locale == wanted).then_some(())
            }
            _ => None,
        }
    };
    let mut ben = rep(&first, "ben").await;
    ben.until(of("de-CH")).await;
    let set = |locale: &str| Do::SetLocale { session, locale: locale.to_owned() };
    customer.act(set("fr")).await.unwrap();
    ben.until(of("fr")).await;
    for wrong in ["", "de_CH", "-", "de-", "toolongasubtag", &"a-".repeat(18), "d\u{e9}"] {
        let Err(ActError::Refused(refused)) = customer.act(set(wrong)).await else {
            panic!("{wrong:?} is no language")
        };
        assert_eq!(refused.code, "malformed", "{wrong:?}");
    }
    let Err(ActError::Refused(refused)) = ana.client.act(set("it")).await else { panic!("it is not hers to say") };
    assert_eq!(refused.code, "not_permitted");
    first.close().await;
    let again = place(folder.path(), SITE).await;
    let mut ben = rep(&again, "ben").await;
    ben.until(of("fr")).await;
    again.close().await;
}

#[tokio::test]
async fn lr_022_a_machine_that_starts_again_is_shown_as_rebooting_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE.replace("shell = \"yes\"", "shell = \"yes\", reboot = \"yes\"");
    let first = place(folder.path(), &site).await;
    let mut ana = rep(&first, "ana").await;
    let mut there = customer(&first, key(&ana).await).await.unwrap();
    let session = there.session;
    if ana.client.act(Do::Accept { session }).await.is_err() {
        ana.client.act(Do::Take { session }).await.unwrap();
    }
    let ask = Open { session, tool: "reboot".into(), args: Default::default() };
    ana.client.act(Do::Open(ask)).await.unwrap();
    let open = there.until(|ev| if let Ev::Requested { open, .. } = ev { Some(open) } else { None }).await;
    there.client.act(Do::AcceptOpen { session, open, facts: Default::default() }).await.unwrap();
    there.client.close().await;
    let rebooting = |ev: Ev| {
        let is = |view: &SessionView| view.session == session && view.state == "rebooting";
        match ev {
            Ev::Session(view) => is(&view).then_some(()),
            Ev::Snapshot { sessions, .. } => sessions.iter().any(is).then_some(()),
            _ => None,
        }
    };
    ana.until(rebooting).await;
    first.close().await;
    let again = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site, Box::new(|_, _| {})).await;
    rep(&again, "ana").await.until(rebooting).await;
    again.close().await;
}

#[tokio::test]
async fn r10_2_where_names_are_hidden_a_customer_sees_agent() {
    let folder = tempfile::tempdir().unwrap();
    let hidden = "default_policy = \"open\"\nshow_rep_names = false\nrep_alias = \"The desk\"";
    let place = place(folder.path(), &SITE.replace("default_policy = \"open\"", hidden)).await;
    let ana = rep(&place, "ana").await;
    let mut customer = customer(&place, key(&ana).await).await.unwrap();
    ana.client.act(Do::Accept { session: customer.session }).await.unwrap();
    let serving =
        |ev| if let Ev::Serving { participants, .. } = ev { Some(participants[1].name.clone()) } else { None };
    assert_eq!(customer.until(serving).await, "Agent");
    place.close().await;
}

#[tokio::test]
async fn r10_2_the_disclaimer_comes_before_everything_and_declining_has_its_own_reason() {
    let folder = tempfile::tempdir().unwrap();
    let text = "default_policy = \"open\"\ndisclaimer = true\ndisclaimer_text = \"Others may look.\"";
    let place = place(folder.path(), &SITE.replace("default_policy = \"open\"", text)).await;
    let mut ana = rep(&place, "ana").await;
    let shown = |ev| if let Ev::Disclaimer { text, .. } = ev { Some(text) } else { None };

    let mut declines = customer(&place, key(&ana).await).await.unwrap();
    assert_eq!(declines.until(shown).await, "Others may look.");
    let no = Do::AnswerDisclaimer { session: declines.session, agree: false };
    declines.client.act(no).await.unwrap();
    let next = |ev| match ev {
        Ev::Ended { reason, .. } => Some(reason),
        Ev::Disclaimer { .. } => Some("asked twice".to_owned()),
        _ => None,
    };
    assert_eq!(declines.until(next).await, "declined");

    let mut agrees = customer(&place, key(&ana).await).await.unwrap();
    agrees.until(shown).await;
    let session = agrees.session;
    ana.client.act(Do::Take { session }).await.unwrap_err();
    agrees.client.act(Do::AnswerDisclaimer { session, agree: true }).await.unwrap();
    let offered = |ev| if let Ev::Offer { session, .. } = ev { Some(session) } else { None };
    assert_eq!(ana.until(offered).await, session);
    ana.client.act(Do::Accept { session }).await.unwrap();
    ana.session = session;
    let size = [("cols", Value::Int(80)), ("rows", Value::Int(24))];
    open(&mut ana, &mut agrees, "shell", &size).await;
    place.close().await;
}

#[tokio::test]
async fn r5_2_an_offer_says_nothing_of_the_request_where_the_site_hides_it() {
    for shown in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("default_policy = \"open\"\nshow_session_information = {shown}");
        let place = place(folder.path(), &SITE.replace("default_policy = \"open\"", &text)).await;
        let mut ana = rep(&place, "ana").await;
        let _waits = customer(&place, key(&ana).await).await.unwrap();
        let told = |ev| if let Ev::Offer { info, .. } = ev { Some(info.is_some()) } else { None };
        assert_eq!(ana.until(told).await, shown);
        place.close().await;
    }
}

#[tokio::test]
async fn r10_1_a_waiting_customer_is_greeted_and_hears_notices_while_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let greeting = "default_policy = \"open\"\ngreeting = \"Good day.\"";
    let site = SITE
        .replace("default_policy = \"open\"", greeting)
        .replace("\"opt_out\", ", "\"opt_out\", \"edit_customer_notices\", ");
    let place = place(folder.path(), &site).await;
    let ana = rep(&place, "ana").await;
    ana.client.act(Do::OptOut {}).await.unwrap();
    let made = ana.client.act(Do::PublishNotice { text: "Mail is down.".into(), lives_s: None }).await.unwrap();
    let Done::Notice { notice } = made else { panic!("a notice was published: {made:?}") };
    let mut customer = customer(&place, key(&ana).await).await.unwrap();
    let says = |ev| if let Ev::Announcement { kind, text, .. } = ev { Some((kind, text)) } else { None };
    assert_eq!(customer.until(says).await, ("greeting".into(), "Good day.".into()));
    assert_eq!(customer.until(says).await, ("notice".into(), "Mail is down.".into()));
    let Done::Notices { notices } = ana.client.act(Do::Notices {}).await.unwrap() else { panic!("the notices") };
    let told: Vec<_> = notices.iter().map(|it| (it.notice, it.text.as_str(), it.by.as_str(), it.until_ms)).collect();
    assert_eq!(told, [(notice, "Mail is down.", "ana", None)]);
    let ben = rep(&place, "ben").await;
    assert!(ben.client.act(Do::Notices {}).await.is_err(), "he may not edit them");
    ana.client.act(Do::WithdrawNotice { notice }).await.unwrap();
    let gone = |ev| if let Ev::NoticeGone { notice } = ev { Some(notice) } else { None };
    assert_eq!(customer.until(gone).await, notice);
    place.close().await;
}

#[tokio::test]
async fn r2_6_r10_1_when_nobody_serves_the_queue_the_portal_says_so_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    // More words than a close frame holds.
    let words = "We open at nine. ".repeat(20).trim_end().to_owned();
    let portal =
        format!("[[portal]]\ncode = \"main\"\nno_rep_message = \"{words}\"\nno_rep_url = \"https://help.example\"");
    let nobody = SITE.replace("[[portal]]\ncode = \"main\"", &portal).replace("fallback_team = \"desk\"\n", "");
    let place = place(folder.path(), &nobody).await;
    let ana = rep(&place, "ana").await;
    let key = key(&ana).await;
    ana.client.act(Do::Logout {}).await.unwrap();
    for transport in [Transport::Ws, Transport::Quic] {
        let hello = hello(Role::Customer, Credential::Key(key.clone()));
        match Client::connect(place.target(transport), hello).await {
            Err(ClientError::Denied { reason, .. }) if transport == Transport::Ws => {
                assert_eq!(reason, format!("{words} https://help.example"));
            }
            // QUIC names no host where the address is a number, so no portal is bound.
            Err(ClientError::Denied { reason, .. }) => assert_eq!(reason, "Nobody is available at the moment."),
            other => panic!("nobody is there: {:?}", other.err()),
        }
    }
    place.close().await;
}

#[tokio::test]
async fn p4_5_where_nobody_sits_no_question_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let asks = SITE.replace("mode = \"never\"", "mode = \"always\", timeout_s = 30, answer = \"allow\"");
    let place = place(folder.path(), &asks).await;
    let ana = rep(&place, "ana").await;
    let mut hello = hello(Role::Customer, Credential::Key(key(&ana).await));
    hello.client.present = false;
    let (client, happenings) = Client::connect(place.target(Transport::Ws), hello).await.unwrap();
    let session = client.welcome().session.unwrap();
    let mut unattended = Person { client, happenings, session };
    ana.client.act(Do::Take { session }).await.unwrap();
    let size = [("cols", Value::Int(80)), ("rows", Value::Int(24))].map(|(name, value)| (name.to_owned(), value));
    ana.client.act(Do::Open(Open { session, tool: "shell".into(), args: size.into() })).await.unwrap();
    let heard = |ev| match ev {
        Ev::Requested { .. } => Some("requested"),
        Ev::Prompt { .. } => Some("prompt"),
        Ev::PromptGone { .. } => Some("prompt gone"),
        _ => None,
    };
    assert_eq!(unattended.until(heard).await, "requested");
    place.close().await;
}
