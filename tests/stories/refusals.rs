//! What is asked wrongly is refused by name, and the whole state stays as it was: the teller of stories compares it.

use crate::story::{SITE, reps, story, story_in};
use expect_test::expect;

/// Every act of a rep on a session.
const ACTS: &[&str] =
    &["accept", "reject", "take", "transfer", "share", "join", "depart", "take_over", "hold", "resume", "end"];

/// Each act by `who` on `session`; transfers and shares lead to `net`.
fn each_act(who: &str, session: &str) -> String {
    ACTS.iter().map(|act| format!("{act} {who} {session} net; ")).collect()
}

#[test]
fn r1_1_every_act_on_a_session_that_never_was_is_unknown_session() {
    story(
        &format!("login r1; {}", each_act("r1", "never")),
        expect![[r#"
        0s       refused accept unknown_session
        0s       refused reject unknown_session
        0s       refused take unknown_session
        0s       refused transfer unknown_session
        0s       refused share unknown_session
        0s       refused join unknown_session
        0s       refused depart unknown_session
        0s       refused take_over unknown_session
        0s       refused hold unknown_session
        0s       refused resume unknown_session
        0s       refused end unknown_session
    "#]],
    );
}

#[test]
fn r5_3_every_act_on_a_session_that_has_ended_is_session_ended() {
    story(
        &format!("login r1; ask a in net; accept r1 a; end r1 a; {} leave a", each_act("r1", "a")),
        expect![[r#"
        0s       queued a net
        0s       offered a r1
        0s       accepted a r1
        0s       ended a by_rep
        0s       refused accept session_ended
        0s       refused reject session_ended
        0s       refused take session_ended
        0s       refused transfer session_ended
        0s       refused share session_ended
        0s       refused join session_ended
        0s       refused depart session_ended
        0s       refused take_over session_ended
        0s       refused hold session_ended
        0s       refused resume session_ended
        0s       refused end session_ended
        0s       refused leave session_ended
    "#]],
    );
}

#[test]
fn r1_2_every_act_of_one_who_is_not_logged_in_is_not_logged_in() {
    story(
        &format!(
            "login r1; ask a in net; {} get_next r2; opt_out r2; opt_in r2; status r2 away; idle r2; active r2; logout r2; lose r2",
            each_act("r2", "a")
        ),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       refused accept not_logged_in
            0s       refused reject not_logged_in
            0s       refused take not_logged_in
            0s       refused transfer not_logged_in
            0s       refused share not_logged_in
            0s       refused join not_logged_in
            0s       refused depart not_logged_in
            0s       refused take_over not_logged_in
            0s       refused hold not_logged_in
            0s       refused resume not_logged_in
            0s       refused end not_logged_in
            0s       refused get_next not_logged_in
            0s       refused opt_out not_logged_in
            0s       refused opt_in not_logged_in
            0s       refused status not_logged_in
            0s       refused idle not_logged_in
            0s       refused active not_logged_in
            0s       refused logout not_logged_in
            0s       refused lose not_logged_in
        "#]],
    );
}

#[test]
fn r1_2_no_customer_and_no_service_acts_as_a_rep() {
    story(
        &format!(
            "login r1; ask a in net; ask b in net; {} get_next b; opt_out b; {} get_next service",
            each_act("b", "a"),
            each_act("service", "b").replace("end service b net; ", "")
        ),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       queued b net
            0s       refused accept not_permitted
            0s       refused reject not_permitted
            0s       refused take not_permitted
            0s       refused transfer not_permitted
            0s       refused share not_permitted
            0s       refused join not_permitted
            0s       refused depart not_permitted
            0s       refused take_over not_permitted
            0s       refused hold not_permitted
            0s       refused resume not_permitted
            0s       refused end not_owner
            0s       refused get_next not_permitted
            0s       refused opt_out not_permitted
            0s       refused accept not_permitted
            0s       refused reject not_permitted
            0s       refused take not_permitted
            0s       refused transfer not_permitted
            0s       refused share not_permitted
            0s       refused join not_permitted
            0s       refused depart not_permitted
            0s       refused take_over not_permitted
            0s       refused hold not_permitted
            0s       refused resume not_permitted
            0s       refused get_next not_permitted
        "#]],
    );
}

#[test]
fn r7_1_acts_of_a_rep_of_another_team_on_what_waits() {
    story(
        &format!("login r1 d1; ask a in net; {}", each_act("d1", "a")),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       refused accept offer_gone
            0s       refused reject offer_gone
            0s       refused take not_member
            0s       refused transfer not_owner
            0s       refused share wrong_state
            0s       refused join wrong_state
            0s       refused depart not_participant
            0s       refused take_over wrong_state
            0s       refused hold wrong_state
            0s       refused resume wrong_state
            0s       refused end not_owner
        "#]],
    );
}

#[test]
fn r7_3_acts_of_one_who_is_not_in_it_on_what_is_served_and_on_what_is_held() {
    story(
        &format!("login r1 r2; ask a in net; accept r1 a; {} hold r1 a; {}", each_act("r2", "a"), each_act("r2", "a")),
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       refused accept offer_gone
            0s       refused reject offer_gone
            0s       refused take wrong_state
            0s       refused transfer not_owner
            0s       refused share not_participant
            0s       refused join not_permitted
            0s       refused depart not_participant
            0s       refused take_over not_permitted
            0s       refused hold not_owner
            0s       refused resume wrong_state
            0s       refused end not_owner
            0s       held a
            0s       refused accept offer_gone
            0s       refused reject offer_gone
            0s       refused take wrong_state
            0s       refused transfer not_owner
            0s       refused share wrong_state
            0s       refused join wrong_state
            0s       refused depart not_participant
            0s       refused take_over wrong_state
            0s       refused hold wrong_state
            0s       refused resume not_owner
            0s       refused end not_owner
        "#]],
    );
}

#[test]
fn r5_3_the_same_act_twice() {
    story(
        "login r1 r2 d1; ask a in net; reject r1 a; reject r1 a; accept r2 a; accept r2 a; take r2 a; hold r2 a; hold r2 a; resume r2 a; \
         resume r2 a; share r2 a r1; share r2 a r1; join r1 a; join r1 a; depart r1 a; depart r1 a; take_over r2 a; transfer r2 a net; \
         transfer r2 a net; end r2 a; take r2 a; end r2 a; end r2 a; logout r2; logout r2; disable d1; disable d1; delete_team db; delete_team db",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       rejected a r1
            0s       offered a r2
            0s       refused reject offer_gone
            0s       accepted a r2
            0s       refused accept offer_gone
            0s       refused take wrong_state
            0s       held a
            0s       refused hold wrong_state
            0s       resumed a
            0s       refused resume wrong_state
            0s       invited a r1
            0s       refused share wrong_state
            0s       invite_gone a r1 joined
            0s       joined a r1
            0s       refused join wrong_state
            0s       departed a r1
            0s       refused depart not_participant
            0s       refused take_over wrong_state
            0s       moved a net net transfer
            0s       offered a r1
            0s       refused transfer not_owner
            0s       refused end not_owner
            0s       offer_withdrawn a r1 taken
            0s       accepted a r2
            0s       ended a by_rep
            0s       refused end session_ended
            0s       logged_out r2 asked
            0s       refused logout not_logged_in
            0s       logged_out d1 disabled
            0s       refused disable account_disabled
            0s       refused delete_team unknown_team
        "#]],
    );
}

#[test]
fn r8_1_only_an_administrator_shuts_an_account_or_a_team() {
    let site = format!("{SITE}{}[[user]]\nusername = \"root\"\npermissions = [\"administrator\"]\n", reps(""));
    story_in(
        &site,
        "login r1 root d1; ask a in net; as r1: disable d1; as a: disable d1; as service: disable d1; as d1: delete_team net; \
         as a: delete_team net; as r1: site seats = 0 => seats = 7; as boss: logout r1; as root: delete_team db; as root: disable d1; \
         as r1: ask b in net; as a: ask b in net",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       refused disable not_permitted
            0s       refused disable not_permitted
            0s       refused disable not_permitted
            0s       refused delete_team not_permitted
            0s       refused delete_team not_permitted
            0s       refused site not_permitted
            0s       refused logout not_permitted
            0s       logged_out d1 disabled
            0s       refused ask not_permitted
            0s       refused ask not_permitted
        "#]],
    );
}

#[test]
fn c1_a_site_with_a_problem_changes_nothing() {
    let site = format!("{SITE}{}[[skill]]\ncode = \"top\"\n[[skill]]\ncode = \"sub\"\nparent = \"top\"\n", reps(""));
    story_in(
        &site,
        "login r1; ask a in net; site parent = \"top\" => parent = \"sub\"; site code = \"calm\" => code = \"net\"; \
         site seats = 0 => seats = 4000000000; site alert_timeout_s = 30 => alert_timeout_s = 0; \
         site username = \"d2\" => username = \"d1\"; site max_sessions = 3 => max_sessions = 11; \
         site timezone = \"UTC\" => timezone = \"Nowhere\"; site fallback_team = \"\" => fallback_team = \"ghost\"",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       refused site bad_site
            0s       refused site bad_site
            0s       refused site bad_site
            0s       refused site bad_site
            0s       refused site bad_site
            0s       refused site bad_site
            0s       refused site bad_site
            0s       refused site bad_site
        "#]],
    );
}
