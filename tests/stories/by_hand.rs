//! R7: acts by hand.

use crate::story::{SITE, reps, story, story_in, story_with};
use expect_test::expect;

#[test]
fn r7_1_from_the_own_queue_always_from_a_team_with_permission_and_membership() {
    story(
        "login r1 d1 r2; ask a in r1; take d1 a; take r1 a; opt_out r1; opt_out r2; ask b in net; take d1 b; take r2 b",
        expect![[r#"
            0s       queued a r1
            0s       refused take not_permitted
            0s       accepted a r1
            0s       queued b net
            0s       refused take not_member
            0s       accepted b r2
        "#]],
    );
}

#[test]
fn r7_1_a_take_withdraws_anothers_offer() {
    story(
        "login r1 r2; ask a in net; take r2 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 taken
            0s       accepted a r2
        "#]],
    );
}

#[test]
fn r7_2_get_next_takes_the_oldest_not_on_offer_to_another() {
    story(
        "login r1 both; opt_out both; ask a in net; ask b in db; +1s; ask c in net; get_next both; get_next both; \
         get_next both",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       queued b db
            1s       queued c net
            1s       accepted b both
            1s       accepted c both
            1s       refused get_next queue_empty
        "#]],
    );
}

#[test]
fn r7_2_by_priority_where_the_site_says_so() {
    story_with(
        "get_next_order = \"priority\"",
        "login r1; opt_out r1; ask a in net; +1s; ask b in net priority=90; get_next r1",
        expect![[r#"
            0s       queued a net
            1s       queued b net
            1s       accepted b r1
        "#]],
    );
}

#[test]
fn r3_the_hard_cap_stops_manual_acts() {
    story_with(
        "max_active_sessions = 1",
        "login r1; ask a in net; accept r1 a; ask b in net; take r1 b; accept r1 b",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r1
            0s       refused take hard_cap
            0s       refused accept hard_cap
        "#]],
    );
}

#[test]
fn r7_3_transfer_by_the_owner_or_a_higher_role_within_reach() {
    story(
        "login r1 r2 lead d1 both; ask a in net; accept r1 a; transfer r2 a r2; transfer r1 a db; transfer lead a r2; \
         take r2 a; transfer r2 a both; take both a; transfer both a db; accept d1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       refused transfer not_owner
            0s       refused transfer not_permitted
            0s       moved a net r2 transfer
            0s       accepted a r2
            0s       moved a r2 both transfer
            0s       accepted a both
            0s       moved a both db transfer
            0s       offered a d1
            0s       accepted a d1
        "#]],
    );
}

#[test]
fn r7_4_the_first_of_a_team_to_accept_an_invitation_joins() {
    story(
        "login r1 r2 r3; ask a in net; accept r1 a; share r1 a net; join r2 a; join r3 a; share r1 a r3; +30s; \
         share r1 a r3; reject r3 a; share r1 a db; depart r2 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a net
            0s       invite_gone a net joined
            0s       joined a r2
            0s       refused join not_permitted
            0s       invited a r3
            30s      invite_gone a r3 expired
            30s      invited a r3
            30s      invite_gone a r3 declined
            30s      refused share not_permitted
            30s      departed a r2
        "#]],
    );
}

#[test]
fn r7_6_take_over_and_join_need_a_higher_role_and_the_old_owner_stays() {
    story(
        "login r1 r2 lead boss; ask a in net; accept r1 a; take_over r2 a; join r2 a; join boss a; take_over lead a; \
         logout lead; end boss a; end r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       refused take_over not_permitted
            0s       refused join not_permitted
            0s       monitors a boss
            0s       owner_changed a lead take_over
            0s       logged_out lead asked
            0s       owner_changed a r1 fallback_1
            0s       refused end not_owner
            0s       ended a by_rep
        "#]],
    );
}

#[test]
fn r7_7_a_held_session_stays_with_its_owner_for_fourteen_days() {
    story(
        "login r1; ask a in net; accept r1 a; hold r1 a; logout r1; +10s; login r1; resume r1 a; hold r1 a; +1209600s",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       held a
            0s       logged_out r1 asked
            10s      resumed a
            10s      held a
            1209610s ended a hold_expired
        "#]],
    );
}

#[test]
fn r2_3_a_jump_session_starts_active_and_falls_back_only_after_a_transfer() {
    story_in(
        &format!("{SITE}{}[[jump_item]]\ncode = \"srv\"\n", reps("")),
        "login r1 r2; jump r1 a srv; jump r1 b srv; transfer r1 b net; accept r2 b; logout r1; logout r2",
        expect![[r#"
            0s       accepted a r1
            0s       accepted b r1
            0s       moved b - net transfer
            0s       offered b r2
            0s       accepted b r2
            0s       logged_out r1 asked
            0s       ended a orphaned
            0s       logged_out r2 asked
            0s       ended b orphaned
        "#]],
    );
}

#[test]
fn r7_3_a_transfer_to_its_own_queue_asks_first_who_wants_it() {
    story(
        "login r1 r2 lead; opt_out r1; opt_out r2; opt_out lead; ask a in net; transfer r2 a net; transfer lead a net",
        expect![[r#"
            0s       queued a net
            0s       refused transfer not_owner
            0s       refused transfer wrong_state
        "#]],
    );
}
