//! R3: who may be offered a session. Each test has a name, which the explanation gives.

use crate::story::{SITE, net, reps, story, story_in, story_with};
use expect_test::expect;

#[test]
fn r3_1_offline_without_a_console_with_a_lost_one_or_a_disabled_account() {
    story(
        "login r1 r2; lost r1; lost r2; ask a in net; explain a; back r1; reject r1 a; disable r2; explain a",
        expect![[r#"
            0s       queued a net
            0s       explained a step 0 candidates [] chosen None left out ["r1:offline", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       offered a r1
            0s       rejected a r1
            0s       logged_out r2 disabled
            0s       explained a step 0 candidates [] chosen None left out ["r1:rejected", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
        "#]],
    );
}

#[test]
fn r3_1_the_schedule_counts_at_login_and_not_after() {
    let site = format!(
        "{SITE}{}",
        reps("[user.schedule]\ntimezone = \"UTC\"\nforce = false\nentries = [\"mon 08:00 - mon 17:00\"]")
    );
    // Monday 2026-03-02 16:59 UTC.
    story_in(
        &site,
        "at 1772470740000; login r1; +120s; login r2; ask a in net",
        expect![[r#"
        120s     refused login outside_schedule
        120s     queued a net
        120s     offered a r1
    "#]],
    );
}

#[test]
fn r3_1_an_offer_needs_a_seat() {
    let site = SITE.replace("name = \"story\"", "name = \"story\"\nseats = 1");
    story_in(
        &format!("{site}{}", reps("")),
        "login r1; login r2; ask a in net; reject r1 a; explain a; logout r1",
        expect![[r#"
            0s       refused login no_seat
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       explained a step 0 candidates [] chosen None left out ["r1:rejected", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       logged_out r1 asked
            0s       ended a orphaned
        "#]],
    );
}

#[test]
fn r3_2_not_support_without_the_permission() {
    let clerk = "[[user]]\nusername = \"clerk\"\nteams = { net = \"member\" }\npermissions = [\"accept_from_queue\"]\n";
    let site = format!("{SITE}{}{clerk}", reps(""));
    story_in(
        &site,
        "login clerk; ask a in net; explain a; login r1",
        expect![[r#"
        0s       queued a net
        0s       explained a step 0 candidates [] chosen None left out ["r1:offline", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline", "clerk:not_support"] by None
        0s       offered a r1
    "#]],
    );
}

#[test]
fn r3_3_a_member_in_any_role_and_nobody_else() {
    story(
        "login d1 lead boss r1; opt_out r1; ask a in net; reject lead a; reject boss a; explain a",
        expect![[r#"
            0s       queued a net
            0s       offered a lead
            0s       rejected a lead
            0s       offered a boss
            0s       rejected a boss
            0s       explained a step 0 candidates [] chosen None left out ["r1:opted_out", "r2:offline", "r3:offline", "both:offline", "lead:rejected", "boss:rejected"] by None
        "#]],
    );
    story(
        "login r1 both; ask a in net; site [user.teams]\nnet = \"member\" => [user.teams]\n; explain a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 site_changed
            0s       offered a both
            0s       explained a step 0 candidates [] chosen Some("both") left out ["both:offer_open", "lead:offline", "boss:offline"] by None
        "#]],
    );
}

#[test]
fn r3_4_opting_out_needs_its_permission() {
    story_in(
        &format!("{SITE}{}", reps("").replace("\"opt_out\", ", "")),
        "login r1; opt_out r1; ask a in net",
        expect![[r#"
            0s       refused opt_out not_permitted
            0s       queued a net
            0s       offered a r1
        "#]],
    );
}

#[test]
fn r3_5_below_n_is_free_and_three_is_the_default() {
    story(
        "login r1; ask a in net; accept r1 a; ask b in net; accept r1 b; ask c in net; accept r1 c; ask d in net; explain d; \
         end r1 b; reject r1 d",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r1
            0s       accepted b r1
            0s       queued c net
            0s       offered c r1
            0s       accepted c r1
            0s       queued d net
            0s       explained d step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       ended b by_rep
            0s       offered d r1
            0s       rejected d r1
        "#]],
    );
}

#[test]
fn r3_5_shared_sessions_and_an_open_offer_count_and_held_ones_do_not() {
    story_in(
        &format!("{SITE}{}", reps("max_sessions = 2")),
        "login r1 r2; ask a in net; accept r1 a; share r1 a r2; ask b in net; explain b; join r2 a; accept r2 b; ask c in net; \
         explain c; accept r1 c; ask d in net; explain d; hold r1 a; explain d",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       invited a r2
            0s       queued b net
            0s       offered b r2
            0s       explained b step 0 candidates ["r1"] chosen Some("r2") left out ["r2:offer_open", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       invite_gone a r2 joined
            0s       joined a r2
            0s       accepted b r2
            0s       queued c net
            0s       offered c r1
            0s       explained c step 0 candidates [] chosen Some("r1") left out ["r1:busy", "r2:busy", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       accepted c r1
            0s       queued d net
            0s       explained d step 0 candidates [] chosen None left out ["r1:busy", "r2:busy", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       held a
            0s       offered d r1
            0s       explained d step 0 candidates ["r2"] chosen Some("r1") left out ["r1:busy", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
        "#]],
    );
}

#[test]
fn r3_5_one_is_the_least_and_an_act_by_hand_goes_beyond() {
    story_in(
        &format!("{SITE}{}", reps("max_sessions = 1")),
        "login r1; ask a in net; accept r1 a; ask b in net; explain b; take r1 b; ask c in net; get_next r1; end r1 a; ask d in net; \
         end r1 b; explain d; end r1 c",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       explained b step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       accepted b r1
            0s       queued c net
            0s       accepted c r1
            0s       ended a by_rep
            0s       queued d net
            0s       ended b by_rep
            0s       explained d step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       ended c by_rep
            0s       offered d r1
        "#]],
    );
}

#[test]
fn r3_5_a_limit_lowered_below_what_a_rep_has_ends_nothing() {
    story(
        "login r1; ask a in net; accept r1 a; ask b in net; accept r1 b; site max_sessions = 3 => max_sessions = 1; ask c in net; \
         end r1 a; explain c; end r1 b",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r1
            0s       accepted b r1
            0s       queued c net
            0s       ended a by_rep
            0s       explained c step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       ended b by_rep
            0s       offered c r1
        "#]],
    );
}

#[test]
fn r3_6_no_limit_where_it_is_zero_and_the_limit_itself_stops() {
    story_in(
        &format!("{SITE}{}", reps("idle_limit_s = 0")),
        "login r1; idle r1; +86400s; ask a in net",
        expect![[r#"
            86400s   queued a net
            86400s   offered a r1
        "#]],
    );
    story_in(
        &format!("{SITE}{}", reps("idle_limit_s = 180")),
        "login r1; idle r1; +179.999s; ask a in net; leave a; +0.001s; ask b in net; explain b",
        expect![[r#"
            179.999s queued a net
            179.999s offered a r1
            179.999s offer_withdrawn a r1 ended
            179.999s ended a left_queue
            180s     idle r1
            180s     queued b net
            180s     explained b step 0 candidates [] chosen None left out ["r1:idle", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
        "#]],
    );
}

#[test]
fn r3_7_a_sites_own_status_counts_as_what_it_is_shown_as() {
    story_with(
        "statuses = { lunch = \"away\", ready = \"available\", meeting = \"busy\" }",
        "login r1; status r1 lunch; ask a in net; explain a; status r1 meeting; explain a; status r1 ready",
        expect![[r#"
            0s       queued a net
            0s       explained a step 0 candidates [] chosen None left out ["r1:status", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       explained a step 0 candidates [] chosen None left out ["r1:status", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       offered a r1
        "#]],
    );
}

#[test]
fn r3_8_who_rejected_this_session_is_left_out_and_may_have_another() {
    story(
        "login r1; ask a in net; reject r1 a; explain a; ask b in net; take r1 a",
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        0s       rejected a r1
        0s       explained a step 0 candidates [] chosen None left out ["r1:rejected", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
        0s       queued b net
        0s       offered b r1
        0s       accepted a r1
    "#]],
    );
}

#[test]
fn r3_9_an_open_offer_keeps_a_rep_from_another_in_any_team() {
    story(
        "login both; ask a in net; ask b in db; explain b; reject both a",
        expect![[r#"
            0s       queued a net
            0s       offered a both
            0s       queued b db
            0s       explained b step 0 candidates [] chosen None left out ["d1:offline", "d2:offline", "both:offer_open"] by None
            0s       rejected a both
            0s       offered b both
        "#]],
    );
}

#[test]
fn r3_10_deferred_and_exempt_are_left_out_and_take_by_hand() {
    story_in(
        &format!("{}{}", net("defer_after_login_s = 60"), reps("")),
        "login r1; ask a in net; explain a; take r1 a; +59.999s; ask b in net; +0.001s",
        expect![[r#"
            0s       queued a net
            0s       explained a step 0 candidates [] chosen None left out ["r1:deferred", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       accepted a r1
            59.999s  queued b net
            60s      ready r1
            60s      offered b r1
        "#]],
    );
    story_in(
        &format!("{SITE}{}", reps("exempt_from_assignment = true")),
        "login r1; ask a in net; +600s; explain a; get_next r1",
        expect![[r#"
            0s       queued a net
            600s     explained a step 0 candidates [] chosen None left out ["r1:exempt", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            600s     accepted a r1
        "#]],
    );
}

#[test]
fn r3_11_the_wrap_up_is_the_teams_and_begins_again_with_each_end() {
    story_in(
        &format!("{}{}", net("wrap_up_s = 20"), reps("")),
        "login both; ask a in net; accept both a; ask b in net; accept both b; end both a; +15s; end both b; ask c in net; ask d in db; \
         explain c; reject both d; +19.999s; +0.001s",
        expect![[r#"
            0s       queued a net
            0s       offered a both
            0s       accepted a both
            0s       queued b net
            0s       offered b both
            0s       accepted b both
            0s       ended a by_rep
            15s      ended b by_rep
            15s      queued c net
            15s      queued d db
            15s      offered d both
            15s      explained c step 0 candidates [] chosen None left out ["r1:offline", "r2:offline", "r3:offline", "both:offer_open", "lead:offline", "boss:offline"] by None
            15s      rejected d both
            35s      ready both
            35s      offered c both
        "#]],
    );
}

#[test]
fn r3_12_the_portals_teams_alone_serve_its_sessions() {
    story_in(
        &format!("{SITE}{}[[portal]]\ncode = \"main\"\nteams = [\"db\"]\n[[portal]]\ncode = \"all\"\n", reps("")),
        "login r1; ask a in net portal=main; explain a; ask b in net portal=all",
        expect![[r#"
            0s       queued a net
            0s       explained a step 0 candidates [] chosen None left out ["r1:portal", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       queued b net
            0s       offered b r1
        "#]],
    );
}
