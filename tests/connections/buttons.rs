//! Support buttons over real sockets: good again and again, across a restart, until they are revoked (R2.1, R2.2).

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, hello},
};
use data_encoding::HEXLOWER;
use equipoise::{
    client::{ActError, Client, ClientError, Transport, sign_in},
    engine::Actor,
    identity::Secret,
    wire::{
        Credential, Do, Done, Ev,
        control::{ButtonView, Open, Role, Value},
    },
};
use std::{collections::BTreeMap, net::SocketAddr, path::Path};

async fn open(folder: &Path) -> Place {
    let site = SITE
        .replace("\"opt_out\", ", "\"opt_out\", \"buttons_personal\", \"buttons_team_deploy\", ")
        .replace("tools = { screen", "tools = { deploy = \"yes\", screen");
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder, listen, &site, Box::new(|_, _| {})).await;
    place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
    place
}

async fn ana(place: &Place) -> Person {
    let target = place.target(Transport::Ws);
    let token = sign_in(&target, "ana", PASSWORD).await.unwrap();
    let (client, happenings) = Client::connect(target, hello(Role::Rep, Credential::Token(token))).await.unwrap();
    Person { client, happenings, session: 0 }
}

async fn comes(place: &Place, transport: Transport, key: &str) -> Result<Person, ClientError> {
    let said = hello(Role::Customer, Credential::Key(key.into()));
    let (client, happenings) = Client::connect(place.target(transport), said).await?;
    let session = client.welcome().session.expect("a customer has one session");
    Ok(Person { client, happenings, session })
}

async fn made(ana: &Person, queue: Option<&str>) -> (u32, String) {
    let make = Do::MakeButton { queue: queue.map(str::to_owned), portal: None };
    match in_time(ana.client.act(make)).await {
        Ok(Done::Button { button, key }) => (button, key.to_string()),
        other => panic!("a button: {other:?}"),
    }
}

async fn listed(ana: &Person) -> Vec<ButtonView> {
    match in_time(ana.client.act(Do::Buttons { after: 0 })).await {
        Ok(Done::Buttons { buttons, more: false }) => buttons,
        other => panic!("the buttons: {other:?}"),
    }
}

fn gone(came: Result<Person, ClientError>) {
    assert!(matches!(came, Err(ClientError::Denied { code: 4510, .. })), "{:?}", came.err());
}

#[tokio::test]
async fn r2_1_r2_2_a_button_is_good_again_and_again_across_a_restart_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let place = open(folder.path()).await;
    let rep = ana(&place).await;
    let ((own, key), (team, of_team)) = (made(&rep, None).await, made(&rep, Some("team:desk")).await);
    let mut sessions = Vec::new();
    for (key, queue) in [(&key, "rep:ana"), (&of_team, "team:desk"), (&key, "rep:ana")] {
        let customer = comes(&place, Transport::Ws, key).await.unwrap();
        let id = equipoise::ids::SessionId(customer.session);
        let look = move |state: &equipoise::engine::State| {
            state.session(id).and_then(|found| Some(found.waiting()?.queue.address(&state.site)))
        };
        assert_eq!(place.broker.look(look).await.unwrap().as_deref(), Some(queue));
        sessions.push(customer.session);
    }
    assert!(sessions.is_sorted_by(|one, other| one < other), "one more each time: {sessions:?}");
    let before = listed(&rep).await;
    assert_eq!(before.iter().map(|one| one.queue.as_str()).collect::<Vec<_>>(), ["rep:ana", "team:desk"]);
    let address = place.address;
    in_time(place.close()).await;

    let place = Place::open_at(folder.path(), address).await;
    let rep = ana(&place).await;
    assert_eq!(listed(&rep).await, before);
    let customer = comes(&place, Transport::Quic, &key).await.unwrap();
    in_time(rep.client.act(Do::Take { session: customer.session })).await.unwrap();
    in_time(rep.client.act(Do::RevokeButton { button: own })).await.unwrap();
    gone(comes(&place, Transport::Ws, &key).await);
    comes(&place, Transport::Ws, &of_team).await.unwrap();
    assert_eq!(listed(&rep).await.iter().map(|one| one.button).collect::<Vec<_>>(), [team]);
    for act in [Do::Buttons { after: 0 }, Do::RevokeButton { button: team }] {
        let refused = in_time(customer.client.act(act)).await;
        assert!(matches!(&refused, Err(ActError::Refused(refused)) if refused.code == "not_permitted"), "{refused:?}");
    }
    in_time(place.close()).await;
}

#[tokio::test]
async fn p3_17_the_customers_end_keeps_a_button_whose_token_never_crossed() {
    let folder = tempfile::tempdir().unwrap();
    let place = open(folder.path()).await;
    let mut rep = ana(&place).await;
    let (_, link) = made(&rep, None).await;
    let mut customer = comes(&place, Transport::Ws, &link).await.unwrap();
    let session = customer.session;
    in_time(rep.client.act(Do::Take { session })).await.unwrap();
    let args = BTreeMap::from([("queue".to_owned(), Value::Text("team:desk".into()))]);
    in_time(rep.client.act(Do::Open(Open { session, tool: "deploy".into(), args }))).await.unwrap();
    let requested = |ev| if let Ev::Requested { open, tool, .. } = ev { Some((open, tool)) } else { None };
    let (open, tool) = customer.until(requested).await;
    assert_eq!(tool, "deploy");
    let token = Secret::link();
    let facts = BTreeMap::from([("token".to_owned(), Value::Text(HEXLOWER.encode(&token.hash().0)))]);
    in_time(customer.client.act(Do::AcceptOpen { session, open, facts })).await.unwrap();
    rep.until(|ev| matches!(ev, Ev::Opened(_)).then_some(())).await;
    in_time(customer.client.act(Do::End { session })).await.unwrap();

    let again = comes(&place, Transport::Ws, token.reveal()).await.unwrap();
    assert!(again.session > session);
    assert_eq!(listed(&rep).await.last().map(|one| one.queue.clone()).as_deref(), Some("team:desk"));
    in_time(place.close()).await;
}
