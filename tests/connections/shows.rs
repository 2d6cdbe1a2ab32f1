//! A rep's screen, shown to another rep over real sockets (BU-067, BU-068): the picture goes one way, input the other
//! while it is given, and nothing to anybody else.

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, hello, open},
};
use bytes::Bytes;
use equipoise::{
    client::{self, ActError, Client, Reader, Transport, Writer},
    engine::{Actor, Command},
    site::raw::RawSite,
    wire::{
        Credential, Do, Done, Ev, Flags, Kind, Refused,
        control::{ChannelView, FinalOffset, Opened, Role, SessionView, Value},
        frame::CloseReason,
    },
};
use std::sync::Arc;

const SHOW: &str = "\"opt_out\", \"show_screen_to_reps\"";
const BOTH: &str = "\"opt_out\", \"show_screen_to_reps\", \"give_control_to_reps\"";

/// Ana has these permissions, and who is gone is gone for good.
fn site(permissions: &str) -> String {
    let site = SITE.replacen("\"opt_out\"", permissions, 1);
    site.replacen("[options]\n", "[options]\nreconnect_grace_s = 1\n", 1)
}

/// Ana shows her screen to ben.
struct Shown {
    place: Place,
    ana: Person,
    ben: Person,
    session: u64,
}

async fn sign_in(place: &Place, name: &str, transport: Transport) -> Person {
    let target = place.target(transport);
    let token = client::sign_in(&target, name, PASSWORD).await.unwrap();
    let (client, happenings) = Client::connect(target, hello(Role::Rep, Credential::Token(token))).await.unwrap();
    Person { client, happenings, session: 0 }
}

impl Shown {
    async fn asked(data: &std::path::Path, permissions: &str, ana_by: Transport, ben_by: Transport) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let place = Place::open_with(data, listen, &site(permissions), Box::new(|_, _| {})).await;
        for name in ["ana", "ben", "kim"] {
            place.broker.set_password(Actor::System, name, PASSWORD.to_owned()).await.unwrap();
        }
        let mut ana = sign_in(&place, "ana", ana_by).await;
        let mut ben = sign_in(&place, "ben", ben_by).await;
        let Done::Session(view) = in_time(ana.client.act(Do::ShowScreen { to: "rep:ben".into() })).await.unwrap()
        else {
            panic!("it is a session")
        };
        let SessionView { session, kind, state, customer, participants, .. } = *view;
        assert_eq!((kind.as_str(), state.as_str(), customer.as_str()), ("rep_to_rep", "active", ""));
        assert_eq!((participants.len(), participants[0].participant, participants[0].name.as_str()), (1, 0, "Ana A"));
        let invited = |ev| match ev {
            Ev::Invited { session, by, shows, .. } => Some((session, by, shows)),
            _ => None,
        };
        assert_eq!(ben.until(invited).await, (session, "ana".to_owned(), true));
        (ana.session, ben.session) = (session, session);
        Self { place, ana, ben, session }
    }

    async fn open(data: &std::path::Path, permissions: &str, ana_by: Transport, ben_by: Transport) -> Self {
        let shown = Self::asked(data, permissions, ana_by, ben_by).await;
        let session = shown.session;
        let done = in_time(shown.ben.client.act(Do::Join { session })).await.unwrap();
        assert!(matches!(done, Done::Session(view) if view.participants.len() == 2));
        shown
    }

    async fn looks(&mut self, args: &[(&str, Value)]) -> (Opened, Opened) {
        let (to_ben, to_ana) = in_time(open(&mut self.ben, &mut self.ana, "screen", args)).await;
        (to_ana, to_ben)
    }

    async fn control(&self, on: bool) -> Done {
        in_time(self.ana.client.act(Do::GiveControl { session: self.session, on })).await.unwrap()
    }

    async fn edit(&self, permissions: &str) {
        let site = RawSite::parse(&site(permissions)).unwrap();
        in_time(self.place.broker.command(Actor::System, Command::ApplySite(Arc::new(site)))).await.unwrap();
    }

    /// Control, as two ends of one channel.
    async fn controls(&mut self) -> (ChannelView, Writer, Reader) {
        self.control(true).await;
        let (to_ana, to_ben) = self.looks(&[("control", Value::Bool(true))]).await;
        let input = to_ben.channels.iter().find(|channel| channel.writer == 1).expect("input").clone();
        assert_eq!(input.kinds, ["pointer", "click", "keys"]);
        assert!(to_ana.channels.contains(&input), "{to_ana:?}");
        let (writer, reader) = (self.ben.client.writer(&input), self.ana.client.reader(&input));
        (input, writer, reader)
    }

    async fn close(self) {
        self.ana.client.close().await;
        self.ben.client.close().await;
        self.place.close().await;
    }
}

async fn refused(person: &Person, act: Do) -> Refused {
    match in_time(person.client.act(act)).await {
        Err(ActError::Refused(refused)) => refused,
        other => panic!("refused: {other:?}"),
    }
}

fn gone(session: u64) -> impl FnMut(Ev) -> Option<String> {
    move |ev| match ev {
        Ev::SessionGone { session: over, reason } if over == session => Some(reason),
        _ => None,
    }
}

fn picture() -> (Flags, Bytes) {
    (Flags::START.with(Flags::END).with(Flags::KEY), Bytes::from_static(b"a picture"))
}

#[tokio::test]
async fn p1_1_bu_067_without_the_permission_nobody_is_asked_to_look() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    place.broker.set_password(Actor::System, "ben", PASSWORD.to_owned()).await.unwrap();
    let ana = sign_in(&place, "ana", Transport::Ws).await;
    let _ben = sign_in(&place, "ben", Transport::Ws).await;
    let refused = refused(&ana, Do::ShowScreen { to: "rep:ben".into() }).await;
    assert_eq!((refused.code.as_str(), refused.rule.as_str()), ("not_permitted", "P1.1"));
    assert_eq!((refused.tool.as_deref(), refused.source.as_deref()), (Some("screen"), Some("user:ana")));
    let malformed = self::refused(&ana, Do::ShowScreen { to: "team:desk".into() }).await;
    assert_eq!(malformed.code, "malformed");
    place.close().await;
}

#[tokio::test]
async fn h_42_bu_067_the_picture_reaches_who_was_asked_and_a_third_rep_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::open(folder.path(), BOTH, Transport::Ws, Transport::Quic).await;
    let mut kim = sign_in(&shown.place, "kim", Transport::Ws).await;
    let (to_ana, to_ben) = shown.looks(&[]).await;
    assert_eq!((to_ana.channels.len(), to_ben.channels.len()), (1, 1));
    let channel = &to_ben.channels[0];
    assert_eq!((channel.kinds.clone(), channel.writer), (vec!["picture".to_owned()], 0));
    let mut writer = shown.ana.client.writer(channel);
    let mut reader = shown.ben.client.reader(channel);

    // She knows the numbers, and takes what is not hers.
    let session = shown.session;
    let (mut steals, mut forges) = (kim.client.reader(channel), kim.client.writer(channel));
    let (flags, bytes) = picture();
    let _ = in_time(forges.write(Kind::Picture, flags, Bytes::from_static(b"a forgery"))).await;
    for act in [
        Do::Join { session },
        Do::TakeOver { session },
        Do::End { session },
        Do::GiveControl { session, on: true },
        Do::AcceptOpen { session, open: 1, facts: [].into() },
    ] {
        self::refused(&kim, act).await;
    }
    in_time(writer.write(Kind::Picture, flags, bytes.clone())).await.unwrap();
    assert_eq!(in_time(reader.read()).await.unwrap().unwrap().bytes, bytes, "ben sees ana's, and nothing else");
    in_time(shown.ana.client.act(Do::End { session })).await.unwrap();
    for person in [&mut shown.ana, &mut shown.ben] {
        assert_eq!(person.until(gone(session)).await, "by_rep");
    }
    assert!(in_time(reader.read()).await.is_err());
    // Whatever was on its way to her has come by the time a question is answered.
    let heard = |ev| match ev {
        Ev::Snapshot { sessions, .. } if sessions.iter().any(|shown| shown.session == session) => Some("snapshot"),
        Ev::Session(view) if view.session == session => Some("session"),
        Ev::SessionGone { session: over, .. } if over == session => Some("gone"),
        Ev::Opened(_) | Ev::Invited { .. } | Ev::Permissions { .. } | Ev::Requested { .. } => Some("tool"),
        Ev::Rep(view) if view.rep == "kim" && view.status == "away" => Some("the end"),
        _ => None,
    };
    in_time(kim.client.act(Do::Status { code: "away".into() })).await.unwrap();
    assert_eq!(kim.until(heard).await, "the end");
    tokio::select! {
        biased;
        read = steals.read() => assert!(read.is_err(), "{read:?}"),
        () = std::future::ready(()) => {}
    }
    drop((steals, forges));
    kim.client.close().await;
    shown.close().await;
}

#[tokio::test]
async fn p6_3_bu_068_control_that_was_not_given_is_refused_and_input_without_it_ends_its_channel() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::open(folder.path(), SHOW, Transport::Ws, Transport::Ws).await;
    let session = shown.session;
    let given = refused(&shown.ana, Do::GiveControl { session, on: true }).await;
    assert_eq!((given.code.as_str(), given.source.as_deref()), ("not_permitted", Some("user:ana")));
    let taken = refused(&shown.ben, Do::GiveControl { session, on: true }).await;
    assert_eq!(taken.code, "not_permitted");
    let args = [("control".to_owned(), Value::Bool(true))].into();
    let opened = refused(&shown.ben, Do::Open(equipoise::wire::control::Open { session, tool: "screen".into(), args }));
    let opened = opened.await;
    assert_eq!((opened.tool.as_deref(), opened.source.as_deref()), (Some("screen"), Some("user:ana")));
    // The picture is ana's to write: what ben sends on its channel reaches nobody.
    let (to_ana, to_ben) = shown.looks(&[]).await;
    let mut forged = shown.ben.client.writer(&to_ben.channels[0]);
    let mut hers = shown.ana.client.reader(&to_ana.channels[0]);
    let _ = in_time(forged.write(Kind::Keys, Flags::default(), Bytes::from_static(b"rm -r"))).await;
    in_time(shown.ben.client.act(Do::Depart { session })).await.unwrap();
    assert!(!matches!(in_time(hers.read()).await, Ok(Some(_))));
    shown.close().await;
}

/// Ben types without a pause, and ana takes control back: not a byte beyond the final offset.
async fn taken_back(ana_by: Transport, ben_by: Transport, edited: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::open(folder.path(), BOTH, ana_by, ben_by).await;
    let session = shown.session;
    let mut passed = 0;
    for round in 0..20 {
        let (input, mut writer, mut reader) = shown.controls().await;
        let typing = tokio::spawn(async move {
            while writer.write(Kind::Keys, Flags::default(), Bytes::from_static(b"typed")).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let mut got = 0;
        while got < round * 1_000 {
            got += in_time(reader.read()).await.unwrap().unwrap().bytes.len() as u64;
        }
        let last = match edited {
            true => {
                shown.edit(SHOW).await;
                None
            }
            false => {
                let Done::Revoked { finals, .. } = shown.control(false).await else { panic!("it is taken back") };
                let [FinalOffset { channel, participant: 0, offset }] = finals[..] else { panic!("{finals:?}") };
                assert_eq!(channel, input.channel);
                Some(offset)
            }
        };
        // Nothing that is sent from here on passes.
        let end = loop {
            match in_time(reader.read()).await {
                Ok(chunk) => got += chunk.expect("it does not end well").bytes.len() as u64,
                Err(end) => break end,
            }
        };
        assert_eq!(end.reason, CloseReason::Revoked);
        assert!(got <= end.at && last.is_none_or(|last| last == end.at), "{got} came, {end:?}, {last:?}");
        let closed = |ev| match ev {
            Ev::Closed { channel, tool, source, .. } if channel == input.channel => Some((tool, source)),
            _ => None,
        };
        let why = (Some("screen".to_owned()), Some("user:ana".to_owned()));
        assert_eq!(shown.ben.until(closed).await, why, "both are told which permission, and whose");
        assert_eq!(shown.ana.until(closed).await, why);
        in_time(typing).await.unwrap();
        if edited {
            shown.edit(BOTH).await;
        }
        passed += got;
    }
    assert!(passed > 0);
    in_time(shown.ben.client.act(Do::Depart { session })).await.unwrap();
    assert_eq!(shown.ana.until(gone(session)).await, "by_rep");
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_p3_bu_068_no_input_passes_once_control_is_taken_back_over_websocket() {
    taken_back(Transport::Ws, Transport::Ws, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i_p3_bu_068_no_input_passes_once_control_is_taken_back_over_quic() {
    taken_back(Transport::Quic, Transport::Quic, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_2_bu_068_no_input_passes_an_edit_that_takes_the_permission_away() {
    taken_back(Transport::Ws, Transport::Quic, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_2_bu_067_an_edit_that_takes_the_permission_away_ends_what_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::open(folder.path(), BOTH, Transport::Ws, Transport::Ws).await;
    let session = shown.session;
    let (_, to_ben) = shown.looks(&[]).await;
    let mut writer = shown.ana.client.writer(&to_ben.channels[0]);
    let mut reader = shown.ben.client.reader(&to_ben.channels[0]);
    let (flags, bytes) = picture();
    in_time(writer.write(Kind::Picture, flags, bytes.clone())).await.unwrap();
    assert_eq!(in_time(reader.read()).await.unwrap().unwrap().bytes, bytes);
    shown.edit("\"opt_out\"").await;
    let _ = in_time(writer.write(Kind::Picture, flags, bytes)).await;
    let end = in_time(reader.read()).await.expect_err("nothing passes after the edit");
    assert_eq!((end.reason, end.at), (CloseReason::Revoked, 9));
    for person in [&mut shown.ana, &mut shown.ben] {
        assert_eq!(person.until(gone(session)).await, "by_admin");
    }
    shown.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_4_bu_067_whoever_goes_for_good_ends_it_and_a_short_loss_does_not() {
    for ana_goes in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut shown = Shown::open(folder.path(), BOTH, Transport::Ws, Transport::Ws).await;
        let session = shown.session;
        let (_, to_ben) = shown.looks(&[]).await;
        let mut writer = shown.ana.client.writer(&to_ben.channels[0]);
        let mut reader = shown.ben.client.reader(&to_ben.channels[0]);
        // Another connection of the same console: the channel goes on.
        in_time(shown.ana.client.switch(Transport::Quic)).await.unwrap();
        in_time(shown.ben.client.switch(Transport::Quic)).await.unwrap();
        let (flags, bytes) = picture();
        // One that comes before the reader has said where it goes on is left out, and another is asked for.
        let drawn = async {
            loop {
                writer.write(Kind::Picture, flags, bytes.clone()).await.unwrap();
                while !writer.refresh_wanted() {
                    tokio::task::yield_now().await;
                }
            }
        };
        let seen = tokio::select! {
            seen = in_time(reader.read()) => seen.unwrap().unwrap(),
            () = drawn => unreachable!(),
        };
        assert_eq!(seen.bytes, bytes);
        let (goes, stays) = if ana_goes { (shown.ana, &mut shown.ben) } else { (shown.ben, &mut shown.ana) };
        goes.client.close().await;
        assert_eq!(stays.until(gone(session)).await, "orphaned");
        let over = async {
            if !ana_goes {
                while writer.ended().is_none() {
                    tokio::task::yield_now().await;
                }
                return true;
            }
            // A picture that was drawn again may be there still.
            loop {
                match reader.read().await {
                    Ok(Some(_)) => {}
                    end => return end.is_err(),
                }
            }
        };
        assert!(in_time(over).await);
        stays.client.close().await;
        shown.place.close().await;
    }
}

#[tokio::test]
async fn r1_4_bu_067_who_says_no_ends_it_before_anything_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::asked(folder.path(), BOTH, Transport::Ws, Transport::Ws).await;
    let session = shown.session;
    in_time(shown.ben.client.act(Do::Reject { session })).await.unwrap();
    let over = |ev| match ev {
        Ev::InvitationGone { session: of, to, reason } if of == session => Some((to, reason)),
        _ => None,
    };
    assert_eq!(shown.ana.until(over).await, ("rep:ben".to_owned(), "declined".to_owned()));
    assert_eq!(shown.ana.until(gone(session)).await, "declined");
    shown.close().await;
}
