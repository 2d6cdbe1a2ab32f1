//! R7.8, R8.1, R11.1: logins, logouts and lost connections.

use crate::story::{SITE, reps, story, story_in, story_with};
use expect_test::expect;

#[test]
fn r11_1_no_free_seat_refuses_the_login() {
    let site = SITE.replace("[[team]]\ncode = \"net\"", "seats = 1\n[[team]]\ncode = \"net\"");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1 r2; logout r1; login r2",
        expect![[r#"
            0s       refused login no_seat
            0s       logged_out r1 asked
        "#]],
    );
}

#[test]
fn r7_8_require_closed_sessions_refuses_the_logout() {
    story_with(
        "require_closed_sessions = true",
        "login r1; ask a in net; accept r1 a; logout r1; end r1 a; ask b in r1; logout r1; take r1 b; end r1 b; logout r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       refused logout open_sessions
            0s       ended a by_rep
            0s       queued b r1
            0s       refused logout open_sessions
            0s       accepted b r1
            0s       ended b by_rep
            0s       logged_out r1 asked
        "#]],
    );
}

#[test]
fn r7_8_any_session_one_is_in_counts_shared_watched_or_held_and_a_lost_connection_is_no_logout() {
    story_with(
        "require_closed_sessions = true",
        "login r1 r2 lead; ask a in net; accept r1 a; share r1 a r2; join r2 a; join lead a; logout r2; logout lead; \
         depart r2 a; logout r2; depart lead a; logout lead; hold r1 a; logout r1; lost r1; +60s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a r2
            0s       invite_gone a r2 joined
            0s       joined a r2
            0s       monitors a lead
            0s       refused logout open_sessions
            0s       refused logout open_sessions
            0s       departed a r2
            0s       logged_out r2 asked
            0s       departed a lead
            0s       logged_out lead asked
            0s       held a
            0s       refused logout open_sessions
            60s      logged_out r1 lost
        "#]],
    );
}

#[test]
fn r7_8_an_invitation_and_an_open_offer_hold_nobody_back() {
    story_with(
        "require_closed_sessions = true",
        "login r1 r2; ask a in net; accept r1 a; share r1 a r2; ask b in net; logout r2",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a r2
            0s       queued b net
            0s       offered b r2
            0s       offer_withdrawn b r2 logged_out
            0s       logged_out r2 asked
            0s       offered b r1
        "#]],
    );
}

#[test]
fn r8_1_a_lost_console_keeps_its_sessions_for_the_grace() {
    story(
        "login r1 r2; ask a in net; accept r1 a; +1s; lost r1; +59s; back r1; lost r1; +60s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            120s     logged_out r1 lost
            120s     moved a net net fallback_2
            120s     offered a r2
        "#]],
    );
}

#[test]
fn r8_1_a_disabled_account_is_logged_out_and_cannot_come_back() {
    story(
        "login r1 r2; ask a in net; accept r1 a; hold r1 a; disable r1; login r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       held a
            0s       logged_out r1 disabled
            0s       moved a net net fallback_2
            0s       offered a r2
            0s       refused login account_disabled
        "#]],
    );
}

#[test]
fn r7_9_the_consoles_own_idle_time_logs_the_rep_out() {
    story_in(
        &format!("{SITE}{}", reps("console_idle_s = 300")),
        "login r1; idle r1; +300s",
        expect![[r#"
            300s     logged_out r1 console_idle
        "#]],
    );
}

/// Monday 2026-03-02 16:30 UTC is 17:30 in Berlin.
const MONDAY_1630: &str = "1772469000000";

fn until_six(force: bool) -> String {
    let schedule = format!(
        "[user.schedule]\ntimezone = \"Europe/Berlin\"\nforce = {force}\nentries = [\"mon 08:00 - mon 18:00\"]"
    );
    format!("{SITE}{}", reps(&schedule))
}

#[test]
fn r11_2_a_forced_schedule_gives_notice_and_logs_out_at_its_end() {
    let script = "login r1 r2; ask a in net; accept r1 a; logout r2; +1260s; login r2; +600s; login r1";
    story_in(
        &until_six(true),
        &format!("at {MONDAY_1630}; {script}"),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       logged_out r2 asked
            900s     logout_notice r1 15min
            1200s    logout_notice r1 10min
            1500s    logout_notice r1 5min
            1500s    logout_notice r2 5min
            1740s    logout_notice r1 1min
            1740s    logout_notice r2 1min
            1800s    logged_out r1 schedule
            1800s    moved a net net fallback_2
            1800s    logged_out r2 schedule
            1800s    ended a orphaned
            1860s    refused login outside_schedule
        "#]],
    );
}

#[test]
fn r11_2_without_force_a_login_goes_on_past_the_end() {
    story_in(
        &until_six(false),
        &format!("at {MONDAY_1630}; login r1; +3600s; ask a in net; login r2"),
        expect![[r#"
            3600s    queued a net
            3600s    offered a r1
            3600s    refused login outside_schedule
        "#]],
    );
}

#[test]
fn r3_1_an_expired_account_is_logged_out_and_cannot_come_back() {
    story_in(
        &format!("{SITE}{}", reps("expires = \"2026-03-02T16:31:00Z\"")),
        &format!("at {MONDAY_1630}; login r1; ask a in r1; take r1 a; hold r1 a; +60s; login r1"),
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       held a
            60s      logged_out r1 expired
            60s      ended a orphaned
            60s      refused login account_disabled
        "#]],
    );
}

#[test]
fn r11_5_auto_start_gives_a_rep_of_one_team_a_session_at_login() {
    story_with(
        "auto_start = true",
        "login r1 both",
        expect![[r#"
            0s       accepted ? r1
        "#]],
    );
}
