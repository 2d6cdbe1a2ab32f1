//! P8 told: roles on jump items, their groups and personal lists, for jumps that begin, and an edit while one runs.

use crate::story::{SITE, reps, story_in};
use expect_test::expect;

/// A group whose members are r1 by name and the team `db`, an item on r1's own list, and one that stands nowhere.
fn site() -> String {
    let reps = reps("jump_roles = { default = \"operator\", personal = \"operator\", teams = \"operator\" }");
    format!(
        "{SITE}{reps}\
         [[jump_item_role]]\ncode = \"operator\"\nallows = [\"start_sessions\"]\n\
         [[jump_item_role]]\ncode = \"viewer\"\n\
         [[jump_group]]\ncode = \"servers\"\nmembers = {{ r1 = \"default\", both = \"viewer\" }}\n\
         teams = {{ db = \"operator\" }}\n\
         [[jump_item]]\ncode = \"srv\"\ngroup = \"servers\"\n\
         [[jump_item]]\ncode = \"own\"\nowner = \"r1\"\n\
         [[jump_item]]\ncode = \"free\"\n"
    )
}

#[test]
fn p8_1_p8_2_p8_5_a_jump_needs_a_role_that_starts_sessions_and_the_methods_permission() {
    story_in(
        &site(),
        "login r1 r2 d1 both; jump r1 a srv; jump d1 b srv; jump both c srv; jump r2 d srv; jump r2 e free; \
         site operator\"\nallows = [\"start_sessions\"] => operator\"\nallows = []; jump d1 f srv",
        expect![[r#"
            0s       accepted a r1
            0s       accepted b d1
            0s       refused jump not_permitted
            0s       refused jump not_permitted
            0s       accepted c r2
            0s       refused jump not_permitted
        "#]],
    );
}

#[test]
fn p8_3_p8_4_a_personal_list_is_its_owners_and_of_those_above_in_a_team() {
    story_in(
        &site(),
        "login r1 r2 lead boss d1; jump r1 a own; jump lead b own; jump boss c own; jump r2 d own; jump d1 e own; \
         site owner = \"r1\" => owner = \"lead\"; jump r1 f own; jump boss g own; jump lead h own",
        expect![[r#"
            0s       accepted a r1
            0s       accepted b lead
            0s       accepted c boss
            0s       refused jump not_permitted
            0s       refused jump not_permitted
            0s       refused jump not_permitted
            0s       accepted d boss
            0s       accepted h lead
        "#]],
    );
}

#[test]
fn p6_2_p8_1_a_role_taken_away_refuses_the_next_jump_and_what_runs_goes_on() {
    story_in(
        &site(),
        "login d1; jump d1 a srv; site db = \"operator\" => db = \"viewer\"; jump d1 b srv; \
         site , \"jump_client\"] => ]; hold d1 a; resume d1 a; end d1 a; \
         site db = \"viewer\" => db = \"operator\"; jump d1 c srv",
        expect![[r#"
            0s       accepted a d1
            0s       refused jump not_permitted
            0s       held a
            0s       resumed a
            0s       ended a by_rep
            0s       refused jump not_permitted
        "#]],
    );
}

#[test]
fn p8_1_a_team_that_is_deleted_leaves_its_groups() {
    story_in(
        &site(),
        "login d1 both; jump d1 a srv; delete_team db; jump d1 b srv; jump both c srv; jump both d free",
        expect![[r#"
            0s       accepted a d1
            0s       refused jump not_permitted
            0s       refused jump not_permitted
            0s       accepted b both
        "#]],
    );
}

#[test]
fn r2_3_bu_074_a_jump_begins_with_the_endpoint_that_stands_by_and_with_none_it_is_refused() {
    story_in(
        &site(),
        "login r1 d1; jump_to d1 a srv; item_key K srv; jump_to d1 a srv; stand_by srv with wrong; stand_by srv with K; \
         jump_to d1 a srv; take_up a with K; jump_to r1 b srv; end d1 a; take_up a with K; jump_to r1 b srv; +299s; \
         take_up b with K; +1000s; lost b; +300s; jump_to r1 c srv; +300s; lost item:srv; jump_to r1 d srv; \
         back item:srv; jump_to r1 d srv",
        expect![[r#"
            0s       refused jump_to not_standing_by
            0s       item_key srv
            0s       refused jump_to not_standing_by
            0s       refused stand_by key_gone
            0s       accepted a d1
            0s       refused jump_to wrong_state
            0s       ended a by_rep
            0s       refused take_up session_ended
            0s       accepted b r1
            1599s    ended b by_customer
            1599s    accepted c r1
            1899s    ended c by_customer
            1899s    refused jump_to not_standing_by
            1899s    accepted d r1
        "#]],
    );
}

#[test]
fn r2_3_a_new_key_or_no_item_ends_the_one_before_and_cuts_off_who_came_by_it() {
    story_in(
        &site(),
        "login d1 both; item_key K srv; item_key L srv; stand_by srv with K; stand_by srv with L; jump_to d1 a srv; \
         take_up a with L; item_key M srv; back item:srv; back a; take_up a with L; stand_by srv with M; take_up a with M; \
         restart; jump_to d1 b srv; back item:srv; back a; end d1 a; item_key M free; item_key N free; stand_by free with N; \
         site code = \"free\" => code = \"other\"; stand_by free with N; stand_by other with N; back item:free",
        expect![[r#"
            0s       item_key srv
            0s       item_key srv
            0s       refused stand_by key_gone
            0s       accepted a d1
            0s       item_key srv
            0s       cut_off
            0s       refused back token_gone
            0s       refused back token_gone
            0s       refused take_up key_gone
            0s       refused jump_to wrong_state
            0s       ended a by_rep
            0s       refused item_key stale
            0s       item_key free
            0s       item_key_gone
            0s       refused stand_by key_gone
            0s       refused stand_by key_gone
            0s       refused back token_gone
        "#]],
    );
}

#[test]
fn r2_3_i_k1_an_items_key_opens_nothing_else_and_nothing_else_opens_an_item() {
    story_in(
        &site(),
        "login r1 d1; item_key K srv; press a K; make_key service S net; stand_by srv with S; make_key service K net; \
         item_key S srv; item_key K free; jump d1 b srv; take_up b with S; external x with b K; stand_by srv with K; take_up b with K",
        expect![[r#"
            0s       item_key srv
            0s       refused press session_ended
            0s       refused stand_by key_gone
            0s       refused make_key stale
            0s       refused item_key stale
            0s       refused item_key stale
            0s       accepted b d1
            0s       queued ? net
            0s       offered ? r1
            0s       refused external key_gone
        "#]],
    );
}
