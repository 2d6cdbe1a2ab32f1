//! R6: the waiting rule, overflow, and what limits a wait.

use crate::story::{net, reps, story, story_in, story_with};
use expect_test::expect;

const TO_DB: &str = "overdue = { action = \"transfer\", after_s = 40, to = \"db\" }";

/// `net` and `db` with these settings.
fn site(of_net: &str, of_db: &str) -> String {
    let db = "code = \"db\"\nalgorithm = \"least_busy\"";
    format!("{}{}", net(of_net).replace(db, &format!("{db}\n{of_db}")), reps(""))
}

#[test]
fn r6_1_none_by_default_and_a_transfer_alone_moves() {
    story(
        "login r1; opt_out r1; ask a in net; +86400s",
        expect![[r#"
        0s       queued a net
    "#]],
    );
    story_in(
        &site(TO_DB, ""),
        "login r1 d1; opt_out r1; ask a in net; +40s; +600s",
        expect![[r#"
        0s       queued a net
        40s      moved a net db overdue
        40s      offered a d1
        62.5s    warned a d1
        70s      offer_timeout a d1
    "#]],
    );
}

#[test]
fn r6_1_the_time_counts_from_entering_this_queue_until_accepted() {
    story_in(
        &site("overdue = { action = \"mark\", after_s = 60 }", ""),
        "login r1 both; opt_out both; ask a in net; +20s; accept r1 a; +100s; ask b in db; transfer both b net; +50s; take both b; \
         +20s; transfer both b net; +59.999s; +0.001s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            20s      accepted a r1
            120s     queued b db
            120s     refused transfer not_owner
            170s     accepted b both
            190s     moved b db net transfer
            190s     offered b r1
            212.5s   warned b r1
            220s     offer_timeout b r1
            250s     overdue b net
        "#]],
    );
}

#[test]
fn r6_1_due_during_an_offer_that_is_accepted_it_stays() {
    story_in(
        &site(TO_DB, ""),
        "login r1 d1; +1s; ask a in net; +20s; reject r1 a; +10s; login r2; +15s; accept r2 a; +60s",
        expect![[r#"
        1s       queued a net
        1s       offered a r1
        21s      rejected a r1
        31s      offered a r2
        41s      overdue a net
        46s      accepted a r2
    "#]],
    );
}

#[test]
fn r6_2_the_queue_it_was_placed_in_counts_and_a_transfer_by_hand_begins_anew() {
    let back = "overdue = { action = \"transfer\", after_s = 10, to = \"net\" }";
    story_in(
        &site(TO_DB, back),
        "login lead d1; opt_out lead; opt_out d1; ask a in net; +40s; +10s; take d1 a; transfer d1 a db; +10s; +40s; +600s",
        expect![[r#"
            0s       queued a net
            40s      moved a net db overdue
            50s      overdue a db
            50s      accepted a d1
            50s      moved a db db transfer
            60s      moved a db net overdue
            100s     overdue a net
        "#]],
    );
}

#[test]
fn r6_3_a_queue_that_becomes_persistent_takes_what_is_due() {
    story_in(
        &site(TO_DB, "persistent = false\nmax_queue = 9"),
        "login r1; opt_out r1; ask a in net; +60s; site persistent = false\nwrap_up_s = 0\ndefer_after_login_s = 0\nrelax_after_s = 0\n\
         max_queue = 9 => persistent = true\nwrap_up_s = 0\ndefer_after_login_s = 0\nrelax_after_s = 0\nmax_queue = 9",
        expect![[r#"
            0s       queued a net
            40s      overdue a net
            60s      moved a net db overdue
        "#]],
    );
}

#[test]
fn r6_4_the_maximum_wait_goes_on_through_a_move_by_rule_and_not_through_one_by_hand() {
    let options = |text: &str| {
        text.replace("[[user]]\nusername = \"r1\"", "[options]\nmax_wait_s = 60\n[[user]]\nusername = \"r1\"")
    };
    story_in(
        &options(&site(TO_DB, "")),
        "login r1 d1; opt_out r1; opt_out d1; ask a in net; +40s; +20s",
        expect![[r#"
        0s       queued a net
        40s      moved a net db overdue
        60s      ended a wait_timeout
    "#]],
    );
    story_with(
        "max_wait_s = 60",
        "login both; opt_out both; ask a in net; +50s; take both a; transfer both a db; +59.999s; +0.001s",
        expect![[r#"
            0s       queued a net
            50s      accepted a both
            50s      moved a net db transfer
            110s     ended a wait_timeout
        "#]],
    );
    story(
        "login r1; opt_out r1; ask a in net; +864000s; take r1 a",
        expect![[r#"
        0s       queued a net
        864000s  accepted a r1
    "#]],
    );
}

#[test]
fn r6_4_the_length_limits_customers_and_not_acts_by_hand() {
    story_in(
        &site("max_queue = 1", ""),
        "login both; opt_out both; ask a in net; ask b in net; ask c in db; take both c; transfer both c net; take both a; take both c; \
         ask d in net",
        expect![[r#"
            0s       queued a net
            0s       refused ask queue_full
            0s       queued c db
            0s       accepted c both
            0s       moved c db net transfer
            0s       accepted a both
            0s       accepted c both
            0s       queued d net
        "#]],
    );
}
