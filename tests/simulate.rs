//! Scenarios in virtual time (contract C2): every line by name and field, refusals, and what queueing theory says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use equipoise::{
    simulate::{self, Line, Report, Scenario, ScenarioError},
    site::Site,
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

const SITE: &str = r#"
[site]
name = "scenario"
[[skill]]
code = "antivirus"
[[skill]]
code = "norton"
parent = "antivirus"
[[team]]
code = "net"
algorithm = "skills_least_busy"
overdue = { action = "mark", after_s = 300 }
[[team]]
code = "db"
algorithm = "least_busy"
overdue = { action = "transfer", after_s = 60, to = "net" }
[[issue]]
code = "virus"
team = "net"
skills = ["norton"]
priority = 80
[[user]]
username = "ana"
teams = { net = "member" }
skills = ["norton"]
permissions = ["support", "accept_from_queue", "get_next", "opt_out", "jump_client"]
[[user]]
username = "ben"
teams = { net = "member" }
permissions = ["support", "accept_from_queue", "get_next", "opt_out"]
[[user]]
username = "lead"
teams = { net = "lead", db = "lead" }
exempt_from_assignment = true
permissions = ["support", "accept_from_queue", "get_next"]
[[user]]
username = "dora"
teams = { db = "member" }
permissions = ["support"]
[[jump_item]]
code = "srv-1"
method = "jump_client"
"#;

fn play(scenario: &Value) -> Result<(Vec<Line>, Report), ScenarioError> {
    let scenario = Scenario::parse(&scenario.to_string(), |path| {
        assert_eq!(path, "site.toml");
        Ok(Site::from_text(SITE, None).unwrap())
    })?;
    let mut lines = Vec::new();
    let report = simulate::run(scenario, &mut |line| {
        lines.push(line);
        Ok::<_, ScenarioError>(())
    })?;
    Ok((lines, report))
}

#[track_caller]
fn tells(more: Value, expected: Expect) {
    let mut scenario = json!({ "site": "site.toml", "start": "2026-03-02T08:00:00Z" });
    scenario.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let text = |lines: Vec<Line>| lines.iter().map(|line| line.json() + "\n").collect::<String>();
    let first = text(play(&scenario).unwrap().0);
    expected.assert_eq(&first);
    assert_eq!(text(play(&scenario).unwrap().0), first, "the same bytes again");
}

#[test]
fn c2_an_offer_is_let_go_rejected_and_accepted() {
    tells(
        json!({ "until_s": 100, "steps": [
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0, "do": "login", "rep": "ben" },
            { "at": 5.5, "do": "ask", "session": "s1", "queue": "team:net", "skills": ["norton"], "priority": 50, "kind": "support" },
            { "at": 35.5, "do": "accept", "rep": "ana", "session": "s1" },
            { "at": 36, "do": "accept", "rep": "ben", "session": "s1" },
            { "at": 60, "do": "end", "session": "s1", "by": "rep" },
            { "at": 61, "do": "ask", "session": "s2", "queue": "issue:virus" },
            { "at": 62, "do": "reject", "rep": "ana", "session": "s2" },
            { "at": 63, "do": "leave", "session": "s2" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ana"}
            {"at":0,"event":"logged_in","rep":"ben"}
            {"at":5.5,"event":"queued","session":"s1","queue":"team:net"}
            {"at":5.5,"event":"offered","session":"s1","rep":"ana","team":"net","expires_at":35.5}
            {"at":35.5,"event":"offer_timeout","session":"s1","rep":"ana"}
            {"at":35.5,"event":"offered","session":"s1","rep":"ben","team":"net","expires_at":65.5}
            {"at":35.5,"event":"refused","do":"accept","reason":"offer_gone","rep":"ana","session":"s1"}
            {"at":36,"event":"accepted","session":"s1","rep":"ben"}
            {"at":60,"event":"ended","session":"s1","reason":"by_rep"}
            {"at":61,"event":"queued","session":"s2","queue":"team:net"}
            {"at":61,"event":"offered","session":"s2","rep":"ana","team":"net","expires_at":91}
            {"at":62,"event":"rejected","session":"s2","rep":"ana"}
            {"at":62,"event":"offered","session":"s2","rep":"ben","team":"net","expires_at":92}
            {"at":63,"event":"offer_withdrawn","session":"s2","rep":"ben","reason":"ended"}
            {"at":63,"event":"ended","session":"s2","reason":"left_queue"}
        "#]],
    );
}

#[test]
fn c2_steps_run_in_the_order_of_time_then_of_the_file() {
    tells(
        json!({ "steps": [
            { "at": 2, "do": "ask", "session": "late", "queue": "team:net" },
            { "at": 1, "do": "login", "rep": "ben" },
            { "at": 1, "do": "opt_out", "rep": "ben" },
            { "at": 2, "do": "ask", "session": "later", "queue": "team:net", "priority": 90 },
            { "at": 3, "do": "opt_in", "rep": "ben" },
        ] }),
        expect![[r#"
            {"at":1,"event":"logged_in","rep":"ben"}
            {"at":2,"event":"queued","session":"late","queue":"team:net"}
            {"at":2,"event":"queued","session":"later","queue":"team:net"}
            {"at":3,"event":"offered","session":"later","rep":"ben","team":"net","expires_at":33}
        "#]],
    );
}

#[test]
fn c2_acts_by_hand_share_hold_and_the_fallback() {
    tells(
        json!({ "until_s": 1000, "steps": [
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0, "do": "login", "rep": "ben" },
            { "at": 0, "do": "login", "rep": "lead" },
            { "at": 0, "do": "login", "rep": "dora" },
            { "at": 1, "do": "jump", "rep": "ana", "item": "srv-1", "session": "j" },
            { "at": 2, "do": "ask", "session": "s", "queue": "rep:ben" },
            { "at": 3, "do": "take", "rep": "ben", "session": "s" },
            { "at": 4, "do": "share", "by": "ben", "session": "s", "to": "rep:ana" },
            { "at": 5, "do": "join", "rep": "ana", "session": "s" },
            { "at": 6, "do": "take_over", "rep": "lead", "session": "s" },
            { "at": 7, "do": "depart", "rep": "ana", "session": "s" },
            { "at": 8, "do": "hold", "rep": "lead", "session": "s" },
            { "at": 9, "do": "resume", "rep": "lead", "session": "s" },
            { "at": 10, "do": "lose", "rep": "lead" },
            { "at": 11, "do": "transfer", "by": "ben", "session": "s", "to": "team:net" },
            { "at": 12, "do": "get_next", "rep": "ben" },
            { "at": 13, "do": "disable", "rep": "dora" },
            { "at": 14, "do": "end", "session": "j", "by": "customer" },
            { "at": 15, "do": "logout", "rep": "ana" },
            { "at": 16, "do": "logout", "rep": "ben" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ana"}
            {"at":0,"event":"logged_in","rep":"ben"}
            {"at":0,"event":"logged_in","rep":"lead"}
            {"at":0,"event":"logged_in","rep":"dora"}
            {"at":1,"event":"accepted","session":"j","rep":"ana"}
            {"at":2,"event":"queued","session":"s","queue":"rep:ben"}
            {"at":3,"event":"accepted","session":"s","rep":"ben"}
            {"at":5,"event":"joined","session":"s","rep":"ana"}
            {"at":6,"event":"owner_changed","session":"s","from":"ben","to":"lead","rule":"take_over"}
            {"at":7,"event":"departed","session":"s","rep":"ana"}
            {"at":8,"event":"held","session":"s"}
            {"at":9,"event":"resumed","session":"s"}
            {"at":10,"event":"logged_out","rep":"lead","reason":"lost"}
            {"at":10,"event":"owner_changed","session":"s","from":"lead","to":"ben","rule":"fallback_1"}
            {"at":11,"event":"moved","session":"s","from":"rep:ben","to":"team:net","rule":"transfer"}
            {"at":11,"event":"offered","session":"s","rep":"ben","team":"net","expires_at":41}
            {"at":12,"event":"accepted","session":"s","rep":"ben"}
            {"at":13,"event":"logged_out","rep":"dora","reason":"disabled"}
            {"at":14,"event":"ended","session":"j","reason":"by_customer"}
            {"at":15,"event":"logged_out","rep":"ana","reason":"asked"}
            {"at":16,"event":"logged_out","rep":"ben","reason":"asked"}
            {"at":16,"event":"ended","session":"s","reason":"orphaned"}
        "#]],
    );
}

#[test]
fn c2_waiting_too_long_is_marked_or_moves_and_a_deleted_team_lets_go() {
    tells(
        json!({ "until_s": 400, "steps": [
            { "at": 0, "do": "login", "rep": "lead" },
            { "at": 0, "do": "ask", "session": "a", "queue": "team:net" },
            { "at": 0, "do": "ask", "session": "b", "queue": "team:db" },
            { "at": 400, "do": "delete_team", "team": "net" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"lead"}
            {"at":0,"event":"queued","session":"a","queue":"team:net"}
            {"at":0,"event":"queued","session":"b","queue":"team:db"}
            {"at":60,"event":"moved","session":"b","from":"team:db","to":"team:net","rule":"overdue"}
            {"at":300,"event":"overdue","session":"a","queue":"team:net"}
            {"at":360,"event":"overdue","session":"b","queue":"team:net"}
            {"at":400,"event":"ended","session":"a","reason":"orphaned"}
            {"at":400,"event":"moved","session":"b","from":"team:net","to":"team:db","rule":"fallback_3"}
        "#]],
    );
}

#[test]
fn c2_a_refused_step_says_why_and_changes_nothing() {
    tells(
        json!({ "steps": [
            { "at": 0, "do": "login", "rep": "nobody" },
            { "at": 0, "do": "ask", "session": "s", "queue": "team:net" },
            { "at": 0, "do": "ask", "session": "s", "queue": "team:nothing" },
            { "at": 0, "do": "ask", "session": "s", "queue": "net" },
            { "at": 1, "do": "login", "rep": "ana" },
            { "at": 1, "do": "get_next", "rep": "ana" },
            { "at": 1, "do": "get_next", "rep": "ben" },
            { "at": 1, "do": "accept", "rep": "ana", "session": "s" },
            { "at": 2, "do": "ask", "session": "s", "queue": "team:net", "skills": ["welding"] },
            { "at": 2, "do": "ask", "session": "s", "queue": "team:net" },
            { "at": 2, "do": "ask", "session": "s", "queue": "team:net" },
            { "at": 3, "do": "accept", "rep": "ana", "session": "s" },
            { "at": 3, "do": "transfer", "by": "ana", "session": "s", "to": "team:db" },
            { "at": 4, "do": "end", "session": "s", "by": "customer" },
            { "at": 4, "do": "end", "session": "s", "by": "rep" },
            { "at": 4, "do": "delete_team", "team": "nothing" },
        ] }),
        expect![[r#"
            {"at":0,"event":"refused","do":"login","reason":"unknown_rep","rep":"nobody"}
            {"at":0,"event":"refused","do":"ask","reason":"no_rep_available","session":"s","queue":"team:net"}
            {"at":0,"event":"refused","do":"ask","reason":"unknown_team","session":"s","queue":"team:nothing"}
            {"at":0,"event":"refused","do":"ask","reason":"unknown_queue","session":"s","queue":"net"}
            {"at":1,"event":"logged_in","rep":"ana"}
            {"at":1,"event":"refused","do":"get_next","reason":"queue_empty","rep":"ana"}
            {"at":1,"event":"refused","do":"get_next","reason":"not_logged_in","rep":"ben"}
            {"at":1,"event":"refused","do":"accept","reason":"unknown_session","rep":"ana","session":"s"}
            {"at":2,"event":"refused","do":"ask","reason":"unknown_skill","session":"s","queue":"team:net"}
            {"at":2,"event":"queued","session":"s","queue":"team:net"}
            {"at":2,"event":"offered","session":"s","rep":"ana","team":"net","expires_at":32}
            {"at":2,"event":"refused","do":"ask","reason":"wrong_state","session":"s","queue":"team:net"}
            {"at":3,"event":"accepted","session":"s","rep":"ana"}
            {"at":3,"event":"refused","do":"transfer","reason":"not_permitted","by":"ana","session":"s","to":"team:db"}
            {"at":4,"event":"ended","session":"s","reason":"by_customer"}
            {"at":4,"event":"refused","do":"end","reason":"session_ended","by":"rep","session":"s"}
            {"at":4,"event":"refused","do":"delete_team","reason":"unknown_team","team":"nothing"}
        "#]],
    );
}

#[test]
fn c2_auto_answers_and_ends_by_itself() {
    tells(
        json!({ "until_s": 400, "auto": { "answer_after_s": 3, "handle_s": 300 }, "steps": [
            { "at": 0, "do": "login", "rep": "ana" },
            { "at": 0.25, "do": "ask", "session": "s1", "queue": "team:net" },
        ] }),
        expect![[r#"
            {"at":0,"event":"logged_in","rep":"ana"}
            {"at":0.25,"event":"queued","session":"s1","queue":"team:net"}
            {"at":0.25,"event":"offered","session":"s1","rep":"ana","team":"net","expires_at":30.25}
            {"at":3.25,"event":"accepted","session":"s1","rep":"ana"}
            {"at":303.25,"event":"ended","session":"s1","reason":"by_rep"}
        "#]],
    );
}

#[test]
fn c2_the_site_may_stand_inline() {
    let site = json!({
        "site": { "name": "inline" },
        "team": [{ "code": "net", "algorithm": "least_busy" }],
        "user": [{ "username": "ana", "teams": { "net": "member" }, "permissions": ["support"] }],
    });
    let steps = json!([{ "at": 0, "do": "login", "rep": "ana" }]);
    let (lines, _) = play(&json!({ "site": site, "steps": steps })).unwrap();
    assert_eq!(lines.len(), 1);
}

#[test]
fn a_wrong_scenario_is_named() {
    let wrong = |more: Value| {
        let mut scenario = json!({ "site": "site.toml" });
        scenario.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        play(&scenario).unwrap_err().to_string()
    };
    for (scenario, says) in [
        (json!({}), "steps: a scenario has either steps or arrivals"),
        (json!({ "steps": [{ "at": 0, "do": "accept", "rep": "ana" }] }), "steps[0] accept: needs `session`"),
        (json!({ "steps": [{ "at": 0, "do": "end", "session": "s", "by": "ana" }] }), "steps[0] end: `by` is"),
        (json!({ "steps": [{ "at": -1, "do": "login", "rep": "ana" }] }), "seconds from 0"),
        (json!({ "steps": [{ "at": 0, "do": "dance", "rep": "ana" }] }), "unknown variant `dance`"),
        (json!({ "steps": [], "start": "yesterday" }), "start: a time like"),
        (json!({ "arrivals": [], "staff": ["nobody"] }), "staff[0]: no user nobody"),
        (json!({ "steps": [], "staff": ["ana"] }), "staff: stands beside arrivals"),
        (json!({ "site": { "team": [] }, "steps": [] }), "site.name"),
    ] {
        let said = wrong(scenario);
        assert!(said.contains(says), "{said}");
    }
}

/// `reps` who serve one customer each.
fn servers(reps: usize) -> Value {
    let rep = |at| json!({ "username": format!("r{at}"), "teams": { "net": "member" }, "permissions": ["support"], "max_sessions": 1 });
    json!({
        "site": { "name": "queue" },
        "team": [{ "code": "net", "algorithm": "least_busy" }],
        "user": (0..reps).map(rep).collect::<Vec<_>>(),
    })
}

fn arrivals(reps: usize, more: Value) -> (Vec<Line>, Report) {
    let mut stream = json!({
        "queue": "team:net", "rate_per_h": 60, "handle_mean_s": 240, "patience_mean_s": null,
        "distribution": "exponential", "seed": 1, "hours": 50,
    });
    stream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let staff: Vec<String> = (0..reps).map(|at| format!("r{at}")).collect();
    play(&json!({ "site": servers(reps), "arrivals": [stream], "staff": staff })).unwrap()
}

/// Erlang C: the share of customers who wait at all, with so much offered load.
fn erlang_c(servers: usize, load: f64) -> f64 {
    let offered = load * servers as f64;
    let blocked = (1..=servers).fold(1.0, |blocked, n| offered * blocked / (n as f64 + offered * blocked));
    blocked / (1.0 - load + load * blocked)
}

/// One session a rep, no answering time, no impatience: ten seeds at each load. Busy queues remember for longer, so
/// they run for longer.
#[test]
fn c2_waits_and_the_service_level_agree_with_erlang_c() {
    let (reps, handle_s) = (2, 60.0);
    for (load, hours) in [(0.5, 40.0), (0.8, 80.0), (0.95, 200.0)] {
        let rate = load * reps as f64 * 3600.0 / handle_s;
        let runs: Vec<Report> = std::thread::scope(|scope| {
            let run = |seed| {
                arrivals(reps, json!({ "rate_per_h": rate, "handle_mean_s": handle_s, "seed": seed, "hours": hours })).1
            };
            let runs: Vec<_> = (1..=10).map(|seed| scope.spawn(move || run(seed))).collect();
            runs.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let (waiting, leaving) = (erlang_c(reps, load), reps as f64 * (1.0 - load) / handle_s);
        let wait = waiting / leaving;
        let (mean, half) = interval(&runs, |run| run.total.mean_wait_s.unwrap());
        println!("load {load}: waits {mean:.3} ± {half:.3} s, Erlang C {wait:.3} s");
        assert!((mean - wait).abs() <= half, "load {load}: {mean} ± {half}, expected {wait}");
        assert!(half < wait / 3.0, "load {load}: {mean} ± {half} says little");
        let level = 1.0 - waiting * (-leaving * 20.0).exp();
        let (mean, half) = interval(&runs, |run| run.total.service_level.unwrap());
        println!("load {load}: within 20 s {mean:.4} ± {half:.4}, Erlang C {level:.4}");
        assert!((mean - level).abs() <= half, "load {load}: within 20 s {mean} ± {half}, expected {level}");
        let (busy, half) = interval(&runs, |run| run.total.occupancy.unwrap());
        assert!((busy - load).abs() <= half, "load {load}: occupancy {busy} ± {half}");
        for run in &runs {
            // Little's law: the mean queue is the rate of arrival times the mean wait.
            let by_law = run.total.arrived as f64 / (hours * 3600.0) * run.total.mean_wait_s.unwrap();
            let queue = run.total.mean_queue.unwrap();
            assert!(
                (queue - by_law).abs() <= by_law * 0.02,
                "load {load}: {queue} waited on average, {by_law} by Little's law"
            );
        }
    }
}

/// The mean of ten runs and half of its 95 % interval.
fn interval(runs: &[Report], of: impl Fn(&Report) -> f64) -> (f64, f64) {
    let values: Vec<f64> = runs.iter().map(of).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    (mean, 2.262 * (variance / values.len() as f64).sqrt())
}

#[test]
fn c2_everybody_who_came_is_accounted_for() {
    let (lines, report) = arrivals(2, json!({ "rate_per_h": 120, "patience_mean_s": 60, "distribution": "fixed" }));
    let it = &report.queues["team:net"];
    assert_eq!(it.arrived, it.answered + it.abandoned + it.refused + it.unanswered);
    assert!(it.abandoned > 0 && it.answered > 0 && it.p99_wait_s.unwrap() <= 60.0);
    let count = |event: &str| {
        let tag = format!("\"event\":\"{event}\"");
        lines.iter().filter(|line| line.json().contains(&tag)).count() as u64
    };
    assert_eq!((count("queued"), count("accepted")), (it.arrived, it.answered));
    assert_eq!(count("ended"), it.arrived);
}

#[test]
fn c2_nobody_on_shift_is_no_rep_available() {
    let stream = json!({ "queue": "team:net", "rate_per_h": 60, "handle_mean_s": 60, "hours": 2, "seed": 3 });
    let staff = json!([{ "rep": "r0", "from_s": 3600, "to_s": 5400 }]);
    let (_, report) =
        play(&json!({ "site": servers(1), "arrivals": [stream], "staff": staff, "target_s": 30 })).unwrap();
    let it = &report.total;
    assert!(it.refused > 30 && it.answered > 10, "{it:?}");
    assert_eq!(it.arrived, it.answered + it.abandoned + it.refused + it.unanswered);
}

#[test]
fn c2_the_summary_is_the_same_bytes_every_time() {
    let (first, report) = arrivals(3, json!({ "rate_per_h": 30, "hours": 3 }));
    assert_eq!(first, arrivals(3, json!({ "rate_per_h": 30, "hours": 3 })).0);
    expect![[r#"{"queues":{"team:net":{"arrived":84,"answered":84,"abandoned":0,"refused":0,"unanswered":0,"mean_wait_s":26.44631,"p50_wait_s":0.0,"p95_wait_s":193.509,"p99_wait_s":407.786,"service_level":0.833333,"occupancy":0.580541,"max_queue":4,"mean_queue":0.205694}},"total":{"arrived":84,"answered":84,"abandoned":0,"refused":0,"unanswered":0,"mean_wait_s":26.44631,"p50_wait_s":0.0,"p95_wait_s":193.509,"p99_wait_s":407.786,"service_level":0.833333,"occupancy":0.580541,"max_queue":4,"mean_queue":0.205694},"estimate":{"told":7,"unknown":12,"within_range":1.0,"mean_error_s":34.819857,"mean_absolute_error_s":53.801857,"mean_wait_s":66.42}}"#]].assert_eq(&serde_json::to_string(&report).unwrap());
    expect![[r#"
        queue      arrived answered abandoned refused unanswered  mean wait      p50      p95      p99  service occupancy max queue
        team:net        84       84         0       0          0     26.4 s    0.0 s  193.5 s  407.8 s   83.3 %    58.1 %         4

        waits of those answered
          at once             65  ████████████████████████████████████████
          up to 5 s            1  █
          up to 10 s           2  ██
          up to 20 s           2  ██
          up to 30 s           1  █
          up to 60 s           2  ██
          up to 120 s          4  ███
          up to 300 s          5  ████
          up to 900 s          2  ██
          longer               0
    "#]].assert_eq(&report.to_string());
}

#[test]
fn c2_the_examples_run() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for (name, least) in [("scenario.json", 8), ("staffing.json", 500)] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let site = std::fs::read_to_string(folder.join("site.toml")).unwrap();
        let scenario =
            Scenario::parse(&text, |_| Site::from_text(&site, None).map_err(|it| format!("{it:?}"))).unwrap();
        let mut told = Vec::new();
        simulate::run(scenario, &mut |line| {
            told.push(line.json());
            Ok::<_, ScenarioError>(())
        })
        .unwrap();
        assert!(told.len() >= least, "{name}: {told:#?}");
        assert!(name != "scenario.json" || !told.iter().any(|line| line.contains("refused")), "{told:#?}");
    }
}

#[test]
fn r10_1_customers_are_told_their_wait_about_right() {
    for (reps, rate, hours) in [(1, 9, 600), (4, 42, 200), (10, 114, 100)] {
        let (_, report) = arrivals(reps, json!({ "rate_per_h": rate, "seed": 7, "hours": hours }));
        let told = report.estimate;
        let wait = told.mean_wait_s.unwrap();
        assert!(told.told > 1_000 && told.unknown > 0, "{reps} reps: {told:?}");
        assert!(told.mean_error_s.unwrap().abs() < 0.2 * wait, "{reps} reps: {told:?}");
        assert!(told.mean_absolute_error_s.unwrap() < 0.7 * wait, "{reps} reps: {told:?}");
        assert!(told.within_range.unwrap() > 0.7, "{reps} reps: {told:?}");
    }
}
