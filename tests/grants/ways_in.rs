//! W3.4, W3.5, I-K1: keys, join tokens, resume tokens, repeated requests.

use crate::world::*;
use equipoise::{
    engine::{Actor, Command, Entry, Outcome, Queue, Reason, command::Customer},
    ids::*,
    limits,
    policy::Tool,
    site::SessionKind,
    time::Span,
};
use expect_test::expect;

impl World {
    fn reattach(&mut self, presented: SecretHash) -> (Answer, SecretHash) {
        let resume = self.secret();
        (self.system(Command::Reattach { presented, resume }), resume)
    }

    fn make_key(&mut self, actor: Actor, queue: Queue, code: bool, life: Span) -> (Answer, SecretHash) {
        let (key, expires) = (self.secret(), self.now + life);
        (self.act(actor, None, Command::MakeKey { entry: Entry::Queue(queue), key, code, expires }), key)
    }
}

#[test]
fn w3_4_each_use_of_a_token_replaces_it_and_raises_the_epoch() {
    let mut world = World::new();
    let first = world.log_in("ana");
    let (answer, second) = world.reattach(first);
    let party = Party::Rep(world.user("ana"));
    assert_eq!(answer.unwrap(), Outcome::Attached { party, epoch: AttachEpoch(2) });
    let (answer, _) = world.reattach(second);
    assert_eq!(answer.unwrap(), Outcome::Attached { party, epoch: AttachEpoch(3) });
}

#[test]
fn w3_4_the_old_token_is_good_until_the_new_one_is_first_used() {
    let mut world = World::new();
    let first = world.log_in("ana");
    let (answer, _lost) = world.reattach(first);
    answer.unwrap();
    let (answer, second) = world.reattach(first);
    answer.unwrap();
    let (answer, _) = world.reattach(second);
    answer.unwrap();
    world.words();
    let (answer, _) = world.reattach(first);
    assert_eq!(answer.unwrap(), Outcome::TokensRevoked { party: Party::Rep(world.user("ana")) });
}

#[test]
fn h_56_a_replayed_token_kills_the_whole_family_and_cuts_the_connection() {
    let mut world = World::new();
    let first = world.log_in("ana");
    let (_, second) = world.reattach(first);
    let (_, third) = world.reattach(second);
    world.words();
    let (answer, fresh) = world.reattach(first);
    assert!(matches!(answer, Ok(Outcome::TokensRevoked { .. })));
    expect![[r#"
        tokens revoked
        detached 3"#]]
    .assert_eq(&world.words());
    for token in [first, second, third, fresh] {
        assert_eq!(reason(&world.reattach(token).0), Reason::TokenGone);
    }
    assert!(!world.engine.state().parties.connected(Party::Rep(world.user("ana"))));
}

#[test]
fn h_56_a_token_is_dead_after_logout_and_after_the_session() {
    let mut world = World::new();
    let token = world.log_in("ana");
    let key = world.key("ana", "net");
    let session = world.redeem(key, None, present()).unwrap();
    let (_, customers) = {
        let known = SecretHash::of(&3u64.to_be_bytes());
        world.reattach(known)
    };
    world.rep("ana", Command::Take { session }).unwrap();
    world.rep("ana", Command::End { session }).unwrap();
    assert_eq!(reason(&world.reattach(customers).0), Reason::SessionEnded);
    let user = world.user("ana");
    world.rep("ana", Command::Logout { user }).unwrap();
    assert_eq!(reason(&world.reattach(token).0), Reason::TokenGone);
}

#[test]
fn w3_4_a_fresh_login_ends_every_token_before_it_without_alarm() {
    let mut world = World::new();
    let here = world.log_in("ana");
    let there = world.log_in("ana");
    assert_eq!(reason(&world.reattach(here).0), Reason::TokenGone);
    world.reattach(there).0.unwrap();
}

#[test]
fn w3_4_unknown_tokens_and_ones_in_use_are_refused() {
    let mut world = World::new();
    let token = world.log_in("ana");
    let unknown = world.secret();
    assert_eq!(reason(&world.reattach(unknown).0), Reason::TokenGone);
    assert_eq!(reason(&world.system(Command::Reattach { presented: token, resume: token })), Reason::Stale);
}

#[test]
fn w3_4_who_was_away_when_the_session_ended_is_told_so_and_learns_nothing_else() {
    let mut world = World::new();
    world.log_in("ana");
    let key = world.key("ana", "net");
    let first = world.secret();
    let redeem = Command::Redeem { key, portal: None, customer: Customer::default(), resume: first };
    let Ok(Outcome::Attached { party: Party::Customer(session), .. }) = world.system(redeem) else { panic!("joined") };
    let (_, second) = world.reattach(first);
    world.reattach(second).0.unwrap();
    world.customer(session, Command::End { session }).unwrap();
    // The last token and the one before it; what was used up long ago is as unknown as any.
    assert_eq!(reason(&world.reattach(second).0), Reason::SessionEnded);
    assert_eq!(reason(&world.reattach(first).0), Reason::TokenGone);
}

#[test]
fn w3_1_the_end_of_a_replaced_connection_is_nothing() {
    let mut world = World::new();
    let token = world.log_in("ana");
    world.reattach(token).0.unwrap();
    world.words();
    let party = Party::Rep(world.user("ana"));
    world.system(Command::Lost { party, epoch: AttachEpoch(1) }).unwrap();
    world.system(Command::Lost { party, epoch: AttachEpoch(9) }).unwrap();
    assert_eq!(world.words(), "");
    world.system(Command::Lost { party, epoch: AttachEpoch(2) }).unwrap();
    world.system(Command::Lost { party, epoch: AttachEpoch(2) }).unwrap();
    assert_eq!(world.words(), "detached 2");
}

#[test]
fn w3_4_after_a_restart_everybody_is_gone_and_comes_back_by_token() {
    let (mut world, session) = World::serving(None);
    world.opened("ana", session, Tool::Chat, &[]);
    let token = world.log_in("ana");
    world.system(Command::LoseConnections).unwrap();
    let ana = Party::Rep(world.user("ana"));
    assert!(!world.engine.state().parties.connected(ana));
    world.reattach(token).0.unwrap();
    assert!(world.engine.state().parties.connected(ana));
    assert_eq!(world.channels(session), 2, "channels outlive the broker");
}

#[test]
fn w3_5_a_repeated_request_gets_the_same_answer_and_is_not_done_twice() {
    let (mut world, session) = World::serving(None);
    let ana = Actor::Party(Party::Rep(world.user("ana")));
    let open = Command::Open { session, tool: Tool::SystemInfo, args: values(&[]) };
    let once = world.act(ana, Some(7), open.clone()).unwrap();
    world.words();
    assert_eq!(world.act(ana, Some(7), open.clone()).unwrap(), once);
    assert_eq!(world.words(), "");
    assert_ne!(world.act(ana, Some(8), open).unwrap(), once);
}

#[test]
fn w3_5_answers_survive_a_reconnect_and_not_a_fresh_login() {
    let (mut world, session) = World::serving(None);
    let token = world.log_in("ana");
    let ana = Actor::Party(Party::Rep(world.user("ana")));
    let open = Command::Open { session, tool: Tool::SystemInfo, args: values(&[]) };
    let once = world.act(ana, Some(1), open.clone()).unwrap();
    world.reattach(token).0.unwrap();
    assert_eq!(world.act(ana, Some(1), open.clone()).unwrap(), once);
    world.log_in("ana");
    assert_ne!(world.act(ana, Some(1), open).unwrap(), once);
}

#[test]
fn w3_5_the_last_answers_are_remembered_and_no_more() {
    let (mut world, session) = World::serving(None);
    let party = Party::Rep(world.user("ana"));
    let chat = world.opened("ana", session, Tool::Chat, &[])[0].channel;
    for id in 1..=limits::REQUESTS_REMEMBERED as u64 + 1 {
        let note = Command::Note { session, channel: chat, facts: values(&[("n", text("x"))]) };
        world.act(Actor::Party(party), Some(id), note).unwrap();
    }
    let parties = &world.engine.state().parties;
    assert_eq!(parties.remembered(Actor::Party(party), 1), None);
    assert_eq!(parties.remembered(Actor::Party(party), 2), Some(Outcome::Done));
}

#[test]
fn i_k1_a_key_works_once() {
    let mut world = World::new();
    world.log_in("ana");
    let key = world.key("ana", "net");
    world.words();
    let session = world.redeem(key, Some("strict"), present()).unwrap();
    expect![[r#"
        asked 1
        key used
        attached 1"#]]
    .assert_eq(&world.words());
    assert_eq!(world.engine.state().sessions[&session].ask.portal, Some(world.portal("strict")), "R2.4");
    let again = world.redeem(key, None, present()).unwrap_err();
    let unknown = world.secret();
    let unknown = world.redeem(unknown, None, present()).unwrap_err();
    assert_eq!(again.reason, Reason::KeyGone);
    assert_eq!(again, unknown, "used and unknown look alike");
}

#[test]
fn h_47_i_k1_a_key_runs_out_and_looks_like_one_that_never_was() {
    let mut world = World::new();
    world.log_in("ana");
    let key = world.key("ana", "net");
    world.wait(15 * 60 - 1);
    world.words();
    world.wait(1);
    assert_eq!(world.words(), "key expired");
    let expired = world.redeem(key, None, present()).unwrap_err();
    assert_eq!(expired.reason, Reason::KeyGone);
    assert_eq!(expired, world.redeem(SecretHash::of(b"nobody's"), None, present()).unwrap_err());
}

#[test]
fn i_k1_a_longer_life_than_its_kind_may_have_is_cut() {
    let mut world = World::new();
    let net = Queue::Team(world.team("net"));
    for (code, life) in [(true, limits::JOIN_CODE), (false, limits::JOIN_LINK)] {
        let (answer, key) = world.make_key(Actor::System, net, code, Span::minutes(100_000));
        answer.unwrap();
        assert_eq!(world.engine.state().keys.get(key).unwrap().expires, world.now + life);
    }
    assert_eq!(reason(&world.make_key(Actor::System, net, true, Span::ZERO).0), Reason::Malformed);
}

#[test]
fn i_k1_live_codes_have_a_cap() {
    let mut world = World::new();
    let net = Queue::Team(world.team("net"));
    for _ in 0..limits::JOIN_CODES_LIVE {
        world.make_key(Actor::System, net, true, Span::minutes(5)).0.unwrap();
    }
    assert_eq!(reason(&world.make_key(Actor::System, net, true, Span::minutes(5)).0), Reason::LimitReached);
    world.make_key(Actor::System, net, false, Span::minutes(5)).0.unwrap();
    world.wait(300);
    world.make_key(Actor::System, net, true, Span::minutes(5)).0.unwrap();
}

#[test]
fn i_k2_a_key_that_was_given_out_is_not_given_again() {
    let mut world = World::new();
    world.log_in("ana");
    let key = world.key("ana", "net");
    let entry = Entry::Queue(Queue::Team(world.team("net")));
    let expires = world.now + Span::minutes(5);
    let again = Command::MakeKey { entry, key, code: true, expires };
    assert_eq!(reason(&world.system(again.clone())), Reason::Stale);
    world.redeem(key, None, present()).unwrap();
    assert_eq!(reason(&world.system(again)), Reason::Stale);
}

#[test]
fn r2_1_a_rep_makes_keys_to_its_own_queue_and_teams() {
    let mut world = World::new();
    let life = Span::minutes(5);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let (net, desk) = (Queue::Team(world.team("net")), Queue::Team(world.team("desk")));
    let by = |user| Actor::Party(Party::Rep(user));
    world.make_key(by(ana), net, true, life).0.unwrap();
    world.make_key(by(ana), Queue::Personal(ana), true, life).0.unwrap();
    assert_eq!(reason(&world.make_key(by(ana), desk, true, life).0), Reason::NotMember);
    assert_eq!(reason(&world.make_key(by(ana), Queue::Personal(bob), true, life).0), Reason::NotMember);
    assert_eq!(reason(&world.make_key(by(bob), net, true, life).0), Reason::NotPermitted);
    assert_eq!(reason(&world.make_key(by(ana), Queue::Team(TeamId(99)), true, life).0), Reason::UnknownTeam);
    assert_eq!(
        reason(&world.make_key(Actor::Party(Party::Customer(SessionId(1))), net, true, life).0),
        Reason::NotPermitted
    );
    world.make_key(Actor::Service(ServiceId(1)), desk, true, life).0.unwrap();
}

#[test]
fn i_a10_a_key_is_worth_no_more_than_its_maker_may_do_at_that_moment() {
    let mut world = World::new();
    world.log_in("ana");
    let key = world.key("ana", "net");
    world.system(Command::DisableUser { user: world.user("ana") }).unwrap();
    assert_eq!(world.redeem(key, None, present()).unwrap_err().reason, Reason::KeyGone);
}

/// The site in which this group holds ana's tools.
fn grouped(tools: &str, more: &str) -> String {
    format!("{SITE}[[technician_group]]\ncode = \"tier1\"\nmembers = [\"ana\"]\ntools = {{ {tools} }}\n{more}")
}

#[test]
fn lr_026_p3_24_a_key_needs_private_sessions_and_the_refusal_names_the_layer() {
    let mut world = World::of(&grouped("private_sessions = \"deny\"", ""));
    let (ana, life) = (Actor::Party(Party::Rep(world.user("ana"))), Span::minutes(5));
    let own = Queue::Personal(world.user("ana"));
    for (queue, code) in [(own, true), (Queue::Team(world.team("net")), false)] {
        let refused = world.make_key(ana, queue, code, life).0.unwrap_err();
        assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P3.24"));
        let (tool, source) = (refused.tool, refused.source.as_deref());
        assert_eq!((tool, source), (Some(Tool::PrivateSessions), Some("technician_group:tier1")));
    }
    // Who has no layer of a representative is not judged in one.
    world.make_key(Actor::Service(ServiceId(1)), own, true, life).0.unwrap();
    world.make_key(Actor::Admin(world.user("root")), own, true, life).0.unwrap();
    // It is a right of sessions, and no right to serve those that begin otherwise.
    world.log_in("ana");
    let (session, _) = world.asked("net", SessionKind::Support);
    world.rep("ana", Command::Take { session }).unwrap();
}

#[test]
fn lr_026_p3_24_a_key_begins_private_sessions_by_the_ways_that_are_listed() {
    let ways = |list: &str| SITE.replacen("record = \"with", &format!("private_ways = {list}, record = \"with"), 1);
    let mut world = World::of(&ways("[\"link\", \"sms\"]"));
    let (ana, life) = (Actor::Party(Party::Rep(world.user("ana"))), Span::minutes(5));
    let own = Queue::Personal(world.user("ana"));
    let refused = world.make_key(ana, own, true, life).0.unwrap_err();
    assert_eq!((refused.rule.as_str(), refused.source.as_deref()), ("P3.24", Some("default")));
    world.make_key(ana, own, false, life).0.unwrap();
    world.apply_site(&ways("[\"pin\"]"));
    world.make_key(ana, own, true, life).0.unwrap();
    assert_eq!(reason(&world.make_key(ana, own, false, life).0), Reason::NotPermitted);
    world.apply_site(&ways("[]"));
    assert_eq!(reason(&world.make_key(ana, own, true, life).0), Reason::NotPermitted);
}

#[test]
fn lr_026_i_a10_a_key_made_before_the_right_ended_is_good_no_more_and_again_when_it_is_back() {
    let mut world = World::new();
    world.log_in("ana");
    let (first, second) = (world.key("ana", "net"), world.key("ana", "net"));
    for without in [grouped("private_sessions = \"deny\"", ""), {
        let only_links = "private_ways = [\"link\"], record = \"with";
        SITE.replacen("record = \"with", only_links, 1)
    }] {
        world.apply_site(&without);
        assert_eq!(world.redeem(first, None, present()).unwrap_err().reason, Reason::KeyGone);
        // A portal allows nobody what the rep has not.
        let allowing = without.replacen(
            "tools = { shell = \"no\", file",
            "tools = { private_sessions = \"yes\", shell = \"no\", file",
            1,
        );
        world.apply_site(&allowing);
        assert_eq!(world.redeem(first, Some("strict"), present()).unwrap_err().reason, Reason::KeyGone);
    }
    world.apply_site(SITE);
    world.redeem(first, None, present()).expect("the key was not used up");
    // And the customers of a portal that has no private sessions do not come in by one.
    let forbidding =
        SITE.replacen("tools = { shell = \"no\", file", "tools = { private_sessions = \"no\", shell = \"no\", file", 1);
    world.apply_site(&forbidding);
    assert_eq!(world.redeem(second, Some("strict"), present()).unwrap_err().reason, Reason::KeyGone);
    world.redeem(second, Some("kind"), present()).unwrap();
}

#[test]
fn r2_6_a_key_is_not_used_up_where_nobody_can_serve() {
    let mut world = World::new();
    world.log_in("ana");
    let ana = world.user("ana");
    let (answer, key) = {
        let queue = Queue::Personal(ana);
        world.make_key(Actor::Party(Party::Rep(ana)), queue, true, Span::minutes(5))
    };
    answer.unwrap();
    world.rep("ana", Command::Logout { user: ana }).unwrap();
    assert_eq!(world.redeem(key, None, present()).unwrap_err().reason, Reason::NoRepAvailable);
    world.log_in("ana");
    world.redeem(key, None, present()).unwrap();
}

#[test]
fn r2_4_the_customer_of_an_asked_session_comes_once_by_its_join_token() {
    let mut world = World::new();
    let (session, join) = world.asked("net", SessionKind::Support);
    world.words();
    assert_eq!(world.redeem(join, Some("strict"), present()).unwrap(), session);
    expect![[r#"
        key used
        portal of 1 bound
        attached 1"#]]
    .assert_eq(&world.words());
    assert_eq!(world.engine.state().sessions[&session].ask.portal, Some(world.portal("strict")));
    assert_eq!(world.redeem(join, None, present()).unwrap_err().reason, Reason::KeyGone);
}

#[test]
fn i_k1_a_join_token_dies_with_its_session() {
    let mut world = World::new();
    let (session, join) = world.asked("net", SessionKind::Support);
    world.system(Command::End { session }).unwrap();
    assert_eq!(world.redeem(join, None, present()).unwrap_err().reason, Reason::KeyGone);
}

#[test]
fn w3_5_a_service_s_requests_are_done_once_over_connections_and_restarts() {
    let mut world = World::new();
    let till = Actor::Service(ServiceId(1));
    let ask = |world: &mut World, id| world.asked_as(Some(id), "net", SessionKind::Support).0;
    let first = limits::SERVICE_REQUEST_IDS_FROM;
    let once = ask(&mut world, first);
    world.words();
    assert_eq!(ask(&mut world, first), once);
    assert_eq!(world.words(), "", "nothing was done again");
    assert_ne!(ask(&mut world, 1), ask(&mut world, 1), "a small number is its connection's own");
    for id in 1..=limits::SERVICE_REQUESTS_REMEMBERED as u64 {
        ask(&mut world, first + id);
    }
    let parties = &world.engine.state().parties;
    assert_eq!(parties.remembered(till, first), None, "the oldest is forgotten");
    assert!(parties.remembered(till, first + 1).is_some());
    assert_eq!(parties.remembered(Actor::Service(ServiceId(2)), first + 1), None, "another's are its own");
}
