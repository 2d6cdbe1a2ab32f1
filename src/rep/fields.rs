//! What reps wrote on the session that is worked in (P3.29): its custom fields, and what another system calls it.

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
};
use crate::wire::Do;
use serde_json::json;

pub async fn write(console: &Console, field: &str, value: &str) -> Result<Answer, Fault> {
    let said = if value.is_empty() { format!("without {field}") } else { format!("{field}: {value}") };
    let act = |session| Do::SetField { session, field: field.to_owned(), value: value.to_owned() };
    console.act_in_session(act, &said).await
}

pub async fn call(console: &Console, key: &str) -> Result<Answer, Fault> {
    let said = if key.is_empty() { "without external key".to_owned() } else { format!("is {key}") };
    console.act_in_session(|session| Do::SetExternalKey { session, value: key.to_owned() }, &said).await
}

pub fn list(console: &Console) -> Result<Answer, Fault> {
    let session = console.session()?;
    let found = console.hub.look(|view| view.sessions.get(&session).cloned());
    let found = found.ok_or_else(|| Fault::Wrong(format!("s{session} is not in view")))?;
    let key = (!found.external_key.is_empty()).then(|| format!("external key: {}", plain(&found.external_key)));
    let fields = found.fields.iter().map(|(field, value)| format!("{}: {}", plain(field), plain(value)));
    let lines: Vec<String> = key.into_iter().chain(fields).collect();
    let text = if lines.is_empty() { format!("nothing is written on s{session}") } else { lines.join("\n") };
    Ok(Answer::new(text, json!({"external_key": found.external_key, "fields": found.fields})))
}
