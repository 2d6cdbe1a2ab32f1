//! BU-048, RA-013: what sessions leave behind when they end.

use crate::story::{SITE, net, reps, story, story_in, story_with};
use equipoise::engine::Record;
use expect_test::expect;
use std::fmt::Write;

/// A record in words; `-` is nobody or nothing.
pub fn said(record: &Record) -> String {
    let told = &record.told;
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let people: Vec<String> = told.people.iter().map(|one| format!("{}:{}", one.name, one.role)).collect();
    let mut line = format!(
        "record {} {} {} in {} owner {} first {} people [{}] waited {} served {} held {} began {}",
        told.kind,
        told.state,
        told.reason,
        or_none(&told.queue),
        or_none(&told.owner),
        or_none(&told.first_owner),
        people.join(" "),
        seconds(told.waited_ms),
        seconds(told.served_ms),
        seconds(told.held_ms),
        told.began
    );
    let more = [("issue", &told.issue), ("item", &told.item), ("portal", &told.portal)];
    more.iter().filter_map(|(what, code)| Some((what, code.as_ref()?))).for_each(|(what, code)| {
        let _ = write!(line, " {what} {code}");
    });
    if let Some(button) = told.button {
        let _ = write!(line, " button {button}");
    }
    if !told.external_key.is_empty() {
        let _ = write!(line, " key {}", told.external_key);
    }
    told.fields.iter().for_each(|(field, value)| {
        let _ = write!(line, " {field}={value}");
    });
    line
}

#[test]
fn bu_048_ra_013_a_session_that_was_served_leaves_who_when_and_what_was_written_on_it() {
    let site = format!(
        "{SITE}{}[[policy]]\ncode = \"open\"\ntools = {{ external_key = \"yes\" }}\n[options]\ndefault_policy = \"open\"\n",
        reps("").replace("\"jump_client\"", "\"edit_external_key\"")
    );
    story_in(
        &site,
        "login r1 r2; ask a in net; +7s; accept r1 a; +20s; write r1 a company Bakery 12; write r1 a note called back; \
         write r1 a note; call r1 a CASE-7; share r1 a r2; join r2 a; +10s; depart r2 a; +3s; end r1 a; records",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            7s       accepted a r1
            27s      invited a r2
            27s      invite_gone a r2 joined
            27s      joined a r2
            37s      departed a r2
            40s      ended a by_rep
            40s      record support active by_rep in team:net owner r1 first r1 people [r1:owner r2:sharer] waited 7 served 33 held 0 began key key CASE-7 company=Bakery 12
        "#]],
    );
}

#[test]
fn bu_048_a_transfer_leaves_the_last_owner_and_team_and_the_first_owner_and_all_who_took_part() {
    story_in(
        &format!("{SITE}{}", reps("").replace("\"jump_client\"", "\"transfer_outside\"")),
        "login r1 r2 d1; ask a in net; +1s; accept r1 a; +10s; transfer r1 a db; +4s; accept d1 a; +20s; leave a; \
         ask b in net; accept r2 b; +5s; transfer r2 b db; +6s; leave b; \
         ask c in net; accept r1 c; transfer r1 c r2; +2s; take r2 c; end r2 c; records",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            1s       accepted a r1
            11s      moved a net db transfer
            11s      offered a d1
            15s      accepted a d1
            35s      ended a by_customer
            35s      queued b net
            35s      offered b r2
            35s      accepted b r2
            40s      moved b net db transfer
            40s      offered b d1
            46s      offer_withdrawn b d1 ended
            46s      ended b left_queue
            46s      queued c net
            46s      offered c r1
            46s      accepted c r1
            46s      moved c net r2 transfer
            48s      accepted c r2
            48s      ended c by_rep
            35s      record support active by_customer in team:db owner d1 first r1 people [r1:owner d1:owner] waited 5 served 30 held 0 began key
            46s      record support waiting left_queue in team:db owner r2 first r2 people [r2:owner] waited 6 served 5 held 0 began key
            48s      record support active by_rep in rep:r2 owner r2 first r1 people [r1:owner r2:owner] waited 2 served 0 held 0 began key
        "#]],
    );
}

#[test]
fn bu_048_who_took_a_session_over_is_its_primary_rep_and_the_other_is_on_record() {
    story(
        "login r1 lead; ask a in net; accept r1 a; +10s; join lead a; +5s; take_over lead a; +5s; end lead a; records",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            10s      monitors a lead
            15s      owner_changed a lead take_over
            20s      ended a by_rep
            20s      record support active by_rep in team:net owner lead first r1 people [r1:owner lead:owner] waited 0 served 20 held 0 began key
        "#]],
    );
}

#[test]
fn bu_048_a_lost_owner_leaves_the_session_to_an_heir_who_is_its_primary_rep() {
    story_with(
        "reconnect_grace_s = 30",
        "login r1 r2; ask a in net; accept r1 a; +10s; share r1 a r2; join r2 a; +10s; lose r1; +5s; end r2 a; records",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            10s      invited a r2
            10s      invite_gone a r2 joined
            10s      joined a r2
            20s      logged_out r1 lost
            20s      owner_changed a r2 fallback_1
            25s      ended a by_rep
            25s      record support active by_rep in team:net owner r2 first r1 people [r1:owner r2:owner] waited 0 served 25 held 0 began key
        "#]],
    );
}

#[test]
fn bu_048_who_left_the_queue_or_waited_too_long_leaves_a_record_without_a_rep() {
    story_with(
        "max_wait_s = 60",
        "login r1; opt_out r1; ask a in net; +15s; leave a; ask b in net; +60s; login d1; ask c in d1; +5s; end d1 c; records",
        expect![[r#"
            0s       queued a net
            15s      ended a left_queue
            15s      queued b net
            75s      ended b wait_timeout
            75s      queued c d1
            80s      ended c by_rep
            15s      record support waiting left_queue in team:net owner - first - people [] waited 15 served 0 held 0 began key
            75s      record support waiting wait_timeout in team:net owner - first - people [] waited 60 served 0 held 0 began key
            80s      record support waiting by_rep in rep:d1 owner - first - people [] waited 5 served 0 held 0 began key
        "#]],
    );
}

#[test]
fn bu_048_waiting_is_counted_over_every_queue_and_so_is_holding() {
    story_in(
        &format!("{}{}", net("overdue = { action = \"transfer\", after_s = 30, to = \"calm\" }"), reps("")),
        "login r1 c1; opt_out r1; ask a in net; +30s; +10s; take c1 a; +20s; hold c1 a; +100s; resume c1 a; +5s; \
         hold c1 a; +50s; leave a; records",
        expect![[r#"
            0s       queued a net
            30s      moved a net calm overdue
            40s      accepted a c1
            60s      held a
            160s     resumed a
            165s     held a
            215s     ended a by_customer
            215s     record support held by_customer in team:calm owner c1 first c1 people [c1:owner] waited 40 served 25 held 150 began key
        "#]],
    );
}

#[test]
fn bu_048_how_a_session_began_is_on_record() {
    let site = format!(
        "{SITE}{}[[portal]]\ncode = \"main\"\n[[jump_item]]\ncode = \"srv\"\n[[skill]]\ncode = \"vpn\"\n\
         [[issue]]\ncode = \"vpn\"\nteam = \"net\"\nskills = [\"vpn\"]\n",
        reps("").replace("\"jump_client\"", "\"jump_client\", \"generate_keys\", \"buttons_personal\"")
    );
    story_in(
        &site,
        "login r1; make_key r1 K r1; come K main; take r1 K; end r1 K; button r1 B r1; press b B main; leave b; \
         jump r1 j srv; end r1 j; ask i in vpn join; leave i; records",
        expect![[r#"
            0s       queued K r1
            0s       accepted K r1
            0s       ended K by_rep
            0s       button 1 r1 -
            0s       queued b r1
            0s       ended b left_queue
            0s       accepted j r1
            0s       ended j by_rep
            0s       queued i net
            0s       offered i r1
            0s       offer_withdrawn i r1 ended
            0s       ended i left_queue
            0s       record support active by_rep in rep:r1 owner r1 first r1 people [r1:owner] waited 0 served 0 held 0 began key portal main
            0s       record support waiting left_queue in rep:r1 owner - first - people [] waited 0 served 0 held 0 began button portal main button 1
            0s       record jump active by_rep in - owner r1 first r1 people [r1:owner] waited 0 served 0 held 0 began jump item srv
            0s       record support waiting left_queue in team:net owner - first - people [] waited 0 served 0 held 0 began ask issue vpn
        "#]],
    );
}

#[test]
fn bu_048_requests_for_help_and_screens_between_reps_leave_none_and_externals_are_on_record() {
    let more = "[[issue]]\ncode = \"hand\"\nteam = \"net\"\nhelp_requests = true\n\
                [[policy]]\ncode = \"open\"\ntools = { collaborate = \"yes\", invite_external = \"yes\" }\n\
                [[policy]]\ncode = \"guest\"\nfor_invites = true\n[options]\ndefault_policy = \"open\"\n";
    let reps = reps("").replace("\"jump_client\"", "\"show_screen_to_reps\", \"invite_external\"");
    story_in(
        &format!("{SITE}{reps}{more}"),
        "login r1 r2; ask a in net; accept r1 a; +5s; invite r1 a eve@example.org K; external eve with a K; \
         help r1 a hand h; accept r2 h; records; show r1 r2 s; join r2 s; +5s; depart r2 s; records; end r1 a; records",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            5s       external_invited a eve@example.org by r1
            5s       external_joined a eve@example.org
            5s       queued h net
            5s       offered h r2
            5s       accepted h r2
            5s       ended h helped
            5s       joined a r2
            5s       accepted s r1
            5s       invited s r2
            5s       invite_gone s r2 joined
            5s       joined s r2
            10s      ended s by_rep
            10s      ended a by_rep
            10s      record support active by_rep in team:net owner r1 first r1 people [r1:owner eve@example.org:external r2:sharer] waited 0 served 10 held 0 began key
        "#]],
    );
}

#[test]
fn bu_048_r11_4_who_reads_the_history_has_a_permission_and_its_seats_minutes_are_not_over() {
    let rights = [
        ("r1", "reports_own"),
        ("r2", "reports_team\", \"reports_own"),
        ("r3", "reports_all"),
        ("d1", "administrator"),
    ];
    let mut users = reps("");
    for (user, right) in rights {
        let before = format!("username = \"{user}\"\n");
        let pool = if user == "r1" { "license_pool = \"shared\"\n" } else { "" };
        let (head, tail) = users.split_once(&before).expect("a rep");
        let tail = tail.replacen("\"support\"", &format!("\"support\", \"{right}\""), 1);
        users = format!("{head}{before}{pool}{tail}");
    }
    let pool = "[[license_pool]]\ncode = \"shared\"\nseats = 5\nreauthenticate_after_min = 15\n";
    story_in(
        &format!("{SITE}{users}{pool}"),
        "login r1 r2 r3; ask a in r1; reads r1; reads r2; reads r3; reads d1; reads d2; reads a; reads service; \
         +899s; reads r1; +1s; reads r1; reads r2; disable r2; reads r2",
        expect![[r#"
            0s       queued a r1
            0s       reads r1 own
            0s       reads r2 team
            0s       reads r3 all
            0s       reads d1 all
            0s       reads d2 refused not_permitted P1.1
            0s       reads a refused not_permitted P1.1
            0s       reads service refused not_permitted P1.1
            899s     reads r1 own
            900s     seat_timed_out r1
            900s     reads r1 refused reauthenticate R11.4
            900s     reads r2 team
            900s     logged_out r2 disabled
            900s     reads r2 refused not_permitted P1.1
        "#]],
    );
}

#[test]
fn bu_048_a_jump_that_falls_back_to_a_queue_was_asked_for_when_it_began() {
    let more = "[[jump_item]]\ncode = \"srv\"\n[options]\nfallback_team = \"net\"\n";
    story_in(
        &format!("{SITE}{}{more}", reps("")),
        "login r1 r2; +60s; jump r1 j srv; +20s; lose r1; +10s; accept r2 j; +5s; end r2 j; records",
        expect![[r#"
            60s      accepted j r1
            80s      logged_out r1 lost
            80s      moved j - net fallback_4
            80s      offered j r2
            90s      accepted j r2
            95s      ended j by_rep
            95s      record jump active by_rep in team:net owner r2 first r1 people [r1:owner r2:owner] waited 10 served 25 held 0 began jump item srv
        "#]],
    );
}
