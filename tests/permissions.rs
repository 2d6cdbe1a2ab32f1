//! Which tools work in a session, and who says so (permissions P2–P4, contract C3).

use equipoise::{
    policy::{
        Person, Prompt, Situation, Source, Tool, ToolOption, ToolValue, compile,
        explain::{Query, explain, explain_against, situation},
        grant,
        paths::Os,
        value::{Shape, right},
    },
    site::{SessionKind, Site, raw::RawValue},
    time::Span,
};
use expect_test::{Expect, expect};

fn site(more: &str) -> Site {
    let text = format!("[site]\nname = \"T\"\n{more}");
    Site::from_text(&text, None).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// `who` is a user and, in any order, `at=PORTAL`, `on=ITEM`, `kind=KIND`, `absent`.
fn query(who: &str) -> Query {
    let mut query = Query::default();
    for word in who.split_whitespace() {
        match word.split_once('=') {
            Some(("at", code)) => query.portal = Some(code.to_owned()),
            Some(("on", code)) => query.jump_item = Some(code.to_owned()),
            Some(("kind", kind)) => query.kind = Some(SessionKind::from_name(kind).expect("a kind")),
            Some(_) => panic!("{word}"),
            None if word == "absent" => query.present = Some(false),
            None => query.user = word.to_owned(),
        }
    }
    query
}

/// A line for each tool: its name, value, prompt and source.
fn story(site: &Site, who: &str, tools: &str, expected: Expect) {
    let said = explain(site, &query(who)).expect("it is in the site");
    let mut lines = String::new();
    for (tool, row) in &said.permissions.0 {
        if tools.split_whitespace().any(|name| name == tool.name()) {
            lines.push_str(&format!("{} {} {} {}\n", tool.name(), row.value, row.prompt, row.source));
        }
    }
    expected.assert_eq(&lines);
}

/// One policy, given to ana.
fn with(tools: &str) -> Site {
    site(&format!("[[user]]\nusername = \"ana\"\npolicy_attended = \"p\"\n[[policy]]\ncode = \"p\"\n{tools}"))
}

const STACK: &str = r#"
[options]
default_policy = "house"
[[user]]
username = "ana"
policy_attended = "own"
policy_unattended = "alone"
[[user]]
username = "ben"
[[portal]]
code = "main"
policy = "door"
[[jump_item]]
code = "srv"
policy_present = "there"
policy_absent = "away"
[[policy]]
code = "there"
tools = { annotations = "yes" }
[[policy]]
code = "away"
tools = { annotations = "no", shell = "no" }
[[policy]]
code = "door"
tools = { shell = "yes", reboot = "yes" }
[[policy]]
code = "own"
tools = { shell = "no", reboot = "no", file_transfer = "download" }
[[policy]]
code = "alone"
tools = { file_transfer = "upload" }
[[policy]]
code = "house"
tools = { file_transfer = "none", push_url = "yes" }
"#;

const FIVE: &str = "annotations file_transfer shell reboot push_url";

#[test]
fn p2_1_the_first_layer_that_defines_a_value_gives_it_and_not_the_most_restrictive() {
    let site = site(STACK);
    story(
        &site,
        "ana at=main on=srv",
        FIVE,
        expect![[r#"
            annotations yes never jump_item:srv
            file_transfer upload always user:ana
            shell yes always portal:main
            reboot yes never portal:main
            push_url yes never default
        "#]],
    );
    story(
        &site,
        "ana at=main",
        FIVE,
        expect![[r#"
        annotations no never builtin
        file_transfer download always user:ana
        shell yes always portal:main
        reboot yes never portal:main
        push_url yes never default
    "#]],
    );
    story(
        &site,
        "ana",
        FIVE,
        expect![[r#"
        annotations no never builtin
        file_transfer download always user:ana
        shell no always user:ana
        reboot no never user:ana
        push_url yes never default
    "#]],
    );
    story(
        &site,
        "ben",
        FIVE,
        expect![[r#"
        annotations no never builtin
        file_transfer none always default
        shell yes always builtin
        reboot no never builtin
        push_url yes never default
    "#]],
    );
}

#[test]
fn p2_1_a_jump_item_has_a_policy_for_somebody_present_and_one_for_nobody() {
    let site = site(STACK);
    story(
        &site,
        "ben on=srv",
        "annotations shell",
        expect![[r#"
        annotations yes never jump_item:srv
        shell yes always builtin
    "#]],
    );
    story(
        &site,
        "ben on=srv absent",
        "annotations shell",
        expect![[r#"
        annotations no never jump_item:srv
        shell no always jump_item:srv
    "#]],
    );
}

#[test]
fn p2_1_a_jump_takes_the_unattended_policy_of_the_representative() {
    let site = site(STACK);
    story(
        &site,
        "ana kind=jump",
        "file_transfer",
        expect![[r#"
        file_transfer upload always user:ana
    "#]],
    );
    story(
        &site,
        "ana kind=support",
        "file_transfer",
        expect![[r#"
        file_transfer download always user:ana
    "#]],
    );
}

#[test]
fn p2_1_below_everything_lies_the_built_in_default() {
    let site = site("[[user]]\nusername = \"ana\"\n");
    let all: Vec<_> = Tool::ALL.iter().map(|tool| tool.name()).collect();
    story(
        &site,
        "ana",
        &all.join(" "),
        expect![[r#"
            screen control always builtin
            show_my_screen no never builtin
            clipboard both always builtin
            customer_restrictions none never builtin
            app_sharing_prompt never never builtin
            annotations no never builtin
            file_transfer both always builtin
            customer_paths any always builtin
            rep_paths any always builtin
            file_manager none never builtin
            shell yes always builtin
            system_info yes never builtin
            system_info_actions no never builtin
            registry no never builtin
            canned_scripts no never builtin
            script_deploy no never builtin
            embedded_scripts no never builtin
            elevation no never builtin
            elevated_tools no never builtin
            reboot no never builtin
            pin_jump_client no never builtin
            deploy no never builtin
            chat yes never builtin
            push_url no never builtin
            chat_files no never builtin
            record no never builtin
            screen_capture no never builtin
            credentials no never builtin
            hold yes never builtin
            transfer yes never builtin
            collaborate yes never builtin
            invite_external no never builtin
            private_sessions yes never builtin
            unattended no never builtin
            connect_on_lan no never builtin
            lens no never builtin
            mobile_settings no never builtin
            cobrowse_click no never builtin
            cobrowse_type no never builtin
            cobrowse_domains (empty) never builtin
            webcam none never builtin
            voice none never builtin
            document_share none never builtin
            document_download no never builtin
            custom_fields yes never builtin
            external_key no never builtin
            termination nothing never builtin
        "#]],
    );
    story(
        &site,
        "ana kind=cobrowse",
        "clipboard cobrowse_click cobrowse_type",
        expect![[r#"
        clipboard both never builtin
        cobrowse_click yes never builtin
        cobrowse_type yes never builtin
    "#]],
    );
}

#[test]
fn p2_2_a_session_policy_of_a_group_policy_wins_over_the_users_own() {
    let group = |state: &str| {
        site(&format!(
            "{STACK}[[group_policy]]\ncode = \"emea\"\nmembers = [\"ana\"]\n\
             session = {{ state = \"{state}\", policy_attended = \"door\" }}\n"
        ))
    };
    story(
        &group("defined"),
        "ana",
        "shell",
        expect![[r#"
        shell yes always group_policy:emea
    "#]],
    );
    story(
        &group("not_defined"),
        "ana",
        "shell",
        expect![[r#"
        shell no always user:ana
    "#]],
    );
}

const TREE: &str = r#"
[[user]]
username = "ana"
policy_attended = "p"
[[user]]
username = "ben"
[[policy]]
code = "p"
tools = { reboot = "yes" }
[[technician_group]]
code = "root"
tools = { reboot = "deny", shell = "deny", registry = "allow", file_transfer = "allow", customer_paths = "deny" }
locked = ["reboot"]
[[technician_group]]
code = "tier1"
parent = "root"
members = ["ana", "ben"]
tools = { shell = "allow", reboot = "allow" }
"#;

#[test]
fn p2_3_the_nearest_group_with_a_value_gives_it_unless_one_above_locked_its_own() {
    story(
        &site(TREE),
        "ben",
        "shell registry reboot file_transfer customer_paths chat",
        expect![[r#"
            file_transfer both always technician_group:root
            customer_paths (empty) always technician_group:root
            shell yes always technician_group:tier1
            registry yes never technician_group:root
            reboot no never technician_group:root
            chat yes never builtin
        "#]],
    );
}

#[test]
fn p2_3_what_is_locked_wins_over_the_members_own_policy_and_what_is_not_gives_way_to_it() {
    story(
        &site(TREE),
        "ana",
        "reboot",
        expect![[r#"
        reboot no never technician_group:root
    "#]],
    );
    story(
        &site(&TREE.replace("locked = [\"reboot\"]", "")),
        "ana",
        "reboot",
        expect![[r#"
        reboot yes never user:ana
    "#]],
    );
}

#[test]
fn p2_3_a_lock_without_a_value_holds_what_is_inherited() {
    let tree = TREE.replace("locked = [\"reboot\"]", "").replace(
        "[[technician_group]]\ncode = \"tier1\"\nparent = \"root\"",
        "[[technician_group]]\ncode = \"mid\"\nparent = \"root\"\nlocked = [\"shell\"]\n\
         [[technician_group]]\ncode = \"tier1\"\nparent = \"mid\"",
    );
    story(
        &site(&tree),
        "ben",
        "shell reboot",
        expect![[r#"
        shell no always technician_group:root
        reboot yes never technician_group:tier1
    "#]],
    );
}

#[test]
fn p3_1_view_and_control_are_rights_of_their_own_in_a_group() {
    let tree = TREE
        .replace("registry = \"allow\"", "screen = \"view\"")
        .replace("file_transfer = \"allow\"", "file_transfer = \"upload\"");
    story(
        &site(&tree),
        "ben",
        "screen file_transfer",
        expect![[r#"
        screen view always technician_group:root
        file_transfer upload always technician_group:root
    "#]],
    );
}

#[test]
fn p2_3_administrators_edit_their_own_subtrees_and_nothing_locked() {
    let site = site(
        r#"
[[user]]
username = "master"
permissions = ["administrator"]
[[user]]
username = "ana"
[[technician_group]]
code = "root"
locked = ["reboot"]
[[technician_group]]
code = "north"
parent = "root"
admins = ["ana"]
locked = ["registry"]
[[technician_group]]
code = "city"
parent = "north"
[[technician_group]]
code = "south"
parent = "root"
"#,
    );
    let may = |user: &str, group: usize, tool| site.may_edit_group(site.codes.users[user], group, tool);
    let (root, north, city, south) = (0, 1, 2, 3);
    for group in [root, north, city, south] {
        assert!(may("master", group, Some(Tool::Reboot)) && may("master", group, None), "masters edit everywhere");
    }
    assert!(may("ana", north, None) && may("ana", city, Some(Tool::Shell)));
    assert!(!may("ana", root, None) && !may("ana", south, Some(Tool::Shell)));
    assert!(!may("ana", north, Some(Tool::Reboot)), "locked above");
    assert!(!may("ana", city, Some(Tool::Registry)) && !may("ana", north, Some(Tool::Registry)), "locked there");
}

fn external(site: &Site, invite: Option<&str>, inviter: &str) -> equipoise::policy::Permissions {
    compile(
        site,
        &Situation {
            person: Person::External {
                invite: invite.map(|code| site.codes.policies[code]),
                inviter: site.codes.users[inviter],
            },
            portal: None,
            jump_item: None,
            kind: SessionKind::Support,
            present: true,
        },
    )
}

#[test]
fn p2_5_an_external_rep_has_the_policy_of_the_invite_and_never_more_than_the_inviter() {
    let site = site(
        r#"
[[user]]
username = "ana"
policy_attended = "own"
[[policy]]
code = "own"
tools = { shell = "no", file_transfer = "upload", customer_paths = ["/home", "/srv/www"], reboot = "yes" }
prompt = { mode = "always" }
[[policy]]
code = "guest"
tools = { shell = "yes", file_transfer = "both", customer_paths = ["/home/ana", "/srv", "/etc"], reboot = "no", screen = "view" }
prompt = { mode = "never" }
"#,
    );
    let guest = external(&site, Some("guest"), "ana");
    let own = Source::User(site.codes.users["ana"]);
    let invite = Source::Invite(site.codes.policies["guest"]);
    assert_eq!((guest.value(Tool::Shell), guest.get(Tool::Shell).source), (&ToolValue::NO, own));
    assert_eq!((guest.value(Tool::Reboot), guest.get(Tool::Reboot).source), (&ToolValue::NO, invite));
    assert!(guest.allows(Tool::FileTransfer, right::TO_CUSTOMER));
    assert!(!guest.allows(Tool::FileTransfer, right::TO_REP));
    assert!(guest.allows(Tool::Screen, right::VIEW) && !guest.allows(Tool::Screen, right::CONTROL));
    let paths = ["/home/ana", "/srv/www"].map(str::to_owned);
    assert_eq!(guest.value(Tool::CustomerPaths), &ToolValue::List(paths.into()));
    assert_eq!(guest.get(Tool::Screen).prompt, Prompt::Always, "the customer is asked as for the inviter");
    assert_eq!(invite.name(&site), "invite:guest");
}

#[test]
fn p2_1_lg_002_the_site_says_what_is_used_in_co_browse_sessions_by_a_policy_of_their_own() {
    let tools = "file_transfer push_url cobrowse_click";
    let own = "cobrowse_policy = \"pages\"\ndefault_policy = \"house\"";
    let own = STACK.replacen("default_policy = \"house\"", own, 1);
    let pages = "[[policy]]\ncode = \"pages\"\ntools = { cobrowse_click = \"no\", file_transfer = \"both\" }\n";
    let own = site(&(own + pages));
    story(
        &own,
        "ben kind=cobrowse",
        tools,
        expect![[r#"
            file_transfer both always default
            push_url no never builtin
            cobrowse_click no never default
        "#]],
    );
    story(
        &own,
        "ana kind=cobrowse",
        "file_transfer",
        expect![[r#"
            file_transfer download always user:ana
        "#]],
    );
    for (site, kind) in [(&own, "support"), (&site(STACK), "cobrowse")] {
        story(
            site,
            &format!("ben kind={kind}"),
            "file_transfer push_url",
            expect![[r#"
                file_transfer none always default
                push_url yes never default
            "#]],
        );
    }
}

#[test]
fn p2_5_lr_028_a_guest_is_asked_about_at_each_action_where_either_policy_says_so() {
    let guest = |own: &str, guest: &str| {
        let site = site(&format!(
            "[[user]]\nusername = \"ana\"\npolicy_attended = \"own\"\n[[policy]]\ncode = \"own\"\nprompt = {{ {own} }}\n\
             [[policy]]\ncode = \"guest\"\nprompt = {{ {guest} }}\n"
        ));
        let permissions = external(&site, Some("guest"), "ana");
        (permissions.get(Tool::Shell).prompt, permissions.prompting.lasts)
    };
    let minute = Some(Span::seconds(60));
    assert_eq!(guest("mode = \"always\", once = true, consent_s = 60", "each = true"), (Prompt::Each, minute));
    assert_eq!(guest("each = true", "mode = \"never\", consent_s = 60"), (Prompt::Each, minute));
    assert_eq!(guest("each = false", "each = false"), (Prompt::Always, None));
}

#[test]
fn i_p11_whatever_the_two_policies_say_the_guest_has_no_right_that_the_inviter_has_not() {
    for tool in Tool::ALL {
        let Shape::Words(words) = tool.shape() else { continue };
        if *tool == Tool::Termination {
            continue;
        }
        for (mine, _) in words {
            for (theirs, _) in words {
                let name = tool.name();
                // What the tool needs is there, so that it alone decides.
                let needs = |screen: &str| match name {
                    "screen" => String::new(),
                    _ => format!(", screen = \"{screen}\""),
                };
                let text = format!(
                    "[[user]]\nusername = \"ana\"\npolicy_attended = \"own\"\n\
                     [[policy]]\ncode = \"own\"\ntools = {{ {name} = \"{}\"{} }}\n\
                     [[policy]]\ncode = \"guest\"\ntools = {{ {name} = \"{}\"{} }}\n",
                    theirs.name(),
                    needs("control"),
                    mine.name(),
                    needs("control"),
                );
                let site = site(&text);
                let inviter = compile(
                    &site,
                    &Situation {
                        person: Person::User(site.codes.users["ana"]),
                        portal: None,
                        jump_item: None,
                        kind: SessionKind::Support,
                        present: true,
                    },
                );
                let guest = external(&site, Some("guest"), "ana");
                assert_eq!(guest.rights(*tool) & !inviter.rights(*tool), 0, "{name}: {text}");
            }
        }
    }
}

#[test]
fn p3_every_value_of_every_tool_reaches_the_session_as_given() {
    for tool in Tool::ALL {
        let Shape::Words(words) = tool.shape() else { continue };
        for (word, rights) in words {
            // What a tool needs is defined beside it.
            let beside = match tool.needs(false) {
                Some((Tool::Screen, _)) => ", screen = \"control\"",
                Some(_) => ", system_info = \"yes\"",
                None => "",
            };
            let site = with(&format!("tools = {{ {} = \"{}\"{beside} }}\n", tool.name(), word.name()));
            let said = explain(&site, &query("ana")).unwrap();
            let (_, row) = &said.permissions.0[*tool as usize];
            assert_eq!(row.value.raw(), RawValue::Word(word.name().to_owned()), "{}", tool.name());
            assert_eq!(row.source, "user:ana", "{}", tool.name());
            assert_eq!(row.value.rights(tool.shape()), *rights);
        }
    }
}

#[test]
fn p3_2_p3_3_p3_4_p3_11_a_tool_without_what_it_needs_is_held_down_with_that_tools_source() {
    let site = site(
        r#"
[[user]]
username = "ana"
policy_attended = "p"
[[portal]]
code = "none"
policy = "no_screen"
[[portal]]
code = "view"
policy = "view"
[[policy]]
code = "no_screen"
tools = { screen = "none", system_info = "no" }
[[policy]]
code = "view"
tools = { screen = "view" }
[[policy]]
code = "p"
tools = { show_my_screen = "yes", clipboard = "both", customer_restrictions = "input", system_info_actions = "yes" }
"#,
    );
    let tools = "show_my_screen clipboard customer_restrictions system_info_actions";
    story(
        &site,
        "ana",
        tools,
        expect![[r#"
        show_my_screen yes never user:ana
        clipboard both always user:ana
        customer_restrictions input never user:ana
        system_info_actions yes never user:ana
    "#]],
    );
    story(
        &site,
        "ana at=view",
        tools,
        expect![[r#"
        show_my_screen yes never user:ana
        clipboard none always portal:view
        customer_restrictions none never portal:view
        system_info_actions yes never user:ana
    "#]],
    );
    story(
        &site,
        "ana at=none",
        tools,
        expect![[r#"
        show_my_screen no never portal:none
        clipboard none always portal:none
        customer_restrictions none never portal:none
        system_info_actions no never portal:none
    "#]],
    );
    story(
        &site,
        "ana at=view kind=cobrowse",
        "clipboard",
        expect![[r#"
        clipboard both never user:ana
    "#]],
    );
}

#[test]
fn p3_4_a_privacy_screen_is_asked_for_in_some_jumps_only() {
    let site = |method: &str| {
        site(&format!(
            "[[user]]\nusername = \"ana\"\n[[jump_item]]\ncode = \"srv\"\nmethod = \"{method}\"\npolicy_present = \"p\"\n\
             [[policy]]\ncode = \"p\"\ntools = {{ customer_restrictions = \"display_and_input\", privacy_at_start = \"yes\" }}\n"
        ))
    };
    let at_start = |method| {
        let said = explain(&site(method), &query("ana on=srv")).unwrap();
        said.options[ToolOption::PrivacyAtStart.name()].value == ToolValue::YES
    };
    assert!(at_start("jump_client") && at_start("jump_remote") && at_start("jump_local"));
    assert!(!at_start("jump_remote_rdp") && !at_start("jump_shell"));
}

#[test]
fn bu_113_p3_4_the_privacy_screen_at_start_is_held_down_to_what_the_restrictions_allow() {
    let at_start = |tools: &str| {
        let site = site(&format!(
            "[[user]]\nusername = \"ana\"\n[[jump_item]]\ncode = \"srv\"\nmethod = \"jump_client\"\npolicy_present = \"p\"\n\
             [[policy]]\ncode = \"p\"\ntools = {{ privacy_at_start = \"yes\", {tools} }}\n"
        ));
        let said = explain(&site, &query("ana on=srv")).unwrap();
        let option = &said.options[ToolOption::PrivacyAtStart.name()];
        (option.value == ToolValue::YES, option.source.clone())
    };
    let item = || "jump_item:srv".to_owned();
    assert_eq!(at_start("customer_restrictions = \"display_and_input\""), (true, item()));
    assert_eq!(at_start("customer_restrictions = \"input\""), (false, item()));
    assert_eq!(at_start("shell = \"no\""), (false, "builtin".to_owned()), "restrictions are none");
    let view = "screen = \"view\", customer_restrictions = \"display_and_input\"";
    assert_eq!(at_start(view), (false, item()), "they need control");
}

#[test]
fn p3_10_a_shell_jump_always_has_its_shell() {
    let site = site(
        "[[user]]\nusername = \"ana\"\n[[jump_item]]\ncode = \"router\"\nmethod = \"jump_shell\"\npolicy_present = \"p\"\n\
         [[policy]]\ncode = \"p\"\ntools = { shell = \"no\" }\n",
    );
    story(
        &site,
        "ana on=router",
        "shell",
        expect![[r#"
        shell yes always jump_item:router
    "#]],
    );
    story(
        &site,
        "ana on=router kind=support",
        "shell",
        expect![[r#"
        shell no always jump_item:router
    "#]],
    );
}

#[test]
fn p3_30_a_shared_page_has_no_termination() {
    let site = with("tools = { termination = \"lock\" }\n");
    story(
        &site,
        "ana",
        "termination",
        expect![[r#"
        termination lock never user:ana
    "#]],
    );
    story(
        &site,
        "ana kind=cobrowse",
        "termination",
        expect![[r#"
        termination nothing never builtin
    "#]],
    );
}

#[test]
fn p4_1_never_always_per_tool_and_not_defined_falls_through() {
    let tools = "screen shell registry chat record";
    story(
        &with("prompt = { mode = \"never\" }\n"),
        "ana",
        tools,
        expect![[r#"
        screen control never builtin
        shell yes never builtin
        registry no never builtin
        chat yes never builtin
        record no never builtin
    "#]],
    );
    story(
        &with("prompt = { mode = \"always\" }\n"),
        "ana",
        tools,
        expect![[r#"
        screen control always builtin
        shell yes always builtin
        registry no always builtin
        chat yes never builtin
        record no always builtin
    "#]],
    );
    story(
        &with("prompt = { mode = \"per_tool\", tools = [\"registry\"] }\n"),
        "ana",
        tools,
        expect![[r#"
            screen control never builtin
            shell yes never builtin
            registry no always builtin
            chat yes never builtin
            record no never builtin
        "#]],
    );
    story(
        &with("prompt = { timeout_s = 5 }\n"),
        "ana",
        tools,
        expect![[r#"
        screen control always builtin
        shell yes always builtin
        registry no never builtin
        chat yes never builtin
        record no never builtin
    "#]],
    );
}

#[test]
fn p4_2_prompting_once_needs_control_and_a_single_prompt_does_not() {
    let once = |screen: &str, key: &str| {
        with(&format!("tools = {{ screen = \"{screen}\" }}\nprompt = {{ mode = \"always\", {key} = true }}\n"))
    };
    story(
        &once("control", "once"),
        "ana",
        "screen shell",
        expect![[r#"
        screen control once user:ana
        shell yes once builtin
    "#]],
    );
    story(
        &once("view", "once"),
        "ana",
        "screen shell",
        expect![[r#"
        screen view always user:ana
        shell yes always builtin
    "#]],
    );
    story(
        &once("view", "single"),
        "ana",
        "screen shell",
        expect![[r#"
        screen view once user:ana
        shell yes once builtin
    "#]],
    );
}

#[test]
fn p4_3_time_and_answer_fall_through_by_themselves() {
    let prompt = |text: &str| {
        let said = explain(&with(text), &query("ana")).unwrap().prompt;
        (said.timeout_s, said.answer)
    };
    assert_eq!(prompt(""), (30, "deny"));
    assert_eq!(prompt("prompt = { timeout_s = 5 }\n"), (5, "deny"));
    assert_eq!(prompt("prompt = { answer = \"allow\" }\n"), (30, "allow"));
}

#[test]
fn lr_028_each_falls_through_by_itself_and_a_rule_with_one_answer_for_all_is_not_it() {
    let site = |own: &str, default: &str| {
        site(&format!(
            "[options]\ndefault_policy = \"house\"\n[[user]]\nusername = \"ana\"\npolicy_attended = \"own\"\n\
             [[policy]]\ncode = \"own\"\n{own}\n[[policy]]\ncode = \"house\"\n{default}\n"
        ))
    };
    let prompts = |own: &str, default: &str| {
        let said = explain(&site(own, default), &query("ana")).unwrap().permissions.0;
        [Tool::Shell, Tool::Reboot].map(|tool| said[tool as usize].1.prompt)
    };
    let (each, always) = ("prompt = { each = true }", "prompt = { mode = \"always\" }");
    assert_eq!(prompts("", each), ["each", "never"], "in the built-in mode");
    assert_eq!(prompts(each, always), ["each", "each"]);
    assert_eq!(prompts(always, each), ["each", "each"]);
    assert_eq!(prompts("prompt = { each = false }", each), ["always", "never"]);
    assert_eq!(prompts("prompt = { mode = \"never\", each = true }", ""), ["never", "never"]);
    assert_eq!(prompts(each, "prompt = { mode = \"always\", single = true }"), ["each", "each"]);
    assert_eq!(prompts("prompt = { mode = \"always\", once = true }", each), ["once", "once"]);
}

#[test]
fn p6_4_lr_028_explain_says_that_each_action_is_asked_for() {
    let (always, each) =
        (with("prompt = { mode = \"always\" }\n"), with("prompt = { mode = \"always\", each = true }\n"));
    let said = explain_against(&always, &each, &query("ana")).unwrap();
    let changes = said.changes.as_ref().unwrap();
    let shell = changes.iter().find(|change| change.tool == "shell").unwrap();
    assert_eq!((shell.before.prompt, shell.after.prompt), ("always", "each"));
    assert!(
        said.to_string().contains("shell                  yes (prompt always, builtin) → yes (prompt each, builtin)")
    );
    let shell = serde_json::to_value(explain(&each, &query("ana")).unwrap()).unwrap()["permissions"]["shell"].clone();
    assert_eq!(shell, serde_json::json!({"value": "yes", "source": "builtin", "prompt": "each"}));
}

#[test]
fn p4_4_p3_25_consent_to_a_recording_a_script_while_viewing_and_unattended_access_are_asked_for_each_time() {
    let consent =
        "tools = { record = \"with_consent\", canned_scripts = \"yes\", unattended = \"yes\", screen = \"SCREEN\" }\n";
    let tools = "record canned_scripts unattended";
    let never = |screen: &str| with(&format!("{}prompt = {{ mode = \"never\" }}\n", consent.replace("SCREEN", screen)));
    story(
        &never("control"),
        "ana",
        tools,
        expect![[r#"
        canned_scripts yes never user:ana
        record with_consent always user:ana
        unattended yes always user:ana
    "#]],
    );
    story(
        &never("view"),
        "ana",
        tools,
        expect![[r#"
        canned_scripts yes always user:ana
        record with_consent always user:ana
        unattended yes always user:ana
    "#]],
    );
    let once = format!("{}prompt = {{ mode = \"always\", once = true }}\n", consent.replace("SCREEN", "control"));
    story(
        &with(&once),
        "ana",
        tools,
        expect![[r#"
        canned_scripts yes once user:ana
        record with_consent always user:ana
        unattended yes always user:ana
    "#]],
    );
}

#[test]
fn p1_3_every_value_says_which_layer_gave_it() {
    let site = site(STACK);
    for who in ["ana", "ana at=main on=srv", "ben absent on=srv", "ben kind=cobrowse"] {
        let said = explain(&site, &query(who)).unwrap();
        let sources = said.permissions.0.iter().map(|(_, row)| &row.source);
        for source in sources.chain(said.options.values().map(|said| &said.source)) {
            let named = ["jump_item:srv", "portal:main", "user:ana", "default", "builtin"].contains(&source.as_str());
            assert!(named, "{source}");
        }
    }
}

#[test]
fn p3_17_explain_says_what_the_policy_says_and_the_grant_needs_the_users_right_too() {
    let site = with("tools = { pin_jump_client = \"yes\", deploy = \"yes\" }\n");
    story(
        &site,
        "ana",
        "pin_jump_client deploy",
        expect![[r#"
            pin_jump_client yes never user:ana
            deploy yes never user:ana
        "#]],
    );
    let situation = |site: &Site| situation(site, &query("ana")).expect("it is in the site");
    let granted = grant(&site, &situation(&site));
    assert!(!granted.any(Tool::PinJumpClient) && !granted.any(Tool::Deploy));
    let text =
        site.raw.to_toml().replace("permissions = []", "permissions = [\"jump_client\", \"buttons_team_deploy\"]");
    let site = Site::from_text(&text, None).unwrap();
    let granted = grant(&site, &situation(&site));
    assert!(granted.any(Tool::PinJumpClient) && granted.any(Tool::Deploy));
}

#[test]
fn p6_4_explain_says_what_another_file_would_change() {
    let before = with("tools = { shell = \"yes\" }\nprompt = { mode = \"never\" }\n");
    let after = with("tools = { shell = \"no\", file_transfer = \"both\" }\nprompt = { mode = \"never\" }\n");
    let changes = explain_against(&before, &after, &query("ana")).unwrap().changes.unwrap();
    let said: Vec<_> = changes.iter().map(|change| (change.tool, change.after.source.as_str())).collect();
    assert_eq!(said, [("file_transfer", "user:ana"), ("shell", "user:ana")]);
    assert_eq!(explain_against(&before, &before, &query("ana")).unwrap().changes, Some(Vec::new()));
}

#[test]
fn c3_the_answer_in_json_has_every_tool_and_the_path() {
    let site = with("tools = { customer_paths = [\"/home/ana\"], shell = \"no\" }\n");
    let mut query = query("ana");
    query.path = Some(("/home/ana//notes.txt".to_owned(), Os::Linux));
    let said = explain(&site, &query).unwrap();
    let json = serde_json::to_value(&said).unwrap();
    assert_eq!(json["permissions"].as_object().unwrap().len(), Tool::COUNT);
    assert_eq!(
        json["permissions"]["shell"],
        serde_json::json!({"value": "no", "source": "user:ana", "prompt": "always"})
    );
    assert_eq!(json["permissions"]["customer_paths"]["value"], serde_json::json!(["/home/ana"]));
    assert_eq!(json["permissions"]["rep_paths"]["value"], "any");
    assert_eq!(
        json["path"],
        serde_json::json!({
            "given": "/home/ana//notes.txt", "normalized": "/home/ana/notes.txt", "allowed": true,
            "entry": "/home/ana", "reason": "covered"
        })
    );
    assert!(said.to_string().contains("path /home/ana//notes.txt: allowed"));
}

#[test]
fn c3_what_is_not_in_the_site_is_named() {
    let site = with("");
    assert_eq!(explain(&site, &query("eve")).unwrap_err().to_string(), "there is no user `eve`");
    assert!(explain(&site, &query("ana at=x")).is_err() && explain(&site, &query("ana on=x")).is_err());
    assert!(explain(&site, &query("ANA")).is_ok(), "codes are compared without case");
}

/// The pages that people set policies by name every tool, option, value and reason there is.
#[test]
fn docs_permissions_names_everything() {
    let page = include_str!("../docs/permissions.md");
    let named = |name: &str| assert!(page.contains(&format!("`{name}`")), "{name}");
    for tool in Tool::ALL {
        named(tool.name());
        if let Shape::Words(words) = tool.shape() {
            words.iter().for_each(|(word, _)| named(word.name()));
        }
    }
    ToolOption::ALL.iter().for_each(|option| named(option.name()));
    equipoise::policy::paths::PathRefusal::ALL.iter().for_each(|refusal| named(refusal.name()));
}
