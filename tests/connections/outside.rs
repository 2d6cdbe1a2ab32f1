//! What ends that are not reps of the site hear of the layers that decide over them: the kind, and nobody's name
//! (BU-004, LG-018), also where the names of reps are hidden.

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, hello, open},
};
use equipoise::{
    broker::Pace,
    client::{ActError, Client, Target, Transport},
    engine::Actor,
    wire::{
        Credential, Do, Done, Ev, Refused,
        control::{KeyKind, Open, Role, Value},
    },
};
use std::collections::BTreeMap;

/// Ana's account brings a policy of its own, which forbids her chat.
fn site() -> String {
    let site = SITE
        .replace("[options]", "[options]\nshow_rep_names = false")
        .replace("\"share_outside\"]", "\"share_outside\", \"invite_external\"]\npolicy_attended = \"mine\"")
        .replace("shell = \"yes\"", "shell = \"yes\", invite_external = \"yes\"");
    let site = format!("{site}[[policy]]\ncode = \"mine\"\ntools = {{ chat = \"no\" }}\n");
    format!("{site}[[policy]]\ncode = \"guest\"\nfor_invites = true\ntools = {{ elevation = \"no\" }}\n")
}

async fn connect(target: Target, role: Role, credential: Credential) -> Person {
    let (client, happenings) = in_time(Client::connect(target, hello(role, credential))).await.unwrap();
    let session = client.welcome().session.unwrap_or_default();
    Person { client, happenings, session }
}

async fn refused(person: &Person, act: Do) -> Refused {
    match in_time(person.client.act(act)).await {
        Err(ActError::Refused(refused)) => refused,
        other => panic!("refused: {other:?}"),
    }
}

fn asked(session: u64, tool: &str) -> Do {
    Do::Open(Open { session, tool: tool.to_owned(), args: BTreeMap::new() })
}

#[tokio::test]
async fn bu_004_lg_018_a_customer_and_an_external_rep_hear_of_no_account_s_name() {
    let folder = tempfile::tempdir().unwrap();
    let pace = Pace { per_s: 100_000, burst: 100_000 };
    let place = Place::open_paced(folder.path(), &site(), pace).await;
    for name in ["ana", "root"] {
        place.broker.set_password(Actor::System, name, PASSWORD.to_owned()).await.unwrap();
    }
    let token = place.broker.token_for("root").await.unwrap();
    let root = connect(place.target(Transport::Ws), Role::Admin, Credential::Token(token)).await;
    let token = place.broker.token_for("ana").await.unwrap();
    let mut ana = connect(place.target(Transport::Ws), Role::Rep, Credential::Token(token)).await;
    let make = Do::MakeKey { queue: None, kind: KeyKind::Code, lives_s: None };
    let Done::Key { key, .. } = in_time(ana.client.act(make)).await.unwrap() else { panic!("a key is made") };
    let key = Credential::Key(key.into());
    let mut customer = connect(place.target(Transport::Quic), Role::Customer, key).await;
    let session = customer.session;
    ana.session = session;
    if in_time(ana.client.act(Do::Accept { session })).await.is_err() {
        in_time(ana.client.act(Do::Take { session })).await.unwrap();
    }
    let invite = Do::InviteExternal { session, address: "eve@partner.example".into(), policy: None };
    let Done::Key { key, .. } = in_time(ana.client.act(invite)).await.unwrap() else { panic!("a key is made") };
    let mut eve = connect(place.target(Transport::Ws), Role::External, Credential::Key(key.into())).await;

    // Refused at once: the rep reads whose policy it is, the others of what kind, in the sentence too.
    let to_ana = refused(&ana, asked(session, "chat")).await;
    assert_eq!(to_ana.source.as_deref(), Some("user:ana"));
    for (person, tool, kind) in [(&customer, "chat", "user"), (&eve, "chat", "user"), (&eve, "elevation", "invite")] {
        let said = refused(person, asked(session, tool)).await;
        assert_eq!((said.code.as_str(), said.source.as_deref()), ("not_permitted", Some(kind)), "{tool}");
        assert!(said.message.ends_with(&format!("by {kind}")), "{}", said.message);
    }
    // What she may do.
    let rights = |ev| if let Ev::Permissions { tools, .. } = ev { Some(tools) } else { None };
    let tools = eve.until(rights).await;
    assert_eq!(tools["elevation"].source, "invite");
    assert!(tools.values().all(|tool| !tool.source.contains(':')), "{tools:?}");
    assert!(ana.until(rights).await.values().any(|tool| tool.source == "user:ana"));

    // What closes because ana's account changes, and what is refused after it was asked for.
    let upload = [("direction", "upload"), ("path", "/srv/file")];
    let upload = upload.map(|(name, value)| (name, Value::Text(value.to_owned())));
    open(&mut ana, &mut customer, "file_transfer", &upload).await;
    let text = site().replace("{ chat = \"no\" }", "{ chat = \"no\", file_transfer = \"none\" }");
    let Done::Applied { .. } =
        in_time(root.client.act(Do::ApplySite { text, more: false, version: None })).await.unwrap()
    else {
        panic!("it is applied")
    };
    let closed = |ev| if let Ev::Closed { tool, source, .. } = ev { Some((tool, source)) } else { None };
    let because = |source: &str| (Some("file_transfer".to_owned()), Some(source.to_owned()));
    assert_eq!(customer.until(closed).await, because("user"));
    assert_eq!(ana.until(closed).await, because("user:ana"));
    in_time(place.close()).await;
}
