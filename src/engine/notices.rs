//! Customer notices, such as that of an outage: whoever waits is told while they hold (R10.1).

use super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, State, refusal::refuse};
use crate::{
    ids::*,
    limits,
    site::UserPermission,
    time::{Span, Time},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Notices {
    live: BTreeMap<NoticeId, CustomerNotice>,
    last: u32,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CustomerNotice {
    pub text: String,
    pub by: Actor,
    pub since: Time,
    /// None: until it is withdrawn.
    pub until: Option<Time>,
}

impl Notices {
    /// The oldest first.
    pub fn live(&self) -> impl Iterator<Item = (NoticeId, &CustomerNotice)> {
        self.live.iter().map(|(id, notice)| (*id, notice))
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.live.values().filter_map(|notice| notice.until).min()
    }

    pub(super) fn apply(&mut self, at: Time, event: &Event) {
        match event {
            Event::NoticePublished { notice, text, by, until } => {
                self.last = self.last.max(notice.0);
                let published = CustomerNotice { text: text.clone(), by: *by, since: at, until: *until };
                self.live.insert(*notice, published);
            }
            Event::NoticeGone { notice, .. } => {
                self.live.remove(notice);
            }
            _ => {}
        }
    }
}

impl Engine {
    pub(super) fn publish_notice(
        &mut self,
        now: Time,
        actor: Actor,
        text: &str,
        lives: Option<Span>,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.may_edit_notices(actor)?;
        if text.trim().is_empty() || text.len() > limits::ANNOUNCEMENT_BYTES_MAX {
            let message = format!("a notice has 1 to {} bytes", limits::ANNOUNCEMENT_BYTES_MAX);
            return Err(Refusal::new(Reason::Malformed, "R10.1", message));
        }
        if lives.is_some_and(|lives| lives.is_zero() || lives > limits::NOTICE_LIFE) {
            return refuse(Reason::Malformed, "R10.1", "a notice lives from one second to thirty days");
        }
        let notices = &self.state.notices;
        if notices.live.len() >= limits::NOTICES_MAX {
            return refuse(Reason::LimitReached, "R10.1", "withdraw a notice first: nobody reads so many");
        }
        let notice = NoticeId(notices.last + 1);
        let until = lives.map(|lives| now + lives);
        self.emit(now, Event::NoticePublished { notice, text: text.to_owned(), by: actor, until }, out);
        Ok(Outcome::Notice(notice))
    }

    /// Of a notice that is gone already nothing is left to do.
    pub(super) fn withdraw_notice(
        &mut self,
        now: Time,
        actor: Actor,
        notice: NoticeId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        self.may_edit_notices(actor)?;
        if self.state.notices.live.contains_key(&notice) {
            self.emit(now, Event::NoticeGone { notice, reason: "withdrawn".to_owned() }, out);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn tick_notices(&mut self, at: Time, out: &mut Vec<Stamped>) {
        let over = |notice: &CustomerNotice| notice.until.is_some_and(|until| until <= at);
        let gone: Vec<NoticeId> = self.state.notices.live().filter(|(_, it)| over(it)).map(|(id, _)| id).collect();
        for notice in gone {
            self.emit(at, Event::NoticeGone { notice, reason: "expired".to_owned() }, out);
        }
    }

    fn may_edit_notices(&self, actor: Actor) -> Result<(), Refusal> {
        match self.state.may_edit_notices(actor) {
            true => Ok(()),
            false => refuse(Reason::NotPermitted, "R10.1", "customer notices need their permission"),
        }
    }
}

impl State {
    /// Whoever has the permission, administrators, and the broker itself.
    pub fn may_edit_notices(&self, actor: Actor) -> bool {
        let permissions = [UserPermission::EditCustomerNotices, UserPermission::Administrator];
        match actor {
            Actor::System => true,
            Actor::Party(Party::Rep(user)) | Actor::Admin(user) => self.site.users.get(&user).is_some_and(|user| {
                user.enabled && permissions.iter().any(|permission| user.permissions.contains(permission))
            }),
            _ => false,
        }
    }
}
