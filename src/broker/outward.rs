//! What is left out for those who are not reps of the site: a permission's layer names people, groups and portals by the
//! codes the site has for them, and a customer or an external rep is told of what kind it is, and no more (BU-004, LG-018).

use crate::{
    ids::Party,
    wire::control::{Ev, FromBroker, Refused},
};
use std::borrow::Cow;

/// Whether messages to this end pass through [`outward`].
pub fn is_outside(party: Party) -> bool {
    match party {
        Party::Customer(_) | Party::External(..) | Party::JumpClient(_) => true,
        Party::Rep(_) => false,
    }
}

/// `user` of `user:ana`.
pub fn kind(source: &str) -> &str {
    source.split_once(':').map_or(source, |(kind, _)| kind)
}

/// The message as an end outside may read it. Whatever carries a source is named here.
pub fn outward(message: &FromBroker) -> Cow<'_, FromBroker> {
    let mut said = Cow::Borrowed(message);
    match message {
        FromBroker::Reply { answer: Err(refused), .. } if refused.source.is_some() => {
            if let FromBroker::Reply { answer: Err(refused), .. } = said.to_mut() {
                blur(refused);
            }
        }
        FromBroker::Push { ev: Some(ev), .. } if names_a_source(ev) => {
            if let FromBroker::Push { ev: Some(ev), .. } = said.to_mut() {
                match &mut **ev {
                    Ev::RefusedOpen { refused, .. } => blur(refused),
                    Ev::Closed { source: Some(source), .. } => shorten(source),
                    Ev::Permissions { tools, .. } => tools.values_mut().for_each(|tool| shorten(&mut tool.source)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    said
}

fn names_a_source(ev: &Ev) -> bool {
    matches!(ev, Ev::RefusedOpen { .. } | Ev::Closed { source: Some(_), .. } | Ev::Permissions { .. })
}

/// The sentence for people may say the source too.
fn blur(refused: &mut Refused) {
    let Some(source) = &mut refused.source else { return };
    if source.contains(':') {
        refused.message = refused.message.replace(source.as_str(), kind(source));
        shorten(source);
    }
}

fn shorten(source: &mut String) {
    source.truncate(kind(source).len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::ToolView;
    use std::collections::BTreeMap;

    fn refused(source: &str) -> Refused {
        Refused {
            code: "not_permitted".into(),
            rule: "P6.3".into(),
            message: format!("shell is not permitted here, by {source}"),
            at: None,
            tool: Some("shell".into()),
            source: Some(source.into()),
            retry_after_ms: None,
        }
    }

    fn pushed(ev: Ev) -> FromBroker {
        FromBroker::Push { seq: 7, ev: Some(Box::new(ev)) }
    }

    #[test]
    fn bu_004_a_source_loses_its_code_wherever_it_is_said() {
        let view = |source: &str| ToolView {
            value: crate::wire::control::Value::Text("no".into()),
            source: source.into(),
            prompt: "never".into(),
        };
        let all = |user: &str, portal: &str| {
            let closed = |source: &str| Ev::Closed {
                session: 1,
                channel: 2,
                reason: "revoked".into(),
                at: Some(3),
                tool: Some("shell".into()),
                source: Some(source.into()),
            };
            let tools = BTreeMap::from([("shell".to_owned(), view(user)), ("screen".to_owned(), view(portal))]);
            [
                FromBroker::Reply { re: 1, answer: Err(Box::new(refused(user))) },
                pushed(Ev::RefusedOpen { session: 1, open: 2, refused: refused(portal) }),
                pushed(closed(user)),
                pushed(Ev::Permissions { session: 1, epoch: 2, tools, options: BTreeMap::new() }),
            ]
        };
        for (said, heard) in all("user:ana", "portal:main").iter().zip(all("user", "portal")) {
            assert_eq!(*outward(said), heard);
        }
    }

    #[test]
    fn what_names_nobody_goes_as_it_is() {
        for source in ["builtin", "default", "customer", "consent", ""] {
            let said = FromBroker::Reply { re: 1, answer: Err(Box::new(refused(source))) };
            assert_eq!(*outward(&said), said);
        }
        assert!(matches!(outward(&FromBroker::Pong(1)), Cow::Borrowed(_)));
    }
}
