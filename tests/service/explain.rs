//! R9 on a running broker: over the wire, by the command line from its journal, and for whom.

use crate::{
    people::Person,
    place::{PASSWORD, Place},
    process::Process,
};
use equipoise::{
    client::{ActError, Transport::Ws, sign_in},
    wire::{
        Credential, Do,
        control::{Ask, Done, Explained, Role},
    },
};
use serde_json::Value;

async fn explained(person: &Person, act: Do) -> Explained {
    match person.client.act(act).await {
        Ok(Done::Explained(explained)) => *explained,
        other => panic!("explained: {other:?}"),
    }
}

async fn refusal(person: &Person, act: Do) -> String {
    match person.client.act(act).await {
        Err(ActError::Refused(refused)) => refused.code,
        other => panic!("refused: {other:?}"),
    }
}

fn look(session: u64) -> Do {
    Do::Explain { session, past: false, offer: None }
}

fn to(queue: &str) -> Ask {
    Ask { queue: queue.into(), ..Ask::default() }
}

/// What the command prints, one JSON object a line.
fn says(place: &Place, args: &[&str]) -> Vec<Value> {
    let url = format!("https://{}", place.address);
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "URL" { url.as_str() } else { *arg }).collect();
    let mut process = Process::start_with(&args, PASSWORD);
    process.done();
    process.out.all().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_1_a_past_offer_is_explained_over_the_wire_and_from_the_journal_alike() {
    let place = Place::open().await;
    let till = Person::enter(&place, Ws, Role::Service, Credential::Key(place.service_key().await)).await;
    let ben = Person::rep(&place, Ws, "ben").await;
    let cleo = Person::rep(&place, Ws, "cleo").await;
    let dora = Person::rep(&place, Ws, "dora").await;
    cleo.client.act(Do::OptOut {}).await.unwrap();
    let Ok(Done::Asked { session, .. }) = till.client.act(Do::Ask(to("team:desk"))).await else { panic!() };
    ben.client.act(Do::Reject { session }).await.unwrap();
    cleo.client.act(Do::OptIn {}).await.unwrap();
    cleo.client.act(Do::Accept { session }).await.unwrap();

    // It does not wait any more; its past is known, each offer with its full list.
    let whole = explained(&cleo, Do::Explain { session, past: true, offer: None }).await;
    assert_eq!(whole.queue, "");
    let told: Vec<(&str, Option<u32>, Option<&str>)> =
        whole.decisions.iter().map(|it| (it.event.as_str(), it.offer, it.rep.as_deref())).collect();
    let expected = [
        ("queued", None, None),
        ("offered", Some(1), Some("ben")),
        ("rejected", None, Some("ben")),
        ("offered", Some(2), Some("cleo")),
        ("accepted", None, Some("cleo")),
    ];
    assert_eq!(told, expected);
    let first = explained(&cleo, Do::Explain { session, past: false, offer: Some(1) }).await;
    assert_eq!((first.candidates.as_slice(), first.chosen.as_deref()), (&["ben".to_owned()][..], Some("ben")));
    assert_eq!(first.rejected["cleo"], "opted_out");
    let second = explained(&cleo, Do::Explain { session, past: false, offer: Some(2) }).await;
    assert_eq!((second.rejected["ben"].as_str(), second.chosen.as_deref()), ("rejected", Some("cleo")));

    // Who has nothing to do with it learns not even that it exists (H-42); ben serves nothing here.
    for (person, offer) in [(&dora, None), (&ben, None), (&ben, Some(1))] {
        let code = refusal(person, Do::Explain { session, past: false, offer }).await;
        assert_eq!(code, "unknown_session");
    }
    assert_eq!(refusal(&cleo, Do::Explain { session, past: false, offer: Some(3) }).await, "unknown_session");

    // The command line says the same from the journal beside the running broker, and over the wire.
    let data = place.data.to_str().unwrap().to_owned();
    let number = session.to_string();
    let from_journal = says(&place, &["explain", "session", &number, "--data", &data, "--all", "--json"]);
    let pin = place.pin.clone();
    let live = ["explain", "session", &number, "--server", "URL", "--pin", &pin, "--login", "root", "--all", "--json"];
    assert_eq!(says(&place, &live), from_journal);
    let of_wire: Vec<Value> = [&first, &second, &whole].map(|it| serde_json::to_value(it).unwrap()).into();
    assert_eq!(from_journal, of_wire);

    // When it has ended an administrator still reads its past, and nobody else.
    cleo.client.act(Do::End { session }).await.unwrap();
    assert_eq!(refusal(&cleo, Do::Explain { session, past: true, offer: None }).await, "unknown_session");
    let token = sign_in(&place.target(Ws), "root", PASSWORD).await.unwrap();
    let root = Person::enter(&place, Ws, Role::Admin, Credential::Token(token)).await;
    let ended = explained(&root, Do::Explain { session, past: true, offer: None }).await;
    assert_eq!(ended.decisions.last().map(|it| it.event.as_str()), Some("ended"));
    assert_eq!(refusal(&root, look(session)).await, "unknown_session");

    // Decided again from its own journal, everything comes out as it did (I8).
    let again = says(&place, &["simulate", "--from-journal", &data, "--json"]);
    assert_eq!(again.last().unwrap()["equal"], true, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r9_2_a_dry_run_on_a_running_broker_says_what_asking_then_does() {
    let place = Place::open().await;
    let till = Person::enter(&place, Ws, Role::Service, Credential::Key(place.service_key().await)).await;
    let ben = Person::rep(&place, Ws, "ben").await;
    let dry = explained(&till, Do::ExplainAsk(to("team:desk"))).await;
    assert_eq!((dry.session, dry.queue.as_str(), dry.chosen.as_deref()), (0, "team:desk", Some("ben")));
    assert_eq!(dry.left_out["offline"], 1);
    // Nobody is in team `ana`; the designated fallback queue takes it (R2.6).
    assert_eq!(explained(&till, Do::ExplainAsk(to("team:ana"))).await.queue, "team:desk");
    assert_eq!(refusal(&ben, Do::ExplainAsk(to("team:desk"))).await, "not_permitted");
    let pin = place.pin.clone();
    let args = ["explain", "ask", "team:desk", "--server", "URL", "--pin", &pin, "--login", "root", "--json"];
    assert_eq!(says(&place, &args), [serde_json::to_value(&dry).unwrap()]);

    // It changed nothing: asking gives what it said.
    let Ok(Done::Asked { session, .. }) = till.client.act(Do::Ask(to("team:desk"))).await else { panic!() };
    ben.client.act(Do::Accept { session }).await.unwrap();
    let cleo = Person::rep(&place, Ws, "cleo").await;
    let served = explained(&cleo, look(session)).await;
    assert_eq!((served.session, served.queue.as_str()), (session, ""));
}
