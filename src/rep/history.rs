//! The history of sessions at the console (BU-048): a table of those that this rep may see, the newest first.

use super::{
    Fault,
    console::{Answer, Console},
    filter::plain,
    when::When,
    words::Words,
};
use crate::wire::{
    Do, Done,
    control::{self, PastSession},
};
use serde_json::json;
use std::fmt::Write;

/// What is asked for, as it was typed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    since: Option<When>,
    until: Option<When>,
    team: Option<String>,
    rep: Option<String>,
    before: Option<u64>,
    /// With who took part and what was written on them.
    long: bool,
}

impl Asked {
    pub fn of(words: &mut Words<'_>) -> Result<Self, String> {
        let mut when = |name| {
            let when = |text: String| text.parse().map_err(|wrong| format!("history: {wrong}"));
            words.option(name)?.map(when).transpose()
        };
        let (since, until) = (when("--since")?, when("--until")?);
        let before = words.option("--before")?.map(|text| words.parse(&text)).transpose()?;
        let (team, rep) = (words.option("--team")?, words.option("--rep")?);
        Ok(Self { since, until, team, rep, before, long: words.flag("--long") })
    }
}

pub async fn list(console: &Console, asked: Asked) -> Result<Answer, Fault> {
    let now_ms = console.hub.now_ms();
    let named = |of: &str, name: Option<String>| {
        name.map(|name| if name.contains(':') { name } else { format!("{of}:{name}") })
    };
    let mut asked_for = control::History {
        since_ms: asked.since.map(|when| when.ms(now_ms)),
        until_ms: asked.until.map(|when| when.ms(now_ms)),
        team: named("team", asked.team),
        rep: named("rep", asked.rep),
        before: asked.before,
    };
    loop {
        match console.hub.client.act(Do::History(asked_for.clone())).await? {
            // So many were looked at, and none of them is asked for.
            Done::History { sessions, next: Some(next) } if sessions.is_empty() => asked_for.before = Some(next),
            Done::History { sessions, next } => {
                let mut text = table(&sessions, asked.long);
                if let Some(next) = next {
                    let _ = write!(text, "\nmore: the same with --before {next}");
                }
                return Ok(Answer::new(text, json!({"sessions": sessions, "next": next})));
            }
            done => return Err(Fault::Wrong(format!("the broker answered something else: {done:?}"))),
        }
    }
}

const HEADS: [&str; 8] = ["ENDED (UTC)", "SESSION", "QUEUE", "REP", "CUSTOMER", "WAITED", "SERVED", "END"];
/// Lengths of time stand at the right of their columns.
const RIGHT: [usize; 2] = [5, 6];
/// Of a name in the table.
const WIDTH: usize = 24;

fn table(sessions: &[PastSession], long: bool) -> String {
    if sessions.is_empty() {
        return "no session ended".to_owned();
    }
    let rows: Vec<[String; 8]> = sessions.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADS[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let line = |cells: &[String; 8]| {
        let cells = cells.iter().enumerate().map(|(column, cell)| match RIGHT.contains(&column) {
            true => format!("{cell:>width$}", width = widths[column]),
            false => format!("{cell:<width$}", width = widths[column]),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&HEADS.map(str::to_owned))];
    for (session, cells) in sessions.iter().zip(&rows) {
        lines.push(line(cells));
        if long {
            lines.extend(more(session).into_iter().map(|line| format!("    {line}")));
        }
    }
    lines.join("\n")
}

fn row(session: &PastSession) -> [String; 8] {
    let or_none = |text: Option<&str>| text.filter(|text| !text.is_empty()).map_or_else(|| "–".to_owned(), short);
    [
        moment(session.ended_at_ms),
        format!("s{}", session.session),
        or_none(session.queue.as_deref()),
        or_none(session.owner.as_deref()),
        or_none(Some(&session.customer)),
        length(session.waited_ms),
        if session.accepted_at_ms.is_some() { length(session.served_ms) } else { "–".to_owned() },
        plain(&session.reason),
    ]
}

/// How it began, who took part, and what was written on it.
fn more(session: &PastSession) -> Vec<String> {
    let mut began = format!("began by {} at {}", plain(&session.began), moment(session.asked_at_ms));
    let ways = [("issue", &session.issue), ("item", &session.item), ("portal", &session.portal)];
    for (way, code) in ways.into_iter().filter_map(|(way, code)| Some((way, code.as_ref()?))) {
        let _ = write!(began, ", {way} {}", plain(code));
    }
    let mut lines = vec![began];
    if session.held_ms > 0 {
        lines.push(format!("held {}", length(session.held_ms)));
    }
    let mut people: Vec<String> =
        session.people.iter().map(|one| format!("{} ({})", plain(&one.name), plain(&one.role))).collect();
    if session.people_left_out > 0 {
        people.push(format!("{} more", session.people_left_out));
    }
    if !people.is_empty() {
        lines.push(format!("with {}", people.join(", ")));
    }
    if !session.external_key.is_empty() {
        lines.push(format!("external key: {}", plain(&session.external_key)));
    }
    lines.extend(session.fields.iter().map(|(field, value)| format!("{}: {}", plain(field), plain(value))));
    lines
}

/// To the minute.
fn moment(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| format!("{ms} ms"), |moment| moment.strftime("%Y-%m-%d %H:%M").to_string())
}

/// `0:07`, `12:30`, `1:02:03`.
fn length(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds / 3_600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

fn short(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(WIDTH) {
        None => text,
        Some(_) => text.chars().take(WIDTH - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::PastPerson;

    fn asked(line: &str) -> Result<Asked, String> {
        Asked::of(&mut Words::of("history", line).unwrap())
    }

    #[test]
    fn what_is_asked_for_reads_as_it_is_typed() {
        let all = asked("--since 7d --until 2026-03-02 --team net --rep ana --before 9 --long").unwrap();
        let (since, until) = (Some(When::Ago(604_800_000)), Some(When::At(1_772_409_600_000)));
        let (team, rep) = (Some("net".into()), Some("ana".into()));
        assert_eq!(all, Asked { since, until, team, rep, before: Some(9), long: true });
        for same in ["2026-03-02T10:30", "2026-03-02T10:30Z", "2026-03-02T12:30+02:00"] {
            assert_eq!(asked(&format!("--since {same}")).unwrap().since, Some(When::At(1_772_447_400_000)), "{same}");
        }
        for wrong in ["--since soon", "--since 7", "--since d", "--until 2026-13-02", "--since 5é"] {
            assert!(asked(wrong).unwrap_err().contains("neither a time ago"), "{wrong}");
        }
        assert_eq!(When::Ago(5).ms(3), 0);
    }

    #[test]
    fn bu_048_ra_013_the_table_says_what_became_of_each_session() {
        let person = |name: &str, role: &str| PastPerson { name: name.into(), role: role.into() };
        let served = PastSession {
            session: 1042,
            began: "button".into(),
            issue: Some("vpn".into()),
            queue: Some("team:net".into()),
            owner: Some("ana".into()),
            people: vec![person("ana", "owner"), person("lea\u{7}", "monitor")],
            customer: "Chloé with a name that does not fit".into(),
            fields: [("company".to_owned(), "Bakery 12".to_owned())].into(),
            asked_at_ms: 1_772_447_400_000,
            accepted_at_ms: Some(1_772_447_412_000),
            ended_at_ms: 1_772_451_123_000,
            waited_ms: 12_000,
            served_ms: 3_711_000,
            reason: "by_rep".into(),
            ..PastSession::default()
        };
        let left =
            PastSession { session: 7, waited_ms: 150_000, reason: "left_queue".into(), ..PastSession::default() };
        assert_eq!(
            table(&[served.clone(), left], false),
            "\
ENDED (UTC)       SESSION  QUEUE     REP  CUSTOMER                  WAITED   SERVED  END
2026-03-02 11:32  s1042    team:net  ana  Chloé with a name that …    0:12  1:01:51  by_rep
1970-01-01 00:00  s7       –         –    –                           2:30        –  left_queue"
        );
        let long = table(&[served], true);
        let more: Vec<&str> = long.lines().skip(2).map(str::trim).collect();
        assert_eq!(
            more,
            [
                "began by button at 2026-03-02 10:30, issue vpn",
                "with ana (owner), lea\u{fffd} (monitor)",
                "company: Bakery 12"
            ]
        );
        assert_eq!(table(&[], true), "no session ended");
    }
}
