//! Endpoint automation from the console, on a machine that stands by, as their owners run them (P8.7, P8.8).

use crate::place::{Machine, Place, SITE};
use equipoise::{
    agent::{self, Allow},
    client::Transport,
    rep::Way,
};

/// Ana is an administrator of automation on `srv` and `away`; `root` makes the keys.
fn site() -> String {
    let ana = "\"support\", \"accept_from_queue\", \"get_next\"";
    let site = SITE
        .replace(ana, &format!("\"jump_client\", {ana}"))
        .replace("username = \"ana\"\n", "username = \"ana\"\nautomation = \"administrator\"\n")
        .replace("code = \"tidy\"\n", "code = \"tidy\"\nautomation = true\nname = \"Tidy up\"\ntimeout_s = 60\n")
        .replace("code = \"stay\"\n", "code = \"stay\"\nautomation = true\ndescription = \"as long as it may\"\n");
    format!(
        "{site}\n[[user]]\nusername = \"root\"\npermissions = [\"administrator\"]\n[[jump_item]]\ncode = \"srv\"\n\
         [[jump_item]]\ncode = \"away\"\n[[jump_item]]\ncode = \"router\"\ngroup = \"lab\"\n\
         [[jump_item_role]]\ncode = \"viewer\"\n[[jump_group]]\ncode = \"lab\"\nmembers = {{ ana = \"viewer\" }}\n"
    )
}

async fn stands_by(place: &Place) -> (Machine, agent::Options) {
    place.admit("root").await;
    let mut root = place.console(Way::Login("root".into()), Transport::Ws, Some("itemkey srv"));
    root.left().await.unwrap();
    let seen = root.seen();
    let key = seen.split("key ").nth(1).and_then(|rest| rest.split(',').next()).map(str::to_owned).unwrap();
    let options = place.options(Transport::Ws, Allow::Ask, &place.folder("share")).await;
    let options = agent::Options { key, stand_by: true, ..options };
    (machine(place, &options, &[]).await, options)
}

async fn machine(place: &Place, options: &agent::Options, more: &[&str]) -> Machine {
    let mut machine = place.machine(options, &[&["--stand-by"], more].concat());
    machine.until("Standing by for").await;
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_7_p8_8_bu_091_a_job_is_made_at_the_console_and_runs_on_the_machine() {
    let place = Place::open(&site()).await;
    let (mut srv, _) = stands_by(&place).await;
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("templates", "stay (stay, 600 s): as long as it may").await;
    rep.line("", "tidy (Tidy up, 60 s)").await;
    rep.line("job theirs srv", "refused (unknown_template) [P8.7]").await;
    rep.line("job tidy elsewhere", "refused (unknown_item) [P8]").await;
    rep.line("job tidy router", "permission `canned_scripts` by jump_group:lab [P8.1]").await;
    rep.line("job tidy srv router", "job 1 of ana (tidy): 1 waiting, 1 refused").await;
    srv.until("Job 1 ended with 3.").await;
    rep.line("result 1 --wait", "srv: done with 3").await;
    rep.until("    42 tidied").await;
    rep.until("(P8.1, by jump_group:lab)").await;
    rep.line("job tidy away", "job 2 of ana (tidy): 1 waiting").await;
    rep.line("result 2", "away: waiting").await;

    // A script of her own, beside a session that runs there.
    rep.line("jump srv", "you serve").await;
    let script = place.path("script");
    std::fs::write(&script, "echo $((40+3)) by hand\n").unwrap();
    rep.line(&format!("job --script '{}' srv", script.display()), "job 3 of ana (a script): 1 waiting").await;
    rep.until("job 3 of ana (a script): 1 done").await;
    rep.line("result 3 --wait", "    43 by hand").await;
    rep.line("end", "ended").await;

    // What runs is ended by who cancels it, and what the job started ends with it.
    rep.line("job stay srv", "job 4 of ana (stay): 1 waiting").await;
    srv.until("Job 4 begins.").await;
    rep.line("cancel 4", "job 4 is cancelled").await;
    rep.until("job 4 of ana (stay): 1 cancelled").await;
    srv.until("Job 4 did not come to its end: it was stopped.").await;
    rep.line("cancel 2", "job 2 of ana (tidy): 1 cancelled").await;
    rep.line("jobs", "job 4 of ana (stay): 1 cancelled").await;
    rep.line("cancel 9", "refused (job_gone) [P8.8]").await;
    rep.type_in("quit\n").await;
    rep.left().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_8_w3_4_a_job_goes_on_while_the_broker_is_down_and_is_lost_with_its_machine() {
    let mut place = Place::open(&site()).await;
    let (mut srv, options) = stands_by(&place).await;
    let mut rep = place.rep(Transport::Ws, None);
    let (script, go, done) = (place.path("script"), place.path("go"), place.path("done"));
    let waits = "until [ -e 'GO' ]; do sleep 0.1; done; echo ran >> 'DONE'; echo $((40+4)) on";
    let waits = waits.replace("GO", &go.display().to_string()).replace("DONE", &done.display().to_string());
    std::fs::write(&script, waits).unwrap();
    let make = format!("job --script '{}' srv", script.display());
    rep.line(&make, "job 1 of ana (a script): 1 waiting").await;
    srv.until("Job 1 begins.").await;
    // Who waits for it is told, whether or not its line was there as it ended.
    rep.type_in("result 1 --wait\n").await;
    place.restart().await;
    std::fs::write(&go, "").unwrap();
    srv.until("Job 1 ended with 0.").await;
    rep.until("    44 on").await;

    // The machine goes down in the middle of one, and another waits for it.
    std::fs::remove_file(&go).unwrap();
    rep.line(&make, "job 2 of ana (a script): 1 waiting").await;
    srv.until("Job 2 begins.").await;
    rep.line("job tidy srv", "job 3 of ana (tidy): 1 waiting").await;
    srv.goes_down();
    let mut srv = machine(&place, &options, &[]).await;
    rep.line("result 2 --wait", "srv: failed: the endpoint was started anew").await;
    srv.until("Job 3 ended with 3.").await;
    rep.line("result 3 --wait", "srv: done with 3").await;

    // Its owner may have it stand by for sessions alone.
    srv.goes_down();
    let mut srv = machine(&place, &options, &["--no-jobs"]).await;
    std::fs::write(&go, "").unwrap();
    rep.line(&make, "job 4 of ana (a script): 1 waiting").await;
    srv.until("Job 4 was turned away.").await;
    rep.line("result 4 --wait", "srv: failed: the owner of this computer lets no jobs run on it").await;
    rep.line("jump srv", "you serve").await;
    rep.line("end", "ended").await;
    assert_eq!(std::fs::read_to_string(&done).unwrap(), "ran\n", "nothing runs twice");
    rep.type_in("quit\n").await;
    rep.left().await.unwrap();
    place.close().await;
}
