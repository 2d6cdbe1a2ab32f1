//! What the console knows of the site (W4.4): a fold of the broker's pushes, and what is said about each of them.

use super::{filter::plain, jobs};
use crate::wire::control::{ChannelView, Ev, Opened, Refused, RepView, SessionView, TeamView, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What is kept of answers, notes and ends that nobody has asked for yet.
const KEPT: usize = 256;

pub type Facts = BTreeMap<String, Value>;

#[derive(Default, Debug)]
pub struct View {
    pub sessions: BTreeMap<u64, SessionView>,
    pub reps: BTreeMap<String, RepView>,
    pub teams: BTreeMap<String, TeamView>,
    /// Offers and invitations to this rep, by session, until when.
    pub offers: BTreeMap<u64, u64>,
    /// How requests to open ended, by session and request.
    pub opens: BTreeMap<(u64, u32), Result<Opened, Refused>>,
    /// Facts the other ends noted, by channel.
    pub notes: BTreeMap<u32, Facts>,
    /// Channels that ended, and why.
    pub closed: BTreeMap<u32, String>,
    /// Sessions that are over for this rep.
    pub gone: BTreeMap<u64, ()>,
    /// How often the line was there: what was pushed while it was not is asked for again.
    pub connections: u64,
    /// Jobs of this rep's that are over.
    pub jobs_over: BTreeSet<u64>,
    /// The channel on which this rep chats in a session.
    pub chats: BTreeMap<u64, ChannelView>,
    /// Channels with a task of their own: chats that are read, and this rep's own screen.
    pub running: BTreeSet<u32>,
    /// The session that tools work in.
    pub current: Option<u64>,
}

impl View {
    /// Takes one push; what a person should be told about it, if anything. `now_ms` is only for times left.
    pub fn take(&mut self, ev: &Ev, now_ms: u64) -> Option<String> {
        match ev {
            Ev::Snapshot { sessions, reps, teams, last } => {
                self.sessions.extend(sessions.iter().map(|session| (session.session, session.clone())));
                self.reps.extend(reps.iter().map(|rep| (rep.rep.clone(), rep.clone())));
                self.teams.extend(teams.iter().map(|team| (team.team.clone(), team.clone())));
                last.then(|| format!("{} sessions, {} reps in view", self.sessions.len(), self.reps.len()))
            }
            Ev::Session(session) => {
                self.gone.remove(&session.session);
                let before = self.sessions.insert(session.session, (**session).clone());
                let state =
                    |session: &SessionView| (session.state.clone(), session.queue.clone(), session.owner.clone());
                (before.as_ref().map(state) != Some(state(session))).then(|| summary(session))
            }
            Ev::SessionGone { session, reason } => {
                self.leave(*session);
                self.sessions.remove(session).map(|_| format!("s{session} is gone: {}", plain(reason)))
            }
            Ev::Rep(rep) => {
                self.reps.insert(rep.rep.clone(), rep.clone());
                None
            }
            Ev::Offer { session, team, expires_at_ms, info } => {
                self.offers.insert(*session, *expires_at_ms);
                let who = info.as_ref().map_or_else(String::new, |info| format!(" from {}", customer(info)));
                let left = expires_at_ms.saturating_sub(now_ms) / 1000;
                Some(format!("s{session}{who} in {}, {left} s: accept or reject", plain(team)))
            }
            Ev::OfferWarning { session, expires_at_ms } => {
                Some(format!("s{session}: {} s left to accept", expires_at_ms.saturating_sub(now_ms) / 1000))
            }
            Ev::OfferGone { session, reason } => {
                self.offers.remove(session);
                (reason != "accepted").then(|| format!("the offer of s{session} is gone: {}", plain(reason)))
            }
            Ev::Invited { session, by, shows: true, .. } => {
                Some(format!("{} shows you a screen in s{session}: join {session} or reject {session}", plain(by)))
            }
            Ev::Invited { session, by, .. } => {
                Some(format!("{} invites you into s{session}: join {session}", plain(by)))
            }
            Ev::InvitationGone { session, to, reason } => {
                Some(format!("your invitation of {} into s{session} is over: {}", plain(to), plain(reason)))
            }
            Ev::MailFailed { session, address } => Some(format!(
                "the letter to {} about s{session} did not go out: give them the key yourself",
                plain(address)
            )),
            Ev::JobOver(job) => {
                self.jobs_over.insert(job.job);
                while self.jobs_over.len() > KEPT {
                    self.jobs_over.pop_first();
                }
                Some(jobs::line(job))
            }
            Ev::LogoutNotice { minutes } => {
                Some(format!("your login schedule ends in {minutes} min: you are logged out then"))
            }
            Ev::Reauthenticate {} => {
                Some("this seat is shared: sign in again to go on; until then nothing new begins".into())
            }
            Ev::LoggedOut { reason } => Some(format!("logged out: {}", plain(reason))),
            Ev::Serving { session, participants } => {
                let names: Vec<_> = participants.iter().map(|one| plain(&one.name)).collect();
                Some(format!("in s{session}: {}", names.join(", ")))
            }
            Ev::Ended { session, reason } => {
                self.leave(*session);
                Some(format!("s{session} ended: {}", plain(reason)))
            }
            Ev::RefusedOpen { session, open, refused } => {
                keep(&mut self.opens, (*session, *open), Err(refused.clone()));
                None
            }
            Ev::Closed { channel, reason, tool, source, .. } => {
                keep(&mut self.closed, *channel, reason.clone());
                self.chats.retain(|_, chat| chat.channel != *channel);
                let by = match (tool, source) {
                    (Some(tool), Some(source)) => format!(": {} by {}", plain(tool), plain(source)),
                    _ => String::new(),
                };
                (reason == "revoked").then(|| format!("channel {channel} was taken away{by}"))
            }
            Ev::Noted { channel, facts, .. } => {
                self.noted(*channel, facts);
                None
            }
            Ev::Draining { retry_after_ms } => {
                Some(format!("the broker restarts; back in {} s", retry_after_ms.div_ceil(1000)))
            }
            // What goes to a customer, and what a command waits for by itself.
            _ => None,
        }
    }

    /// Told again on a new connection, with what was noted of its channels meanwhile.
    pub fn opened(&mut self, opened: Opened) {
        for channel in &opened.channels {
            self.noted(channel.channel, &opened.facts);
        }
        keep(&mut self.opens, (opened.session, opened.open), Ok(opened));
    }

    fn noted(&mut self, channel: u32, facts: &Facts) {
        let mut all = self.notes.remove(&channel).unwrap_or_default();
        all.extend(facts.clone());
        keep(&mut self.notes, channel, all);
    }

    /// A fresh snapshot follows; what was seen before may have gone meanwhile.
    pub fn forget(&mut self) {
        self.sessions.clear();
        self.reps.clear();
        self.teams.clear();
    }

    /// The offer that runs out first.
    pub fn due_offer(&self) -> Option<u64> {
        self.offers.iter().min_by_key(|(session, expires)| (**expires, **session)).map(|(session, _)| *session)
    }

    /// The session that tools work in: the one chosen, or the only one served by `me`.
    pub fn working_in(&self, me: &str) -> Option<u64> {
        self.current.or_else(|| {
            let mut mine = self.sessions.values().filter(|session| owns(session, me) && !is_show(session));
            mine.next().filter(|_| mine.next().is_none()).map(|session| session.session)
        })
    }

    /// The session in which `me` shows its own screen.
    pub fn shown_by(&self, me: &str) -> Option<u64> {
        self.sessions.values().find(|session| is_show(session) && owns(session, me)).map(|session| session.session)
    }

    pub fn queues(&self) -> String {
        let mut text = String::new();
        for team in self.teams.values() {
            text += &format!("{}: {} waiting, {} reps\n", plain(&team.team), team.waiting, team.reps);
        }
        for session in self.sessions.values().filter(|session| session.state != "ended") {
            text += &summary(session);
            text.push('\n');
        }
        if text.is_empty() { "nothing waits\n".to_owned() } else { text }
    }

    pub fn rep_list(&self) -> String {
        let one = |rep: &RepView| {
            let opted = if rep.opted_in { "" } else { ", takes no offers" };
            format!("{}: {}, {} sessions{opted}\n", plain(&rep.rep), plain(&rep.status), rep.sessions)
        };
        self.reps.values().map(one).collect()
    }

    /// How a participant is called.
    pub fn name(&self, session: u64, participant: u16) -> String {
        let session = self.sessions.get(&session);
        let found = session.and_then(|session| session.participants.iter().find(|one| one.participant == participant));
        match (found, participant) {
            (Some(one), _) if !one.name.is_empty() => plain(&one.name),
            (_, 0) => session.map_or_else(|| "customer".into(), |session| plain(&session.customer)),
            _ => format!("participant {participant}"),
        }
    }

    fn leave(&mut self, session: u64) {
        keep(&mut self.gone, session, ());
        self.chats.remove(&session);
        self.offers.remove(&session);
        if self.current == Some(session) {
            self.current = None;
        }
    }
}

/// `rep:ana` and `ana` are the same person.
pub fn same(address: &str, name: &str) -> bool {
    address == name || address.strip_prefix("rep:") == Some(name)
}

fn owns(session: &SessionView, me: &str) -> bool {
    session.owner.as_deref().is_some_and(|rep| same(rep, me))
}

/// A rep shows its screen to another in it.
fn is_show(session: &SessionView) -> bool {
    session.kind == "rep_to_rep"
}

/// One line about a session.
pub fn summary(session: &SessionView) -> String {
    let mut line = format!("s{} {}", session.session, plain(&session.state));
    if is_show(session) {
        return line + &format!(", the screen of {}", plain(session.owner.as_deref().unwrap_or("nobody")));
    }
    if let Some(queue) = &session.queue {
        line += &format!(" in {}", plain(queue));
    }
    if let Some(owner) = &session.owner {
        line += &format!(" with {}", plain(owner));
    }
    if let Some(rep) = &session.offered_to {
        line += &format!(" offered to {}", plain(rep));
    }
    line += &format!(", {}", customer(session));
    if session.overdue {
        line += ", overdue";
    }
    line
}

/// A refusal for people: which permission, which layer, which rule.
pub fn refusal(refused: &Refused) -> String {
    let mut line = format!("refused ({})", plain(&refused.code));
    if let Some(tool) = &refused.tool {
        line += &format!(": permission `{}`", plain(tool));
    }
    if let Some(source) = &refused.source {
        line += &format!(" by {}", plain(source));
    }
    if !refused.rule.is_empty() {
        line += &format!(" [{}]", plain(&refused.rule));
    }
    line + ": " + &plain(&refused.message)
}

fn customer(session: &SessionView) -> String {
    let name = if session.customer.is_empty() { "a customer".to_owned() } else { plain(&session.customer) };
    match [session.customer_os.as_str(), session.locale.as_str()].map(plain) {
        [os, locale] if os.is_empty() && locale.is_empty() => name,
        [os, locale] if locale.is_empty() => format!("{name} ({os})"),
        [os, locale] if os.is_empty() => format!("{name} ({locale})"),
        [os, locale] => format!("{name} ({os}, {locale})"),
    }
}

/// Keeps an entry, and forgets the oldest beyond `KEPT`.
fn keep<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    map.insert(key, value);
    while map.len() > KEPT {
        map.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u64, state: &str) -> SessionView {
        SessionView {
            session: number,
            state: state.into(),
            queue: Some("team:net".into()),
            customer: "Bo".into(),
            customer_os: "linux".into(),
            ..SessionView::default()
        }
    }

    #[test]
    fn w4_4_pushes_fold_into_a_view_and_are_said_once() {
        let mut view = View::default();
        let snapshot = Ev::Snapshot { sessions: vec![session(1, "waiting")], reps: vec![], teams: vec![], last: true };
        assert_eq!(view.take(&snapshot, 0).unwrap(), "1 sessions, 0 reps in view");
        let offer = Ev::Offer {
            session: 1,
            team: "net".into(),
            expires_at_ms: 30_000,
            info: Some(Box::new(session(1, "offered"))),
        };
        assert_eq!(view.take(&offer, 0).unwrap(), "s1 from Bo (linux) in net, 30 s: accept or reject");
        assert_eq!(view.due_offer(), Some(1));
        let active = SessionView { owner: Some("rep:ana".into()), queue: None, ..session(1, "active") };
        assert_eq!(view.take(&Ev::Session(Box::new(active.clone())), 0).unwrap(), "s1 active with rep:ana, Bo (linux)");
        assert_eq!(view.take(&Ev::Session(Box::new(active)), 0), None);
        assert_eq!(view.working_in("ana"), Some(1));
        assert_eq!(view.working_in("bo"), None);
        view.take(&Ev::Ended { session: 1, reason: "by_rep".into() }, 0);
        assert_eq!(view.due_offer(), None);
    }

    #[test]
    fn p6_3_a_denied_tool_names_the_permission_and_the_layer() {
        let refused = Refused {
            code: "not_permitted".into(),
            rule: "P3.10".into(),
            message: "the shell is not allowed".into(),
            at: None,
            tool: Some("shell".into()),
            source: Some("portal:main".into()),
            retry_after_ms: None,
        };
        assert_eq!(
            refusal(&refused),
            "refused (not_permitted): permission `shell` by portal:main [P3.10]: the shell is not allowed"
        );
    }

    #[test]
    fn what_nobody_asks_for_is_bounded() {
        let mut view = View::default();
        for channel in 0..10_000 {
            view.take(
                &Ev::Closed { session: 1, channel, reason: "finished".into(), at: None, tool: None, source: None },
                0,
            );
            view.take(&Ev::Noted { session: 1, channel, by: 0, facts: Facts::new() }, 0);
        }
        assert_eq!((view.closed.len(), view.notes.len()), (KEPT, KEPT));
        assert!(view.closed.contains_key(&9_999));
    }
}
