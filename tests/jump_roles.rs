//! Who may start sessions on a jump item (P8, BU-083 to BU-087): what the site's roles, groups and lists say, beside a
//! plain model of the rules; and what is said of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use equipoise::{
    engine::{Actor, Command, Engine, Outcome, Reason, Request},
    ids::{JumpItemId, Party, SecretHash, UserId},
    policy::{
        Situation, Tool,
        explain::{Query, explain, explain_against, situation},
        grant,
        jumps::{By, held},
    },
    site::{Site, diff, raw::RawSite},
    time::Time,
    wire::control::ClientInfo,
};
use std::collections::BTreeMap;

#[path = "simulation/random.rs"]
mod random;
use random::Random;

const USERS: [&str; 5] = ["ana", "ben", "cleo", "dora", "eli"];
const TEAMS: [&str; 3] = ["net", "db", "calm"];
const RANKS: [&str; 3] = ["member", "lead", "manager"];
const ROLES: [&str; 3] = ["operator", "viewer", "guest"];

/// What one history of the site file says, before the product reads it.
#[derive(Default)]
struct Plain {
    starts: BTreeMap<String, bool>,
    /// User to team to rank.
    ranks: BTreeMap<String, BTreeMap<String, usize>>,
    /// User to the four roles of their own.
    own: BTreeMap<String, [Option<String>; 4]>,
    /// Group to whom, named as in the file, to role or `default`.
    groups: BTreeMap<String, [BTreeMap<String, String>; 2]>,
    /// Item to where it stands.
    items: BTreeMap<String, (&'static str, String)>,
}

impl Plain {
    fn draw(dice: &mut Random) -> Self {
        let mut plain = Self::default();
        for role in ROLES {
            plain.starts.insert(role.to_owned(), dice.once_in(2));
        }
        let role = |dice: &mut Random| dice.pick(&ROLES).to_owned();
        let perhaps = |dice: &mut Random| (!dice.once_in(3)).then(|| role(dice));
        for user in USERS {
            let mut ranks = BTreeMap::new();
            for team in TEAMS {
                if dice.once_in(2) {
                    ranks.insert(team.to_owned(), dice.below(3));
                }
            }
            plain.ranks.insert(user.to_owned(), ranks);
            plain.own.insert(user.to_owned(), [perhaps(dice), perhaps(dice), perhaps(dice), perhaps(dice)]);
        }
        for group in ["servers", "desks"] {
            let mut lists = [BTreeMap::new(), BTreeMap::new()];
            for (list, names) in lists.iter_mut().zip([&USERS[..], &TEAMS[..]]) {
                for name in names {
                    match dice.below(4) {
                        0 => drop(list.insert((*name).to_owned(), "default".to_owned())),
                        1 => drop(list.insert((*name).to_owned(), role(dice))),
                        _ => {}
                    }
                }
            }
            plain.groups.insert(group.to_owned(), lists);
        }
        for item in 0..6 {
            let place = match dice.below(5) {
                0 => ("", String::new()),
                1 | 2 => ("group", dice.pick(&["servers", "desks"]).to_owned()),
                _ => ("owner", dice.pick(&USERS).to_owned()),
            };
            plain.items.insert(format!("srv-{item}"), place);
        }
        plain
    }

    fn file(&self) -> String {
        let map = |map: &BTreeMap<String, String>| {
            let entries: Vec<String> = map.iter().map(|(name, role)| format!("{name} = \"{role}\"")).collect();
            format!("{{ {} }}", entries.join(", "))
        };
        let mut text = "[site]\nname = \"T\"\n".to_owned();
        for team in TEAMS {
            text += &format!("[[team]]\ncode = \"{team}\"\nalgorithm = \"none\"\n");
        }
        for (role, starts) in &self.starts {
            let allows = if *starts { "\"start_sessions\"" } else { "" };
            text += &format!("[[jump_item_role]]\ncode = \"{role}\"\nallows = [{allows}]\n");
        }
        for user in USERS {
            let ranks = &self.ranks[user];
            let teams = ranks.iter().map(|(team, rank)| (team.clone(), RANKS[*rank].to_owned())).collect();
            let own = ["default", "personal", "teams", "system"].into_iter().zip(&self.own[user]);
            let own = own.map(|(name, role)| (name.to_owned(), role.clone().unwrap_or_default())).collect();
            text += &format!(
                "[[user]]\nusername = \"{user}\"\nteams = {}\njump_roles = {}\npermissions = [\"support\", \"jump_client\"]\n",
                map(&teams),
                map(&own)
            );
        }
        for (group, [members, teams]) in &self.groups {
            text +=
                &format!("[[jump_group]]\ncode = \"{group}\"\nmembers = {}\nteams = {}\n", map(members), map(teams));
        }
        for (item, (place, whose)) in &self.items {
            text += &format!("[[jump_item]]\ncode = \"{item}\"\n");
            if !place.is_empty() {
                text += &format!("{place} = \"{whose}\"\n");
            }
        }
        text
    }

    fn lets_in(&self, role: &Option<String>) -> bool {
        role.as_ref().is_some_and(|role| self.starts[role])
    }

    /// The rules as one reads them: may this user start, by which of them, and with which role?
    fn says(&self, user: &str, item: &str) -> (bool, &'static str, Option<String>) {
        let [default, personal, teams_role, system] = &self.own[user];
        let (place, whose) = &self.items[item];
        let answer = |rule, role: &Option<String>| (self.lets_in(role), rule, role.clone());
        if place.is_empty() {
            return (true, "", None);
        }
        if *place == "owner" {
            if whose == user {
                return answer("P8.3", personal);
            }
            let theirs = &self.ranks[whose];
            for (team, rank) in &self.ranks[user] {
                if theirs.get(team).is_some_and(|their| rank > their) {
                    return answer("P8.4", teams_role);
                }
            }
            return answer("P8.5", system);
        }
        let [members, teams] = &self.groups[whose];
        let by_word = |word: &String| match word.as_str() {
            "default" => answer("P8.2", default),
            role => answer("P8.1", &Some(role.to_owned())),
        };
        if let Some(word) = members.get(user) {
            return by_word(word);
        }
        let mut of_teams = Vec::new();
        for team in TEAMS {
            if self.ranks[user].contains_key(team)
                && let Some(word) = teams.get(team)
            {
                of_teams.push(by_word(word));
            }
        }
        let best = of_teams.iter().find(|(starts, ..)| *starts).or(of_teams.first());
        best.cloned().unwrap_or_else(|| answer("P8.5", system))
    }
}

#[test]
fn p8_1_p8_2_p8_3_p8_4_p8_5_every_role_on_every_item_is_what_the_rules_read_aloud_say() {
    let mut seen: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for seed in 0..400 {
        let mut dice = Random(seed);
        let plain = Plain::draw(&mut dice);
        let site = Site::from_text(&plain.file(), None).unwrap_or_else(|it| panic!("seed {seed}: {it:?}"));
        for user in USERS {
            for (code, item) in &site.codes.jump_items {
                let (starts, rule, role) = plain.says(user, code);
                let found = held(&site, site.codes.users[user], *item);
                let role_found = found.role(&site).map(|role| role.code.clone());
                assert_eq!(
                    (found.starts(&site), found.by.rule(), role_found),
                    (starts, rule, role),
                    "seed {seed}: {user} on {code}"
                );
                *seen.entry((rule, starts)).or_default() += 1;
                let query = Query { user: user.to_owned(), jump_item: Some(code.clone()), ..Query::default() };
                assert_eq!(explain(&site, &query).unwrap().start.unwrap().allowed, starts, "seed {seed}");
            }
        }
    }
    assert_eq!(seen.len(), 11, "each rule lets in and refuses: {seen:?}");
}

/// P8 in the engine: who may start, who sees, and what becomes of a jump, for each user and item of a drawn site, with an
/// endpoint at some of the items.
#[test]
fn p8_1_r2_3_what_may_be_started_is_seen_and_is_what_a_jump_does_where_an_endpoint_stands_by() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..60 {
        let mut dice = Random(seed);
        let plain = Plain::draw(&mut dice);
        let mut engine = Engine::new(Site::from_text(&plain.file(), None).unwrap());
        let (mut events, mut tokens) = (Vec::new(), 0u32);
        let mut token = || {
            tokens += 1;
            SecretHash::of(&tokens.to_be_bytes())
        };
        let mut act = |engine: &mut Engine, actor, command| {
            engine.handle(Time(1), &Request { actor, id: None, command }, &mut events)
        };
        let codes = engine.state().site.codes.clone();
        for item in codes.jump_items.values().copied() {
            let key = token();
            act(&mut engine, Actor::System, Command::MakeItemKey { item, key }).unwrap();
            if dice.once_in(2) {
                let stand_by = Command::StandBy { key, client: ClientInfo::default(), resume: token() };
                act(&mut engine, Actor::System, stand_by).unwrap();
            }
        }
        for user in codes.users.values().copied() {
            let login = Command::Login { user, version: 0, resume: token(), client: ClientInfo::default() };
            act(&mut engine, Actor::System, login).unwrap();
        }
        for (user_code, user) in &codes.users {
            let rep = Actor::Party(Party::Rep(*user));
            for (code, item) in &codes.jump_items {
                let may = engine.state().may_jump(*user, *item);
                assert_eq!(may.is_ok(), plain.says(user_code, code).0, "seed {seed}: {user_code} on {code}");
                assert!(may.is_err() || engine.state().sees_item(*user, *item), "seed {seed}: {user_code} on {code}");
                let stands = engine.state().stands_by(*item);
                let jump = Command::Jump { item: *item, join: None, by_endpoint: true };
                let name = match (act(&mut engine, rep, jump), may) {
                    (Ok(Outcome::Session(session)), Ok(())) if stands => {
                        act(&mut engine, rep, Command::End { session }).unwrap();
                        "started"
                    }
                    (Err(refusal), Ok(())) if !stands => {
                        assert_eq!(refusal.reason, Reason::NotStandingBy, "seed {seed}: {user_code} on {code}");
                        "away"
                    }
                    (Err(refusal), Err(said)) => {
                        assert_eq!(refusal, said, "seed {seed}: {user_code} on {code}");
                        "refused"
                    }
                    (done, may) => panic!("seed {seed}: {user_code} on {code}: {may:?}, and it came to {done:?}"),
                };
                *met.entry(name).or_default() += 1;
            }
        }
    }
    assert_eq!(met.len(), 3, "{met:?}");
}

const SITE: &str = r#"
[site]
name = "T"
[options]
default_policy = "house"
[[team]]
code = "net"
algorithm = "none"
[[team]]
code = "db"
algorithm = "none"
[[jump_item_role]]
code = "operator"
allows = ["start_sessions"]
[[jump_item_role]]
code = "viewer"
[[user]]
username = "ana"
teams = { net = "member" }
permissions = ["jump_client"]
jump_roles = { default = "operator", personal = "operator" }
[[user]]
username = "lea"
teams = { net = "lead", db = "member" }
permissions = ["jump_client"]
jump_roles = { teams = "operator", system = "viewer" }
[[user]]
username = "max"
teams = { net = "manager", db = "lead" }
jump_roles = { teams = "operator" }
[[user]]
username = "root"
permissions = ["jump_client"]
jump_roles = { system = "operator" }
[[jump_group]]
code = "servers"
members = { ana = "default", lea = "viewer" }
teams = { net = "operator" }
[[jump_item]]
code = "srv"
group = "servers"
[[jump_item]]
code = "own"
owner = "ana"
[[jump_item]]
code = "leas"
owner = "lea"
[[jump_item]]
code = "free"
[[policy]]
code = "house"
tools = { canned_scripts = "yes", script_deploy = "yes", embedded_scripts = "yes" }
"#;

fn site(text: &str) -> Site {
    Site::from_text(text, None).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn who(site: &Site, user: &str, item: &str) -> (UserId, JumpItemId) {
    (site.codes.users[user], site.codes.jump_items[item])
}

/// The rule, whether it lets in, and the layer.
fn said(site: &Site, user: &str, item: &str) -> String {
    let (user_id, item_id) = who(site, user, item);
    let found = held(site, user_id, item_id);
    let verdict = if found.starts(site) { "yes" } else { "no" };
    format!("{} {verdict} {}", found.by.rule(), found.by.source(user_id).name(site))
}

#[test]
fn p8_1_bu_083_a_member_has_the_role_that_the_group_says_and_a_name_goes_before_a_team() {
    let site = site(SITE);
    assert_eq!(said(&site, "lea", "srv"), "P8.1 no jump_group:servers");
    assert_eq!(said(&site, "max", "srv"), "P8.1 yes jump_group:servers");
}

#[test]
fn p8_2_bu_084_the_default_role_is_used_where_a_group_says_so_and_nowhere_else() {
    let site = site(SITE);
    assert_eq!(said(&site, "ana", "srv"), "P8.2 yes user:ana");
    assert_eq!(said(&site, "ana", "leas"), "P8.5 no user:ana", "it helps on nobody's list");
    let named = self::site(&SITE.replace("ana = \"default\"", "ana = \"viewer\""));
    assert_eq!(said(&named, "ana", "srv"), "P8.1 no jump_group:servers");
}

#[test]
fn p8_3_bu_085_the_personal_role_is_for_the_own_list() {
    let site = site(SITE);
    assert_eq!(said(&site, "ana", "own"), "P8.3 yes user:ana");
    assert_eq!(said(&site, "lea", "leas"), "P8.3 no user:lea", "she has none");
    let without = self::site(&SITE.replace("personal = \"operator\"", "system = \"operator\""));
    assert_eq!(said(&without, "ana", "own"), "P8.3 no user:ana", "the system role is not for it");
}

#[test]
fn p8_4_bu_086_the_teams_role_is_for_items_of_who_is_lower_in_a_team_of_both() {
    let site = site(SITE);
    assert_eq!(said(&site, "lea", "own"), "P8.4 yes user:lea", "lead over member");
    assert_eq!(said(&site, "max", "own"), "P8.4 yes user:max", "manager over member");
    assert_eq!(said(&site, "max", "leas"), "P8.4 yes user:max", "in either team");
    assert_eq!(said(&site, "ana", "leas"), "P8.5 no user:ana", "not the other way");
    let equals = self::site(&SITE.replace("net = \"lead\"", "net = \"member\""));
    assert_eq!(said(&equals, "lea", "own"), "P8.5 no user:lea", "nor among equals");
    let elsewhere = self::site(&SITE.replace("net = \"lead\", db", "db"));
    assert_eq!(said(&elsewhere, "lea", "own"), "P8.5 no user:lea", "a role in one team gives nothing in another");
}

#[test]
fn p8_5_bu_087_the_system_role_is_for_all_other_items_and_no_access_where_it_is_not_set() {
    let site = site(SITE);
    assert_eq!(said(&site, "root", "srv"), "P8.5 yes user:root", "a group they are not in");
    assert_eq!(said(&site, "root", "own"), "P8.5 yes user:root", "the list of somebody in no team of theirs");
    let none = self::site(&SITE.replace("system = \"operator\"", ""));
    assert_eq!(said(&none, "root", "srv"), "P8.5 no user:root");
}

#[test]
fn p8_1_an_item_in_no_group_and_on_nobodys_list_asks_for_the_methods_permission_alone() {
    let site = site(SITE);
    for user in ["ana", "lea", "max", "root"] {
        assert_eq!(said(&site, user, "free"), " yes builtin");
        let (user_id, item) = who(&site, user, "free");
        assert_eq!(held(&site, user_id, item).by, By::Nothing);
    }
}

fn script_tools(site: &Site, user: &str, item: &str) -> Vec<(bool, String)> {
    let query = Query { user: user.to_owned(), jump_item: Some(item.to_owned()), ..Query::default() };
    let situation: Situation = situation(site, &query).unwrap();
    let permissions = grant(site, &situation);
    [Tool::CannedScripts, Tool::ScriptDeploy, Tool::EmbeddedScripts]
        .into_iter()
        .map(|tool| (permissions.any(tool), permissions.get(tool).source.name(site)))
        .collect()
}

#[test]
fn p8_6_bu_090_scripts_run_on_items_where_the_role_starts_sessions() {
    let site = site(SITE);
    assert_eq!(script_tools(&site, "ana", "srv"), vec![(true, "default".to_owned()); 3]);
    assert_eq!(script_tools(&site, "lea", "srv"), vec![(false, "jump_group:servers".to_owned()); 3]);
    assert_eq!(script_tools(&site, "ana", "leas"), vec![(false, "user:ana".to_owned()); 3]);
    assert_eq!(script_tools(&site, "ana", "free"), vec![(true, "default".to_owned()); 3]);
    // What was compiled for one is not taken for another.
    let basis = |user: &str, item: &str| {
        let query = Query { user: user.to_owned(), jump_item: Some(item.to_owned()), ..Query::default() };
        situation(&site, &query).unwrap().basis(&site)
    };
    assert_ne!(basis("ana", "srv"), basis("lea", "srv"));
    assert_eq!(basis("ana", "leas"), basis("lea", "leas"), "each has it from their own account");
}

#[test]
fn p6_4_p3_25_lr_048_explain_says_whether_a_session_may_be_started_on_the_item_and_who_says_so() {
    let site = site(SITE);
    let start = |user: &str, item: &str| {
        let query = Query { user: user.to_owned(), jump_item: Some(item.to_owned()), ..Query::default() };
        let said = explain(&site, &query).unwrap();
        let text = said.to_string();
        let line = text.lines().find(|line| line.starts_with("a session on it")).unwrap().to_owned();
        (serde_json::to_value(said.start.unwrap()).unwrap(), line)
    };
    let (json, line) = start("ana", "srv");
    assert_eq!(
        json,
        serde_json::json!({"allowed": true, "method": "jump_client", "method_allowed": true, "role": "operator",
                           "source": "user:ana"})
    );
    assert_eq!(line, "a session on it may be started: the default role of ana: role operator [P8.2]");
    let (json, line) = start("lea", "srv");
    assert_eq!((&json["allowed"], &json["source"]), (&false.into(), &"jump_group:servers".into()));
    assert_eq!(line, "a session on it may not be started: jump group servers: role viewer [P8.1]");
    assert_eq!(start("ana", "leas").1, "a session on it may not be started: the system role of ana: no access [P8.5]");
    let (json, line) = start("max", "srv");
    assert_eq!(
        (&json["allowed"], &json["method_allowed"], &json["source"]),
        (&false.into(), &false.into(), &"user:max".into())
    );
    assert_eq!(line, "a session on it may not be started: the permission jump_client is missing");
    assert_eq!(start("ana", "free").1, "a session on it may be started: by the permission jump_client");
    assert!(explain(&site, &Query { user: "ana".into(), ..Query::default() }).unwrap().start.is_none());

    let local = SITE.replace("code = \"srv\"\n", "code = \"srv\"\nmethod = \"jump_local\"\n");
    let local = local.replace("\"jump_client\"", "\"jump_local\"");
    let on_lan = |text: &str| {
        let query = Query { user: "ana".into(), jump_item: Some("srv".into()), ..Query::default() };
        let said = explain(&self::site(text), &query).unwrap();
        let line = said.to_string().lines().find(|line| line.starts_with("a session on it")).unwrap().to_owned();
        (said.start.unwrap().source, line)
    };
    let (source, line) = on_lan(&local);
    assert_eq!(source, "builtin");
    assert_eq!(line, "a session on it may not be started: connect_on_lan is not permitted, by builtin [P3.25]");
    let (source, line) = on_lan(&local.replace("canned_scripts =", "connect_on_lan = \"yes\", canned_scripts ="));
    assert_eq!(source, "user:ana");
    assert_eq!(line, "a session on it may be started: the default role of ana: role operator [P8.2]");

    let other = self::site(&SITE.replace("ana = \"default\"", "ana = \"viewer\""));
    let query = Query { user: "ana".into(), jump_item: Some("srv".into()), ..Query::default() };
    let changes = explain_against(&site, &other, &query).unwrap().changes.unwrap();
    let changed: Vec<_> = changes
        .iter()
        .map(|it| (it.tool, it.before.value.to_string(), it.after.value.to_string(), it.after.source.as_str()))
        .collect();
    assert_eq!(changed, [("start_sessions", "yes".to_owned(), "no".to_owned(), "jump_group:servers")]);
}

#[test]
fn p8_7_p8_8_p6_4_bu_088_explain_says_the_role_in_automation_and_whether_a_job_runs_on_the_item() {
    let house = "[[policy]]\ncode = \"house\"\n";
    let asking = SITE.replace(house, &format!("{house}prompt = {{ mode = \"always\", answer = \"allow\" }}\n"));
    let of_ana = "username = \"ana\"\n";
    let automates = |text: &str| text.replace(of_ana, &format!("{of_ana}automation = \"user\"\n"));
    let lines = |text: &str, item: &str| {
        let query = Query { user: "ana".into(), jump_item: Some(item.into()), ..Query::default() };
        let said = explain(&self::site(text), &query).unwrap();
        let told = said.to_string();
        let told: Vec<&str> = told.lines().filter(|line| line.contains("automation") || line.contains("job")).collect();
        (told.join("; "), said.job.unwrap().allowed)
    };
    let not =
        "endpoint automation: not_allowed (user:ana); no job runs on it: endpoint automation is not allowed (user:ana)";
    assert_eq!(lines(SITE, "srv"), (not.to_owned(), false));
    let runs = "endpoint automation: user (user:ana); a job runs on it";
    assert_eq!(lines(&automates(SITE), "srv"), (runs.to_owned(), true));
    let said = lines(&automates(SITE), "leas");
    assert!(said.0.ends_with("no job runs on it: no session on it may be started (user:ana)") && !said.1, "{said:?}");
    let said = lines(&automates(&asking), "srv");
    assert!(said.0.ends_with("canned_scripts asks for a yes on it, and a job asks nobody (default)"), "{said:?}");
    let group = "[[group_policy]]\ncode = \"g\"\nmembers = [\"ana\"]\n\
                 permissions = { state = \"defined\", values = [\"jump_client\"], automation = \"administrator\" }\n";
    let said = lines(&format!("{SITE}{group}"), "srv");
    assert_eq!(said, ("endpoint automation: administrator (group_policy:g); a job runs on it".to_owned(), true));

    let query = Query { user: "ana".into(), ..Query::default() };
    let changes = explain_against(&self::site(SITE), &self::site(&automates(SITE)), &query).unwrap().changes.unwrap();
    let changed: Vec<_> =
        changes.iter().map(|it| (it.tool, it.after.value.to_string(), it.after.source.as_str())).collect();
    assert_eq!(changed, [("automation", "user".to_owned(), "user:ana")]);
}

#[test]
fn c1_roles_groups_and_places_of_items_survive_an_export_and_a_diff_names_what_is_other() {
    let raw = RawSite::parse(SITE).unwrap();
    let again = RawSite::parse(&raw.to_toml()).unwrap();
    assert_eq!(again, raw);
    assert_eq!(Site::check(again.into(), None).unwrap(), site(SITE));
    let other = SITE
        .replace("lea = \"viewer\"", "lea = \"operator\"")
        .replace("owner = \"ana\"", "owner = \"lea\"")
        .replace("allows = [\"start_sessions\"]", "")
        .replace("personal = \"operator\"", "personal = \"viewer\"");
    let mut found: Vec<String> =
        diff::between(&raw, &RawSite::parse(&other).unwrap()).iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "~ jump_group servers members.lea: \"viewer\" → \"operator\"",
            "~ jump_item own owner: \"ana\" → \"lea\"",
            "~ jump_item_role operator allows: [\"start_sessions\"] → []",
            "~ user ana jump_roles.personal: \"operator\" → \"viewer\"",
        ]
    );
}
