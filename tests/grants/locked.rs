//! P2.2, BU-150: what a group policy gives a user is not edited on the user. BU-151: nobody deletes their own account.

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Reason, Refusal},
    ids::Party,
    policy::explain::{Query, explain},
    site::{Site, raw::RawSite},
};

const GROUPS: &str = r#"
[[group_policy]]
code = "crew"
members = ["bob", "lea"]
[group_policy.permissions]
state = "final"
values = ["support", "get_next"]
[group_policy.session]
state = "defined"
policy_attended = "viewer"
[[group_policy]]
code = "trainees"
members = ["bob"]
[group_policy.limits]
state = "defined"
max_sessions = 1
idle_limit_s = 300
"#;

fn site() -> String {
    format!("{SITE}{GROUPS}")
}

/// An administrator at a console of their own applies this.
fn apply(world: &mut World, edit: impl FnOnce(&mut RawSite)) -> Result<(), Refusal> {
    let mut raw = RawSite::clone(&world.engine.state().site.raw);
    edit(&mut raw);
    let root = Party::Rep(world.user("root"));
    world.act(Actor::Party(root), None, Command::ApplySite(raw.into())).map(drop)
}

fn user<'a>(raw: &'a mut RawSite, name: &str) -> &'a mut equipoise::site::raw::RawUser {
    raw.user.iter_mut().find(|user| user.username == name).expect("one of the site")
}

#[test]
fn bu_150_p2_2_what_a_group_policy_gives_is_not_edited_on_the_user() {
    type Edit = fn(&mut RawSite, &str);
    let edits: [(&str, &str, Edit); 6] = [
        ("permissions", "crew", |raw, name| user(raw, name).permissions.push("opt_out".into())),
        ("automation", "crew", |raw, name| user(raw, name).automation = "user".into()),
        ("max_sessions", "trainees", |raw, name| user(raw, name).max_sessions = 9),
        ("idle_limit_s", "trainees", |raw, name| user(raw, name).idle_limit_s = 600),
        ("policy_attended", "crew", |raw, name| user(raw, name).policy_attended = "strict".into()),
        ("policy_unattended", "crew", |raw, name| user(raw, name).policy_unattended = "strict".into()),
    ];
    let mut world = World::of(&site());
    for (key, policy, edit) in edits {
        let before = world.engine.state().site_version;
        let refusal = apply(&mut world, |raw| edit(raw, "bob")).unwrap_err();
        assert_eq!((refusal.reason, refusal.rule.as_str()), (Reason::NotPermitted, "P2.2"), "{key}");
        assert!(refusal.message.starts_with(&format!("user bob {key} is locked by the group policy {policy}")));
        assert_eq!(refusal.source, Some(format!("group_policy:{policy}")));
        assert_eq!(world.engine.state().site_version, before);
        // Of who is in no such group they are edited.
        apply(&mut world, |raw| edit(raw, "ana")).unwrap_or_else(|refusal| panic!("{key}: {refusal:?}"));
    }
    // What no policy of theirs gives, too; and what is not locked.
    apply(&mut world, |raw| user(raw, "lea").max_sessions = 7).unwrap();
    apply(&mut world, |raw| user(raw, "bob").public_name = Some("Robert".into())).unwrap();
}

#[test]
fn bu_150_who_leaves_the_group_by_the_same_edit_or_comes_to_it_is_free() {
    let mut world = World::of(&site());
    apply(&mut world, |raw| {
        raw.group_policy[1].members.clear();
        user(raw, "bob").max_sessions = 4;
    })
    .unwrap();
    assert_eq!(world.engine.state().site.users[&world.user("bob")].max_sessions, 4);
    apply(&mut world, |raw| {
        raw.group_policy[1].members.push("bob".into());
        user(raw, "bob").max_sessions = 5;
    })
    .unwrap();
    assert_eq!(world.engine.state().site.users[&world.user("bob")].max_sessions, 1);
}

#[test]
fn bu_150_explain_says_who_gave_the_limits() {
    let site = Site::from_text(&site(), None).unwrap();
    let said = |user: &str| explain(&site, &Query { user: user.into(), ..Query::default() }).unwrap();
    let limits = said("bob").limits;
    assert_eq!((limits.max_sessions, limits.idle_limit_s, limits.source.as_str()), (1, 300, "group_policy:trainees"));
    assert_eq!(said("lea").limits.source, "user:lea");
    assert!(said("bob").to_string().contains("assigned: up to 1 sessions, idle limit 300 s (group_policy:trainees)"));
}

#[test]
fn bu_151_nobody_deletes_their_own_account_whichever_way_they_edit() {
    for over_a_console in [false, true] {
        let mut world = World::new();
        let (root, mut raw) = (world.user("root"), RawSite::clone(&world.engine.state().site.raw));
        raw.user.retain(|user| user.username != "root");
        let actor = if over_a_console { Actor::Party(Party::Rep(root)) } else { Actor::Admin(root) };
        let refusal = world.act(actor, None, Command::ApplySite(raw.into())).unwrap_err();
        assert_eq!(refusal.reason, Reason::BadSite);
        assert!(refusal.message.contains("nobody deletes their own account"));
        assert!(world.engine.state().site.codes.users.contains_key("root"));
    }
}
