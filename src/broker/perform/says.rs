//! The sentences of the broker's pushes that are said in more than one place.

use crate::{
    broker::view,
    engine::{
        State,
        event::Cause,
        tools::{Open as OpenRequest, Prompt},
    },
    ids::*,
    wire::control::Ev,
};

pub(super) fn disclaimer(state: &State, session: SessionId, expires_at_ms: u64) -> Ev {
    Ev::Disclaimer { session: session.0, text: state.site.options.disclaimer_text.clone(), expires_at_ms }
}

pub(super) fn offer_gone(session: SessionId, reason: &str) -> Ev {
    Ev::OfferGone { session: session.0, reason: reason.to_owned() }
}

pub(super) fn requested(session: SessionId, open: OpenId, request: &OpenRequest) -> Ev {
    Ev::Requested {
        session: session.0,
        open: open.0,
        by: request.by.0,
        tool: request.tool.name().to_owned(),
        args: request.args.clone(),
    }
}

pub(super) fn prompted(state: &State, session: SessionId, prompt: PromptId, asked: &Prompt) -> Ev {
    let by = state.session(session).and_then(|found| found.participant(asked.by)).map(|by| by.party);
    let by = match by {
        Some(Party::Rep(user)) => view::public_name(&state.site, user),
        _ => state.site.options.rep_alias.clone(),
    };
    let tools = asked.tools.iter().map(|tool| tool.name().to_owned()).collect();
    let (expires_at_ms, each) = (asked.expires_at.0, asked.each || asked.anew);
    Ev::Prompt { session: session.0, prompt: prompt.0, tools, by, expires_at_ms, each }
}

/// A cause as the wire says it: tool and source.
pub(super) fn told(cause: &Option<Cause>) -> (Option<String>, Option<String>) {
    cause.as_ref().map(|cause| (cause.tool.name().to_owned(), cause.source.clone())).unzip()
}
