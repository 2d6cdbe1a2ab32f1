//! R1, R2: what the words mean, and where a session lands.

use crate::story::{SITE, reps, story, story_in};
use expect_test::expect;

#[test]
fn r1_1_what_is_of_another_site_is_unknown_here() {
    story(
        "login r1; take r1 elsewhere; transfer r1 elsewhere r1; end r1 elsewhere; ask a in net prefer=stranger/5; \
         ask b in net skills=foreign; ask c in no_team; ask d in no_issue; ask e in stranger; disable stranger; \
         delete_team no_team; login stranger",
        expect![[r#"
            0s       refused take unknown_session
            0s       refused transfer unknown_session
            0s       refused end unknown_session
            0s       refused ask unknown_rep
            0s       refused ask unknown_skill
            0s       refused ask unknown_team
            0s       refused ask unknown_issue
            0s       refused ask unknown_rep
            0s       refused disable unknown_rep
            0s       refused delete_team unknown_team
            0s       refused login unknown_rep
        "#]],
    );
}

#[test]
fn r1_2_a_rep_is_a_user_whose_console_is_connected_with_a_queue_of_its_own() {
    story(
        "ask a in r1; login r1; ask a in r1; ask b in net; ask c in r2; login r2; accept r1 a; logout r1; login r1; ask d in r1",
        expect![[r#"
            0s       refused ask no_rep_available
            0s       queued a r1
            0s       queued b net
            0s       offered b r1
            0s       refused ask no_rep_available
            0s       accepted a r1
            0s       offer_withdrawn b r1 logged_out
            0s       logged_out r1 asked
            0s       ended a orphaned
            0s       offered b r2
            0s       queued d r1
        "#]],
    );
}

#[test]
fn r1_3_a_role_in_one_team_gives_nothing_in_another() {
    let site = format!(
        "{SITE}{}[[user]]\nusername = \"chief\"\nteams = {{ net = \"manager\", db = \"member\" }}\n\
         permissions = [\"support\"]\n",
        reps("")
    );
    story_in(
        &site,
        "login d1 chief r1; opt_out d1; opt_out r1; ask a in db; take d1 a; take_over chief a; join chief a; transfer chief a db; \
         ask b in net; take r1 b; take_over chief b; ask c in net; take r1 c; take_over d1 c; login lead boss; \
         take_over lead b; take_over boss b",
        expect![[r#"
            0s       queued a db
            0s       offered a chief
            0s       offer_withdrawn a chief taken
            0s       accepted a d1
            0s       refused take_over not_permitted
            0s       refused join not_permitted
            0s       refused transfer not_owner
            0s       queued b net
            0s       offered b chief
            0s       offer_withdrawn b chief taken
            0s       accepted b r1
            0s       owner_changed b chief take_over
            0s       queued c net
            0s       offered c chief
            0s       offer_withdrawn c chief taken
            0s       accepted c r1
            0s       refused take_over not_permitted
            0s       refused take_over not_permitted
            0s       refused take_over not_permitted
        "#]],
    );
}

#[test]
fn r1_4_a_jump_method_needs_its_own_permission() {
    story_in(
        &format!(
            "{SITE}{}[[jump_item]]\ncode = \"srv\"\n[[jump_item]]\ncode = \"desk\"\nmethod = \"jump_remote_rdp\"\n",
            reps("")
        ),
        "login r1; jump r1 a srv; jump r1 b desk; jump r1 c nowhere",
        expect![[r#"
            0s       accepted a r1
            0s       refused jump not_permitted
            0s       refused jump unknown_queue
        "#]],
    );
}

#[test]
fn r1_4_a_session_between_reps_and_a_presentation_do_not_count_and_others_do() {
    story_in(
        &format!("{SITE}{}", reps("max_sessions = 1")),
        "login r1; ask a in net kind=rep_to_rep; accept r1 a; ask b in net kind=presentation; accept r1 b; \
         ask c in net kind=chat; accept r1 c; ask d in net kind=cobrowse; explain d; end r1 a; end r1 b; end r1 c",
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
            0s       ended a by_rep
            0s       ended b by_rep
            0s       ended c by_rep
            0s       offered d r1
        "#]],
    );
}

const ISSUES: &str = r#"
[[skill]]
code = "vpn"
[[issue]]
code = "remote"
team = "net"
skills = ["vpn"]
priority = 90
[[issue]]
code = "plain"
team = "db"
"#;

#[test]
fn r1_5_an_issue_carries_team_skills_and_priority_and_fifty_is_the_default() {
    story_in(
        &format!("{SITE}{ISSUES}{}", reps("")),
        "login r1 d1; opt_out r1; opt_out d1; ask a in net; +1s; ask b in remote; ask c in plain; +1s; ask d in db priority=51; \
         ask e in db priority=101; opt_in r1; opt_in d1; accept d1 d",
        expect![[r#"
            0s       queued a net
            1s       queued b net
            1s       queued c db
            2s       queued d db
            2s       refused ask malformed
            2s       offered b r1
            2s       offered d d1
            2s       accepted d d1
            2s       offered c d1
        "#]],
    );
}

#[test]
fn r2_2_the_issue_leads_to_its_team_and_gives_skills_where_the_ask_has_none() {
    let site = SITE.replacen("algorithm = \"least_busy\"", "algorithm = \"skills_least_busy\"", 1);
    let skills = ISSUES.replacen("[[issue]]", "[[skill]]\ncode = \"mail\"\n[[issue]]", 1);
    let expert = "[[user]]\nusername = \"zoe\"\nteams = { net = \"member\" }\nskills = [\"vpn\"]\npermissions = [\"support\"]\n\
                  [[user]]\nusername = \"tom\"\nteams = { net = \"member\" }\nskills = [\"mail\"]\npermissions = [\"support\"]\n";
    story_in(
        &format!("{site}{skills}{}{expert}", reps("")),
        "login r1 tom zoe; ask a in remote; ask b in remote skills=mail; ask c in net",
        expect![[r#"
            0s       queued a net
            0s       offered a zoe
            0s       queued b net
            0s       offered b tom
            0s       queued c net
            0s       offered c r1
        "#]],
    );
}

#[test]
fn r2_2_a_transfer_lands_in_the_teams_queue() {
    story(
        "login r1 both d1; opt_out both; ask a in net; accept r1 a; transfer r1 a both; take both a; transfer both a db; accept d1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       moved a net both transfer
            0s       accepted a both
            0s       moved a both db transfer
            0s       offered a d1
            0s       accepted a d1
        "#]],
    );
}

#[test]
fn r2_4_the_portal_is_bound_where_the_customer_comes_in() {
    let portals = "[[portal]]\ncode = \"here\"\nteams = [\"db\"]\n[[portal]]\ncode = \"there\"\nteams = [\"net\"]\n";
    story_in(
        &format!("{SITE}{}{portals}", reps("")),
        "login r1; opt_out r1; ask a in net join portal=there; explain a; come a here; explain a; take r1 a; come a there; \
         ask b in net join portal=here; come b there; explain b; take r1 b",
        expect![[r#"
            0s       queued a net
            0s       explained a step 0 candidates [] chosen None left out ["r1:opted_out", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       explained a step 0 candidates [] chosen None left out ["r1:opted_out", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       refused take not_permitted
            0s       refused come key_gone
            0s       queued b net
            0s       explained b step 0 candidates [] chosen None left out ["r1:opted_out", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       accepted b r1
        "#]],
    );
}

#[test]
fn r2_1_a_rep_asked_for_by_name_has_it_in_the_own_queue_and_nobody_is_offered_it() {
    story(
        "login r1 r2; ask a in r1; take r2 a; get_next r2; take r1 a; ask b in d1",
        expect![[r#"
            0s       queued a r1
            0s       refused take not_permitted
            0s       refused get_next queue_empty
            0s       accepted a r1
            0s       refused ask no_rep_available
        "#]],
    );
}

#[test]
fn r2_1_a_key_of_a_rep_leads_to_the_own_queue() {
    story(
        "login r1 r2; ask a in r1 join; come a; take r2 a; take r1 a; ask b in r1 join; come b; get_next r2; leave b",
        expect![[r#"
            0s       queued a r1
            0s       refused take not_permitted
            0s       accepted a r1
            0s       queued b r1
            0s       refused get_next queue_empty
            0s       ended b left_queue
        "#]],
    );
}

#[test]
fn r2_1_a_reps_key_leads_to_the_own_queue_or_an_own_team_and_nowhere_else() {
    let site = format!(
        "{SITE}[[user]]\nusername = \"ann\"\nteams = {{ net = \"member\" }}\n\
         permissions = [\"support\", \"generate_keys\"]\n{}",
        reps("")
    );
    story_in(
        &site,
        "login ann r1; make_key ann a ann; make_key ann b net; make_key ann c db; make_key ann d r1; make_key r1 e r1; \
         come a; come b",
        expect![[r#"
            0s       refused make_key not_member
            0s       refused make_key not_member
            0s       refused make_key not_permitted
            0s       queued a ann
            0s       queued b net
            0s       offered b ann
        "#]],
    );
}

#[test]
fn r2_1_a_portals_list_shows_who_may_be_shown_and_is_logged_in_by_public_name() {
    let portals = "[[portal]]\ncode = \"main\"\nhosts = [\"help.example\"]\nrep_list = true\n\
                   [[portal]]\ncode = \"quiet\"\nhosts = [\"quiet.example\"]\n";
    let rep = |name: &str, public: &str, more: &str| {
        format!(
            "[[user]]\nusername = \"{name}\"\npublic_name = \"{public}\"\nteams = {{ net = \"member\" }}\n\
             permissions = [\"support\"{more}]\n"
        )
    };
    let shown = ", \"show_on_public_site\"";
    let site =
        format!("{SITE}{portals}{}{}{}", rep("zoe", "alice", shown), rep("ann", "Bea", shown), rep("mia", "Mia", ""));
    story_in(
        &site,
        "rep_list main; login ann mia zoe; rep_list main; rep_list quiet; lost zoe; rep_list main; +60s; rep_list main; \
         disable ann; rep_list main",
        expect![[r#"
            0s       rep_list 
            0s       rep_list zoe ann
            0s       rep_list none
            0s       rep_list zoe ann
            60s      logged_out zoe lost
            60s      rep_list ann
            60s      logged_out ann disabled
            60s      rep_list 
        "#]],
    );
}

#[test]
fn r1_4_a_rep_serves_one_lens_session_at_a_time_and_others_beside_it() {
    story(
        "login r1; ask a in net kind=lens; accept r1 a; ask b in net kind=lens; explain b; ask c in net; accept r1 c; \
         take r1 b; get_next r1; login r2; accept r2 b; join r1 b; hold r1 a; ask d in net kind=lens; accept r1 d; resume r1 a; \
         end r1 d; resume r1 a",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       explained b step 0 candidates [] chosen None left out ["r1:lens", "r2:offline", "r3:offline", "both:offline", "lead:offline", "boss:offline"] by None
            0s       queued c net
            0s       offered c r1
            0s       accepted c r1
            0s       refused take limit_reached
            0s       refused get_next queue_empty
            0s       offered b r2
            0s       accepted b r2
            0s       refused join not_permitted
            0s       held a
            0s       queued d net
            0s       offered d r1
            0s       accepted d r1
            0s       refused resume limit_reached
            0s       ended d by_rep
            0s       resumed a
        "#]],
    );
}

#[test]
fn r1_4_a_lens_session_that_waits_is_offered_when_the_one_before_ends() {
    story(
        "login r1; ask a in net kind=lens; accept r1 a; ask b in net kind=lens; ask c in r1 kind=lens; take r1 c; \
         end r1 a; accept r1 b",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       queued c r1
            0s       refused take limit_reached
            0s       ended a by_rep
            0s       offered b r1
            0s       accepted b r1
        "#]],
    );
}

#[test]
fn r1_4_a_lens_session_that_waits_is_offered_when_the_one_before_is_held_or_left() {
    story(
        "login r1; ask a in net kind=lens; accept r1 a; ask b in net kind=lens; hold r1 a; accept r1 b; login r2; \
         ask c in net kind=lens; accept r2 c; login r3; share r2 c r3; join r3 c; ask d in net kind=lens; \
         depart r2 c; accept r2 d",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       held a
            0s       offered b r1
            0s       accepted b r1
            0s       queued c net
            0s       offered c r2
            0s       accepted c r2
            0s       invited c r3
            0s       invite_gone c r3 joined
            0s       joined c r3
            0s       queued d net
            0s       owner_changed c r3 fallback_1
            0s       offered d r2
            0s       accepted d r2
        "#]],
    );
}

#[test]
fn r2_4_r3_12_who_was_offered_it_before_it_came_through_a_portal_of_others_has_it_no_more() {
    let portals = "[[portal]]\ncode = \"here\"\nteams = [\"db\"]\n[[portal]]\ncode = \"there\"\nteams = [\"net\"]\n";
    story_in(
        &format!("{SITE}{}{portals}", reps("")),
        "login r1; ask a in net join; come a here; accept r1 a; get_next r1; ask b in net join; come b there; accept r1 b",
        expect![[r#"
            0s       queued a net
            0s       offered a r1
            0s       offer_withdrawn a r1 portal
            0s       refused accept offer_gone
            0s       refused get_next queue_empty
            0s       queued b net
            0s       offered b r1
            0s       accepted b r1
        "#]],
    );
}

#[test]
fn r2_5_an_address_is_one_team_one_rep_one_issue_or_general() {
    let more = "[[issue]]\ncode = \"vpn\"\nteam = \"net\"\n";
    let words = "address team:net; address team:NET; address rep:r1; address issue:vpn; address general; address net; \
                 address team:team:net; address team:vpn; address rep:net; address issue:net; address team:; address issue:";
    story_in(
        &format!("{SITE}{more}{}", reps("")),
        words,
        expect![[r#"
        0s       team:net is team 1
        0s       team:NET is team 1
        0s       rep:r1 is rep 1
        0s       issue:vpn is issue 1
        0s       general unknown_team: no team has the code “general”
        0s       net unknown_queue: “net” is not an address: use team:CODE, rep:USERNAME, issue:CODE or general
        0s       team:team:net unknown_team: no team has the code “team:net”
        0s       team:vpn unknown_team: no team has the code “vpn”
        0s       rep:net unknown_rep: nobody is called “net”
        0s       issue:net unknown_issue: no issue has the code “net”
        0s       team: unknown_team: no team has the code “”
        0s       issue: unknown_issue: no issue has the code “”
    "#]],
    );
    let general = "[[team]]\ncode = \"general\"\nalgorithm = \"none\"\n";
    story_in(
        &format!("{SITE}{general}{}", reps("")),
        "address general; address team:general",
        expect![[r#"
        0s       general is team 4
        0s       team:general is team 4
    "#]],
    );
}
