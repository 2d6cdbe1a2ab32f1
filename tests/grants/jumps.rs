//! Sessions on jump items: the endpoint that stands by and its key (R2.3), and scripts there (P8.6, BU-090), by the role of
//! each participant, and an edit while one runs.

use crate::{random::Random, world::*};
use equipoise::{
    engine::{Command, Outcome, Queue, Reason},
    ids::*,
    policy::Tool,
    site::raw::RawSite,
    time::{Span, Time},
};
use std::collections::BTreeMap;

/// Ana and bob may jump; the item is in a group in which bob only looks.
pub fn site(ana: &str, bob: &str) -> String {
    let groups = format!(
        "[[jump_item_role]]\ncode = \"operator\"\nallows = [\"start_sessions\"]\n[[jump_item_role]]\ncode = \"viewer\"\n\
         [[jump_group]]\ncode = \"servers\"\nmembers = {{ ana = \"{ana}\", bob = \"{bob}\" }}\n"
    );
    let site = SITE.replacen("code = \"srv\"\n", "code = \"srv\"\ngroup = \"servers\"\n", 1);
    format!("{site}{groups}")
}

fn jumped(world: &mut World) -> Result<SessionId, equipoise::engine::Refusal> {
    let (item, join) = (world.engine.state().site.codes.jump_items["srv"], world.secret());
    match world.rep("ana", Command::Jump { item, join: Some(join), by_endpoint: false })? {
        Outcome::Session(session) => {
            world.redeem(join, None, present()).expect("the item's own way in");
            Ok(session)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn p8_1_p6_3_a_jump_that_the_role_does_not_start_is_refused_with_the_rule_and_the_group() {
    let mut world = World::of(&site("viewer", "viewer"));
    world.log_in("ana");
    let refused = jumped(&mut world).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P8.1"));
    assert_eq!(refused.source.as_deref(), Some("jump_group:servers"));
    assert_eq!(refused.message, "sessions on srv are not yours to start (jump group servers: role viewer)");
    world.apply_site(&site("default", "viewer"));
    let refused = jumped(&mut world).unwrap_err();
    assert_eq!((refused.rule.as_str(), refused.source.as_deref()), ("P8.2", Some("user:ana")));
    assert_eq!(refused.message, "sessions on srv are not yours to start (the default role of ana: no access)");
}

#[test]
fn p3_25_lr_048_a_jump_on_the_local_network_needs_connect_on_lan_in_the_layers_of_that_jump() {
    for method in ["jump_local", "jump_local_vnc", "jump_local_rdp"] {
        let site = site("operator", "viewer").replace("jump_shell", method);
        let site = site.replace("username = \"ana\"", "username = \"ana\"\npolicy_unattended = \"mine\"");
        let site = format!("{site}[[policy]]\ncode = \"mine\"\ntools = {{ chat = \"yes\" }}\n");
        let allow = |site: &str, policy: &str, word: &str| {
            let before = format!("code = \"{policy}\"\ntools = {{ ");
            assert!(site.contains(&before));
            site.replacen(&before, &format!("{before}connect_on_lan = \"{word}\", "), 1)
        };
        let mut world = World::of(&site);
        world.log_in("ana");
        let (ana, item) = (world.user("ana"), world.engine.state().site.codes.jump_items["srv"]);
        let refused = jumped(&mut world).unwrap_err();
        assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P3.25"), "{method}");
        assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::ConnectOnLan), Some("builtin")));
        assert_eq!(refused.message, "sessions on srv need connect_on_lan, which is not permitted, by builtin");
        assert!(world.engine.state().sees_item(ana, item), "and the item is there");

        // The rep's own policy of unattended sessions allows it; the item's goes before that, by whether somebody sits there.
        let allowed = allow(&site, "mine", "yes");
        world.apply_site(&allowed);
        let session = jumped(&mut world).unwrap();
        let present = allow(&allowed, "viewer", "no");
        world.apply_site(&present);
        world.rep("ana", Command::End { session }).unwrap();
        let (key, resume) = (world.secret(), world.secret());
        world.system(Command::MakeItemKey { item, key }).unwrap();
        world.system(Command::StandBy { key, client: absent(), resume }).unwrap();
        let jump = Command::Jump { item, join: None, by_endpoint: true };
        let Ok(Outcome::Session(session)) = world.rep("ana", jump.clone()) else { panic!("nobody sits there") };
        world.rep("ana", Command::End { session }).unwrap();
        let resume = world.secret();
        world.system(Command::StandBy { key, client: self::present(), resume }).unwrap();
        let refused = world.rep("ana", jump).unwrap_err();
        assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::ConnectOnLan), Some("jump_item:srv")));

        // A technician group denies, and a session that runs goes on.
        let session = {
            world.apply_site(&allowed);
            jumped(&mut world).unwrap()
        };
        let group = "[[technician_group]]\ncode = \"crew\"\nmembers = [\"ana\"]\ntools = { connect_on_lan = \"deny\" }\n\
                     locked = [\"connect_on_lan\"]\n";
        world.apply_site(&format!("{allowed}{group}"));
        assert!(world.engine.state().session(session).is_some());
        let refused = jumped(&mut world).unwrap_err();
        assert_eq!(
            (refused.tool, refused.source.as_deref()),
            (Some(Tool::ConnectOnLan), Some("technician_group:crew"))
        );
    }
    // Other methods ask for nothing of the kind.
    let mut world = World::of(&site("operator", "viewer"));
    world.log_in("ana");
    jumped(&mut world).unwrap();
}

#[test]
fn p8_6_bu_090_who_may_not_start_sessions_on_the_item_runs_no_script_there() {
    let mut world = World::of(&site("operator", "viewer"));
    world.log_in("ana");
    let session = jumped(&mut world).unwrap();
    world.opened("ana", session, Tool::CannedScripts, &[("script", text("fix"))]);
    world.joined("bob", session);
    let refused = world.open("bob", session, Tool::CannedScripts, &[("script", text("fix"))]).unwrap_err();
    assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("jump_group:servers")));
    world.opened("bob", session, Tool::SystemInfo, &[]);

    // The session becomes his: he serves it, and runs none.
    let to = Queue::Personal(world.user("bob"));
    world.rep("ana", Command::Transfer { session, to }).unwrap();
    world.rep("bob", Command::Take { session }).unwrap();
    assert!(world.open("bob", session, Tool::CannedScripts, &[("script", text("fix"))]).is_err());
    world.apply_site(&site("operator", "operator"));
    world.opened("bob", session, Tool::CannedScripts, &[("script", text("fix"))]);
}

#[test]
fn p6_2_p8_what_the_policies_of_an_item_forbade_is_not_to_be_had_by_removing_it() {
    let mut world = World::of(&site("operator", "viewer"));
    world.log_in("ana");
    let session = jumped(&mut world).unwrap();
    world.opened("ana", session, Tool::SystemInfo, &[]);
    world.opened("ana", session, Tool::Chat, &[]);
    world.words();
    world.apply_site(&site("operator", "viewer").replace("\"srv\"", "\"new\""));
    let said = "channel 1 closed: revoked by system_info of jump_item:(gone)\npermissions 1";
    assert_eq!(world.words(), said, "and the talk goes on");
    for tool in [Tool::SystemInfo, Tool::Screen, Tool::Shell] {
        let refused = world.open("ana", session, tool, &[]).unwrap_err();
        assert_eq!(refused.reason, Reason::NotPermitted, "{}", tool.name());
    }
    world.rep("ana", Command::End { session }).unwrap();
}

#[test]
fn p6_2_p8_6_an_edit_of_a_role_ends_the_script_that_runs_and_not_the_session() {
    let mut world = World::of(&site("operator", "viewer"));
    world.log_in("ana");
    let session = jumped(&mut world).unwrap();
    world.opened("ana", session, Tool::CannedScripts, &[("script", text("fix"))]);
    world.opened("ana", session, Tool::SystemInfo, &[]);
    world.words();
    world.apply_site(&site("viewer", "viewer"));
    let said = "channel 1 closed: revoked by canned_scripts of jump_group:servers\npermissions 1";
    assert_eq!(world.words(), said);
    assert_eq!(world.channels(session), 1, "what is no script goes on, and so does the session");
    assert_eq!(jumped(&mut world).unwrap_err().reason, Reason::NotPermitted, "and the next jump is refused");
}

/// What the rules of keys, endpoints and sessions come to for one item, as one reads them.
#[derive(Default)]
struct Plain {
    /// Every key it ever had, the good one last.
    keys: Vec<SecretHash>,
    /// The way back of the endpoint that stood by last, until it is cut off.
    way_back: Option<SecretHash>,
    connected: bool,
    /// What runs, and since when it has no end.
    runs: Option<(SessionId, Option<Time>)>,
}

impl Plain {
    fn is_good(&self, key: SecretHash) -> bool {
        self.keys.last() == Some(&key)
    }
}

/// R2.3 beside a plain model: keys made anew, endpoints that come, go, come back and take over, jumps, ends, restarts.
#[test]
fn r2_3_i_k1_keys_endpoints_and_sessions_of_items_are_what_a_plain_model_says() {
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..150 {
        let mut dice = Random(seed);
        let mut world = World::of(&format!("{SITE}[[jump_item]]\ncode = \"other\"\nmethod = \"jump_shell\"\n"));
        world.log_in("ana");
        let items = ["srv", "other"].map(|code| world.engine.state().site.codes.jump_items[code]);
        let mut plain = [Plain::default(), Plain::default()];
        for _ in 0..60 {
            let at = dice.below(2);
            let (item, now) = (items[at], world.now);
            let drawn = (!plain[at].keys.is_empty()).then(|| plain[at].keys[dice.below(plain[at].keys.len())]);
            let key = drawn.unwrap_or_else(|| world.secret());
            let known = &mut plain[at];
            let (name, done, expected) = match dice.below(10) {
                0 => {
                    let key = world.secret();
                    let done = world.system(Command::MakeItemKey { item, key });
                    known.keys.push(key);
                    (known.way_back, known.connected) = (None, false);
                    if let Some((_, lost)) = &mut known.runs {
                        *lost = lost.or(Some(now));
                    }
                    ("key", done, None)
                }
                1 | 2 => {
                    let resume = world.secret();
                    let done = world.system(Command::StandBy { key, client: absent(), resume });
                    let good = known.is_good(key);
                    if good {
                        (known.way_back, known.connected) = (Some(resume), true);
                    }
                    ("stand_by", done, (!good).then_some(Reason::KeyGone))
                }
                3 => {
                    let party = Party::JumpClient(item);
                    let epoch = world.engine.state().parties.get(party).map_or(AttachEpoch(0), |there| there.epoch);
                    known.connected = false;
                    ("lost", world.system(Command::Lost { party, epoch }), None)
                }
                4 => {
                    let (presented, resume) = (known.way_back.unwrap_or_else(|| world.secret()), world.secret());
                    let good = known.way_back.is_some();
                    if good {
                        (known.way_back, known.connected) = (Some(resume), true);
                    }
                    let done = world.system(Command::Reattach { presented, resume });
                    ("back", done, (!good).then_some(Reason::TokenGone))
                }
                5 | 6 => {
                    let done = world.rep("ana", Command::Jump { item, join: None, by_endpoint: true });
                    let expected = match (known.runs, known.connected) {
                        (Some(_), _) => Some(Reason::WrongState),
                        (None, false) => Some(Reason::NotStandingBy),
                        (None, true) => None,
                    };
                    if let Ok(Outcome::Session(session)) = &done {
                        known.runs = Some((*session, Some(now)));
                    }
                    ("jump", done, expected)
                }
                7 => {
                    let done = world.redeem(key, None, absent());
                    let expected = match (known.is_good(key), &mut known.runs) {
                        (false, _) => Some(Reason::KeyGone),
                        (true, None) => Some(Reason::SessionEnded),
                        (true, Some((session, lost))) => {
                            assert_eq!(done.as_ref().ok(), Some(&*session), "seed {seed}");
                            *lost = None;
                            None
                        }
                    };
                    ("take_up", done.map(Outcome::Session), expected)
                }
                8 => match known.runs.take() {
                    Some((session, _)) => ("end", world.rep("ana", Command::End { session }), None),
                    None => continue,
                },
                _ if dice.once_in(3) => {
                    let done = world.system(Command::LoseConnections);
                    world.log_in("ana");
                    for known in &mut plain {
                        known.connected = false;
                        if let Some((_, lost)) = &mut known.runs {
                            *lost = Some(now);
                        }
                    }
                    ("restart", done, None)
                }
                _ => {
                    world.wait(100);
                    for known in &mut plain {
                        known.runs.take_if(|(_, lost)| lost.is_some_and(|lost| lost + Span::seconds(300) <= world.now));
                    }
                    ("wait", Ok(Outcome::Done), None)
                }
            };
            assert_eq!(done.as_ref().err().map(|refusal| refusal.reason), expected, "seed {seed}: {name}");
            *met.entry(format!("{name} {}", expected.map_or("done", Reason::name))).or_default() += 1;
            for (item, known) in items.iter().zip(&plain) {
                let state = world.engine.state();
                assert_eq!(state.stands_by(*item), known.connected, "seed {seed}: after {name}");
                let runs: Vec<SessionId> = state.sessions_on(*item).collect();
                let expected: Vec<SessionId> = known.runs.iter().map(|(session, _)| *session).collect();
                assert_eq!(runs, expected, "seed {seed}: after {name}");
            }
        }
    }
    assert_eq!(met.len(), 15, "{met:?}");
}

#[test]
fn p2_1_bu_093_whether_somebody_sits_there_is_as_the_endpoint_says() {
    for (client, source) in [(absent(), "jump_item:srv"), (present(), "jump_item:srv")] {
        let mut world = World::new();
        world.log_in("ana");
        let item = world.engine.state().site.codes.jump_items["srv"];
        let (key, resume) = (world.secret(), world.secret());
        world.system(Command::MakeItemKey { item, key }).unwrap();
        world.system(Command::StandBy { key, client: client.clone(), resume }).unwrap();
        let jump = Command::Jump { item, join: None, by_endpoint: true };
        let Ok(Outcome::Session(session)) = world.rep("ana", jump) else { panic!("it stands by") };
        for _ in 0..2 {
            let state = world.engine.state();
            let granted = state.granted(&state.sessions[&session], Party::Rep(world.user("ana")));
            assert_eq!(granted.source(Tool::Screen), source);
            // Where nobody sits a prompt has its answer at once, which this policy says allows.
            let prompts = granted.prompting();
            assert_eq!(prompts.allow, !client.present, "{client:?}");
            // Before its end came, and after.
            let came = world.redeem(key, None, client.clone());
            assert_eq!(came, Ok(session));
        }
    }
}

/// P3.17: an item without a key, by a rep who may start sessions on it, and not over one that has a key.
#[test]
fn p3_17_bu_040_who_edits_jump_items_removes_none_that_has_a_key() {
    let site = SITE.replacen("\"jump_shell\"]", "\"jump_shell\", \"edit_jump_groups\"]", 1);
    let site = format!("{site}[[jump_item]]\ncode = \"kiosk\"\nmethod = \"jump_shell\"\n");
    let without = site.replace("code = \"kiosk\"", "code = \"other\"");
    let mut world = World::of(&site);
    world.log_in("ana");
    let (item, key) = (world.engine.state().site.codes.jump_items["kiosk"], world.secret());
    let edit = |world: &mut World, text: &str| {
        let raw = RawSite::parse(text).unwrap();
        world.rep("ana", Command::ApplySite(raw.into())).map(|_| ())
    };
    world.system(Command::MakeItemKey { item, key }).unwrap();
    let refused = edit(&mut world, &without).unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P3.17"));
    assert_eq!(refused.message, "jump_item.kiosk has an endpoint's key: an administrator removes it");
    // An administrator does, and one without a key is any editor's.
    world.apply_site(&without);
    edit(&mut world, &site).unwrap();
}

#[test]
fn p3_17_bu_128_an_endpoint_is_pinned_to_an_item_that_its_rep_may_start_and_that_has_no_key() {
    // By its method as well: a jump client is pinned by who may use them.
    let site = site("operator", "viewer").replace("record = \"with_consent\"", "pin_jump_client = \"yes\"");
    let site = site.replace("\"jump_shell\"]", "\"jump_shell\", \"jump_client\"]");
    let mut world = World::of(&site);
    let session = world.serve(None, present());
    let pin = |world: &mut World, who: &str, item: &str| {
        let answer = world.open(who, session, Tool::PinJumpClient, &[("item", text(item))])?;
        let Outcome::Opening { open, prompt } = answer else { panic!("{answer:?}") };
        if let Some(prompt) = prompt {
            world.customer(session, Command::Answer { session, prompt, allow: true })?;
        }
        Ok::<_, equipoise::engine::Refusal>(open)
    };
    world.apply_site(&site.replace("ana = \"operator\"", "ana = \"viewer\""));
    let refused = pin(&mut world, "ana", "srv").unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P8.1"));
    assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::PinJumpClient), Some("jump_group:servers")));
    world.apply_site(&site);
    assert_eq!(pin(&mut world, "ana", "nothing").unwrap_err().reason, Reason::UnknownItem);
    let item = world.engine.state().site.codes.jump_items["srv"];
    let open = pin(&mut world, "ana", "SRV").unwrap();
    let accept = |facts| Command::AcceptOpen { session, open, facts };
    assert_eq!(reason(&world.customer(session, accept(values(&[])))), Reason::Malformed);
    let key = world.secret();
    let hash: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    world.customer(session, accept(values(&[("token", text(&hash))]))).unwrap();
    let resume = world.secret();
    world.system(Command::StandBy { key, client: absent(), resume }).unwrap();
    assert!(world.engine.state().stands_by(item));

    let again = pin(&mut world, "ana", "srv").unwrap_err();
    assert_eq!((again.reason, again.rule.as_str()), (Reason::WrongState, "P3.17"));
    // What the rep may not any more is not taken up either.
    let without = site.replace("code = \"srv\"", "code = \"new\"");
    world.apply_site(&without);
    let open = pin(&mut world, "ana", "new").unwrap();
    world.apply_site(&without.replace("ana = \"operator\"", "ana = \"viewer\""));
    let facts = values(&[("token", text(&hash))]);
    assert_eq!(reason(&world.customer(session, Command::AcceptOpen { session, open, facts })), Reason::OpenGone);
}
