//! The audit trail as it is read outside the broker: each request and each event of a journal, in order, one object each.
//! What is kept of secrets stays in the journal.

use super::{Actor, Command, Event, Turn};
use crate::{
    ids::*,
    site::{
        Codes, Site,
        diff::{self, Difference},
        raw::RawSite,
    },
    time::Time,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Follows a journal, for what its numbers are called.
#[derive(Default)]
pub struct Trail {
    site: Site,
}

/// A request that was done, by its name and who asked, or an event by its name with what it says.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Entry {
    /// The turn it belongs to. A turn has its requests first, then what came of all of them.
    pub seq: Seq,
    /// Milliseconds since 1970 UTC.
    pub at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Whose request it is: a username, `service 2`, `customer of 7`, `guest 3 of 7`, `item srv`, `broker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(flatten)]
    pub says: Map<String, Value>,
    /// What an edit of the site changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// The numbers by which events name users, teams and the rest from this edit on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Value>,
    /// Of accounts, rights and settings, not of sessions and consoles.
    #[serde(skip)]
    pub is_administrative: bool,
}

impl Trail {
    /// What the next turn says.
    pub fn turn(&mut self, seq: Seq, turn: &Turn) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (at, request) in &turn.requests {
            let (name, _) = named(&request.command);
            let is_administrative = matches!(request.actor, Actor::Admin(_)) || request.command.is_administrative();
            let by = Some(self.name(request.actor));
            entries.push(Entry { request: Some(name), by, is_administrative, ..entry(seq, *at) });
        }
        for stamped in &turn.events {
            let is_administrative = stamped.event.is_administrative();
            let entry = Entry { is_administrative, ..entry(seq, stamped.at) };
            entries.push(match &stamped.event {
                Event::SiteApplied { site } => self.edited(site, entry),
                event => {
                    let (name, says) = named(event);
                    Entry { event: Some(name), says, ..entry }
                }
            });
        }
        entries
    }

    fn edited(&mut self, raw: &Arc<RawSite>, entry: Entry) -> Entry {
        let differences = diff::between(&self.site.raw, raw);
        // It was checked when it was applied; a later version that reads it otherwise still says what changed.
        if let Ok(site) = Site::check(raw.clone(), Some(&self.site)) {
            self.site = site;
        }
        let Codes { users, teams, skills, issues, pools, portals, jump_items, policies } = &self.site.codes;
        let numbers = json!({
            "user": users, "team": teams, "skill": skills, "issue": issues, "license_pool": pools, "portal": portals,
            "jump_item": jump_items, "policy": policies,
        });
        Entry { event: Some("site_applied".to_owned()), differences, numbers: Some(numbers), ..entry }
    }

    fn name(&self, actor: Actor) -> String {
        match actor {
            Actor::System => "broker".to_owned(),
            Actor::Service(service) => format!("service {service}"),
            Actor::Admin(user) | Actor::Party(Party::Rep(user)) => self.site.username(user),
            Actor::Party(Party::Customer(session)) => format!("customer of {session}"),
            Actor::Party(Party::External(session, seat)) => format!("guest {seat} of {session}"),
            Actor::Party(Party::JumpClient(item)) => match self.site.jump_items.get(&item) {
                Some(known) => format!("item {}", known.code),
                None => format!("item #{item}"),
            },
        }
    }
}

fn entry(seq: Seq, at: Time) -> Entry {
    Entry { seq, at_ms: at.0, ..Entry::default() }
}

/// The name of a request or an event, and what it says. As people read it, so without what is kept of secrets.
fn named(said: &impl Serialize) -> (String, Map<String, Value>) {
    match serde_json::to_value(said) {
        Ok(Value::String(name)) => (name, Map::new()),
        Ok(Value::Object(tagged)) => match tagged.into_iter().next() {
            Some((name, Value::Object(says))) => (name, says),
            Some((name, says)) => (name, [("is".to_owned(), says)].into_iter().collect()),
            None => Default::default(),
        },
        // Every key of theirs is a text or a number.
        _ => Default::default(),
    }
}

impl Command {
    /// Of accounts, rights and settings, whoever asks over whichever connection (RA-033).
    fn is_administrative(&self) -> bool {
        matches!(
            self,
            Self::ApplySite(_)
                | Self::SetCredential { .. }
                | Self::CreateFirstAdmin { .. }
                | Self::Unlock { .. }
                | Self::SetSecondFactor(_)
                | Self::RemoveSecondFactor { .. }
                | Self::MakeServiceKey { .. }
                | Self::MakeItemKey { .. }
                | Self::RevokeItemKey { .. }
                | Self::DisableUser { .. }
                | Self::DeleteTeam { .. }
                | Self::PublishNotice { .. }
                | Self::WithdrawNotice { .. }
        )
    }
}

impl Event {
    /// Of accounts, rights and settings (RA-033).
    fn is_administrative(&self) -> bool {
        matches!(
            self,
            Self::SiteApplied { .. }
                | Self::CredentialSet { .. }
                | Self::Unlocked { .. }
                | Self::SecondFactorSet { .. }
                | Self::SecondFactorRemoved { .. }
                | Self::TwoFactorRequired { .. }
                | Self::ServiceKeyMade { .. }
                | Self::ItemKeyMade { .. }
                | Self::ItemKeyGone { .. }
                | Self::UnattendedAllowed { .. }
                | Self::TokensRevoked { .. }
                | Self::UserDisabled { .. }
                | Self::TeamDeleted { .. }
                | Self::NoticePublished { .. }
                | Self::NoticeGone { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Request, Stamped, accounts::PasswordTerms, second_factor::Proof};

    fn turn(requests: Vec<(Actor, Command)>, events: Vec<Event>) -> Turn {
        let request = |(actor, command)| (Time(5), Request { actor, id: Some(1), command });
        Turn {
            requests: requests.into_iter().map(request).collect(),
            events: events.into_iter().map(|event| Stamped { at: Time(6), event }).collect(),
        }
    }

    fn site(text: &str) -> Arc<RawSite> {
        Site::from_text(text, None).unwrap().raw
    }

    #[test]
    fn ra_033_an_edit_says_who_made_it_what_it_changed_and_what_the_numbers_are() {
        let mut trail = Trail::default();
        let first = site(
            "[site]\nname = \"desk\"\n[[user]]\nusername = \"root\"\npermissions = [\"administrator\"]\n[[user]]\nusername = \"ana\"\n",
        );
        trail.turn(Seq(1), &turn(vec![], vec![Event::SiteApplied { site: first.clone() }]));
        let mut second = RawSite::clone(&first);
        second.user[1].enabled = false;
        let edit = (Actor::Admin(UserId(1)), Command::ApplySite(Arc::new(second.clone())));
        let entries = trail.turn(Seq(2), &turn(vec![edit], vec![Event::SiteApplied { site: Arc::new(second) }]));
        let [asked, came] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!((asked.request.as_deref(), asked.by.as_deref()), (Some("apply_site"), Some("root")));
        assert_eq!((asked.seq, asked.at_ms, came.at_ms), (Seq(2), 5, 6));
        assert!(asked.is_administrative && came.is_administrative);
        assert_eq!(came.event.as_deref(), Some("site_applied"));
        let differences: Vec<String> = came.differences.iter().map(ToString::to_string).collect();
        assert_eq!(differences, ["~ user ana enabled: true → false"]);
        assert_eq!(came.numbers.as_ref().unwrap()["user"], json!({"ana": 2, "root": 1}));
    }

    #[test]
    fn what_is_kept_of_secrets_is_hidden() {
        let user = UserId(2);
        let secret = SecretHash::of(b"KR7W");
        let set =
            Command::SetCredential { user, phc: "$argon2id$it".into(), version: 0, terms: PasswordTerms::default() };
        let events = vec![
            Event::CredentialSet { user, phc: "$argon2id$it".into(), version: 1, terms: PasswordTerms::default() },
            Event::SecondFactorSet { user, sealed: "v1.it".into(), step: 1, recovery: vec![secret] },
            Event::SecondFactorUsed { user, proof: Proof::Recovery(secret) },
            Event::Joined { session: SessionId(7), rep: user, participant: ParticipantId(2), monitor: false },
        ];
        // At a console as well as over a connection of administrators.
        let colleague = Actor::Party(Party::Rep(UserId(1)));
        let entries = Trail::default().turn(Seq(3), &turn(vec![(colleague, set)], events));
        assert!(entries[0].is_administrative);
        let said: Vec<String> = entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        assert_eq!(said[0], "{\"seq\":3,\"at_ms\":5,\"request\":\"set_credential\",\"by\":\"#1\"}");
        for hidden in &said[1..4] {
            assert!(hidden.contains("(hidden)") && !hidden.contains("it\""), "{hidden}");
        }
        let joined = &entries[4];
        assert_eq!((joined.event.as_deref(), &joined.says["session"]), (Some("joined"), &json!(7)));
        assert!(!joined.is_administrative);
    }
}
