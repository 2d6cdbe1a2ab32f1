//! A rep shows its screen to another (BU-067), and gives control of it (BU-068): R1.4's sessions without a customer.

use crate::world::*;
use equipoise::{
    engine::{
        Actor, Command, Event, Outcome, Queue, Reason, Stamped,
        event::{ChannelSpec, EndReason},
    },
    ids::*,
    limits,
    policy::Tool,
    site::SessionKind,
    wire::{Kind, control::Value},
};
use std::collections::BTreeMap;

const BOTH: &str = "\"jump_shell\", \"show_screen_to_reps\", \"give_control_to_reps\"]";
const SHOWS: &str = "\"jump_shell\", \"show_screen_to_reps\"]";

/// Ana has these of the two permissions.
fn site(permissions: &str) -> String {
    SITE.replacen("\"jump_shell\"]", permissions, 1)
}

impl World {
    /// `ana` shows her screen to `bob`, who has not answered.
    fn asked_to_look(permissions: &str) -> (Self, SessionId) {
        let mut world = Self::of(&site(permissions));
        for name in ["ana", "bob", "lea"] {
            world.log_in(name);
        }
        let session = world.shows("ana", "bob").expect("she may, and he is there");
        (world, session)
    }

    /// Bob looks: the channel of the pictures is open.
    fn looking(permissions: &str) -> (Self, SessionId, ChannelSpec) {
        let (mut world, session) = Self::asked_to_look(permissions);
        world.rep("bob", Command::Join { session }).expect("he was asked");
        let pictures = world.looks(session, &[]).expect("she shows it").remove(0);
        (world, session, pictures)
    }

    fn shows(&mut self, by: &str, to: &str) -> Result<SessionId, equipoise::engine::Refusal> {
        let to = self.user(to);
        match self.rep(by, Command::ShowScreen { to })? {
            Outcome::Session(session) => Ok(session),
            other => panic!("{other:?}"),
        }
    }

    /// Bob opens the screen, and the console of ana, whose screen it is, takes it up.
    fn looks(
        &mut self,
        session: SessionId,
        args: &[(&str, Value)],
    ) -> Result<Vec<ChannelSpec>, equipoise::engine::Refusal> {
        let Outcome::Opening { open, prompt: None } = self.open("bob", session, Tool::Screen, args)? else {
            panic!("nobody is prompted: ana takes it up, or not")
        };
        let from = self.log().len();
        self.rep("ana", Command::AcceptOpen { session, open, facts: BTreeMap::new() })?;
        let opened = self.log()[from..].iter().find_map(|stamped| match &stamped.event {
            Event::Opened { channels, .. } => Some(channels.clone()),
            _ => None,
        });
        Ok(opened.expect("it was taken up"))
    }

    fn control(&mut self, by: &str, session: SessionId, on: bool) -> Answer {
        self.rep(by, Command::GiveControl { session, on })
    }

    fn ended(&self, session: SessionId) -> Option<EndReason> {
        self.log().iter().find_map(|Stamped { event, .. }| match event {
            Event::Ended { session: over, reason } if *over == session => Some(*reason),
            _ => None,
        })
    }

    fn sessions_of(&self, name: &str) -> u32 {
        self.engine.state().console(self.user(name)).expect("is logged in").sessions
    }
}

fn with_control() -> [(&'static str, Value); 1] {
    [("control", Value::Bool(true))]
}

#[test]
fn p1_1_bu_067_showing_ones_screen_needs_its_permission_and_a_rep_who_is_there() {
    let mut world = World::of(&site("\"jump_shell\"]"));
    world.log_in("ana");
    world.log_in("bob");
    let refused = world.shows("ana", "bob").unwrap_err();
    assert_eq!((refused.reason, refused.rule.as_str()), (Reason::NotPermitted, "P1.1"));
    assert_eq!((refused.tool, refused.source.as_deref()), (Some(Tool::Screen), Some("user:ana")));

    // The permission of who looks has no say.
    world.apply_site(&site(SHOWS));
    assert_eq!(world.shows("bob", "ana").unwrap_err().reason, Reason::NotPermitted);
    assert_eq!(world.shows("ana", "ana").unwrap_err().reason, Reason::WrongState);
    assert_eq!(world.shows("ana", "lea").unwrap_err().reason, Reason::NoRepAvailable, "she is not logged in");
    world.shows("ana", "bob").unwrap();
    assert_eq!(world.shows("ana", "bob").unwrap_err().reason, Reason::LimitReached, "one at a time");
    let as_somebody_else = Command::ShowScreen { to: world.user("bob") };
    for actor in [Actor::Admin(world.user("root")), Actor::Service(ServiceId(1))] {
        assert_eq!(reason(&world.act(actor, None, as_somebody_else.clone())), Reason::NotPermitted);
    }
}

#[test]
fn p1_1_bu_067_a_group_policy_that_withholds_it_is_named() {
    let group = "[[group_policy]]\ncode = \"quiet\"\nmembers = [\"ana\"]\n[group_policy.permissions]\n\
                 state = \"final\"\nvalues = [\"support\"]\n";
    let mut world = World::of(&format!("{}{group}", site(BOTH)));
    world.log_in("ana");
    world.log_in("bob");
    assert_eq!(world.shows("ana", "bob").unwrap_err().source.as_deref(), Some("group_policy:quiet"));
}

#[test]
fn r1_4_bu_067_who_is_asked_looks_at_the_screen_and_has_nothing_else() {
    let (mut world, session, pictures) = World::looking(BOTH);
    let state = world.engine.state();
    assert_eq!(state.sessions[&session].ask.kind, SessionKind::RepToRep);
    assert_eq!((pictures.writer, pictures.readers.clone()), (ParticipantId(0), vec![ParticipantId(1)]));
    assert_eq!(pictures.kinds, Kind::Picture.bit());
    for tool in Tool::ALL.iter().filter(|tool| **tool != Tool::Screen) {
        for who in ["ana", "bob"] {
            assert!(world.open(who, session, *tool, &[]).is_err(), "{} by {who}", tool.name());
        }
    }
    // Who shows asks for nothing: whoever looks does.
    assert_eq!(reason(&world.open("ana", session, Tool::Screen, &[])), Reason::NotPermitted);
    let field = Command::SetField { session, field: "order".to_owned(), value: "1".to_owned() };
    for who in ["ana", "bob"] {
        assert_eq!(reason(&world.rep(who, field.clone())), Reason::NotPermitted);
        assert_eq!(reason(&world.rep(who, Command::TakeBack { session, tool: None })), Reason::NotPermitted);
    }
}

#[test]
fn r1_4_bu_067_a_third_rep_gets_nothing_whatever_their_role() {
    let (mut world, session, pictures) = World::looking(BOTH);
    let (lea, net) = (world.user("lea"), Queue::Team(world.team("net")));
    let before = world.log().len();
    for (command, why) in [
        (Command::Join { session }, Reason::NotPermitted),
        (Command::TakeOver { session }, Reason::WrongState),
        (Command::Depart { session }, Reason::NotParticipant),
        (Command::End { session }, Reason::NotOwner),
        (Command::Take { session }, Reason::WrongState),
        (Command::GiveControl { session, on: true }, Reason::UnknownSession),
        (Command::Open { session, tool: Tool::Screen, args: BTreeMap::new() }, Reason::UnknownSession),
        (Command::AcceptOpen { session, open: OpenId(1), facts: BTreeMap::new() }, Reason::UnknownSession),
        (Command::Note { session, channel: pictures.channel, facts: BTreeMap::new() }, Reason::UnknownSession),
    ] {
        assert_eq!(reason(&world.rep("lea", command.clone())), why, "{command:?}");
    }
    let service = Actor::Service(ServiceId(1));
    let ended = world.act(service, None, Command::End { session });
    assert_eq!(reason(&ended), Reason::NotOwner, "there is no customer to end it for");
    // Nor do those in it bring anybody in, or move it.
    for who in ["ana", "bob"] {
        for command in [
            Command::Share { session, to: Queue::Personal(lea), mail: None },
            Command::Transfer { session, to: net },
            Command::Hold { session },
            Command::TakeOver { session },
        ] {
            assert!(world.rep(who, command.clone()).is_err(), "{command:?} by {who}");
        }
    }
    let root = Actor::Admin(world.user("root"));
    assert_eq!(reason(&world.act(root, None, Command::Transfer { session, to: net })), Reason::WrongState);
    assert_eq!(world.log().len(), before, "a refusal leaves nothing behind");
}

#[test]
fn p6_2_bu_068_control_is_given_by_who_shows_and_taken_back_at_once() {
    let (mut world, session, pictures) = World::looking(BOTH);
    let refused = world.looks(session, &with_control()).unwrap_err();
    assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("user:ana")));
    assert_eq!(reason(&world.control("bob", session, true)), Reason::NotPermitted, "nobody gives it to themselves");

    world.control("ana", session, true).unwrap();
    let beside = [("beside", Value::Int(i64::from(pictures.channel.0)))];
    let input = world.looks(session, &beside).unwrap().remove(0);
    assert_eq!((input.writer, input.readers.clone()), (ParticipantId(1), vec![ParticipantId(0)]));
    assert_eq!(input.kinds, Kind::Pointer.bit() | Kind::Click.bit() | Kind::Keys.bit());

    world.words();
    let taken = world.control("ana", session, false).unwrap();
    assert!(matches!(taken, Outcome::Revoked { ref legs, .. } if *legs == [(input.channel, ParticipantId(0))]));
    let said = format!("channel {} closed: revoked by screen of user:ana\npermissions 2", input.channel);
    assert_eq!(world.words(), said);
    assert_eq!(world.channels(session), 1, "the picture goes on");
    assert!(world.looks(session, &beside).is_err());
    // Twice is once.
    assert!(matches!(world.control("ana", session, false).unwrap(), Outcome::Revoked { legs, .. } if legs.is_empty()));
    assert_eq!(world.words(), "");
}

#[test]
fn p6_2_bu_068_a_request_for_control_that_waits_goes_with_it() {
    let (mut world, session, _) = World::looking(BOTH);
    world.control("ana", session, true).unwrap();
    world.open("bob", session, Tool::Screen, &with_control()).unwrap();
    world.words();
    world.control("ana", session, false).unwrap();
    assert_eq!(world.words(), "open 2 refused: not_permitted\npermissions 2");
}

#[test]
fn p1_1_bu_068_giving_control_needs_its_permission() {
    let (mut world, session, _) = World::looking(SHOWS);
    let refused = world.control("ana", session, true).unwrap_err();
    assert_eq!((refused.reason, refused.source.as_deref()), (Reason::NotPermitted, Some("user:ana")));
    assert!(world.looks(session, &with_control()).is_err());
}

#[test]
fn p6_2_bu_068_an_edit_takes_control_away_and_giving_it_again_is_asked_for_again() {
    let (mut world, session, _) = World::looking(BOTH);
    world.control("ana", session, true).unwrap();
    let input = world.looks(session, &with_control()).unwrap().remove(1);
    world.words();
    world.apply_site(&site(SHOWS));
    let said = format!("channel {} closed: revoked by screen of user:ana\npermissions 2", input.channel);
    assert_eq!(world.words(), said);
    assert!(world.ended(session).is_none(), "it is shown all the same");
    world.apply_site(&site(BOTH));
    assert!(world.looks(session, &with_control()).is_err(), "what an edit took no edit gives");
    world.control("ana", session, true).unwrap();
    world.looks(session, &with_control()).unwrap();
}

#[test]
fn p6_2_bu_067_an_edit_that_takes_the_permission_ends_it() {
    for looked in [true, false] {
        let (mut world, session) = match looked {
            true => {
                let (world, session, _) = World::looking(BOTH);
                (world, session)
            }
            false => World::asked_to_look(BOTH),
        };
        world.words();
        world.apply_site(&site("\"jump_shell\", \"give_control_to_reps\"]"));
        assert_eq!(world.ended(session), Some(EndReason::ByAdmin));
        let said = if looked { "channel 1 closed: revoked by screen of user:ana\nended 1" } else { "ended 1" };
        assert_eq!(world.words(), said);
        assert_eq!(world.channels(session), 0);
        assert_eq!(reason(&world.rep("bob", Command::Join { session })), Reason::SessionEnded);
    }
}

#[test]
fn r1_4_bu_067_it_is_over_when_either_leaves_or_signs_out() {
    type Way = (&'static str, fn(SessionId, UserId) -> Command, EndReason);
    let ways: [Way; 4] = [
        ("ana", |session, _| Command::End { session }, EndReason::ByRep),
        ("ana", |session, _| Command::Depart { session }, EndReason::ByRep),
        ("bob", |session, _| Command::Depart { session }, EndReason::ByRep),
        ("bob", |_, user| Command::Logout { user }, EndReason::Orphaned),
    ];
    for (who, command, why) in ways {
        let (mut world, session, _) = World::looking(BOTH);
        let user = world.user(who);
        world.rep(who, command(session, user)).unwrap();
        assert_eq!((world.ended(session), world.channels(session)), (Some(why), 0), "{who}");
    }
    for who in ["ana", "bob"] {
        let (mut world, session, _) = World::looking(BOTH);
        let user = world.user(who);
        world.system(Command::LoseForGood { user }).unwrap();
        assert_eq!((world.ended(session), world.channels(session)), (Some(EndReason::Orphaned), 0), "{who}");
        let (mut world, session, _) = World::looking(BOTH);
        world.system(Command::DisableUser { user }).unwrap();
        assert_eq!((world.ended(session), world.channels(session)), (Some(EndReason::Orphaned), 0), "{who}");
    }
}

#[test]
fn r1_4_bu_067_who_does_not_want_to_look_or_does_not_answer_is_not_shown_anything() {
    let (mut world, session) = World::asked_to_look(BOTH);
    world.rep("bob", Command::Reject { session }).unwrap();
    assert_eq!(world.ended(session), Some(EndReason::Declined));
    let session = world.shows("ana", "bob").unwrap();
    world.wait(limits::INVITATION.0 / 1000);
    assert_eq!(world.ended(session), Some(EndReason::Declined));
    assert_eq!(reason(&world.rep("bob", Command::Join { session })), Reason::SessionEnded);
}

#[test]
fn r1_4_r3_5_bu_067_it_is_no_session_of_either_for_routing_limits_and_inactivity() {
    let caps = "max_active_sessions = 1\nrequire_closed_sessions = true\nsession_inactivity_s = 300\n";
    let text = site(BOTH).replacen("[options]\n", &format!("[options]\n{caps}"), 1);
    let mut world = World::of(&text);
    let _customer = world.serve(None, present());
    world.log_in("bob");
    let key = world.key("ana", "net");
    let waits = world.redeem(key, None, present()).unwrap();
    world.rep("bob", Command::Take { session: waits }).unwrap();
    let session = world.shows("ana", "bob").unwrap();
    world.rep("bob", Command::Join { session }).expect("the hard cap is of sessions with a customer");
    assert_eq!((world.sessions_of("ana"), world.sessions_of("bob")), (1, 1));
    for session in [_customer, waits] {
        let owner = world.engine.state().sessions[&session].owner().unwrap();
        world.act(Actor::Party(Party::Rep(owner)), None, Command::End { session }).unwrap();
    }
    world.looks(session, &[]).unwrap();
    world.wait(3_600);
    assert_eq!(world.ended(session), None, "nobody's customer waits for them");
    // R7.8 is of sessions with a customer, and none of R8.2's rules takes in what is shown.
    let user = world.user("ana");
    world.rep("ana", Command::Logout { user }).unwrap();
    assert_eq!(world.ended(session), Some(EndReason::Orphaned));
}

#[test]
fn r11_4_bu_068_at_a_shared_seat_control_is_taken_back_and_not_given() {
    let pool =
        "license_pool = \"shared\"\n[[license_pool]]\ncode = \"shared\"\nseats = 3\nreauthenticate_after_min = 15\n";
    let text = site(BOTH).replacen("[[user]]\nusername = \"bob\"", &format!("{pool}[[user]]\nusername = \"bob\""), 1);
    let mut world = World::of(&text);
    world.log_in("ana");
    world.log_in("bob");
    let session = world.shows("ana", "bob").unwrap();
    world.rep("bob", Command::Join { session }).unwrap();
    world.control("ana", session, true).unwrap();
    world.wait(15 * 60);
    world.control("ana", session, false).unwrap();
    assert_eq!(reason(&world.control("ana", session, true)), Reason::Reauthenticate);
}
