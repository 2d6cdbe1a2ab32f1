//! R3, R4, R5: who is offered a session, and what becomes of the offer.

use crate::story::{SITE, net, reps, story, story_in, story_with};
use expect_test::expect;

#[test]
fn r5_1_accept_within_the_alert_timeout_after_a_warning_for_the_one_before() {
    story(
        "login r1 r2; ask s9 in net; +30s; accept r2 s9",
        expect![[r#"
            0s       queued s9 net
            0s       offered s9 r1
            22.5s    warned s9 r1
            30s      offer_timeout s9 r1
            30s      offered s9 r2
            30s      accepted s9 r2
        "#]],
    );
}

#[test]
fn r4_1_a_team_without_algorithm_waits_until_someone_takes_it() {
    story(
        "login c1; ask s1 in calm; +100s; take c1 s1",
        expect![[r#"
            0s       queued s1 calm
            100s     accepted s1 c1
        "#]],
    );
}

#[test]
fn r4_2_the_rep_unchanged_for_longest_is_first_and_fewest_sessions_go_before() {
    story(
        "login r2; +1s; login r1; +1s; login r3; ask a in net; accept r2 a; ask b in net; accept r1 b; \
         ask c in net; accept r3 c; +1s; end r1 b; end r2 a; ask d in net; ask e in net; ask f in net",
        expect![[r#"
            2s       queued a net
            2s       offered a r2
            2s       accepted a r2
            2s       queued b net
            2s       offered b r1
            2s       accepted b r1
            2s       queued c net
            2s       offered c r3
            2s       accepted c r3
            3s       ended b by_rep
            3s       ended a by_rep
            3s       queued d net
            3s       offered d r1
            3s       queued e net
            3s       offered e r2
            3s       queued f net
            3s       offered f r3
        "#]],
    );
}

#[test]
fn r4_2_an_offer_not_accepted_leaves_the_order_as_it_was() {
    story(
        "login r1; +1s; login r2; ask a in net; +1s; leave a; ask b in net",
        expect![[r#"
            1s       queued a net
            1s       offered a r1
            2s       offer_withdrawn a r1 ended
            2s       ended a left_queue
            2s       queued b net
            2s       offered b r1
        "#]],
    );
}

#[test]
fn r3_5_sessions_at_the_limit_stop_assignment_and_an_end_starts_it_again() {
    story_in(
        &format!("{SITE}{}", reps("max_sessions = 2")),
        "login r1; ask a in net; accept r1 a; ask b in net; accept r1 b; ask c in net; hold r1 a; accept r1 c; \
         ask d in net; end r1 b",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r1
            0s       accepted b r1
            0s       queued c net
            0s       held a
            0s       offered c r1
            0s       accepted c r1
            0s       queued d net
            0s       ended b by_rep
            0s       offered d r1
        "#]],
    );
}

#[test]
fn r3_6_an_idle_rep_is_not_offered_until_active_again() {
    story(
        "login r1; idle r1; +899s; ask a in net; reject r1 a; +1s; ask b in net; +1s; active r1",
        expect![[r#"
            899s     queued a net
            899s     offered a r1
            899s     rejected a r1
            900s     idle r1
            900s     queued b net
            901s     offered b r1
        "#]],
    );
}

#[test]
fn r3_7_away_and_busy_are_not_offered() {
    story(
        "login r1; status r1 away; ask a in net; +1s; status r1 busy; +1s; status r1 available; status r1 lunch",
        expect![[r#"
            0s       queued a net
            2s       offered a r1
            2s       refused status malformed
        "#]],
    );
}

#[test]
fn r3_4_who_opted_out_is_not_offered() {
    story(
        "login r1; opt_out r1; ask a in net; +1s; opt_in r1",
        expect![[r#"
            0s       queued a net
            1s       offered a r1
        "#]],
    );
}

#[test]
fn r3_9_one_open_offer_at_a_time() {
    story(
        "login r1; ask a in net; ask b in net; +1s; accept r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       queued b net
            1s       accepted a r1
            1s       offered b r1
        "#]],
    );
}

#[test]
fn r3_11_wrap_up_keeps_a_rep_from_assignment_for_its_time() {
    let site = net("wrap_up_s = 20");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1; ask a in net; accept r1 a; ask b in net; accept r1 b; +1s; end r1 a; ask c in net; +30s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r1
            0s       accepted b r1
            1s       ended a by_rep
            1s       queued c net
            21s      ready r1
            21s      offered c r1
        "#]],
    );
}

#[test]
fn r3_10_deferred_after_login() {
    let site = net("defer_after_login_s = 60");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1; ask a in net; +61s",
        expect![[r#"
            0s       queued a net
            60s      ready r1
            60s      offered a r1
        "#]],
    );
}

#[test]
fn r3_12_a_team_the_portal_does_not_allow_is_not_offered() {
    story_in(
        &format!("{SITE}{}[[portal]]\ncode = \"main\"\nteams = [\"db\"]\n", reps("")),
        "login r1 d1; ask a in net portal=main; take r1 a; get_next r1; ask b in db portal=main",
        expect![[r#"
            0s       queued a net
            0s       refused take not_permitted
            0s       refused get_next queue_empty
            0s       queued b db
            0s       offered b d1
        "#]],
    );
}

const SKILLS: &str = r#"
[site]
name = "story"
[[skill]]
code = "antivirus"
[[skill]]
code = "norton"
parent = "antivirus"
[[skill]]
code = "network"
[[skill]]
code = "vpn"
parent = "network"
[[team]]
code = "net"
algorithm = "skills_least_busy"
[[user]]
username = "plain"
teams = { net = "member" }
permissions = ["support"]
[[user]]
username = "anti"
teams = { net = "member" }
skills = ["antivirus"]
permissions = ["support"]
[[user]]
username = "norton"
teams = { net = "member" }
skills = ["norton"]
permissions = ["support"]
[[user]]
username = "netty"
teams = { net = "member" }
skills = ["network"]
permissions = ["support"]
"#;

#[test]
fn r4_3_the_best_match_is_offered_first_then_weaker_ones() {
    story_in(
        SKILLS,
        "login plain anti norton netty; ask a in net skills=norton,vpn; reject norton a; reject anti a; reject plain a; \
         reject netty a",
        expect![[r#"
            0s       queued a net
            0s       offered a norton
            0s       rejected a norton
            0s       offered a anti
            0s       rejected a anti
            0s       offered a plain
            0s       rejected a plain
            0s       offered a netty
            0s       rejected a netty
        "#]],
    );
}

#[test]
fn r4_6_generalise_before_drop_lowest_rank_first() {
    story_in(
        SKILLS,
        "login plain netty anti; ask a in net skills=norton,vpn; ask b in net skills=vpn",
        expect![[r#"
            0s       queued a net
            0s       offered a anti
            0s       queued b net
            0s       offered b netty
        "#]],
    );
}

#[test]
fn r4_7_each_step_waits_for_its_stay_time_and_a_reject_does_not_shorten_it() {
    story_in(
        SKILLS,
        "login plain; ask a in net skills=norton relax=10; +5s; login norton; reject norton a; +5s; login anti; +1s; \
         reject anti a; +9s",
        expect![[r#"
            0s       queued a net
            5s       offered a norton
            5s       rejected a norton
            10s      relaxed a 1
            10s      offered a anti
            11s      rejected a anti
            20s      relaxed a 2
            20s      offered a plain
        "#]],
    );
}

#[test]
fn r4_8_the_preferred_rep_is_offered_first_for_its_window() {
    story(
        "login r1 r2; opt_out r2; ask a in net prefer=r2/20; +10s; opt_in r2; reject r2 a; +1s; ask b in net prefer=r3/20; \
         +20s",
        expect![[r#"
            0s       queued a net
            10s      offered a r2
            10s      rejected a r2
            10s      offered a r1
            11s      queued b net
            20s      relaxed a 0
            31s      relaxed b 0
            31s      offered b r2
        "#]],
    );
}

#[test]
fn r5_4_who_rejected_is_not_asked_again_until_a_manual_transfer() {
    story(
        "login r1 both; ask a in net; reject r1 a; accept both a; transfer both a db; reject both a; login d1; \
         accept d1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       offered a both
            0s       accepted a both
            0s       moved a net db transfer
            0s       offered a both
            0s       rejected a both
            0s       offered a d1
            0s       accepted a d1
        "#]],
    );
}

#[test]
fn r5_4_a_timeout_that_does_not_count_passes_to_the_next_rep_first() {
    story_with(
        "offer_timeout_is_rejection = false",
        "login r1 r2; ask a in net; +30s; +30s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            22.5s    warned a r1
            30s      offer_timeout a r1
            30s      offered a r2
            52.5s    warned a r2
            60s      offer_timeout a r2
            60s      offered a r1
        "#]],
    );
}

#[test]
fn r5_5_rejected_by_all_waits_for_one_who_has_not() {
    story(
        "login r1; ask a in net; reject r1 a; +10s; login r2",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            10s      offered a r2
        "#]],
    );
}

#[test]
fn r5_3_a_late_accept_gets_offer_gone() {
    story(
        "login r1 r2; ask a in net; +30s; accept r1 a; accept r2 a; accept r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            22.5s    warned a r1
            30s      offer_timeout a r1
            30s      offered a r2
            30s      refused accept offer_gone
            30s      accepted a r2
            30s      refused accept offer_gone
        "#]],
    );
}

#[test]
fn r5_6_priority_then_age_then_id() {
    story(
        "login r1 r2; opt_out r1; opt_out r2; ask a in net; ask b in net priority=80; +1s; ask c in net priority=80; \
         opt_in r1; accept r1 b; accept r1 c",
        expect![[r#"
            0s       queued a net
            0s       queued b net
            1s       queued c net
            1s       offered b r1
            1s       accepted b r1
            1s       offered c r1
            1s       accepted c r1
            1s       offered a r1
        "#]],
    );
}

#[test]
fn r5_7_a_lost_console_counts_as_timed_out_at_once() {
    story(
        "login r1 r2; ask a in net; +1s; lost r1; back r1; reject r2 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            1s       offer_timeout a r1
            1s       offered a r2
            1s       rejected a r2
        "#]],
    );
}

#[test]
fn r5_7_the_customer_leaving_withdraws_the_offer() {
    story(
        "login r1; ask a in net; leave a; accept r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 ended
            0s       ended a left_queue
            0s       refused accept session_ended
        "#]],
    );
}
