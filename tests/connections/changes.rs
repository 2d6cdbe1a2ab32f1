//! P6.2 over real sockets: what changes while people are in a session reaches them, and their open channels, at once; both
//! ends are told which permission and which layer.

use crate::{
    attack::in_time,
    place::{Person, Place, SITE, a_session, hello, open},
};
use bytes::Bytes;
use equipoise::{
    client::{ActError, Client, Transport},
    engine::{Actor, Command, Entry, Event, Outcome, Queue, Stamped, command::Ask},
    identity::Secret,
    ids::*,
    limits,
    site::{SessionKind, raw::RawSite},
    wire::{
        Credential, Do, Done, Ev, Flags, Kind,
        control::{Role, Value},
        frame::CloseReason,
    },
};
use std::sync::{Arc, Mutex};

/// Ana has a shell; the site becomes another; nothing that is typed after that arrives, and both are told why.
async fn takes_the_shell_away(site: &str, tool: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (mut ana, mut customer) = a_session(place.target(Transport::Ws), place.target(Transport::Quic)).await;
    let (to_ana, to_customer) = open(&mut ana, &mut customer, "shell", &[]).await;
    let output = |opened: &equipoise::wire::control::Opened| opened.channels[0].clone();
    let mut writer = customer.client.writer(&output(&to_customer));
    let mut reader = ana.client.reader(&output(&to_ana));
    writer.write(Kind::ShellOutput, Flags::default(), Bytes::from_static(b"$ ")).await.unwrap();
    assert_eq!(in_time(reader.read()).await.unwrap().unwrap().bytes, "$ ");

    place.broker.command(Actor::System, Command::ApplySite(RawSite::parse(site).unwrap().into())).await.unwrap();
    // The edit is acknowledged: from here on nothing passes.
    let _ = writer.write(Kind::ShellOutput, Flags::default(), Bytes::from_static(b"secret")).await;
    let end = in_time(reader.read()).await.expect_err("it ends");
    assert_eq!((end.reason, end.at), (CloseReason::Revoked, 2));
    let closed = |ev| match ev {
        Ev::Closed { tool, source, reason, .. } => Some((reason, tool, source)),
        _ => None,
    };
    let told = ("revoked".to_owned(), Some(tool.to_owned()), Some(source.to_owned()));
    assert_eq!(ana.until(closed).await, told);
    // Of whom or what the layer is, is no business of the customer's (BU-004).
    let kind = source.split(':').next().map(str::to_owned);
    assert_eq!(customer.until(closed).await, (told.0, told.1, kind));
    let permissions = |ev| match ev {
        Ev::Permissions { mut tools, .. } => tools.remove("shell"),
        _ => None,
    };
    let shell = ana.until(permissions).await;
    assert_eq!((shell.value, shell.source.as_str()), (Value::Text("no".to_owned()), source));
    let session = ana.session;
    let again = ana.client.act(shell_of(session)).await;
    let Err(ActError::Refused(refused)) = again else { panic!("refused: {again:?}") };
    assert_eq!((refused.code.as_str(), refused.source.as_deref()), ("not_permitted", Some(source)), "new opens too");
    leave(place, ana, customer).await;
}

fn shell_of(session: u64) -> Do {
    Do::Open(equipoise::wire::control::Open { session, tool: "shell".into(), args: Default::default() })
}

async fn leave(place: Place, ana: Person, customer: Person) {
    ana.client.close().await;
    customer.client.close().await;
    place.close().await;
}

#[tokio::test]
async fn p6_2_a_change_of_the_policy() {
    let site = SITE.replace("shell = \"yes\"", "shell = \"no\"");
    takes_the_shell_away(&site, "shell", "default").await;
}

#[tokio::test]
async fn p6_2_a_change_of_a_users_own_policy() {
    let site = SITE.replace("username = \"ana\"", "username = \"ana\"\npolicy_attended = \"less\"");
    takes_the_shell_away(&(site + LESS), "shell", "user:ana").await;
}

#[tokio::test]
async fn p6_2_a_change_of_a_group_policy() {
    let group = "[[group_policy]]\ncode = \"emea\"\nmembers = [\"ana\"]\n\
                 session = { state = \"final\", policy_attended = \"less\" }\n";
    takes_the_shell_away(&format!("{SITE}{LESS}{group}"), "shell", "group_policy:emea").await;
}

#[tokio::test]
async fn p6_2_a_change_of_a_technician_group() {
    let site = SITE.replace("tools = { reboot = \"allow\" }", "tools = { shell = \"deny\" }\nlocked = [\"shell\"]");
    takes_the_shell_away(&site, "shell", "technician_group:tier1").await;
}

const LESS: &str = "\n[[policy]]\ncode = \"less\"\ntools = { shell = \"no\" }\n";

#[tokio::test]
async fn p6_2_a_change_of_the_portals_policy() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    // The customer came through the portal of this host name.
    let target = place.target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target).await;
    let session = ana.session;
    let portal = place.broker.look(|state| state.site.codes.portals["main"]).await.unwrap();
    let id = equipoise::ids::SessionId(session);
    let bound = place.broker.look(move |state| state.session(id).unwrap().ask.portal).await.unwrap();
    assert_eq!(bound, Some(portal), "by the host it dialled");
    open(&mut ana, &mut customer, "shell", &[]).await;
    let site = SITE.replace("code = \"main\"", "code = \"main\"\npolicy = \"less\"") + LESS;
    place.broker.command(Actor::System, Command::ApplySite(RawSite::parse(&site).unwrap().into())).await.unwrap();
    let closed = |ev| match ev {
        Ev::Closed { tool, source, .. } => Some((tool, source)),
        _ => None,
    };
    let told = |source: &str| (Some("shell".to_owned()), Some(source.to_owned()));
    assert_eq!(ana.until(closed).await, told("portal:main"));
    assert_eq!(customer.until(closed).await, told("portal"));
    leave(place, ana, customer).await;
}

#[tokio::test]
async fn p6_2_a_change_of_the_owner_and_of_roles() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let target = place.target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target).await;
    let session = ana.session;
    let token = place.broker.token_for("kim").await.unwrap();
    let (kim, hears) =
        Client::connect(place.target(Transport::Quic), hello(Role::Rep, Credential::Token(token))).await.unwrap();
    let mut kim = Person { client: kim, happenings: hears, session };
    open(&mut ana, &mut customer, "shell", &[]).await;
    ana.client.act(Do::Transfer { session, to: "rep:kim".into() }).await.unwrap();
    let closed = |ev| match ev {
        Ev::Closed { reason, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(customer.until(closed).await, "session_ended", "who left takes its channels along");
    in_time(async { while kim.client.act(Do::Take { session }).await.is_err() {} }).await;
    open(&mut kim, &mut customer, "shell", &[]).await;
    // Ana outranks kim, and takes over: kim watches, and types no more.
    ana.client.act(Do::TakeOver { session }).await.unwrap();
    let take_over = |ev| match ev {
        Ev::Closed { source: Some(source), .. } => Some(source),
        _ => None,
    };
    assert_eq!(kim.until(take_over).await, "take_over");
    assert_eq!(customer.until(take_over).await, "take_over");
    kim.client.close().await;
    leave(place, ana, customer).await;
}

#[tokio::test]
async fn p6_2_a_consent_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (mut ana, mut customer) = a_session(place.target(Transport::Quic), place.target(Transport::Ws)).await;
    open(&mut ana, &mut customer, "shell", &[]).await;
    let session = ana.session;
    let done = customer.client.act(Do::TakeBack { session, tool: None }).await.unwrap();
    assert!(matches!(done, Done::Revoked { ref finals, .. } if finals.len() == 2), "{done:?}");
    let closed = |ev| match ev {
        Ev::Closed { tool, source, .. } => Some((tool, source)),
        _ => None,
    };
    assert_eq!(ana.until(closed).await, (Some("shell".to_owned()), Some("customer".to_owned())));
    leave(place, ana, customer).await;
}

#[tokio::test]
async fn c1_an_administrator_edits_the_live_site_in_pieces_and_a_bad_or_stale_edit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let target = place.target(Transport::Ws);
    let (mut ana, mut customer) = a_session(target.clone(), target.clone()).await;
    open(&mut ana, &mut customer, "shell", &[]).await;
    place.broker.set_password(Actor::System, "root", crate::place::PASSWORD.to_owned()).await.unwrap();
    let token = place.broker.token_for("root").await.unwrap();
    let (root, hears) = Client::connect(target, hello(Role::Admin, Credential::Token(token))).await.unwrap();
    hears.ignore();
    let Done::Site { toml, version, next } = root.act(Do::Site {}).await.unwrap() else { panic!("a site") };
    assert_eq!(next, None);
    let edit =
        |text: &str, more: bool, version: u64| Do::ApplySite { text: text.to_owned(), more, version: Some(version) };
    let bad = SITE.replace("shell = \"yes\"", "shell = \"perhaps\"").replace("seats = 10", "seats = -1");
    let Err(ActError::Refused(refused)) = root.act(edit(&bad, false, version)).await else { panic!("is refused") };
    assert_eq!(refused.code, "bad_site");
    for key in ["policy[0].tools.shell", "site.seats", "line "] {
        assert!(refused.message.contains(key), "{}", refused.message);
    }
    let Err(ActError::Refused(stale)) = root.act(edit(SITE, false, version + 1)).await else { panic!("is refused") };
    assert_eq!(stale.code, "stale");
    let Err(ActError::Refused(not)) = ana.client.act(edit(SITE, false, version)).await else { panic!("is refused") };
    assert_eq!(not.code, "not_permitted", "H-86");
    let Done::Site { toml: same, .. } = root.act(Do::Site {}).await.unwrap() else { panic!("a site") };
    assert_eq!(toml, same, "nothing changed");

    let new = SITE.replace("shell = \"yes\"", "shell = \"no\"");
    let (first, second) = new.split_at(500);
    assert_eq!(root.act(edit(first, true, version)).await.unwrap(), Done::Yes {});
    let done = root.act(edit(second, false, version)).await.unwrap();
    let Done::Applied { version: after, sessions, legs, finals, warnings } = done else { panic!("applied: {done:?}") };
    assert_eq!((after, sessions, legs, finals.len(), warnings.len()), (version + 1, 1, 2, 2, 0));
    root.close().await;
    leave(place, ana, customer).await;
}

#[tokio::test]
async fn p3_31_p3_30_the_endpoint_is_told_the_flags_that_only_it_can_honour() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let (ana, mut customer) = a_session(place.target(Transport::Ws), place.target(Transport::Quic)).await;
    let told = |ev| match ev {
        Ev::Permissions { tools, options, .. } => Some((tools, options)),
        _ => None,
    };
    let (tools, options) = customer.until(told).await;
    assert!(tools.is_empty(), "what a rep may do is for reps");
    assert_eq!(options["mask_selectors"], Value::List(vec![".card".to_owned()]));
    assert_eq!(options["termination"], Value::Text("lock".to_owned()));
    assert!(!options.contains_key("transfer_to"), "nothing beyond what the endpoint needs");
    leave(place, ana, customer).await;
}

/// The customer of a session that an integrator asked for, whom a rep has begun to serve.
async fn served(place: &Place, kind: SessionKind, team: TeamId, rep: UserId) -> Person {
    let link = Secret::link();
    let ask = Ask { kind, join: Some(link.hash()), ..Ask::of(Entry::Queue(Queue::Team(team))) };
    let asked = place.broker.command(Actor::Service(ServiceId(1)), Command::Ask(ask)).await;
    let Ok(Outcome::Session(session)) = asked else { panic!("asked for: {asked:?}") };
    let hello = hello(Role::Customer, Credential::Key(link.reveal().to_owned()));
    let (client, happenings) = Client::connect(place.target(Transport::Ws), hello).await.unwrap();
    place.broker.command(Actor::Party(Party::Rep(rep)), Command::Take { session }).await.unwrap();
    Person { client, happenings, session: session.0 }
}

#[tokio::test]
async fn lg_034_lg_037_who_comes_by_a_portals_address_is_shown_its_page_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = "hosts = [\"127.0.0.1\"]";
    let site = SITE.replace(hosts, &format!("{hosts}\nstart_url = \"https://www.example.com/start\""));
    let listen = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder.path(), listen, &site, Box::new(|_, _| {})).await;
    let look = place.broker.look(|state| (state.site.codes.users["ana"], state.site.codes.teams["desk"])).await;
    let (ana, desk) = look.unwrap();
    let token = place.broker.token_for("ana").await.unwrap();
    let (rep, _hears) =
        Client::connect(place.target(Transport::Ws), hello(Role::Rep, Credential::Token(token))).await.unwrap();
    let mut customer = served(&place, SessionKind::Cobrowse, desk, ana).await;
    let asked = |ev| match ev {
        Ev::Requested { tool, args, .. } => Some((tool, args)),
        _ => None,
    };
    let (tool, args) = customer.until(asked).await;
    assert_eq!((tool.as_str(), &args["url"]), ("push_url", &Value::Text("https://www.example.com/start".to_owned())));
    customer.client.close().await;
    rep.close().await;
    place.close().await;
}

#[tokio::test]
async fn lg_027_p3_31_p3_32_the_end_of_a_shared_page_is_told_which_pages_may_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let listing = |domains: &str| {
        SITE.replace(
            "termination = \"lock\"",
            &format!("cobrowse_domains = {domains}, cobrowse_domains_match = \"contains\""),
        )
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder.path(), listen, &listing("[\"test.com\"]"), Box::new(|_, _| {})).await;
    let look = place.broker.look(|state| (state.site.codes.users["ana"], state.site.codes.teams["desk"])).await;
    let (ana, desk) = look.unwrap();
    let token = place.broker.token_for("ana").await.unwrap();
    let (rep, _hears) =
        Client::connect(place.target(Transport::Ws), hello(Role::Rep, Credential::Token(token))).await.unwrap();
    let told = |ev| match ev {
        Ev::Permissions { options, .. } => Some(options),
        _ => None,
    };
    let mut customers = Vec::new();
    for kind in [SessionKind::Cobrowse, SessionKind::Support] {
        customers.push(served(&place, kind, desk, ana).await);
    }
    let [shared, other] = customers.as_mut_slice() else { panic!("two") };
    let options = shared.until(told).await;
    assert_eq!(options["cobrowse_domains"], Value::List(vec!["test.com".to_owned()]));
    assert_eq!(options["cobrowse_domains_match"], Value::Text("contains".to_owned()));
    let options = other.until(told).await;
    assert!(!options.contains_key("cobrowse_domains"), "the list is of shared pages (P3.19)");
    // An edit reaches it at once.
    let edit = Command::ApplySite(RawSite::parse(&listing("[\"example.org\"]")).unwrap().into());
    place.broker.command(Actor::System, edit).await.unwrap();
    let options = shared.until(told).await;
    assert_eq!(options["cobrowse_domains"], Value::List(vec!["example.org".to_owned()]));
    for person in customers {
        person.client.close().await;
    }
    rep.close().await;
    place.close().await;
}

#[tokio::test]
async fn p6_2_an_edit_of_many_sessions_is_answered_when_all_are_judged_and_whoever_asks_meanwhile_before() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Arc::new(Mutex::new(Vec::new()));
    let judged = rows.clone();
    let follower = move |events: &[Stamped], _: &_| {
        judged.lock().unwrap().extend(events.iter().filter_map(|it| match &it.event {
            Event::RightsJudged { sessions } => Some(sessions.len()),
            _ => None,
        }));
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder.path(), listen, SITE, Box::new(follower)).await;
    let token = place.broker.token_for("ana").await.unwrap();
    let hello = hello(Role::Rep, Credential::Token(token));
    let (ana, _) = Client::connect(place.target(Transport::Ws), hello).await.unwrap();
    let look = place.broker.look(|state| (state.site.codes.users["ana"], state.site.codes.teams["desk"])).await;
    let (user, desk) = look.unwrap();
    let all = 4 * limits::SESSIONS_JUDGED_PER_TURN + 1;
    let serves = async |_| {
        let ask = Command::Ask(Ask::of(Entry::Queue(Queue::Team(desk))));
        let asked = place.broker.command(Actor::Service(ServiceId(1)), ask).await;
        let Ok(Outcome::Session(session)) = asked else { panic!("asked for: {asked:?}") };
        place.broker.command(Actor::Party(Party::Rep(user)), Command::Take { session }).await.unwrap();
    };
    futures_util::future::join_all((0..all).map(serves)).await;

    let site = SITE.replace("shell = \"yes\"", "shell = \"no\"");
    let edit = Command::ApplySite(RawSite::parse(&site).unwrap().into());
    let mut left = Vec::new();
    let looks = async {
        loop {
            left.push(place.broker.look(|state| state.tools.unjudged()).await.unwrap());
        }
    };
    tokio::select! {
        biased;
        done = place.broker.command(Actor::System, edit) => assert_eq!(done.unwrap(), Outcome::Done),
        () = looks => {}
    }
    assert!(left.iter().any(|left| (1..all).contains(left)), "nobody had a turn meanwhile: {left:?}");
    let look = move |state: &equipoise::engine::State| {
        let changed = state.sessions.keys().filter(|id| state.tools.epoch(**id) == PermissionEpoch(1)).count();
        (changed, state.tools.unjudged())
    };
    assert_eq!(place.broker.look(look).await.unwrap(), (all, 0));
    let rows = std::mem::take(&mut *rows.lock().unwrap());
    assert_eq!(rows.iter().sum::<usize>(), all);
    assert!(
        rows.iter().all(|row| *row <= limits::SESSIONS_JUDGED_PER_TURN),
        "no row holds more than a turn's: {rows:?}"
    );
    ana.close().await;
    place.close().await;

    // Every one of these rows is in the journal.
    let again = Place::open_at(folder.path(), listen).await;
    assert_eq!(again.broker.look(look).await.unwrap(), (all, 0));
    again.close().await;
}
