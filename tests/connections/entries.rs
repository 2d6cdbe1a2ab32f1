//! What an integrator may ask for: addresses (R2.5) and a portal's list of reps (R2.1).

use crate::place::{PASSWORD, Place, SITE, hello};
use equipoise::{
    client::{ActError, Client, Transport, sign_in},
    engine::{Actor, Command},
    ids::SecretHash,
    wire::{
        Credential, Do, Done,
        control::{Ask, Role},
    },
};
use std::path::Path;

const KEY: &str = "the till's own key";

async fn place(folder: &Path, site: &str) -> (Place, Client) {
    let place = Place::open_with(folder, "127.0.0.1:0".parse().unwrap(), site, Box::new(|_, _| {})).await;
    for rep in ["ana", "ben"] {
        place.broker.set_password(Actor::System, rep, PASSWORD.to_owned()).await.unwrap();
    }
    let make = Command::MakeServiceKey { name: "till".into(), token: SecretHash::of(KEY.as_bytes()) };
    place.broker.command(Actor::System, make).await.unwrap();
    let said = hello(Role::Service, Credential::Key(KEY.into()));
    let (till, _) = Client::connect(place.target(Transport::Ws), said).await.unwrap();
    (place, till)
}

async fn rep(place: &Place, name: &str) -> Client {
    let target = place.target(Transport::Ws);
    let token = sign_in(&target, name, PASSWORD).await.unwrap();
    Client::connect(target, hello(Role::Rep, Credential::Token(token))).await.unwrap().0
}

/// The code and rule of a refusal.
fn refused(answer: Result<Done, ActError>) -> (String, String) {
    match answer {
        Err(ActError::Refused(refused)) => (refused.code, refused.rule),
        other => panic!("it is refused: {other:?}"),
    }
}

fn ask(queue: &str) -> Do {
    Do::Ask(Ask { queue: queue.into(), ..Ask::default() })
}

#[tokio::test]
async fn r2_5_an_address_is_exactly_one_thing() {
    let folder = tempfile::tempdir().unwrap();
    let issue = "[[issue]]\ncode = \"mail\"\nteam = \"desk\"\n";
    let general = "[[team]]\ncode = \"general\"\nname = \"Everyone\"\nalgorithm = \"none\"\npersistent = true\n";
    let (place, till) = place(folder.path(), &format!("{SITE}\n{issue}{general}")).await;
    let ana = rep(&place, "ana").await;
    for address in ["team:desk", "team:DESK", "rep:ana", "issue:mail", "general", "team:general"] {
        let asked = till.act(ask(address)).await;
        assert!(matches!(asked, Ok(Done::Asked { .. })), "{address}: {asked:?}");
    }
    for (address, code) in [
        ("team:mail", "unknown_team"),
        ("team:desk:desk", "unknown_team"),
        ("team:", "unknown_team"),
        ("rep:desk", "unknown_rep"),
        ("issue:desk", "unknown_issue"),
        ("desk", "unknown_queue"),
        ("queue:desk", "unknown_queue"),
        (" team:desk", "unknown_queue"),
        ("", "unknown_queue"),
    ] {
        assert_eq!(refused(till.act(ask(address)).await), (code.into(), "R2.5".into()), "{address}");
    }
    drop(ana);
    place.close().await;
}

#[tokio::test]
async fn r2_5_general_is_a_team_like_any_other_and_unknown_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (place, till) = place(folder.path(), SITE).await;
    assert_eq!(refused(till.act(ask("general")).await), ("unknown_team".into(), "R2.5".into()));
    place.close().await;
}

#[tokio::test]
async fn r2_1_an_integrator_reads_a_portals_list_and_asks_for_a_rep_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let site = SITE
        .replace("hosts = [\"127.0.0.1\"]", "hosts = [\"127.0.0.1\"]\nrep_list = true")
        .replace("\"opt_out\", ", "\"opt_out\", \"show_on_public_site\", ");
    let (place, till) = place(folder.path(), &format!("{site}\n[[portal]]\ncode = \"quiet\"\n")).await;
    let list = |portal: &str| Do::RepList { portal: portal.into() };
    let listed = async || match till.act(list("main")).await {
        Ok(Done::RepList { reps, more: false }) => {
            reps.into_iter().map(|rep| (rep.queue, rep.name)).collect::<Vec<_>>()
        }
        other => panic!("the list: {other:?}"),
    };
    assert_eq!(listed().await, []);
    let ana = rep(&place, "ana").await;
    let ben = rep(&place, "ben").await;
    let of_ana = ("rep:ana".to_owned(), "Ana".to_owned());
    assert_eq!(listed().await, std::slice::from_ref(&of_ana), "ben may not be shown");
    let asked = till.act(ask(&of_ana.0)).await;
    assert!(matches!(asked, Ok(Done::Asked { .. })), "{asked:?}");

    assert_eq!(refused(till.act(list("quiet")).await), ("not_permitted".into(), "R2.1".into()));
    assert_eq!(refused(till.act(list("elsewhere")).await).0, "malformed");
    assert_eq!(refused(ben.act(list("main")).await), ("not_permitted".into(), "R2.1".into()));
    ana.act(Do::Logout {}).await.unwrap();
    assert_eq!(listed().await, []);
    place.close().await;
}
