//! R10: what a customer is asked, told and left with; R6.4 and R7.7: how long anybody waits or is held.

use crate::story::{SITE, reps, story, story_in, story_with};
use expect_test::expect;

const DISCLAIMER: &str = "disclaimer = true\ndisclaimer_text = \"Others may look at this computer.\"";

#[test]
fn r10_2_nobody_serves_a_session_before_its_customer_agrees() {
    story_with(
        DISCLAIMER,
        "login r1; ask a in net join; reject r1 a; opt_out r1; opt_in r1; come a; take r1 a; get_next r1; agree a; \
         login r2; accept r2 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       disclaimer a
            0s       refused take wrong_state
            0s       refused get_next queue_empty
            0s       agreed a
            0s       offered a r2
            0s       accepted a r2
        "#]],
    );
}

#[test]
fn r10_2_an_open_offer_is_withdrawn_while_the_customer_reads() {
    story_with(
        DISCLAIMER,
        "login r1; ask a in net join; come a; accept r1 a; agree a; agree a; accept r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 disclaimer
            0s       disclaimer a
            0s       refused accept offer_gone
            0s       agreed a
            0s       offered a r1
            0s       refused agree wrong_state
            0s       accepted a r1
        "#]],
    );
}

#[test]
fn r10_2_declining_and_silence_end_it_with_a_reason_of_their_own() {
    story_with(
        DISCLAIMER,
        "login r1; opt_out r1; ask a in net join; come a; decline a; ask b in net join; come b; +599s; +1s; agree b",
        expect![[r#"
            0s       queued a net
            0s       disclaimer a
            0s       ended a declined
            0s       queued b net
            0s       disclaimer b
            600s     ended b declined
            600s     refused agree session_ended
        "#]],
    );
}

#[test]
fn r10_2_who_was_accepted_before_coming_stays_with_the_rep_and_reads_first() {
    story_with(
        DISCLAIMER,
        "login r1; ask a in net join; accept r1 a; come a; agree a; ask b in net join; accept r1 b; come b; decline b; \
         ask c in net join; accept r1 c; come c; +600s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       disclaimer a
            0s       agreed a
            0s       queued b net
            0s       offered b r1
            0s       accepted b r1
            0s       disclaimer b
            0s       ended b declined
            0s       queued c net
            0s       offered c r1
            0s       accepted c r1
            0s       disclaimer c
            600s     ended c declined
        "#]],
    );
}

#[test]
fn r10_2_the_place_in_the_queue_is_kept_while_the_customer_reads() {
    story_with(
        DISCLAIMER,
        "login r1; opt_out r1; ask a in net join; come a; +60s; ask b in net; position a; position b; agree a; opt_in r1",
        expect![[r#"
            0s       queued a net
            0s       disclaimer a
            60s      queued b net
            60s      position a Some(1)
            60s      position b Some(2)
            60s      agreed a
            60s      offered a r1
        "#]],
    );
}

#[test]
fn r10_3_a_short_disconnect_keeps_the_place_and_a_long_one_loses_it() {
    story(
        "login r1; opt_out r1; ask a in net join; come a; ask b in net; lost a; opt_in r1; +59s; back a; reject r1 b; \
         accept r1 a; lost a; +299s; back a; lost a; +300s",
        expect![[r#"
            0s       queued a net
            0s       queued b net
            0s       offered b r1
            22.5s    warned b r1
            30s      offer_timeout b r1
            59s      offered a r1
            59s      refused reject offer_gone
            59s      accepted a r1
            658s     ended a by_customer
        "#]],
    );
    story(
        "login r1; opt_out r1; ask a in net join; come a; lost a; +60s",
        expect![[r#"
            0s       queued a net
            60s      ended a left_queue
        "#]],
    );
}

#[test]
fn r10_1_an_estimate_is_unknown_at_first_and_then_follows_the_pace() {
    // One rep takes one session a hundred seconds; the others wait.
    let mut script = "login r1; opt_out r1".to_owned();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        script += &format!("; ask {name} in net");
    }
    script += "; estimate h";
    for name in ["a", "b", "c", "d", "e", "f"] {
        script += &format!("; take r1 {name}; end r1 {name}; +100s; estimate h");
    }
    script += "; login r2; estimate h; logout r2; lose r1";
    story_in(
        &format!("{SITE}{}", reps("")).replacen(
            "algorithm = \"least_busy\"",
            "algorithm = \"none\"\npersistent = true",
            1,
        ),
        &format!("{script}; estimate h"),
        expect![[r#"
            0s       queued a net
            0s       queued b net
            0s       queued c net
            0s       queued d net
            0s       queued e net
            0s       queued f net
            0s       queued g net
            0s       queued h net
            0s       estimate h unknown
            0s       accepted a r1
            0s       ended a by_rep
            100s     estimate h unknown
            100s     accepted b r1
            100s     ended b by_rep
            200s     estimate h unknown
            200s     accepted c r1
            200s     ended c by_rep
            300s     estimate h unknown
            300s     accepted d r1
            300s     ended d by_rep
            400s     estimate h unknown
            400s     accepted e r1
            400s     ended e by_rep
            500s     estimate h unknown
            500s     accepted f r1
            500s     ended f by_rep
            600s     estimate h about 200s, 200s to 200s
            600s     estimate h about 100s, 100s to 100s
            600s     logged_out r2 asked
            600s     logged_out r1 lost
            600s     estimate h unknown
        "#]],
    );
}

#[test]
fn r10_1_a_queue_without_a_backlog_tells_nothing() {
    let mut script = "login r1; opt_out r1".to_owned();
    // Nobody waits behind anybody: there is no pace to learn.
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        script += &format!("; ask {name} in net; +100s; take r1 {name}; end r1 {name}");
    }
    story(
        &format!("{script}; ask x in net; estimate x"),
        expect![[r#"
            0s       queued a net
            100s     accepted a r1
            100s     ended a by_rep
            100s     queued b net
            200s     accepted b r1
            200s     ended b by_rep
            200s     queued c net
            300s     accepted c r1
            300s     ended c by_rep
            300s     queued d net
            400s     accepted d r1
            400s     ended d by_rep
            400s     queued e net
            500s     accepted e r1
            500s     ended e by_rep
            500s     queued f net
            600s     accepted f r1
            600s     ended f by_rep
            600s     queued g net
            700s     accepted g r1
            700s     ended g by_rep
            700s     queued x net
            700s     estimate x unknown
        "#]],
    );
}

#[test]
fn r10_1_a_notice_lives_as_long_as_it_says_and_needs_its_permission() {
    story_in(
        &format!("{SITE}{}", reps("").replacen("\"support\"", "\"support\", \"edit_customer_notices\"", 1)),
        "login r1 r2; notice r1 60 mail is down; notice r2 0 so is the web; notice r1 0 the web is down; +60s; withdraw r2 2; \
         withdraw r1 2; withdraw r1 2",
        expect![[r#"
            0s       notice 1 mail is down
            0s       refused notice not_permitted
            0s       notice 2 the web is down
            60s      notice_gone 1 expired
            60s      refused withdraw not_permitted
            60s      notice_gone 2 withdrawn
        "#]],
    );
}

#[test]
fn r6_4_who_waits_too_long_is_let_go_and_a_full_queue_is_said() {
    let site = format!("{SITE}[options]\nmax_wait_s = 120\n{}", reps(""));
    story_in(
        &site.replacen("algorithm = \"least_busy\"", "algorithm = \"none\"\nmax_queue = 2", 1),
        "login r1; ask a in net; +60s; ask b in net; ask c in net; +60s; ask d in net; +60s",
        expect![[r#"
            0s       queued a net
            60s      queued b net
            60s      refused ask queue_full
            120s     ended a wait_timeout
            120s     queued d net
            180s     ended b wait_timeout
        "#]],
    );
}

#[test]
fn r7_7_a_held_session_survives_its_owners_logout_and_ends_after_fourteen_days() {
    story_with(
        "session_inactivity_s = 300",
        "login r1; ask a in net; accept r1 a; hold r1 a; logout r1; +600s; login r1; ask b in net; accept r1 b; end r1 b; \
         logout r1; +1208999s; +1s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       held a
            0s       logged_out r1 asked
            600s     queued b net
            600s     offered b r1
            600s     accepted b r1
            600s     ended b by_rep
            600s     logged_out r1 asked
            1209600s ended a hold_expired
        "#]],
    );
}

/// Monday 2026-03-02 16:30 UTC.
const MONDAY_1630: &str = "1772469000000";

#[test]
fn r8_1_every_forced_end_of_a_login_orphans_what_is_owned() {
    // In order: idle console, expired account, disabled account, and a connection lost beyond its grace.
    let users = reps("").replacen("username = \"r1\"", "username = \"r1\"\nconsole_idle_s = 300", 1).replacen(
        "username = \"r2\"",
        "username = \"r2\"\nexpires = \"2026-03-02T16:36:00Z\"",
        1,
    );
    story_in(
        &format!("{SITE}{users}"),
        &format!(
            "at {MONDAY_1630}; login r1; ask a in net; accept r1 a; idle r1; login r2; +300s; accept r2 a; login r3; +60s; \
             accept r3 a; login both; disable r3; accept both a; lost both; login lead; +60s"
        ),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            300s     logged_out r1 console_idle
            300s     moved a net net fallback_2
            300s     offered a r2
            300s     accepted a r2
            360s     logged_out r2 expired
            360s     moved a net net fallback_2
            360s     offered a r3
            360s     accepted a r3
            360s     logged_out r3 disabled
            360s     moved a net net fallback_2
            360s     offered a both
            360s     accepted a both
            420s     logged_out both lost
            420s     moved a net net fallback_2
            420s     offered a lead
        "#]],
    );
}
