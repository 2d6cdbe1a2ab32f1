//! What a request to open a tool means in channels (W1.1, P3): who writes what to whom. One table says which right each
//! kind of frame needs; a request is judged by it when it is made, and an open channel whenever permissions change.

use super::{
    Tool, ToolOption, ToolValue,
    verbs::{self, Verb},
};
use crate::{
    site::{SessionKind, value::right},
    wire::{
        Kind,
        control::{Class, Value},
    },
};
use std::collections::BTreeMap;

/// The arguments of a request, by name.
pub type Args = BTreeMap<String, Value>;

/// The two sides of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Customer,
    Rep,
}

/// What one rep may do, as bits of [`crate::site::value::right`].
pub trait Rights {
    fn rights(&self, tool: Tool) -> u8;

    fn value(&self, tool: Tool) -> &ToolValue;

    fn option(&self, option: ToolOption) -> &ToolValue;

    /// The canonical form of a path on this side, or why it may not be used (P5). No path given: whether it may be left
    /// out, because every path is allowed.
    fn path(&self, side: Side, path: Option<&str>) -> Result<Option<String>, NoPath>;

    /// Is the customer's end a mobile device? (P3.11)
    fn mobile(&self) -> bool {
        false
    }

    /// The page that the portal of a co-browse session opens at its start, whatever else may be pushed (LG-037).
    fn start_page(&self) -> Option<&str> {
        None
    }

    /// The text of a canned script, if it belongs to a team of this rep (P3.13).
    fn script(&self, _code: &str) -> Option<&str> {
        None
    }
}

/// A request as far as permission goes.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub tool: Tool,
    pub args: &'a Args,
    pub by: Side,
    pub kind: SessionKind,
}

/// A request that may be offered to the other end.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Checked, paths in canonical form.
    pub args: Args,
    pub channels: Vec<Planned>,
}

/// A channel to be; the rep in it is the one who asks, or the owner where the customer asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Bits of [`Kind`].
    pub kinds: u32,
    pub class: Class,
    pub lossy: bool,
    pub from: Side,
    pub readers: Readers,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readers {
    Customer,
    /// The rep of the request alone.
    Rep,
    /// Every rep who may; who joins later reads along.
    Reps,
    /// The customer and every rep who may, but the writer.
    Everybody,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unplanned {
    /// A setting or an act of its own, not something one opens.
    NotOpened,
    /// The other side asks for this.
    WrongSide,
    /// Sessions of this kind have no such tool (R1.4).
    OtherKind,
    Malformed {
        arg: &'static str,
        message: String,
    },
    /// An argument this version does not know (I-P13).
    Unknown(String),
    /// This permission has not the right for it.
    NotPermitted(Tool),
    Path(Tool, String),
    /// It is permitted, but an option does not let it go so far.
    Limited(Tool, ToolOption),
    /// No script of this name belongs to a team of the rep (P3.13).
    NoScript(String),
}

/// Why a path may not be used, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoPath {
    /// The text is no path at all (H-61, H-67).
    Malformed(String),
    Refused(String),
}

/// The channels of a request, if its arguments are sound and its rep has the rights.
pub fn plan(asked: Asked<'_>, rights: &impl Rights) -> Result<Plan, Unplanned> {
    if asked.kind == SessionKind::Chat && !matches!(asked.tool, Tool::Chat | Tool::ChatFiles) {
        return Err(Unplanned::OtherKind);
    }
    let Verb { channels, needs, paths, told } = verbs::read(asked, rights)?;
    for (tool, bits) in needs {
        if rights.rights(tool) & bits != bits {
            return Err(Unplanned::NotPermitted(tool));
        }
    }
    for channel in &channels {
        permits(asked.tool, asked.kind, channel.kinds, channel.from, rights).map_err(Unplanned::NotPermitted)?;
    }
    let mut args = asked.args.clone();
    args.extend(told.map(|(name, value)| (name.to_owned(), value)));
    for (arg, tool, side) in paths {
        let given = match asked.args.get(arg) {
            Some(Value::Text(path)) => Some(path.as_str()),
            _ => None,
        };
        let canonical = rights.path(side, given).map_err(|no_path| match no_path {
            NoPath::Malformed(message) => Unplanned::Malformed { arg, message },
            NoPath::Refused(why) => Unplanned::Path(tool, why),
        })?;
        if let Some(canonical) = canonical {
            args.insert(arg.to_owned(), Value::Text(canonical));
        }
    }
    Ok(Plan { args, channels })
}

/// Does what runs by this request still have the rights it needs beyond those of its kinds of frame: its verb, its paths?
pub fn goes_on(asked: Asked<'_>, rights: &impl Rights) -> Result<(), Tool> {
    let Verb { needs, paths, .. } = match verbs::read(asked, rights) {
        Ok(verb) => verb,
        Err(Unplanned::NotPermitted(tool)) => return Err(tool),
        Err(_) => return Err(asked.tool),
    };
    if let Some((tool, _)) = needs.into_iter().find(|(tool, bits)| rights.rights(*tool) & bits != *bits) {
        return Err(tool);
    }
    for (arg, tool, side) in paths {
        let given = match asked.args.get(arg) {
            Some(Value::Text(path)) => Some(path.as_str()),
            _ => None,
        };
        rights.path(side, given).map_err(|_| tool)?;
    }
    Ok(())
}

/// Is this something one opens at all? Others are settings of a policy or acts of their own.
pub fn is_opened(tool: Tool) -> bool {
    verbs::is_opened(tool)
}

/// Do those who come later read a channel of these kinds along? Not what a rep shows to the customer alone.
pub fn read_along(tool: Tool, kinds: u32) -> bool {
    let shown = Kind::ShellOutput.bit() | Kind::Picture.bit() | Kind::Chat.bit();
    tool != Tool::ShowMyScreen && kinds & (shown | Kind::Camera.bit() | Kind::Voice.bit()) != 0
}

/// May frames of these kinds pass between the customer and this rep, sent by `from`? Otherwise the permission that has
/// not the right. Of what reps send each other the rep asked about is the reader.
pub fn permits(tool: Tool, kind: SessionKind, kinds: u32, from: Side, rights: &impl Rights) -> Result<(), Tool> {
    for frame in Kind::DATA.into_iter().filter(|frame| frame.bit() & kinds != 0) {
        let (needed, bits) = need(tool, kind, frame, from);
        if rights.rights(needed) & bits != bits {
            return Err(needed);
        }
    }
    Ok(())
}

/// The right that one kind of frame needs (P3). Directions never imply each other (I-P6).
fn need(tool: Tool, session: SessionKind, frame: Kind, from: Side) -> (Tool, u8) {
    let way = match from {
        Side::Rep => right::TO_CUSTOMER,
        Side::Customer => right::TO_REP,
    };
    let cobrowse = session == SessionKind::Cobrowse;
    match frame {
        Kind::ShellOutput | Kind::ShellInput | Kind::ShellResize => (Tool::Shell, right::YES),
        Kind::File => match tool {
            Tool::ChatFiles => (Tool::ChatFiles, right::YES),
            Tool::DocumentShare => (Tool::DocumentShare, way),
            _ => (Tool::FileTransfer, way),
        },
        Kind::Picture if from == Side::Rep => (Tool::ShowMyScreen, right::YES),
        Kind::Picture => (Tool::Screen, right::VIEW),
        Kind::Pointer | Kind::Click if cobrowse => (Tool::CobrowseClick, right::YES),
        Kind::Keys if cobrowse => (Tool::CobrowseType, right::YES),
        Kind::Pointer | Kind::Click | Kind::Keys => (Tool::Screen, right::CONTROL),
        Kind::Chat => (Tool::Chat, right::YES),
        Kind::Clipboard => (Tool::Clipboard, way),
        Kind::Annotation => (Tool::Annotations, right::YES),
        Kind::Camera if tool == Tool::Lens => (Tool::Lens, right::YES),
        Kind::Camera => (Tool::Webcam, way),
        Kind::Voice => (Tool::Voice, way),
        // A document answers its own tool; a tool without any right has none.
        Kind::Document => (tool, right::YES),
        Kind::Credit | Kind::Close | Kind::Resume | Kind::Refresh => (tool, u8::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    /// Bits by tool; everything else is denied. Paths below `/home/ana` only.
    struct May(&'static [(Tool, u8)]);

    impl Rights for May {
        fn rights(&self, tool: Tool) -> u8 {
            self.0.iter().find(|(known, _)| *known == tool).map_or(0, |(_, bits)| *bits)
        }

        fn value(&self, _tool: Tool) -> &ToolValue {
            &ToolValue::NO
        }

        fn option(&self, _option: ToolOption) -> &ToolValue {
            &ToolValue::NO
        }

        fn path(&self, side: Side, path: Option<&str>) -> Result<Option<String>, NoPath> {
            match (side, path) {
                (Side::Customer, Some(path)) if path.starts_with("/home/ana/") => Ok(Some(path.replace("//", "/"))),
                (Side::Customer, _) => Err(NoPath::Refused("not listed".to_owned())),
                (Side::Rep, path) => Ok(path.map(str::to_owned)),
            }
        }
    }

    const ALL: May = May(&[
        (Tool::Screen, 3),
        (Tool::Shell, 1),
        (Tool::Chat, 1),
        (Tool::FileTransfer, 3),
        (Tool::Clipboard, 3),
        (Tool::FileManager, 1),
        (Tool::PushUrl, 1),
        (Tool::Webcam, 3),
    ]);

    fn args(pairs: &[(&str, Value)]) -> Args {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn text(value: &str) -> Value {
        Value::Text(value.to_owned())
    }

    fn ask(tool: Tool, pairs: &[(&str, Value)], rights: &May) -> Result<Plan, Unplanned> {
        plan(Asked { tool, args: &args(pairs), by: Side::Rep, kind: SessionKind::Support }, rights)
    }

    /// Kinds by channel, in the order planned.
    fn kinds(plan: &Plan) -> Vec<Vec<Kind>> {
        let of = |bits: u32| Kind::DATA.into_iter().filter(|kind| kind.bit() & bits != 0).collect();
        plan.channels.iter().map(|channel| of(channel.kinds)).collect()
    }

    #[test]
    fn w1_1_a_shell_is_one_channel_out_and_one_in() {
        let planned = ask(Tool::Shell, &[("cols", Value::Int(120)), ("rows", Value::Int(40))], &ALL).unwrap();
        assert_eq!(kinds(&planned), [vec![Kind::ShellOutput], vec![Kind::ShellInput, Kind::ShellResize]]);
        assert_eq!(planned.channels[0].readers, Readers::Reps);
        assert_eq!(planned.channels[1].readers, Readers::Customer);
        assert_eq!((planned.channels[0].class, planned.channels[1].class), (Class::Shell, Class::Input));
        assert_eq!(ask(Tool::Shell, &[("beside", Value::Int(7))], &ALL).unwrap().channels.len(), 1);
    }

    #[test]
    fn p3_1_in_view_the_screen_comes_without_control_and_asking_for_it_is_refused() {
        let view = May(&[(Tool::Screen, 1)]);
        let shown = ask(Tool::Screen, &[], &view).unwrap();
        assert_eq!(kinds(&shown), [vec![Kind::Picture]]);
        assert!(shown.channels[0].lossy);
        let control = [("control", Value::Bool(true))];
        assert_eq!(ask(Tool::Screen, &control, &view), Err(Unplanned::NotPermitted(Tool::Screen)));
        let both = ask(Tool::Screen, &control, &ALL).unwrap();
        assert_eq!(kinds(&both)[1], [Kind::Pointer, Kind::Click, Kind::Keys]);
        assert!(!both.channels[1].lossy);
    }

    #[test]
    fn i_p5_nothing_that_acts_passes_where_the_screen_is_only_viewed() {
        let view = May(&[(Tool::Screen, 1)]);
        let acting = [Kind::Pointer, Kind::Click, Kind::Keys, Kind::Clipboard, Kind::File, Kind::ShellInput];
        for kind in acting {
            for tool in Tool::ALL {
                assert!(
                    permits(*tool, SessionKind::Support, kind.bit(), Side::Rep, &view).is_err(),
                    "{kind:?} by {tool:?}"
                );
            }
        }
    }

    #[test]
    fn h_69_p3_7_i_p6_each_direction_of_files_and_clipboard_has_its_own_right() {
        let cases = [
            (Tool::FileTransfer, "upload", 1, 2),
            (Tool::FileTransfer, "download", 2, 1),
            (Tool::Clipboard, "rep_to_customer", 1, 2),
            (Tool::Clipboard, "customer_to_rep", 2, 1),
        ];
        for (tool, direction, right, other) in cases {
            let mut asked = vec![("direction", text(direction))];
            if tool == Tool::FileTransfer {
                asked.push(("path", text("/home/ana/a")));
            }
            let may = |bits: u8| match (tool, bits) {
                (Tool::FileTransfer, 1) => May(&[(Tool::FileTransfer, 1)]),
                (Tool::FileTransfer, _) => May(&[(Tool::FileTransfer, 2)]),
                (_, 1) => May(&[(Tool::Clipboard, 1)]),
                _ => May(&[(Tool::Clipboard, 2)]),
            };
            assert!(ask(tool, &asked, &may(right)).is_ok(), "{} {direction}", tool.name());
            assert_eq!(
                ask(tool, &asked, &may(other)),
                Err(Unplanned::NotPermitted(tool)),
                "{} {direction}",
                tool.name()
            );
        }
    }

    #[test]
    fn p3_8_the_path_is_checked_and_reaches_the_end_in_canonical_form() {
        let asked = [("direction", text("download")), ("path", text("/home/ana//a.txt"))];
        let planned = ask(Tool::FileTransfer, &asked, &ALL).unwrap();
        assert_eq!(planned.args["path"], text("/home/ana/a.txt"));
        let outside = [("direction", text("download")), ("path", text("/etc/passwd"))];
        let refused = ask(Tool::FileTransfer, &outside, &ALL).unwrap_err();
        assert_eq!(refused, Unplanned::Path(Tool::CustomerPaths, "not listed".to_owned()));
        assert!(matches!(
            ask(Tool::FileTransfer, &[("direction", text("upload"))], &ALL),
            Err(Unplanned::Malformed { arg: "path", .. })
        ));
    }

    #[test]
    fn p3_9_browsing_does_not_imply_managing() {
        let verb = |verb| [("verb", text(verb)), ("path", text("/home/ana/x"))];
        assert!(ask(Tool::FileManager, &verb("list"), &ALL).is_ok());
        assert_eq!(ask(Tool::FileManager, &verb("delete"), &ALL), Err(Unplanned::NotPermitted(Tool::FileManager)));
        let moved = [("verb", text("rename")), ("path", text("/home/ana/x")), ("to", text("/etc/x"))];
        let manage = May(&[(Tool::FileManager, 3)]);
        assert!(matches!(ask(Tool::FileManager, &moved, &manage), Err(Unplanned::Path(..))));
    }

    #[test]
    fn p3_18_either_side_opens_the_chat_and_everybody_reads_it() {
        for by in [Side::Customer, Side::Rep] {
            let asked = Asked { tool: Tool::Chat, args: &Args::new(), by, kind: SessionKind::Support };
            let planned = plan(asked, &ALL).unwrap();
            let ends: Vec<_> = planned.channels.iter().map(|channel| (channel.from, channel.readers)).collect();
            assert_eq!(ends, [(Side::Customer, Readers::Reps), (Side::Rep, Readers::Everybody)]);
        }
    }

    #[test]
    fn p3_26_in_co_browse_input_is_split_by_kind() {
        let cobrowse = |rights: &May| {
            let args = args(&[("control", Value::Bool(true))]);
            plan(Asked { tool: Tool::Screen, args: &args, by: Side::Rep, kind: SessionKind::Cobrowse }, rights)
        };
        let clicks = cobrowse(&May(&[(Tool::Screen, 1), (Tool::CobrowseClick, 1)])).unwrap();
        assert_eq!(kinds(&clicks)[1], [Kind::Pointer, Kind::Click]);
        let types = cobrowse(&May(&[(Tool::Screen, 1), (Tool::CobrowseType, 1)])).unwrap();
        assert_eq!(kinds(&types)[1], [Kind::Keys]);
        let neither = cobrowse(&May(&[(Tool::Screen, 3)]));
        assert_eq!(neither, Err(Unplanned::NotPermitted(Tool::CobrowseClick)));
    }

    #[test]
    fn p3_27_each_party_shows_its_own_camera() {
        let by_customer = |from: &str| {
            let args = args(&[("from", text(from))]);
            plan(Asked { tool: Tool::Webcam, args: &args, by: Side::Customer, kind: SessionKind::Support }, &ALL)
        };
        assert_eq!(by_customer("customer").unwrap().channels[0].from, Side::Customer);
        assert_eq!(by_customer("rep"), Err(Unplanned::WrongSide));
    }

    #[test]
    fn p3_13_a_script_is_the_sites_and_of_a_team_of_the_rep() {
        struct Scripted(&'static str);
        impl Rights for Scripted {
            fn rights(&self, tool: Tool) -> u8 {
                u8::from(tool == Tool::CannedScripts)
            }
            fn value(&self, _: Tool) -> &ToolValue {
                &ToolValue::NO
            }
            fn option(&self, _: ToolOption) -> &ToolValue {
                &ToolValue::NO
            }
            fn path(&self, _: Side, _: Option<&str>) -> Result<Option<String>, NoPath> {
                Ok(None)
            }
            fn script(&self, code: &str) -> Option<&str> {
                (code == "tidy").then_some(self.0)
            }
        }
        let run = |pairs: &[(&str, Value)], text| {
            let asked =
                Asked { tool: Tool::CannedScripts, args: &args(pairs), by: Side::Rep, kind: SessionKind::Support };
            plan(asked, &Scripted(text))
        };
        let planned = run(&[("script", text("tidy"))], "rm -r cache").unwrap();
        assert_eq!(planned.args["text"], text("rm -r cache"));
        assert_eq!(run(&[("script", text("other"))], "x"), Err(Unplanned::NoScript("other".to_owned())));
        assert!(matches!(run(&[], "x"), Err(Unplanned::Malformed { arg: "script", .. })));
        let own = [("script", text("tidy")), ("text", text("rm -r /"))];
        assert_eq!(run(&own, "rm -r cache"), Err(Unplanned::Unknown("text".to_owned())), "a rep brings no text");
        let again: Vec<_> = planned.args.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        assert!(run(&again, "rm -r cache").is_ok(), "what was asked for is planned anew when it is taken up");
        assert!(run(&again, "changed").is_err(), "what was allowed is not what would run");
    }

    #[test]
    fn p3_11_only_known_actions_with_their_target() {
        let may = May(&[(Tool::SystemInfoActions, 1)]);
        let act = |pairs: &[(&str, Value)]| ask(Tool::SystemInfoActions, pairs, &may);
        assert!(act(&[("action", text("processes"))]).is_ok());
        assert!(act(&[("action", text("end_process")), ("target", text("17"))]).is_ok());
        assert!(matches!(act(&[("action", text("end_process"))]), Err(Unplanned::Malformed { arg: "target", .. })));
        let odd = [("action", text("end_process")), ("target", text("-1"))];
        assert!(matches!(act(&odd), Err(Unplanned::Malformed { arg: "target", .. })));
        assert!(matches!(act(&[("action", text("format"))]), Err(Unplanned::Malformed { arg: "action", .. })));
    }

    #[test]
    fn bu_123_p3_11_services_and_software_are_listed_and_acted_on_by_name() {
        let may = May(&[(Tool::SystemInfoActions, 1)]);
        let act = |may: &May, action: &str, target: Option<&str>| {
            let target = target.map(|target| ("target", text(target)));
            let asked: Vec<_> = [("action", text(action))].into_iter().chain(target).collect();
            ask(Tool::SystemInfoActions, &asked, may)
        };
        for action in ["services", "software"] {
            assert_eq!(kinds(&act(&may, action, None).unwrap()), [[Kind::Document]], "{action}");
            let odd = act(&may, action, Some("all"));
            assert!(matches!(odd, Err(Unplanned::Malformed { arg: "target", .. })), "{action}");
            assert_eq!(act(&May(&[]), action, None), Err(Unplanned::NotPermitted(Tool::SystemInfoActions)));
        }
        let (most, more) = ("x".repeat(limits::TARGET_BYTES_MAX), "x".repeat(limits::TARGET_BYTES_MAX + 1));
        for action in ["start_service", "stop_service", "restart_service", "uninstall"] {
            for target in ["Spooler", "{9D2F-11}", "Ünï 2.0", most.as_str()] {
                assert!(act(&may, action, Some(target)).is_ok(), "{action} {target}");
            }
            for target in [None, Some(""), Some("a\nb"), Some("a\u{202e}b"), Some(more.as_str())] {
                let odd = act(&may, action, target);
                assert!(matches!(odd, Err(Unplanned::Malformed { arg: "target", .. })), "{action} {target:?}");
            }
            assert_eq!(act(&May(&[]), action, Some("x")), Err(Unplanned::NotPermitted(Tool::SystemInfoActions)));
        }
    }

    #[test]
    fn i_p13_what_is_not_known_is_refused() {
        let odd = ask(Tool::Shell, &[("command", text("rm"))], &ALL);
        assert_eq!(odd, Err(Unplanned::Unknown("command".to_owned())));
        assert!(matches!(ask(Tool::Shell, &[("cols", text("80"))], &ALL), Err(Unplanned::Malformed { .. })));
        assert!(matches!(ask(Tool::Shell, &[("cols", Value::Int(0))], &ALL), Err(Unplanned::Malformed { .. })));
        let sideways = [("direction", text("sideways")), ("path", text("/home/ana/a"))];
        assert!(matches!(ask(Tool::FileTransfer, &sideways, &ALL), Err(Unplanned::Malformed { arg: "direction", .. })));
        assert_eq!(ask(Tool::CustomerPaths, &[], &ALL), Err(Unplanned::NotOpened));
    }

    #[test]
    fn p3_without_any_right_nothing_can_be_opened() {
        let none = May(&[]);
        for tool in Tool::ALL {
            for by in [Side::Customer, Side::Rep] {
                for kind in [SessionKind::Support, SessionKind::Cobrowse, SessionKind::Jump] {
                    let asked = Asked { tool: *tool, args: &Args::new(), by, kind };
                    assert!(plan(asked, &none).is_err(), "{} by {by:?}", tool.name());
                }
            }
        }
    }
}
