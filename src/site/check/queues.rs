//! Skills, teams and issues.

use super::{
    super::{raw::RawOverdue, *},
    Check,
};
use crate::limits;

impl Check<'_> {
    pub(super) fn skills(&mut self) {
        let known = self.site.codes.skills.clone();
        let mut parents = BTreeMap::new();
        for (at, raw) in self.raw.skill.iter().enumerate() {
            let parent = self.reference(&known, "skill", &raw.parent, &format!("skill[{at}].parent"));
            if let Some(id) = known.get(&raw.code.to_ascii_lowercase()) {
                parents.insert(*id, parent);
            }
        }
        let root_of = |skill: SkillId| {
            let mut at = skill;
            for _ in 0..=parents.len() {
                match parents.get(&at).copied().flatten() {
                    Some(parent) => at = parent,
                    None => return Some(at),
                }
            }
            None
        };
        let mut ranks = BTreeMap::new();
        for (at, raw) in self.raw.skill.iter().enumerate() {
            let Some(id) = known.get(&raw.code.to_ascii_lowercase()).copied() else { continue };
            match root_of(id) {
                Some(root) if root == id => {
                    let rank = ranks.len() as u32;
                    ranks.insert(id, rank);
                }
                Some(_) => {}
                None => self.problem(format!("skill[{at}].parent"), format!("`{}` is below itself", raw.code)),
            }
        }
        for (code, id) in &known {
            let rank = root_of(*id).and_then(|root| ranks.get(&root)).copied().unwrap_or_default();
            let parent = parents.get(id).copied().flatten();
            self.site.skills.insert(*id, Skill { code: code.clone(), parent, rank });
        }
    }

    pub(super) fn teams(&mut self) {
        let known = self.site.codes.teams.clone();
        for (at, raw) in self.raw.team.iter().enumerate() {
            let key = |name: &str| format!("team[{at}].{name}");
            let algorithm = self.choice(
                &raw.algorithm,
                &[
                    ("none", Algorithm::None),
                    ("least_busy", Algorithm::LeastBusy),
                    ("skills_least_busy", Algorithm::SkillsLeastBusy),
                ],
                &key("algorithm"),
            );
            self.number(raw.alert_timeout_s, limits::ALERT_SECONDS, key("alert_timeout_s"));
            self.number(raw.max_queue, 0..=limits::QUEUE_LENGTH_MAX, key("max_queue"));
            let code = raw.code.to_ascii_lowercase();
            let id = known.get(&code).copied();
            let team = Team {
                name: self.text(raw.name.as_deref().unwrap_or(&code), limits::NAME_BYTES_MAX, key("name")),
                algorithm: algorithm.unwrap_or(Algorithm::None),
                alert_timeout: Span::seconds(u64::from(raw.alert_timeout_s)),
                persistent: raw.persistent,
                wrap_up: self.span(raw.wrap_up_s, key("wrap_up_s")),
                defer_after_login: self.span(raw.defer_after_login_s, key("defer_after_login_s")),
                relax_after: self.span(raw.relax_after_s, key("relax_after_s")),
                max_queue: raw.max_queue,
                overdue: self.overdue(&raw.overdue, &known, id, &key("overdue")),
                greeting: self.prose(&raw.greeting, limits::ANNOUNCEMENT_BYTES_MAX, key("greeting")),
                hold_message: self.prose(&raw.hold_message, limits::ANNOUNCEMENT_BYTES_MAX, key("hold_message")),
                members: BTreeMap::new(),
                code,
            };
            if let Some(id) = id {
                self.site.teams.insert(id, team);
            }
        }
    }

    pub(super) fn overdue(
        &mut self,
        raw: &RawOverdue,
        teams: &BTreeMap<String, TeamId>,
        team: Option<TeamId>,
        key: &str,
    ) -> Overdue {
        let kinds = [("none", 0), ("mark", 1), ("transfer", 2)];
        let Some(kind) = self.choice(&raw.action, &kinds, &format!("{key}.action")) else { return Overdue::None };
        let after = self.span(raw.after_s, format!("{key}.after_s"));
        if kind != 0 && after.is_zero() {
            self.problem(format!("{key}.after_s"), "is missing: after how many seconds?");
        }
        let to_key = format!("{key}.to");
        match kind {
            0 => Overdue::None,
            1 => Overdue::Mark { after },
            _ => match self.required(teams, "team", &raw.to, &to_key) {
                Some(to) if Some(to) == team => {
                    self.problem(to_key, "a queue cannot overflow into itself");
                    Overdue::None
                }
                Some(to) => Overdue::Transfer { after, to },
                None => Overdue::None,
            },
        }
    }

    pub(super) fn issues(&mut self) {
        let teams = self.site.codes.teams.clone();
        let skills = self.site.codes.skills.clone();
        for (at, raw) in self.raw.issue.iter().enumerate() {
            let key = |name: &str| format!("issue[{at}].{name}");
            self.number(raw.priority, 0..=100, key("priority"));
            let relax_after = raw.relax_after_s.map(|seconds| self.span(seconds, key("relax_after_s")));
            let needed = self.references(&skills, "skill", &raw.skills, &key("skills"));
            let Some(team) = self.required(&teams, "team", &raw.team, &key("team")) else { continue };
            let code = raw.code.to_ascii_lowercase();
            let Some(id) = self.site.codes.issues.get(&code).copied() else { continue };
            let issue = Issue {
                code,
                team,
                skills: needed,
                priority: raw.priority,
                help_requests: raw.help_requests,
                relax_after,
            };
            self.site.issues.insert(id, issue);
        }
    }
}
