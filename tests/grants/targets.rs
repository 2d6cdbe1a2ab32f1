//! BU-057, BU-058: the list of whom a session may be handed to has exactly those whom the act takes.

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Engine, Queue, Request, targets::Handing},
    ids::*,
};
use std::collections::BTreeSet;

/// Two more teams, reps of theirs who are there and who are not, and one who may not support.
fn site(permissions: &str, tools: &str) -> String {
    let site = SITE.replacen("\"generate_keys\", \"jump_shell\"]", &format!("\"generate_keys\"{permissions}]"), 1);
    let site = site.replacen("record = \"with_consent\"", &format!("{tools}record = \"with_consent\""), 1);
    let more = r#"
[[team]]
code = "far"
algorithm = "none"
persistent = true
[[user]]
username = "dan"
teams = { desk = "member" }
permissions = ["support"]
[[user]]
username = "fay"
teams = { far = "member" }
permissions = ["support"]
[[user]]
username = "fox"
teams = { far = "member" }
permissions = ["support"]
[[user]]
username = "pia"
teams = { net = "member", far = "member" }
permissions = ["accept_from_queue"]
"#;
    site + more
}

fn listed(world: &World, session: SessionId, handing: Handing) -> BTreeSet<Queue> {
    let state = world.engine.state();
    state.targets(world.user("ana"), state.session(session).expect("it runs"), handing).flatten().collect()
}

/// What the act says, tried on a copy.
fn taken(world: &World, session: SessionId, handing: Handing) -> BTreeSet<Queue> {
    let state = world.engine.state();
    let teams = state.site.teams.keys().copied().map(Queue::Team);
    let queues = teams.chain(state.site.users.keys().copied().map(Queue::Personal));
    let takes = |to: &Queue| {
        let command = match handing {
            Handing::Transfer => Command::Transfer { session, to: *to },
            Handing::Share => Command::Share { session, to: *to, mail: None },
        };
        let request = Request { actor: Actor::Party(Party::Rep(world.user("ana"))), id: None, command };
        Engine::from_state(state.clone()).handle(world.now, &request, &mut Vec::new()).is_ok()
    };
    queues.filter(takes).collect()
}

fn names(world: &World, queues: &BTreeSet<Queue>) -> String {
    let site = &world.engine.state().site;
    let name = |queue: &Queue| match queue {
        Queue::Team(team) => site.teams[team].code.clone(),
        Queue::Personal(user) => site.users[user].username.clone(),
    };
    queues.iter().map(name).collect::<Vec<_>>().join(" ")
}

#[test]
fn bu_057_bu_058_the_list_has_whom_the_act_takes_and_nobody_else() {
    let transfer = "transfer = \"yes\", collaborate = \"yes\", ";
    for (permissions, tools, to_transfer, to_share) in [
        ("", transfer, "net bob", "net bob"),
        (", \"transfer_outside\"", transfer, "net desk far bob dan fay", "net bob"),
        (", \"share_outside\"", transfer, "net bob", "net desk far bob dan fay"),
        (", \"transfer_outside\"", "transfer = \"yes\", transfer_to = [\"team:far\"], ", "far fay", "net bob"),
        (", \"transfer_outside\"", "transfer = \"no\", collaborate = \"no\", ", "", ""),
    ] {
        let mut world = World::of(&site(permissions, tools));
        let session = world.serve(None, present());
        for name in ["bob", "dan", "fay", "pia"] {
            world.log_in(name);
        }
        for (handing, expected) in [(Handing::Transfer, to_transfer), (Handing::Share, to_share)] {
            let (listed, taken) = (listed(&world, session, handing), taken(&world, session, handing));
            assert_eq!(names(&world, &listed), expected, "{handing:?} {permissions} {tools}");
            // The queue it was taken from, an invitation to a team of nobody, and one's own queue apart.
            let own = Queue::Personal(world.user("ana"));
            let taken: BTreeSet<Queue> = taken.into_iter().filter(|to| *to != own).collect();
            assert_eq!(names(&world, &taken), expected, "{handing:?} {permissions} {tools}");
        }
    }
}
