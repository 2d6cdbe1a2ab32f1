//! Endpoint automation over real sockets (P8.7, P8.8, BU-088 to BU-091): who asks for what, what each is shown, what an
//! endpoint may say of a job, and what hostile ends get.

use crate::{
    attack::in_time,
    place::{Person, Place, SITE, hello},
};
use equipoise::{
    client::{ActError, Client, Transport},
    engine::{Actor, Command, Event, Stamped, State},
    limits,
    site::raw::RawSite,
    wire::{
        Credential, Do, Done, Ev,
        control::{JobCall, JobEnded, JobTargetView, JobView, MakeJob, Open, Refused, Role},
    },
};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Ana is a user of automation, ben its administrator, kim is not allowed. Kim has an item of her own.
fn site() -> String {
    let mut site = SITE.replace("permissions = [\"support\"", "permissions = [\"jump_client\", \"support\"");
    for (name, automation) in [("ana", "user"), ("ben", "administrator"), ("kim", "not_allowed")] {
        let user = format!("username = \"{name}\"");
        let roles = "jump_roles = { personal = \"operator\" }\npolicy_unattended = \"unasked\"";
        site = site.replace(&user, &format!("{user}\nautomation = \"{automation}\"\n{roles}"));
    }
    format!(
        "{site}\n[[policy]]\ncode = \"unasked\"\ntools = {{ canned_scripts = \"yes\", screen = \"none\" }}\n\
         prompt = {{ mode = \"never\" }}\n[[jump_item_role]]\ncode = \"operator\"\nallows = [\"start_sessions\"]\n\
         [[jump_item]]\ncode = \"srv\"\n[[jump_item]]\ncode = \"kims\"\nowner = \"kim\"\n\
         [[script]]\ncode = \"tidy\"\nautomation = true\ndescription = \"As always\"\ntext = \"echo tidy\"\n"
    )
}

async fn person(place: &Place, role: Role, credential: Credential) -> Person {
    let (client, happenings) =
        in_time(Client::connect(place.target(Transport::Ws), hello(role, credential))).await.unwrap();
    let session = client.welcome().session.unwrap_or(0);
    Person { client, happenings, session }
}

async fn account(place: &Place, name: &str, role: Role) -> Person {
    let token = place.broker.token_for(name).await.unwrap();
    person(place, role, Credential::Token(token)).await
}

async fn rep(place: &Place, name: &str) -> Person {
    account(place, name, Role::Rep).await
}

async fn key(place: &Place, item: &str) -> String {
    let root = account(place, "root", Role::Admin).await;
    match in_time(root.client.act(Do::MakeItemKey { item: item.to_owned() })).await {
        Ok(Done::Key { key, .. }) => key.into(),
        other => panic!("a key: {other:?}"),
    }
}

async fn asks(person: &Person, act: Do) -> Result<Done, Refused> {
    match in_time(person.client.act(act)).await {
        Ok(done) => Ok(done),
        Err(ActError::Refused(refused)) => Err(refused),
        Err(other) => panic!("it is answered: {other:?}"),
    }
}

async fn code(person: &Person, act: Do) -> String {
    let said = format!("{act:?}");
    asks(person, act).await.expect_err(&said).code
}

fn of(template: &str, items: &[&str]) -> MakeJob {
    let items = items.iter().map(|&item| item.to_owned()).collect();
    MakeJob { template: Some(template.to_owned()), items, ..MakeJob::default() }
}

fn own(script: &str) -> MakeJob {
    MakeJob { script: Some(script.to_owned()), template: None, ..of("", &["srv"]) }
}

async fn makes(person: &Person, job: MakeJob) -> (JobView, Vec<JobTargetView>) {
    match asks(person, Do::MakeJob(job)).await.unwrap() {
        Done::Job { job, targets, next: None } => (*job, targets),
        other => panic!("a job: {other:?}"),
    }
}

async fn one(person: &Person, job: u64) -> JobTargetView {
    match asks(person, Do::Job { job, after: 0 }).await.unwrap() {
        Done::Job { targets, .. } => targets[0].clone(),
        other => panic!("a job: {other:?}"),
    }
}

fn called(ev: Ev) -> Option<(u64, JobCall)> {
    if let Ev::Job { job, call } = ev { Some((job, call)) } else { None }
}

fn ended(job: u64, exit: u32) -> JobEnded {
    JobEnded { job, exit: Some(exit), ..JobEnded::default() }
}

#[tokio::test]
async fn p8_7_bu_088_to_bu_091_each_asks_for_what_the_role_allows_and_is_told_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site(), Box::new(|_, _| {})).await;
    let (mut ana, ben, kim) = (rep(&place, "ana").await, rep(&place, "ben").await, rep(&place, "kim").await);
    let looks = || [Do::JobTemplates { after: String::new() }, Do::Jobs { before: None }, Do::Job { job: 1, after: 0 }];
    for act in looks().into_iter().chain([Do::MakeJob(of("tidy", &["srv"])), Do::MakeJob(of("tidy", &["none"]))]) {
        let refused = asks(&kim, act).await.unwrap_err();
        assert_eq!((refused.code.as_str(), refused.rule.as_str()), ("not_permitted", "P8.7"));
        assert_eq!((refused.tool.as_deref(), refused.source.as_deref()), (Some("canned_scripts"), Some("user:kim")));
    }
    let refused = asks(&ana, Do::MakeJob(own("reboot"))).await.unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.rule.as_str(), refused.source.as_deref()),
        ("not_permitted", "P8.7", Some("user:ana"))
    );
    let Done::JobTemplates { templates, more: false } = asks(&ana, looks()[0].clone()).await.unwrap() else {
        panic!("one")
    };
    assert_eq!((templates.len(), templates[0].template.as_str(), templates[0].timeout_s), (1, "tidy", 600));
    assert_eq!(templates[0].description, "As always");

    for (job, expected) in [
        (of("none", &["srv"]), "unknown_template"),
        (of("tidy", &["none"]), "unknown_item"),
        (of("tidy", &["srv", "kims"]), "unknown_item"),
        (of("tidy", &[]), "malformed"),
        (of("tidy", &["srv", "SRV"]), "malformed"),
        (MakeJob { timeout_s: Some(5), ..of("tidy", &["srv"]) }, "malformed"),
        (MakeJob { script: Some("x".into()), ..of("tidy", &["srv"]) }, "malformed"),
        (MakeJob { template: None, ..of("", &["srv"]) }, "malformed"),
        (MakeJob { lives_s: Some(0), ..of("tidy", &["srv"]) }, "malformed"),
        (MakeJob { lives_s: Some(u64::from(u32::MAX)), ..of("tidy", &["srv"]) }, "malformed"),
    ] {
        assert_eq!(code(&ana, Do::MakeJob(job.clone())).await, expected, "{job:?}");
    }
    let (made, targets) = makes(&ana, of("TIDY", &["srv"])).await;
    assert_eq!((made.job, made.by.as_str(), made.template.as_deref(), made.waiting), (1, "ana", Some("tidy"), 1));
    assert_eq!((targets[0].item.as_str(), targets[0].state.as_str()), ("srv", "waiting"));
    assert_eq!(made.expires_at_ms - made.made_at_ms, limits::JOB_LIFE.0);
    let (bens, _) = makes(&ben, own("uptime")).await;
    assert_eq!((bens.job, bens.template), (2, None));

    // Her own are hers, and everybody's are his.
    let listed = async |person: &Person| match asks(person, Do::Jobs { before: None }).await.unwrap() {
        Done::Jobs { jobs, more: false } => jobs.iter().map(|job| job.job).collect::<Vec<_>>(),
        other => panic!("jobs: {other:?}"),
    };
    assert_eq!((listed(&ana).await, listed(&ben).await), (vec![1], vec![2, 1]));
    for act in [Do::Job { job: 2, after: 0 }, Do::CancelJob { job: 2 }, Do::Job { job: 9, after: 0 }] {
        assert_eq!(code(&ana, act).await, "job_gone");
    }
    assert_eq!(one(&ben, 1).await.state, "waiting");
    asks(&ben, Do::CancelJob { job: 1 }).await.unwrap();
    let over = ana.until(|ev| if let Ev::JobOver(job) = ev { Some(*job) } else { None }).await;
    assert_eq!((over.job, over.cancelled), (1, 1));
    // To who administers the site, nothing of it is theirs.
    let root = account(&place, "root", Role::Admin).await;
    assert_eq!(code(&root, Do::Jobs { before: None }).await, "not_permitted");
    assert_eq!(code(&root, Do::MakeJob(of("tidy", &["srv"]))).await, "not_permitted");
    in_time(place.close()).await;
}

#[tokio::test]
async fn p6_3_p8_7_refused_requests_about_jobs_are_on_record_with_their_number_and_who_withholds() {
    let folder = tempfile::tempdir().unwrap();
    let (tells, mut record) = watch::channel(Vec::<(u32, String)>::new());
    let follower = move |events: &[Stamped], _: &State| {
        for stamped in events {
            if let Event::JobsRefused { count, source, .. } = &stamped.event {
                tells.send_modify(|all| all.push((*count, source.clone())));
            }
        }
    };
    let place = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site(), Box::new(follower)).await;
    let kim = rep(&place, "kim").await;
    for _ in 0..7 {
        assert_eq!(code(&kim, Do::Jobs { before: None }).await, "not_permitted");
    }
    let counted = |all: &Vec<(u32, String)>| all.iter().map(|(count, _)| *count).sum::<u32>() == 7;
    let all = in_time(record.wait_for(counted)).await.unwrap().clone();
    assert!(all.iter().all(|(_, source)| source == "user:kim"), "{all:?}");
    in_time(place.close()).await;
}

#[tokio::test]
async fn p8_8_bu_090_an_endpoint_takes_a_job_once_and_says_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site(), Box::new(|_, _| {})).await;
    let (ana, key) = (rep(&place, "ana").await, key(&place, "srv").await);
    let (first, _) = makes(&ana, of("tidy", &["srv"])).await;
    let mut srv = person(&place, Role::JumpClient, Credential::Key(key.clone())).await;
    assert_eq!(srv.until(called).await, (first.job, JobCall::Take));
    let (second, _) = makes(&ana, of("tidy", &["srv"])).await;
    assert_eq!(code(&srv, Do::TakeJob { job: second.job }).await, "job_gone");
    let taken = asks(&srv, Do::TakeJob { job: first.job }).await.unwrap();
    assert_eq!(taken, Done::JobTaken { job: first.job, script: "echo tidy".into(), timeout_s: 600 });
    assert_eq!(code(&srv, Do::TakeJob { job: first.job }).await, "job_gone", "never again");
    assert_eq!(one(&ana, first.job).await.state, "running");

    // Too much, and what nobody may see, is refused and changes nothing.
    let says = |output: String, reason: &str| JobEnded { output, reason: reason.into(), ..ended(first.job, 0) };
    for wrong in [
        says("x".repeat(limits::JOB_OUTPUT_BYTES + 1), ""),
        says(String::new(), "a\u{202e}b"),
        says(String::new(), &"x".repeat(129)),
    ] {
        assert_eq!(code(&srv, Do::JobEnded(wrong)).await, "malformed");
    }
    // The newest run of it is asked what became of it.
    let mut again = person(&place, Role::JumpClient, Credential::Key(key)).await;
    assert_eq!(again.until(called).await, (first.job, JobCall::Tell));
    let most = "é".repeat(limits::JOB_OUTPUT_BYTES / 2);
    asks(&again, Do::JobEnded(says(most.clone(), ""))).await.unwrap();
    let told = one(&ana, first.job).await;
    assert_eq!((told.state.as_str(), told.exit, told.output), ("done", Some(0), most));
    assert_eq!(code(&again, Do::JobEnded(ended(first.job, 1))).await, "job_gone");

    // The next is called; a right that is gone by then leaves it refused, and the endpoint with nothing to run.
    assert_eq!(again.until(called).await, (second.job, JobCall::Take));
    let edited = site().replace("automation = \"user\"", "automation = \"not_allowed\"");
    place.broker.command(Actor::System, Command::ApplySite(RawSite::parse(&edited).unwrap().into())).await.unwrap();
    assert_eq!(asks(&again, Do::TakeJob { job: second.job }).await, Ok(Done::Yes {}));
    let ben = rep(&place, "ben").await;
    let refused = one(&ben, second.job).await;
    assert_eq!(refused.state, "refused");
    let refused = refused.refused.unwrap();
    assert_eq!((refused.rule.as_str(), refused.source.as_deref()), ("P8.7", Some("user:ana")));

    // What runs is stopped.
    let (third, _) = makes(&ben, own("sleep 1000")).await;
    assert_eq!(again.until(called).await, (third.job, JobCall::Take));
    asks(&again, Do::TakeJob { job: third.job }).await.unwrap();
    asks(&ben, Do::CancelJob { job: third.job }).await.unwrap();
    assert_eq!(again.until(called).await, (third.job, JobCall::Stop));
    asks(&again, Do::JobEnded(JobEnded { job: third.job, ..JobEnded::default() })).await.unwrap();
    assert_eq!(one(&ben, third.job).await.state, "cancelled");
    in_time(place.close()).await;
}

#[tokio::test]
async fn p8_8_i_k1_nobody_but_the_endpoint_of_its_item_takes_a_job_or_says_how_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site(), Box::new(|_, _| {})).await;
    let ana = rep(&place, "ana").await;
    let (job, _) = makes(&ana, of("tidy", &["srv"])).await;
    let kims = person(&place, Role::JumpClient, Credential::Key(key(&place, "kims").await)).await;
    let root = account(&place, "root", Role::Admin).await;
    let both = || [Do::TakeJob { job: job.job }, Do::JobEnded(ended(job.job, 0))];
    for act in both() {
        assert_eq!(code(&kims, act.clone()).await, "job_gone", "it learns nothing of others");
        assert_eq!(code(&ana, act.clone()).await, "not_permitted");
        assert_eq!(code(&root, act).await, "not_permitted");
    }
    let srv = person(&place, Role::JumpClient, Credential::Key(key(&place, "srv").await)).await;
    assert_eq!(code(&srv, both()[1].clone()).await, "job_gone", "it has not begun");
    for act in [
        Do::Jobs { before: None },
        Do::Job { job: job.job, after: 0 },
        Do::MakeJob(of("tidy", &["srv"])),
        Do::CancelJob { job: job.job },
        Do::JobTemplates { after: String::new() },
        Do::Open(Open { session: 1, tool: "shell".into(), args: BTreeMap::new() }),
    ] {
        assert_eq!(code(&srv, act).await, "not_permitted");
    }
    in_time(place.close()).await;
}

#[tokio::test]
async fn w4_1_p8_8_results_and_lists_come_in_answers_that_fit_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let many = 30;
    let items: String = (0..many).map(|at| format!("[[jump_item]]\ncode = \"i{at}\"\n")).collect();
    let scripts: String = (0..120)
        .map(|at| {
            let description = "d".repeat(limits::DESCRIPTION_BYTES_MAX);
            format!(
                "[[script]]\ncode = \"t{at:03}\"\nautomation = true\ndescription = \"{description}\"\ntext = \"x\"\n"
            )
        })
        .collect();
    let site = format!("{}{items}{scripts}", site());
    let place = Place::open_with(folder.path(), "127.0.0.1:0".parse().unwrap(), &site, Box::new(|_, _| {})).await;
    let ana = rep(&place, "ana").await;
    let (mut after, mut codes) = (String::new(), Vec::new());
    loop {
        match asks(&ana, Do::JobTemplates { after }).await.unwrap() {
            Done::JobTemplates { templates, more } => {
                codes.extend(templates.into_iter().map(|one| one.template));
                if !more {
                    break;
                }
                after = codes.last().unwrap().clone();
            }
            other => panic!("templates: {other:?}"),
        }
    }
    assert_eq!((codes.len(), codes.is_sorted()), (121, true));

    let all: Vec<String> = (0..many).map(|at| format!("i{at}")).collect();
    let (job, _) = makes(&ana, MakeJob { items: all.clone(), ..of("tidy", &[]) }).await;
    for item in &all {
        let end = person(&place, Role::JumpClient, Credential::Key(key(&place, item).await)).await;
        asks(&end, Do::TakeJob { job: job.job }).await.unwrap();
        let output = "\u{1}".repeat(limits::JOB_OUTPUT_BYTES);
        asks(&end, Do::JobEnded(JobEnded { output, ..ended(job.job, 0) })).await.unwrap();
        end.client.close().await;
    }
    let (mut next, mut seen) = (Some(0), Vec::new());
    while let Some(from) = next {
        match asks(&ana, Do::Job { job: job.job, after: from }).await.unwrap() {
            Done::Job { targets, next: on, .. } => {
                assert!(targets.len() < many);
                seen.extend(targets.into_iter().map(|target| target.item));
                next = on;
            }
            other => panic!("a job: {other:?}"),
        }
    }
    assert_eq!(seen, all);
    in_time(place.close()).await;
}
