//! A site and a history made from a seed. Each seed switches some settings and kinds of act off, so that the others
//! come closer together.

use crate::random::Random;
use std::fmt::Write;

/// One act, said without any id of the running site: numbers are taken modulo what is there.
#[derive(Clone, Debug)]
pub struct Step {
    pub wait_ms: u64,
    pub act: Act,
    pub rep: usize,
    pub other: usize,
    pub session: usize,
    pub team: usize,
    pub dice: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Wait,
    Login,
    Logout,
    Lost,
    Back,
    LoseForGood,
    OptOut,
    OptIn,
    Status,
    Idle,
    Active,
    Ask,
    Jump,
    MakeKey,
    UseKey,
    CustomerCome,
    CustomerLost,
    CustomerBack,
    Accept,
    Reject,
    Take,
    GetNext,
    Transfer,
    Share,
    Join,
    Depart,
    TakeOver,
    Hold,
    Resume,
    End,
    Leave,
    Restart,
    /// The process dies and goes on from its journal.
    Crash,
    /// The last numbered request comes again.
    Repeat,
    /// The wall clock is set.
    Clock,
    /// The relay saw data pass.
    Data,
    Disable,
    DeleteTeam,
    EditSite,
}

/// Each act with how often it comes.
const ACTS: &[(Act, usize)] = &[
    (Act::Wait, 10),
    (Act::Login, 14),
    (Act::Logout, 3),
    (Act::Lost, 3),
    (Act::Back, 3),
    (Act::LoseForGood, 1),
    (Act::OptOut, 2),
    (Act::OptIn, 4),
    (Act::Status, 3),
    (Act::Idle, 3),
    (Act::Active, 4),
    (Act::Ask, 22),
    (Act::Jump, 2),
    (Act::MakeKey, 3),
    (Act::UseKey, 3),
    (Act::CustomerCome, 4),
    (Act::CustomerLost, 4),
    (Act::CustomerBack, 4),
    (Act::Accept, 24),
    (Act::Reject, 8),
    (Act::Take, 4),
    (Act::GetNext, 4),
    (Act::Transfer, 5),
    (Act::Share, 4),
    (Act::Join, 5),
    (Act::Depart, 2),
    (Act::TakeOver, 3),
    (Act::Hold, 3),
    (Act::Resume, 3),
    (Act::End, 9),
    (Act::Leave, 4),
    (Act::Restart, 1),
    (Act::Crash, 1),
    (Act::Repeat, 3),
    (Act::Clock, 1),
    (Act::Data, 2),
    (Act::Disable, 1),
    (Act::DeleteTeam, 1),
    (Act::EditSite, 3),
];

pub const REPS: usize = 6;
pub const TEAMS: usize = 3;
pub const SKILLS: usize = 6;

pub struct World {
    pub site: String,
    pub steps: Vec<Step>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let site = site(&mut random);
        let mut acts = Vec::new();
        for (act, often) in ACTS {
            let always = matches!(act, Act::Login | Act::Ask | Act::Wait);
            if always || !random.once_in(4) {
                acts.extend(std::iter::repeat_n(*act, *often));
            }
        }
        let steps = 40 + random.below(160);
        let longest = random.pick(&[1_000, 20_000, 120_000]);
        let step = |random: &mut Random| Step {
            wait_ms: if random.once_in(3) { random.below(longest) as u64 } else { 0 },
            act: random.pick(&acts),
            rep: random.below(REPS),
            other: random.below(REPS),
            session: random.below(1000),
            team: random.below(TEAMS),
            dice: random.next(),
        };
        Self { site, steps: (0..steps).map(|_| step(&mut random)).collect() }
    }
}

fn site(random: &mut Random) -> String {
    let mut text = "[site]\nname = \"simulated\"\n".to_owned();
    if random.once_in(4) {
        text += "seats = 2\n";
    }
    let pooled = random.once_in(3);
    text += "[options]\nstatuses = { lunch = \"away\" }\n";
    for (option, times) in [
        ("fallback_team = \"t0\"", 2),
        ("fallback_rules_normal = [3, 4]", 4),
        ("fallback_rules_jump = []", 4),
        ("offer_timeout_is_rejection = false", 3),
        ("get_next_order = \"priority\"", 2),
        ("priority_ageing_per_min = 5", 3),
        ("max_active_sessions = 2", 4),
        ("max_wait_s = 90", 4),
        ("require_closed_sessions = true", 4),
        // At 08:00 UTC, ten minutes after the beginning.
        ("two_factor = { required_from = \"2026-03-02\", timezone = \"Etc/GMT+8\" }", 25),
        ("session_inactivity_s = 300", 3),
    ] {
        if random.once_in(times) {
            let _ = writeln!(text, "{option}");
        }
    }
    for skill in 0..SKILLS {
        let _ = writeln!(text, "[[skill]]\ncode = \"s{skill}\"");
        if skill > 1 {
            let _ = writeln!(text, "parent = \"s{}\"", random.below(skill));
        }
    }
    for team in 0..TEAMS {
        let algorithm = random.pick(&["none", "least_busy", "skills_least_busy", "skills_least_busy", "least_busy"]);
        let _ = writeln!(text, "[[team]]\ncode = \"t{team}\"\nalgorithm = \"{algorithm}\"");
        for (setting, times) in [
            ("persistent = true", 4),
            ("wrap_up_s = 15", 4),
            ("defer_after_login_s = 20", 5),
            ("relax_after_s = 10", 2),
            ("max_queue = 3", 5),
            ("alert_timeout_s = 10", 2),
        ] {
            if random.once_in(times) {
                let _ = writeln!(text, "{setting}");
            }
        }
        let to = (team + 1) % TEAMS;
        let rule = random.pick(&["none", "none", "mark", "transfer", "transfer"]);
        if rule != "none" {
            let to = if rule == "transfer" { format!("t{to}") } else { String::new() };
            let _ = writeln!(text, "overdue = {{ action = \"{rule}\", after_s = 25, to = \"{to}\" }}");
        }
    }
    for rep in 0..REPS {
        let roles: Vec<String> = (0..TEAMS)
            .filter(|_| !random.once_in(3))
            .map(|team| (team, ["member", "member", "lead", "manager"]))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(team, roles)| format!("t{team} = \"{}\"", random.pick(&roles)))
            .collect();
        let skills: Vec<String> =
            (0..SKILLS).filter(|_| random.once_in(4)).map(|skill| format!("\"s{skill}\"")).collect();
        let permissions = [
            "support",
            "accept_from_queue",
            "get_next",
            "opt_out",
            "transfer_outside",
            "share_outside",
            "jump_client",
            "generate_keys",
        ];
        let permissions: Vec<String> =
            permissions.iter().filter(|_| !random.once_in(5)).map(|name| format!("\"{name}\"")).collect();
        let _ = writeln!(
            text,
            "[[user]]\nusername = \"r{rep}\"\nteams = {{ {} }}\nskills = [{}]\npermissions = [{}]\nmax_sessions = {}\n\
             idle_limit_s = {}",
            roles.join(", "),
            skills.join(", "),
            permissions.join(", "),
            1 + random.below(3),
            random.pick(&[0, 180, 900]),
        );
        if random.once_in(8) {
            text += "exempt_from_assignment = true\n";
        }
        if random.once_in(6) {
            text += "console_idle_s = 300\n";
        }
        if pooled && random.once_in(2) {
            text += "license_pool = \"pool\"\n";
        }
        if random.once_in(8) {
            text += "expires = \"2026-03-02T08:20:00Z\"\n";
        }
        if random.once_in(6) {
            let force = random.once_in(2);
            let _ = writeln!(
                text,
                "[user.schedule]\ntimezone = \"UTC\"\nforce = {force}\nentries = [\"mon 07:00 - mon 08:15\"]"
            );
        }
    }
    if pooled {
        text += "[[license_pool]]\ncode = \"pool\"\nseats = 2\nreauthenticate_after_min = 15\n";
    }
    text += "[[portal]]\ncode = \"p0\"\nteams = [\"t0\", \"t1\"]\n[[jump_item]]\ncode = \"j0\"\n";
    text += "[[issue]]\ncode = \"i0\"\nteam = \"t1\"\nskills = [\"s1\"]\npriority = 70\n";
    text
}
