//! R8.2–R8.7 word by word: each rule of the chain, its switches, and what it keeps.

use crate::story::{net, reps, story, story_after, story_in, story_with};
use expect_test::{Expect, expect};

fn with(options: &str, settings: &str) -> String {
    format!(
        "{}[options]
{options}
{}[[jump_item]]
code = \"srv\"
",
        net(settings),
        reps("")
    )
}

#[test]
fn r8_2_rule_1_counts_the_present_stay_and_one_who_left_and_came_back_is_later() {
    story(
        "login r1 r2 r3; ask a in net; accept r1 a; share r1 a r2; join r2 a; +1s; share r1 a r3; join r3 a; +1s; depart r2 a; \
         share r1 a r2; join r2 a; lose r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a r2
            0s       invite_gone a r2 joined
            0s       joined a r2
            1s       invited a r3
            1s       invite_gone a r3 joined
            1s       joined a r3
            2s       departed a r2
            2s       invited a r2
            2s       invite_gone a r2 joined
            2s       joined a r2
            2s       logged_out r1 lost
            2s       owner_changed a r3 fallback_1
        "#]],
    );
}

#[test]
fn r8_2_rule_1_a_monitor_is_internal_too() {
    story(
        "login r1 boss; ask a in net; accept r1 a; join boss a; lose r1; +1s; end boss a",
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        0s       accepted a r1
        0s       monitors a boss
        0s       logged_out r1 lost
        0s       owner_changed a boss fallback_1
        1s       ended a by_rep
    "#]],
    );
}

#[test]
fn r8_2_rule_2_is_the_queue_of_the_last_accept_a_personal_one_included() {
    story(
        "login r1 r2 both; opt_out both; ask a in r2; accept r2 a; transfer r2 a net; accept r1 a; transfer r1 a r2; accept r2 a; \
         share r2 a r1; join r1 a; take_over r1 a; depart r1 a; logout r2; ask b in r1; take r1 b; transfer r1 b both; take both b; \
         lose both",
        expect![[r#"
            0s       queued a r2
            0s       accepted a r2
            0s       moved a r2 net transfer
            0s       offered a r1
            0s       accepted a r1
            0s       moved a net r2 transfer
            0s       accepted a r2
            0s       invited a r1
            0s       invite_gone a r1 joined
            0s       joined a r1
            0s       refused take_over not_permitted
            0s       departed a r1
            0s       logged_out r2 asked
            0s       ended a orphaned
            0s       queued b r1
            0s       accepted b r1
            0s       moved b r1 both transfer
            0s       accepted b both
            0s       logged_out both lost
            0s       moved b both r1 fallback_3
        "#]],
    );
}

#[test]
fn r8_2_each_rule_has_its_switch_for_jump_and_for_all_others() {
    let switched = |rules: &str, before: &str, last: &str, expected: Expect| {
        story_after(&with(&format!("fallback_team = \"calm\"\n{rules}"), ""), before, last, expected);
    };
    let first_in_net = "login both d1 r1 c1; opt_out r1; ask a in net; accept both a; transfer both a db; accept d1 a";
    for (rules, expected) in [
        (
            "",
            expect![[r#"
            0s       logged_out d1 asked
            0s       moved a db db fallback_2
            0s       offered a both
        "#]],
        ),
        (
            "fallback_rules_normal = [3, 4]",
            expect![[r#"
            0s       logged_out d1 asked
            0s       moved a db net fallback_3
            0s       offered a both
        "#]],
        ),
        (
            "fallback_rules_normal = [4]",
            expect![[r#"
            0s       logged_out d1 asked
            0s       moved a db calm fallback_4
        "#]],
        ),
        (
            "fallback_rules_normal = [2, 3]\nfallback_rules_jump = [4]",
            expect![[r#"
            0s       logged_out d1 asked
            0s       moved a db db fallback_2
            0s       offered a both
        "#]],
        ),
        (
            "fallback_rules_normal = []",
            expect![[r#"
            0s       logged_out d1 asked
            0s       ended a orphaned
        "#]],
        ),
    ] {
        switched(rules, first_in_net, "logout d1", expected);
    }
    let jumped = "login r1 r2 c1; opt_out r2; jump r1 a srv; transfer r1 a net; accept r1 a";
    for (rules, expected) in [
        (
            "fallback_rules_normal = []",
            expect![[r#"
            0s       logged_out r1 asked
            0s       moved a net net fallback_2
        "#]],
        ),
        (
            "fallback_rules_jump = [3]",
            expect![[r#"
            0s       logged_out r1 asked
            0s       moved a net net fallback_3
        "#]],
        ),
        (
            "fallback_rules_jump = [4]",
            expect![[r#"
            0s       logged_out r1 asked
            0s       moved a net calm fallback_4
        "#]],
        ),
        (
            "fallback_rules_jump = []",
            expect![[r#"
            0s       logged_out r1 asked
            0s       ended a orphaned
        "#]],
        ),
    ] {
        switched(rules, jumped, "logout r1", expected);
    }
    switched(
        "",
        "login r1 c1; jump r1 a srv",
        "logout r1",
        expect![[r#"
        0s       logged_out r1 asked
        0s       moved a - calm fallback_4
    "#]],
    );
}

#[test]
fn r8_2_rule_5_ends_it_where_no_queue_is_available() {
    story_with(
        "fallback_team = \"calm\"",
        "login r1; ask a in net; accept r1 a; logout r1",
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
fn r8_3_a_member_within_the_grace_still_counts_as_logged_in() {
    story(
        "login r1 d1; lost r1; +30s; ask a in net; ask b in r1; +30s; ask c in net; ask d in r1; ask e in db",
        expect![[r#"
            30s      queued a net
            30s      queued b r1
            60s      logged_out r1 lost
            60s      ended a orphaned
            60s      ended b orphaned
            60s      refused ask no_rep_available
            60s      refused ask no_rep_available
            60s      queued e db
            60s      offered e d1
        "#]],
    );
}

#[test]
fn r8_4_in_a_persistent_queue_it_stays_when_nobody_is_logged_in_and_its_waiting_rule_applies() {
    story_in(
        &with("", "persistent = true\noverdue = { action = \"transfer\", after_s = 40, to = \"db\" }"),
        "login r1; opt_out r1; ask a in net; logout r1; +50s; login d1; reject d1 a; logout d1",
        expect![[r#"
            0s       queued a net
            0s       logged_out r1 asked
            40s      overdue a net
            50s      moved a net db overdue
            50s      offered a d1
            50s      rejected a d1
            50s      logged_out d1 asked
            50s      moved a db net fallback_3
        "#]],
    );
}

#[test]
fn r8_4_an_owned_session_goes_back_to_its_persistent_last_queue_with_rule_2_off() {
    story_in(
        &with("fallback_rules_normal = [3, 4]\nfallback_team = \"calm\"", "persistent = true"),
        "login both c1; ask a in db; accept both a; transfer both a net; accept both a; logout both; +1s; login r1; accept r1 a; \
         transfer r1 a r1; accept r1 a; logout r1",
        expect![[r#"
            0s       queued a db
            0s       offered a both
            0s       accepted a both
            0s       moved a db net transfer
            0s       offered a both
            0s       accepted a both
            0s       logged_out both asked
            0s       moved a net net fallback_2
            1s       offered a r1
            1s       accepted a r1
            1s       moved a net r1 transfer
            1s       accepted a r1
            1s       logged_out r1 asked
            1s       moved a r1 calm fallback_4
        "#]],
    );
}

#[test]
fn r8_5_the_last_member_to_leave_by_logout_at_once_and_by_a_lost_connection_after_the_grace() {
    story(
        "login d1 d2; opt_out d1; opt_out d2; ask a in db; logout d1; +1s; lost d2; +59.999s; +0.001s",
        expect![[r#"
            0s       queued a db
            0s       logged_out d1 asked
            61s      logged_out d2 lost
            61s      ended a orphaned
        "#]],
    );
    story_with(
        "fallback_team = \"calm\"\nfallback_rules_normal = [2, 3]",
        "login d1 c1; opt_out d1; ask a in db; logout d1",
        expect![[r#"
            0s       queued a db
            0s       logged_out d1 asked
            0s       ended a orphaned
        "#]],
    );
    story(
        "login r1 r2; ask a in r1; logout r1",
        expect![[r#"
        0s       queued a r1
        0s       logged_out r1 asked
        0s       ended a orphaned
    "#]],
    );
}

#[test]
fn r8_5_rule_3_takes_back_what_waits_where_nobody_is_left() {
    story(
        "login r1 both d1; opt_out r1; opt_out d1; opt_out both; ask a in net; take both a; transfer both a db; logout both; logout d1",
        expect![[r#"
            0s       queued a net
            0s       accepted a both
            0s       moved a net db transfer
            0s       logged_out both asked
            0s       logged_out d1 asked
            0s       moved a db net fallback_3
        "#]],
    );
}

#[test]
fn r8_6_the_first_queued_time_orders_it_before_those_who_came_later() {
    story(
        "login r1 r2; opt_out r2; ask a in net; accept r1 a; +10s; opt_out r1; ask b in net; +10s; logout r1; position a; position b; \
         opt_in r2",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            10s      queued b net
            20s      logged_out r1 asked
            20s      moved a net net fallback_2
            20s      position a Some(1)
            20s      position b Some(2)
            20s      offered a r2
        "#]],
    );
}

#[test]
fn r8_7_rule_3_takes_the_sessions_of_a_deleted_team_home() {
    story(
        "login r1 both d1; opt_out r1; opt_out d1; opt_out both; ask a in net; take both a; transfer both a db; ask b in db; \
         delete_team db; position a",
        expect![[r#"
            0s       queued a net
            0s       accepted a both
            0s       moved a net db transfer
            0s       queued b db
            0s       moved a gone net fallback_3
            0s       ended b orphaned
            0s       position a Some(1)
        "#]],
    );
}

#[test]
fn r8_7_a_deleted_team_keeps_what_is_served_and_takes_nothing_back() {
    story(
        "login r1 d1; ask a in db; accept d1 a; delete_team db; ask b in db; +1s; logout d1",
        expect![[r#"
            0s       queued a db
            0s       offered a d1
            0s       accepted a d1
            0s       refused ask unknown_rep
            1s       logged_out d1 asked
            1s       ended a orphaned
        "#]],
    );
    story_with(
        "fallback_team = \"db\"",
        "login r1 d1; ask a in net; accept r1 a; delete_team db; logout r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       logged_out r1 asked
            0s       ended a orphaned
        "#]],
    );
}
