//! Who may read which sessions that have ended (BU-048): beside a plain model of the rule, which looks at every record.

use equipoise::{engine::history::Sees, site::Site};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

#[path = "simulation/random.rs"]
mod random;
use random::Random;

const USERS: [&str; 6] = ["ana", "ben", "cleo", "dora", "eli", "fay"];
const TEAMS: [&str; 4] = ["net", "db", "calm", "late"];
const RIGHTS: [&str; 5] = ["reports_own", "reports_team", "reports_all", "administrator", "support"];

/// What a site file says, before the product reads it.
struct Plain {
    teams: BTreeMap<&'static str, BTreeSet<&'static str>>,
    rights: BTreeMap<&'static str, BTreeSet<&'static str>>,
    disabled: BTreeSet<&'static str>,
}

/// A session that ended: its primary rep and its primary team.
type Ended = (Option<&'static str>, Option<&'static str>);

impl Plain {
    fn draw(dice: &mut Random) -> Self {
        let mut some = |of: &[&'static str], times: usize| -> BTreeMap<&'static str, BTreeSet<&'static str>> {
            let mut draw = || of.iter().copied().filter(|_| dice.once_in(times)).collect();
            USERS.iter().map(|user| (*user, draw())).collect()
        };
        let (teams, rights) = (some(&TEAMS, 2), some(&RIGHTS, 4));
        let disabled = if dice.once_in(2) { BTreeSet::from([dice.pick(&USERS)]) } else { BTreeSet::new() };
        Self { teams, rights, disabled }
    }

    fn site(&self) -> Site {
        let mut text = "[site]\nname = \"history\"\n".to_owned();
        for team in TEAMS {
            let _ = write!(text, "[[team]]\ncode = \"{team}\"\nalgorithm = \"none\"\n");
        }
        for user in USERS {
            let teams: Vec<String> = self.teams[user].iter().map(|team| format!("{team} = \"member\"")).collect();
            let enabled = !self.disabled.contains(user);
            let _ = write!(
                text,
                "[[user]]\nusername = \"{user}\"\nenabled = {enabled}\nteams = {{ {} }}\npermissions = {:?}\n",
                teams.join(", "),
                self.rights[user].iter().collect::<Vec<_>>()
            );
        }
        Site::from_text(&text, None).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }

    /// The rule as it is said: none, where this user may read nothing at all.
    fn sees(&self, user: &str, (owner, team): Ended) -> Option<bool> {
        if self.disabled.contains(user) {
            return None;
        }
        let may = |right| self.rights[user].contains(right);
        if may("reports_all") || may("administrator") {
            return Some(true);
        }
        let own = owner == Some(user);
        if may("reports_team") {
            let of_team = team.is_some_and(|team| self.teams[user].contains(team));
            let of_mate = owner.is_some_and(|owner| !self.teams[owner].is_disjoint(&self.teams[user]));
            return Some(own || of_team || of_mate);
        }
        may("reports_own").then_some(own)
    }
}

fn all_ended() -> Vec<Ended> {
    let or_none = |names: &[&'static str]| names.iter().copied().map(Some).chain([None]).collect::<Vec<_>>();
    let teams = or_none(&TEAMS);
    or_none(&USERS).into_iter().flat_map(|owner| teams.iter().map(move |team| (owner, *team))).collect()
}

#[test]
fn bu_048_p1_1_who_sees_what_is_what_a_look_at_every_record_says() {
    let (mut shown, mut hidden, mut refused) = (0, 0, 0);
    for seed in 0..300 {
        let plain = Plain::draw(&mut Random(seed));
        let site = plain.site();
        let user_of = |name: &str| site.codes.users[name];
        let team_of = |code: &str| site.codes.teams[code];
        for user in USERS {
            let sees = match Sees::of(&site, user_of(user)) {
                Ok(sees) => sees,
                Err(refusal) => {
                    assert_eq!(plain.sees(user, (Some(user), None)), None, "seed {seed}: {user} was refused");
                    assert_eq!((refusal.reason.name(), refusal.rule.as_str()), ("not_permitted", "P1.1"));
                    refused += 1;
                    continue;
                }
            };
            for ended in all_ended() {
                let covers = sees.covers(ended.0.map(user_of), ended.1.map(team_of));
                assert_eq!(Some(covers), plain.sees(user, ended), "seed {seed}: {user} and {ended:?} by {sees:?}");
                if covers { shown += 1 } else { hidden += 1 }
            }
        }
    }
    assert!(shown > 1_000 && hidden > 1_000 && refused > 100, "{shown} shown, {hidden} hidden, {refused} refused");
}

#[test]
fn bu_048_for_how_long_it_is_kept_is_a_setting_with_bounds() {
    use equipoise::time::{Span, Time};
    let site = |options: &str| Site::from_text(&format!("[site]\nname = \"history\"\n[options]\n{options}\n"), None);
    let from = |site: Site| equipoise::engine::State::new(site).history_from(Time(Span::days(1_000).0));
    assert_eq!(from(site("").unwrap()), Time(Span::days(600).0), "thirteen months");
    assert_eq!(from(site("history_days = 1").unwrap()), Time(Span::days(999).0));
    for wrong in [0, 3_651] {
        let problems = site(&format!("history_days = {wrong}")).unwrap_err();
        assert!(format!("{problems:?}").contains("options.history_days"), "{problems:?}");
    }
}

/// A session that a snapshot from before there were records brought here has nothing of its past: who is in it is known.
#[test]
fn bu_048_a_session_without_a_past_leaves_who_is_in_it() {
    use equipoise::{
        engine::{
            Actor, Command, Engine, Entry, Event, Queue, Record, Request, command::Ask, event::EndReason,
            history::Course,
        },
        ids::{Party, SecretHash},
        time::Time,
        wire::control::ClientInfo,
    };
    let text = "[site]\nname = \"history\"\n[[user]]\nusername = \"ana\"\npermissions = [\"support\"]\n";
    let mut engine = Engine::new(Site::from_text(text, None).unwrap());
    let ana = engine.state().site.codes.users["ana"];
    let mut act = |at: u64, actor, command| {
        let request = Request { actor, id: None, command };
        engine.handle(Time(at), &request, &mut Vec::new()).unwrap();
    };
    let login = Command::Login { user: ana, version: 0, resume: SecretHash::of(b"r"), client: ClientInfo::default() };
    act(1, Actor::System, login);
    act(10, Actor::System, Command::Ask(Ask::of(Entry::Queue(Queue::Personal(ana)))));
    let session = equipoise::ids::SessionId(1);
    act(15, Actor::Party(Party::Rep(ana)), Command::Take { session });
    let mut state = engine.into_state();
    state.sessions.get_mut(&session).unwrap().course = Course::default();
    let ended = Event::Ended { session, reason: EndReason::ByRep };
    let record = Record::of(&state, Time(40), &ended).unwrap();
    let told = &record.told;
    assert_eq!((record.owner, told.owner.as_deref(), told.first_owner.as_deref()), (Some(ana), Some("ana"), None));
    assert_eq!((told.people[0].name.as_str(), told.people[0].role.as_str()), ("ana", "owner"));
    assert_eq!((told.asked_at_ms, told.served_ms, told.ended_at_ms), (10, 25, 40));
}
