//! R7.9: who does nothing in a session for its time is removed from it.

use crate::story::{SITE, reps, story_in};
use expect_test::expect;

fn told(reps_have: &str, script: &str, expected: expect_test::Expect) {
    story_in(&format!("{SITE}{}", reps(reps_have)), script, expected);
}

#[test]
fn r7_9_an_inactive_owner_is_removed_and_the_session_falls_back() {
    told(
        "session_inactivity_s = 300",
        "login r1 r2; ask a in net; accept r1 a; +299s; +1s; accept r2 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            300s     departed a r1
            300s     moved a net net fallback_2
            300s     offered a r2
            300s     accepted a r2
        "#]],
    );
}

#[test]
fn r7_9_inactivity_does_not_run_while_data_moves() {
    told(
        "session_inactivity_s = 300",
        "login r1; ask a in net; accept r1 a; +200s; moved r1 a; +200s; moved r1 a; +299s; moved r1 a; +301s; logout r1",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            999s     departed a r1
            999s     moved a net net fallback_2
            999s     offered a r1
            1000s    offer_withdrawn a r1 logged_out
            1000s    logged_out r1 asked
            1000s    ended a orphaned
        "#]],
    );
}

#[test]
fn r7_9_each_rep_has_a_time_of_its_own_and_the_first_to_stay_inherits() {
    told(
        "session_inactivity_s = 300",
        "login r1 r2 r3; ask a in net; accept r1 a; share r1 a r2; join r2 a; +100s; share r1 a r3; join r3 a; \
         +100s; moved r2 a; +100s; +100s; +100s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a r2
            0s       invite_gone a r2 joined
            0s       joined a r2
            100s     invited a r3
            100s     invite_gone a r3 joined
            100s     joined a r3
            400s     departed a r1
            400s     owner_changed a r2 fallback_1
            400s     departed a r3
            500s     departed a r2
            500s     moved a net net fallback_2
            500s     offered a r1
        "#]],
    );
}

#[test]
fn r7_9_never_is_never_and_minus_one_is_the_sites_value() {
    let site = |user: &str| format!("{SITE}[options]\nsession_inactivity_s = 600\n{}", reps(user));
    let script = "login r1; ask a in net; accept r1 a; +86400s";
    story_in(
        &site("session_inactivity_s = 0"),
        script,
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
        "#]],
    );
    story_in(
        &site(""),
        "login r1; ask a in net; accept r1 a; +600s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            600s     departed a r1
            600s     moved a net net fallback_2
            600s     offered a r1
        "#]],
    );
}

#[test]
fn r7_9_r7_7_a_held_session_has_no_inactivity_and_begins_anew_when_resumed() {
    told(
        "session_inactivity_s = 300",
        "login r1; ask a in net; accept r1 a; +200s; hold r1 a; +4000s; resume r1 a; +299s; +1s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            200s     held a
            4200s    resumed a
            4500s    departed a r1
            4500s    moved a net net fallback_2
            4500s    offered a r1
        "#]],
    );
}

#[test]
fn r7_9_w3_4_a_restart_begins_everybodys_time_anew() {
    told(
        "session_inactivity_s = 300",
        "login r1; ask a in net; accept r1 a; +290s; restart; +1s; back r1; +298s; +1s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            590s     departed a r1
            590s     moved a net net fallback_2
            590s     offered a r1
        "#]],
    );
}
