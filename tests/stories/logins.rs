//! R11.2–R11.4: who may log in, when a login ends by itself, and what a rep must prove.

use crate::story::{SITE, reps, story_in};
use expect_test::expect;

/// Monday 2026-03-02 16:30 UTC is 17:30 in Berlin.
const MONDAY_1630: &str = "1772469000000";
/// Friday 2026-03-27 16:30 UTC, the week before Berlin's clocks go forward.
const FRIDAY_BEFORE_SPRING: &str = "1774629000000";
/// Saturday 2026-10-24 22:00 UTC, three hours before Berlin's clocks go back.
const NIGHT_OF_AUTUMN: &str = "1792879200000";

fn scheduled(entry: &str) -> String {
    let schedule = format!("[user.schedule]\ntimezone = \"Europe/Berlin\"\nforce = true\nentries = [\"{entry}\"]");
    format!("{SITE}{}", reps(&schedule))
}

fn with_options(options: &str, users: &str) -> String {
    format!("{SITE}[options]\n{options}\n{}", reps(users))
}

#[test]
fn r11_2_a_forced_window_over_the_weekend_wraps_the_week_and_follows_the_spring_change() {
    // Friday 18:00 to Monday 06:00 in Berlin is 17:00 UTC to 04:00 UTC: 59 hours, one less than on other weekends.
    story_in(
        &scheduled("fri 18:00 - mon 06:00"),
        &format!("at {FRIDAY_BEFORE_SPRING}; login r1; +1800s; login r1; +212400s; login r1"),
        expect![[r#"
            0s       refused login outside_schedule
            213300s  logout_notice r1 15min
            213600s  logout_notice r1 10min
            213900s  logout_notice r1 5min
            214140s  logout_notice r1 1min
            214200s  logged_out r1 schedule
            214200s  refused login outside_schedule
        "#]],
    );
}

#[test]
fn r11_2_in_autumn_a_window_does_not_open_twice() {
    // 02:15 to 02:45 in Berlin comes at 00:15 UTC and, on the clock, at 01:15 UTC again.
    story_in(
        &scheduled("sun 02:15 - sun 02:45"),
        &format!("at {NIGHT_OF_AUTUMN}; login r1; +8100s; login r1; +1800s; +1800s; login r1; +600s; login r1"),
        expect![[r#"
            0s       refused login outside_schedule
            9000s    logout_notice r1 15min
            9300s    logout_notice r1 10min
            9600s    logout_notice r1 5min
            9840s    logout_notice r1 1min
            9900s    logged_out r1 schedule
            11700s   refused login outside_schedule
            12300s   refused login outside_schedule
        "#]],
    );
}

#[test]
fn r11_2_windows_that_touch_do_not_log_out_between_them() {
    let schedule = "[user.schedule]\ntimezone = \"UTC\"\nforce = true\n\
                    entries = [\"mon 08:00 - mon 16:31\", \"mon 16:31 - mon 16:32\"]";
    story_in(
        &format!("{SITE}{}", reps(schedule)),
        &format!("at {MONDAY_1630}; login r1; +60s; +60s"),
        expect![[r#"
            60s      logout_notice r1 1min
            120s     logged_out r1 schedule
        "#]],
    );
}

#[test]
fn r11_2_an_edited_schedule_holds_for_those_who_are_logged_in() {
    story_in(
        &scheduled("mon 08:00 - mon 18:00"),
        &format!("at {MONDAY_1630}; login r1; +60s; site mon 18:00 => mon 17:45; +839s; +1s"),
        expect![[r#"
            60s      logout_notice r1 15min
            300s     logout_notice r1 10min
            600s     logout_notice r1 5min
            840s     logout_notice r1 1min
            900s     logged_out r1 schedule
        "#]],
    );
}

#[test]
fn r11_3_a_user_who_needs_a_second_factor_is_let_in_only_with_one() {
    story_in(
        &format!("{SITE}{}", reps("two_factor = \"required\"")),
        "login r1; enrol r1; login r1; ask a in net",
        expect![[r#"
            0s       refused login second_factor_required
            0s       queued a net
            0s       offered a r1
        "#]],
    );
}

#[test]
fn r11_3_from_its_date_everybody_is_logged_out_and_needs_a_second_factor() {
    // 3 March at 00:00 in Berlin is 23:00 UTC on 2 March, six hours and a half after the start.
    story_in(
        &with_options("two_factor = { required_from = \"2026-03-03\", timezone = \"Europe/Berlin\" }", ""),
        &format!(
            "at {MONDAY_1630}; enrol r1; login r1 r2 r3; ask a in net; accept r1 a; ask b in net; accept r2 b; \
             hold r2 b; +23399s; +1s; login r2; login r1"
        ),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r2
            0s       accepted b r2
            0s       held b
            23400s   logged_out r1 two_factor
            23400s   moved a net net fallback_2
            23400s   logged_out r2 two_factor
            23400s   logged_out r3 two_factor
            23400s   ended a orphaned
            23400s   refused login second_factor_required
        "#]],
    );
}

#[test]
fn r11_3_at_once_is_this_day_and_logs_out_who_is_there() {
    story_in(
        &format!("{SITE}{}", reps("")),
        &format!("at {MONDAY_1630}; login r1; site required_from = \"\" => required_from = \"2026-03-02\"; login r1"),
        expect![[r#"
            0s       logged_out r1 two_factor
            0s       refused login second_factor_required
        "#]],
    );
}

#[test]
fn r11_3_the_date_is_at_most_fourteen_days_ahead() {
    let script = |date: &str| format!("at {MONDAY_1630}; site required_from = \"\" => required_from = \"{date}\"");
    story_in(&format!("{SITE}{}", reps("")), &script("2026-03-16"), expect![[""]]);
    story_in(
        &format!("{SITE}{}", reps("")),
        &script("2026-03-17"),
        expect![[r#"
            0s       refused site bad_site
        "#]],
    );
}

#[test]
fn r11_3_a_least_client_version_is_demanded_first() {
    story_in(
        &with_options("two_factor = { min_client = \"1.4\" }", "two_factor = \"required\""),
        "login r1; client r1 1.3.9; client r1 nonsense; client r1 1.4.0; enrol r1; client r1 1.10.0-rc.1",
        expect![[r#"
            0s       refused login client_too_old
            0s       refused client client_too_old
            0s       refused client client_too_old
            0s       refused client second_factor_required
        "#]],
    );
}

fn shared() -> String {
    let pool = "[[license_pool]]\ncode = \"desk\"\nseats = 5\nreauthenticate_after_min = 15\n";
    format!("{SITE}{pool}{}", reps("license_pool = \"desk\""))
}

#[test]
fn r11_4_a_shared_seat_asks_again_and_until_then_nothing_new_begins() {
    story_in(
        &shared(),
        "login r1; ask a in net; accept r1 a; ask b in net; reject r1 b; ask c in r1; +899s; +1s; ask d in net; \
         take r1 b; get_next r1; transfer r1 a net; opt_in r1; hold r1 a; resume r1 a; end r1 a; login r1; take r1 c",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r1
            0s       rejected b r1
            0s       queued c r1
            900s     seat_timed_out r1
            900s     queued d net
            900s     refused take reauthenticate
            900s     refused get_next reauthenticate
            900s     refused transfer reauthenticate
            900s     refused opt_in reauthenticate
            900s     held a
            900s     refused resume reauthenticate
            900s     ended a by_rep
            900s     offered d r1
            900s     accepted c r1
        "#]],
    );
}

#[test]
fn r11_4_an_open_offer_is_withdrawn_and_a_resumed_connection_proves_nothing() {
    story_in(
        &shared(),
        "login r1; +890s; ask a in net; +10s; lost r1; back r1; opt_in r1; login r1",
        expect![[r#"
            890s     queued a net
            890s     offered a r1
            900s     offer_withdrawn a r1 seat_timed_out
            900s     seat_timed_out r1
            900s     refused opt_in reauthenticate
            900s     offered a r1
        "#]],
    );
}

#[test]
fn r11_1_no_pool_takes_only_seats_outside_the_pools() {
    let site = shared().replace("seats = 5", "seats = 1").replace("name = \"story\"", "name = \"story\"\nseats = 1");
    // Only r2 has the pool; everybody else is outside it.
    let mut own = site.replace("license_pool = \"desk\"", "");
    own = own.replacen("username = \"r2\"", "username = \"r2\"\nlicense_pool = \"desk\"", 1);
    story_in(
        &own,
        "login r1 r3 r2; logout r1; login r3; logout r2; login r1",
        expect![[r#"
            0s       refused login no_seat
            0s       logged_out r1 asked
            0s       logged_out r2 asked
            0s       refused login no_seat
        "#]],
    );
}

#[test]
fn r11_5_auto_start_needs_exactly_one_team_and_happens_once_a_login() {
    story_in(
        &with_options("auto_start = true", ""),
        "login both; login r1; lost r1; back r1; login r1; logout r1; login r1",
        expect![[r#"
            0s       accepted ? r1
            0s       logged_out r1 asked
            0s       ended ? orphaned
            0s       accepted ? r1
        "#]],
    );
}
