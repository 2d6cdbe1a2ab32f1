//! W5.7, I-A8 to I-A10: credentials, the first administrator, service accounts.

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Enrolled, Outcome, PasswordTerms, Proof, Reason},
    ids::*,
    limits,
    site::raw::RawSite,
    wire::control::ClientInfo,
};

fn set(user: UserId, version: u32) -> Command {
    set_with(user, version, PasswordTerms::default())
}

fn set_with(user: UserId, version: u32, terms: PasswordTerms) -> Command {
    Command::SetCredential { user, phc: format!("$argon2id$v{version}"), version, terms }
}

#[test]
fn w5_7_a_stale_version_changes_nothing() {
    let mut world = World::new();
    let ana = world.user("ana");
    world.system(set(ana, 0)).unwrap();
    assert_eq!(reason(&world.system(set(ana, 0))), Reason::Stale);
    world.system(set(ana, 1)).unwrap();
    assert_eq!(world.engine.state().accounts.credential(ana).unwrap().version, 2);
    assert_eq!(reason(&world.system(set(UserId(99), 0))), Reason::UnknownRep);
}

#[test]
fn i_a9_who_may_set_a_password() {
    let mut world = World::new();
    let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.user("root"));
    assert_eq!(reason(&world.rep("ana", set(ana, 0))), Reason::NotPermitted, "one's own, as one signs in");
    world.act(Actor::Admin(root), None, set(bob, 0)).unwrap();
    world.act(Actor::Admin(root), None, set(root, 0)).unwrap();
    assert_eq!(reason(&world.rep("ana", set(bob, 1))), Reason::NotPermitted);
    assert_eq!(reason(&world.act(Actor::Admin(ana), None, set(bob, 1))), Reason::NotPermitted);
    assert_eq!(reason(&world.act(Actor::Service(ServiceId(1)), None, set(bob, 1))), Reason::NotPermitted);
    assert_eq!(reason(&world.customer(SessionId(1), set(bob, 1))), Reason::NotPermitted);
}

#[test]
fn i_a5_a_changed_password_cuts_off_who_is_connected() {
    let mut world = World::new();
    let ana = world.user("ana");
    let token = world.log_in("ana");
    world.words();
    world.system(set(ana, 0)).unwrap();
    assert_eq!(world.words(), "tokens revoked\ndetached 1");
    let resume = world.secret();
    assert_eq!(reason(&world.system(Command::Reattach { presented: token, resume })), Reason::TokenGone);
    world.log_in("root");
    world.words();
    world.rep("root", set(world.user("root"), 0)).unwrap();
    assert_eq!(world.words(), "", "who changes its own stays");
}

#[test]
fn bu_034_who_may_set_passwords_sets_and_unlocks_those_of_others_who_are_no_administrators() {
    let mut world = World::new();
    let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.user("root"));
    let mut raw = (*world.engine.state().site.raw).clone();
    for user in raw.user.iter_mut().filter(|user| user.username == "lea") {
        user.permissions.push("set_passwords".to_owned());
    }
    world.system(Command::ApplySite(raw.into())).unwrap();
    let lea = world.user("lea");
    let both = |user: UserId, version: u32| [set(user, version), Command::Unlock { user }];
    for actor in [Actor::Admin(lea), Actor::Party(Party::Rep(lea))] {
        let version = world.engine.state().accounts.credential(bob).map_or(0, |credential| credential.version);
        for command in both(bob, version) {
            world.act(actor, None, command).unwrap();
        }
        for command in both(root, 0).into_iter().chain(both(lea, 0)) {
            assert_eq!(reason(&world.act(actor, None, command.clone())), Reason::NotPermitted, "{command:?}");
        }
        assert_eq!(reason(&world.act(actor, None, set(UserId(99), 0))), Reason::UnknownRep);
    }
    let strangers = [
        Actor::Party(Party::Rep(ana)),
        Actor::Admin(ana),
        Actor::Service(ServiceId(1)),
        Actor::Party(Party::Customer(SessionId(1))),
    ];
    for actor in strangers {
        for command in both(bob, 2) {
            assert_eq!(reason(&world.act(actor, None, command)), Reason::NotPermitted, "{actor:?}");
        }
        let nobody = world.act(actor, None, set(UserId(99), 0));
        assert_eq!(reason(&nobody), Reason::NotPermitted, "who may set none learns of nobody");
    }
    for command in both(root, 0).into_iter().chain(both(lea, 0)) {
        world.act(Actor::Admin(root), None, command).unwrap();
    }
    // Nor once the account is disabled, or that of an administrator.
    world.system(Command::DisableUser { user: root }).unwrap();
    assert_eq!(reason(&world.act(Actor::Admin(lea), None, set(root, 1))), Reason::NotPermitted);
    world.system(Command::DisableUser { user: lea }).unwrap();
    assert_eq!(reason(&world.act(Actor::Admin(lea), None, Command::Unlock { user: bob })), Reason::NotPermitted);
}

#[test]
fn w5_7_nobody_logs_in_by_a_password_that_is_over_and_the_next_one_has_no_terms() {
    let mut world = World::new();
    let ana = world.user("ana");
    let login = |world: &mut World, version: u32| {
        let (resume, client) = (world.secret(), Default::default());
        world.system(Command::Login { user: ana, version, resume, client })
    };
    world.system(set_with(ana, 0, PasswordTerms { must_reset: true, expires_ms: None })).unwrap();
    assert_eq!(reason(&login(&mut world, 1)), Reason::PasswordResetRequired);
    let enrolled = Enrolled { user: ana, sealed: String::new(), step: 0, recovery: Vec::new() };
    world.system(Command::SetSecondFactor(enrolled)).unwrap();
    assert_eq!(reason(&login(&mut world, 1)), Reason::Stale);
    assert_eq!(reason(&login(&mut world, 2)), Reason::PasswordResetRequired, "the password is the same");
    world.system(set(ana, 2)).unwrap();
    login(&mut world, 3).unwrap();
}

#[test]
fn w5_7_a_password_is_over_at_its_date_and_who_is_logged_in_by_then_stays() {
    let mut world = World::new();
    let ana = world.user("ana");
    let date = 1_790_000_000_000;
    world.system(Command::CivilTime { ms: date - 10_000 }).unwrap();
    world.system(set_with(ana, 0, PasswordTerms { must_reset: false, expires_ms: Some(date) })).unwrap();
    let token = world.log_in("ana");
    world.wait(9);
    world.log_in("ana");
    world.wait(1);
    let (presented, resume) = (world.secret(), world.secret());
    assert_eq!(reason(&world.system(Command::Reattach { presented, resume })), Reason::TokenGone);
    let again = Command::Login { user: ana, version: 1, resume: token, client: Default::default() };
    assert_eq!(reason(&world.system(again)), Reason::PasswordResetRequired);
    assert!(world.engine.state().console(ana).is_some());
}

#[test]
fn i_a8_the_first_administrator_is_made_once() {
    let mut world = World::new();
    let first = |name: &str| first_admin(name, None);
    assert_eq!(reason(&world.rep("ana", first("eve"))), Reason::NotPermitted);
    assert_eq!(reason(&world.system(first("no spaces"))), Reason::BadSite);
    assert!(!world.engine.has_admin());
    world.system(first("Eve")).unwrap();
    assert!(world.engine.has_admin());
    assert_eq!(reason(&world.system(first("mallory"))), Reason::SetupDone);
    let eve = world.user("eve");
    assert_eq!(world.engine.state().accounts.credential(eve).unwrap().version, 1);
    world.act(Actor::Admin(eve), None, set(world.user("ana"), 0)).unwrap();
}

fn first_admin(username: &str, second_factor: Option<Enrolled>) -> Command {
    Command::CreateFirstAdmin { username: username.to_owned(), phc: "$argon2id".to_owned(), second_factor }
}

#[test]
fn i_a8_the_first_administrator_and_the_second_factor_come_in_one_turn_or_not_at_all() {
    let mut world = World::new();
    let enrolled = |user| Some(Enrolled { user, sealed: "sealed".to_owned(), step: 100, recovery: Vec::new() });
    let before = world.engine.state().clone();
    let other = world.user("ana");
    assert_eq!(reason(&world.system(first_admin("eve", enrolled(other)))), Reason::Stale);
    assert_eq!(*world.engine.state(), before, "nothing came of it");
    let eve = before.admin_to_be("Eve").unwrap();
    world.system(first_admin("eve", enrolled(eve))).unwrap();
    assert_eq!(world.user("eve"), eve);
    assert!(world.engine.state().accounts.has_second_factor(eve));
    assert!(before.admin_to_be("no spaces").is_err());
}

#[test]
fn i_a8_the_site_may_name_the_first_administrator() {
    let mut world = World::new();
    let users = world.engine.state().site.users.len();
    world.system(first_admin("root", None)).unwrap();
    assert_eq!(world.engine.state().site.users.len(), users);
    assert!(world.engine.has_admin());
}

#[test]
fn nobody_deletes_their_own_account_and_another_administrator_does() {
    let mut world = World::new();
    let root = world.user("root");
    let mut raw = RawSite::clone(&world.engine.state().site.raw);
    raw.user.retain(|user| user.username != "root");
    let without_root = Command::ApplySite(raw.into());
    assert_eq!(reason(&world.act(Actor::Admin(root), None, without_root.clone())), Reason::BadSite);
    assert!(world.engine.state().site.users.contains_key(&root));
    world.system(without_root).unwrap();
    assert!(!world.engine.state().site.users.contains_key(&root));
}

#[test]
fn i_a3_a_service_key_is_replaced_whole() {
    let mut world = World::new();
    let (first, second) = (world.secret(), world.secret());
    let make = |name: &str, token| Command::MakeServiceKey { name: name.to_owned(), token };
    let service = world.system(make("crm", first)).unwrap();
    assert_eq!(service, Outcome::Service(ServiceId(1)));
    assert_eq!(world.system(make("crm", second)).unwrap(), service);
    let accounts = &world.engine.state().accounts;
    assert_eq!((accounts.service_of(first), accounts.service_of(second)), (None, Some(ServiceId(1))));
    assert_eq!(reason(&world.system(make("other", second))), Reason::Stale);
    assert_eq!(reason(&world.rep("ana", make("mine", first))), Reason::NotPermitted);
    assert_eq!(reason(&world.act(Actor::Service(ServiceId(1)), None, make("more", first))), Reason::NotPermitted);
    assert_eq!(reason(&world.system(make("", first))), Reason::Malformed);
    assert_eq!(reason(&world.system(make("a\nb", first))), Reason::Malformed);
}

#[test]
fn i_a3_service_accounts_have_a_bound() {
    let mut world = World::new();
    for number in 0..limits::SERVICES_MAX {
        let token = world.secret();
        world.system(Command::MakeServiceKey { name: format!("s{number}"), token }).unwrap();
    }
    let token = world.secret();
    assert_eq!(reason(&world.system(Command::MakeServiceKey { name: "more".to_owned(), token })), Reason::LimitReached);
}

fn enrol(user: UserId, recovery: Vec<SecretHash>) -> Command {
    Command::SetSecondFactor(Enrolled { user, sealed: "sealed".to_owned(), step: 100, recovery })
}

fn used(user: UserId, proof: Proof) -> Command {
    Command::UseSecondFactor { user, proof }
}

#[test]
fn i_t3_each_step_and_each_recovery_code_proves_once() {
    let mut world = World::new();
    let (ana, first, second) = (world.user("ana"), world.secret(), world.secret());
    assert_eq!(reason(&world.rep("ana", enrol(ana, vec![]))), Reason::UnknownRep, "a password comes first");
    world.system(set(ana, 0)).unwrap();
    world.rep("ana", enrol(ana, vec![first, second])).unwrap();
    assert!(world.engine.state().accounts.has_second_factor(ana));
    assert_eq!(reason(&world.system(used(ana, Proof::Step(100)))), Reason::Stale, "it confirmed the enrolment");
    world.system(used(ana, Proof::Step(102))).unwrap();
    for step in [102, 101, 0] {
        assert_eq!(reason(&world.system(used(ana, Proof::Step(step)))), Reason::Stale, "{step}");
    }
    world.system(used(ana, Proof::Recovery(first))).unwrap();
    assert_eq!(reason(&world.system(used(ana, Proof::Recovery(first)))), Reason::Stale);
    assert_eq!(world.engine.state().accounts.second_factor(ana).unwrap().recovery_codes_left(), 1);
    world.system(used(ana, Proof::Step(103))).unwrap();
}

#[test]
fn i_a5_i_a9_a_second_factor_is_set_by_its_owner_and_removed_by_an_administrator() {
    let mut world = World::new();
    let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.user("root"));
    world.system(set(ana, 0)).unwrap();
    let token = world.log_in("ana");
    for stranger in [Actor::Admin(root), Actor::Party(Party::Rep(bob)), Actor::Service(ServiceId(1))] {
        assert_eq!(reason(&world.act(stranger, None, enrol(ana, vec![]))), Reason::NotPermitted);
        assert_eq!(reason(&world.act(stranger, None, used(ana, Proof::Step(1)))), Reason::NotPermitted);
    }
    world.rep("ana", enrol(ana, vec![])).unwrap();
    let resume = world.secret();
    assert_eq!(reason(&world.system(Command::Reattach { presented: token, resume })), Reason::TokenGone);
    let remove = || Command::RemoveSecondFactor { user: ana };
    for stranger in [Actor::Party(Party::Rep(bob)), Actor::Service(ServiceId(1))] {
        assert_eq!(reason(&world.act(stranger, None, remove())), Reason::NotPermitted);
    }
    world.act(Actor::Admin(root), None, remove()).unwrap();
    assert!(!world.engine.state().accounts.has_second_factor(ana));
}

#[test]
fn ra_022_r11_3_who_administers_comes_with_a_client_that_is_recent_enough() {
    let text = SITE.replace("[options]", "[options]\ntwo_factor = { min_client = \"1.4\" }");
    let world = World::of(&text);
    let root = world.user("root");
    let enters = |version: &str| {
        let client = ClientInfo { version: version.to_owned(), ..ClientInfo::default() };
        world.engine.enter_to_administer(world.now, root, 0, &client).map_err(|refusal| refusal.reason)
    };
    for old in ["", "1.3.9", "nonsense"] {
        assert_eq!(enters(old), Err(Reason::ClientTooOld), "{old}");
    }
    assert_eq!((enters("1.4.0"), enters("2")), (Ok(()), Ok(())));
}

#[test]
fn ra_018_r11_3_a_group_may_ask_for_a_newer_client_than_the_site() {
    let groups = |office: &str, desk: &str| {
        let site = SITE.replace("[options]", "[options]\ntwo_factor = { min_client = \"1.4\" }");
        format!(
            "{site}[[technician_group]]\ncode = \"office\"\nmin_client = \"{office}\"\nmembers = [\"root\"]\n\
             [[technician_group]]\ncode = \"desk\"\nparent = \"office\"\nmin_client = \"{desk}\"\nmembers = [\"ana\"]\n"
        )
    };
    let told = |world: &mut World, name: &str, version: &str| {
        let (user, resume) = (world.user(name), world.secret());
        let client = ClientInfo { version: version.to_owned(), ..ClientInfo::default() };
        let login = world.system(Command::Login { user, version: 0, resume, client });
        login.err().map(|refusal| {
            assert_eq!(refusal.reason, Reason::ClientTooOld);
            refusal.message.rsplit_once(": ").unwrap().1.to_owned()
        })
    };
    let of = |version: &str, by: &str| Some(format!("{version} is the least that is let in{by}"));
    let mut world = World::of(&groups("2.1", ""));
    assert_eq!(told(&mut world, "ana", "2.0.9"), of("2.1", ", by technician_group:office"));
    assert_eq!(told(&mut world, "root", "1.9"), of("2.1", ", by technician_group:office"));
    assert_eq!(told(&mut world, "lea", "1.3"), of("1.4", ""), "in no group");
    assert_eq!(told(&mut world, "ana", "2.1"), None);
    // The nearest group says it, and an edit is for the next login.
    world.apply_site(&groups("2.1", "3"));
    assert!(world.engine.state().consoles.contains_key(&world.user("ana")));
    assert_eq!(told(&mut world, "ana", "2.1"), of("3", ", by technician_group:desk"));
    // Less than the site it cannot be.
    world.apply_site(&groups("2.1", "1.0"));
    assert_eq!(told(&mut world, "ana", "1.3"), of("1.4", ""));
    assert_eq!(told(&mut world, "ana", "1.4"), None);
    let (root, client) = (world.user("root"), ClientInfo { version: "2".into(), ..ClientInfo::default() });
    let refusal = world.engine.enter_to_administer(world.now, root, 0, &client).unwrap_err();
    assert!(refusal.message.ends_with(", by technician_group:office"), "{refusal}");
}
