//! The site changes under running sessions: a file applied, a team deleted (R8.7), a user shut out (R8.1).

use super::{
    Actor, Engine, Entry, Event, Outcome, Queue, Reason, Refusal, Stamped, State,
    event::LogoutReason,
    proving::too_far,
    refusal::refuse,
    session::{Role, Stage},
};
use crate::{
    ids::*,
    limits,
    site::{Site, UserPermission, raw::RawSite},
    time::Time,
};
use std::{collections::BTreeSet, sync::Arc};

/// An edited site that was checked beside the site of this version, outside the engine (W5.7).
#[derive(Clone, Debug)]
pub struct Checked {
    pub site: Arc<Site>,
    pub version: u64,
}

impl Engine {
    /// The next `apply_site` is of this, if the site is still the one that it was checked beside.
    pub fn checked(&mut self, checked: Checked) {
        self.checked = Some(checked);
    }

    /// Import at the first start, edit later (contract C1). A file with a problem changes nothing, nor does one that says
    /// more than its author may.
    pub(super) fn apply_site(
        &mut self,
        now: Time,
        actor: Actor,
        raw: &Arc<RawSite>,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let checked = self.checked.take();
        self.state.may_edit_site(actor)?;
        let checked = match checked.filter(|checked| checked.version == self.state.site_version) {
            Some(checked) => Ok(checked.site),
            None => Site::check(raw.clone(), Some(&self.state.site)).map(Arc::new),
        };
        let checked = checked.and_then(|site| match too_far(&site, self.state.wall_ms(now)) {
            None => Ok(site),
            Some(problem) => Err(vec![problem]),
        });
        let site = checked.map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Refusal::new(Reason::BadSite, "", all.join("; "))
        })?;
        may_apply(&self.state.site, &site, raw, actor)?;
        self.may_end_item_keys(&site, actor)?;
        if let Actor::Admin(user) | Actor::Party(Party::Rep(user)) = actor
            && !site.users.contains_key(&user)
        {
            // BU-151, whichever connection it comes over.
            let message = "nobody deletes their own account: another administrator does";
            return Err(Refusal::new(Reason::BadSite, "", message));
        }
        let serves_like = self.state.site.serves_like(&site);
        self.state.checked = Some((site, serves_like));
        self.emit(now, Event::SiteApplied { site: raw.clone() }, out);
        if !serves_like {
            self.after_site(now, out);
        }
        self.end_item_keys(now, out);
        self.end_jobs_of_items(now, out);
        self.rights_touched(now, out);
        Ok(Outcome::Done)
    }

    /// Brings consoles, offers and queues in line with the changed site.
    fn after_site(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let users: BTreeSet<UserId> = self
            .state
            .consoles
            .keys()
            .copied()
            .chain(self.state.sessions.values().flat_map(|session| session.reps().collect::<Vec<_>>()))
            .collect();
        for user in users {
            match self.state.site.users.get(&user).map(|user| user.enabled) {
                None => self.shut_out(at, user, LogoutReason::Deleted, out),
                Some(false) => self.shut_out(at, user, LogoutReason::Disabled, out),
                Some(true) => {}
            }
        }
        self.end_support(at, out);
        let offered: Vec<(UserId, SessionId)> =
            self.state.consoles.iter().filter_map(|(user, console)| Some((*user, console.offer?))).collect();
        for (user, session) in offered {
            let team = self.state.sessions.get(&session).and_then(|it| it.waiting()?.offer.as_ref().map(|it| it.team));
            let member = team.is_some_and(|team| self.role_in(user, team).is_some());
            if !member || !self.may(user, UserPermission::Support) {
                self.withdraw(at, session, "site_changed", out);
            }
        }
        let queues: BTreeSet<Queue> =
            self.state.sessions.values().filter_map(|session| session.placed().map(|waiting| waiting.queue)).collect();
        for queue in queues {
            self.clear_unavailable(at, queue, out);
        }
        let teams: Vec<TeamId> = self.state.site.teams.keys().copied().collect();
        for team in teams {
            self.after_available(at, team, out);
        }
        self.end_extended(at, out);
        self.dismiss_unvouched(at, out);
    }

    /// R8.1: closes an account's console and runs the fallback rules, held sessions included (R7.7).
    pub(super) fn disable_user(
        &mut self,
        now: Time,
        actor: Actor,
        user: UserId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.administrator(actor)?;
        if !self.user(user)?.enabled {
            return refuse(Reason::AccountDisabled, "", "this account is disabled already");
        }
        self.emit(now, Event::UserDisabled { user }, out);
        self.shut_out(now, user, LogoutReason::Disabled, out);
        Ok(Outcome::Done)
    }

    /// Ends a rep's part in everything, logged in or not: disabled, expired or deleted.
    pub(super) fn shut_out(&mut self, at: Time, user: UserId, reason: LogoutReason, out: &mut Vec<Stamped>) {
        self.log_out(at, user, reason, out);
        self.leave_sessions(at, user, reason, out);
        self.end_extended(at, out);
        self.dismiss_unvouched(at, out);
    }

    /// R7.7: a rep who logs out keeps what is held, unless the account itself ends.
    pub(super) fn leave_sessions(&mut self, at: Time, user: UserId, reason: LogoutReason, out: &mut Vec<Stamped>) {
        let held_too = matches!(reason, LogoutReason::Disabled | LogoutReason::Expired | LogoutReason::Deleted);
        let sessions: Vec<SessionId> = self.state.sessions_of(user).collect();
        for id in sessions {
            let Some(session) = self.state.sessions.get(&id) else { continue };
            let owns = session.participant_of(Party::Rep(user)).is_some_and(|it| it.role == Role::Owner);
            if !owns {
                self.emit(at, Event::Departed { session: id, rep: user, reason: "logged_out".to_owned() }, out);
            } else if held_too || !matches!(session.stage, Stage::Held { .. }) {
                self.orphan(at, id, user, out);
            }
        }
    }

    /// R8.7: waiting sessions of a deleted team fall back from rule 3 or end.
    pub(super) fn delete_team(
        &mut self,
        now: Time,
        actor: Actor,
        team: TeamId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.administrator(actor)?;
        let queue = self.entry_queue(Entry::Queue(Queue::Team(team)))?;
        let waiting: Vec<SessionId> = self.state.waiting_in(queue).collect();
        for id in waiting {
            self.withdraw(now, id, "team_deleted", out);
        }
        self.emit(now, Event::TeamDeleted { team }, out);
        self.clear_unavailable(now, queue, out);
        Ok(Outcome::Done)
    }
}

/// May this one turn the site into the edited one, which was checked beside it? An administrator may, others where every
/// difference is covered by their rights (P1.1, P2.3). What a group policy locks, nobody sets on a user (P2.2, BU-150).
/// `file`: the edited site as its author wrote it.
pub fn may_apply(site: &Site, edited: &Site, file: &RawSite, actor: Actor) -> Result<(), Refusal> {
    let beyond = match actor {
        Actor::System => return Ok(()),
        Actor::Admin(user) | Actor::Party(Party::Rep(user)) => site.beyond(edited, user),
        Actor::Service(_) | Actor::Party(_) => return no_editor(),
    };
    if beyond.is_empty() {
        return not_locked(site, edited, file);
    }
    let message = format!("this is not yours to edit, but of whom stands behind it: {}", some_of(&beyond));
    refuse(Reason::NotPermitted, "P1.1", &message)
}

fn not_locked(site: &Site, edited: &Site, file: &RawSite) -> Result<(), Refusal> {
    let locked = site.locked(edited, file);
    let Some(first) = locked.first() else { return Ok(()) };
    let message = format!("{}: edit the group policy, or who is in it", some_of(&locked));
    let source = Some(format!("group_policy:{}", first.by));
    Err(Refusal { source, ..Refusal::new(Reason::NotPermitted, "P2.2", message) })
}

/// The first of them by name, and how many more there are.
fn some_of(all: &[impl ToString]) -> String {
    let mut named: Vec<String> = all.iter().take(limits::BEYOND_NAMED).map(ToString::to_string).collect();
    named.extend(all.len().checked_sub(named.len()).filter(|more| *more > 0).map(|more| format!("{more} more")));
    named.join(", ")
}

fn no_editor() -> Result<(), Refusal> {
    refuse(Reason::NotPermitted, "P1.1", "only an administrator, or who may edit a part of it, edits or reads the site")
}

impl State {
    /// Whoever may edit something of the site may read the whole of it: it has no secrets.
    pub fn may_edit_site(&self, actor: Actor) -> Result<(), Refusal> {
        match actor {
            Actor::System => Ok(()),
            Actor::Admin(user) | Actor::Party(Party::Rep(user)) if self.site.edits_some(user) => Ok(()),
            _ => no_editor(),
        }
    }

    pub(super) fn fold_site(&mut self, event: &Event) {
        self.grants.forget();
        self.site_version += 1;
        match event {
            Event::SiteApplied { site } => {
                // Checked when it was decided; a journal that says otherwise changes nothing.
                let checked = self.checked.take().or_else(|| {
                    let site = Site::check(site.clone(), Some(&self.site)).ok()?;
                    let serves_like = self.site.serves_like(&site);
                    Some((Arc::new(site), serves_like))
                });
                if let Some((site, serves_like)) = checked {
                    let before = std::mem::replace(&mut self.site, site);
                    if !serves_like {
                        self.rebuild();
                    }
                    let served = self.sessions.values().any(|session| session.owner().is_some());
                    self.tools.site_was(served.then_some(before));
                }
            }
            Event::UserDisabled { user } => {
                let site = Arc::make_mut(&mut self.site);
                if let Some(it) = site.users.get_mut(user) {
                    it.enabled = false;
                    let raw = Arc::make_mut(&mut site.raw)
                        .user
                        .iter_mut()
                        .find(|raw| raw.username.eq_ignore_ascii_case(&it.username));
                    if let Some(raw) = raw {
                        raw.enabled = false;
                    }
                }
                self.index.touch_rep(*user);
            }
            Event::TeamDeleted { team } => {
                self.delete_team(*team);
                self.rebuild();
            }
            _ => {}
        }
    }

    /// The team and everything that names it: its issues, memberships, and rules that lead to it.
    fn delete_team(&mut self, id: TeamId) {
        let site = Arc::make_mut(&mut self.site);
        let Some(gone) = site.teams.remove(&id) else { return };
        site.codes.teams.remove(&gone.code);
        for user in site.users.values_mut() {
            user.teams.remove(&id);
        }
        site.codes.issues.retain(|_, issue| site.issues.get(issue).is_some_and(|issue| issue.team != id));
        site.issues.retain(|_, issue| issue.team != id);
        site.options.fallback_team = site.options.fallback_team.filter(|team| *team != id);

        for script in site.scripts.values_mut() {
            script.teams.remove(&id);
        }
        for group in &mut site.jump_groups {
            group.teams.remove(&id);
        }

        let is_gone = |code: &str| code.eq_ignore_ascii_case(&gone.code);
        let raw = Arc::make_mut(&mut site.raw);
        raw.team.retain(|team| !is_gone(&team.code));
        raw.issue.retain(|issue| !is_gone(&issue.team));
        for user in &mut raw.user {
            user.teams.retain(|team, _| !is_gone(team));
        }
        for portal in &mut raw.portal {
            // A portal of this team alone would come to mean every team: it keeps the name of what is gone.
            if portal.teams.iter().any(|team| !is_gone(team)) {
                portal.teams.retain(|team| !is_gone(team));
            }
        }
        for script in &mut raw.script {
            script.teams.retain(|team| !is_gone(team));
        }
        for group in &mut raw.jump_group {
            group.teams.retain(|team, _| !is_gone(team));
        }
        for team in raw.team.iter_mut().filter(|team| is_gone(&team.overdue.to)) {
            team.overdue = Default::default();
        }
        if is_gone(&raw.options.fallback_team) {
            raw.options.fallback_team.clear();
        }
        for team in site.teams.values_mut() {
            if matches!(team.overdue, crate::site::Overdue::Transfer { to, .. } if to == id) {
                team.overdue = crate::site::Overdue::None;
            }
        }
    }
}
