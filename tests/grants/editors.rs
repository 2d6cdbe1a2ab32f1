//! P1.1, P2.3: who edits a part of the site without being an administrator, and that nobody gets a permission by it.

use crate::{random::Random, world::*};
use equipoise::{
    engine::{Actor, Command, Entry, Queue, Reason, Refusal, command::Ask},
    ids::Party,
    limits,
    site::{
        Site, User,
        raw::{
            RawIssue, RawJumpGroup, RawJumpItem, RawJumpItemRole, RawPortal, RawScript, RawSite, RawSkill, RawTeam,
            RawTechnicianGroup, RawUser,
        },
    },
    time::Span,
};

const SITE: &str = r#"
[site]
name = "test"
[[skill]]
code = "vpn"
[[skill]]
code = "wifi"
[[skill]]
code = "spare"
[[team]]
code = "net"
algorithm = "none"
[[team]]
code = "desk"
algorithm = "none"
[[issue]]
code = "slow"
team = "net"
skills = ["vpn", "spare"]
[[script]]
code = "fix"
teams = ["net"]
text = "true"
[[policy]]
code = "full"
tools = { registry = "yes" }
[[policy]]
code = "looking"
tools = { screen = "view", shell = "no" }
[[portal]]
code = "open"
hosts = ["open.example.com"]
[[portal]]
code = "strict"
hosts = ["strict.example.com"]
policy = "looking"
[[jump_item]]
code = "router"
method = "jump_shell"
[[jump_item]]
code = "srv"
method = "jump_client"
policy_absent = "looking"
[[user]]
username = "root"
permissions = ["administrator"]
[[user]]
username = "terry"
teams = { net = "member" }
permissions = ["support", "edit_teams"]
[[user]]
username = "ivy"
permissions = ["edit_issues"]
[[user]]
username = "skye"
permissions = ["edit_skills"]
[[user]]
username = "cas"
permissions = ["edit_canned_scripts"]
[[user]]
username = "pia"
permissions = ["edit_public_site"]
[[user]]
username = "jo"
permissions = ["edit_jump_groups"]
[[user]]
username = "adam"
[[user]]
username = "bob"
teams = { net = "lead" }
skills = ["spare", "vpn"]
permissions = ["support"]
[[user]]
username = "kim"
permissions = ["support"]
[[user]]
username = "eve"
permissions = ["support", "edit_customer_notices", "edit_support_buttons", "set_passwords"]
[[group_policy]]
code = "trainees"
members = ["kim"]
[group_policy.limits]
state = "defined"
max_sessions = 1
[[technician_group]]
code = "all"
tools = { registry = "deny", reboot = "deny" }
locked = ["registry"]
[[technician_group]]
code = "north"
parent = "all"
admins = ["adam"]
members = ["adam"]
[[technician_group]]
code = "city"
parent = "north"
members = ["bob"]
tools = { shell = "deny", elevation = "deny" }
locked = ["shell"]
[[technician_group]]
code = "shore"
parent = "north"
members = ["kim"]
tools = { pin_jump_client = "deny" }
[[technician_group]]
code = "closed"
parent = "north"
enabled = false
members = ["eve"]
[[technician_group]]
code = "south"
parent = "all"
[[template]]
code = "seasoned"
group = "shore"
settings = { permissions = ["transfer_outside"] }
[[template]]
code = "plain"
group = "shore"
settings = { max_sessions = 7 }
"#;

/// Everybody who edits something or nothing, and what of the file is theirs.
const PEOPLE: &[(&str, &str)] = &[
    ("terry", "team"),
    ("ivy", "issue"),
    ("skye", "skill"),
    ("cas", "script"),
    ("pia", "portal"),
    ("jo", "jump_item"),
    ("adam", "north"),
    ("bob", "nothing"),
    ("kim", "nothing"),
    ("eve", "nothing"),
];

fn user<'a>(raw: &'a mut RawSite, name: &str) -> &'a mut RawUser {
    raw.user.iter_mut().find(|user| user.username == name).expect("a user of the site")
}

fn group<'a>(raw: &'a mut RawSite, code: &str) -> &'a mut RawTechnicianGroup {
    raw.technician_group.iter_mut().find(|group| group.code == code).expect("a group of the site")
}

/// Takes a user from one technician group to another; empty: to none.
fn moves(raw: &mut RawSite, name: &str, to: &str) {
    for group in &mut raw.technician_group {
        group.members.retain(|member| member != name);
    }
    if !to.is_empty() {
        group(raw, to).members.push(name.to_owned());
    }
}

fn edited(world: &World, edit: impl FnOnce(&mut RawSite)) -> RawSite {
    let mut raw = (*world.engine.state().site.raw).clone();
    edit(&mut raw);
    raw
}

fn apply(world: &mut World, name: &str, edit: impl FnOnce(&mut RawSite)) -> Result<(), Refusal> {
    let raw = edited(world, edit);
    let actor = Actor::Admin(world.user(name));
    world.act(actor, None, Command::ApplySite(raw.into())).map(|_| ())
}

/// The edit is refused for its author, and an administrator may make it.
#[track_caller]
fn refused(name: &str, edit: impl Fn(&mut RawSite)) -> String {
    let mut world = World::of(SITE);
    let before = world.engine.state().site.clone();
    let refusal = apply(&mut world, name, &edit).expect_err("it is beyond what this one may do");
    assert_eq!(refusal.reason, Reason::NotPermitted, "{refusal}");
    assert_eq!(world.engine.state().site, before, "nothing of it is live");
    apply(&mut world, "root", &edit).expect("an administrator may");
    refusal.message
}

#[track_caller]
fn done(name: &str, edit: impl Fn(&mut RawSite)) {
    let mut world = World::of(SITE);
    let before = world.engine.state().site.clone();
    if let Err(refusal) = apply(&mut world, name, edit) {
        panic!("{refusal}");
    }
    nobody_got_anything(&before, &world.engine.state().site);
}

/// Every account is there as before, with the same permissions, policies and limits.
#[track_caller]
fn nobody_got_anything(before: &Site, after: &Site) {
    assert!(before.users.keys().eq(after.users.keys()));
    for (id, was) in &before.users {
        let is = &after.users[id];
        assert_eq!(was.permissions, is.permissions);
        let rest = |user: &User| {
            let policies = (user.policy_attended, user.policy_unattended, user.permissions_from, user.policies_from);
            let account = (user.enabled, user.expires_ms, user.two_factor, user.pool, user.max_sessions);
            (policies, account, user.email.clone(), user.schedule.clone())
        };
        assert_eq!(rest(was), rest(is), "{}", was.username);
    }
    assert_eq!((&before.policies, &before.group_policies), (&after.policies, &after.group_policies));
    assert_eq!((&before.options, before.seats), (&after.options, after.seats));
    for host in ["open.example.com", "strict.example.com", "new.example.com"] {
        let policy = |site: &Site| {
            let portal = site.portals.values().find(|portal| portal.hosts.iter().any(|known| known == host));
            portal.and_then(|portal| portal.policy)
        };
        assert_eq!(policy(before), policy(after), "{host}");
    }
}

type Edit = (&'static str, fn(&mut RawSite, &str));

/// One edit each, and whose section it is; any of them go together.
const EDITS: &[Edit] = &[
    ("skill", |raw, fresh| raw.skill.push(RawSkill { code: fresh.into(), ..RawSkill::default() })),
    ("skill", |raw, _| raw.skill.rotate_left(1)),
    ("skill", |raw, _| {
        raw.skill.iter_mut().find(|skill| skill.code == "wifi").expect("a skill of the site").parent = "vpn".into()
    }),
    ("skill", |raw, _| {
        raw.skill.retain(|skill| skill.code != "spare");
        user(raw, "bob").skills.retain(|skill| skill != "spare");
        for issue in &mut raw.issue {
            issue.skills.retain(|skill| skill != "spare");
        }
    }),
    ("team", |raw, fresh| {
        raw.team.push(RawTeam { code: fresh.into(), algorithm: "none".into(), ..RawTeam::default() });
        user(raw, "kim").teams.insert(fresh.into(), "member".into());
    }),
    ("team", |raw, _| raw.team[0].max_queue = 9),
    ("team", |raw, _| raw.team[1].greeting = "Hello".into()),
    ("team", |raw, _| {
        user(raw, "kim").teams.insert("net".into(), "member".into());
    }),
    ("team", |raw, _| {
        user(raw, "terry").teams.remove("net");
    }),
    ("issue", |raw, _| raw.issue[0].priority = 7),
    ("issue", |raw, fresh| raw.issue.push(RawIssue { code: fresh.into(), team: "desk".into(), ..RawIssue::default() })),
    ("issue", |raw, _| raw.issue[0].help_requests = true),
    ("script", |raw, _| raw.script[0].text = "false".into()),
    ("script", |raw, fresh| {
        raw.script.push(RawScript { code: fresh.into(), text: "true".into(), ..RawScript::default() })
    }),
    ("portal", |raw, _| raw.portal[1].no_rep_message = "Tomorrow".into()),
    ("portal", |raw, _| raw.portal[1].teams = vec!["desk".into()]),
    ("portal", |raw, fresh| {
        let hosts = vec!["new.example.com".into()];
        if raw.portal.iter().all(|portal| portal.hosts != hosts) {
            raw.portal.push(RawPortal { code: fresh.into(), hosts, ..RawPortal::default() });
        }
    }),
    ("jump_item", |raw, _| raw.jump_item.retain(|item| item.code != "router")),
    ("jump_item", |raw, fresh| raw.jump_item.push(RawJumpItem { code: fresh.into(), ..RawJumpItem::default() })),
    ("north", |raw, _| {
        group(raw, "shore").tools.insert("elevation".into(), "allow".into());
    }),
    ("north", |raw, fresh| {
        let parent = "city".into();
        raw.technician_group.push(RawTechnicianGroup { code: fresh.into(), parent, ..RawTechnicianGroup::default() });
    }),
    ("root", |raw, _| raw.options.greeting = "Hello".into()),
    ("root", |raw, _| raw.site.seats = 99),
    ("root", |raw, _| raw.policy[1].tools.clear()),
    ("root", |raw, _| raw.portal[0].policy = "full".into()),
    ("root", |raw, _| raw.jump_item.iter_mut().for_each(|item| item.policy_present = "full".into())),
    ("root", |raw, _| user(raw, "bob").email = "bob@example.com".into()),
    ("root", |raw, fresh| raw.user.push(RawUser { username: fresh.into(), ..RawUser::default() })),
    ("root", |raw, _| raw.template.swap(0, 1)),
    ("root", |raw, _| raw.group_policy[0].members.clear()),
    ("root", |raw, _| group(raw, "city").locked.clear()),
];

#[test]
fn bu_036_bu_040_to_bu_045_exactly_the_holder_of_a_sections_right_edits_it() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let chosen: Vec<&Edit> = (0..1 + random.below(3)).map(|_| &EDITS[random.below(EDITS.len())]).collect();
        let edit = |raw: &mut RawSite| {
            for (at, (_, edit)) in chosen.iter().enumerate() {
                edit(raw, &format!("fresh{at}"));
            }
        };
        let sections: Vec<&str> = chosen.iter().map(|(section, _)| *section).collect();
        for (name, own) in PEOPLE.iter().chain(&[("root", "root")]) {
            let mut world = World::of(SITE);
            let before = world.engine.state().site.clone();
            let same = edited(&world, edit) == *before.raw;
            let expected = *name == "root" || (*own != "nothing" && (same || sections.iter().all(|it| it == own)));
            let answer = apply(&mut world, name, edit);
            assert_eq!(answer.is_ok(), expected, "seed {seed}, {name}: {sections:?}: {answer:?}");
            match answer {
                Err(refusal) => assert_eq!(refusal.reason, Reason::NotPermitted, "seed {seed}, {name}: {refusal}"),
                Ok(()) if *name != "root" => nobody_got_anything(&before, &world.engine.state().site),
                Ok(()) => {}
            }
        }
    }
}

#[test]
fn bu_040_a_team_editor_gives_nobody_a_role_and_himself_nothing() {
    for edit in [
        |raw: &mut RawSite| drop(user(raw, "terry").teams.insert("desk".into(), "member".into())),
        |raw: &mut RawSite| drop(user(raw, "terry").teams.insert("net".into(), "lead".into())),
        |raw: &mut RawSite| drop(user(raw, "terry").teams.insert("NET".into(), "manager".into())),
        |raw: &mut RawSite| drop(user(raw, "kim").teams.insert("net".into(), "manager".into())),
        |raw: &mut RawSite| drop(user(raw, "bob").teams.insert("net".into(), "manager".into())),
        |raw: &mut RawSite| user(raw, "terry").permissions.push("administrator".into()),
        |raw: &mut RawSite| user(raw, "terry").policy_attended = "full".into(),
        |raw: &mut RawSite| user(raw, "kim").permissions.push("edit_teams".into()),
        |raw: &mut RawSite| raw.options.default_policy = "full".into(),
        |raw: &mut RawSite| raw.options.fallback_team = "desk".into(),
        |raw: &mut RawSite| group(raw, "all").locked.clear(),
    ] {
        // His own in it does not carry the rest.
        let message = refused("terry", |raw| {
            raw.team[0].max_queue = 5;
            edit(raw);
        });
        assert!(message.contains("(an administrator)") && !message.contains("max_queue"), "{message}");
    }
    done("terry", |raw| drop(user(raw, "bob").teams.insert("net".into(), "member".into())));
}

#[test]
fn p1_1_the_refusal_names_what_stands_behind_which_right_and_no_more_than_a_few() {
    let message = refused("terry", |raw| {
        raw.issue[0].priority = 9;
        raw.skill.rotate_left(1);
        raw.portal[0].rep_list = true;
        raw.portal[0].policy = "full".into();
        user(raw, "kim").skills.push("vpn".into());
        raw.script[0].text = "rm".into();
    });
    for named in [
        "issue slow priority (edit_issues)",
        "skill order (edit_skills)",
        "portal open rep_list (edit_public_site)",
        "portal open policy (an administrator)",
        "user kim skills (an administrator)",
        "script fix text (edit_canned_scripts)",
    ] {
        assert!(message.contains(named), "{named}: {message}");
    }
    let message = refused("bob", |raw| {
        for at in 0..50 {
            raw.team.push(RawTeam { code: format!("t{at}"), algorithm: "none".into(), ..RawTeam::default() });
        }
    });
    assert!(message.contains("only an administrator"), "who edits nothing is told nothing of the file: {message}");
    let message = refused("ivy", |raw| {
        for at in 0..50 {
            raw.team.push(RawTeam { code: format!("t{at}"), algorithm: "none".into(), ..RawTeam::default() });
        }
    });
    assert!(message.ends_with(&format!("{} more", 50 - limits::BEYOND_NAMED)), "{message}");
}

#[test]
fn bu_036_a_portal_s_policy_and_which_one_a_host_leads_to_stay_as_they_are() {
    for edit in [
        |raw: &mut RawSite| raw.portal[1].policy.clear(),
        |raw: &mut RawSite| drop(raw.portal.remove(1)),
        |raw: &mut RawSite| raw.portal[1].hosts.clear(),
        |raw: &mut RawSite| {
            let host = raw.portal[1].hosts.remove(0);
            raw.portal[0].hosts.push(host);
        },
        |raw: &mut RawSite| {
            let hosts = std::mem::take(&mut raw.portal[1].hosts);
            raw.portal.push(RawPortal { code: "mine".into(), hosts, ..RawPortal::default() });
        },
        |raw: &mut RawSite| raw.portal[1].hosts.push("new.example.com".into()),
        |raw: &mut RawSite| {
            raw.portal.push(RawPortal { code: "mine".into(), policy: "full".into(), ..RawPortal::default() });
        },
    ] {
        refused("pia", edit);
    }
    done("pia", |raw| raw.portal[0].hosts.push("new.example.com".into()));
    done("pia", |raw| drop(raw.portal.remove(0)));
    done("pia", |raw| raw.portal[0].hosts.clear());
}

#[test]
fn bu_041_an_item_with_a_policy_and_the_way_into_one_are_an_administrators() {
    for edit in [
        |raw: &mut RawSite| raw.jump_item[1].policy_absent.clear(),
        |raw: &mut RawSite| drop(raw.jump_item.remove(1)),
        |raw: &mut RawSite| raw.jump_item[1].method = "jump_shell".into(),
        |raw: &mut RawSite| {
            let item = RawJumpItem { code: "mine".into(), policy_absent: "full".into(), ..RawJumpItem::default() };
            raw.jump_item.push(item);
        },
    ] {
        refused("jo", edit);
    }
}

/// The membership is the role: `desk` has one, `net` has none.
#[test]
fn p8_2_bu_040_nobody_comes_to_a_team_with_a_role_in_a_jump_group_but_by_an_administrator() {
    let site = format!(
        "{SITE}\n[[jump_item_role]]\ncode = \"starts\"\nallows = [\"start_sessions\"]\n\
         [[jump_group]]\ncode = \"servers\"\nteams = {{ Desk = \"starts\" }}\n"
    );
    let mut world = World::of(&site);
    let join =
        |team: &'static str| move |raw: &mut RawSite| drop(user(raw, "bob").teams.insert(team.into(), "member".into()));
    let refusal = apply(&mut world, "terry", join("desk")).expect_err("the team has a role");
    assert!(refusal.message.contains("user bob teams.desk (an administrator)"), "{refusal}");
    apply(&mut world, "terry", join("net")).expect("this one has none");
    apply(&mut world, "root", join("desk")).expect("an administrator may");
    apply(&mut world, "terry", |raw| drop(user(raw, "bob").teams.remove("desk"))).expect("it is taken away");
}

#[test]
fn p8_1_bu_041_who_starts_sessions_on_an_item_is_an_administrators_to_say() {
    for edit in [
        |raw: &mut RawSite| raw.jump_item[0].owner = "jo".into(),
        |raw: &mut RawSite| {
            let item = RawJumpItem { code: "mine".into(), owner: "jo".into(), ..RawJumpItem::default() };
            raw.jump_item.push(item);
        },
        |raw: &mut RawSite| {
            let allows = vec!["start_sessions".into()];
            raw.jump_item_role.push(RawJumpItemRole { code: "all".into(), allows });
        },
        |raw: &mut RawSite| raw.jump_group.push(RawJumpGroup { code: "all".into(), ..RawJumpGroup::default() }),
    ] {
        refused("jo", edit);
    }
}

#[test]
fn lr_002_the_administrators_of_a_group_edit_what_is_below_it() {
    let fresh = |parent: &str| RawTechnicianGroup {
        code: "fresh".into(),
        parent: parent.into(),
        ..RawTechnicianGroup::default()
    };
    done("adam", |raw| raw.technician_group.push(fresh("north")));
    done("adam", |raw| {
        raw.technician_group.push(fresh("shore"));
        raw.technician_group.push(RawTechnicianGroup { code: "below".into(), ..fresh("fresh") });
        moves(raw, "kim", "below");
    });
    done("adam", |raw| {
        moves(raw, "kim", "north");
        raw.technician_group.retain(|group| group.code != "closed" || !group.members.is_empty());
    });
    done("adam", |raw| drop(group(raw, "shore").tools.insert("pin_jump_client".into(), "allow".into())));
    for parent in ["", "all", "south"] {
        refused("adam", |raw| raw.technician_group.push(fresh(parent)));
    }
    for edit in [
        |raw: &mut RawSite| drop(group(raw, "south").tools.insert("pin_jump_client".into(), "allow".into())),
        |raw: &mut RawSite| drop(group(raw, "all").tools.insert("pin_jump_client".into(), "allow".into())),
        |raw: &mut RawSite| group(raw, "south").parent = "north".into(),
        |raw: &mut RawSite| group(raw, "north").parent.clear(),
        |raw: &mut RawSite| group(raw, "shore").parent = "south".into(),
        |raw: &mut RawSite| group(raw, "shore").admins.push("kim".into()),
        |raw: &mut RawSite| group(raw, "closed").enabled = true,
        |raw: &mut RawSite| moves(raw, "kim", "south"),
        |raw: &mut RawSite| moves(raw, "kim", ""),
        |raw: &mut RawSite| moves(raw, "root", "shore"),
        |raw: &mut RawSite| moves(raw, "ivy", "shore"),
        // An account that its group keeps out would come alive.
        |raw: &mut RawSite| moves(raw, "eve", "north"),
    ] {
        refused("adam", edit);
    }
}

#[test]
fn ra_018_which_client_a_group_needs_is_an_administrators_to_say() {
    for code in ["shore", "north"] {
        refused("adam", |raw| group(raw, code).min_client = "1".into());
    }
    let fresh = |least: &str| {
        let (code, parent, min_client) = ("fresh".into(), "north".into(), least.into());
        RawTechnicianGroup { code, parent, min_client, ..RawTechnicianGroup::default() }
    };
    refused("adam", |raw| raw.technician_group.push(fresh("1")));
    let demanding = |of: &str| {
        let mut world = World::of(SITE);
        apply(&mut world, "root", |raw| group(raw, of).min_client = "1.4".into()).unwrap();
        world
    };
    apply(&mut demanding("shore"), "adam", |raw| moves(raw, "kim", "city")).unwrap_err();
    apply(&mut demanding("city"), "adam", |raw| moves(raw, "kim", "city")).unwrap();
}

#[test]
fn lr_003_what_is_locked_stays_locked_and_nobody_allows_himself_anything() {
    let set = |raw: &mut RawSite, code: &str, tool: &str, say: &str| {
        group(raw, code).tools.insert(tool.into(), say.into());
    };
    for (code, tool) in [("shore", "registry"), ("city", "shell"), ("city", "registry")] {
        refused("adam", |raw| set(raw, code, tool, "allow"));
    }
    for code in ["city", "shore"] {
        refused("adam", |raw| group(raw, code).locked = vec!["reboot".into()]);
    }
    // He is in it himself.
    refused("adam", |raw| set(raw, "north", "reboot", "allow"));
    refused("adam", |raw| moves(raw, "adam", "shore"));
    // From under the lock of a group to where there is none.
    refused("adam", |raw| moves(raw, "bob", "north"));
    done("adam", |raw| moves(raw, "kim", "city"));
    // A new group cannot lock, name administrators, or set what is locked above.
    for edit in [
        |group: &mut RawTechnicianGroup| group.locked.push("reboot".into()),
        |group: &mut RawTechnicianGroup| group.admins.push("kim".into()),
        |group: &mut RawTechnicianGroup| drop(group.tools.insert("registry".into(), "allow".into())),
        |group: &mut RawTechnicianGroup| drop(group.tools.insert("shell".into(), "allow".into())),
    ] {
        let (code, parent) = ("fresh".into(), "city".into());
        let mut fresh = RawTechnicianGroup { code, parent, ..RawTechnicianGroup::default() };
        edit(&mut fresh);
        refused("adam", |raw| raw.technician_group.push(fresh.clone()));
    }
    // A group that locks something goes with an administrator alone.
    refused("adam", |raw| {
        moves(raw, "bob", "shore");
        raw.technician_group.retain(|group| group.code != "city");
    });
}

#[test]
fn p2_4_a_template_is_copied_by_an_administrator_alone() {
    let mut world = World::of(SITE);
    apply(&mut world, "root", |raw| {
        user(raw, "bob").permissions.clear();
        group(raw, "city").locked.clear();
    })
    .unwrap();
    let refusal = apply(&mut world, "adam", |raw| moves(raw, "bob", "shore")).unwrap_err();
    assert!(refusal.message.contains("user bob permissions (an administrator)"), "{refusal}");
    apply(&mut world, "root", |raw| moves(raw, "bob", "shore")).unwrap();
    let site = &world.engine.state().site;
    assert_eq!(site.users[&site.codes.users["bob"]].max_sessions, 7);
}

#[test]
fn i_a10_a_right_that_is_gone_edits_nothing_in_the_very_next_turn() {
    let mut world = World::of(SITE);
    let terry = world.user("terry");
    apply(&mut world, "terry", |raw| raw.team[0].max_queue = 1).unwrap();
    apply(&mut world, "root", |raw| user(raw, "terry").permissions.retain(|it| it != "edit_teams")).unwrap();
    let gone = apply(&mut world, "terry", |raw| raw.team[0].max_queue = 2).unwrap_err();
    assert_eq!(gone.reason, Reason::NotPermitted);
    assert!(world.engine.state().may_edit_site(Actor::Admin(terry)).is_err());
    assert!(!world.engine.state().administers_some(terry));
    apply(&mut world, "root", |raw| user(raw, "terry").permissions.push("edit_teams".into())).unwrap();
    apply(&mut world, "root", |raw| user(raw, "terry").enabled = false).unwrap();
    assert_eq!(apply(&mut world, "terry", |raw| raw.team[0].max_queue = 2).unwrap_err().reason, Reason::NotPermitted);
}

#[test]
fn i_a9_who_edits_a_part_is_no_administrator_in_anything_else() {
    let mut world = World::of(SITE);
    let (terry, bob, net) = (world.user("terry"), world.user("bob"), world.team("net"));
    let (key, expires) = (world.secret(), world.now + Span::minutes(5));
    let entry = Entry::Queue(Queue::Team(net));
    world.log_in("bob");
    for command in [
        Command::DeleteTeam { team: net },
        Command::DisableUser { user: bob },
        Command::RemoveSecondFactor { user: bob },
        Command::MakeServiceKey { name: "mine".into(), token: key },
        Command::MakeKey { entry, key, code: true, expires },
        Command::Logout { user: bob },
        Command::PublishNotice { text: "x".into(), lives: None },
        Command::Ask(Ask::of(entry)),
    ] {
        for actor in [Actor::Admin(terry), Actor::Party(Party::Rep(terry))] {
            let answer = world.act(actor, None, command.clone());
            assert_eq!(reason(&answer), Reason::NotPermitted, "{actor:?}: {command:?}");
        }
    }
}

/// What somebody does to a site file.
type Change<'a> = &'a dyn Fn(&mut RawSite);

#[test]
fn p8_7_bu_091_who_administers_automation_edits_its_templates_and_no_other_script() {
    let site = format!(
        "{SITE}[[user]]\nusername = \"otto\"\nautomation = \"administrator\"\n[[user]]\nusername = \"uma\"\nautomation = \"user\"\n\
         [[user]]\nusername = \"both\"\nautomation = \"administrator\"\npermissions = [\"edit_canned_scripts\"]\n\
         [[script]]\ncode = \"auto\"\nautomation = true\ntext = \"true\"\n\
         [[script]]\ncode = \"shared\"\nautomation = true\nteams = [\"net\"]\ntext = \"true\"\n"
    );
    let script = |raw: &mut RawSite, code: &str| raw.script.iter().position(|script| script.code == code).unwrap();
    let edits: [(&str, Change); 7] = [
        ("otto both", &|raw| {
            let at = script(raw, "auto");
            raw.script[at].text = "false".into();
        }),
        ("otto both", &|raw| {
            let (code, text) = ("new".into(), "true".into());
            raw.script.push(RawScript { code, text, automation: true, ..RawScript::default() });
        }),
        ("otto both", &|raw| raw.script.retain(|script| script.code != "auto")),
        ("both", &|raw| {
            let at = script(raw, "shared");
            raw.script[at].text = "false".into();
        }),
        ("both", &|raw| {
            let at = script(raw, "fix");
            raw.script[at].automation = true;
        }),
        ("cas both", &|raw| {
            let at = script(raw, "fix");
            raw.script[at].text = "false".into();
        }),
        ("", &|raw| user(raw, "uma").automation = "administrator".into()),
    ];
    for (at, (may, edit)) in edits.iter().enumerate() {
        for name in ["otto", "both", "cas", "uma", "kim", "root"] {
            let done = apply(&mut World::of(&site), name, edit);
            assert_eq!(done.is_ok(), name == "root" || may.split(' ').any(|it| it == name), "{at} {name}: {done:?}");
        }
    }
    let refusal = apply(&mut World::of(&site), "cas", edits[0].1).unwrap_err();
    assert!(refusal.message.ends_with("script auto text (an administrator of automation)"), "{refusal}");
}
