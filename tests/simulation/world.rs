//! A site and a history made from a seed. Each seed switches some settings and kinds of act off, so that the others
//! come closer together.

use crate::{
    calendar::{SEASONS, Season},
    random::Random,
};
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
    ExternalLost,
    ExternalBack,
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
    InviteExternal,
    ExternalCome,
    ExternalLeave,
    Extended,
    AnswerInvitation,
    MailFailed,
    AskForHelp,
    AnswerDisclaimer,
    PublishNotice,
    WithdrawNotice,
    /// The wall clock is set.
    Clock,
    /// The relay saw data pass.
    Data,
    /// A rep writes on a session.
    Write,
    MakeButton,
    Press,
    /// A button is revoked, or leads through another portal.
    EditButton,
    /// An item gets a key, or an endpoint comes with it, is lost, or takes a session up.
    StandBy,
    MakeJob,
    TakeJob,
    EndJob,
    CancelJob,
    Disable,
    DeleteTeam,
    EditSite,
}

/// Each act with how often it comes.
const ACTS: &[(Act, usize)] = &[
    (Act::Wait, 10),
    (Act::Login, 14),
    (Act::Logout, 5),
    (Act::Lost, 3),
    (Act::Back, 3),
    (Act::ExternalLost, 3),
    (Act::ExternalBack, 2),
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
    (Act::Share, 6),
    (Act::Join, 5),
    (Act::Depart, 2),
    (Act::TakeOver, 3),
    (Act::Hold, 3),
    (Act::Resume, 3),
    (Act::End, 9),
    (Act::Leave, 4),
    (Act::InviteExternal, 4),
    (Act::ExternalCome, 4),
    (Act::ExternalLeave, 1),
    (Act::Extended, 4),
    (Act::AnswerInvitation, 5),
    (Act::MailFailed, 2),
    (Act::AskForHelp, 4),
    (Act::AnswerDisclaimer, 4),
    (Act::PublishNotice, 1),
    (Act::WithdrawNotice, 1),
    (Act::Restart, 1),
    (Act::Crash, 1),
    (Act::Repeat, 3),
    (Act::Clock, 1),
    (Act::Data, 2),
    (Act::Write, 2),
    (Act::MakeButton, 1),
    (Act::Press, 2),
    (Act::EditButton, 1),
    (Act::StandBy, 4),
    (Act::MakeJob, 2),
    (Act::TakeJob, 4),
    (Act::EndJob, 3),
    (Act::CancelJob, 1),
    (Act::Disable, 1),
    (Act::DeleteTeam, 1),
    (Act::EditSite, 3),
];

/// Classes of faults: each is switched off as a whole for some seeds.
const FAULTS: &[&[Act]] = &[
    &[Act::Lost, Act::Back, Act::LoseForGood, Act::ExternalLost, Act::ExternalBack],
    &[Act::CustomerLost, Act::CustomerBack],
    &[Act::Restart, Act::Crash],
    &[Act::Repeat],
    &[Act::Clock],
    &[Act::MailFailed],
    &[Act::Disable, Act::DeleteTeam, Act::EditSite],
];

/// What some seeds are mostly about: rare situations need acts that follow on each other.
const THEMES: &[&[Act]] = &[
    &[Act::Extended, Act::Logout, Act::Login, Act::Jump, Act::Share, Act::AnswerInvitation, Act::MailFailed],
    &[Act::Jump, Act::InviteExternal, Act::ExternalCome, Act::ExternalLost, Act::ExternalBack],
    &[Act::UseKey, Act::MakeKey, Act::CustomerCome, Act::AnswerDisclaimer, Act::CustomerLost, Act::CustomerBack],
    &[Act::StandBy, Act::MakeJob, Act::TakeJob, Act::EndJob, Act::CancelJob, Act::Jump],
    &[Act::Jump, Act::Accept, Act::AskForHelp, Act::Share, Act::Join, Act::TakeOver, Act::Hold, Act::Resume],
];

pub const REPS: usize = 6;
pub const TEAMS: usize = 3;
pub const SKILLS: usize = 6;

pub struct World {
    pub season: &'static Season,
    pub site: String,
    pub steps: Vec<Step>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let season = &SEASONS[random.pick(&[0, 0, 0, 1, 2])];
        let site = site(&mut random, season);
        let off: Vec<&[Act]> = FAULTS.iter().copied().filter(|_| random.once_in(3)).collect();
        let theme = THEMES.get(random.below(2 * THEMES.len())).copied().unwrap_or_default();
        let mut acts = Vec::new();
        for (act, often) in ACTS {
            let always = matches!(act, Act::Login | Act::Ask | Act::Wait);
            let times = match (theme.contains(act), theme.is_empty()) {
                (true, _) => 4 + random.below(4),
                (false, true) => random.pick(&[0, 1, 1, 3]),
                (false, false) => random.pick(&[0, 0, 1]),
            };
            let times = times.max(usize::from(always));
            if !off.iter().any(|class| class.contains(act)) {
                acts.extend(std::iter::repeat_n(*act, often * times));
            }
        }
        let steps = 40 + random.below(160);
        let longest = random.pick(&[1_000, 20_000, 120_000]);
        let step = |random: &mut Random| Step {
            wait_ms: if random.once_in(3) { random.below(longest) as u64 } else { 0 },
            act: random.pick(&acts),
            rep: random.below(REPS),
            other: random.below(REPS),
            session: random.below(1_000_000),
            team: random.below(TEAMS),
            dice: random.next(),
        };
        Self { season, site, steps: (0..steps).map(|_| step(&mut random)).collect() }
    }

    /// The same site, in which nothing is done.
    pub fn bare(&self) -> Self {
        Self { season: self.season, site: self.site.clone(), steps: Vec::new() }
    }
}

fn site(random: &mut Random, season: &Season) -> String {
    let mut text = "[site]\nname = \"simulated\"\n".to_owned();
    if random.once_in(4) {
        text += "seats = 2\n";
    }
    let pooled = random.once_in(3);
    text += "[options]\nstatuses = { lunch = \"away\" }\ndefault_policy = \"house\"\n";
    text += "disclaimer_text = \"be kind\"\n";
    let (day, zone) = season.required_from;
    let second_factor = format!("two_factor = {{ required_from = \"{day}\", timezone = \"{zone}\" }}");
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
        ("disclaimer = true", 4),
        (&second_factor, 25),
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
            "buttons_personal",
            "buttons_team_deploy",
            "buttons_team_manage",
            "buttons_change_portal",
            "accept_from_queue",
            "get_next",
            "opt_out",
            "transfer_outside",
            "share_outside",
            "jump_client",
            "generate_keys",
            "invite_external",
            "extended_availability",
            "edit_customer_notices",
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
        let _ = writeln!(text, "automation = \"{}\"", random.pick(&["not_allowed", "user", "administrator"]));
        if random.once_in(6) {
            text += "console_idle_s = 300\n";
        }
        if pooled && random.once_in(2) {
            text += "license_pool = \"pool\"\n";
        }
        if random.once_in(8) {
            let _ = writeln!(text, "expires = \"{}\"", season.expires);
        }
        if !random.once_in(4) {
            let _ = writeln!(text, "email = \"r{rep}@example.com\"");
        }
        if random.once_in(if season.zone == "UTC" { 5 } else { 2 }) {
            let (zone, force) = (season.zone, random.once_in(2));
            let windows: Vec<&str> = (0..=random.below(2)).map(|_| random.pick(season.windows)).collect();
            let _ = writeln!(text, "[user.schedule]\ntimezone = \"{zone}\"\nforce = {force}\nentries = {windows:?}");
        }
    }
    if pooled {
        let (seats, minutes) = (2 + random.below(2), random.pick(&[0, 15, 15]));
        let _ =
            writeln!(text, "[[license_pool]]\ncode = \"pool\"\nseats = {seats}\nreauthenticate_after_min = {minutes}");
    }
    text += "[[portal]]\ncode = \"p0\"\nteams = [\"t0\", \"t1\"]\n[[jump_item]]\ncode = \"j0\"\n[[jump_item]]\ncode = \"j1\"\n";
    text += "[[script]]\ncode = \"tidy\"\ntext = \"echo 42\"\nautomation = true\ntimeout_s = 60\n";
    let helps = !random.once_in(4);
    let _ = writeln!(
        text,
        "[[issue]]\ncode = \"i0\"\nteam = \"t1\"\nskills = [\"s1\"]\npriority = 70\nhelp_requests = {helps}"
    );
    let invites = if random.once_in(6) { "no" } else { "yes" };
    let _ = writeln!(
        text,
        "[[policy]]\ncode = \"house\"\ntools = {{ invite_external = \"{invites}\", canned_scripts = \"yes\" }}\n\
         prompt = {{ mode = \"never\" }}\n[[policy]]\ncode = \"guest\"\n\
         for_invites = true\ntools = {{ shell = \"no\" }}"
    );
    if random.once_in(4) {
        text += "[[policy]]\ncode = \"partner\"\nfor_invites = true\ntools = { file_transfer = \"none\" }\n";
    }
    text
}
