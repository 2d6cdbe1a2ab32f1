//! A disk that fails in the middle of an edit (P6.2, W5.2): of the turns that share its commit the first are durable and the
//! others are not.

use crate::{
    attack::in_time,
    place::{Place, SITE, hello},
};
use equipoise::{
    client::{Client, Transport},
    engine::{Actor, Command, Entry, Event, Outcome, Queue, Reason, Stamped, State, command::Ask},
    ids::*,
    limits,
    site::raw::RawSite,
    wire::{Credential, control::Role},
};
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

/// More than one turn judges, and the last turn one alone.
const ALL: usize = 2 * limits::SESSIONS_JUDGED_PER_TURN + 1;

type Told = Arc<Mutex<BTreeMap<SessionId, u32>>>;

/// The disk takes this many more turns.
struct Disk(Connection);

impl Disk {
    fn full_after(data: &Path, turns: i64) -> Self {
        let database = Connection::open(data.join("data/sites/main/journal.db")).unwrap();
        database.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let last: i64 = database.query_row("SELECT max(seq) FROM turns", [], |row| row.get(0)).unwrap();
        let trigger = format!(
            "CREATE TRIGGER full BEFORE INSERT ON turns WHEN NEW.seq > {} BEGIN SELECT RAISE(ABORT, 'full'); END",
            last + turns
        );
        database.execute_batch(&trigger).unwrap();
        Self(database)
    }

    fn has_room(self) {
        self.0.execute_batch("DROP TRIGGER full").unwrap();
    }
}

/// Version of the site, sessions whose rights the edit changed, sessions that are still to be judged.
fn stands(state: &State) -> (u64, usize, usize) {
    let changed = state.sessions.keys().filter(|id| state.tools.epoch(**id) == PermissionEpoch(1)).count();
    (state.site_version, changed, state.tools.unjudged())
}

async fn an_edit_that_the_disk_takes_in_part(turns: i64) {
    let folder = tempfile::tempdir().unwrap();
    let told = Told::default();
    let follower = {
        let told = told.clone();
        move |events: &[Stamped], _: &_| {
            for Stamped { event, .. } in events {
                let Event::RightsJudged { sessions } = event else { continue };
                for (session, _) in sessions {
                    *told.lock().unwrap().entry(*session).or_default() += 1;
                }
            }
        }
    };
    let listen = "127.0.0.1:0".parse().unwrap();
    let place = Place::open_with(folder.path(), listen, SITE, Box::new(follower)).await;
    let token = place.broker.token_for("ana").await.unwrap();
    let hello = hello(Role::Rep, Credential::Token(token));
    let (ana, _) = Client::connect(place.target(Transport::Ws), hello).await.unwrap();
    let look = place.broker.look(|state| (state.site.codes.users["ana"], state.site.codes.teams["desk"])).await;
    let (user, desk) = look.unwrap();
    let serves = async |_| {
        let ask = Command::Ask(Ask::of(Entry::Queue(Queue::Team(desk))));
        let asked = place.broker.command(Actor::Service(ServiceId(1)), ask).await;
        let Ok(Outcome::Session(session)) = asked else { panic!("asked for: {asked:?}") };
        place.broker.command(Actor::Party(Party::Rep(user)), Command::Take { session }).await.unwrap();
    };
    futures_util::future::join_all((0..ALL).map(serves)).await;
    let (before, ..) = place.broker.look(stands).await.unwrap();

    let disk = Disk::full_after(folder.path(), turns);
    let site = SITE.replace("shell = \"yes\"", "shell = \"no\"");
    let edit = || Command::ApplySite(RawSite::parse(&site).unwrap().into());
    let refused = in_time(place.broker.command(Actor::System, edit())).await.unwrap_err();
    assert_eq!(refused.reason, Reason::StorageFull, "who edits is not told that it is done");

    // The writer takes together what waits for it, so fewer turns than there is room for may be durable.
    let (version, changed, left) = place.broker.look(stands).await.unwrap();
    match version - before {
        0 => assert_eq!((changed, left), (0, 0), "nothing came of it"),
        _ => assert_eq!((changed + left, changed % limits::SESSIONS_JUDGED_PER_TURN), (ALL, 0)),
    }
    assert!(left > 0 || version == before, "the last turn is not durable");
    assert!(turns > 0 || version == before, "no turn is durable");
    assert_eq!(told.lock().unwrap().len(), changed, "told of what is durable, and of no more");

    disk.has_room();
    if version == before {
        in_time(place.broker.command(Actor::System, edit())).await.unwrap();
    }
    let judged = async { while place.broker.look(|state| state.tools.unjudged()).await.unwrap() > 0 {} };
    in_time(judged).await;
    assert_eq!(place.broker.look(stands).await.unwrap(), (before + 1, ALL, 0));
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!((told.len(), told.values().max()), (ALL, Some(&1)), "each once");
    ana.close().await;
    place.close().await;
    let again = Place::open_at(folder.path(), listen).await;
    assert_eq!(again.broker.look(stands).await.unwrap(), (before + 1, ALL, 0));
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_2_p6_2_an_edit_of_which_the_disk_takes_nothing_is_refused_and_is_not() {
    an_edit_that_the_disk_takes_in_part(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w5_2_p6_2_an_edit_of_which_the_disk_takes_the_first_turns_is_refused_and_goes_on_from_there() {
    for turns in [1, 3] {
        an_edit_that_the_disk_takes_in_part(turns).await;
    }
}
