//! R4.3–R4.8: who is the best match, and when a weaker one will do.

use crate::story::story_in;
use expect_test::expect;

/// Roots antivirus (most critical), network, office; norton below antivirus, live below norton, vpn below network.
const SITE: &str = r#"
[site]
name = "story"
[[skill]]
code = "antivirus"
[[skill]]
code = "norton"
parent = "antivirus"
[[skill]]
code = "live"
parent = "norton"
[[skill]]
code = "network"
[[skill]]
code = "vpn"
parent = "network"
[[skill]]
code = "office"
[[team]]
code = "net"
algorithm = "skills_least_busy"
[[issue]]
code = "slow"
team = "net"
skills = ["vpn"]
relax_after_s = 7
"#;

/// Reps of the team, each with what is marked as more preferred.
fn site(reps: &[(&str, &str)]) -> String {
    let rep = |(name, skills): &(&str, &str)| {
        let skills: Vec<String> = skills.split_whitespace().map(|skill| format!("\"{skill}\"")).collect();
        format!(
            "[[user]]\nusername = \"{name}\"\nteams = {{ net = \"member\" }}\nskills = [{}]\n\
             permissions = [\"support\", \"opt_out\", \"accept_from_queue\"]\n",
            skills.join(", ")
        )
    };
    format!("{SITE}{}", reps.iter().map(rep).collect::<String>())
}

#[test]
fn r4_3_among_equal_matches_the_least_busy_first() {
    story_in(
        &site(&[("ann", "norton"), ("bob", "norton"), ("cat", "")]),
        "login bob; +1s; login cat ann; ask a in net skills=norton; accept bob a; ask b in net skills=norton; accept ann b; \
         ask c in net skills=norton; accept bob c; ask d in net; ask e in net skills=norton",
        expect![[r#"
            1s       queued a net
            1s       offered a bob
            1s       accepted a bob
            1s       queued b net
            1s       offered b ann
            1s       accepted b ann
            1s       queued c net
            1s       offered c ann
            1s       refused accept offer_gone
            1s       queued d net
            1s       offered d cat
            1s       queued e net
            1s       offered e bob
        "#]],
    );
}

#[test]
fn r4_1_where_a_team_goes_by_least_busy_alone_skills_say_nothing() {
    let site = site(&[("cat", ""), ("ann", "norton")]).replace("skills_least_busy", "least_busy");
    story_in(
        &site,
        "login cat; +1s; login ann; ask a in net skills=norton; reject cat a",
        expect![[r#"
        1s       queued a net
        1s       offered a cat
        1s       rejected a cat
        1s       offered a ann
    "#]],
    );
}

#[test]
fn r4_4_more_preferred_goes_before_less_preferred_which_the_tree_gives() {
    story_in(
        &site(&[("parent", "antivirus"), ("own", "live"), ("other", "network")]),
        "login parent; +1s; login own other; ask a in net skills=live; reject own a; reject parent a; ask b in net skills=antivirus; \
         reject parent b",
        expect![[r#"
            1s       queued a net
            1s       offered a own
            1s       rejected a own
            1s       offered a parent
            1s       rejected a parent
            1s       offered a other
            1s       queued b net
            1s       offered b parent
            1s       rejected b parent
            1s       offered b own
        "#]],
    );
}

#[test]
fn r4_5_holding_only_a_child_does_not_match_the_parent() {
    story_in(
        &site(&[("child", "norton"), ("none", "")]),
        "login none; +1s; login child; ask a in net skills=antivirus; explain a; ask b in net skills=norton",
        expect![[r#"
            1s       queued a net
            1s       offered a none
            1s       explained a step 1 candidates ["child"] chosen Some("none") left out ["none:offer_open"] by None
            1s       queued b net
            1s       offered b child
        "#]],
    );
}

#[test]
fn r4_6_the_lowest_ranked_gives_way_first_and_in_one_rank_the_one_listed_last() {
    let reps = [("first", "norton"), ("second", "vpn"), ("both", "norton vpn"), ("office", "office")];
    story_in(
        &site(&reps),
        "login first second both office; ask a in net skills=vpn,norton; reject both a; reject first a; reject second a; \
         reject office a; explain a",
        expect![[r#"
            0s       queued a net
            0s       offered a both
            0s       rejected a both
            0s       offered a first
            0s       rejected a first
            0s       offered a second
            0s       rejected a second
            0s       offered a office
            0s       rejected a office
            0s       explained a step 0 candidates [] chosen None left out ["first:rejected", "second:rejected", "both:rejected", "office:rejected"] by None
        "#]],
    );
    // office ranks last whatever its place in the list; of norton and live, below one root, the later goes first.
    story_in(
        &site(&[("n", "norton"), ("v", "vpn"), ("o", "office")]),
        "login o v n; ask a in net skills=office,vpn; ask b in net skills=norton,office; would c in net skills=norton,vpn; \
         would d in net skills=live,antivirus",
        expect![[r#"
            0s       queued a net
            0s       offered a v
            0s       queued b net
            0s       offered b n
            0s       would c step 4 candidates ["o"] chosen Some("o") left out ["n:offer_open", "v:offer_open"] by None
            0s       would d step 4 candidates ["o"] chosen Some("o") left out ["n:offer_open", "v:offer_open"] by None
        "#]],
    );
}

#[test]
fn r4_6_more_preferred_skills_outweigh_sessions_and_equal_ones_do_not_whichever_they_are() {
    // Of norton and vpn: ann has the one as more preferred, bob the other, cat neither; the rest all have by a parent.
    let site = site(&[("ann", "norton network"), ("bob", "antivirus vpn"), ("cat", "antivirus network")]);
    story_in(
        &site,
        "login ann cat; ask x in net skills=norton; accept ann x; ask a in net skills=norton,vpn; accept ann a; login bob; \
         ask b in net skills=norton,vpn; accept bob b; ask c in net skills=norton,vpn; accept bob c; \
         ask d in net skills=norton,vpn",
        expect![[r#"
            0s       queued x net
            0s       offered x ann
            0s       accepted x ann
            0s       queued a net
            0s       offered a ann
            0s       accepted a ann
            0s       queued b net
            0s       offered b bob
            0s       accepted b bob
            0s       queued c net
            0s       offered c bob
            0s       accepted c bob
            0s       queued d net
            0s       offered d ann
        "#]],
    );
}

#[test]
fn r4_6_most_skills_at_more_preferred_first_then_least_busy() {
    story_in(
        &site(&[("one", "antivirus vpn"), ("two", "norton network"), ("three", "norton vpn")]),
        "login one two three; would a in net skills=norton,vpn; ask b in net skills=norton,vpn; reject three b; reject one b",
        expect![[r#"
            0s       would a step 0 candidates ["three", "one", "two"] chosen Some("three") left out [] by None
            0s       queued b net
            0s       offered b three
            0s       rejected b three
            0s       offered b one
            0s       rejected b one
            0s       offered b two
        "#]],
    );
}

#[test]
fn r4_6_a_skill_asked_for_twice_is_asked_for_once() {
    story_in(
        &site(&[("plain", "")]),
        "login plain; ask a in net skills=vpn,vpn relax=5; +60s",
        expect![[r#"
        0s       queued a net
        5s       relaxed a 1
        10s      relaxed a 2
        10s      offered a plain
        32.5s    warned a plain
        40s      offer_timeout a plain
    "#]],
    );
}

#[test]
fn r4_6_with_no_skill_left_everyone_eligible_matches() {
    story_in(
        &site(&[("plain", "")]),
        "login plain; ask a in net skills=live,vpn,office; explain a",
        expect![[r#"
            0s       queued a net
            0s       offered a plain
            0s       explained a step 0 candidates [] chosen Some("plain") left out ["plain:offer_open"] by None
        "#]],
    );
}

#[test]
fn r4_7_the_stay_of_the_ask_goes_before_the_issues_and_that_before_the_teams() {
    let slow = site(&[("plain", ""), ("netty", "network")])
        .replace("algorithm = \"skills_least_busy\"", "algorithm = \"skills_least_busy\"\nrelax_after_s = 20");
    story_in(
        &slow,
        "login plain; ask a in net skills=vpn; +20s; +20s; reject plain a; ask b in slow; +7s; +7s; reject plain b; \
         ask c in slow relax=0; reject plain c; ask d in net",
        expect![[r#"
            0s       queued a net
            20s      relaxed a 1
            40s      relaxed a 2
            40s      offered a plain
            40s      rejected a plain
            40s      queued b net
            47s      relaxed b 1
            54s      relaxed b 2
            54s      offered b plain
            54s      rejected b plain
            54s      queued c net
            54s      offered c plain
            54s      rejected c plain
            54s      queued d net
            54s      offered d plain
        "#]],
    );
}

#[test]
fn r4_7_the_steps_count_from_entering_this_queue() {
    story_in(
        &site(&[("plain", ""), ("netty", "network")]),
        "login plain netty; opt_out netty; ask a in net skills=vpn relax=10; +15s; opt_in netty; accept netty a; +1s; logout netty; \
         +9s; +1s; +10s",
        expect![[r#"
            0s       queued a net
            10s      relaxed a 1
            15s      offered a netty
            15s      accepted a netty
            16s      logged_out netty asked
            16s      moved a net net fallback_2
            26s      relaxed a 1
            36s      relaxed a 2
            36s      offered a plain
        "#]],
    );
}

#[test]
fn r4_8_within_its_window_the_preferred_rep_alone_and_then_as_usual() {
    story_in(
        &site(&[("ann", ""), ("bob", "norton")]),
        "login bob; ask a in net skills=norton prefer=ann/20; +19.999s; +0.001s; accept bob a; ask b in net prefer=ann/20; +5s; \
         login ann; +30s",
        expect![[r#"
            0s       queued a net
            20s      relaxed a 0
            20s      offered a bob
            20s      accepted a bob
            20s      queued b net
            25s      offered b ann
            40s      relaxed b 0
            47.5s    warned b ann
            55s      offer_timeout b ann
            55s      offered b bob
        "#]],
    );
    story_in(
        &site(&[("ann", ""), ("bob", "norton")]),
        "login bob ann; ask a in net prefer=ann/20; reject ann a; ask b in net prefer=ann/0",
        expect![[r#"
            0s       queued a net
            0s       offered a ann
            0s       rejected a ann
            0s       offered a bob
            0s       queued b net
            0s       offered b ann
        "#]],
    );
}
