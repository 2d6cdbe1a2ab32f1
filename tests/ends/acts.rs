//! What a rep does at once on a customer's machine, between a real agent and a real console: scripts, pages, processes,
//! the clipboard, pictures, annotations, a restart; and what a rep writes on the session.

use super::place::{self, Place, SITE};
use equipoise::{
    agent::{self, Allow},
    client::Transport,
};
use std::{os::unix::fs::PermissionsExt, process::Stdio};

/// The site with another value of one tool.
fn with(tool: &str, value: &str) -> String {
    let at = SITE.find(&format!(" {tool} = ")).unwrap();
    let end = at + SITE[at..].find([',', '}']).unwrap();
    format!("{} {tool} = \"{value}\" {}", &SITE[..at], &SITE[end..])
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_13_a_script_of_the_reps_team_runs_and_streams() {
    let place = Place::open(SITE).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    rep.line("script tidy", "42 tidied").await;
    rep.until("the script ended with 3").await;
    customer.until("wants to run the script tidy").await;
    customer.until("the script ended with 3").await;
    rep.line("script theirs", "there is no script `theirs` of your teams").await;
    rep.line("script none", "there is no script `none` of your teams").await;
    assert!(!customer.seen().contains("script theirs"), "the endpoint was not even asked");

    rep.line("script stay", "job=").await;
    let job = place::until_some(|| {
        let seen = rep.seen();
        seen.rsplit("job=").next()?.split_once('=').and_then(|(job, _)| job.parse::<u32>().ok())
    })
    .await;
    customer.type_in("stop canned_scripts").await;
    // The endpoint stops at once and the broker takes the channel away: the rep hears of whichever was first.
    rep.until("the channel ended").await;
    let state = || std::fs::read_to_string(format!("/proc/{job}/cmdline")).unwrap_or_default();
    place::until_some(|| state().is_empty().then_some(())).await;
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_4_a_script_where_the_screen_is_only_viewed_is_asked_for_each_time() {
    let place = Place::open(&with("screen", "view")).await;
    let (mut customer, mut rep) = place.serving(Allow::Ask, &place.folder("share")).await;
    for answer in ["y", "n"] {
        rep.type_in("script tidy\n").await;
        customer.until("asks to run a prepared script on this computer. Allow this once? [y/N]").await;
        customer.type_in(answer).await;
        rep.until(if answer == "y" { "the script ended with 3" } else { "prompt_denied" }).await;
    }
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_19_h_79_a_page_is_shown_and_nothing_else() {
    let place = Place::open(SITE).await;
    let (share, seen) = (place.folder("share"), place.path("seen"));
    let browser = place.path("browser");
    std::fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > {}\n", seen.display())).unwrap();
    std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o755)).unwrap();
    let options = place.options(Transport::Ws, Allow::All, &share).await;
    let options = agent::Options { browser: Some(browser.display().to_string()), ..options };
    let (mut customer, mut rep) = place.serving_with(options).await;
    rep.line("push 'https://help.example.org/a?b=$(id)'", "shown").await;
    customer.until("show you the page https://help.example.org/a?b=$(id)").await;
    let opened = place::until_some(|| std::fs::read_to_string(&seen).ok().filter(|text| text.ends_with('\n'))).await;
    assert_eq!(opened, "https://help.example.org/a?b=$(id)\n", "no shell reads the address");
    for bad in ["javascript:alert(1)", "file:///etc/passwd", "https://ana:secret@example.org", "http://10.0.0.1/"] {
        rep.line(&format!("push {bad}"), "refused (malformed)").await;
    }
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_11_processes_are_listed_and_ended() {
    let place = Place::open(SITE).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    #[expect(clippy::disallowed_methods, reason = "a process for the rep to end")]
    let mut target = std::process::Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
    rep.line("ps", "sleep").await;
    rep.line(&format!("kill {}", target.id()), "was told to end").await;
    let status = tokio::task::spawn_blocking(move || target.wait()).await.unwrap().unwrap();
    assert!(!status.success());
    rep.line("kill 1", "no_access").await;
    rep.line(&format!("kill {}", std::process::id()), "no_access").await;
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_3_the_clipboard_goes_both_ways() {
    let place = Place::open(SITE).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    rep.line("clip Grüße; it's \"here\"", "sent").await;
    customer.until("the clipboard holds: Grüße; it's \"here\"").await;
    rep.line("clip", "Grüße; it's \"here\"").await;
    customer.type_in("clip from the customer").await;
    customer.until("Copied.").await;
    rep.line("clip", "from the customer").await;
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_3_each_direction_of_the_clipboard_has_its_own_right() {
    for (value, passes, refused) in [("rep_to_customer", "clip x", "clip"), ("customer_to_rep", "clip", "clip x")] {
        let place = Place::open(&with("clipboard", value)).await;
        let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
        customer.type_in("clip sent").await;
        customer.until("Copied.").await;
        rep.line(passes, "sent").await;
        rep.line(refused, "permission `clipboard` by default").await;
        customer.leave().await.unwrap();
        place.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_22_p3_6_one_picture_is_taken_and_annotations_are_told() {
    let place = Place::open(SITE).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    let file = place.path("shot.png");
    rep.line(&format!("capture {}", file.display()), "bytes of PNG").await;
    let picture = std::fs::read(&file).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(&picture)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let shown = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((shown.width, shown.height), (320, 200));
    rep.type_in("mark 10 20 press here\n").await;
    customer.until("Ana draws an arrow at 10,20: press here").await;
    rep.type_in("mark 30 40\n").await;
    customer.until("Ana draws an arrow at 30,40").await;
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_what_the_policy_denies_reaches_no_endpoint() {
    let denied = [
        ("canned_scripts", "no", "script tidy"),
        ("push_url", "no", "push https://example.org"),
        ("reboot", "no", "reboot"),
        ("system_info_actions", "no", "ps"),
        ("screen_capture", "no", "capture /dev/null"),
        ("annotations", "no", "mark 1 1"),
        ("clipboard", "none", "clip"),
    ];
    let mut site = SITE.to_owned();
    for (tool, value, _) in denied {
        site = site.replacen(&format!(" {tool} = \"yes\""), &format!(" {tool} = \"{value}\""), 1);
        site = site.replacen(&format!(" {tool} = \"both\""), &format!(" {tool} = \"{value}\""), 1);
    }
    let place = Place::open(&site).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    for (tool, _, command) in denied {
        rep.line(command, &format!("permission `{tool}` by default")).await;
    }
    assert!(!customer.seen().contains("Ana wants to"), "{}", customer.seen());
    customer.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_16_the_session_survives_a_restart_of_the_machine() {
    let place = Place::open(SITE).await;
    let (share, down, state) = (place.folder("share"), place.path("down"), place.path("state"));
    let options = place.options(Transport::Ws, Allow::All, &share).await;
    let restart = format!("echo now > {}", down.display());
    let options = agent::Options { restart: Some(restart.clone()), state: Some(state.clone()), ..options };
    let mut machine = place.machine(&options, &["--allow-reboot", &restart]);
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("", "accept or reject").await;
    rep.line("accept", "you serve").await;
    rep.type_in("chat before\n").await;
    machine.until("Ana: before").await;
    rep.line("reboot", "the machine restarts").await;
    machine.until("This computer restarts.").await;
    place::until_some(|| std::fs::read(&down).ok().filter(|text| text == b"now\n")).await;
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    machine.goes_down();

    // The key was good once: only the kept token leads back.
    let mut again = place.customer_with(options).await;
    again.until("Connected").await;
    again.until("With you: Ana.").await;
    rep.type_in("chat after\n").await;
    again.until("Ana: after").await;
    again.type_in("I am back").await;
    rep.until("Bo: I am back").await;
    rep.line("shell: echo $((20+3))-again", "23-again").await;
    rep.line("script tidy", "42 tidied").await;
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    again.ended().await.unwrap();
    assert!(!state.exists(), "nothing leads back into a session that ended");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_16_what_ran_when_the_machine_went_down_is_closed() {
    let place = Place::open(SITE).await;
    let options = place.options(Transport::Ws, Allow::All, &place.folder("share")).await;
    let options = agent::Options { state: Some(place.path("state")), ..options };
    let mut machine = place.machine(&options, &[]);
    let mut rep = place.rep(Transport::Ws, None);
    rep.line("", "accept or reject").await;
    rep.line("accept", "you serve").await;
    rep.type_in("shell\n").await;
    rep.type_in("echo $((40+2))-runs\n").await;
    rep.until("42-runs").await;
    machine.goes_down();
    let mut again = place.customer_with(options).await;
    rep.until("the shell was closed").await;
    rep.line("reboot", "no_reboot: the owner of this machine does not allow it").await;
    again.leave().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lr_012_p3_18_who_is_muted_still_hears_what_the_reps_say() {
    let place = Place::open(SITE).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    rep.type_in("chat before\n").await;
    customer.until("Ana: before").await;
    customer.type_in("I hear you").await;
    rep.until("Bo: I hear you").await;
    rep.line("mute", "the customer's chat is off").await;
    customer.until("You write nothing more in this chat.").await;
    customer.type_in("and now?").await;
    customer.until("Your chat is turned off at the moment.").await;
    rep.type_in("chat after\n").await;
    customer.until("Ana: after").await;
    rep.line("unmute", "the customer's chat is on").await;
    customer.until("Ana wants to chat with you.").await;
    assert!(!rep.seen().contains("and now?"));
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();
    place.close().await;
}

/// A site whose sessions end with a locked screen, unless their reps say otherwise.
fn locking() -> String {
    SITE.replace("tools = { screen", "tools = { termination = \"lock\", termination_override = \"yes\", screen")
}

#[tokio::test(flavor = "multi_thread")]
async fn bu_133_p3_30_the_agent_locks_or_logs_out_by_its_owners_commands_when_the_session_is_over() {
    let place = Place::open(&locking()).await;
    let (share, log) = (place.folder("share"), place.path("log"));
    let command = |word: &str| Some(format!("echo {word} >> {}", log.display()));
    let at_end = agent::Commands { lock: command("locked"), log_out: command("out") };
    let mut keys = Vec::new();
    for _ in 0..2 {
        keys.push(place.options(Transport::Ws, Allow::All, &share).await);
    }
    let mut sessions = keys.into_iter().map(|options| agent::Options { at_end: at_end.clone(), ..options });
    let (mut customer, mut rep) = place.serving_with(sessions.next().unwrap()).await;
    customer.until("When this session is over this computer is locked.").await;
    assert!(!log.exists());
    rep.line("end", "ended").await;
    customer.until("The session is over: this computer is locked.").await;
    customer.ended().await.unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "locked\n");

    // What the rep says for this session counts, also where its own person ends it.
    let mut customer = place.customer_with(sessions.next().unwrap()).await;
    rep.until("accept or reject").await;
    rep.line("accept", "you serve").await;
    rep.line("atend log_out", "it is said at the customer's end").await;
    customer.until("When this session is over this computer's user is logged out.").await;
    customer.leave().await.unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "locked\nout\n");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bu_133_p3_30_without_a_command_the_agent_says_what_it_was_told_and_does_nothing() {
    let place = Place::open(&locking()).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    customer
        .until("The site wants that this computer be locked when this session is over; nothing here does that")
        .await;
    rep.line("end", "ended").await;
    customer.until("The site wanted that this computer be locked; nothing here does that").await;
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_29_a_rep_writes_on_the_session_at_the_console() {
    let place = Place::open(SITE).await;
    let (mut customer, mut rep) = place.serving(Allow::All, &place.folder("share")).await;
    rep.line("fields", "nothing is written on").await;
    rep.line("field order 47 11", "order: 47 11").await;
    rep.line("field two/words x", "refused (malformed) [P3.29]").await;
    rep.line("external CASE-7", "permission `external_key` by builtin").await;
    // The session as it is shown after that has the field.
    rep.line("hold", "held with").await;
    rep.line("fields", "order: 47 11").await;
    rep.line("field order", "without order").await;
    rep.line("resume", "active with").await;
    rep.line("fields", "nothing is written on").await;
    rep.type_in("end\nquit\n").await;
    rep.left().await.unwrap();
    customer.ended().await.unwrap();
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_17_a_button_that_a_rep_hands_over_asks_for_help_from_then_on() {
    let site = SITE
        .replace("\"opt_out\", ", "\"opt_out\", \"buttons_personal\", ")
        .replace("tools = { screen", "tools = { deploy = \"yes\", screen");
    let place = Place::open(&site).await;
    let (share, kept) = (place.folder("share"), place.path("button"));
    // Keys first: who makes one signs in as the rep.
    let without = place.options(Transport::Ws, Allow::All, &share).await;
    let options = place.options(Transport::Ws, Allow::All, &share).await;
    let options = agent::Options { button: Some(kept.clone()), ..options };
    let (mut customer, mut rep) = place.serving_with(without).await;
    rep.line("deploy", "no_button: this end keeps none").await;
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();

    let mut customer = place.customer_with(options.clone()).await;
    rep.until("accept or reject").await;
    rep.line("accept", "you serve").await;
    rep.line("deploy", "the customer's end keeps a button").await;
    customer.until("a support button is kept here").await;
    rep.line("buttons", "1: rep:ana, by ana").await;
    rep.line("end", "ended").await;
    customer.ended().await.unwrap();

    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&kept).unwrap();
    for session in [3, 4] {
        let mut customer = place.customer_with(agent::Options { key: key.clone(), ..options.clone() }).await;
        rep.line(&format!("take {session}"), "you serve").await;
        rep.line("end", "ended").await;
        customer.ended().await.unwrap();
    }
    rep.line("revoke 1", "button 1 is revoked").await;
    rep.line("buttons", "no button").await;
    rep.type_in("quit\n").await;
    rep.left().await.unwrap();
    place.close().await;
}
