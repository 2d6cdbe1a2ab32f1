//! Keys of jump items that the endpoint of a session draws and gives up: pinned by a rep (P3.17), or allowed by its customer for
//! when nobody is there (P3.25). What a rep asks of it, what becomes of the item's key once it has taken that up, and who takes it
//! back.

use super::{
    Actor, Engine, Event, Outcome, Reason, Refusal, Stamped, buttons::token_of, event::EndReason, refusal::refuse,
};
use crate::{
    ids::*,
    policy::{Tool, plan::Args},
    time::Time,
    wire::control::Value,
};

impl Engine {
    /// The item that this rep asks the customer's end to stand by for, or to stand by for no more, as far as it may be had; the
    /// session's policy is looked at before. None: what the endpoint makes of it is its own affair.
    pub(super) fn pinned(
        &self,
        session: SessionId,
        by: Party,
        tool: Tool,
        args: &Args,
    ) -> Result<Option<JumpItemId>, Refusal> {
        let Some(Value::Text(code)) = args.get("item") else { return Ok(None) };
        let rule = if tool == Tool::Unattended { "P3.25" } else { "P3.17" };
        let Party::Rep(rep) = by else {
            return refuse(Reason::NotPermitted, rule, "only a rep of the house has an endpoint stand by");
        };
        let state = &self.state;
        let item = state.site.codes.jump_items.get(&code.to_lowercase()).copied();
        let item = item.filter(|item| state.sees_item(rep, *item)).ok_or_else(|| {
            Refusal::new(Reason::UnknownItem, "P8", format!("you have no jump item with the code “{code}”"))
        })?;
        state.may_jump(rep, item).map_err(|refusal| {
            let source = refusal.source.clone().unwrap_or_default();
            refusal.of_tool(tool, source)
        })?;
        let runs_on = state.session(session).and_then(|here| here.ask.item);
        let wrong = match (unpins(args), state.item_keys.has(item)) {
            // Whoever jumps there trusts that it is the machine that it was.
            (false, true) => "this item has an endpoint's key: unpin it first, or an administrator makes another",
            // Its customer's end would be to be had with the key of another machine.
            (false, false) if state.sessions_on(item).next().is_some() => {
                "a session runs on this item: an endpoint is pinned to it when that is over"
            }
            (true, false) => "this item has no endpoint's key",
            (true, true) if runs_on.is_some_and(|other| other != item) => "this session runs on another item",
            _ => return Ok(Some(item)),
        };
        refuse(Reason::WrongState, rule, wrong)
    }

    /// The customer's end has taken it up, and says the hash of the key that it drew, or of the one that it gives up.
    pub(super) fn pinned_to(
        &self,
        session: SessionId,
        by: Party,
        (tool, args): (Tool, &Args),
        facts: &Args,
    ) -> Result<Vec<Event>, Refusal> {
        let Some(item) = self.pinned(session, by, tool, args)? else { return Ok(Vec::new()) };
        let (who, key) = (Actor::Party(by), token_of(facts)?);
        if unpins(args) {
            // Whoever has the key is the endpoint, in whichever session and whether it stands by at this moment or not.
            return match self.state.item_keys.item(key) == Some(item) {
                true => Ok(vec![Event::ItemKeyGone { item, by: Some(who) }]),
                false => refuse(Reason::Malformed, "P3.17", "this end has not the key of that item"),
            };
        }
        self.is_new(key)?;
        let allowed = match (tool, by) {
            (Tool::Unattended, Party::Rep(rep)) => Some(Event::UnattendedAllowed { session, item, rep }),
            _ => None,
        };
        Ok([Event::ItemKeyMade { item, by: who, key }].into_iter().chain(allowed).collect())
    }

    /// P3.25: by the endpoint that stands by with the key, whoever put it there, or by an administrator.
    pub(super) fn revoke_item_key(
        &mut self,
        now: Time,
        actor: Actor,
        item: JumpItemId,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        if actor != Actor::Party(Party::JumpClient(item)) {
            self.administrator(actor)?;
        }
        if !self.state.item_keys.has(item) {
            return refuse(Reason::WrongState, "P3.25", "this item has no endpoint's key");
        }
        self.forget_item_key(now, item, actor, out);
        Ok(Outcome::Done)
    }

    /// P4.6: what the customer of this session allowed in it for later.
    pub(super) fn take_back_unattended(&mut self, now: Time, session: SessionId, actor: Actor, out: &mut Vec<Stamped>) {
        let items = self.state.item_keys.allowed_in(session);
        items.into_iter().for_each(|item| self.forget_item_key(now, item, actor, out));
    }

    /// Whoever came by it is cut off, and nobody comes back into a session that runs there: it ends.
    fn forget_item_key(&mut self, now: Time, item: JumpItemId, by: Actor, out: &mut Vec<Stamped>) {
        self.emit(now, Event::ItemKeyGone { item, by: Some(by) }, out);
        let reason = match by {
            Actor::Party(Party::JumpClient(_) | Party::Customer(_)) => EndReason::ByCustomer,
            _ => EndReason::ByAdmin,
        };
        let running: Vec<SessionId> = self.state.sessions_on(item).collect();
        running.into_iter().for_each(|session| self.end(now, session, reason, out));
    }
}

fn unpins(args: &Args) -> bool {
    matches!(args.get("mode"), Some(Value::Text(mode)) if mode == "unpin")
}
