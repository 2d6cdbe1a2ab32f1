//! Every bound in one place, with its unit and its reason. A number that is a limit stands nowhere else.

use crate::time::Span;

// ---- wire -----------------------------------------------------------------------------------------------------------

/// Header of a data frame: kind, flags, reserved, channel, offset (W1.4).
pub const FRAME_HEADER_BYTES: usize = 16;
/// Payload of one data frame: large enough that headers cost nothing, small enough that a shell waits one at most.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 65_536;
/// What senders cut bulk into: half the relay's write batch, so two channels share a batch.
pub const FRAME_PAYLOAD_BYTES: usize = 16 * 1024;
/// One control message (W4.1).
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// The first message of a connection, before anybody is known (W3.2).
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Nesting of a control message; rmp-serde's own limit of 1024 overflows a worker's stack.
pub const MESSAGE_DEPTH_MAX: usize = 16;
/// The largest integer a browser can hold exactly (W4.1).
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

// ---- channels and credit (W1) ---------------------------------------------------------------------------------------

/// Channels open in one session at once (W1.2).
pub const CHANNELS_PER_SESSION: usize = 64;
/// Channels a connection remembers the way to; when full it forgets all and looks them up again.
pub const CHANNELS_REMEMBERED: usize = 1_024;
/// Frames of one channel that are passed on together at most: few enough to cost 4 KiB beside their payloads, and so many
/// that what is shared costs each of them next to nothing.
pub const FRAMES_PASSED_AT_ONCE: usize = 64;
/// Window of shell, input and chat channels: what Ctrl-C has to overtake (W6.1).
pub const INTERACTIVE_WINDOW_BYTES: u64 = 64 * 1024;
/// First window of a file: 100 ms at 20 Mbit/s; grows with the round trip.
pub const FILE_WINDOW_BYTES: u64 = 256 * 1024;
/// First window of a picture channel: a key picture of a full screen, compressed.
pub const PICTURE_WINDOW_BYTES: u64 = 512 * 1024;
/// What a window may grow to by itself: 100 ms at 80 Mbit/s (W1.5). A setting for long, fast lines allows more.
pub const WINDOW_BYTES_MAX: u64 = 1024 * 1024;
/// The most that this setting takes: 100 ms at 1.3 Gbit/s, of which one stalled reader may cost the broker all.
pub const WINDOW_BYTES_MOST: u64 = 16 * WINDOW_BYTES_MAX;
/// What of it a QUIC stream takes, which has one line to fill where a channel has two. quinn ends a connection when over
/// 1,024 pieces of one stream wait with gaps between them: 2 MiB in full packets have at most 874 gaps, whatever is lost.
pub const QUIC_STREAM_WINDOW_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// What a QUIC connection takes before its hello, whatever it is sent in: a hello four times over (I-M3).
pub const QUIC_STRANGER_WINDOW_BYTES: u32 = 16 * 1024;
const _: () = assert!(QUIC_STRANGER_WINDOW_BYTES as usize >= 4 * HELLO_BYTES_MAX);
const _: () = assert!(INTERACTIVE_WINDOW_BYTES >= FRAME_PAYLOAD_BYTES_MAX as u64);
const _: () = assert!(FILE_WINDOW_BYTES >= 2 * FRAME_PAYLOAD_BYTES_MAX as u64);
/// The least that a writer is told of once all that it wrote has left: more often is not worth a message (W1.5).
pub const CREDIT_LEAST: u64 = 8 * 1024;
/// The same at first: the largest frame and what a writer is not told of, so that one who sends nothing but whole frames
/// goes on as soon as all has left. It grows where a reader runs dry while its writer waits for credit, which the
/// writer's round trip shows, or takes that much in less than [`LEG_QUEUE_LASTS`], so that one who stops reading costs no
/// more than it needed.
pub const LEG_QUEUE_BYTES_FIRST: u64 = FRAME_PAYLOAD_BYTES_MAX as u64 + CREDIT_LEAST;
/// The longest round trip that is believed: twice what a satellite takes.
pub const ROUND_TRIP_MAX: Span = Span::seconds(1);
/// What waits for a leg should last so long at the rate its reader takes it: a batch of a busy machine.
pub const LEG_QUEUE_LASTS: Span = Span(20);
/// A lossless leg beside others that takes nothing for so long is detached as `lagged` (W1.7).
pub const LEG_STALL: Span = Span::seconds(5);
/// A connection that takes nothing at all for so long is closed with 4002 (W1.7).
pub const CONNECTION_STALL: Span = Span::seconds(30);
/// How often a writer is asked for a key picture at most: twice a second (W1.7).
pub const REFRESH_INTERVAL: Span = Span(500);
/// Data for a channel whose `opened` has not arrived waits so long and so much at an end (W1.8).
pub const EARLY_DATA: Span = Span::seconds(1);
pub const EARLY_DATA_BYTES: usize = 64 * 1024;
/// A frame that began must be complete within this (W1.9).
pub const FRAME_DEADLINE: Span = Span::seconds(10);
/// Control bytes that may wait for one connection's socket: sixteen full messages; beyond it the peer is slow (4002).
pub const CONTROL_QUEUE_BYTES: usize = 16 * MESSAGE_BYTES_MAX;
/// Frames that may wait for one connection: a window of single keystrokes twice over. Their payload is bounded by
/// credit; this bounds what frames cost beside it, about 80 bytes each.
pub const OUTBOX_FRAMES_MAX: usize = 2 * INTERACTIVE_WINDOW_BYTES as usize;
/// Times a writer may send again what it was not asked for, before its channel closes as a fault (H-45).
pub const REPEATS_MAX: u32 = 3;
/// Gaps of dropped pictures a reader may not yet know of.
pub const GAPS_MAX: usize = 256;
/// Frames of one connection that may go nowhere at once, and in a second: a session's 64 channels may each have a
/// window of 64 frames on its way when they end (H-74); more where a setting lets windows grow beyond 1 MiB.
pub const DROPPED_FRAMES_BURST: u32 = 64 * CHANNELS_PER_SESSION as u32;
pub const DROPPED_FRAMES_PER_S: u32 = 50;
/// Who sends frames that no permission allows is answered, and put on record, this often: once a second (P6.3).
pub const DENIED_FRAMES_TOLD: Span = Span::seconds(1);
/// RESUME and REFRESH of one connection: twice what all channels of its sessions say when it comes back, at once, and
/// in a second what one session's do. More is no reader's need (4029).
pub const RESTARTS_BURST_PER_SESSION: u32 = 2 * CHANNELS_PER_SESSION as u32;
pub const RESTARTS_PER_S: u32 = CHANNELS_PER_SESSION as u32;
/// What one write to a socket gathers at most: larger brings nothing, and interactive frames wait behind it.
pub const WRITE_BATCH_BYTES: usize = 64 * 1024;

// ---- connections (W3) -----------------------------------------------------------------------------------------------

/// TLS or QUIC handshake: a healthy one takes under a second even on a phone.
pub const HANDSHAKE: Span = Span::seconds(5);
/// From the upgrade to a hello that says who this is.
pub const HELLO_DEADLINE: Span = Span::seconds(10);
/// Sockets that may be in a handshake or before their hello at once: a tenth of the usual 20,000 files (I-M3).
pub const UNAUTHENTICATED_MAX: usize = 2_000;
/// Connections from one IPv4 address or IPv6 /64, if the settings say nothing else: a large office behind one address,
/// and half of the places that strangers have.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_000;
/// An application ping goes both ways this often (W3.6): browsers cannot send WebSocket pings.
pub const PING_INTERVAL: Span = Span::seconds(20);
/// Pings of all connections leave at moments this far apart, so that one wake-up serves many; a hundred of them, which
/// 20,000 connections have each time, take a core about a millisecond.
pub const PINGS_TOGETHER: Span = Span(100);
/// Silence after which a connection is dead: two pings missed and a little.
pub const PING_DEAD: Span = Span::seconds(45);
/// QUIC keep-alive (W3.6) and idle timeout.
pub const QUIC_KEEP_ALIVE: Span = Span::seconds(10);
pub const QUIC_IDLE: Span = Span::seconds(30);
/// A person who is held back and plugs another keyboard in has it for so long (P3.4).
pub const HOLDING_TICK: Span = Span::seconds(1);
/// The endpoint stops privileged tools when the broker was silent for so long (W2.5).
pub const ENDPOINT_LEASE: Span = Span::seconds(10);
/// Control messages of a person: 50 a second, 200 at once (W4.3).
pub const PERSON_MESSAGES_PER_S: u32 = 50;
pub const PERSON_MESSAGES_BURST: u32 = 200;
/// Control messages of a service account: an integrator's whole help desk on one socket.
pub const SERVICE_MESSAGES_PER_S: u32 = 50_000;
pub const SERVICE_MESSAGES_BURST: u32 = 50_000;
/// Tokens of sessions that ended, remembered so that whoever was away then is told: 128 KiB, at two a session the last two
/// thousand sessions.
pub const ENDED_TOKENS_REMEMBERED: usize = 4_096;
/// Answers remembered for one participant, so that a request sent again after a reconnect is not done twice (W3.5).
pub const REQUESTS_REMEMBERED: usize = 64;

/// Answers remembered for one service account: as many as it may wait for at once. A hundred accounts: 40 MB at most.
pub const SERVICE_REQUESTS_REMEMBERED: usize = SERVICE_REQUESTS;
/// Numbers of a service account's requests from here on are the account's, whatever connection they come over, and are
/// remembered; those below are its connection's.
pub const SERVICE_REQUEST_IDS_FROM: u64 = 1 << 32;

// ---- broker and journal ---------------------------------------------------------------------------------------------

/// Commands waiting for the owner: at 50,000 a second, 80 ms of work.
pub const MAILBOX_COMMANDS: usize = 4_096;
/// How many are let in at once, which takes a commit: when everybody comes back, who is back already waits behind a few
/// milliseconds of them. At 4 ms a commit all the same more than ten thousand a second come in.
pub const ENTERING_AT_ONCE: usize = 64;
/// Commands decided in one turn: keeps a turn near a millisecond and its journal row under its limit.
pub const COMMANDS_PER_TURN: usize = 512;
/// Events after which a turn is closed: at about 250 bytes each, half of what a row may hold.
pub const EVENTS_PER_TURN: usize = 1_024;
/// Text that people chose in one turn; it stands in a row twice, as command and as event.
pub const TEXT_PER_TURN_BYTES: usize = 96 * 1024;
const _: () = assert!(TEXT_PER_TURN_BYTES >= MESSAGE_BYTES_MAX && 2 * TEXT_PER_TURN_BYTES <= TURN_BYTES_MAX / 2);
/// How often channels look whether a reader was left behind or a refresh is due.
pub const CHANNEL_TICK: Span = Span::seconds(1);
/// How often the wall clock enters the engine, for schedules and expiries.
pub const CIVIL_TIME_INTERVAL: Span = Span::minutes(1);
/// Between attempts to open a journal that failed.
pub const JOURNAL_RETRY: Span = Span::seconds(1);
/// A site that is imported or edited: some 30,000 users of a kilobyte, written twice, in one record on one node.
pub const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Text of a site file over a connection: as much as may be imported, in TOML.
pub const SITE_TEXT_BYTES_MAX: usize = IMPORT_BYTES_MAX / 2;
/// A piece of it: fits a message with room for its names.
pub const SITE_PIECE_BYTES: usize = MESSAGE_BYTES_MAX - 4 * 1024;
/// Final offsets that the answer to an edit names: as many as fit a message; every reader is told its own anyway.
pub const FINALS_NAMED: usize = 1_000;
/// What of an edit its author may not do, as far as the refusal names it: enough to see which right is missing.
pub const BEYOND_NAMED: usize = 8;
/// Warnings about a site file that the answer and the log name: enough to look at the file, and they fit beside the offsets.
pub const WARNINGS_NAMED: usize = 16;
/// One journal row (W5.6).
pub const TURN_BYTES_MAX: usize = 512 * 1024;
/// Deltas a console may have missed and still resume without a new snapshot (W4.4).
pub const DELTAS_KEPT: usize = 1_024;
/// Sessions, reps and teams in one part of a snapshot: those of reps and teams take half of a message at most.
pub const SNAPSHOT_PART: usize = 50;
/// Bytes of the sessions in it; one with all the text that people may write on it fits.
pub const SNAPSHOT_PART_BYTES: usize = MESSAGE_BYTES_MAX * 3 / 8;
const _: () = assert!(SNAPSHOT_PART_BYTES >= 2 * TEXT_BYTES_MAX + PARTICIPANTS_PER_SESSION * 3 * NAME_BYTES_MAX);
/// Bytes of the sessions in a whole snapshot: half of what may wait for a socket, for it is said at once.
pub const SNAPSHOT_BYTES: usize = CONTROL_QUEUE_BYTES / 2;
/// Sessions a snapshot shows at most, waiting ones oldest first: more than a person reads, less than the outbox holds.
pub const SNAPSHOT_SESSIONS: usize = 500;
/// Changes of what consoles see are gathered for so long, so that a burst is sent once.
pub const VIEW_INTERVAL: Span = Span(100);
/// Of them, those that are sent before whoever waits has a turn: about a millisecond.
pub const VIEWS_PER_FLUSH: usize = 128;
/// The same for what consoles see of colleagues: each change goes to a whole team.
pub const REP_VIEW_INTERVAL: Span = Span::seconds(1);
/// Queue positions go to a customer at most this often (R10.1).
pub const POSITION_INTERVAL: Span = Span::seconds(5);
/// Free disk below which new commands are refused while reads go on (W5.2).
pub const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Turns between two snapshots: replaying this many takes well under a second.
pub const TURNS_PER_SNAPSHOT: u64 = 10_000;
/// The same in bytes of turns: about a second of decoding on one core.
pub const SNAPSHOT_AFTER_BYTES: u64 = 64 * 1024 * 1024;
/// By how much the thread that makes snapshots steps back: a tenth of a core where the others want all of it.
pub const SNAPSHOT_NICENESS: i32 = 10;
/// Snapshots kept on disk: the newest, and the one before it for when the newest is damaged.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Turns waiting for the journal's writer: those of one edit of thousands of sessions; what waits shares one commit.
pub const JOURNAL_TURNS_WAITING: usize = 64;
/// Turns read from the journal at once while replaying: 32 MiB of the largest.
pub const JOURNAL_ROWS_PER_PAGE: u32 = 64;
/// Bytes written ahead before they are moved into the database: moving them takes about 20 ms.
pub const JOURNAL_WAL_BYTES: u64 = 4 * 1024 * 1024;
/// Sessions that have ended in one answer: two screens of a table; and their bytes, with room for names of the message.
pub const HISTORY_ROWS: usize = 100;
pub const HISTORY_PAGE_BYTES: usize = MESSAGE_BYTES_MAX * 3 / 4;
// A record with all that people may write on it fits.
const _: () = assert!(
    HISTORY_PAGE_BYTES
        >= PEOPLE_ON_RECORD * (MAIL_ADDRESS_BYTES_MAX + 32)
            + FIELDS_PER_SESSION * (CODE_BYTES_MAX + NAME_BYTES_MAX + 8)
            + 16 * NAME_BYTES_MAX
            + 1024
);
/// Records that one answer looks at, for those among them that are asked for: some tens of milliseconds.
pub const HISTORY_LOOKED: usize = 100_000;
/// Answers from the history that are read at once, on threads of their own, one for each who asks.
pub const HISTORY_READS: usize = 4;
/// Records that one commit prunes at most: a millisecond or two, and ninety thousand a day where nothing else happens.
pub const HISTORY_PRUNED_PER_COMMIT: usize = 64;
/// For how many days sessions that have ended are kept.
pub const HISTORY_DAYS: std::ops::RangeInclusive<u32> = 1..=3_650;
/// Where the site says nothing: thirteen months, so that a month can be set beside the one a year before.
pub const HISTORY_DAYS_DEFAULT: u32 = 400;
/// Turns of a folder from before there was a history that the first start reads for it: a minute or so at the most. Of
/// more, the history begins there.
pub const HISTORY_FILLED_TURNS: u64 = 100 * TURNS_PER_SNAPSHOT;
/// Records of it that share a commit.
pub const HISTORY_FILLED_AT_ONCE: usize = 1_000;
/// How long an answer about free disk space may be remembered.
pub const DISK_CHECK_INTERVAL: Span = Span::seconds(1);

// ---- identity (security.md, values) ---------------------------------------------------------------------------------

pub const PASSWORD_BYTES_MIN: usize = 12;
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Password hashes computed at once: each takes 19 MiB and a core for 20 ms.
pub const PASSWORD_HASHES_AT_ONCE: usize = 2;
/// Sign-ins that may wait for one; the next is told to come back (I-M4).
pub const PASSWORD_HASHES_WAITING: usize = 64;
pub const ACCESS_TOKEN: Span = Span::minutes(15);
pub const REFRESH_IDLE: Span = Span::minutes(30);
pub const REFRESH_ABSOLUTE: Span = Span::minutes(12 * 60);
pub const TICKET: Span = Span::seconds(30);
/// A code as typed, with its spaces and hyphens; the longest has 19 bytes without more of them.
pub const CODE_TYPED_BYTES_MAX: usize = 32;
/// How long the enrolment of a second factor may take, and how many may be under way.
pub const ENROLMENT: Span = Span::minutes(10);
pub const ENROLMENTS_MAX: usize = 1_024;
/// Recovery codes of a second factor: enough for years, few enough to print.
pub const RECOVERY_CODES: usize = 10;
pub const SETUP_TOKEN: Span = Span::minutes(60);
pub const SETUP_ATTEMPTS: u32 = 5;
pub const JOIN_CODE: Span = Span::minutes(15);
pub const JOIN_LINK: Span = Span::minutes(24 * 60);
/// Join codes alive in a site: bounds the chance that a guess hits one of them.
pub const JOIN_CODES_LIVE: usize = 200;
/// Join links alive in a site: 128 bits cannot be guessed, so this bounds memory alone.
pub const JOIN_LINKS_LIVE: usize = 10_000;
/// Support buttons of one rep's own queue: each is on the desk of a customer whom the rep knows by name.
pub const BUTTONS_PER_REP: usize = 100;
/// Of a team's queue: one on each desk of a company.
pub const BUTTONS_PER_TEAM: usize = 1_000;
/// Of a site: they never run out, so this bounds memory, 200 bytes each, and what making one looks through.
pub const BUTTONS_MAX: usize = 20_000;
/// Sessions that wait at once for all who came by one button: as many as there may be live codes, for whoever has it may use
/// it again and again.
pub const BUTTON_WAITING: usize = JOIN_CODES_LIVE;
/// Buttons in one answer: with codes and names of 64 bytes two thirds of a message.
pub const BUTTONS_LISTED: usize = 150;
/// Teams, and reps, in one answer of where a session may be handed: with codes and names of 64 bytes half a message.
pub const TARGETS_LISTED: usize = 100;
/// Teams and users looked through for one answer, named or not: about a millisecond of the owner's time.
pub const TARGETS_LOOKED_AT: usize = 1_000;
/// Jump items in one answer: with codes and names of 64 bytes half a message.
pub const JUMP_ITEMS_LISTED: usize = 100;
/// Jump items looked through for one answer, shown or not: under a millisecond of the owner's time.
pub const JUMP_ITEMS_LOOKED_AT: usize = 2_000;
/// What a console waits for the endpoint of a jump to come; a line lost at that moment is back by then.
pub const JUMP_WAITS: Span = Span::seconds(30);
/// Used and expired codes remembered, so that none is given out again soon (I-K2): five hours at the cap of 200 in 15 min.
pub const JOIN_CODES_REMEMBERED: usize = 4_096;
/// Used resume tokens remembered for one party, so that a replay is known for what it is (H-56).
pub const TOKENS_RETIRED: usize = 4;
/// Service accounts of a site.
pub const SERVICES_MAX: usize = 100;
/// Wrong keys from one IPv4 address or IPv6 /64 in a minute and in an hour, and from the whole site in a minute.
pub const WRONG_KEYS_PER_MIN: u32 = 5;
pub const WRONG_KEYS_PER_HOUR: u32 = 20;
pub const WRONG_KEYS_SITE_PER_MIN: u32 = 60;
/// Tries of the whole site that are remembered: enough to see that there are many more than that, 24 bytes each.
pub const WRONG_KEYS_SITE_REMEMBERED: u32 = 64 * WRONG_KEYS_SITE_PER_MIN;
/// Zero bits that a try must be worked for while the breaker is open: about a second in a page's script; and at most.
pub const WORK_BITS: u32 = 20;
pub const WORK_BITS_MAX: u32 = 26;
/// A challenge as it is written; ours have 76 bytes.
pub const WORK_CHALLENGE_BYTES: usize = 128;
/// How long a challenge may be worked on.
pub const WORK_LIVES: Span = Span::minutes(2);
/// Solved challenges remembered until they expire, 40 bytes each; when there are more, codes wait.
pub const WORKS_REMEMBERED: usize = 65_536;
/// Sign-in attempts: a network (/24 or /64) a minute, the process a second.
pub const SIGN_INS_PER_MIN: u32 = 20;
pub const SIGN_INS_SITE_PER_S: u32 = 10;
/// Wrong passwords for one account before it waits; the wait doubles up to the longest, never for ever.
pub const SIGN_IN_FAILURES: u32 = 5;
pub const SIGN_IN_WAIT: Span = Span::minutes(1);
pub const SIGN_IN_WAIT_MAX: Span = Span::minutes(15);
/// How long the breaker stays open after the site's budget of wrong keys was used up.
pub const BREAKER_OPEN: Span = Span::minutes(10);
/// Networks and accounts whose failures are remembered: 65,536 of at most 400 bytes.
pub const ATTEMPTS_REMEMBERED: usize = 65_536;
/// Accounts and networks whose failures outlive a restart, each: those that wait longest. 350 bytes at most for one.
pub const LOCKOUTS_KEPT: usize = 1_024;
/// The file is written at most this often, and read only if it is not longer than this.
pub const LOCKOUTS_PAUSE: Span = Span::seconds(1);
pub const LOCKOUTS_BYTES_MAX: u64 = 1024 * 1024;
/// Access tokens alive at once: every rep of a large site with several, 15 minutes each.
pub const ACCESS_TOKENS_MAX: usize = 100_000;
/// Tickets alive at once: they live 30 s.
pub const TICKETS_MAX: usize = 20_000;
/// A token as presented; the longest we make has 43 bytes.
pub const TOKEN_BYTES_MAX: usize = 128;

// ---- sessions -------------------------------------------------------------------------------------------------------

/// People in one session: the customer, the owner, those who help; more is a meeting.
pub const PARTICIPANTS_PER_SESSION: usize = 32;
/// Custom fields of one session: more than a rep fills in while talking. Name and value have 192 bytes at most, so that
/// all of a session's take less of its view than its details may.
pub const FIELDS_PER_SESSION: usize = 16;
const _: () = assert!(FIELDS_PER_SESSION * (CODE_BYTES_MAX + NAME_BYTES_MAX) < TEXT_BYTES_MAX);
/// Who took part in a session, as far as its record names them: twice what it holds at once (BU-048).
pub const PEOPLE_ON_RECORD: usize = 2 * PARTICIPANTS_PER_SESSION;
/// Requests to open a tool that may wait in one session: as many as there can be channels.
pub const OPENS_PER_SESSION: usize = CHANNELS_PER_SESSION;
/// The other end takes a tool up within this, or the request is gone: a short walk to the machine.
pub const OPEN_ANSWER: Span = Span::seconds(60);
/// Facts or arguments of one tool: the longest documented list is six.
pub const FACTS_MAX: usize = 32;
/// Data that moved in a session is told to its owner at most this often (R7.9): a twentieth of the shortest inactivity.
pub const ACTIVITY_INTERVAL: Span = Span::seconds(15);
/// Sessions judged anew in one turn after an edit of the site: half a millisecond of deciding, and one to two of telling
/// everybody in them (P6.2).
pub const SESSIONS_JUDGED_PER_TURN: usize = 200;
/// Turns of judging that share a commit at most: ten thousand sessions wait for the disk about once (P6.2). Nobody waits
/// meanwhile: where somebody does, judging goes on for so long and lets them have their turn.
pub const JUDGING_TURNS_PER_COMMIT: usize = 60;
const _: () = assert!(JUDGING_TURNS_PER_COMMIT < JOURNAL_TURNS_WAITING);
pub const JUDGING_BESIDE_OTHERS: Span = Span(2);
/// Sessions that such a turn looks at: one to two milliseconds where the edit concerns none of them.
pub const SESSIONS_COMPARED_PER_TURN: usize = 2_000;
/// Compiled permissions remembered: every rep of a large site in several portals, a few KiB each at most.
pub const GRANTS_REMEMBERED: usize = 16_384;
/// A held session ends after this (R7.7).
pub const HOLD_MAX: Span = Span::minutes(14 * 24 * 60);
/// A customer who lost the connection while waiting keeps the place in the queue for so long (R10.3).
pub const CUSTOMER_GRACE: Span = Span::seconds(60);
/// For how many seconds a customer who lost the connection in an active session may come back (R10.3, BU-132): less than
/// a minute is what a line needs to change, more than an hour holds a rep up for nothing.
pub const RECONNECT_TIMEOUT_S: std::ops::RangeInclusive<u32> = 60..=3_600;
pub const RECONNECT_TIMEOUT_S_DEFAULT: u32 = 300;
/// The same where the machine was told to start again (LR-022), from then on: with updates a machine is away for longer.
pub const REBOOT_TIMEOUT_S: std::ops::RangeInclusive<u32> = 60..=14_400;
pub const REBOOT_TIMEOUT_S_DEFAULT: u32 = 1_800;
/// What the customer's end runs when its session is over has to be done within this (P3.30): to lock a screen takes one second.
pub const ENDING_COMMAND: Span = Span::seconds(30);
/// A rep is warned when so much of an offer's time is left, or a quarter of it if that is more (R5.1).
pub const OFFER_WARNING_MIN: Span = Span::seconds(5);
/// How long an invitation to a rep lives: the default of a team's alert (R7.4).
pub const INVITATION: Span = Span::seconds(30);
/// An invitation that went by mail to a rep who is not logged in lives so long: to read it, sign in and join (R7.4).
pub const INVITATION_BY_MAIL: Span = Span::minutes(2 * 60);
/// The key of an external rep (R7.5).
pub const EXTERNAL_KEY: Span = Span::minutes(2 * 60);
/// External reps invited to or in one session: each takes a seat.
pub const EXTERNALS_PER_SESSION: usize = 8;
/// A language tag: what BCP 47 asks everybody to have room for.
pub const LOCALE_BYTES_MAX: usize = 35;
/// A mail address, as SMTP takes it.
pub const MAIL_ADDRESS_BYTES_MAX: usize = 254;
/// Letters on their way to the mail server at once, a few KiB each: every invitation of a large site's worst hour.
pub const LETTERS_ON_THEIR_WAY: usize = 1_024;
/// Conversations with the mail server at once: few servers take more from one client.
pub const MAIL_CONNECTIONS: usize = 4;
/// One conversation with the mail server. RFC 5321 lets each step take minutes; who is invited has not got them.
pub const MAIL_ATTEMPT: Span = Span::seconds(30);
/// Tries to hand one letter over, and the pause after the first, doubled each time: over in four minutes at the latest.
pub const MAIL_ATTEMPTS: u32 = 5;
pub const MAIL_RETRY: Span = Span::seconds(5);
/// How long a broker that is about to go lets conversations with the mail server end.
pub const MAIL_FAREWELL: Span = Span::seconds(3);
/// Requests for help that wait for one session: one for each kind of trouble it may have.
pub const HELP_REQUESTS_PER_SESSION: usize = 4;
/// Invitations open in one session at once: more than can be answered are a mistake.
pub const INVITATIONS_PER_SESSION: usize = 8;
/// Skills a session may ask for: a step of R4.6 looks at each.
pub const SKILLS_PER_SESSION: usize = 16;
/// Names and texts that people or endpoints choose.
pub const NAME_BYTES_MAX: usize = 128;
pub const TEXT_BYTES_MAX: usize = 4_096;

/// The name of a service or of software that is acted on: as long as Windows takes for a service.
pub const TARGET_BYTES_MAX: usize = 256;
/// A key of the registry from its root on, the parts it has at most, and the characters of each: what Windows itself takes of a
/// part, and far more than installed software nests. A value's name: a fifteenth of what Windows takes, beyond every one seen.
pub const REGISTRY_KEY_BYTES_MAX: usize = 2_048;
pub const REGISTRY_DEPTH_MAX: usize = 64;
pub const REGISTRY_PART_CHARS_MAX: usize = 255;
pub const REGISTRY_NAME_BYTES_MAX: usize = 1_024;

/// What a site says to customers: a greeting, a notice. A screen of text, small enough for any push.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 2_048;
/// A disclaimer: some pages of a lawyer's text.
pub const DISCLAIMER_BYTES_MAX: usize = 16 * 1024;
/// How long a customer may read the disclaimer (R10.2).
pub const DISCLAIMER: Span = Span::minutes(10);
/// Notices to customers at once: more than anybody reads; and how long one lives at most.
pub const NOTICES_MAX: usize = 16;
pub const NOTICE_LIFE: Span = Span::minutes(30 * 24 * 60);
/// Between two hold messages to one customer, seconds (R10.1).
pub const HOLD_MESSAGE_SECONDS: std::ops::RangeInclusive<u32> = 10..=3_600;
/// Intervals of a queue that an estimate is made from: the latest, enough for a steady mean.
pub const PACE_INTERVALS: usize = 32;
/// Fewer say nothing (R10.1).
pub const PACE_INTERVALS_MIN: usize = 5;
/// Older ones say nothing of this shift. Much less would remember backlogs alone, and tell too much after one.
pub const PACE_MEMORY: Span = Span::minutes(4 * 60);

// ---- operations -----------------------------------------------------------------------------------------------------

/// Connections to the operations listener at once: a few scrapers and an operator.
pub const OPS_CONNECTIONS: usize = 64;
/// Until a request's headers are there; whoever scrapes sends them at once.
pub const OPS_HEADER: Span = Span::seconds(5);
/// Rest after an accept that failed for want of files: long enough that the loop does not spin (H-04).
pub const ACCEPT_PAUSE: Span = Span(50);
/// Histograms are folded this often, or they grow while nobody scrapes.
pub const METRICS_UPKEEP: Span = Span::seconds(5);
/// From SIGTERM to the end of the process at most (I-M7): supervisors kill after ten seconds and more.
pub const STOP: Span = Span::seconds(9);
const _: () = assert!(STOP.0 > CLOSE_CONNECTIONS.0);
/// How often the owner is asked whether it answers, and within what; also how often the disk is looked at.
pub const WATCH_INTERVAL: Span = Span::seconds(1);
pub const WATCH_ANSWER: Span = Span::seconds(2);
/// One request on the setup socket: a token, a username and a password.
pub const SETUP_REQUEST_BYTES: usize = 4 * 1024;
pub const SETUP_DEADLINE: Span = Span::seconds(10);
// ---- site settings (contract C1) ------------------------------------------------------------------------------------

/// A code or username: what a person types.
pub const CODE_BYTES_MAX: usize = 64;
/// Any length of time in a site file, seconds: thirty days, far beyond a queue or a shift.
pub const SETTING_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;
/// Offers live this long at least and at most, seconds (R5.1).
pub const ALERT_SECONDS: std::ops::RangeInclusive<u32> = 5..=600;
/// Sessions a rep may have before assignment stops (R3.5).
pub const ASSIGNED_SESSIONS: std::ops::RangeInclusive<u32> = 1..=10;
/// Idle times after which assignment stops, seconds; 0 = never (R3.6).
pub const IDLE_LIMITS_S: [u32; 9] = [0, 180, 300, 600, 900, 1200, 1800, 2700, 3600];
/// Inactivity and console idle, seconds (R7.9): five minutes to a day.
pub const INACTIVITY_SECONDS: std::ops::RangeInclusive<u32> = 300..=86_400;
/// How long a prompt waits for its answer, seconds (P4.3): to read it, up to an hour away from the desk.
pub const PROMPT_SECONDS: std::ops::RangeInclusive<u32> = 1..=3_600;
/// How far ahead a second factor may be demanded of everybody (R11.3): long enough to tell everybody.
pub const TWO_FACTOR_AHEAD: Span = Span::minutes(14 * 24 * 60);
/// Minutes after which a shared seat asks again (R11.4): no less than an access token lives, so that one from before the
/// last proof never serves for the next; up to a day.
pub const REAUTHENTICATE_MINUTES: std::ops::RangeInclusive<u32> = 15..=24 * 60;
const _: () = assert!(ACCESS_TOKEN.0 <= *REAUTHENTICATE_MINUTES.start() as u64 * 60_000);
/// Seats of a site or a pool: more consoles than one owner is measured for.
pub const SEATS_MAX: u32 = 1_000_000;
/// The hard cap on active sessions of one rep (R3): nobody attends to more.
pub const ACTIVE_SESSIONS_MAX: u32 = 1_000;
/// A team's queue: beyond it a limit is no limit.
pub const QUEUE_LENGTH_MAX: u32 = 1_000_000;
/// A canned script: it stands in its request and its event, which share a turn with others (P3.13).
pub const SCRIPT_BYTES_MAX: usize = 16 * 1024;
const _: () = assert!(4 * SCRIPT_BYTES_MAX <= TEXT_PER_TURN_BYTES);
/// What a template of jobs says of itself: a paragraph, and a page of them fits a message.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;

// ---- endpoint automation (P8.7, P8.8) -------------------------------------------------------------------------------

/// For how long a job runs on an item where nothing else is said, and at most: an update of a system, and a night's work.
pub const JOB_TIMEOUT: Span = Span::minutes(10);
pub const JOB_TIMEOUT_MAX: Span = Span::seconds(24 * 3600);
/// For how long a job waits for endpoints that are away, where nothing else is said, and at most: until each machine of an
/// office was on, and a month's holiday.
pub const JOB_LIFE: Span = Span::seconds(24 * 3600);
pub const JOB_LIFE_MAX: Span = Span::seconds(31 * 24 * 3600);
/// After its time an endpoint that is not heard of has lost the job: machines that were off over a long weekend tell.
pub const JOB_TOLD_WITHIN: Span = Span::seconds(4 * 24 * 3600);
/// Items of one job: with codes of 64 bytes and a script they fit a message.
pub const JOB_ITEMS_MAX: usize = 200;
const _: () = assert!(JOB_ITEMS_MAX * (64 + 8) + SCRIPT_BYTES_MAX < MESSAGE_BYTES_MAX);
/// Jobs that are not over, and their items altogether: what is looked through for one user, and at most 8 MiB of outputs.
pub const JOBS_LIVE_MAX: usize = 200;
pub const JOB_TARGETS_LIVE_MAX: usize = 2_000;
/// Of which one user has so many, on so many items, so that nobody keeps the others from theirs.
pub const JOBS_LIVE_PER_USER: usize = 20;
pub const JOB_TARGETS_LIVE_PER_USER: usize = 500;
const _: () =
    assert!(JOB_ITEMS_MAX <= JOB_TARGETS_LIVE_PER_USER && 2 * JOB_TARGETS_LIVE_PER_USER <= JOB_TARGETS_LIVE_MAX);
/// The end of what a script wrote: a screenful, and a dozen fit an answer.
pub const JOB_OUTPUT_BYTES: usize = 4 * 1024;
const _: () = assert!(JOB_OUTPUT_BYTES + 16 * 1024 < JOBS_PAGE_BYTES);
/// Jobs that are over and kept, by number, by what they weigh and by age; the oldest go. The journal keeps what happened.
pub const JOBS_KEPT: usize = 500;
pub const JOBS_KEPT_BYTES: usize = 8 * 1024 * 1024;
pub const JOB_KEPT: Span = Span::seconds(30 * 24 * 3600);
/// Texts of jobs, templates or results in one answer.
pub const JOBS_PAGE_BYTES: usize = MESSAGE_BYTES_MAX * 3 / 4;
/// Jobs and templates in one answer.
pub const JOBS_LISTED: usize = 100;

/// Entries of one list in a policy: each is compared when a path or address is checked.
pub const LIST_ENTRIES_MAX: usize = 256;
// ---- sockets --------------------------------------------------------------------------------------------------------

/// Body of a plain HTTP request: a name, two passwords of 1,024 bytes and JSON around them.
pub const BODY_BYTES_MAX: usize = 8 * 1024;
/// Slow bodies end here (H-21).
pub const BODY_DEADLINE: Span = Span::seconds(10);
/// Headers of an HTTP request: browsers send about twenty (H-11).
pub const HEADERS_MAX: usize = 64;
/// A request's whole head: twice what browsers send with a long cookie (H-11).
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Pause of the accept loop when the process has no file descriptor left (H-04).
pub const OUT_OF_FILES_PAUSE: Span = Span(50);
/// Bytes a TCP socket takes that it has not sent: more would stand before whatever is urgent next.
pub const UNSENT_BYTES: u32 = 128 * 1024;
/// Words in a close frame: what WebSocket leaves beside the code.
pub const CLOSE_REASON_BYTES: usize = 123;
/// What a peer may take to answer a close frame; what it sends meanwhile is not looked at (H-35).
pub const FAREWELL: Span = Span::seconds(2);
/// How long a broker that is about to go waits for its connections to close.
pub const CLOSE_CONNECTIONS: Span = Span::seconds(5);
/// Clients of a broker that restarts come back spread over this: 20,000 handshakes of 1 ms are 20 s of one core.
pub const RESTART_SPREAD: Span = Span::seconds(5);
/// Reconnect delays: full jitter from the base, doubled each time, to the cap.
pub const RECONNECT_BASE: Span = Span(250);
pub const RECONNECT_CAP: Span = Span::seconds(15);

/// From the first packet to the upgrade: two round trips of a bad line and a broker that is busy.
pub const DIAL: Span = Span::seconds(10);
/// Happenings that may wait for a client that does not listen: more than the largest snapshot's parts.
pub const CLIENT_HAPPENINGS: usize = 1_024;
/// Requests of a service account that wait for their answers at once.
pub const SERVICE_REQUESTS: usize = 4_096;

// ---- endpoints and consoles -----------------------------------------------------------------------------------------

/// Either side of a picture in pixels: two 4K screens beside each other fit.
pub const PICTURE_SIDE_MAX: u16 = 8_192;
/// One assembled picture: a full screen of 4K, uncompressed.
pub const PICTURE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Pictures come this often at most: enough to follow a pointer, little enough for a slow machine to draw.
pub const PICTURE_INTERVAL: Span = Span(100);
/// What one read from a pseudo-terminal takes, and how many wait between its thread and the channel: together well
/// under the window, so that Ctrl-C has little to overtake (W6.1).
pub const PTY_READ_BYTES: usize = 8 * 1024;
pub const PTY_READS_WAITING: usize = 2;
/// Keystrokes waiting for a pseudo-terminal whose program does not read.
pub const PTY_WRITES_WAITING: usize = 16;
/// From the hang-up to the kill of a shell that stays.
pub const SHELL_GRACE: Span = Span::seconds(2);
/// File bytes gathered for one call to the disk.
pub const FILE_BATCH_BYTES: usize = 256 * 1024;
/// What happened to one running tool and waits for its task: more than its channels could ever say.
pub const TOOL_NEWS: usize = 256;
/// Tools one endpoint runs at once: one for each channel of the session at most.
pub const TOOLS_AT_ONCE: usize = CHANNELS_PER_SESSION;
/// Lines or keystrokes read from a terminal and not yet taken up.
pub const TERMINAL_READS_WAITING: usize = 64;
/// A document an endpoint makes, such as system information: what a console holds in memory.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Text of a clipboard that is carried: a long document.
pub const CLIPBOARD_BYTES_MAX: usize = 1024 * 1024;
/// Processes of one listing, the largest first: with the longest names still well within a document.
pub const LISTED_PROCESSES_MAX: usize = 2_048;
/// Entries of one listed directory: with the longest names still within a document.
pub const LISTED_ENTRIES_MAX: usize = 2_048;
const _: () = assert!(LISTED_ENTRIES_MAX * (6 * 255 + 128) < DOCUMENT_BYTES_MAX);
/// The other end answers a request to open, or a note about a file, within this; a prompt has its own time.
pub const TOOL_ANSWER: Span = Span::seconds(120);
/// How long a prompt waits where no policy says (P4.3).
pub const PROMPT: Span = Span::seconds(30);
/// A path of a file and its components (P5): what Linux takes, and deeper than any tree people make.
pub const PATH_BYTES_MAX: usize = 4_096;
pub const PATH_COMPONENTS_MAX: usize = 128;
/// Bytes of one leg before its QUIC stream: beyond the gate, so as little as keeps the stream busy (W2.3).
pub const LEG_BUFFER_BYTES: usize = 64 * 1024;
/// Legs of one connection that are remembered once their stream has ended: a frame that a CLOSE overtook follows it within
/// a drain or two, in which no more than a session's channels end.
pub const LEGS_JUST_ENDED: usize = CHANNELS_PER_SESSION;
/// Legs one peer may send at once: a session's channels, and for a console those of many sessions (W4.5).
pub const LEGS_OF_SESSION: u32 = CHANNELS_PER_SESSION as u32;
pub const LEGS_OF_CONSOLE: u32 = 16 * LEGS_OF_SESSION;
/// QUIC handshakes under way beyond which an address must first prove that it is reached (H-94).
pub const QUIC_UNVALIDATED: usize = 500;

// ---- copies of small frames on lines that lose (W4.5) -----------------------------------------------------------------

/// How often a sender looks at what its line lost: twenty times a second, and only while it writes, costs nothing.
pub const LOSS_LOOK: Span = Span(50);
/// It goes by the packets it sent lately, half as many to as many: 1 % of them are ten losses.
pub const LOSS_PACKETS: u64 = 1_024;
/// From this share on small frames leave twice, so from the first loss on where it was among the first 200; below the other
/// one no more, for a loss in 500 holds up few.
pub const LOSS_PER_MILLE: u64 = 5;
pub const LOSS_OVER_PER_MILLE: u64 = 2;
const _: () = assert!(LOSS_OVER_PER_MILLE < LOSS_PER_MILLE);
/// After its original, so that not the same burst takes both, and well before a loss could be noticed on a line that is
/// worth it.
pub const COPY_DELAY: Span = Span(8);
/// A copy that found no room for so long shows that the line is full, and then there are none for a while: they would
/// take the place of what they copy.
pub const COPY_LATE: Span = Span(16);
pub const COPIES_REST: Span = Span::seconds(1);
/// The same where a round trip takes so much longer than it ever took, more than a radio's unrest: packets stand in the
/// line's own queue.
pub const COPIES_QUEUED: Span = Span(40);
/// What copies may take: twice the 4 Mbit/s of a busy session's messages, and at once what came through a gap of 64 ms.
pub const COPIES_BYTES_PER_S: usize = 1_000_000;
pub const COPIES_BYTES: usize = 64 * 1024;
/// What a piece costs beside its bytes, where it waits and where it is held: so much for a byte bounds their number.
pub const PIECE_COST_BYTES: usize = 64;
/// Datagrams before the line: three that are full leave in a millisecond, which is more than the rate above.
pub const DATAGRAMS_SENT_BYTES: usize = 4 * 1024;
/// Datagrams that came and were not looked at, of strangers too; older ones are dropped: 16 ms at the rate above.
pub const DATAGRAMS_RECEIVED_BYTES: usize = 16 * 1024;
/// Copies held beyond a gap, of a connection: a quarter of a second at the rate above. More are dropped, the streams bring
/// them anyway.
pub const COPIES_AHEAD_BYTES: usize = 256 * 1024;
/// All that is held beyond gaps of streams that copies came for: what QUIC's own windows hold of a connection (W1.5).
/// Beyond it the connection ends, and comes back.
pub const PIECES_BYTES_MAX: usize = 2 * QUIC_STREAM_WINDOW_BYTES_MAX as usize;
/// Datagrams that may come before the frames that account for them; each beyond counts like a message (H-98).
pub const COPIES_UNACCOUNTED: u32 = 256;

// ---- simulate (contract C2) -----------------------------------------------------------------------------------------

/// Candidates, and reps left out, that one explanation lists: what a person reads, and with names of 64 bytes a quarter
/// of a message.
pub const CANDIDATES_TOLD: usize = 50;
/// Reps of a portal's public list in one answer: more than a page shows, and with names of 128 bytes two thirds of a message.
pub const REPS_LISTED: usize = 200;
/// Decisions about one session that an explanation lists, the newest: about half a message.
pub const DECISIONS_TOLD: usize = 200;
/// Journals that are read at once to explain a past decision; each takes a thread and a core while it lasts.
pub const PASTS_READ: usize = 1;

/// The longest run in virtual time: ten years, far beyond any plan.
pub const SIMULATION_MAX: Span = Span::seconds(10 * 366 * 86_400);
/// Customers to expect in one run: some minutes of work, and their waits are kept for the percentiles.
pub const SIMULATED_ARRIVALS_MAX: u64 = 20_000_000;
/// How long after the last arrival a run goes on for those who still wait or are served.
pub const SIMULATED_DRAIN: Span = Span::seconds(24 * 3600);
/// Answered within this counts for the service level where a scenario does not say.
pub const SERVICE_TARGET: Span = Span::seconds(20);
