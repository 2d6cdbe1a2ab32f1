//! What another site file would change, for whom (P6.4): every user of both, tool by tool, those alike together.

use super::explain::{Change, Query, Unknown, changes};
use crate::site::{SessionKind, Site};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// One change, for whom and where.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ForWhom {
    #[serde(flatten)]
    pub change: Change,
    pub users: Vec<String>,
    /// `support`, `rep_to_rep`, `portal:main`, `jump_item:srv` (with `absent` where nobody sits there).
    pub places: Vec<String>,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Everybody {
    pub changes: Vec<ForWhom>,
}

/// Users shown by name where many are meant.
const NAMED: usize = 5;

/// In one situation; the user of the query is left out of account.
pub fn against(site: &Site, other: &Site, query: &Query) -> Result<Everybody, Unknown> {
    let place = match (&query.jump_item, &query.portal) {
        (Some(item), _) => format!("jump_item:{item}"),
        (None, Some(portal)) => format!("portal:{portal}"),
        (None, None) => query.kind.map_or("support", |kind| kind.name()).to_owned(),
    };
    Ok(gathered(site, other, &[(place, query.clone())])?.into_iter().collect())
}

/// In every situation that both sites know: without a portal, through each, on each jump item, and where a rep shows its
/// screen to another.
pub fn everywhere(site: &Site, other: &Site) -> Everybody {
    let mut places: Vec<(String, Query)> = [SessionKind::Support, SessionKind::RepToRep]
        .map(|kind| (kind.name().to_owned(), Query { kind: Some(kind), ..Query::default() }))
        .into();
    let both = |code: &&String, known: &BTreeMap<String, _>| known.contains_key(*code);
    for portal in site.codes.portals.keys().filter(|code| both(code, &other.codes.portals)) {
        places.push((format!("portal:{portal}"), Query { portal: Some(portal.clone()), ..Query::default() }));
    }
    for item in site.codes.jump_items.keys().filter(|code| other.codes.jump_items.contains_key(*code)) {
        for present in [true, false] {
            let absent = if present { "" } else { " absent" };
            let query = Query { jump_item: Some(item.clone()), present: Some(present), ..Query::default() };
            places.push((format!("jump_item:{item}{absent}"), query));
        }
    }
    // Every code above is in both.
    gathered(site, other, &places).map(|found| found.into_iter().collect()).unwrap_or_default()
}

fn gathered(site: &Site, other: &Site, places: &[(String, Query)]) -> Result<Vec<ForWhom>, Unknown> {
    let users: Vec<&String> = site.codes.users.keys().filter(|name| other.codes.users.contains_key(*name)).collect();
    let mut found: Vec<ForWhom> = Vec::new();
    for (place, query) in places {
        let mut here: Vec<ForWhom> = Vec::new();
        for user in &users {
            let query = Query { user: (*user).clone(), ..query.clone() };
            for change in changes(site, other, &query)? {
                match here.iter_mut().find(|known| same(&known.change, &change, &known.users[0], user)) {
                    Some(known) => known.users.push((*user).clone()),
                    None => here.push(ForWhom { change, users: vec![(*user).clone()], places: vec![place.clone()] }),
                }
            }
        }
        for new in here {
            let known = found.iter_mut().find(|known| {
                known.users == new.users && same(&known.change, &new.change, &known.users[0], &new.users[0])
            });
            match known {
                Some(known) => known.places.push(place.clone()),
                None => found.push(new),
            }
        }
    }
    found.sort_by_key(|found| found.change.tool);
    Ok(found)
}

/// The same change for two users, though each has it from a policy of their own.
fn same(one: &Change, other: &Change, user: &str, of: &str) -> bool {
    let source = |source: &str, user: &str| source.strip_prefix("user:").map_or(source == user, |name| name == user);
    let alike = |one: &super::explain::Row, other: &super::explain::Row| {
        let own = source(&one.source, user) && source(&other.source, of);
        one.value == other.value && one.prompt == other.prompt && (one.source == other.source || own)
    };
    one.tool == other.tool && alike(&one.before, &other.before) && alike(&one.after, &other.after)
}

impl FromIterator<ForWhom> for Everybody {
    fn from_iter<I: IntoIterator<Item = ForWhom>>(changes: I) -> Self {
        Self { changes: changes.into_iter().collect() }
    }
}

impl fmt::Display for Everybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "nobody's permissions change");
        }
        for ForWhom { change: Change { tool, before, after }, users, places } in &self.changes {
            let (from, to) = (&before.value, &after.value);
            let prompts = if before.prompt == after.prompt {
                String::new()
            } else {
                format!(", prompt {} → {}", before.prompt, after.prompt)
            };
            let named = users.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = users.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(
                f,
                "{tool:<22} {from} ({}) → {to} ({}){prompts}  for {named}{more}  in {}",
                before.source,
                after.source,
                places.join(", ")
            )?;
        }
        Ok(())
    }
}
