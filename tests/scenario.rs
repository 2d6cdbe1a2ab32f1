//! Contract C2, verb by verb and reason by reason where `tests/simulate.rs` does not go: waits that widen, statuses,
//! limits, seats, schedules, endings; the page of a run; a journal decided again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use equipoise::{
    engine::{Actor, Command, Engine, Event, Request, State, Turn},
    ids::{Party, SecretHash, Seq, SessionId, UserId},
    simulate::{self, Again, Heading, Line, Report, Scenario, ScenarioError, page},
    site::raw::RawSite,
    time::{Span, Time},
    wire::control::ClientInfo,
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn play(scenario: &Value) -> (Vec<Line>, Report) {
    let scenario = Scenario::parse(&scenario.to_string(), |_| Err("the site stands inline".into())).unwrap();
    let mut lines = Vec::new();
    let report = simulate::run(scenario, &mut |line| {
        lines.push(line);
        Ok::<_, ScenarioError>(())
    })
    .unwrap();
    (lines, report)
}

#[track_caller]
fn tells(site: Value, more: Value, expected: Expect) {
    let mut scenario = json!({ "site": site, "start": "2026-03-02T08:00:00Z" });
    scenario.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text: String = play(&scenario).0.iter().map(|line| line.json() + "\n").collect();
    expected.assert_eq(&text);
}

fn rep(name: &str, more: Value) -> Value {
    let mut rep = json!({
        "username": name, "teams": { "net": "member" },
        "permissions": ["support", "accept_from_queue", "get_next", "opt_out"],
    });
    rep.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rep
}

fn site(options: Value, team: Value, users: Vec<Value>) -> Value {
    let mut net = json!({ "code": "net", "algorithm": "skills_least_busy" });
    net.as_object_mut().unwrap().extend(team.as_object().unwrap().clone());
    json!({
        "site": { "name": "scenario" }, "options": options,
        "skill": [{ "code": "antivirus" }, { "code": "norton", "parent": "antivirus" }],
        "team": [net, { "code": "db", "algorithm": "none", "persistent": true }],
        "user": users,
    })
}

#[test]
fn c2_a_better_match_and_a_preferred_rep_are_waited_for() {
    let users = vec![rep("ana", json!({ "skills": ["norton"] })), rep("ben", json!({}))];
    tells(
        site(json!({}), json!({}), users),
        json!({ "until_s": 100, "steps": [
            { "at": 0, "do": "login", "rep": "ben" },
            { "at": 1, "do": "ask", "session": "skilled", "queue": "team:net", "skills": ["norton"], "relax_after_s": 10.5 },
            { "at": 30, "do": "accept", "rep": "ben", "session": "skilled" },
            { "at": 31, "do": "login", "rep": "ana" },
            { "at": 32, "do": "ask", "session": "known", "queue": "team:net", "preferred": { "rep": "ben", "window_s": 20 } },
            { "at": 33, "do": "reject", "rep": "ben", "session": "known" },
            { "at": 34, "do": "accept", "rep": "ana", "session": "known" },
            { "at": 35, "do": "opt_out", "rep": "ben" },
            { "at": 40, "do": "ask", "session": "patient", "queue": "team:net", "preferred": { "rep": "ben", "window_s": 20 } },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ben"}
            {"at":1,"event":"queued","session":"skilled","queue":"team:net"}
            {"at":22,"event":"offered","session":"skilled","rep":"ben","team":"net","expires_at":52}
            {"at":30,"event":"accepted","session":"skilled","rep":"ben"}
            {"at":31,"event":"logged_in","rep":"ana"}
            {"at":32,"event":"queued","session":"known","queue":"team:net"}
            {"at":32,"event":"offered","session":"known","rep":"ben","team":"net","expires_at":62}
            {"at":33,"event":"rejected","session":"known","rep":"ben"}
            {"at":33,"event":"offered","session":"known","rep":"ana","team":"net","expires_at":63}
            {"at":34,"event":"accepted","session":"known","rep":"ana"}
            {"at":40,"event":"queued","session":"patient","queue":"team:net"}
            {"at":60,"event":"offered","session":"patient","rep":"ana","team":"net","expires_at":90}
            {"at":90,"event":"offer_timeout","session":"patient","rep":"ana"}
        "#]],
    );
}

#[test]
fn c2_status_and_idleness_stop_offers_until_they_end() {
    let users = vec![rep("ana", json!({ "idle_limit_s": 180 }))];
    tells(
        site(json!({}), json!({}), users),
        json!({ "until_s": 1000, "steps": [
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0, "do": "status", "rep": "ana", "code": "busy" },
            { "at": 1, "do": "status", "rep": "ana", "code": "dancing" },
            { "at": 2, "do": "ask", "session": "a", "queue": "team:net" },
            { "at": 3, "do": "status", "rep": "ana", "code": "available" },
            { "at": 4, "do": "accept", "rep": "ana", "session": "a" },
            { "at": 10, "do": "idle", "rep": "ana" },
            { "at": 200, "do": "ask", "session": "b", "queue": "team:net" },
            { "at": 300, "do": "active", "rep": "ana" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ana"}
            {"at":1,"event":"refused","do":"status","reason":"malformed","rep":"ana"}
            {"at":2,"event":"queued","session":"a","queue":"team:net"}
            {"at":3,"event":"offered","session":"a","rep":"ana","team":"net","expires_at":33}
            {"at":4,"event":"accepted","session":"a","rep":"ana"}
            {"at":200,"event":"queued","session":"b","queue":"team:net"}
            {"at":300,"event":"offered","session":"b","rep":"ana","team":"net","expires_at":330}
            {"at":330,"event":"offer_timeout","session":"b","rep":"ana"}
        "#]],
    );
}

#[test]
fn c2_limits_of_queue_rep_seat_and_schedule_refuse_by_name() {
    let hours = json!({ "timezone": "UTC", "entries": ["tue 08:00 - tue 18:00"] });
    let mut users = vec![rep("ana", json!({ "license_pool": "one" })), rep("ben", json!({ "license_pool": "one" }))];
    users.push(rep("eve", json!({ "schedule": hours })));
    users.push(rep("off", json!({ "enabled": false })));
    users.push(rep("dora", json!({ "teams": { "db": "member" } })));
    let options = json!({ "max_active_sessions": 1, "require_closed_sessions": true });
    let mut site = site(options, json!({ "max_queue": 1, "algorithm": "none" }), users);
    site["license_pool"] = json!([{ "code": "one", "seats": 1 }]);
    tells(
        site,
        json!({ "steps": [
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0, "do": "login", "rep": "ben" },
            { "at": 0, "do": "login", "rep": "eve" },
            { "at": 0, "do": "login", "rep": "off" },
            { "at": 0, "do": "login", "rep": "dora" },
            { "at": 1, "do": "ask", "session": "a", "queue": "team:net" },
            { "at": 1, "do": "ask", "session": "b", "queue": "team:net" },
            { "at": 2, "do": "take", "rep": "dora", "session": "a" },
            { "at": 2, "do": "take", "rep": "ana", "session": "a" },
            { "at": 2, "do": "take", "rep": "ana", "session": "a" },
            { "at": 3, "do": "ask", "session": "c", "queue": "team:net" },
            { "at": 3, "do": "get_next", "rep": "ana" },
            { "at": 4, "do": "logout", "rep": "ana" },
            { "at": 5, "do": "accept", "rep": "ana", "session": "nobody" },
            { "at": 5, "do": "leave", "session": "nobody" },
            { "at": 6, "do": "jump", "rep": "ana", "item": "nothing", "session": "j" },
            { "at": 6, "do": "share", "by": "ana", "session": "a", "to": "rep:nobody" },
            { "at": 6, "do": "hold", "rep": "dora", "session": "a" },
            { "at": 7, "do": "transfer", "by": "ana", "session": "a", "to": "team:net" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ana"}
            {"at":0,"event":"refused","do":"login","reason":"no_seat","rep":"ben"}
            {"at":0,"event":"refused","do":"login","reason":"outside_schedule","rep":"eve"}
            {"at":0,"event":"refused","do":"login","reason":"account_disabled","rep":"off"}
            {"at":0,"event":"logged_in","rep":"dora"}
            {"at":1,"event":"queued","session":"a","queue":"team:net"}
            {"at":1,"event":"refused","do":"ask","reason":"queue_full","session":"b","queue":"team:net"}
            {"at":2,"event":"refused","do":"take","reason":"not_member","rep":"dora","session":"a"}
            {"at":2,"event":"accepted","session":"a","rep":"ana"}
            {"at":2,"event":"refused","do":"take","reason":"wrong_state","rep":"ana","session":"a"}
            {"at":3,"event":"queued","session":"c","queue":"team:net"}
            {"at":3,"event":"refused","do":"get_next","reason":"hard_cap","rep":"ana"}
            {"at":4,"event":"refused","do":"logout","reason":"open_sessions","rep":"ana"}
            {"at":5,"event":"refused","do":"accept","reason":"unknown_session","rep":"ana","session":"nobody"}
            {"at":5,"event":"refused","do":"leave","reason":"unknown_session","session":"nobody"}
            {"at":6,"event":"refused","do":"jump","reason":"unknown_queue","rep":"ana","session":"j","item":"nothing"}
            {"at":6,"event":"refused","do":"share","reason":"unknown_rep","by":"ana","session":"a","to":"rep:nobody"}
            {"at":6,"event":"refused","do":"hold","reason":"not_owner","rep":"dora","session":"a"}
            {"at":7,"event":"moved","session":"a","from":"team:net","to":"team:net","rule":"transfer"}
        "#]],
    );
}

#[test]
fn c2_waiting_and_holding_end_by_themselves() {
    tells(
        site(json!({ "max_wait_s": 600 }), json!({}), vec![rep("ana", json!({}))]),
        json!({ "until_s": 1_300_000, "steps": [
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0, "do": "opt_out", "rep": "ana" },
            { "at": 1, "do": "ask", "session": "a", "queue": "team:net" },
            { "at": 700, "do": "ask", "session": "b", "queue": "rep:ana" },
            { "at": 701, "do": "take", "rep": "ana", "session": "b" },
            { "at": 702, "do": "hold", "rep": "ana", "session": "b" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ana"}
            {"at":1,"event":"queued","session":"a","queue":"team:net"}
            {"at":601,"event":"ended","session":"a","reason":"wait_timeout"}
            {"at":700,"event":"queued","session":"b","queue":"rep:ana"}
            {"at":701,"event":"accepted","session":"b","rep":"ana"}
            {"at":702,"event":"held","session":"b"}
            {"at":1210302,"event":"ended","session":"b","reason":"hold_expired"}
        "#]],
    );
}

#[test]
fn c2_a_millisecond_counts_and_the_file_s_order_decides_within_one() {
    tells(
        site(json!({}), json!({ "alert_timeout_s": 5 }), vec![rep("ana", json!({}))]),
        json!({ "until_s": 6.251, "steps": [
            { "at": 6.25, "do": "accept", "rep": "ana", "session": "late" },
            { "at": 1.25, "do": "ask", "session": "late", "queue": "team:net" },
            { "at": 1.2494, "do": "login", "rep": "ana" },
        ] }),
        expect![[r#"
            {"at":1.249,"event":"logged_in","rep":"ana"}
            {"at":1.25,"event":"queued","session":"late","queue":"team:net"}
            {"at":1.25,"event":"offered","session":"late","rep":"ana","team":"net","expires_at":6.25}
            {"at":6.25,"event":"offer_timeout","session":"late","rep":"ana"}
            {"at":6.25,"event":"refused","do":"accept","reason":"offer_gone","rep":"ana","session":"late"}
        "#]],
    );
}

fn planned() -> Value {
    json!({
        "site": site(json!({}), json!({}), vec![rep("ana", json!({})), rep("ben", json!({}))]),
        "start": "2026-03-02T08:00:00Z", "staff": ["ana", { "rep": "ben", "from_s": 1800 }],
        "arrivals": [
            { "queue": "team:net", "rate_per_h": 60, "handle_mean_s": 300, "patience_mean_s": 200, "hours": 4, "seed": 5 },
            { "queue": "team:db", "rate_per_h": 3, "handle_mean_s": 300, "hours": 4, "seed": 6 },
        ],
    })
}

#[test]
fn c2_the_page_holds_everything_itself_and_is_the_same_bytes_every_time() {
    let draw = || {
        let heading = Heading { site: "<b>Example</b>".into(), start_ms: 1_772_438_400_000, target: Span::seconds(20) };
        page(&heading, &play(&planned()).1)
    };
    let html = draw();
    assert_eq!(html, draw());
    // Three charts in total, and three for each queue.
    assert_eq!((html.matches("<svg").count(), html.matches("</svg>").count()), (9, 9));
    assert!(html.contains("&lt;b&gt;Example") && !html.contains("<b>Example"), "names are escaped");
    for far in ["http://", "https://", "//cdn", "src=", "url(", "@import", "href="] {
        assert!(!html.contains(far), "{far}");
    }
    assert!(html.contains("team:db") && html.contains(">08:00<") && html.contains(">12:00<"));
    let numbers = ["NaN", "inf"];
    assert!(!numbers.iter().any(|wrong| html.contains(wrong)));
}

/// Turns as an owner writes them: what came of each request, and timers that fired alone.
fn journal() -> Vec<Turn> {
    let raw =
        RawSite::parse(&site(json!({}), json!({}), vec![rep("ana", json!({})), rep("ben", json!({}))]).to_string());
    let mut engine = Engine::from_state(State::default());
    let mut turns = Vec::new();
    let login = |user: u32| Command::Login {
        user: UserId(user),
        version: 0,
        resume: SecretHash::of(&user.to_be_bytes()),
        client: ClientInfo::default(),
    };
    let ask: equipoise::engine::command::Ask = serde_json::from_value(json!({
        "entry": { "queue": { "team": 1 } }, "kind": "support", "portal": null, "skills": [], "priority": null,
        "relax_after": null, "preferred": null, "join": null,
        "customer": { "name": "", "details": "", "external_key": "", "client": {} },
    }))
    .unwrap();
    let rep = |user: u32| Actor::Party(Party::Rep(UserId(user)));
    let session = SessionId(1);
    for (at, actor, command) in [
        (1000, Actor::System, Command::ApplySite(raw.unwrap().into())),
        (2000, Actor::System, login(1)),
        (3000, Actor::System, login(2)),
        (4000, Actor::System, Command::Ask(ask)),
        (90_000, rep(2), Command::OptOut),
        (91_000, rep(1), Command::GetNext),
        (95_000, rep(1), Command::End { session }),
    ] {
        // Timers that are due before are a turn of their own.
        let mut alone = Turn::default();
        engine.advance(Time(at - 1), &mut alone.events);
        let mut turn = Turn { requests: vec![(Time(at), Request { actor, id: None, command })], events: Vec::new() };
        let done = engine.handle(Time(at), &turn.requests[0].1, &mut turn.events);
        turns.extend([alone, turn].into_iter().filter(|turn| !turn.events.is_empty()));
        assert!(done.is_ok() || matches!(turns.last(), Some(last) if !last.events.is_empty()));
    }
    turns
}

fn again(turns: &[Turn]) -> Result<(u64, Vec<String>), (u64, usize)> {
    let (mut again, mut told) = (Again::new(), Vec::new());
    for (seq, turn) in (1..).zip(turns) {
        let told = &mut |line: Line| told.push(line.json());
        again.record(Seq(seq), turn, told).map_err(|difference| (difference.record.0, difference.event))?;
    }
    Ok((again.end().unwrap().events, told))
}

#[test]
fn i8_a_journal_decided_again_comes_out_as_it_was() {
    let turns = journal();
    assert!(turns.iter().any(|turn| turn.requests.is_empty()), "timers fired alone");
    let (events, told) = again(&turns).unwrap();
    assert_eq!(events, turns.iter().map(|turn| turn.events.len() as u64).sum::<u64>());
    let ran_out = r##""event":"offer_timeout","session":"#1","rep":"ana""##;
    assert!(told.iter().any(|line| line.contains(ran_out)), "{told:#?}");
}

#[test]
fn i8_the_first_difference_is_named_by_record_and_event() {
    let whole = journal();
    let offered = whole.iter().position(|turn| turn.events.iter().any(|it| matches!(it.event, Event::Offered { .. })));
    let at = offered.unwrap();
    let place = whole[at].events.iter().position(|it| matches!(it.event, Event::Offered { .. })).unwrap();

    let mut altered = whole.clone();
    let Event::Offered { rep, .. } = &mut altered[at].events[place].event else { unreachable!() };
    *rep = UserId(2);
    assert_eq!(again(&altered), Err((at as u64 + 1, place + 1)));

    let mut shorter = whole.clone();
    shorter[at].events.truncate(place);
    assert_eq!(again(&shorter), Err((at as u64 + 1, place + 1)));

    // A command that is gone: nothing comes of the record.
    let mut silent = whole.clone();
    silent[1].requests.clear();
    assert_eq!(again(&silent), Err((2, 1)));
}
