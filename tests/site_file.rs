//! Site files (contract C1): what is read, what is refused, and with which key and line.

use equipoise::{
    ids::*,
    site::{Algorithm, Origin, Overdue, Problem, Site, UserPermission, raw::RawSite},
    time::Span,
};
use expect_test::{Expect, expect};

const EXAMPLE: &str = include_str!("../config/site.toml");

/// The least that a file must say, and `more`.
fn file(more: &str) -> String {
    format!("[site]\nname = \"T\"\n{more}")
}

fn good(more: &str) -> Site {
    Site::from_text(&file(more), None).unwrap_or_else(|problems| panic!("{}", said(&problems)))
}

fn said(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn bad(text: &str, expected: Expect) {
    expected.assert_eq(&said(&Site::from_text(text, None).expect_err("it is wrong")));
}

#[test]
fn c1_the_example_site_is_sound() {
    let site = Site::from_text(EXAMPLE, None).unwrap_or_else(|problems| panic!("{}", said(&problems)));
    assert_eq!((site.teams.len(), site.users.len(), site.skills.len()), (3, 8, 6));
    let net = &site.teams[&site.codes.teams["net"]];
    assert_eq!(net.algorithm, Algorithm::SkillsLeastBusy);
    assert_eq!(net.overdue, Overdue::Transfer { after: Span::seconds(240), to: site.codes.teams["desk"] });
    assert_eq!(net.members.len(), 4);
}

#[test]
fn c1_everything_left_out_has_the_default_of_the_contract() {
    let site = good("[[team]]\ncode = \"net\"\nalgorithm = \"none\"\n[[user]]\nusername = \"Ana\"\n");
    let team = &site.teams[&site.codes.teams["net"]];
    assert_eq!((team.name.as_str(), team.alert_timeout), ("net", Span::seconds(30)));
    let ana = &site.users[&site.codes.users["ana"]];
    assert_eq!((ana.public_name.as_str(), ana.max_sessions, ana.idle_limit), ("ana", 3, Span::seconds(900)));
    assert!(ana.enabled && ana.permissions.is_empty() && ana.schedule.is_none());
    assert_eq!(site.options.fallback_normal, [true; 3]);
    assert_eq!(site.options.reconnect_grace, Span::seconds(60));
    assert!(site.options.show_rep_names && site.options.offer_timeout_is_rejection);
}

#[test]
fn c1_json_has_the_same_keys() {
    let json = serde_json::to_string(&RawSite::parse(EXAMPLE).unwrap()).unwrap();
    assert_eq!(Site::from_text(&json, None).unwrap(), Site::from_text(EXAMPLE, None).unwrap());
    for text in [EXAMPLE, &json] {
        let (_, at_once) = Site::with_raw(text, None).unwrap();
        assert_eq!(*at_once, RawSite::parse(text).unwrap(), "read key by key it says the same");
    }
    bad(
        r#"{ "site": { "name": "T \" {",
            "colour": [1, {"a": null}], "seats": -1.5e3
          },
          "team": [
            { "code": "a", "algorithm": "none" }, {
              "code": "b", "algorithm": "luck"
            }
          ] }"#,
        expect![[r#"
            line 2: site.colour: unknown key `colour`, expected one of `name`, `timezone`, `seats`
            line 2: site.seats: invalid type: floating point `-1500.0`, expected u32
            line 6: team[1].algorithm: `luck` is unknown: choose one of `none`, `least_busy`, `skills_least_busy`
        "#]],
    );
}

#[test]
fn c1_a_list_where_keys_are_due_says_no_more_than_they_do() {
    let team = |overdue: &str| {
        let text = file(&format!("[[team]]\ncode = \"desk\"\nalgorithm = \"none\"\noverdue = {overdue}\n"));
        (Site::from_text(&text, None).is_ok(), RawSite::parse(&text).is_ok())
    };
    assert_eq!(team("[\"none\", 60, \"\", 5]"), (false, false));
}

#[test]
fn c1_an_export_reads_back_as_the_same_site() {
    let site = Site::from_text(EXAMPLE, None).unwrap();
    assert_eq!(Site::from_text(&site.raw.to_toml(), None).unwrap(), site);
}

#[test]
fn c1_a_site_is_stored_and_read_back_whole() {
    let site = Site::from_text(EXAMPLE, None).unwrap();
    let bytes = rmp_serde::to_vec_named(&site).unwrap();
    assert_eq!(rmp_serde::from_slice::<Site>(&bytes).unwrap(), site);
}

#[test]
fn c1_every_problem_of_reading_is_reported_with_key_and_line() {
    bad(
        r#"[site]
name = 7
colour = "red"
[options]
reconnect_grace_s = -1
two_factor = { timezone = "UTC", sms = true }
[[team]]
code = "net"
algorithm = "none"
alert_timeout_s = "soon"
[[team]]
code = "desk"
algoritm = "none"
[[policy]]
code = "p"
tools = { shell = 1.5 }
[extra]
"#,
        expect![[r#"
            line 2: site.name: invalid type: integer `7`, expected a string
            line 3: site.colour: unknown key `colour`, expected one of `name`, `timezone`, `seats`
            line 5: options.reconnect_grace_s: invalid value: integer `-1`, expected u32
            line 6: options.two_factor.sms: unknown key `sms`, expected one of `required_from`, `timezone`, `min_client`
            line 10: team[0].alert_timeout_s: invalid type: string "soon", expected u32
            line 11: team[1].algorithm: is missing: choose one of `none`, `least_busy`, `skills_least_busy`
            line 13: team[1].algoritm: unknown key `algoritm`, expected one of `code`, `name`, `algorithm`, `alert_timeout_s`, `persistent`, `wrap_up_s`, `defer_after_login_s`, `relax_after_s`, `max_queue`, `overdue`, `greeting`, `hold_message`
            line 16: policy[0].tools.shell: must be a word, or a list of texts
            line 17: extra: unknown key `extra`, expected one of `site`, `options`, `skill`, `team`, `issue`, `user`, `license_pool`, `portal`, `jump_item`, `jump_item_role`, `jump_group`, `policy`, `group_policy`, `technician_group`, `template`, `script`
        "#]],
    );
}

#[test]
fn c1_p8_1_roles_groups_and_places_of_jump_items_name_what_there_is() {
    bad(
        r#"[site]
name = "T"
[[team]]
code = "net"
algorithm = "none"
[[jump_item_role]]
code = "default"
[[jump_item_role]]
code = "operator"
allows = ["start_sessions", "fly", "start_sessions"]
[[user]]
username = "ana"
[user.jump_roles]
personal = "boss"
sistem = "operator"
[[jump_group]]
code = "servers"
members = { ana = "boss", ghost = "operator" }
teams = { net = "" }
[[jump_group]]
code = "Servers"
[[jump_item]]
code = "a"
group = "ghosts"
[[jump_item]]
code = "b"
owner = "nobody"
[[jump_item]]
code = "c"
group = "servers"
owner = "ana"
"#,
        expect![[r#"
            line 7: jump_item_role[0].code: `default` is how a jump group names the user's own default role: choose another code
            line 10: jump_item_role[1].allows[1]: `fly` is unknown: choose one of `start_sessions`
            line 10: jump_item_role[1].allows[2]: `start_sessions` stands twice
            line 14: user[0].jump_roles.personal: there is no jump item role `boss`
            line 15: user[0].jump_roles.sistem: unknown key `sistem`, expected one of `default`, `personal`, `teams`, `system`
            line 18: jump_group[0].members.ana: there is no jump item role `boss`
            line 18: jump_group[0].members.ghost: there is no user `ghost`
            line 19: jump_group[0].teams.net: is missing: name a jump item role, or `default` for the user's own
            line 21: jump_group[1].code: `Servers` stands twice
            line 24: jump_item[0].group: there is no jump group `ghosts`
            line 27: jump_item[1].owner: there is no user `nobody`
            line 31: jump_item[2].owner: an item is in a jump group or on a user's own list, not both
        "#]],
    );
}

#[test]
fn c1_every_problem_of_meaning_is_reported_with_key_and_line() {
    bad(
        r#"[site]
name = ""
timezone = "Europe/Nowhere"
seats = 2000000
[options]
fallback_team = "ghost"
fallback_rules_normal = [2, 2, 5]
get_next_order = "luck"
session_inactivity_s = 5
default_policy = "house"
two_factor = { required_from = "soon" }
[[skill]]
code = "a"
parent = "b"
[[skill]]
code = "b"
parent = "a"
[[team]]
code = "net"
algorithm = "skills_least_busy"
alert_timeout_s = 4
overdue = { action = "transfer", after_s = 10, to = "net" }
[[team]]
code = "NET"
algorithm = "round_robin"
[[team]]
code = "t3"
algorithm = "none"
overdue = { action = "transfer" }
[[issue]]
code = "x"
skills = ["a", "a", "c"]
priority = 101
[[user]]
username = "bad name"
[[user]]
username = "ana"
teams = { net = "boss", ghost = "member" }
max_sessions = 11
idle_limit_s = 42
permissions = ["fly", "support", "support"]
policy_attended = "house"
license_pool = "none"
session_inactivity_s = -2
expires = "tomorrow"
[user.schedule]
timezone = "Mars/Base"
entries = ["monday 8 - friday 17"]
[[portal]]
code = "main"
hosts = ["help.example.com", "Help.Example.com", "no host"]
no_rep_url = "javascript:alert(1)"
[[jump_item]]
code = "srv"
method = "telepathy"
[[policy]]
code = "house"
tools = { shell = "maybe", teleport = "yes", customer_paths = ["home", "/a/../b"], screen = true }
prompt = { mode = "always", tools = ["shell", "teleport"], timeout_s = 0, answer = "perhaps" }
[[group_policy]]
code = "g"
members = ["nobody"]
[group_policy.permissions]
state = "perhaps"
[[technician_group]]
code = "t"
parent = "t"
members = ["ana"]
tools = { shell = "maybe", termination = "allow" }
locked = ["teleport"]
min_client = "newest"
[[technician_group]]
code = "u"
members = ["ana"]
[[template]]
code = "n"
group = "ghosts"
settings = { max_sessions = 0 }
"#,
        expect![[r#"
            line 2: site.name: is missing
            line 3: site.timezone: `Europe/Nowhere` is not a time zone such as `Europe/Berlin`
            line 4: site.seats: 2000000 is not from 0 to 1000000
            line 6: options.fallback_team: there is no team `ghost`
            line 7: options.fallback_rules_normal[1]: 2 stands twice
            line 7: options.fallback_rules_normal[2]: 5 is not one of 2, 3, 4 (R8.2)
            line 8: options.get_next_order: `luck` is unknown: choose one of `age`, `priority`
            line 9: options.session_inactivity_s: 5 is neither 0 nor from 300 to 86400
            line 11: options.two_factor.required_from: `soon` is not a date such as `2026-03-02`
            line 14: skill[0].parent: `a` is below itself
            line 17: skill[1].parent: `b` is below itself
            line 21: team[0].alert_timeout_s: 4 is not from 5 to 600
            line 22: team[0].overdue.to: a queue cannot overflow into itself
            line 24: team[1].code: `NET` stands twice
            line 25: team[1].algorithm: `round_robin` is unknown: choose one of `none`, `least_busy`, `skills_least_busy`
            line 29: team[2].overdue.after_s: is missing: after how many seconds?
            line 29: team[2].overdue.to: is missing: name a team
            line 30: issue[0].team: is missing: name a team
            line 32: issue[0].skills[1]: `a` stands twice
            line 32: issue[0].skills[2]: there is no skill `c`
            line 33: issue[0].priority: 101 is not from 0 to 100
            line 35: user[0].username: `bad name` must begin with a letter or digit and have only letters, digits, `_`, `.` and `-`, 64 at most
            line 38: user[1].teams.ghost: there is no team `ghost`
            line 38: user[1].teams.net: `boss` is unknown: choose one of `member`, `lead`, `manager`
            line 39: user[1].max_sessions: 11 is not from 1 to 10
            line 40: user[1].idle_limit_s: 42 is not one of 0, 180, 300, 600, 900, 1200, 1800, 2700, 3600 (R3.6)
            line 41: user[1].permissions[0]: there is no permission `fly`
            line 41: user[1].permissions[2]: `support` stands twice
            line 42: user[1].policy_attended: `house` is the site's default policy, which cannot be picked (P2.2)
            line 43: user[1].license_pool: there is no licence pool `none`
            line 44: user[1].session_inactivity_s: -2: only -1 is below 0, for the site's value
            line 45: user[1].expires: `tomorrow` is not a moment such as `2026-03-02T08:00:00Z`
            line 47: user[1].schedule.timezone: `Mars/Base` is not a time zone such as `Europe/Berlin`
            line 48: user[1].schedule.entries[0]: `monday 8` is not a day and a time such as `mon 08:00`
            line 51: portal[0].hosts[1]: `help.example.com` belongs to a portal already
            line 51: portal[0].hosts[2]: `no host` is not a host name
            line 52: portal[0].no_rep_url: must begin with `https://` or `http://`
            line 55: jump_item[0].method: `telepathy` is unknown: choose one of `jump_client`, `jump_local`, `jump_local_vnc`, `jump_local_rdp`, `jump_remote`, `jump_remote_vnc`, `jump_remote_rdp`, `jump_shell`, `jump_vpro`
            line 58: policy[0].tools.customer_paths[0]: `home` is not an absolute path
            line 58: policy[0].tools.customer_paths[1]: `/a/../b` has `.` or `..` in it (P5)
            line 58: policy[0].tools.screen: must be one of `none`, `view`, `control`
            line 58: policy[0].tools.shell: `maybe` is not one of `no`, `yes`
            line 58: policy[0].tools.teleport: there is no such tool
            line 59: policy[0].prompt.tools[1]: there is no tool `teleport`
            line 59: policy[0].prompt.tools: belongs to the mode `per_tool` only
            line 59: policy[0].prompt.timeout_s: 0 is not from 1 to 3600
            line 59: policy[0].prompt.answer: `perhaps` is unknown: choose one of `allow`, `deny`
            line 62: group_policy[0].members[0]: there is no user `nobody`
            line 64: group_policy[0].permissions.state: `perhaps` is unknown: choose one of `not_defined`, `defined`, `final`
            line 67: technician_group[0].parent: `t` is below itself
            line 69: technician_group[0].tools.shell: `maybe` is neither `allow`, `deny` nor a word of the tool
            line 69: technician_group[0].tools.termination: `termination` cannot be allowed or denied
            line 70: technician_group[0].locked[0]: there is no tool `teleport`
            line 71: technician_group[0].min_client: `newest` is not a version such as `1.4.0`
            line 74: technician_group[1].members: `ana` is a member of `t` already
            line 77: template[0].group: there is no technician group `ghosts`
            line 78: template[0].settings.max_sessions: 0 is not from 1 to 10
        "#]],
    );
}

#[test]
fn lr_028_one_answer_for_all_is_not_one_for_each_action() {
    let file = |rule: &str| format!("[site]\nname = \"s\"\n[[policy]]\ncode = \"a\"\nprompt = {{ {rule} }}\n");
    bad(
        &file("mode = \"always\", once = true, each = true"),
        expect![[r#"
            line 5: policy[0].prompt.each: asks at each action, and `once` asks for all of them at once
        "#]],
    );
    bad(
        &file("mode = \"per_tool\", tools = [\"shell\"], single = true, each = true"),
        expect![[r#"
            line 5: policy[0].prompt.each: asks at each action, and `single` asks for all of them at once
        "#]],
    );
    for sound in ["each = true", "mode = \"always\", once = true, each = false", "mode = \"never\", each = true"] {
        assert!(Site::from_text(&file(sound), None).is_ok(), "{sound}");
    }
}

#[test]
fn lg_002_the_policy_of_co_browse_sessions_is_one_of_the_file() {
    bad(
        "[site]\nname = \"s\"\n[options]\ncobrowse_policy = \"pages\"\n",
        expect![[r#"
        line 4: options.cobrowse_policy: there is no policy `pages`
    "#]],
    );
}

#[test]
fn lg_037_a_page_of_the_start_is_of_the_web_and_of_a_listed_domain() {
    let file = |url: &str, own: &str, default: &str| {
        format!(
            "[site]\nname = \"s\"\n[options]\ndefault_policy = \"house\"\n[[portal]]\ncode = \"web\"\npolicy = \"own\"\n\
             start_url = \"{url}\"\n[[policy]]\ncode = \"own\"\ntools = {{ {own} }}\n[[policy]]\ncode = \"house\"\n\
             tools = {{ {default} }}\n"
        )
    };
    let (web, org) = ("cobrowse_domains = [\"example.com\"]", "cobrowse_domains = [\"example.org\"]");
    bad(
        &file("javascript:alert(1)", "", ""),
        expect![[r#"
            line 8: portal[0].start_url: must be an address that begins with https:// or http://, without a password
        "#]],
    );
    bad(
        &file("https://10.0.0.1/", "", ""),
        expect![[r#"
            line 8: portal[0].start_url: must be an address that everybody can reach, not one of a private network
        "#]],
    );
    let elsewhere = || {
        expect![[r#"
            line 8: portal[0].start_url: `www.example.org` is of no domain that `cobrowse_domains` lists (P3.32)
        "#]]
    };
    bad(&file("https://www.example.org/a", web, org), elsewhere());
    bad(&file("https://www.example.org/a", "", web), elsewhere());
    for (own, default) in
        [(org, web), ("", org), ("", ""), ("cobrowse_domains = []", web), ("cobrowse_domains = \"any\"", web)]
    {
        assert!(Site::from_text(&file("https://www.example.org/a", own, default), None).is_ok(), "{own} {default}");
    }
}

#[test]
fn c1_broken_text_is_reported_with_its_line() {
    bad(
        "[site]\nname = \"T\"\nseats = = 3\n",
        expect![[r#"
        line 3: extra `=`, expected nothing
        line 3: unexpected key or value, expected newline, `#`
    "#]],
    );
    bad(
        "{\"site\":\n{\"name\": }}",
        expect![[r#"
        line 2: not valid JSON: expected value at line 2 column 10
    "#]],
    );
}

#[test]
fn c1_a_problem_is_one_even_if_it_looks_like_more() {
    bad(
        "[site]\nname = \"T\"\n[[team]]\ncode = \"a\"\nalgorithm = 1\n",
        expect![[r#"
        line 5: team[0].algorithm: invalid type: integer `1`, expected a string
    "#]],
    );
}

#[test]
fn c1_a_code_keeps_its_id_and_what_is_deleted_leaves_a_hole() {
    let team = |codes: &[&str]| -> String {
        codes.iter().map(|code| format!("[[team]]\ncode = \"{code}\"\nalgorithm = \"none\"\n")).collect()
    };
    let first = good(&team(&["a", "b", "c"]));
    let second = Site::from_text(&file(&team(&["c", "a", "d"])), Some(&first)).unwrap();
    assert_eq!(second.codes.teams["a"], first.codes.teams["a"]);
    assert_eq!(second.codes.teams["c"], first.codes.teams["c"]);
    assert_eq!(second.codes.teams["d"], TeamId(4));
    let third = Site::from_text(&file(&team(&["b"])), Some(&second)).unwrap();
    assert_eq!(third.codes.teams["b"], TeamId(5), "an id is never used again");
}

#[test]
fn r4_4_a_skill_ranks_as_its_root() {
    let site = Site::from_text(EXAMPLE, None).unwrap();
    let rank = |code: &str| site.skills[&site.codes.skills[code]].rank;
    assert_eq!([rank("network"), rank("vpn"), rank("wifi")], [0, 0, 0]);
    assert_eq!([rank("antivirus"), rank("norton"), rank("billing")], [1, 1, 2]);
}

const GROUPS: &str = r#"
[[user]]
username = "ana"
permissions = ["reports_all"]
max_sessions = 7
[[policy]]
code = "p"
[[group_policy]]
code = "high"
members = ["ana"]
permissions = { state = "STATE", values = ["support"] }
limits = { state = "defined", max_sessions = 2 }
[[group_policy]]
code = "low"
members = ["ana"]
permissions = { state = "defined", values = ["get_next"] }
session = { state = "defined", policy_attended = "p" }
[[group_policy]]
code = "other"
permissions = { state = "final", values = ["opt_out"] }
"#;

#[test]
fn p2_2_a_later_block_overrides_an_earlier_one_unless_that_was_final() {
    let permissions = |state: &str| {
        let site = good(&GROUPS.replace("STATE", state));
        let ana = site.users[&site.codes.users["ana"]].clone();
        (ana.permissions.into_iter().collect::<Vec<_>>(), ana.permissions_from)
    };
    assert_eq!(permissions("defined"), (vec![UserPermission::GetNext], Origin::GroupPolicy(1)));
    assert_eq!(permissions("final"), (vec![UserPermission::Support], Origin::GroupPolicy(0)));
    assert_eq!(permissions("not_defined"), (vec![UserPermission::GetNext], Origin::GroupPolicy(1)));
}

#[test]
fn p2_2_a_group_policy_wins_over_the_users_own_value_block_by_block() {
    let site = good(&GROUPS.replace("STATE", "not_defined"));
    let ana = &site.users[&site.codes.users["ana"]];
    assert_eq!((ana.max_sessions, ana.limits_from), (2, Origin::GroupPolicy(0)));
    assert_eq!(ana.policy_attended, Some(site.codes.policies["p"]));
    assert_eq!(ana.policy_unattended, ana.policy_attended, "an empty unattended policy is the attended one");
    let alone = good("[[user]]\nusername = \"ana\"\nmax_sessions = 7\n");
    assert_eq!(alone.users[&alone.codes.users["ana"]].limits_from, Origin::User);
}

#[test]
fn p2_3_members_of_a_disabled_group_or_below_it_are_disabled() {
    let site = good(
        "[[user]]\nusername = \"ana\"\n[[user]]\nusername = \"ben\"\n\
         [[technician_group]]\ncode = \"top\"\nenabled = false\n\
         [[technician_group]]\ncode = \"sub\"\nparent = \"top\"\nmembers = [\"ana\"]\n",
    );
    assert!(!site.users[&site.codes.users["ana"]].enabled);
    assert!(site.users[&site.codes.users["ben"]].enabled);
}

#[test]
fn p2_4_a_template_is_copied_onto_those_who_join_later_and_changing_it_changes_nobody() {
    let with = |members: &str, sessions: u32, own: &str| {
        file(&format!(
            "[[user]]\nusername = \"ana\"\n[[user]]\nusername = \"ben\"\n{own}\
             [[technician_group]]\ncode = \"new\"\nmembers = [{members}]\n\
             [[template]]\ncode = \"t\"\ngroup = \"new\"\nsettings = {{ max_sessions = {sessions}, idle_limit_s = 600 }}\n"
        ))
    };
    let max = |site: &Site, user: &str| site.users[&site.codes.users[user]].max_sessions;
    let before = Site::from_text(&with("\"ana\"", 2, ""), None).unwrap();
    assert_eq!(max(&before, "ana"), 3, "ana was there when the template was set");
    let after = Site::from_text(&with("\"ana\", \"ben\"", 5, "max_sessions = 3\n"), Some(&before)).unwrap();
    assert_eq!((max(&after, "ana"), max(&after, "ben")), (3, 2));
    let exported = after.raw.to_toml();
    assert_eq!(max(&Site::from_text(&exported, Some(&after)).unwrap(), "ben"), 2, "the copy stays");
    let own = Site::from_text(&with("\"ana\", \"ben\"", 5, "max_sessions = 9\n"), Some(&before)).unwrap();
    assert_eq!(max(&own, "ben"), 9, "what the file says of the user stays");
}

#[test]
fn r3_7_a_sites_own_status_has_a_code_of_its_own() {
    let statuses = |text: &str| Site::from_text(&file(&format!("[options]\nstatuses = {{ {text} }}\n")), None);
    assert_eq!(statuses("lunch = \"away\"").unwrap().options.statuses.len(), 1);
    for text in ["available = \"away\"", "\"Out of office\" = \"busy\"", "lunch = \"gone\"", "lunch = { away = {} }"] {
        assert!(statuses(text).unwrap_err()[0].key.starts_with("options.statuses."), "{text}");
    }
}

#[test]
fn p8_7_bu_088_roles_in_automation_and_templates_are_checked() {
    let text = file(
        "[[user]]\nusername = \"ana\"\nautomation = \"user\"\n[[user]]\nusername = \"ben\"\n[[user]]\nusername = \"kim\"\n\
         automation = \"user\"\n\
         [[group_policy]]\ncode = \"g\"\nmembers = [\"kim\"]\npermissions = { state = \"final\", automation = \"administrator\" }\n\
         [[script]]\ncode = \"Tidy\"\nautomation = true\ntext = \"x\"\n\
         [[script]]\ncode = \"log\"\nautomation = true\nname = \"Logs\"\ndescription = \"d\"\ntimeout_s = 5\ntext = \"x\"\n",
    );
    let site = Site::from_text(&text, None).unwrap();
    let role = |name: &str| site.users[&site.codes.users[name]].automation.word().name();
    assert_eq!([role("ana"), role("ben"), role("kim")], ["user", "not_allowed", "administrator"]);
    let template = |code: &str| site.scripts[code].template.clone().unwrap();
    assert_eq!((template("tidy").name.as_str(), template("tidy").timeout.0), ("tidy", 600_000));
    assert_eq!((template("log").name.as_str(), template("log").timeout.0), ("Logs", 5_000));
    let raw = RawSite::parse(&text).unwrap();
    assert_eq!(RawSite::parse(&raw.to_toml()).unwrap(), raw);
    let wrong = "[[user]]\nusername = \"ana\"\nautomation = \"all\"\n\
                 [[script]]\ncode = \"a\"\nautomation = true\ntimeout_s = 0\ntext = \"x\"\n\
                 [[script]]\ncode = \"b\"\ntimeout_s = 5\ntext = \"x\"\n";
    bad(
        &file(wrong),
        expect![[r#"
            line 5: user[0].automation: `all` is unknown: choose one of `not_allowed`, `user`, `administrator`
            line 9: script[0].timeout_s: is 1 to 86400 seconds
            line 13: script[1].timeout_s: is for jobs: say `automation = true`, or leave it out
        "#]],
    );
}

#[test]
fn p3_13_scripts_are_checked_and_belong_to_teams() {
    let team = "[[team]]\ncode = \"net\"\nalgorithm = \"none\"\n";
    let site = good(&format!("{team}[[script]]\ncode = \"Tidy\"\nteams = [\"net\"]\ntext = \"df -h\\n\"\n"));
    assert_eq!(site.scripts["tidy"].text, "df -h\n");
    assert!(site.scripts["tidy"].teams.contains(&site.codes.teams["net"]));
    let wrong = "[[script]]\ncode = \"a\"\nteams = [\"none\"]\n\
                 [[script]]\ncode = \"A\"\ntext = \"x\\u001b\"\n[[script]]\ncode = \"?\"\ntext = \"x\"\n";
    bad(
        &file(wrong),
        expect![[r#"
            line 3: script[0].text: is missing: what the script does
            line 5: script[0].teams[0]: there is no team `none`
            line 7: script[1].code: `A` stands twice
            line 8: script[1].text: is longer than 16384 bytes or has control characters
            line 10: script[2].code: must begin with a letter or digit and have only letters, digits, `_`, `.` and `-`, 64 at most
        "#]],
    );
}

#[test]
fn ra_013_fields_that_no_session_can_have_are_named() {
    bad(
        r#"[site]
name = "desk"
[options]
end_fields = ["company", "two words"]
"#,
        expect![[r#"
            line 4: options.end_fields[1]: `two words` is no field: 1 to 64 letters, digits, `_` or `-`
        "#]],
    );
}
