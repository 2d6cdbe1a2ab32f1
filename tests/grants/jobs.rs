//! Endpoint automation (P8.7, P8.8, BU-088 to BU-091): who makes jobs and of what, each item judged when the job is made and
//! when its endpoint begins it, at most once on each, and what edits, time and restarts make of what waits.

use crate::{random::Random, world::*};
use equipoise::{
    engine::{
        Command, Engine, Event, Outcome, Reason, Refusal,
        jobs::{JobEnd, JobOf, NewJob, Target},
    },
    ids::*,
    limits,
    policy::Tool,
    time::Span,
    wire::control::JobCall,
};
use std::collections::BTreeMap;

/// Ana is a user of automation and may start sessions in the group; bob is an administrator of it; lea has no role in it.
fn site(ana: &str) -> String {
    let mut site = SITE.to_owned();
    for (name, automation) in [("ana", "user"), ("bob", "administrator")] {
        let user = format!("username = \"{name}\"\n");
        site = site.replace(&user, &format!("{user}automation = \"{automation}\"\n"));
    }
    let site = site
        .replace("\"accept_from_queue\"]", "\"accept_from_queue\", \"jump_shell\"]")
        .replace("net = \"lead\" }\npermissions = [", "net = \"lead\" }\npermissions = [\"jump_shell\", ")
        .replacen("code = \"srv\"\n", "code = \"srv\"\ngroup = \"servers\"\n", 1)
        .replace("code = \"fix\"\n", "code = \"fix\"\nautomation = true\nname = \"Mend\"\ntimeout_s = 60\n");
    format!(
        "{site}\n[[jump_item]]\ncode = \"other\"\nmethod = \"jump_shell\"\ngroup = \"servers\"\npolicy_absent = \"absent\"\n\
         [[jump_item]]\ncode = \"hidden\"\nmethod = \"jump_shell\"\ngroup = \"vault\"\npolicy_absent = \"absent\"\n\
         [[script]]\ncode = \"plain\"\nteams = [\"net\"]\ntext = \"false\"\n\
         [[jump_item_role]]\ncode = \"operator\"\nallows = [\"start_sessions\"]\n[[jump_item_role]]\ncode = \"viewer\"\n\
         [[jump_group]]\ncode = \"servers\"\nmembers = {{ ana = \"{ana}\", bob = \"operator\", lea = \"operator\" }}\n\
         [[jump_group]]\ncode = \"vault\"\nmembers = {{ ana = \"viewer\" }}\n"
    )
}

fn world() -> World {
    let mut world = World::of(&site("operator"));
    for name in ["ana", "bob", "lea"] {
        world.log_in(name);
    }
    world
}

fn item(world: &World, code: &str) -> JumpItemId {
    world.engine.state().site.codes.jump_items[code]
}

fn new(world: &World, of: JobOf, items: &[&str]) -> Command {
    let items = items.iter().map(|code| item(world, code)).collect();
    Command::MakeJob(NewJob { of, items, lives: limits::JOB_LIFE })
}

fn template(code: &str) -> JobOf {
    JobOf::Template(code.to_owned())
}

fn own(text: &str) -> JobOf {
    JobOf::Script { text: text.to_owned(), timeout: Span::seconds(5) }
}

fn make(world: &mut World, who: &str, of: JobOf, items: &[&str]) -> Result<JobId, Refusal> {
    let command = new(world, of, items);
    match world.rep(who, command)? {
        Outcome::Job(job) => Ok(job),
        other => panic!("{other:?}"),
    }
}

/// The endpoint of an item comes, with a key of its own the first time.
fn stands_by(world: &mut World, code: &str, is_present: bool) -> Party {
    let item = item(world, code);
    let (key, resume) = (world.secret(), world.secret());
    world.system(Command::MakeItemKey { item, key }).expect("the broker makes keys");
    let client = if is_present { present() } else { absent() };
    world.system(Command::StandBy { key, client, resume }).expect("the key is good");
    Party::JumpClient(item)
}

fn endpoint(world: &mut World, party: Party, command: Command) -> Answer {
    world.act(equipoise::engine::Actor::Party(party), None, command)
}

fn take(world: &mut World, party: Party, job: JobId) -> Answer {
    endpoint(world, party, Command::TakeJob { job })
}

fn ends(world: &mut World, party: Party, job: JobId, exit: Option<u32>) -> Answer {
    let (reason, output) = ("it was stopped".to_owned(), "bye\n".to_owned());
    endpoint(world, party, Command::JobEnded { job, exit, reason, output })
}

fn state(world: &World, job: JobId, code: &str) -> String {
    let target = &world.engine.state().jobs.get(job).expect("it is kept").targets[&item(world, code)];
    said(target)
}

fn said(target: &Target) -> String {
    match target.ended.as_ref().map(|ended| &ended.how) {
        None if target.runs() => "runs".to_owned(),
        None => "waits".to_owned(),
        Some(JobEnd::Done(exit)) => format!("done {exit}"),
        Some(JobEnd::Failed(reason)) => format!("failed: {reason}"),
        Some(JobEnd::Cancelled) => "cancelled".to_owned(),
        Some(JobEnd::Expired) => "expired".to_owned(),
        Some(JobEnd::Refused(refusal)) => {
            let source = refusal.source.as_deref().unwrap_or("nobody");
            format!("refused: {} [{}] by {source}", refusal.reason.name(), refusal.rule)
        }
    }
}

fn refused(answer: Result<JobId, Refusal>) -> (Reason, String, Option<Tool>, Option<String>) {
    let refusal = answer.expect_err("should be refused");
    (refusal.reason, refusal.rule, refusal.tool, refusal.source)
}

#[test]
fn p8_7_bu_088_bu_089_who_is_not_allowed_makes_no_job_and_sees_none() {
    let mut world = world();
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let by = |name: &str| Some(format!("user:{name}"));
    let not = refused(make(&mut world, "lea", template("fix"), &["srv"]));
    assert_eq!(not, (Reason::NotPermitted, "P8.7".to_owned(), Some(Tool::CannedScripts), by("lea")));
    let lea = world.user("lea");
    assert_eq!(world.engine.state().job_seen_by(lea, job).unwrap_err().reason, Reason::JobGone);
    assert_eq!(reason(&world.rep("lea", Command::CancelJob { job })), Reason::JobGone);

    // A group policy gives the role with the rest of its block, and takes it, and is named.
    let group = |automation: &str| {
        format!(
            "{}[[group_policy]]\ncode = \"floor\"\nmembers = [\"ana\", \"lea\"]\npermissions = {{ state = \"final\", \
             values = [\"support\", \"jump_shell\"], automation = \"{automation}\" }}\n",
            site("operator")
        )
    };
    world.apply_site(&group("user"));
    make(&mut world, "lea", template("fix"), &["srv"]).unwrap();
    world.apply_site(&group("not_allowed"));
    let not = refused(make(&mut world, "ana", template("fix"), &["srv"]));
    assert_eq!(not.3.as_deref(), Some("group_policy:floor"));
    let words = world.rep("ana", Command::CancelJob { job });
    assert_eq!(words, Ok(Outcome::Done), "what is one's own may still be cancelled");
    assert_eq!(state(&world, job, "srv"), "cancelled");
}

#[test]
fn p8_7_bu_090_a_user_makes_jobs_of_templates_as_they_are() {
    let mut world = world();
    let not = refused(make(&mut world, "ana", own("reboot"), &["srv"]));
    assert_eq!(not, (Reason::NotPermitted, "P8.7".to_owned(), Some(Tool::CannedScripts), Some("user:ana".to_owned())));
    for code in ["plain", "nothing"] {
        let not = make(&mut world, "ana", template(code), &["srv"]).unwrap_err();
        assert_eq!(not.reason, Reason::UnknownTemplate, "a script of teams alone is no template");
    }
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let made = world.engine.state().jobs.get(job).unwrap();
    assert_eq!((made.script.as_str(), made.timeout), ("true", Span::seconds(60)));

    // Bounds of what is asked for.
    let lives = |lives| NewJob { of: template("fix"), items: vec![item(&world, "srv")], lives };
    let items = |items: Vec<JumpItemId>| NewJob { items, ..lives(limits::JOB_LIFE) };
    let srv = item(&world, "srv");
    let most = (0..=limits::JOB_ITEMS_MAX).map(|at| JumpItemId(at as u32)).collect();
    let wrong =
        [lives(Span::ZERO), lives(Span(limits::JOB_LIFE_MAX.0 + 1)), items(vec![]), items(vec![srv, srv]), items(most)];
    for new in wrong {
        assert_eq!(reason(&world.rep("ana", Command::MakeJob(new))), Reason::Malformed);
    }
    for _ in 1..limits::JOBS_LIVE_PER_USER {
        make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    }
    assert_eq!(make(&mut world, "ana", template("fix"), &["srv"]).unwrap_err().reason, Reason::LimitReached);
    make(&mut world, "bob", template("fix"), &["srv"]).unwrap();
}

#[test]
fn p8_8_nobody_s_jobs_on_many_items_keep_the_others_from_theirs() {
    let codes: Vec<String> = (0..limits::JOB_ITEMS_MAX).map(|n| format!("m{n}")).collect();
    let machine = |code: &String| {
        format!(
            "[[jump_item]]\ncode = \"{code}\"\nmethod = \"jump_shell\"\ngroup = \"servers\"\npolicy_absent = \"absent\"\n"
        )
    };
    let mut world = World::of(&(site("operator") + &codes.iter().map(machine).collect::<String>()));
    world.log_in("ana");
    world.log_in("bob");
    let all: Vec<&str> = codes.iter().map(String::as_str).collect();
    let fits = limits::JOB_TARGETS_LIVE_PER_USER / limits::JOB_ITEMS_MAX;
    let made: Vec<JobId> = (0..fits).map(|_| make(&mut world, "ana", template("fix"), &all).unwrap()).collect();
    let refused = make(&mut world, "ana", template("fix"), &all).unwrap_err();
    assert_eq!((refused.reason, refused.message.contains("of yours")), (Reason::LimitReached, true));
    make(&mut world, "bob", template("fix"), &all).unwrap();
    world.rep("ana", Command::CancelJob { job: made[0] }).unwrap();
    make(&mut world, "ana", template("fix"), &all).unwrap();
}

#[test]
fn p8_7_bu_091_an_administrator_gives_scripts_and_has_everybodys_jobs() {
    let mut world = world();
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let bobs = make(&mut world, "bob", own("uptime"), &["srv"]).unwrap();
    for (text, timeout) in [("", 5), ("a\u{7}", 5), ("true", 0), ("true", 86_401)] {
        let of = JobOf::Script { text: text.to_owned(), timeout: Span::seconds(timeout) };
        assert_eq!(make(&mut world, "bob", of, &["srv"]).unwrap_err().reason, Reason::Malformed, "{text:?} {timeout}");
    }
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let sees = |world: &World, user, job| world.engine.state().job_seen_by(user, job).is_ok();
    assert!(sees(&world, bob, job) && sees(&world, bob, bobs) && sees(&world, ana, job));
    assert!(!sees(&world, ana, bobs));
    assert_eq!(reason(&world.rep("ana", Command::CancelJob { job: bobs })), Reason::JobGone);
    world.rep("bob", Command::CancelJob { job }).unwrap();
    assert_eq!(state(&world, job, "srv"), "cancelled");

    // Nor does the site's administrator have them by that alone.
    world.log_in("root");
    assert_eq!(make(&mut world, "root", template("fix"), &["srv"]).unwrap_err().rule, "P8.7");
    assert_eq!(reason(&world.rep("root", Command::CancelJob { job: bobs })), Reason::JobGone);
}

#[test]
fn p8_8_bu_090_each_item_is_judged_and_nothing_runs_where_no_session_may_be_started() {
    let mut world = world();
    let hidden = stands_by(&mut world, "hidden", false);
    let job = make(&mut world, "ana", template("fix"), &["srv", "hidden"]).unwrap();
    assert_eq!(state(&world, job, "srv"), "waits");
    assert_eq!(state(&world, job, "hidden"), "refused: not_permitted [P8.1] by jump_group:vault");
    assert_eq!(world.engine.state().jobs.call(item(&world, "hidden"), true), None);
    assert_eq!(reason(&take(&mut world, hidden, job)), Reason::JobGone);
    // Where none is left nothing is made.
    let not = refused(make(&mut world, "ana", template("fix"), &["hidden"]));
    assert_eq!((not.0, not.1.as_str(), not.3.as_deref()), (Reason::NotPermitted, "P8.1", Some("jump_group:vault")));
    // Without the permission of the method neither.
    world.apply_site(&site("operator").replace("generate_keys\", \"jump_shell\"]", "generate_keys\"]"));
    let not = refused(make(&mut world, "ana", template("fix"), &["srv"]));
    assert_eq!((not.1.as_str(), not.3.as_deref()), ("R1.4", Some("user:ana")));
}

#[test]
fn p8_8_a_job_does_no_more_than_its_maker_could_in_a_session_there_without_a_question() {
    let barred = |edit: (&str, &str), is_present: Option<bool>| {
        let mut world = World::of(&site("operator").replace(edit.0, edit.1));
        world.log_in("ana");
        if let Some(is_present) = is_present {
            stands_by(&mut world, "srv", is_present);
        }
        let made = make(&mut world, "ana", template("fix"), &["srv"]);
        made.err().map(|refusal| (refusal.rule, refusal.source.unwrap_or_default(), refusal.message))
    };
    let nothing = ("[site]", "[site]");
    assert_eq!(barred(nothing, None), None);
    assert_eq!(barred(nothing, Some(false)), None);
    // Somebody sits there, whom the policy has asked.
    let (rule, source, message) = barred(nothing, Some(true)).unwrap();
    assert_eq!((rule.as_str(), source.as_str()), ("P8.8", "default"));
    assert_eq!(message, "canned_scripts asks for a yes on it, and a job asks nobody");
    let denies =
        ("answer = \"allow\" }\n[[policy]]\ncode = \"house\"", "answer = \"deny\" }\n[[policy]]\ncode = \"house\"");
    assert_eq!(barred(denies, None).unwrap().2, message);
    let unasked = (
        "tools = { screen = \"view\", shell = \"no\" }\n\n",
        "tools = { screen = \"none\" }\nprompt = { mode = \"never\" }\n",
    );
    assert_eq!(barred(unasked, Some(true)), None);
    // The item's policy says no, or nobody says yes.
    let of_item =
        ("tools = { screen = \"view\", shell = \"no\" }\nprompt", "tools = { canned_scripts = \"no\" }\nprompt");
    let (rule, source, message) = barred(of_item, Some(false)).unwrap();
    assert_eq!((rule.as_str(), source.as_str()), ("P8.8", "jump_item:srv"));
    assert_eq!(message, "canned_scripts is not permitted on it");
    assert_eq!(barred(("canned_scripts = \"yes\", webcam", "webcam"), None).unwrap().1, "builtin");
}

#[test]
fn p8_8_a_job_runs_where_its_endpoint_stands_by_and_when_it_comes_one_after_the_other() {
    let mut world = world();
    let srv = stands_by(&mut world, "srv", false);
    let (first, second) = (
        make(&mut world, "ana", template("fix"), &["srv", "other"]).unwrap(),
        make(&mut world, "bob", own("uptime"), &["srv"]).unwrap(),
    );
    let call = |world: &World, code: &str, has_come| world.engine.state().jobs.call(item(world, code), has_come);
    assert_eq!(call(&world, "srv", false), Some((first, JobCall::Take)));
    assert_eq!(reason(&take(&mut world, srv, second)), Reason::JobGone, "the older one goes first");
    assert_eq!(take(&mut world, srv, first), Ok(Outcome::JobTaken(first)));
    assert_eq!((call(&world, "srv", false), call(&world, "srv", true)), (None, Some((first, JobCall::Tell))));
    assert_eq!(reason(&take(&mut world, srv, second)), Reason::JobGone, "one at a time");
    assert_eq!(ends(&mut world, srv, first, Some(3)), Ok(Outcome::Done));
    assert_eq!((state(&world, first, "srv"), state(&world, first, "other")), ("done 3".into(), "waits".into()));
    assert_eq!(call(&world, "srv", false), Some((second, JobCall::Take)));

    // The other comes in the night.
    world.wait(3 * 3600);
    let other = stands_by(&mut world, "other", false);
    assert_eq!(call(&world, "other", true), Some((first, JobCall::Take)));
    take(&mut world, other, first).unwrap();
    ends(&mut world, other, first, None).unwrap();
    assert_eq!(state(&world, first, "other"), "failed: it was stopped");
    assert!(!world.engine.state().jobs.get(first).unwrap().is_live());
    for (party, command) in [
        (Party::Rep(world.user("ana")), Command::TakeJob { job: second }),
        (Party::Customer(SessionId(1)), Command::TakeJob { job: second }),
    ] {
        assert_eq!(reason(&endpoint(&mut world, party, command)), Reason::NotPermitted);
    }
    assert_eq!(reason(&take(&mut world, other, second)), Reason::JobGone, "it is not for this item");
}

#[test]
fn p8_8_i8_a_job_that_was_begun_is_never_handed_out_again() {
    let mut world = world();
    let srv = stands_by(&mut world, "srv", false);
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let take_7 = |world: &mut World| world.act(equipoise::engine::Actor::Party(srv), Some(7), Command::TakeJob { job });
    assert_eq!(take_7(&mut world), Ok(Outcome::JobTaken(job)));
    // The same request again, whose answer was lost, has the same answer; another has none.
    assert_eq!(take_7(&mut world), Ok(Outcome::JobTaken(job)));
    assert_eq!(reason(&take(&mut world, srv, job)), Reason::JobGone);
    let begun = |world: &World| {
        let begun = |event: &Event| matches!(event, Event::JobStarted { .. });
        world.log().iter().filter(|stamped| begun(&stamped.event)).count()
    };
    assert_eq!(begun(&world), 1);
    // The broker dies, and the endpoint is started anew: it says that it knows of nothing.
    world.system(Command::LoseConnections).unwrap();
    world.engine = Engine::from_state(world.engine.state().clone());
    let srv = stands_by(&mut world, "srv", false);
    assert_eq!(world.engine.state().jobs.call(item(&world, "srv"), true), Some((job, JobCall::Tell)));
    assert_eq!(reason(&take_7(&mut world)), Reason::JobGone, "a new run of it is another requester");
    ends(&mut world, srv, job, None).unwrap();
    assert_eq!((begun(&world), state(&world, job, "srv")), (1, "failed: it was stopped".into()));
    assert_eq!(reason(&ends(&mut world, srv, job, Some(0))), Reason::JobGone, "what is told stays");
}

#[test]
fn p8_8_bu_090_a_right_that_is_taken_away_before_the_start_stops_it() {
    let site_now = site("operator");
    let edits: &[(&str, &str, &str)] = &[
        ("automation = \"user\"", "automation = \"not_allowed\"", "refused: not_permitted [P8.7] by user:ana"),
        ("ana = \"operator\"", "ana = \"viewer\"", "refused: not_permitted [P8.1] by jump_group:servers"),
        ("generate_keys\", \"jump_shell\"]", "generate_keys\"]", "refused: not_permitted [R1.4] by user:ana"),
        ("canned_scripts = \"yes\", webcam", "webcam", "refused: not_permitted [P8.8] by builtin"),
        ("automation = true\n", "", "refused: unknown_template [P8.7] by nobody"),
        ("text = \"true\"", "text = \"rm -r /\"", "refused: unknown_template [P8.7] by nobody"),
        ("code = \"fix\"", "code = \"mend\"", "refused: unknown_template [P8.7] by nobody"),
    ];
    for (before, after, expected) in edits {
        let mut world = world();
        let srv = stands_by(&mut world, "srv", false);
        let job = make(&mut world, "ana", template("fix"), &["srv", "other"]).unwrap();
        let edited = site_now.replace(before, after).replace(
            "timeout_s = 60\n",
            if expected.contains("template") && before.starts_with("auto") { "" } else { "timeout_s = 60\n" },
        );
        world.apply_site(&edited);
        assert_eq!(state(&world, job, "srv"), "waits", "{before}");
        assert_eq!(take(&mut world, srv, job), Ok(Outcome::Done), "{before}");
        assert_eq!(state(&world, job, "srv"), *expected, "{before}");
        // What was given back in time counts.
        world.apply_site(&site_now);
        let other = stands_by(&mut world, "other", false);
        assert_eq!(take(&mut world, other, job), Ok(Outcome::JobTaken(job)), "{before}");
        // And what runs goes on.
        world.apply_site(&edited);
        ends(&mut world, other, job, Some(0)).unwrap();
        assert_eq!(state(&world, job, "other"), "done 0", "{before}");
    }
    // A user who is gone, or disabled.
    let mut world = world();
    let srv = stands_by(&mut world, "srv", false);
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let user = world.user("ana");
    world.system(Command::DisableUser { user }).unwrap();
    take(&mut world, srv, job).unwrap();
    assert_eq!(state(&world, job, "srv"), "refused: not_permitted [P8.7] by user:ana");
    // The script of an administrator who is only a user by now.
    let mut world = self::world();
    let srv = stands_by(&mut world, "srv", false);
    let job = make(&mut world, "bob", own("uptime"), &["srv"]).unwrap();
    world.apply_site(&site_now.replace("automation = \"administrator\"", "automation = \"user\""));
    take(&mut world, srv, job).unwrap();
    assert_eq!(state(&world, job, "srv"), "refused: not_permitted [P8.7] by user:bob");
}

#[test]
fn p8_8_an_item_that_is_gone_ends_what_waits_and_runs_on_it() {
    let mut world = world();
    let srv = stands_by(&mut world, "srv", false);
    let job = make(&mut world, "ana", template("fix"), &["srv", "other"]).unwrap();
    let next = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    take(&mut world, srv, job).unwrap();
    world.apply_site(&site("operator").replace("code = \"srv\"\n", "code = \"gone\"\n"));
    let target = |world: &World, job| {
        let Party::JumpClient(item) = srv else { panic!("an endpoint") };
        said(&world.engine.state().jobs.get(job).unwrap().targets[&item])
    };
    assert_eq!(target(&world, job), "failed: the jump item is gone");
    assert_eq!(target(&world, next), "refused: unknown_item [P8.8] by nobody");
    assert_eq!(state(&world, job, "other"), "waits");
}

#[test]
fn p8_8_what_is_cancelled_does_not_begin_and_what_runs_is_stopped_by_its_endpoint() {
    let mut world = world();
    let srv = stands_by(&mut world, "srv", false);
    let job = make(&mut world, "ana", template("fix"), &["srv", "other"]).unwrap();
    take(&mut world, srv, job).unwrap();
    world.rep("ana", Command::CancelJob { job }).unwrap();
    assert_eq!((state(&world, job, "srv"), state(&world, job, "other")), ("runs".into(), "cancelled".into()));
    for has_come in [false, true] {
        assert_eq!(world.engine.state().jobs.call(item(&world, "srv"), has_come), Some((job, JobCall::Stop)));
    }
    let log = world.log().len();
    world.rep("ana", Command::CancelJob { job }).unwrap();
    assert_eq!(world.log().len(), log, "again is nothing more");
    ends(&mut world, srv, job, None).unwrap();
    assert_eq!(state(&world, job, "srv"), "cancelled");
    // One that came to its end first is done.
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    take(&mut world, srv, job).unwrap();
    world.rep("ana", Command::CancelJob { job }).unwrap();
    ends(&mut world, srv, job, Some(0)).unwrap();
    assert_eq!(state(&world, job, "srv"), "done 0");
}

#[test]
fn p8_8_a_job_that_nobody_begins_expires_and_one_that_nobody_tells_of_is_lost() {
    let mut world = world();
    let srv = stands_by(&mut world, "srv", false);
    let job = make(&mut world, "ana", template("fix"), &["srv", "other"]).unwrap();
    take(&mut world, srv, job).unwrap();
    world.wait(24 * 3600 - 1);
    assert_eq!(state(&world, job, "other"), "waits");
    world.wait(1);
    assert_eq!((state(&world, job, "srv"), state(&world, job, "other")), ("runs".into(), "expired".into()));
    let other = stands_by(&mut world, "other", false);
    assert_eq!(reason(&take(&mut world, other, job)), Reason::JobGone);
    world.wait(limits::JOB_TOLD_WITHIN.0 / 1000 - 24 * 3600 + 59);
    assert_eq!(state(&world, job, "srv"), "runs");
    world.wait(1);
    assert_eq!(state(&world, job, "srv"), "failed: the endpoint did not come back to tell how it ended");
    assert_eq!(reason(&ends(&mut world, srv, job, Some(0))), Reason::JobGone);

    // What is over is kept for a month, and no more than so many.
    world.wait(limits::JOB_KEPT.0 / 1000 - 1);
    assert!(world.engine.state().jobs.get(job).is_some());
    world.wait(1);
    assert!(world.engine.state().jobs.get(job).is_none());
    world.log_in("ana");
    let first = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let mut last = first;
    for _ in 0..limits::JOBS_KEPT {
        world.rep("ana", Command::CancelJob { job: last }).unwrap();
        last = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    }
    assert!(world.engine.state().jobs.get(first).is_some());
    world.rep("ana", Command::CancelJob { job: last }).unwrap();
    assert!(world.engine.state().jobs.get(first).is_none());
    assert_eq!(world.engine.state().jobs.before(JobId(u64::MAX)).count(), limits::JOBS_KEPT);
}

#[test]
fn p6_3_p8_7_refused_requests_about_jobs_go_on_record_by_the_broker_alone() {
    let mut world = world();
    let by = world.user("lea");
    let record = || Command::JobsRefused { by, count: 3, source: "user:lea".to_owned() };
    assert_eq!(reason(&world.rep("lea", record())), Reason::NotPermitted);
    world.system(record()).unwrap();
    let last = &world.log().last().unwrap().event;
    assert_eq!(*last, Event::JobsRefused { by, count: 3, source: "user:lea".to_owned() });
}

/// What the rules come to for one item of one job, as one reads them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plain {
    Waits,
    Runs { stops: bool },
    Over,
}

/// P8.8 beside a plain model: jobs on two items, endpoints that come, go, begin, tell and forget, edits, cancellations,
/// time and restarts.
#[test]
fn p8_8_bu_090_what_becomes_of_each_target_is_what_a_plain_model_says() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    let codes = ["srv", "other"];
    for seed in 0..120 {
        let mut dice = Random(seed);
        let mut world = world();
        let (mut allowed, mut plain) = (true, BTreeMap::<(JobId, usize), (Plain, u64)>::new());
        let (mut ends_at, mut begun) = (BTreeMap::<JobId, u64>::new(), BTreeMap::<(JobId, usize), usize>::new());
        let parties = codes.map(|code| stands_by(&mut world, code, false));
        for _ in 0..60 {
            let at = dice.below(2);
            let now = world.now.0;
            let jobs: Vec<JobId> = ends_at.keys().copied().collect();
            let drawn = (!jobs.is_empty()).then(|| jobs[dice.below(jobs.len())]);
            let on_item = |plain: &BTreeMap<(JobId, usize), (Plain, u64)>| {
                let here = plain.iter().filter(|((_, on), (it, _))| *on == at && *it != Plain::Over);
                let here: Vec<(JobId, Plain)> = here.map(|((job, _), (it, _))| (*job, *it)).collect();
                let runs = here.iter().find(|(_, it)| matches!(it, Plain::Runs { .. })).copied();
                runs.or(here.first().copied())
            };
            let name = match dice.below(9) {
                0 | 1 => {
                    let made = make(&mut world, "ana", template("fix"), &codes);
                    let many =
                        ends_at.keys().filter(|job| (0..2).any(|at| plain[&(**job, at)].0 != Plain::Over)).count();
                    if !allowed {
                        assert_eq!(made.unwrap_err().reason, Reason::NotPermitted);
                        "make refused"
                    } else if many >= limits::JOBS_LIVE_PER_USER {
                        assert_eq!(made.unwrap_err().reason, Reason::LimitReached);
                        "make too many"
                    } else {
                        let job = made.unwrap();
                        ends_at.insert(job, now + limits::JOB_LIFE.0);
                        plain.extend((0..2).map(|at| ((job, at), (Plain::Waits, 0))));
                        "make"
                    }
                }
                2 | 3 => {
                    let Some(job) = on_item(&plain).map(|(job, _)| job).or(drawn) else { continue };
                    let due = on_item(&plain).filter(|(first, it)| *first == job && *it == Plain::Waits);
                    let done = take(&mut world, parties[at], job);
                    match (due, allowed) {
                        (Some(_), true) => {
                            assert_eq!(done, Ok(Outcome::JobTaken(job)), "seed {seed}");
                            plain.insert((job, at), (Plain::Runs { stops: false }, now));
                            *begun.entry((job, at)).or_default() += 1;
                            "begin"
                        }
                        (Some(_), false) => {
                            assert_eq!(done, Ok(Outcome::Done), "seed {seed}");
                            plain.insert((job, at), (Plain::Over, now));
                            "begin refused"
                        }
                        (None, _) => {
                            assert_eq!(reason(&done), Reason::JobGone, "seed {seed}");
                            "begin gone"
                        }
                    }
                }
                4 => {
                    let Some(job) = on_item(&plain).map(|(job, _)| job).or(drawn) else { continue };
                    let exit = dice.once_in(2).then_some(0);
                    let done = ends(&mut world, parties[at], job, exit);
                    match plain[&(job, at)].0 {
                        Plain::Runs { stops } => {
                            assert_eq!(done, Ok(Outcome::Done), "seed {seed}");
                            let expected = match (exit, stops) {
                                (Some(_), _) => "done 0",
                                (None, true) => "cancelled",
                                (None, false) => "failed: it was stopped",
                            };
                            assert_eq!(state(&world, job, codes[at]), expected, "seed {seed}");
                            plain.insert((job, at), (Plain::Over, now));
                            "tell"
                        }
                        _ => {
                            assert_eq!(reason(&done), Reason::JobGone, "seed {seed}");
                            "tell gone"
                        }
                    }
                }
                5 => {
                    let Some(job) = drawn else { continue };
                    world.rep("ana", Command::CancelJob { job }).unwrap();
                    for at in 0..2 {
                        let known = plain.get_mut(&(job, at)).unwrap();
                        known.0 = match known.0 {
                            Plain::Waits | Plain::Over => Plain::Over,
                            Plain::Runs { .. } => Plain::Runs { stops: true },
                        };
                    }
                    "cancel"
                }
                6 => {
                    allowed = !allowed;
                    world.apply_site(&site(if allowed { "operator" } else { "viewer" }));
                    "edit"
                }
                7 => {
                    world.system(Command::LoseConnections).unwrap();
                    world.engine = Engine::from_state(world.engine.state().clone());
                    world.log_in("ana");
                    "restart"
                }
                _ => {
                    world.wait(6 * 3600);
                    for ((job, _), (it, since)) in &mut plain {
                        let untold = *since + 60_000 + limits::JOB_TOLD_WITHIN.0;
                        match it {
                            Plain::Waits if ends_at[job] <= world.now.0 => *it = Plain::Over,
                            Plain::Runs { .. } if untold <= world.now.0 => *it = Plain::Over,
                            _ => {}
                        }
                    }
                    "wait"
                }
            };
            *met.entry(name).or_default() += 1;
            for ((job, at), (expected, _)) in &plain {
                let found =
                    &world.engine.state().jobs.get(*job).expect("few are over").targets[&item(&world, codes[*at])];
                let found = match (found.waits(), found.runs()) {
                    (true, _) => Plain::Waits,
                    (_, true) => Plain::Runs { stops: found.stops },
                    _ => Plain::Over,
                };
                assert_eq!(found, *expected, "seed {seed}: {job} on {at} after {name}");
            }
            for (at, code) in codes.iter().enumerate() {
                let here = plain.iter().filter(|((_, on), (it, _))| *on == at && *it != Plain::Over);
                let here: Vec<_> = here.map(|((job, _), (it, _))| (*job, *it)).collect();
                let expected = here.iter().find(|(_, it)| matches!(it, Plain::Runs { .. })).or(here.first());
                let expected = expected.map(|(job, it)| match it {
                    Plain::Runs { stops: true } => (*job, JobCall::Stop),
                    Plain::Runs { .. } => (*job, JobCall::Tell),
                    _ => (*job, JobCall::Take),
                });
                assert_eq!(world.engine.state().jobs.call(item(&world, code), true), expected, "seed {seed}");
            }
        }
        assert!(begun.values().all(|times| *times == 1), "seed {seed}: at most once");
    }
    assert_eq!(met.len(), 11, "{met:?}");
}

#[test]
fn p8_7_r11_4_nobody_looks_at_jobs_or_makes_one_from_a_shared_seat_whose_minutes_are_over() {
    let pool = "[[license_pool]]\ncode = \"night\"\nseats = 1\nreauthenticate_after_min = 15\n";
    let site = site("operator").replace("username = \"ana\"\n", "username = \"ana\"\nlicense_pool = \"night\"\n");
    let mut world = World::of(&format!("{site}{pool}"));
    world.log_in("ana");
    let job = make(&mut world, "ana", template("fix"), &["srv"]).unwrap();
    let (user, actor) = (world.user("ana"), equipoise::engine::Actor::Party(Party::Rep(world.user("ana"))));
    assert_eq!(world.engine.state().reads_jobs(actor), Ok(user));
    world.wait(15 * 60);
    assert_eq!(world.engine.state().reads_jobs(actor).unwrap_err().reason, Reason::Reauthenticate);
    assert_eq!(make(&mut world, "ana", template("fix"), &["srv"]).unwrap_err().reason, Reason::Reauthenticate);
    world.rep("ana", Command::CancelJob { job }).unwrap();
    let outside = equipoise::engine::Actor::Service(ServiceId(1));
    assert_eq!(world.engine.state().reads_jobs(outside).unwrap_err().reason, Reason::NotPermitted);
}
