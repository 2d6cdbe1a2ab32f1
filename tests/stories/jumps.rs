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
