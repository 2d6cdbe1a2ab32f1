//! The history of sessions over real sockets (BU-048): who sees what of it, by the site as it is; page by page; after a
//! restart; and from a folder of a version that kept none.

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, hello},
};
use equipoise::{
    client::{ActError, Client, Transport, sign_in},
    engine::{Actor, Command, Engine, Event, Filed, Stamped, State, Turn},
    ids::{SecretHash, Seq},
    journal::{Appended, DataFolder, Journal, Options, SqliteJournal},
    limits,
    site::raw::RawSite,
    time::Time,
    wire::{
        Credential, Do, Done, Refused,
        control::{Ask, History, KeyKind, PastSession, Role},
    },
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

const KEY: &str = "the till's own key";

/// ana reads her own, ben those of the desk, tom of the lab all, root as an administrator; kim nothing.
fn site() -> String {
    let lab = "[[team]]\ncode = \"lab\"\nalgorithm = \"none\"\npersistent = true\n\
               [[user]]\nusername = \"tom\"\nteams = { lab = \"member\" }\n\
               permissions = [\"support\", \"accept_from_queue\", \"reports_all\"]\n";
    let right = |site: String, user: &str, right: &str| {
        let at = site.find(&format!("username = \"{user}\"")).unwrap();
        let (before, after) = site.split_at(at);
        before.to_owned() + &after.replacen("\"support\",", &format!("\"support\", \"{right}\","), 1)
    };
    let site = SITE.replace("algorithm = \"least_busy\"", "algorithm = \"none\"\npersistent = true");
    right(right(site, "ana", "reports_own"), "ben", "reports_team") + lab
}

struct Desk {
    place: Place,
    till: Person,
}

impl Desk {
    async fn open(folder: &Path) -> Self {
        let place = open(folder).await;
        for rep in ["ana", "ben", "kim", "tom", "root"] {
            place.broker.set_password(Actor::System, rep, PASSWORD.to_owned()).await.unwrap();
        }
        let make = Command::MakeServiceKey { name: "till".into(), token: SecretHash::of(KEY.as_bytes()) };
        place.broker.command(Actor::System, make).await.unwrap();
        Self::of(place).await
    }

    async fn of(place: Place) -> Self {
        let till = enter(&place, hello(Role::Service, Credential::Key(KEY.into()))).await;
        Self { place, till }
    }

    async fn rep(&self, name: &str) -> Person {
        let role = if name == "root" { Role::Admin } else { Role::Rep };
        let token = sign_in(&self.place.target(Transport::Ws), name, PASSWORD).await.unwrap();
        enter(&self.place, hello(role, Credential::Token(token))).await
    }

    async fn asks(&self, queue: &str, customer: &str) -> u64 {
        let ask = Ask { queue: queue.into(), customer_name: customer.into(), ..Ask::default() };
        match in_time(self.till.client.act(Do::Ask(ask))).await {
            Ok(Done::Asked { session, .. }) => session,
            other => panic!("asked: {other:?}"),
        }
    }

    /// A session in this queue that this rep takes and ends.
    async fn served(&self, queue: &str, rep: &Person) -> u64 {
        let session = self.asks(queue, "Chloé").await;
        rep.client.act(Do::Take { session }).await.unwrap();
        let field = Do::SetField { session, field: "company".into(), value: "Bakery 12".into() };
        rep.client.act(field).await.unwrap();
        rep.client.act(Do::End { session }).await.unwrap();
        session
    }
}

async fn open(folder: &Path) -> Place {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Place::open_with(folder, listen, &site(), Box::new(|_, _| {})).await
}

async fn enter(place: &Place, said: equipoise::wire::Hello) -> Person {
    let (client, happenings) = Client::connect(place.target(Transport::Ws), said).await.unwrap();
    Person { client, happenings, session: 0 }
}

async fn page(person: &Person, asked: History) -> Result<(Vec<PastSession>, Option<u64>), Refused> {
    match in_time(person.client.act(Do::History(asked))).await {
        Ok(Done::History { sessions, next }) => Ok((sessions, next)),
        Err(ActError::Refused(refused)) => Err(refused),
        other => panic!("the history: {other:?}"),
    }
}

async fn seen(person: &Person, asked: History) -> Vec<u64> {
    page(person, asked).await.unwrap().0.iter().map(|past| past.session).collect()
}

fn of(team: Option<&str>, rep: Option<&str>) -> History {
    History { team: team.map(Into::into), rep: rep.map(Into::into), ..History::default() }
}

#[tokio::test]
async fn bu_048_p1_1_each_reads_what_its_permission_says_by_the_site_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path()).await;
    let (ana, ben, kim) = (desk.rep("ana").await, desk.rep("ben").await, desk.rep("kim").await);
    let (tom, root) = (desk.rep("tom").await, desk.rep("root").await);
    let own = desk.served("rep:ana", &ana).await;
    let mates = desk.served("rep:kim", &kim).await;
    let lab = desk.served("team:lab", &tom).await;
    let left = desk.asks("team:desk", "Zoë").await;
    desk.till.client.act(Do::End { session: left }).await.unwrap();
    let all = [left, lab, mates, own];

    assert_eq!(seen(&ana, History::default()).await, [own]);
    assert_eq!(seen(&ben, History::default()).await, [left, mates, own]);
    assert_eq!(seen(&tom, History::default()).await, all);
    assert_eq!(seen(&root, History::default()).await, all);
    for nobody in [&kim, &desk.till] {
        let refused = page(nobody, History::default()).await.unwrap_err();
        assert_eq!((refused.code.as_str(), refused.rule.as_str()), ("not_permitted", "P1.1"));
    }
    let make = Do::MakeKey { queue: None, kind: KeyKind::Code, lives_s: None };
    let Ok(Done::Key { key, .. }) = ana.client.act(make).await else { panic!("a key") };
    let customer = enter(&desk.place, hello(Role::Customer, Credential::Key(key.into()))).await;
    assert_eq!(page(&customer, History::default()).await.unwrap_err().code, "not_permitted");

    // A filter shows less of it, never more.
    assert_eq!(seen(&tom, of(Some("team:desk"), None)).await, [left]);
    assert_eq!(seen(&tom, of(None, Some("rep:kim"))).await, [mates]);
    assert!(seen(&ana, of(None, Some("rep:kim"))).await.is_empty());
    assert!(seen(&ben, of(Some("team:lab"), None)).await.is_empty());
    assert!(seen(&ben, of(Some("team:lab"), Some("rep:ana"))).await.is_empty());
    assert_eq!(page(&ana, of(Some("team:none"), None)).await.unwrap_err().code, "unknown_team");
    assert_eq!(page(&ana, of(None, Some("rep:none"))).await.unwrap_err().code, "unknown_rep");

    // Who comes to the desk brings what they were the primary rep of; who loses the right sees nothing more.
    let edited = site().replace("teams = { lab = \"member\" }", "teams = { lab = \"member\", desk = \"member\" }");
    let edited = edited.replace("\"reports_own\", ", "");
    let apply = Command::ApplySite(RawSite::parse(&edited).unwrap().into());
    desk.place.broker.command(Actor::System, apply).await.unwrap();
    assert_eq!(seen(&ben, History::default()).await, all);
    assert_eq!(page(&ana, History::default()).await.unwrap_err().rule, "P1.1");
    desk.place.close().await;
}

#[tokio::test]
async fn bu_048_ra_013_the_history_outlives_the_broker_and_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path()).await;
    let tom = desk.rep("tom").await;
    let first = desk.served("team:lab", &tom).await;
    let mut ended = vec![first];
    for _ in 0..limits::HISTORY_ROWS + 20 {
        let session = desk.asks("team:lab", "").await;
        desk.till.client.act(Do::End { session }).await.unwrap();
        ended.push(session);
    }
    ended.reverse();
    desk.place.close().await;

    let desk = Desk::of(open(folder.path()).await).await;
    let tom = desk.rep("tom").await;
    let (newest, next) = page(&tom, History::default()).await.unwrap();
    assert_eq!(newest.len(), limits::HISTORY_ROWS);
    let (mut rest, end) = page(&tom, History { before: next, ..History::default() }).await.unwrap();
    assert_eq!(end, None);
    let read: Vec<u64> = newest.iter().chain(&rest).map(|past| past.session).collect();
    assert_eq!(read, ended);

    let past = rest.pop().unwrap();
    let said =
        [past.kind, past.began, past.queue.unwrap(), past.owner.unwrap(), past.customer, past.state, past.reason];
    assert_eq!(said, ["support", "ask", "team:lab", "tom", "Chloé", "active", "by_rep"]);
    assert_eq!((past.fields["company"].as_str(), past.people[0].name.as_str()), ("Bakery 12", "tom"));
    let moments = [past.asked_at_ms, past.accepted_at_ms.unwrap(), past.ended_at_ms];
    assert!(moments.is_sorted(), "{moments:?}");
    let since = |ms| History { since_ms: Some(ms), ..History::default() };
    assert!(seen(&tom, since(newest[0].ended_at_ms + 1)).await.is_empty());
    let until = History { until_ms: Some(past.ended_at_ms + 1), ..History::default() };
    assert!(seen(&tom, until).await.ends_with(&[first]));
    desk.place.close().await;
}

#[tokio::test]
async fn bu_048_w5_5_a_folder_of_the_version_before_gets_its_history_from_the_journal_once() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path()).await;
    let (ana, tom) = (desk.rep("ana").await, desk.rep("tom").await);
    for _ in 0..3 {
        desk.served("rep:ana", &ana).await;
        desk.served("team:lab", &tom).await;
    }
    // One that goes on over the upgrade, and is handed on before it.
    let over = desk.asks("rep:ana", "Zoë").await;
    ana.client.act(Do::Take { session: over }).await.unwrap();
    let before = page(&tom, History::default()).await.unwrap();
    assert_eq!(before.0.len(), 6);
    desk.place.close().await;

    let database = folder.path().join("data/sites/main/journal.db");
    let version = || {
        let database = rusqlite::Connection::open(&database).unwrap();
        database.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(version(), 2);
    let old =
        "DROP TRIGGER history_erased; DROP TABLE history; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE);";
    rusqlite::Connection::open(&database).unwrap().execute_batch(old).unwrap();

    let desk = Desk::of(open(folder.path()).await).await;
    let (ana, tom) = (desk.rep("ana").await, desk.rep("tom").await);
    assert_eq!((page(&tom, History::default()).await.unwrap(), version()), (before, 2));
    ana.client.act(Do::End { session: over }).await.unwrap();
    let (newest, _) = page(&ana, History::default()).await.unwrap();
    assert_eq!((newest[0].session, newest[0].first_owner.as_deref()), (over, Some("ana")));
    desk.place.close().await;
    let reports = equipoise::journal::verify(&folder.path().join("data")).unwrap();
    assert_eq!(reports[0].problem, None);
}

/// The state after these turns, as the broker's own snapshots hold it.
fn fold(snapshot: Option<&[u8]>, turns: &mut dyn Iterator<Item = Turn>) -> Result<Vec<u8>, String> {
    let mut state: State = match snapshot {
        Some(bytes) => rmp_serde::from_slice(bytes).map_err(|error| error.to_string())?,
        None => State::default(),
    };
    turns.for_each(|turn| turn.events.iter().for_each(|stamped| Engine::apply(&mut state, stamped)));
    rmp_serde::to_vec_named(&state).map_err(|error| error.to_string())
}

#[tokio::test]
async fn bu_048_w5_1_where_a_turn_was_erased_the_history_begins_with_the_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path()).await;
    let ana = desk.rep("ana").await;
    desk.served("rep:ana", &ana).await;
    let over = desk.asks("rep:ana", "Zoë").await;
    ana.client.act(Do::Take { session: over }).await.unwrap();
    desk.place.close().await;

    // A snapshot after all of it, then an early turn is erased, in a folder as the version before has it.
    let data = folder.path().join("data");
    let options = Options { turns_per_snapshot: 1, ..Options::default() };
    let (mut journal, recovered) =
        SqliteJournal::open(&DataFolder::open(&data).unwrap(), "main", options, fold).unwrap();
    let (mut next, epoch, site) = (recovered.head, recovered.epoch, data.join("sites/main"));
    drop(recovered);
    let is_snapshot = |entry: &std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("snapshot-") && !name.ends_with(".tmp")
    };
    while !std::fs::read_dir(&site).unwrap().flatten().any(|entry| is_snapshot(&entry)) {
        next = Seq(next.0 + 1);
        let said = Stamped { at: Time(1), event: Event::CivilTime { ms: 1 } };
        let turn = Turn { requests: Vec::new(), events: vec![said] };
        let appended = journal.append(next, epoch, turn.into(), Filed::default()).await;
        assert_eq!(appended, Appended::Durable(next));
    }
    journal.close();
    let old = "UPDATE turns SET payload = NULL WHERE seq = 3; DROP TRIGGER history_erased; DROP TABLE history;
               PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE);";
    rusqlite::Connection::open(site.join("journal.db")).unwrap().execute_batch(old).unwrap();

    let desk = Desk::of(open(folder.path()).await).await;
    let (ana, tom) = (desk.rep("ana").await, desk.rep("tom").await);
    ana.client.act(Do::End { session: over }).await.unwrap();
    assert_eq!(seen(&tom, History::default()).await.last(), Some(&over));
    desk.place.close().await;
    let desk = Desk::of(open(folder.path()).await).await;
    let tom = desk.rep("tom").await;
    let (sessions, _) = page(&tom, History::default()).await.unwrap();
    assert_eq!((sessions[0].session, sessions[0].owner.as_deref()), (over, Some("ana")));
    desk.place.close().await;
}
