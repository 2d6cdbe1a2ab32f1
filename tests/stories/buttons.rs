//! R2.1, R2.2: support buttons, which lead into one queue again and again.

use crate::story::{SITE, story_in};
use expect_test::expect;

/// `ann` has buttons, `bo` none; `mia` and `led` manage those of their team, `led` above them; `out` is in another team.
fn site() -> String {
    let portals = "[[portal]]\ncode = \"main\"\n[[portal]]\ncode = \"shut\"\nteams = [\"db\"]\n";
    let users = [
        ("ann", "net = \"member\"", "\"buttons_personal\", \"buttons_team_deploy\""),
        ("bo", "net = \"member\"", ""),
        ("mia", "net = \"member\"", "\"buttons_team_manage\""),
        ("led", "net = \"lead\"", "\"buttons_team_manage\", \"buttons_change_portal\""),
        ("out", "db = \"lead\"", "\"buttons_team_manage\", \"buttons_change_portal\""),
    ];
    let users = users.map(|(name, teams, more)| {
        format!(
            "[[user]]\nusername = \"{name}\"\nteams = {{ {teams} }}\npermissions = [\"support\", \"accept_from_queue\", {more}]\n"
        )
    });
    format!("{SITE}{portals}{}", users.concat())
}

#[test]
fn r2_1_a_personal_button_leads_into_the_own_queue_again_and_again_until_it_is_revoked() {
    story_in(
        &site(),
        "login ann; button ann B ann; press a B; take ann a; press b B; leave a; press c B; revoke ann 1; press d B; \
         revoke ann 1",
        expect![[r#"
            0s       button 1 ann -
            0s       queued a ann
            0s       accepted a ann
            0s       queued b ann
            0s       ended a by_customer
            0s       queued c ann
            0s       button_gone 1
            0s       refused press key_gone
        "#]],
    );
}

#[test]
fn r2_2_a_team_button_leads_into_the_teams_queue_and_to_the_fallback_rules_from_there() {
    story_in(
        &site(),
        "login ann bo; button ann T net; press a T; accept ann a; press b T; reject bo b; lose ann; press c T",
        expect![[r#"
            0s       button 1 net -
            0s       queued a net
            0s       offered a ann
            0s       accepted a ann
            0s       queued b net
            0s       offered b bo
            0s       rejected b bo
            0s       offered b ann
            0s       offer_timeout b ann
            0s       logged_out ann lost
            0s       moved a net net fallback_2
            0s       offered a bo
            0s       queued c net
        "#]],
    );
}

#[test]
fn r2_1_r2_2_a_button_needs_its_permission_and_leads_to_the_own_queue_or_an_own_team() {
    story_in(
        &site(),
        "button ann A ann; login ann bo; button bo B bo; button bo C net; button ann D db; button ann E bo; \
         button ann F net shut; button ann G net main; button ann G net",
        expect![[r#"
            0s       refused button not_logged_in
            0s       refused button not_permitted
            0s       refused button not_permitted
            0s       refused button not_member
            0s       refused button not_member
            0s       refused button not_permitted
            0s       button 1 net main
            0s       refused button stale
        "#]],
    );
}

#[test]
fn r2_1_r2_2_a_button_is_revoked_by_its_maker_and_whoever_manages_those_of_its_queue() {
    story_in(
        &site(),
        "login ann bo mia led out; button ann T net; button ann P ann; revoke bo 1; revoke out 1; revoke out 2; \
         revoke mia 2; revoke mia 1; revoke led 2; press a P",
        expect![[r#"
            0s       button 1 net -
            0s       button 2 ann -
            0s       refused revoke not_permitted
            0s       refused revoke not_permitted
            0s       refused revoke not_permitted
            0s       refused revoke not_permitted
            0s       button_gone 1
            0s       button_gone 2
            0s       refused press key_gone
        "#]],
    );
}

#[test]
fn r2_1_another_portal_needs_its_permission_and_counts_from_the_next_session_on() {
    story_in(
        &site(),
        "login ann led out; button ann T net main; portal ann 1; portal out 1; portal led 1 shut; portal led 1; \
         portal led 1; press a T; portal led 9",
        expect![[r#"
            0s       button 1 net main
            0s       refused portal not_permitted
            0s       refused portal not_permitted
            0s       refused portal not_permitted
            0s       button_portal 1 -
            0s       queued a net
            0s       offered a ann
            0s       refused portal key_gone
        "#]],
    );
}

#[test]
fn r2_1_r2_2_a_button_goes_with_what_it_leads_to_and_with_the_right_to_have_it() {
    story_in(
        &site(),
        "login ann bo; button ann P ann; button ann T net; site buttons_personal => get_next; press a P; press b T; \
         disable ann; press c P; press d T; delete_team net; press e T",
        expect![[r#"
            0s       button 1 ann -
            0s       button 2 net -
            0s       refused press key_gone
            0s       queued b net
            0s       offered b ann
            0s       offer_withdrawn b ann logged_out
            0s       logged_out ann disabled
            0s       offered b bo
            0s       refused press key_gone
            0s       queued d net
            0s       offer_withdrawn b bo team_deleted
            0s       ended b orphaned
            0s       ended d orphaned
            0s       refused press key_gone
        "#]],
    );
}
