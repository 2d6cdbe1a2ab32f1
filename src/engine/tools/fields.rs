//! What reps write on a session: custom fields, and what it is called in another system (P3.29). A right of each
//! participant like any tool's, but nothing opens and the customer's side is not touched.

use super::{
    super::{Actor, Engine, Event, Outcome, Reason, Refusal, Stamped},
    open::{refusal, takes_part},
};
use crate::{
    ids::*,
    limits,
    policy::{
        Tool,
        plan::{Rights, Side, Unplanned},
    },
    site::check::is_field_name,
    time::Time,
};

impl Engine {
    /// An empty value takes the field away.
    pub(in crate::engine) fn set_field(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        field: &str,
        value: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let by = self.writing(session, actor, Tool::CustomFields)?;
        if !is_field_name(field) {
            let message = format!("field: 1 to {} letters, digits, `_` or `-`", limits::CODE_BYTES_MAX);
            return Err(Refusal::new(Reason::Malformed, "P3.29", message));
        }
        fits(value)?;
        let fields = &self.session_in(session)?.fields;
        if fields.get(field).map_or("", String::as_str) == value {
            return Ok(Outcome::Done);
        }
        if !fields.contains_key(field) && fields.len() >= limits::FIELDS_PER_SESSION {
            let message = format!("a session has at most {} custom fields", limits::FIELDS_PER_SESSION);
            return Err(Refusal::new(Reason::LimitReached, "P3.29", message));
        }
        let (field, value) = (field.to_owned(), value.to_owned());
        self.emit(now, Event::FieldSet { session, by, field, value }, out);
        Ok(Outcome::Done)
    }

    pub(in crate::engine) fn set_external_key(
        &mut self,
        now: Time,
        actor: Actor,
        session: SessionId,
        value: &str,
        out: &mut Vec<Stamped>,
    ) -> Result<Outcome, Refusal> {
        let by = self.writing(session, actor, Tool::ExternalKey)?;
        fits(value)?;
        if self.session_in(session)?.ask.customer.external_key != value {
            self.emit(now, Event::ExternalKeySet { session, by, value: value.to_owned() }, out);
        }
        Ok(Outcome::Done)
    }

    /// RA-013: what the site wants written before a rep ends what it serves. Not of a rep who may not write.
    pub(in crate::engine) fn fields_written(&self, rep: UserId, id: SessionId) -> Result<(), Refusal> {
        let here = self.session_in(id)?;
        let wanted = &self.state.site.options.end_fields;
        let missing: Vec<&str> =
            wanted.iter().map(String::as_str).filter(|field| !here.fields.contains_key(*field)).collect();
        let nothing = missing.is_empty() || here.is_show();
        if nothing || self.granted(here, Party::Rep(rep)).rights(Tool::CustomFields) == 0 {
            return Ok(());
        }
        let message = format!("write these fields of the session before it ends: {}", missing.join(", "));
        Err(Refusal::new(Reason::FieldsMissing, "RA-013", message))
    }

    /// Who takes part in serving a session writes on it, held or not, where their own permissions let them.
    fn writing(&mut self, session: SessionId, actor: Actor, tool: Tool) -> Result<ParticipantId, Refusal> {
        let (by, side) = self.acting(session, actor)?;
        self.learn(session);
        let here = self.session_in(session)?;
        takes_part(here, by, tool)?;
        let party = here.participant(by).map_or(Party::Customer(session), |there| there.party);
        let granted = self.granted(here, party);
        match side {
            Side::Customer => Err(refusal(tool, Unplanned::WrongSide, &granted)),
            Side::Rep if granted.rights(tool) == 0 => Err(refusal(tool, Unplanned::NotPermitted(tool), &granted)),
            Side::Rep => Ok(by),
        }
    }
}

fn fits(value: &str) -> Result<(), Refusal> {
    if value.len() <= limits::NAME_BYTES_MAX {
        return Ok(());
    }
    let message = format!("value: longer than {} bytes", limits::NAME_BYTES_MAX);
    Err(Refusal::new(Reason::Malformed, "P3.29", message))
}
