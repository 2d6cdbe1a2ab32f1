//! Jobs on an endpoint that stands by, with a broker that dies in between (P8.8, W5.2): each runs once, and its result is told.

use crate::{people::Person, place::Place, process::DEADLINE};
use equipoise::{
    client::Transport::{self, Quic, Ws},
    wire::{
        Do, Done,
        control::{JobTargetView, MakeJob},
    },
};
use tokio::{task::yield_now, time::timeout};

async fn made(ana: &Person, script: &str) -> u64 {
    let job = MakeJob { script: Some(script.to_owned()), items: vec!["srv".into()], ..MakeJob::default() };
    match ana.client.act(Do::MakeJob(job)).await.unwrap() {
        Done::Job { job, .. } => job.job,
        other => panic!("a job: {other:?}"),
    }
}

async fn on_srv(ana: &Person, job: u64) -> JobTargetView {
    match ana.client.act(Do::Job { job, after: 0 }).await.unwrap() {
        Done::Job { targets, .. } => targets[0].clone(),
        other => panic!("a job: {other:?}"),
    }
}

async fn over(ana: &Person, job: u64) -> JobTargetView {
    let over = async {
        loop {
            let target = on_srv(ana, job).await;
            if !matches!(target.state.as_str(), "waiting" | "running") {
                return target;
            }
            yield_now().await;
        }
    };
    timeout(DEADLINE, over).await.expect("it is over some day")
}

async fn runs_once_through_kill_9(transport: Transport) {
    let mut place = Place::open().await;
    let key = place.item_key().await;
    let agent = place.jump_client(transport, &key, place.folder.path());
    let ana = Person::rep(&place, Ws, "ana").await;
    let (go, ran) = (place.path("go"), place.path("ran"));
    let runs = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
    let quick = format!("echo ran >> '{}'; echo $((40+2)) said", ran.display());
    let waits = format!("until [ -e '{}' ]; do sleep 0.1; done; {quick}", go.display());

    // The broker is away while the script comes to its end.
    let job = made(&ana, &waits).await;
    agent.out.has(&format!("Job {job} begins."));
    let running = async {
        while on_srv(&ana, job).await.state != "running" {
            yield_now().await;
        }
    };
    timeout(DEADLINE, running).await.expect("it has begun");
    place.kill();
    std::fs::write(&go, "").unwrap();
    agent.out.has(&format!("Job {job} ended with 0."));
    place.start_again();
    let target = over(&ana, job).await;
    assert_eq!((target.state.as_str(), target.exit, target.output.as_str()), ("done", Some(0), "42 said\n"));

    // It dies as soon as a job is made, wherever that finds the endpoint.
    for _ in 0..3 {
        let job = made(&ana, &quick).await;
        place.kill();
        place.start_again();
        let target = over(&ana, job).await;
        assert_eq!((target.state.as_str(), target.exit), ("done", Some(0)), "{target:?}\n{}", agent.out.all());
    }
    assert_eq!(runs(), 4, "each ran, and none twice:\n{}", agent.out.all());

    // Both die in the middle of one: it is lost, not begun again, and what waits behind it runs.
    std::fs::remove_file(&go).unwrap();
    let job = made(&ana, &waits).await;
    agent.out.has(&format!("Job {job} begins."));
    let begun = async {
        while on_srv(&ana, job).await.state != "running" {
            yield_now().await;
        }
    };
    timeout(DEADLINE, begun).await.expect("it has begun");
    let next = made(&ana, &quick).await;
    place.kill();
    drop(agent);
    place.start_again();
    let target = on_srv(&ana, job).await;
    assert_eq!(target.state, "running", "nobody has told of it");
    let agent = place.jump_client(transport, &key, place.folder.path());
    let target = over(&ana, job).await;
    assert_eq!(target.state, "failed");
    assert!(target.reason.contains("was started anew"), "{target:?}");
    assert_eq!(over(&ana, next).await.exit, Some(0));
    std::fs::write(&go, "").unwrap();
    agent.out.has(&format!("Job {next} ended with 0."));
    assert_eq!(runs(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_8_w5_2_a_job_runs_once_and_is_told_of_through_kill_9_over_websocket() {
    runs_once_through_kill_9(Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_8_w5_2_a_job_runs_once_and_is_told_of_through_kill_9_over_quic() {
    runs_once_through_kill_9(Quic).await;
}
