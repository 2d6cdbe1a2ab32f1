//! Jump items over real sockets (R2.3, P8, BU-074 to BU-089): the endpoint that stands by, who starts a session on it, what
//! reps are shown, and what an item's key is good for.

use crate::{
    attack::in_time,
    place::{Line, Person, Place, SITE, hello, open},
};
use equipoise::{
    client::{ActError, Client, ClientError, Happening, Transport},
    engine::{Actor, Command},
    limits,
    site::raw::RawSite,
    wire::{
        CloseCode, Credential, Do, Done, Ev,
        control::{ClientInfo, JumpItemView, Open, Refused, Role},
    },
};
use std::{collections::BTreeMap, path::Path};

const METHODS: [&str; 9] = [
    "jump_client",
    "jump_local",
    "jump_local_vnc",
    "jump_local_rdp",
    "jump_remote",
    "jump_remote_vnc",
    "jump_remote_rdp",
    "jump_shell",
    "jump_vpro",
];

/// Ana may start sessions in the group, Ben is in it with a role that starts none, Kim is not in it.
fn site() -> String {
    let permits = |name: &str, more: &str| {
        let before = format!("username = \"{name}\"");
        (before.clone(), format!("{before}\njump_roles = {{ personal = \"operator\" }}\n{more}"))
    };
    let mut site = SITE.to_owned();
    for (before, after) in [permits("ana", ""), permits("ben", ""), permits("kim", "")] {
        site = site.replace(&before, &after);
    }
    let site = site.replace("permissions = [\"support\"", "permissions = [\"jump_client\", \"support\"");
    format!(
        "{site}\n[[jump_item_role]]\ncode = \"operator\"\nallows = [\"start_sessions\"]\n[[jump_item_role]]\ncode = \"viewer\"\n\
         [[jump_group]]\ncode = \"servers\"\nmembers = {{ ana = \"operator\", ben = \"viewer\" }}\n\
         [[jump_item]]\ncode = \"srv\"\ngroup = \"servers\"\n[[jump_item]]\ncode = \"bens\"\nowner = \"ben\"\n"
    )
}

async fn place(folder: &Path, site: &str) -> Place {
    Place::open_with(folder, "127.0.0.1:0".parse().unwrap(), site, Box::new(|_, _| {})).await
}

async fn comes(place: &Place, role: Role, credential: Credential) -> Result<Person, ClientError> {
    let (client, happenings) = in_time(Client::connect(place.target(Transport::Ws), hello(role, credential))).await?;
    let session = client.welcome().session.unwrap_or(0);
    Ok(Person { client, happenings, session })
}

async fn person(place: &Place, name: &str, role: Role) -> Person {
    let token = place.broker.token_for(name).await.unwrap();
    comes(place, role, Credential::Token(token)).await.unwrap()
}

async fn rep(place: &Place, name: &str) -> Person {
    person(place, name, Role::Rep).await
}

async fn key(place: &Place, item: &str) -> String {
    let root = person(place, "root", Role::Admin).await;
    match in_time(root.client.act(Do::MakeItemKey { item: item.to_owned() })).await {
        Ok(Done::Key { key, expires_at_ms: 0 }) => key.into(),
        other => panic!("a key: {other:?}"),
    }
}

async fn stands_by(place: &Place, key: &str) -> Result<Person, ClientError> {
    comes(place, Role::JumpClient, Credential::Key(key.to_owned())).await
}

async fn as_customer(place: &Place, key: &str) -> Result<Person, ClientError> {
    comes(place, Role::Customer, Credential::Key(key.to_owned())).await
}

async fn listed(person: &Person) -> Vec<JumpItemView> {
    let (mut all, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let Ok(Done::JumpItems { items, next }) = in_time(person.client.act(Do::JumpItems { after: from })).await
        else {
            panic!("the items")
        };
        assert!(items.len() <= limits::JUMP_ITEMS_LISTED);
        all.extend(items);
        after = next;
    }
    all
}

async fn codes(person: &Person) -> Vec<String> {
    listed(person).await.into_iter().map(|one| one.item).collect()
}

async fn jumps(person: &Person, item: &str) -> Result<u64, Refused> {
    match in_time(person.client.act(Do::Jump { item: item.to_owned() })).await {
        Ok(Done::Session(session)) => {
            assert_eq!((session.kind.as_str(), session.customer), ("jump", item.to_lowercase()));
            Ok(session.session)
        }
        Err(ActError::Refused(refused)) => Err(refused),
        other => panic!("a session: {other:?}"),
    }
}

async fn refused(person: &Person, act: Do) -> String {
    match in_time(person.client.act(act)).await {
        Err(ActError::Refused(refused)) => refused.code,
        other => panic!("it is refused: {other:?}"),
    }
}

async fn ended(person: &mut Person) -> u16 {
    loop {
        if let Happening::Ended { code, .. } = in_time(person.happenings.recv()).await.expect("it ends") {
            return code;
        }
    }
}

fn code<T>(came: Result<T, ClientError>) -> u16 {
    match came {
        Err(ClientError::Denied { code, .. }) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nobody comes in"),
    }
}

fn jumped(ev: Ev) -> Option<u64> {
    if let Ev::Jumped { session } = ev { Some(session) } else { None }
}

#[tokio::test]
async fn bu_074_to_bu_082_each_method_asks_for_its_own_permission_and_an_endpoint_serves_any() {
    // What is local needs a right of the layers as well (LR-048).
    let lan = "[[policy]]\ncode = \"lan\"\ntools = { connect_on_lan = \"yes\" }\n";
    let mut site = format!("{SITE}{lan}");
    for (at, method) in METHODS.iter().enumerate() {
        let own = if method.starts_with("jump_local") { "policy_unattended = \"lan\"\n" } else { "" };
        site += &format!("[[jump_item]]\ncode = \"at-{method}\"\nmethod = \"{method}\"\n");
        site += &format!(
            "[[user]]\nusername = \"u{at}\"\nteams = {{ desk = \"member\" }}\npermissions = [\"support\", \"{method}\"]\n{own}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &site).await;
    for (at, method) in METHODS.iter().enumerate() {
        let rep = rep(&place, &format!("u{at}")).await;
        let own = format!("at-{method}");
        let view = JumpItemView {
            item: own.clone(),
            method: (*method).to_owned(),
            group: None,
            owner: None,
            stands_by: false,
            session: None,
            may_start: true,
            consent: None,
        };
        assert_eq!(listed(&rep).await, [view], "{method}");
        for other in METHODS.iter().filter(|other| *other != method) {
            assert_eq!(jumps(&rep, &format!("at-{other}")).await.unwrap_err().code, "unknown_item", "{method}");
        }
        let none = jumps(&rep, &own).await.unwrap_err();
        assert_eq!((none.code.as_str(), none.rule.as_str()), ("not_standing_by", "R2.3"));
        let _endpoint = stands_by(&place, &key(&place, &own).await).await.unwrap();
        let session = jumps(&rep, &own).await.unwrap();
        in_time(rep.client.act(Do::End { session })).await.unwrap();
        in_time(rep.client.act(Do::Logout {})).await.unwrap();
    }
    in_time(place.close()).await;
}

#[tokio::test]
async fn r2_3_p4_5_bu_093_the_endpoint_takes_a_session_up_by_itself_and_stands_by_again() {
    let folder = tempfile::tempdir().unwrap();
    let unattended = "[[policy]]\ncode = \"servers\"\ntools = { screen = \"none\", shell = \"yes\" }\n\
                      prompt = { mode = \"always\", answer = \"allow\", timeout_s = 3600 }\n";
    let site =
        site().replace("personal = \"operator\" }\n", "personal = \"operator\" }\npolicy_unattended = \"servers\"\n");
    let place = place(folder.path(), &format!("{site}{unattended}")).await;
    let mut ana = rep(&place, "ana").await;
    let key = key(&place, "srv").await;
    let mut endpoint = stands_by(&place, &key).await.unwrap();
    assert_eq!((endpoint.client.welcome().you.as_str(), endpoint.session), ("srv", 0));
    for _ in 0..2 {
        let now = listed(&ana).await;
        assert_eq!((now[0].stands_by, now[0].session, now[0].may_start), (true, None, true));
        let session = jumps(&ana, "SRV").await.unwrap();
        assert_eq!(endpoint.until(jumped).await, session);
        assert_eq!(listed(&ana).await[0].session, Some(session));
        let again = jumps(&ana, "srv").await.unwrap_err();
        assert_eq!((again.code.as_str(), again.rule.as_str()), ("wrong_state", "R2.3"));
        let client = ClientInfo { present: false, ..ClientInfo::default() };
        let said = equipoise::wire::Hello { client, ..hello(Role::Customer, Credential::Key(key.clone())) };
        let (client, happenings) = in_time(Client::connect(place.target(Transport::Quic), said)).await.unwrap();
        let mut customer = Person { client, happenings, session };
        assert_eq!(customer.client.welcome().session, Some(session));
        // The policy of unattended sessions, and nobody is asked: the answer is the policy's at once.
        ana.session = session;
        open(&mut ana, &mut customer, "shell", &[]).await;
        let past = Do::Explain { session, past: true, offer: None };
        let Ok(Done::Explained(why)) = in_time(ana.client.act(past)).await else { panic!("it is explained") };
        let [decision] = &why.decisions[..] else { panic!("one decision: {why:?}") };
        let said = [&decision.event, &decision.reason].map(String::as_str);
        assert_eq!((said, decision.rep.as_deref()), (["accepted", "jump"], Some("ana")));
        assert_eq!(decision.to.as_deref(), Some("jump_item:srv"));
        let screen = Open { session, tool: "screen".into(), args: BTreeMap::new() };
        match in_time(ana.client.act(Do::Open(screen))).await {
            Err(ActError::Refused(refused)) => {
                assert_eq!((refused.code.as_str(), refused.source.as_deref()), ("not_permitted", Some("user:ana")));
            }
            other => panic!("it is refused: {other:?}"),
        }
        in_time(ana.client.act(Do::End { session })).await.unwrap();
        customer.until(|ev| matches!(ev, Ev::Ended { .. }).then_some(())).await;
    }
    // What nobody runs is no key gone, so that no endpoint that came late is taken for one who guesses.
    assert_eq!(code(as_customer(&place, &key).await), CloseCode::SessionEnded.number());
    in_time(place.close()).await;
}

#[tokio::test]
async fn p8_1_p8_3_what_is_listed_is_seen_and_may_start_is_what_a_jump_says() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &site()).await;
    let mut ends = Vec::new();
    for item in ["srv", "bens"] {
        ends.push(stands_by(&place, &key(&place, item).await).await.unwrap());
    }
    let everything = person(&place, "root", Role::Admin).await;
    assert_eq!(codes(&everything).await, ["srv", "bens"]);
    for (name, sees) in [("ana", &["srv"][..]), ("ben", &["srv", "bens"]), ("kim", &[])] {
        let rep = rep(&place, name).await;
        let seen = listed(&rep).await;
        assert_eq!(codes(&rep).await, sees, "{name}");
        for one in seen {
            match jumps(&rep, &one.item).await {
                Ok(session) => {
                    assert!(one.may_start, "{name} on {}", one.item);
                    in_time(rep.client.act(Do::End { session })).await.unwrap();
                }
                Err(refused) => {
                    assert!(!one.may_start, "{name} on {}: {refused:?}", one.item);
                    assert_eq!((refused.code.as_str(), refused.rule.as_str()), ("not_permitted", "P8.1"));
                    assert_eq!(refused.source.as_deref(), Some("jump_group:servers"));
                }
            }
        }
        // What may not be seen answers as what is not there.
        for item in ["srv", "bens", "none"].iter().filter(|item| !sees.contains(item)) {
            let refused = jumps(&rep, item).await.unwrap_err();
            let message = format!("you have no jump item with the code “{item}”");
            assert_eq!((refused.code.as_str(), refused.message), ("unknown_item", message));
            assert_eq!(refused.source, None);
        }
    }

    // An edit and an endpoint that goes show at once.
    let ana = rep(&place, "ana").await;
    let edited = site().replace("ana = \"operator\", ", "ana = \"viewer\", kim = \"operator\", ");
    let apply = |text: String| Command::ApplySite(RawSite::parse(&text).unwrap().into());
    place.broker.command(Actor::System, apply(edited)).await.unwrap();
    assert!(!listed(&ana).await[0].may_start);
    assert_eq!(codes(&rep(&place, "kim").await).await, ["srv"]);
    in_time(ends.remove(0).client.close()).await;
    let gone = async {
        while listed(&ana).await[0].stands_by {
            tokio::task::yield_now().await;
        }
    };
    in_time(gone).await;
    assert_eq!(jumps(&rep(&place, "kim").await, "srv").await.unwrap_err().code, "not_standing_by");
    in_time(place.close()).await;
}

#[tokio::test]
async fn a_long_list_comes_in_pages_in_the_order_of_the_file() {
    let items = limits::JUMP_ITEMS_LOOKED_AT + 150;
    let of = |at: usize| if at < 120 || at > items - 40 { "servers" } else { "hidden" };
    let more: String =
        (0..items).map(|at| format!("[[jump_item]]\ncode = \"i{at}\"\ngroup = \"{}\"\n", of(at))).collect();
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &format!("{}[[jump_group]]\ncode = \"hidden\"\n{more}", site())).await;
    let ben = rep(&place, "ben").await;
    let seen: Vec<String> = (0..items).filter(|at| of(*at) == "servers").map(|at| format!("i{at}")).collect();
    assert_eq!(codes(&ben).await, [vec!["srv".to_owned(), "bens".to_owned()], seen].concat());
    let first = in_time(ben.client.act(Do::JumpItems { after: 0 })).await.unwrap();
    assert!(matches!(first, Done::JumpItems { items, next: Some(100) } if items.len() == limits::JUMP_ITEMS_LISTED));
    let last = in_time(ben.client.act(Do::JumpItems { after: u32::MAX })).await.unwrap();
    assert_eq!(last, Done::JumpItems { items: Vec::new(), next: None });
    in_time(place.close()).await;
}

#[tokio::test]
async fn r2_3_w3_1_a_second_endpoint_takes_the_place_and_the_session_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &site()).await;
    let key = key(&place, "srv").await;
    let mut first = stands_by(&place, &key).await.unwrap();
    let mut ana = rep(&place, "ana").await;
    let session = jumps(&ana, "srv").await.unwrap();
    assert_eq!(first.until(jumped).await, session);
    let mut served = as_customer(&place, &key).await.unwrap();
    served.session = session;
    ana.session = session;
    open(&mut ana, &mut served, "shell", &[]).await;

    let mut second = stands_by(&place, &key).await.unwrap();
    assert_eq!(ended(&mut first).await, CloseCode::Replaced.number());
    assert_eq!(second.until(jumped).await, session, "what runs is told to whoever comes");
    let mut takes_over = as_customer(&place, &key).await.unwrap();
    assert_eq!(ended(&mut served).await, CloseCode::Replaced.number());
    // It hears what was open, and opens anew.
    takes_over.until(|ev| matches!(ev, Ev::Opened(opened) if opened.tool == "shell").then_some(())).await;
    open(&mut ana, &mut takes_over, "shell", &[]).await;
    in_time(ana.client.act(Do::End { session })).await.unwrap();
    assert_eq!(ended(&mut takes_over).await, CloseCode::SessionEnded.number());
    assert!(listed(&ana).await[0].stands_by);
    in_time(place.close()).await;
}

#[tokio::test]
async fn i_k1_i_k3_an_items_key_is_good_for_its_item_alone_and_guesses_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &site()).await;
    let ana = rep(&place, "ana").await;
    let for_ana = in_time(ana.client.act(Do::MakeItemKey { item: "srv".into() })).await;
    assert!(matches!(for_ana, Err(ActError::Refused(refused)) if refused.code == "not_permitted"));
    assert_eq!(refused(&ana, Do::RevokeItemKey { item: Some("srv".into()) }).await, "not_permitted");
    assert_eq!(refused(&ana, Do::RevokeItemKey { item: None }).await, "malformed");
    let (srv, bens) = (key(&place, "srv").await, key(&place, "bens").await);
    let endpoint = stands_by(&place, &srv).await.unwrap();
    // No account, no invitation, no session of another item; and nothing may be asked by who stands by.
    for (role, credential) in [
        (Role::Service, Credential::Key(srv.clone())),
        (Role::Rep, Credential::Token(srv.clone())),
        (Role::Admin, Credential::Token(srv.clone())),
        (Role::JumpClient, Credential::Token(srv.clone())),
    ] {
        assert_eq!(code(comes(&place, role, credential).await), CloseCode::Unauthenticated.number());
    }
    assert_eq!(code(comes(&place, Role::External, Credential::Key(srv.clone())).await), CloseCode::Gone.number());
    let session = jumps(&ana, "srv").await.unwrap();
    assert_eq!(code(as_customer(&place, &bens).await), CloseCode::SessionEnded.number());
    for act in [
        Do::JumpItems { after: 0 },
        Do::Jump { item: "srv".into() },
        Do::MakeItemKey { item: "srv".into() },
        Do::RevokeItemKey { item: Some("bens".into()) },
        Do::Join { session },
        Do::End { session },
        Do::Site {},
        Do::Buttons { after: 0 },
        Do::SetPassword { username: "ana".into(), password: "x".into(), must_reset: false, expires_at_ms: None },
    ] {
        assert_eq!(refused(&endpoint, act.clone()).await, "not_permitted", "{act:?}");
    }
    // The resume token of one role is none of another.
    let resume = endpoint.client.welcome().resume.to_string();
    let wrong = comes(&place, Role::Customer, Credential::Resume(resume)).await;
    assert_eq!(code(wrong), CloseCode::Unauthenticated.number());

    // One of the wrong ones was the item's key as an invitation.
    let guess = |at: u32| format!("{at:04}{}", "A".repeat(18));
    for at in 1..limits::WRONG_KEYS_PER_MIN {
        assert_eq!(code(stands_by(&place, &guess(at)).await), CloseCode::Gone.number());
    }
    assert_eq!(code(stands_by(&place, &guess(99)).await), CloseCode::RateLimited.number());
    assert_eq!(code(stands_by(&place, &srv).await), CloseCode::RateLimited.number(), "wrong keys came from here");
    in_time(place.close()).await;
}

#[tokio::test]
async fn r2_3_a_new_key_or_an_item_that_is_gone_cuts_off_whoever_came_by_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &site()).await;
    let ana = rep(&place, "ana").await;
    let stolen = key(&place, "srv").await;
    let mut thief = stands_by(&place, &stolen).await.unwrap();
    let session = jumps(&ana, "srv").await.unwrap();
    let mut in_session = as_customer(&place, &stolen).await.unwrap();
    let fresh = key(&place, "srv").await;
    assert_eq!(ended(&mut thief).await, CloseCode::Gone.number());
    assert_eq!(ended(&mut in_session).await, CloseCode::Gone.number());
    for came in [stands_by(&place, &stolen).await, as_customer(&place, &stolen).await] {
        assert_eq!(code(came), CloseCode::Gone.number());
    }
    let mut endpoint = stands_by(&place, &fresh).await.unwrap();
    assert_eq!(endpoint.until(jumped).await, session);
    let customer = as_customer(&place, &fresh).await.unwrap();
    assert_eq!(customer.session, session);
    in_time(ana.client.act(Do::End { session })).await.unwrap();

    let without = site().replace("[[jump_item]]\ncode = \"srv\"\ngroup = \"servers\"\n", "");
    place.broker.command(Actor::System, Command::ApplySite(RawSite::parse(&without).unwrap().into())).await.unwrap();
    assert_eq!(ended(&mut endpoint).await, CloseCode::Gone.number());
    assert_eq!(code(stands_by(&place, &fresh).await), CloseCode::Gone.number());
    in_time(place.close()).await;
}

#[tokio::test]
async fn w3_4_a_lost_line_brings_the_endpoint_back_and_tells_it_of_what_began_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path(), &site()).await;
    let key = key(&place, "srv").await;
    let line = Line::to(place.address).await;
    let said = hello(Role::JumpClient, Credential::Key(key.clone()));
    let (client, happenings) =
        in_time(Client::connect(place.target_at(line.address, Transport::Ws), said)).await.unwrap();
    let mut endpoint = Person { client, happenings, session: 0 };
    let ana = rep(&place, "ana").await;
    let session = jumps(&ana, "srv").await.unwrap();
    line.cut();
    // Heard before the cut or after it, and once more by who came back.
    let again = async {
        let mut connected = 0;
        loop {
            match endpoint.happenings.recv().await.expect("it comes back by itself") {
                Happening::Connected { .. } => connected += 1,
                Happening::Ev { ev: Ev::Jumped { session: told }, .. } if connected == 2 => break told,
                Happening::Ended { code, reason } => panic!("{code}: {reason}"),
                _ => {}
            }
        }
    };
    assert_eq!(in_time(again).await, session);
    assert!(as_customer(&place, &key).await.is_ok());
    in_time(place.close()).await;
}
