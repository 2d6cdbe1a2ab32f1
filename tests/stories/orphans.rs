//! R8: the fallback chain.

use crate::story::{net, reps, story, story_in, story_with};
use expect_test::expect;

#[test]
fn r8_2_rule_1_the_longest_present_other_rep_becomes_owner() {
    story(
        "login r1 r2 r3; ask a in net; accept r1 a; share r1 a r3; join r3 a; +1s; share r1 a r2; join r2 a; logout r1; \
         logout r3",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a r3
            0s       invite_gone a r3 joined
            0s       joined a r3
            1s       invited a r2
            1s       invite_gone a r2 joined
            1s       joined a r2
            1s       logged_out r1 asked
            1s       owner_changed a r3 fallback_1
            1s       logged_out r3 asked
            1s       owner_changed a r2 fallback_1
        "#]],
    );
}

#[test]
fn r8_2_rules_2_then_3_then_4_then_the_end() {
    let fallback = "fallback_team = \"calm\"";
    story_with(
        fallback,
        "login r1 r2; ask a in net; accept r1 a; logout r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       logged_out r1 asked
            0s       moved a net net fallback_2
            0s       offered a r2
        "#]],
    );
    story_with(
        fallback,
        "login r1 d1 r2; ask a in db; accept d1 a; logout d1; login c1; lose r1",
        expect![[r#"
            0s       queued a db
            0s       offered a d1
            0s       accepted a d1
            0s       logged_out d1 asked
            0s       ended a orphaned
            0s       logged_out r1 lost
        "#]],
    );
    story_with(
        fallback,
        "login both d1 r1; opt_out r1; ask a in net; accept both a; +1s; transfer both a db; accept d1 a; logout both; \
         logout d1",
        expect![[r#"
            0s       queued a net
            0s       offered a both
            0s       accepted a both
            1s       moved a net db transfer
            1s       offered a d1
            1s       accepted a d1
            1s       logged_out both asked
            1s       logged_out d1 asked
            1s       moved a db net fallback_3
        "#]],
    );
    story_with(
        fallback,
        "login r1 c1; ask a in net; accept r1 a; logout r1; logout c1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       logged_out r1 asked
            0s       moved a net calm fallback_4
            0s       logged_out c1 asked
            0s       ended a orphaned
        "#]],
    );
}

#[test]
fn r8_2_rules_switched_off_are_passed_over() {
    story_with(
        "fallback_rules_normal = []",
        "login r1 r2; ask a in net; accept r1 a; logout r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       logged_out r1 asked
            0s       ended a orphaned
        "#]],
    );
}

#[test]
fn r8_4_a_persistent_queue_keeps_and_takes_back_its_sessions() {
    let site = net("persistent = true");
    story_in(
        &format!("{site}[options]\nfallback_rules_normal = []\n{}", reps("")),
        "ask a in net; login r1; accept r1 a; lose r1; +100s; login r2",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       logged_out r1 lost
            0s       moved a net net fallback_2
            100s     offered a r2
        "#]],
    );
}

#[test]
fn r8_5_the_last_member_leaving_orphans_what_waits() {
    story_with(
        "fallback_team = \"calm\"",
        "login d1 c1; opt_out d1; ask a in db; logout d1",
        expect![[r#"
            0s       queued a db
            0s       logged_out d1 asked
            0s       moved a db calm fallback_4
        "#]],
    );
    story(
        "login d1; opt_out d1; ask a in db; lost d1; +59s; +1s",
        expect![[r#"
            0s       queued a db
            60s      logged_out d1 lost
            60s      ended a orphaned
        "#]],
    );
}

#[test]
fn r8_6_falling_back_keeps_the_place_and_the_reject_memory() {
    story(
        "login r1 r2; ask a in net; reject r1 a; accept r2 a; ask b in net; +1s; reject r1 b; logout r2; login r3",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       offered a r2
            0s       accepted a r2
            0s       queued b net
            0s       offered b r1
            1s       rejected b r1
            1s       offered b r2
            1s       offer_withdrawn b r2 logged_out
            1s       logged_out r2 asked
            1s       moved a net net fallback_2
            1s       offered a r3
        "#]],
    );
}

#[test]
fn r8_7_a_deleted_teams_sessions_fall_back_or_end() {
    story_with(
        "fallback_team = \"calm\"",
        "login d1 c1; opt_out d1; ask a in db; delete_team db",
        expect![[r#"
            0s       queued a db
            0s       moved a gone calm fallback_4
        "#]],
    );
    story(
        "login d1; ask a in db; delete_team db",
        expect![[r#"
            0s       queued a db
            0s       offered a d1
            0s       offer_withdrawn a d1 team_deleted
            0s       ended a orphaned
        "#]],
    );
}
