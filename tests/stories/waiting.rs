//! R2.6, R6, R10.3: what happens to those who wait.

use crate::story::{net, reps, story, story_in, story_with};
use expect_test::expect;

fn overflow(after: &str) -> String {
    net(&format!("overdue = {{ {after} }}"))
}

#[test]
fn r2_6_an_unavailable_queue_leads_to_the_fallback_queue_or_is_refused() {
    story(
        "ask a in net",
        expect![[r#"
            0s       refused ask no_rep_available
        "#]],
    );
    story_with(
        "fallback_team = \"db\"",
        "login d1; ask a in net",
        expect![[r#"
            0s       queued a db
            0s       offered a d1
        "#]],
    );
}

#[test]
fn r6_1_mark_tells_the_team() {
    let site = overflow("action = \"mark\", after_s = 60");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1; opt_out r1; ask a in net; +200s",
        expect![[r#"
            0s       queued a net
            60s      overdue a net
        "#]],
    );
}

#[test]
fn r6_1_due_during_an_offer_it_moves_when_the_offer_ends_unaccepted() {
    let site = overflow("action = \"transfer\", after_s = 40, to = \"db\"");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1 r2 d1; ask a in net; +100s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            22.5s    warned a r1
            30s      offer_timeout a r1
            30s      offered a r2
            40s      overdue a net
            52.5s    warned a r2
            60s      offer_timeout a r2
            60s      moved a net db overdue
            60s      offered a d1
            82.5s    warned a d1
            90s      offer_timeout a d1
        "#]],
    );
}

#[test]
fn r6_2_no_loop_by_rule() {
    let site = overflow("action = \"transfer\", after_s = 40, to = \"db\"").replace(
        "code = \"db\"\nalgorithm = \"least_busy\"",
        "code = \"db\"\nalgorithm = \"none\"\noverdue = { action = \"transfer\", after_s = 10, to = \"net\" }",
    );
    story_in(
        &format!("{site}{}", reps("")),
        "login r1 d1; opt_out r1; ask a in net; +500s",
        expect![[r#"
            0s       queued a net
            40s      moved a net db overdue
            50s      overdue a db
        "#]],
    );
}

#[test]
fn r6_3_an_unavailable_overflow_queue_is_tried_again_when_somebody_logs_in() {
    let site = overflow("action = \"transfer\", after_s = 40, to = \"db\"");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1; opt_out r1; ask a in net; +50s; login d1",
        expect![[r#"
            0s       queued a net
            40s      overdue a net
            50s      moved a net db overdue
            50s      offered a d1
        "#]],
    );
}

#[test]
fn r6_4_the_maximum_wait_ends_and_the_length_limit_refuses() {
    story_with(
        "max_wait_s = 100",
        "login r1; ask a in net; +200s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            22.5s    warned a r1
            30s      offer_timeout a r1
            100s     ended a wait_timeout
        "#]],
    );
    let site = net("max_queue = 1");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1; opt_out r1; ask a in net; ask b in net",
        expect![[r#"
            0s       queued a net
            0s       refused ask queue_full
        "#]],
    );
}

#[test]
fn r10_3_a_short_disconnect_keeps_the_place_and_a_long_one_ends_it() {
    story(
        "login r1; ask a in net join; come a; +1s; ask b in net; lost a; +30s; accept r1 b; back a; +1s; lost a; +60s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            1s       queued b net
            1s       offer_withdrawn a r1 customer_lost
            1s       offered b r1
            23.5s    warned b r1
            31s      offer_timeout b r1
            31s      refused accept offer_gone
            31s      offered a r1
            32s      offer_withdrawn a r1 customer_lost
            92s      ended a left_queue
        "#]],
    );
}

#[test]
fn r10_3_an_active_session_waits_longer_for_its_customer() {
    story(
        "login r1; ask a in net join; come a; accept r1 a; lost a; +299s; +1s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            300s     ended a by_customer
        "#]],
    );
}

#[test]
fn bu_132_r10_3_the_site_says_how_long_an_active_session_waits() {
    story_with(
        "reconnect_timeout_s = 90",
        "login r1; ask a in net join; come a; accept r1 a; lost a; +89s; back a; lost a; +89s; +1s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            179s     ended a by_customer
        "#]],
    );
}

#[test]
fn w3_4_a_restart_withdraws_offers_and_starts_every_grace_anew() {
    story(
        "login r1 r2; ask a in net; ask b in net; accept r1 a; restart; +50s; back r2; +10s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       queued b net
            0s       offered b r2
            0s       accepted a r1
            0s       offer_withdrawn b r2 restart
            50s      offered b r2
            60s      logged_out r1 lost
            60s      moved a net net fallback_2
        "#]],
    );
}

#[test]
fn r9_1_the_explanation_names_candidates_failed_tests_and_the_rule() {
    let site = overflow("action = \"transfer\", after_s = 40, to = \"db\"");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1 r2 d1; opt_out r1; opt_out d1; ask a in net; ask b in net; explain a; +60s; explain a; explain b; end r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r2
            0s       queued b net
            0s       explained a step 0 candidates [] chosen Some("r2") left out ["r1:opted_out", "r2:offer_open", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            22.5s    warned a r2
            30s      offer_timeout a r2
            30s      offered b r2
            40s      moved a net db overdue
            40s      overdue b net
            52.5s    warned b r2
            60s      offer_timeout b r2
            60s      moved b net db overdue
            60s      explained a step 0 candidates [] chosen None left out ["d1:opted_out", "d2:offline", "both:offline"] by Some(Overdue)
            60s      explained b step 0 candidates [] chosen None left out ["d1:opted_out", "d2:offline", "both:offline"] by Some(Overdue)
            60s      refused end not_owner
        "#]],
    );
}

#[test]
fn r10_1_the_position_counts_those_who_would_be_offered_before() {
    story(
        "login r1; opt_out r1; ask a in net; +1s; ask b in net; ask c in net priority=90; position a; position b; position c; \
         leave a; position b",
        expect![[r#"
            0s       queued a net
            1s       queued b net
            1s       queued c net
            1s       position a Some(2)
            1s       position b Some(3)
            1s       position c Some(1)
            1s       ended a left_queue
            1s       position b Some(2)
        "#]],
    );
}
