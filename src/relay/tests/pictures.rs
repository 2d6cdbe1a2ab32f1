//! Pictures: whole ones may be dropped for a slower reader, nothing else (W1.7).

use super::*;

const WINDOW: u64 = 512 * 1024;
const PIECE: usize = 60_000;

struct Screen {
    room: Room,
    at: u64,
}

impl Screen {
    fn new(readers: &[ParticipantId]) -> Self {
        Self { room: Room::new(Class::Picture, readers), at: 0 }
    }

    /// One picture in two frames; gives where it began.
    fn picture(&mut self, key: bool) -> u64 {
        let begin = self.at;
        let start = if key { Flags::START.with(Flags::KEY) } else { Flags::START };
        for flags in [start, Flags::END] {
            self.room.send_with(self.at, PIECE, flags).unwrap();
            self.at += PIECE as u64;
        }
        begin
    }

    fn keep_up(&self, reader: ParticipantId, outbox: &Outbox) -> Taken {
        let taken = take(outbox);
        if let Some(last) = taken.frames.last() {
            self.room.credit(reader, last.end(), last.end() + WINDOW);
        }
        taken
    }
}

#[test]
fn w1_7_pictures_are_paced_by_the_fastest_and_dropped_whole_for_the_slower() {
    let mut screen = Screen::new(&[ANA, BEN]);
    screen.picture(true);
    for _ in 0..20 {
        screen.picture(false);
        screen.keep_up(ANA, &screen.room.ana);
    }
    let ben = screen.keep_up(BEN, &screen.room.ben);
    assert!(ben.bytes().len() as u64 <= WINDOW, "within Ben's own window");
    let last = ben.frames.last().unwrap();
    assert!(last.header.flags.has(Flags::END), "whole pictures only: {}", ben.story());
    let asked = take(&screen.room.writer);
    assert!(asked.story().contains("refresh"), "a key picture is asked for: {}", asked.story());

    screen.picture(false);
    assert_eq!(take(&screen.room.ben).story(), "", "only a key picture makes sense to Ben");
    let key = screen.picture(true);
    let ben = screen.keep_up(BEN, &screen.room.ben);
    assert_eq!(ben.story(), format!("{key}+60000 start key gap, {}+60000 end", key + PIECE as u64));
    screen.picture(false);
    assert_eq!(take(&screen.room.ben).frames.len(), 2, "what was left out needs no credit of Ben's");
    let ana = screen.room.counters.of(Class::Picture);
    assert!(ana.replaced.get() > 0);
    take(&screen.room.ana);
    counters_add_up(&screen.room.counters, Class::Picture, 0);
}

#[test]
fn w1_7_alone_a_reader_loses_no_picture() {
    let mut screen = Screen::new(&[ANA]);
    screen.picture(true);
    screen.picture(false);
    screen.picture(false);
    assert_eq!(take(&screen.room.ana).frames.len(), 6);
    assert_eq!(screen.room.counters.of(Class::Picture).replaced.get(), 0);
}

#[test]
fn w3_3_pictures_are_refreshed_not_replayed() {
    let mut screen = Screen::new(&[ANA]);
    screen.picture(true);
    screen.room.channel.detach(ANA, FIRST, screen.room.now);
    screen.picture(false);
    let (again, second) = (Outbox::new(screen.room.counters.clone()), AttachEpoch(2));
    screen.room.channel.attach_reader(ANA, again.clone(), second, screen.room.now);
    screen.room.channel.hear(ANA, second, Frame::resume(CHANNEL, 0), screen.room.now).unwrap();
    assert_eq!(take(&screen.room.writer).story(), "refresh");
    screen.picture(false);
    let key = screen.picture(true);
    assert!(take(&again).story().starts_with(&format!("{key}+60000 start key gap")));
}

#[test]
fn w3_3_after_a_restart_pictures_go_on_beyond_every_reader() {
    let counters = Arc::new(RelayCounters::default());
    let notices = Arc::default();
    let now = Instant::now();
    let spec = spec(Class::Picture, &[ANA, BEN]);
    let channel = Channel::recovered(spec, Class::Picture, limits::WINDOW_BYTES_MAX, &counters, hearer(&notices), now);
    let [writer, ana, ben] = [(); 3].map(|()| Outbox::new(counters.clone()));
    channel.attach_writer(writer.clone(), FIRST, now);
    channel.attach_reader(ANA, ana.clone(), FIRST, now);
    channel.attach_reader(BEN, ben.clone(), FIRST, now);
    channel.hear(ANA, FIRST, Frame::resume(CHANNEL, 100), now).unwrap();
    channel.hear(BEN, FIRST, Frame::resume(CHANNEL, 900), now).unwrap();
    let told: Vec<_> = take(&writer).control.iter().filter(|f| f.header.kind == Kind::Resume).cloned().collect();
    assert_eq!(told, [Frame::resume(CHANNEL, 900)], "beyond what any of them had");
    let flags = Flags::START.with(Flags::KEY).with(Flags::END);
    let picture = |offset| Frame {
        header: Header { kind: Kind::Picture, flags, channel: CHANNEL, offset },
        payload: Bytes::from_static(b"picture"),
    };
    channel.hear(WRITER, FIRST, picture(100), now).unwrap();
    channel.hear(WRITER, FIRST, picture(900), now).unwrap();
    for outbox in [ana, ben] {
        assert_eq!(take(&outbox).story(), "900+7 start end key gap");
    }
}

#[test]
fn w1_5_a_limit_before_what_was_left_out_allows_nothing() {
    let mut screen = Screen::new(&[ANA, BEN]);
    screen.picture(true);
    for _ in 0..20 {
        screen.picture(false);
        screen.keep_up(ANA, &screen.room.ana);
    }
    screen.keep_up(BEN, &screen.room.ben);
    let key = screen.picture(true);
    screen.keep_up(ANA, &screen.room.ana);
    let last = take(&screen.room.ben).frames.last().unwrap().end();
    assert_eq!(last, key + 2 * PIECE as u64, "far beyond the limit of Ben's own, by what was left out for him");
    screen.room.credit(BEN, last, 2 * WINDOW);
    screen.picture(true);
    assert_eq!(take(&screen.room.ben).story(), "", "what he acknowledged is all he allowed");
}
