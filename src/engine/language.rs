//! The customer's language (LG-023): its client says one in its hello, and the customer may choose another while the session
//! lives. Reps read it; the broker's own texts are the site's.

use super::{Actor, Engine, Event, Outcome, Reason, Refusal, Session, Stamped, State, refusal::refuse};
use crate::{ids::*, limits, time::Time};

impl Engine {
    pub(super) fn set_locale(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        locale: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let found = self.session_of(session)?;
        if actor != Actor::Party(Party::Customer(session)) {
            return refuse(Reason::NotPermitted, "", "only the customer says which language it reads");
        }
        if !is_locale(locale) {
            let most = limits::LOCALE_BYTES_MAX;
            let message =
                format!("locale: a language tag such as `de-CH`, letters, digits and hyphens, at most {most} bytes");
            return Err(Refusal::new(Reason::Malformed, "", message));
        }
        if found.locale.as_deref() != Some(locale) {
            self.emit(now, Event::LocaleSet { session, locale: locale.to_owned() }, out);
        }
        Ok(Outcome::Done)
    }
}

impl State {
    /// What the customer chose, else what its client said; empty where neither did, or what it said is no language.
    pub fn locale_of<'a>(&'a self, session: &'a Session) -> &'a str {
        let came = self.parties.get(Party::Customer(session.id)).map(|it| it.client.locale.as_str());
        let said = came.filter(|said| !said.is_empty()).unwrap_or(&session.ask.customer.client.locale);
        session.locale.as_deref().unwrap_or(if is_locale(said) { said } else { "" })
    }
}

/// As BCP 47 has them, roughly.
fn is_locale(text: &str) -> bool {
    let part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= limits::LOCALE_BYTES_MAX && text.split('-').all(part)
}
