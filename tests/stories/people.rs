//! R7.4, R7.5: whom a session reaches beyond those who serve it: invitations, by mail too, help, external reps.

use crate::story::story_in;
use expect_test::expect;

/// Two teams, mail addresses, an issue for help, two policies for invites of which `guest` is the narrower.
fn site(options: &str) -> String {
    let users = [
        ("r1", r#"net = "member""#, r#""invite_external", "extended_availability""#),
        ("r2", r#"net = "member""#, r#""invite_external""#),
        ("r3", r#"net = "member""#, r#""extended_availability""#),
        ("d1", r#"db = "member""#, ""),
        ("d2", r#"db = "member""#, ""),
        ("lead", r#"net = "lead""#, r#""share_outside", "transfer_outside""#),
    ];
    let users: String = users
        .iter()
        .map(|(name, teams, more)| {
            format!(
                "[[user]]\nusername = \"{name}\"\nemail = \"{name}@example.com\"\nteams = {{ {teams} }}\n\
                 skills = [{}]\nlicense_pool = \"main\"\n\
                 permissions = [\"support\", \"accept_from_queue\", \"get_next\", {more}]\n",
                if *name == "d2" { "\"sql\"" } else { "" }
            )
        })
        .collect();
    format!(
        r#"
[site]
name = "people"
[options]
default_policy = "house"
{options}
[[license_pool]]
code = "main"
seats = 4
[[skill]]
code = "sql"
[[team]]
code = "net"
algorithm = "least_busy"
[[team]]
code = "db"
algorithm = "skills_least_busy"
[[issue]]
code = "slow-query"
team = "db"
skills = ["sql"]
priority = 80
help_requests = true
[[issue]]
code = "vpn"
team = "net"
[[policy]]
code = "house"
tools = {{ invite_external = "yes" }}
[[policy]]
code = "guest"
for_invites = true
tools = {{ shell = "no" }}
{users}"#
    )
}

fn story(script: &str, expected: expect_test::Expect) {
    story_in(&site(""), script, expected);
}

#[test]
fn r7_5_an_external_rep_comes_once_by_key_and_leaves_with_the_last_internal_rep() {
    story(
        "login r1 r2; ask a in r1; take r1 a; invite r1 a eve@partner.example k1; external eve with a k1; \
         external mal with a k1; share r1 a r2; join r2 a; depart r1 a; depart r2 a; logout r2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       external_invited a eve@partner.example by r1
            0s       external_joined a eve@partner.example
            0s       refused external key_gone
            0s       invited a r2
            0s       invite_gone a r2 joined
            0s       joined a r2
            0s       owner_changed a r2 fallback_1
            0s       refused depart wrong_state
            0s       logged_out r2 asked
            0s       moved a r1 r1 fallback_2
            0s       external_left a no_internal_rep
        "#]],
    );
}

#[test]
fn r7_5_the_key_lives_two_hours_or_until_the_session_ends() {
    story(
        "login r1; ask a in r1; take r1 a; invite r1 a eve@partner.example k1; +7200s; external eve with a k1; \
         invite r1 a eve@partner.example k2; end r1 a; external eve with a k2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       external_invited a eve@partner.example by r1
            7200s    key_expired
            7200s    refused external key_gone
            7200s    external_invited a eve@partner.example by r1
            7200s    ended a by_rep
            7200s    refused external key_gone
        "#]],
    );
}

#[test]
fn r7_5_inviting_needs_both_permissions_a_marked_policy_and_an_address() {
    story(
        "login r1 d1 lead; ask a in r1; invite r1 a eve@partner.example k0; take r1 a; invite r1 a nobody k1; \
         invite r1 a eve@partner.example k2 house; invite d1 a eve@partner.example k3; join lead a; join lead a; \
         invite lead a eve@partner.example k4; site invite_external = \"yes\" => invite_external = \"no\"; \
         invite r1 a eve@partner.example k5",
        expect![[r#"
            0s       queued a r1
            0s       refused invite wrong_state
            0s       accepted a r1
            0s       refused invite malformed
            0s       refused invite not_permitted
            0s       refused invite not_participant
            0s       monitors a lead
            0s       joined a lead
            0s       refused invite not_permitted
            0s       refused invite not_permitted
        "#]],
    );
}

#[test]
fn r7_5_only_approved_addresses_where_the_policy_lists_them() {
    story_in(
        &site("").replace(
            "invite_external = \"yes\"",
            "invite_external = \"yes\", invite_external_to = [\"eve@partner.example\"]",
        ),
        "login r1; ask a in r1; take r1 a; invite r1 a mal@partner.example k1; invite r1 a Eve@Partner.example k2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       refused invite not_permitted
            0s       external_invited a Eve@Partner.example by r1
        "#]],
    );
}

#[test]
fn r7_5_an_external_rep_takes_a_seat_of_the_inviters_pool() {
    story(
        "login r1 r2 d1; ask a in r1; take r1 a; invite r1 a eve@partner.example k1; invite r1 a mal@partner.example k2; \
         external eve with a k1; external mal with a k2; login d2; end r1 a; login d2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       external_invited a eve@partner.example by r1
            0s       external_invited a mal@partner.example by r1
            0s       external_joined a eve@partner.example
            0s       refused external no_seat
            0s       refused login no_seat
            0s       ended a by_rep
        "#]],
    );
}

#[test]
fn r7_5_an_external_rep_never_owns_transfers_shares_holds_or_ends_it() {
    story(
        "login r1 r2; ask a in r1; take r1 a; ask b in r2; take r2 b; invite r1 a eve@partner.example k1; \
         external eve with a k1; transfer eve a r2; share eve a r2; take_over eve a; hold eve a; end eve a; \
         invite eve a x@y.example k2; get_next eve; take eve b; depart eve b; logout r1",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       queued b r2
            0s       accepted b r2
            0s       external_invited a eve@partner.example by r1
            0s       external_joined a eve@partner.example
            0s       refused transfer not_permitted
            0s       refused share not_permitted
            0s       refused take_over not_permitted
            0s       refused hold not_permitted
            0s       refused end not_owner
            0s       refused invite not_permitted
            0s       refused get_next not_permitted
            0s       refused take not_permitted
            0s       refused depart unknown_session
            0s       logged_out r1 asked
            0s       ended a orphaned
        "#]],
    );
}

#[test]
fn r7_5_a_lost_external_rep_may_come_back_within_the_grace_and_a_transfer_sends_them_away() {
    story(
        "login r1 r2; ask a in r1; take r1 a; invite r1 a eve@partner.example k1; external eve with a k1; lost eve; \
         +59s; back eve; lost eve; +60s; invite r1 a eve@partner.example k2; external eve with a k2; transfer r1 a r2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       external_invited a eve@partner.example by r1
            0s       external_joined a eve@partner.example
            119s     external_left a lost
            119s     external_invited a eve@partner.example by r1
            119s     external_joined a eve@partner.example
            119s     moved a r1 r2 transfer
            119s     external_left a no_internal_rep
        "#]],
    );
}

#[test]
fn r7_5_who_is_vouched_for_by_nobody_leaves() {
    story(
        "login r1 r2; ask a in r1; take r1 a; invite r1 a eve@partner.example k1; external eve with a k1; share r1 a r2; \
         join r2 a; disable r1; invite r2 a mal@partner.example k2; external mal with a k2; \
         site for_invites = true => for_invites = false",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       external_invited a eve@partner.example by r1
            0s       external_joined a eve@partner.example
            0s       invited a r2
            0s       invite_gone a r2 joined
            0s       joined a r2
            0s       logged_out r1 disabled
            0s       owner_changed a r2 fallback_1
            0s       external_left a not_vouched_for
            0s       external_invited a mal@partner.example by r2
            0s       external_joined a mal@partner.example
            0s       external_left a not_vouched_for
        "#]],
    );
}

#[test]
fn r7_4_other_teams_are_invited_only_with_the_permission_and_within_the_listed_scope() {
    story(
        "login r1 d1 lead; ask a in r1; take r1 a; share r1 a d1; transfer r1 a lead; take lead a; share lead a d1; \
         accept d1 a",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       refused share not_permitted
            0s       moved a r1 lead transfer
            0s       accepted a lead
            0s       invited a d1
            0s       invite_gone a d1 joined
            0s       joined a d1
        "#]],
    );
    story_in(
        &site("").replace("invite_external = \"yes\"", "collaborate_to = [\"rep:r2\", \"team:db\"]"),
        "login r1 r2 lead d1; ask a in lead; take lead a; share lead a r1; share lead a r2; share lead a d1; \
         share lead a db",
        expect![[r#"
            0s       queued a lead
            0s       accepted a lead
            0s       refused share not_permitted
            0s       invited a r2
            0s       invited a d1
            0s       invited a db
        "#]],
    );
}

#[test]
fn r7_4_extended_availability_holds_a_seat_and_is_never_assigned_to() {
    story(
        "login r1 r2 r3 d1; extended r2 on; extended r3 on; logout r3; ask a in net; accept r1 a; ask b in net; \
         accept r2 b; ask c in net; login d2; login r3; extended r3 off; logout r3; login d2",
        expect![[r#"
            0s       refused extended not_permitted
            0s       extended r3 on
            0s       logged_out r3 asked
            0s       queued a net
            0s       offered a r1
            0s       accepted a r1
            0s       queued b net
            0s       offered b r2
            0s       accepted b r2
            0s       queued c net
            0s       offered c r1
            0s       refused login no_seat
            0s       extended r3 off
            0s       logged_out r3 asked
        "#]],
    );
}

#[test]
fn r7_4_who_is_not_logged_in_is_invited_by_mail_and_joins_after_accepting() {
    story(
        "login r1 r3; extended r3 on; logout r3; ask a in r1; take r1 a; share r1 a r3; share r1 a r2 m0; \
         share r1 a r3 m1; +600s; answer m1 accept; answer m1 decline; +10s; login r3",
        expect![[r#"
            0s       extended r3 on
            0s       logged_out r3 asked
            0s       queued a r1
            0s       accepted a r1
            0s       refused share no_rep_available
            0s       refused share no_rep_available
            0s       invited a r3
            600s     invite_accepted a r3
            600s     refused answer key_gone
            610s     invite_gone a r3 joined
            610s     joined a r3
        "#]],
    );
}

#[test]
fn r7_4_a_mailed_invitation_is_declined_switched_off_fails_or_runs_out() {
    story(
        "login r1 r3; extended r3 on; logout r3; ask a in r1; take r1 a; share r1 a r3 m1; answer m1 decline; \
         answer m1 accept; share r1 a r3 m2; mail_failed m2; share r1 a r3 m3; +7200s; share r1 a r3 m4; \
         answer m4 switch_off; share r1 a r3 m5; answer nothing accept",
        expect![[r#"
            0s       extended r3 on
            0s       logged_out r3 asked
            0s       queued a r1
            0s       accepted a r1
            0s       invited a r3
            0s       invite_gone a r3 declined
            0s       refused answer key_gone
            0s       invited a r3
            0s       invite_gone a r3 mail_failed
            0s       invited a r3
            7200s    invite_gone a r3 expired
            7200s    invited a r3
            7200s    invite_gone a r3 declined
            7200s    extended r3 off
            7200s    refused share no_rep_available
            7200s    refused answer key_gone
        "#]],
    );
}

#[test]
fn r7_4_extended_availability_ends_with_the_account_or_its_permission() {
    story(
        "login r1 r3; extended r3 on; extended r1 on; logout r3; ask a in r1; take r1 a; share r1 a r3 m1; disable r3; \
         site email = \"r1@example.com\" => email = \"\"; login r2 d1 d2",
        expect![[r#"
            0s       extended r3 on
            0s       extended r1 on
            0s       logged_out r3 asked
            0s       queued a r1
            0s       accepted a r1
            0s       invited a r3
            0s       extended r3 off
            0s       invite_gone a r3 switched_off
            0s       extended r1 off
        "#]],
    );
}

#[test]
fn r7_4_a_request_for_help_is_offered_by_skill_and_whoever_accepts_joins() {
    story(
        "login r1 d1 d2; ask a in r1; take r1 a; help r1 a vpn; help d1 a slow-query; help r1 a slow-query h; \
         reject d2 h; accept d1 h; end d1 a; end r1 a",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       refused help not_permitted
            0s       refused help not_participant
            0s       queued h db
            0s       offered h d2
            0s       rejected h d2
            0s       offered h d1
            0s       accepted h d1
            0s       ended h helped
            0s       joined a d1
            0s       refused end not_owner
            0s       ended a by_rep
        "#]],
    );
}

#[test]
fn r7_4_a_request_for_help_ends_with_what_it_is_for_and_is_not_sent_elsewhere() {
    story(
        "login r1 r2 d1 lead; ask a in r1; take r1 a; help r1 a slow-query h; transfer lead h net; hold r1 a; \
         resume r1 a; help r1 a slow-query i; end r1 i; help r1 a slow-query j; transfer r1 a r2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       queued h db
            0s       offered h d1
            0s       refused transfer wrong_state
            0s       held a
            0s       offer_withdrawn h d1 ended
            0s       ended h help_over
            0s       resumed a
            0s       queued i db
            0s       offered i d1
            0s       offer_withdrawn i d1 ended
            0s       ended i by_rep
            0s       queued j db
            0s       offered j d1
            0s       moved a r1 r2 transfer
            0s       offer_withdrawn j d1 ended
            0s       ended j help_over
        "#]],
    );
}

#[test]
fn r7_4_who_is_in_the_session_is_not_asked_to_help_with_it() {
    story(
        "login r1 d2 lead; ask a in lead; take lead a; share lead a d2; join d2 a; help lead a slow-query h; login d1; \
         accept d1 h",
        expect![[r#"
            0s       queued a lead
            0s       accepted a lead
            0s       invited a d2
            0s       invite_gone a d2 joined
            0s       joined a d2
            0s       queued h db
            0s       offered h d1
            0s       accepted h d1
            0s       ended h helped
            0s       joined a d1
        "#]],
    );
}

#[test]
fn r7_3_the_rescue_form_lists_groups_and_refuses_who_is_shown_busy_or_away() {
    story_in(
        &site("").replace("invite_external = \"yes\"", "transfer_to = [\"rep:r2\", \"team:db\"]"),
        "login r1 r2 lead d1; ask a in lead; take lead a; transfer lead a r1; status r2 away; transfer lead a r2; \
         status r2 busy; transfer lead a r2; status r2 available; transfer lead a r2; take r2 a; transfer r2 a d1; \
         transfer lead a d1",
        expect![[r#"
            0s       queued a lead
            0s       accepted a lead
            0s       refused transfer not_permitted
            0s       refused transfer rep_busy
            0s       refused transfer rep_busy
            0s       moved a lead r2 transfer
            0s       accepted a r2
            0s       refused transfer not_permitted
            0s       moved a r2 d1 transfer
        "#]],
    );
}

#[test]
fn r7_3_a_rep_shown_away_is_handed_a_session_where_no_groups_are_listed() {
    story(
        "login r1 r2; ask a in r1; take r1 a; status r2 away; transfer r1 a r2",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       moved a r1 r2 transfer
        "#]],
    );
}

#[test]
fn r7_3_the_sessions_own_permission_is_needed_to_transfer_and_share() {
    story_in(
        &site("").replace("invite_external = \"yes\"", "transfer = \"no\", collaborate = \"no\""),
        "login r1 r2; ask a in r1; take r1 a; transfer r1 a r2; share r1 a r2; help r1 a slow-query",
        expect![[r#"
            0s       queued a r1
            0s       accepted a r1
            0s       refused transfer not_permitted
            0s       refused share not_permitted
            0s       refused help not_permitted
        "#]],
    );
}
