//! R9: every automatic decision is explained, and a dry run says what would be.

use crate::story::{SITE, reps, story, story_in, story_with};
use expect_test::expect;

#[test]
fn r9_1_the_first_failed_test_in_the_order_of_the_rules() {
    story_in(
        &format!("{SITE}{}", reps("max_sessions = 1\nidle_limit_s = 180")),
        "login r1; ask a in net; accept r1 a; ask b in net; explain b; idle r1; +180s; explain b; status r1 away; explain b; \
         opt_out r1; explain b; lost r1; explain b",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       explained b step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            180s     idle r1
            180s     explained b step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            180s     explained b step 0 candidates [] chosen None left out ["r1:busy", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            180s     explained b step 0 candidates [] chosen None left out ["r1:opted_out", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            180s     explained b step 0 candidates [] chosen None left out ["r1:offline", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
        "#]],
    );
}

#[test]
fn r9_1_the_rule_that_moved_it_stands_with_the_candidates_in_order() {
    story_with(
        "fallback_team = \"db\"",
        "login d1; +1s; login both r1; ask a in net; accept r1 a; logout r1; logout both; explain a; login both; explain a; explain z",
        expect![[r#"
            1s       queued a net
            1s       offered a r1
            1s       accepted a r1
            1s       logged_out r1 asked
            1s       moved a net net fallback_2
            1s       offered a both
            1s       offer_withdrawn a both logged_out
            1s       logged_out both asked
            1s       moved a net db fallback_4
            1s       offered a d1
            1s       explained a step 0 candidates [] chosen Some("d1") left out ["d1:offer_open", "d2:offline", "both:offline"] by Some(Fallback4)
            1s       explained a step 0 candidates ["both"] chosen Some("d1") left out ["d1:offer_open", "d2:offline"] by Some(Fallback4)
            1s       explained z does not wait
        "#]],
    );
}

#[test]
fn r9_2_a_dry_run_says_what_would_be_and_changes_nothing() {
    story(
        "login r2; +1s; login r1; would a in net; would a in db; would a in r1; would a in calm; would a in no_team; \
         would a in no_issue; would a in nobody; ask a in net",
        expect![[r#"
            1s       would a step 0 candidates ["r2", "r1"] chosen Some("r2") left out ["r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            1s       would a be refused no_rep_available
            1s       would a step 0 candidates [] chosen None left out [] by None
            1s       would a be refused no_rep_available
            1s       would a be refused unknown_team
            1s       would a be refused unknown_issue
            1s       would a be refused unknown_rep
            1s       queued a net
            1s       offered a r2
        "#]],
    );
}
