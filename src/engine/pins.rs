//! Keys of jump items that the endpoint of a session draws and gives up (P3.17): what a rep asks of it, and what becomes of the
//! item's key once it has taken that up.

use super::{Actor, Engine, Event, Reason, Refusal, buttons::token_of, refusal::refuse};
use crate::{
    ids::*,
    policy::{Tool, plan::Args},
    wire::control::Value,
};

impl Engine {
    /// P3.17: the item that this rep asks the customer's end to stand by for, or to stand by for no more, as far as it may be had;
    /// the session's policy is looked at before. None: what the endpoint makes of it is its own affair.
    pub(super) fn pinned(&self, session: SessionId, by: Party, args: &Args) -> Result<Option<JumpItemId>, Refusal> {
        let Some(Value::Text(code)) = args.get("item") else { return Ok(None) };
        let Party::Rep(rep) = by else {
            return refuse(Reason::NotPermitted, "P3.17", "only a rep of the house pins an endpoint");
        };
        let state = &self.state;
        let item = state.site.codes.jump_items.get(&code.to_lowercase()).copied();
        let item = item.filter(|item| state.sees_item(rep, *item)).ok_or_else(|| {
            Refusal::new(Reason::UnknownItem, "P8", format!("you have no jump item with the code “{code}”"))
        })?;
        state.may_jump(rep, item).map_err(|refusal| {
            let source = refusal.source.clone().unwrap_or_default();
            refusal.of_tool(Tool::PinJumpClient, source)
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
        refuse(Reason::WrongState, "P3.17", wrong)
    }

    /// The customer's end has taken it up, and says the hash of the key that it drew, or of the one that it gives up.
    pub(super) fn pinned_to(
        &self,
        session: SessionId,
        by: Party,
        args: &Args,
        facts: &Args,
    ) -> Result<Option<Event>, Refusal> {
        let Some(item) = self.pinned(session, by, args)? else { return Ok(None) };
        let (by, key) = (Actor::Party(by), token_of(facts)?);
        if !unpins(args) {
            self.is_new(key)?;
            return Ok(Some(Event::ItemKeyMade { item, by, key }));
        }
        // Whoever has the key is the endpoint, in whichever session and whether it stands by at this moment or not.
        match self.state.item_keys.item(key) == Some(item) {
            true => Ok(Some(Event::ItemKeyGone { item, by: Some(by) })),
            false => refuse(Reason::Malformed, "P3.17", "this end has not the key of that item"),
        }
    }
}

fn unpins(args: &Args) -> bool {
    matches!(args.get("mode"), Some(Value::Text(mode)) if mode == "unpin")
}
