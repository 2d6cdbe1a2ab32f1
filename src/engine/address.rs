//! Addresses of queues as people and integrators write them (R2.5).

use super::{Entry, Queue, Reason, Refusal, refusal::refuse};
use crate::{
    ids::{PortalId, UserId},
    site::Codes,
};

/// `team:<code>`, `rep:<username>`, `issue:<code>` or `general`: exactly one thing, or an error that names it.
pub fn entry(codes: &Codes, address: &str) -> Result<Entry, Refusal> {
    let Some(code) = address.strip_prefix("issue:") else { return queue(codes, address).map(Entry::Queue) };
    match codes.issues.get(&code.to_lowercase()) {
        Some(issue) => Ok(Entry::Issue(*issue)),
        None => refuse(Reason::UnknownIssue, "R2.5", &format!("no issue has the code “{code}”")),
    }
}

/// An address where an issue makes no sense: of a session that exists.
pub fn queue(codes: &Codes, address: &str) -> Result<Queue, Refusal> {
    let code = match address.split_once(':') {
        Some(("team", code)) => code,
        Some(("rep", username)) => return rep(codes, username).map(Queue::Personal),
        None if address == "general" => address,
        _ => {
            let message = format!("“{address}” is not an address: use team:CODE, rep:USERNAME, issue:CODE or general");
            return refuse(Reason::UnknownQueue, "R2.5", &message);
        }
    };
    match codes.teams.get(&code.to_lowercase()) {
        Some(team) => Ok(Queue::Team(*team)),
        None => refuse(Reason::UnknownTeam, "R2.5", &format!("no team has the code “{code}”")),
    }
}

pub fn portal(codes: &Codes, code: &str) -> Result<PortalId, Refusal> {
    let known = codes.portals.get(&code.to_lowercase()).copied();
    known.ok_or_else(|| Refusal::new(Reason::Malformed, "R2.4", format!("portal: no portal has the code “{code}”")))
}

pub fn rep(codes: &Codes, username: &str) -> Result<UserId, Refusal> {
    let known = codes.users.get(&username.to_lowercase()).copied();
    known.ok_or_else(|| Refusal::new(Reason::UnknownRep, "R2.5", format!("nobody is called “{username}”")))
}
