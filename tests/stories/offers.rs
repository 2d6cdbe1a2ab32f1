//! R5: the offer, and when waiting sessions are tried again.

use crate::story::{SITE, net, reps, story, story_in, story_with};
use expect_test::expect;

fn usual(settings: &str) -> String {
    format!("{}{}", net(settings), reps(""))
}

#[test]
fn r5_1_the_warning_comes_when_five_seconds_or_a_quarter_remain() {
    story_in(
        &usual("alert_timeout_s = 5"),
        "login r1; ask a in net; +5s",
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        0s       warned a r1
        5s       offer_timeout a r1
    "#]],
    );
    story_in(
        &usual("alert_timeout_s = 12"),
        "login r1; ask a in net; +12s",
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        7s       warned a r1
        12s      offer_timeout a r1
    "#]],
    );
    story_in(
        &usual("alert_timeout_s = 600"),
        "login r1; ask a in net; +599.999s; accept r1 a",
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        450s     warned a r1
        599.999s accepted a r1
    "#]],
    );
}

#[test]
fn r5_3_one_rep_wins_and_the_others_offer_is_gone() {
    story(
        "login r1 r2; ask a in net; take r2 a; accept r1 a; reject r1 a; accept r2 a; take r1 a; accept d1 a; end r2 a; accept r2 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 taken
            0s       accepted a r2
            0s       refused accept offer_gone
            0s       refused reject offer_gone
            0s       refused accept offer_gone
            0s       refused take wrong_state
            0s       refused accept not_logged_in
            0s       ended a by_rep
            0s       refused accept session_ended
        "#]],
    );
}

#[test]
fn r5_4_a_rejection_is_remembered_over_a_logout_and_a_login() {
    story(
        "login r1 r2; ask a in net; reject r1 a; logout r1; login r1; reject r2 a; explain a",
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        0s       rejected a r1
        0s       offered a r2
        0s       logged_out r1 asked
        0s       rejected a r2
        0s       explained a step 0 candidates [] chosen None left out ["r1:rejected", "r2:rejected", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
    "#]],
    );
}

#[test]
fn r5_4_a_rejection_and_a_timeout_are_remembered_in_every_queue_a_rule_moves_it_to() {
    story_in(
        &usual("overdue = { action = \"transfer\", after_s = 40, to = \"db\" }"),
        "login both r1; ask a in net; reject r1 a; +30s; +10s; login d1; explain a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       offered a both
            22.5s    warned a both
            30s      offer_timeout a both
            40s      moved a net db overdue
            40s      offered a d1
            40s      explained a step 0 candidates [] chosen Some("d1") left out ["d1:offer_open", "d2:offline", "both:rejected"] by Some(Overdue)
        "#]],
    );
}

#[test]
fn r5_4_a_timeout_that_is_no_rejection_asks_the_same_rep_again_if_there_is_no_other() {
    story_with(
        "offer_timeout_is_rejection = false",
        "login r1; ask a in net; +30s; reject r1 a; explain a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            22.5s    warned a r1
            30s      offer_timeout a r1
            30s      offered a r1
            30s      rejected a r1
            30s      explained a step 0 candidates [] chosen None left out ["r1:rejected", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
        "#]],
    );
}

#[test]
fn r5_5_rejected_by_all_it_waits_for_an_act_by_hand_or_the_waiting_rule() {
    story(
        "login r1 r2; ask a in net; reject r1 a; reject r2 a; status r1 away; status r1 available; opt_out r2; opt_in r2; +600s; \
         take r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       offered a r2
            0s       rejected a r2
            600s     accepted a r1
        "#]],
    );
    story_in(
        &usual("overdue = { action = \"transfer\", after_s = 40, to = \"db\" }"),
        "login r1 d1; ask a in net; reject r1 a; +40s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            40s      moved a net db overdue
            40s      offered a d1
        "#]],
    );
}

#[test]
fn r5_6_each_event_that_makes_a_rep_eligible_tries_what_waits() {
    story_in(
        &format!("{SITE}{}", reps("max_sessions = 1\nidle_limit_s = 180")),
        "login r1 c1; ask a in net; accept r1 a; ask b in net; ask c in net; ask d in net; ask e in net; ask f in net; ask g in net; \
         ask h in net; ask i in net; end r1 a; accept r1 b; hold r1 b; accept r1 c; opt_out r1; end r1 c; +1s; opt_in r1; accept r1 d; \
         status r1 away; end r1 d; +1s; status r1 available; accept r1 e; idle r1; +180s; end r1 e; +1s; active r1; accept r1 f; \
         site max_sessions = 1 => max_sessions = 2; accept r1 g; \
         site [user.teams]\ncalm = \"member\" => [user.teams]\ncalm = \"member\"\nnet = \"member\"; \
         accept c1 h; login r2; accept r2 i; ask j in net; ask k in net; ask l in net; share r1 f r2; join r2 f; depart r2 f",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       queued c net
            0s       queued d net
            0s       queued e net
            0s       queued f net
            0s       queued g net
            0s       queued h net
            0s       queued i net
            0s       ended a by_rep
            0s       offered b r1
            0s       accepted b r1
            0s       held b
            0s       offered c r1
            0s       accepted c r1
            0s       ended c by_rep
            1s       offered d r1
            1s       accepted d r1
            1s       ended d by_rep
            2s       offered e r1
            2s       accepted e r1
            182s     idle r1
            182s     ended e by_rep
            183s     offered f r1
            183s     accepted f r1
            183s     offered g r1
            183s     accepted g r1
            183s     offered h c1
            183s     accepted h c1
            183s     offered i c1
            183s     refused accept offer_gone
            183s     queued j net
            183s     offered j r2
            183s     queued k net
            183s     queued l net
            183s     invited f r2
            183s     invite_gone f r2 joined
            183s     joined f r2
            183s     departed f r2
        "#]],
    );
}

#[test]
fn r5_6_a_seat_freed_lets_somebody_in_who_is_offered_what_waits() {
    let site = SITE.replace("name = \"story\"", "name = \"story\"\nseats = 2");
    story_in(
        &format!("{site}{}", reps("")),
        "login c1 r1; opt_out r1; ask a in net; login r2; logout c1; login r2",
        expect![[r#"
            0s       queued a net
            0s       refused login no_seat
            0s       logged_out c1 asked
            0s       offered a r2
        "#]],
    );
}

#[test]
fn r5_6_a_skill_or_an_algorithm_edited_tries_what_waits() {
    story(
        "login c1; ask a in calm; +1s; site algorithm = \"none\" => algorithm = \"least_busy\"",
        expect![[r#"
            0s       queued a calm
            1s       offered a c1
        "#]],
    );
}

#[test]
fn r5_6_priority_ages_where_the_site_says_so() {
    story_with(
        "priority_ageing_per_min = 10",
        "login r1; opt_out r1; ask a in net; +59s; ask b in net priority=60; +2s; ask c in net priority=60; position a; position b; \
         position c; opt_in r1",
        expect![[r#"
            0s       queued a net
            59s      queued b net
            61s      queued c net
            61s      position a Some(2)
            61s      position b Some(1)
            61s      position c Some(3)
            61s      offered b r1
        "#]],
    );
}

#[test]
fn r5_7_a_take_a_transfer_and_an_end_withdraw_the_offer() {
    story(
        "login r1 lead; opt_out lead; ask a in net; transfer lead a lead; ask b in net; take lead b; ask c in net; end lead c; \
         ask d in net join; come d; lost d",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 transferred
            0s       moved a net lead transfer
            0s       queued b net
            0s       offered b r1
            0s       offer_withdrawn b r1 taken
            0s       accepted b lead
            0s       queued c net
            0s       offered c r1
            0s       offer_withdrawn c r1 ended
            0s       ended c by_rep
            0s       queued d net
            0s       offered d r1
            0s       offer_withdrawn d r1 customer_lost
        "#]],
    );
}
