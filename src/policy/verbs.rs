//! The arguments of each tool's request and the channels they ask for. Every argument is known and in its range, or the
//! request is refused: what reaches the other end is only what was checked here (W1.3, I-P13).

use super::{
    Tool, ToolOption, ToolValue, Word, domains, paths,
    plan::{Args, Asked, Planned, Readers, Rights, Side, Unplanned},
    registry,
};
use crate::{
    limits,
    site::{SessionKind, value::right},
    wire::{
        Kind,
        control::{Class, Value},
    },
};

/// What a request comes to, not yet judged.
#[derive(Default)]
pub(super) struct Verb {
    pub channels: Vec<Planned>,
    /// Rights beyond those of the channels' kinds.
    pub needs: Vec<(Tool, u8)>,
    /// Arguments that are paths, the permission that lists them, and whose machine they are on.
    pub paths: Vec<(&'static str, Tool, Side)>,
    /// What the other end is told beside the arguments.
    pub told: Option<(&'static str, Value)>,
}

/// Look and change, as bits of the file manager's value; both halves of the customer's restrictions.
const BROWSE: u8 = 1;
const MANAGE: u8 = 2;
const INPUT: u8 = 1;
const DISPLAY: u8 = 2;

/// Columns and rows of a terminal: a wall of screens at the smallest font.
const CELLS: std::ops::RangeInclusive<i64> = 1..=4_096;

pub(super) fn read(asked: Asked<'_>, rights: &impl Rights) -> Result<Verb, Unplanned> {
    let args = Reader { args: asked.args };
    if !is_opened(asked.tool) {
        return Err(Unplanned::NotOpened);
    }
    let rep = || if asked.by == Side::Rep { Ok(()) } else { Err(Unplanned::WrongSide) };
    match asked.tool {
        Tool::Chat => {
            args.only(&[])?;
            Ok(verb([
                channel(&[Kind::Chat], Class::Input, Side::Customer, Readers::Reps),
                channel(&[Kind::Chat], Class::Input, Side::Rep, Readers::Everybody),
            ]))
        }
        Tool::ChatFiles => {
            args.only(&["name", "size"])?;
            args.text("name")?;
            args.size()?;
            Ok(verb([file(asked.by)]))
        }
        Tool::DocumentShare => document_share(asked, args),
        Tool::Webcam | Tool::Voice => own_picture_or_voice(asked, args),
        tool => rep().and_then(|()| match tool {
            Tool::Shell => shell(args),
            Tool::Screen => screen(asked, args, rights),
            Tool::FileTransfer => file_transfer(args),
            Tool::FileManager => file_manager(args),
            Tool::Clipboard => clipboard(args),
            Tool::PushUrl => push_url(asked, args, rights),
            Tool::Termination => termination(asked, args, rights),
            Tool::CannedScripts => canned_script(args, rights),
            Tool::SystemInfoActions => system_info_action(args),
            Tool::CustomerRestrictions => customer_restrictions(args),
            Tool::SystemInfo => system_info(args, rights),
            Tool::Registry => registry(args),
            Tool::PinJumpClient => pin_jump_client(args),
            Tool::Unattended => unattended(args),
            Tool::ShowMyScreen => {
                args.only(&[])?;
                Ok(verb([picture(&[Kind::Picture], Side::Rep, Readers::Customer)]))
            }
            Tool::Annotations => {
                args.only(&[])?;
                Ok(verb([channel(&[Kind::Annotation], Class::Input, Side::Rep, Readers::Customer)]))
            }
            Tool::Lens => {
                args.only(&[])?;
                Ok(verb([picture(&[Kind::Camera], Side::Customer, Readers::Reps)]))
            }
            _ => act(tool, args),
        }),
    }
}

pub(super) const fn is_opened(tool: Tool) -> bool {
    !matches!(
        tool,
        Tool::CustomerPaths
            | Tool::RepPaths
            | Tool::AppSharingPrompt
            | Tool::Hold
            | Tool::Transfer
            | Tool::Collaborate
            | Tool::InviteExternal
            | Tool::PrivateSessions
            | Tool::CobrowseClick
            | Tool::CobrowseType
            | Tool::CobrowseDomains
            | Tool::DocumentDownload
            | Tool::CustomFields
            | Tool::ExternalKey
    )
}

/// `beside` names the output channel of a running shell or screen: one more rep types into it (W1.1).
fn shell(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["cols", "rows", "beside"])?;
    for name in ["cols", "rows"] {
        if let Some(cells) = args.int(name)?
            && !CELLS.contains(&cells)
        {
            return Err(malformed(name, format!("a terminal has {} to {} of them", CELLS.start(), CELLS.end())));
        }
    }
    let input = channel(&[Kind::ShellInput, Kind::ShellResize], Class::Input, Side::Rep, Readers::Customer);
    if args.int("beside")?.is_some() {
        return Ok(verb([input]));
    }
    Ok(verb([channel(&[Kind::ShellOutput], Class::Shell, Side::Customer, Readers::Reps), input]))
}

fn screen(asked: Asked<'_>, args: Reader<'_>, rights: &impl Rights) -> Result<Verb, Unplanned> {
    args.only(&["control", "beside", "prompt_applications"])?;
    let beside = args.int("beside")?.is_some();
    app_sharing_prompt(args, rights)?;
    let control = args.bool("control")?.unwrap_or(beside);
    let mut channels = Vec::new();
    if !beside {
        channels.push(picture(&[Kind::Picture], Side::Customer, Readers::Reps));
    }
    if control {
        let cobrowse = asked.kind == SessionKind::Cobrowse;
        let may = |tool| !cobrowse || rights.rights(tool) & right::YES != 0;
        let (click, keys) = (may(Tool::CobrowseClick), may(Tool::CobrowseType));
        let kinds: &[Kind] = match (click, keys) {
            (true, true) => &[Kind::Pointer, Kind::Click, Kind::Keys],
            (false, true) => &[Kind::Keys],
            // With neither the judgement of these kinds refuses the request.
            (_, false) => &[Kind::Pointer, Kind::Click],
        };
        channels.push(channel(kinds, Class::Input, Side::Rep, Readers::Customer));
    }
    if channels.is_empty() {
        return Err(malformed("control", "beside a running screen there is only control to ask for"));
    }
    Ok(Verb { channels, ..Verb::default() })
}

/// P3.5: does the customer choose the applications that are shown? The policy may say so, or leave it to the rep.
fn app_sharing_prompt(args: Reader<'_>, rights: &impl Rights) -> Result<(), Unplanned> {
    let prompts = args.bool("prompt_applications")?.unwrap_or(false);
    match (rights.value(Tool::AppSharingPrompt).word(), prompts) {
        (Some(Word::Always), false) | (Some(Word::Never), true) => Err(Unplanned::NotPermitted(Tool::AppSharingPrompt)),
        _ => Ok(()),
    }
}

fn file_transfer(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["direction", "path", "rep_path", "size", "name", "overwrite", "resume"])?;
    let from = match args.text("direction")? {
        Some("upload") => Side::Rep,
        Some("download") => Side::Customer,
        _ => return Err(malformed("direction", "`upload` (to the customer) or `download` (from the customer)")),
    };
    args.text("path")?.ok_or_else(|| malformed("path", "the file at the customer's end"))?;
    args.text("rep_path")?;
    args.text("name")?;
    args.size()?;
    args.bool("overwrite")?;
    args.bool("resume")?;
    let paths = vec![("path", Tool::CustomerPaths, Side::Customer), ("rep_path", Tool::RepPaths, Side::Rep)];
    Ok(Verb { channels: vec![file(from)], paths, ..Verb::default() })
}

fn file_manager(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["verb", "path", "to"])?;
    let bits = match args.text("verb")? {
        Some("list" | "stat") => BROWSE,
        Some("rename" | "delete" | "make") => MANAGE,
        _ => return Err(malformed("verb", "`list`, `stat`, `rename`, `delete` or `make`")),
    };
    args.text("path")?.ok_or_else(|| malformed("path", "what is meant at the customer's end"))?;
    let mut paths = vec![("path", Tool::CustomerPaths, Side::Customer)];
    match (args.text("to")?, args.text("verb")?) {
        (Some(_), Some("rename")) => paths.push(("to", Tool::CustomerPaths, Side::Customer)),
        (None, Some("rename")) | (Some(_), _) => {
            return Err(malformed("to", "the path after `rename`, and only there"));
        }
        (None, _) => {}
    }
    Ok(Verb { channels: vec![document()], needs: vec![(Tool::FileManager, bits)], paths, ..Verb::default() })
}

fn clipboard(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["direction"])?;
    let (from, readers) = match args.text("direction")? {
        Some("rep_to_customer") => (Side::Rep, Readers::Customer),
        Some("customer_to_rep") => (Side::Customer, Readers::Rep),
        _ => return Err(malformed("direction", "`rep_to_customer` or `customer_to_rep`")),
    };
    Ok(verb([channel(&[Kind::Clipboard], Class::Input, from, readers)]))
}

/// P3.27: each side shows its own; a rep may also ask for the customer's.
fn own_picture_or_voice(asked: Asked<'_>, args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["from"])?;
    let from = match args.text("from")? {
        None => asked.by,
        Some("rep") => Side::Rep,
        Some("customer") => Side::Customer,
        Some(_) => return Err(malformed("from", "`rep` or `customer`")),
    };
    if asked.by == Side::Customer && from == Side::Rep {
        return Err(Unplanned::WrongSide);
    }
    let readers = if from == Side::Rep { Readers::Everybody } else { Readers::Reps };
    Ok(verb([match asked.tool {
        Tool::Webcam => picture(&[Kind::Camera], from, readers),
        // Sound is never dropped by the broker: it has no whole pictures (W1.7).
        _ => channel(&[Kind::Voice], Class::Input, from, readers),
    }]))
}

/// P3.13: the script's text comes from the site. A request that carries it already is planned anew, and is not good any
/// more where the script has changed meanwhile.
fn canned_script(args: Reader<'_>, rights: &impl Rights) -> Result<Verb, Unplanned> {
    args.only(&["script", "text"])?;
    let code = args.text("script")?.ok_or_else(|| malformed("script", "the code of a script of your teams"))?;
    let missing = || Unplanned::NoScript(code.chars().take(limits::CODE_BYTES_MAX).collect());
    let text = Value::Text(rights.script(code).ok_or_else(missing)?.to_owned());
    if args.args.get("text").is_some_and(|carried| *carried != text) {
        return Err(Unplanned::Unknown("text".to_owned()));
    }
    Ok(Verb {
        channels: vec![document()],
        needs: vec![(Tool::CannedScripts, right::YES)],
        told: Some(("text", text)),
        ..Verb::default()
    })
}

/// P3.28: a document to look at; to let the other end keep it is a right of its own.
fn document_share(asked: Asked<'_>, args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["name", "size", "download"])?;
    args.text("name")?;
    args.size()?;
    let needs = match args.bool("download")? {
        Some(true) => vec![(Tool::DocumentDownload, right::YES)],
        _ => Vec::new(),
    };
    Ok(Verb { channels: vec![file(asked.by)], needs, ..Verb::default() })
}

/// H-79: only pages of the web; in co-browse only of the listed domains (P3.32). The page of the start is the site's own to
/// choose (LG-037).
fn push_url(asked: Asked<'_>, args: Reader<'_>, rights: &impl Rights) -> Result<Verb, Unplanned> {
    args.only(&["url"])?;
    let url = args.text("url")?.ok_or_else(|| malformed("url", "the page to show"))?;
    let host = domains::public_host(url).map_err(|why| malformed("url", why))?;
    if asked.kind == SessionKind::Cobrowse {
        let by = rights.option(ToolOption::CobrowseDomainsMatch).word();
        if !domains::allows(rights.value(Tool::CobrowseDomains), by, url, host) {
            return Err(Unplanned::NotPermitted(Tool::CobrowseDomains));
        }
    }
    let needs = if rights.start_page() == Some(url) { vec![] } else { vec![(Tool::PushUrl, right::YES)] };
    Ok(Verb { needs, ..Verb::default() })
}

/// P3.30: another behaviour at the end than the policy's; a shared page has no end of its own.
fn termination(asked: Asked<'_>, args: Reader<'_>, rights: &impl Rights) -> Result<Verb, Unplanned> {
    args.only(&["mode"])?;
    if !matches!(args.text("mode")?, Some("nothing" | "lock" | "log_out")) {
        return Err(malformed("mode", "`nothing`, `lock` or `log_out`"));
    }
    let cobrowse = asked.kind == SessionKind::Cobrowse;
    if cobrowse || *rights.option(ToolOption::TerminationOverride) != ToolValue::YES {
        return Err(Unplanned::NotPermitted(Tool::Termination));
    }
    Ok(Verb::default())
}

/// P3.11: of a mobile device no more than its option allows, which is also what it is asked for where the request does not say.
fn system_info(args: Reader<'_>, rights: &impl Rights) -> Result<Verb, Unplanned> {
    args.only(&["detail"])?;
    let asked = args.text("detail")?;
    if !matches!(asked, None | Some("standard" | "extended")) {
        return Err(malformed("detail", "`standard` or `extended`"));
    }
    let needs = vec![(Tool::SystemInfo, right::YES)];
    let verb = Verb { channels: vec![document()], needs, ..Verb::default() };
    if !rights.mobile() {
        return Ok(verb);
    }
    let most = match rights.option(ToolOption::SystemInfoMobile).word() {
        Some(Word::Extended) => "extended",
        _ => "standard",
    };
    if asked == Some("extended") && most != "extended" {
        return Err(Unplanned::Limited(Tool::SystemInfo, ToolOption::SystemInfoMobile));
    }
    let told = Some(("detail", Value::Text(asked.unwrap_or(most).to_owned())));
    Ok(Verb { told, ..verb })
}

/// P3.12: the broker reads the verb (W1.3).
fn registry(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["verb", "key", "name", "value", "type"])?;
    let [verb, key, name, value, kind] = ["verb", "key", "name", "value", "type"].map(|name| args.text(name));
    let asked = registry::Asked { verb: verb?, key: key?, name: name?, value: value?, kind: kind? };
    registry::check(&asked).map_err(|(arg, how)| malformed(arg, how))?;
    let needs = vec![(Tool::Registry, right::YES)];
    Ok(Verb { channels: vec![document()], needs, ..Verb::default() })
}

/// P3.11: what runs there or is installed, and what is done with one of it.
fn system_info_action(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["action", "target"])?;
    let target = args.text("target")?;
    match (args.text("action")?, target) {
        (Some("processes" | "services" | "software"), None) => {}
        (Some("end_process"), Some(target)) if target.parse::<u32>().is_ok() => {}
        (Some("start_service" | "stop_service" | "restart_service" | "uninstall"), Some(target))
            if is_named(target) => {}
        (Some("processes" | "services" | "software"), Some(_)) => {
            return Err(malformed("target", "what is listed is all there is: it has no target"));
        }
        (Some("end_process"), _) => return Err(malformed("target", "the number of a process")),
        (Some("start_service" | "stop_service" | "restart_service" | "uninstall"), _) => {
            let bytes = limits::TARGET_BYTES_MAX;
            return Err(malformed("target", format!("a name as it was listed, of 1 to {bytes} bytes on one line")));
        }
        _ => {
            let known = "`processes`, `end_process`, `services`, `start_service`, `stop_service`, `restart_service`, \
                         `software` or `uninstall`";
            return Err(malformed("action", known));
        }
    }
    let needs = vec![(Tool::SystemInfoActions, right::YES)];
    Ok(Verb { channels: vec![document()], needs, ..Verb::default() })
}

/// The name of a service or of software. What it means the endpoint knows, which never gives it to a shell.
fn is_named(target: &str) -> bool {
    (1..=limits::TARGET_BYTES_MAX).contains(&target.len()) && paths::bounded(target).is_ok()
}

fn customer_restrictions(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["mode"])?;
    let bits = match args.text("mode")? {
        Some("off") => 0,
        Some("input") => INPUT,
        Some("display_and_input") => DISPLAY | INPUT,
        _ => return Err(malformed("mode", "`off`, `input` or `display_and_input`")),
    };
    Ok(Verb { needs: vec![(Tool::CustomerRestrictions, bits)], ..Verb::default() })
}

/// P3.17: without an item the endpoint's own affair; given up is the key of one that is named.
fn pin_jump_client(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["item", "mode"])?;
    match (args.text("mode")?, args.text("item")?) {
        (None | Some("pin"), _) | (Some("unpin"), Some(_)) => {}
        (Some("unpin"), None) => return Err(malformed("item", "the code of the item that it stands by for")),
        _ => return Err(malformed("mode", "`pin` or `unpin`")),
    }
    Ok(Verb { needs: vec![(Tool::PinJumpClient, right::YES)], ..Verb::default() })
}

/// P3.25: for later, as this item.
fn unattended(args: Reader<'_>) -> Result<Verb, Unplanned> {
    args.only(&["item"])?;
    args.text("item")?.ok_or_else(|| malformed("item", "the code of the item that the machine is to be"))?;
    Ok(Verb { needs: vec![(Tool::Unattended, right::YES)], ..Verb::default() })
}

/// Acts that are answered with a document or only with done; the texts are for the endpoint.
fn act(tool: Tool, args: Reader<'_>) -> Result<Verb, Unplanned> {
    let (texts, answered): (&[&'static str], bool) = match tool {
        Tool::ScriptDeploy | Tool::EmbeddedScripts => (&["script"], true),
        Tool::ScreenCapture => (&[], true),
        Tool::Credentials => (&["reason"], true),
        Tool::MobileSettings => (&["setting", "value"], true),
        Tool::Elevation | Tool::Record => (&[], false),
        Tool::ElevatedTools => (&["action"], false),
        Tool::Reboot => (&["mode"], false),
        Tool::Deploy => (&["queue", "portal"], false),
        Tool::ConnectOnLan => (&["mode"], false),
        _ => return Err(Unplanned::NotOpened),
    };
    args.only(texts)?;
    for name in texts {
        args.text(name)?;
    }
    let channels = if answered { vec![document()] } else { Vec::new() };
    Ok(Verb { channels, needs: vec![(tool, right::YES)], ..Verb::default() })
}

fn verb(channels: impl IntoIterator<Item = Planned>) -> Verb {
    Verb { channels: channels.into_iter().collect(), ..Verb::default() }
}

fn channel(kinds: &[Kind], class: Class, from: Side, readers: Readers) -> Planned {
    let kinds = kinds.iter().fold(0, |bits, kind| bits | kind.bit());
    Planned { kinds, class, lossy: false, from, readers }
}

fn picture(kinds: &[Kind], from: Side, readers: Readers) -> Planned {
    Planned { lossy: true, ..channel(kinds, Class::Picture, from, readers) }
}

fn file(from: Side) -> Planned {
    let reader = if from == Side::Rep { Readers::Customer } else { Readers::Rep };
    channel(&[Kind::File], Class::File, from, reader)
}

fn document() -> Planned {
    channel(&[Kind::Document], Class::File, Side::Customer, Readers::Rep)
}

fn malformed(arg: &'static str, message: impl Into<String>) -> Unplanned {
    Unplanned::Malformed { arg, message: message.into() }
}

/// Arguments by name and type.
#[derive(Clone, Copy)]
struct Reader<'a> {
    args: &'a Args,
}

impl<'a> Reader<'a> {
    fn only(self, known: &[&str]) -> Result<(), Unplanned> {
        match self.args.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Unplanned::Unknown(name.chars().take(limits::NAME_BYTES_MAX).collect())),
            None => Ok(()),
        }
    }

    fn text(self, name: &'static str) -> Result<Option<&'a str>, Unplanned> {
        match self.args.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) if text.len() <= limits::TEXT_BYTES_MAX => Ok(Some(text)),
            Some(_) => Err(malformed(name, format!("a text of at most {} bytes", limits::TEXT_BYTES_MAX))),
        }
    }

    fn int(self, name: &'static str) -> Result<Option<i64>, Unplanned> {
        match self.args.get(name) {
            None => Ok(None),
            Some(Value::Int(int)) if *int >= 0 => Ok(Some(*int)),
            Some(_) => Err(malformed(name, "a whole number that is not negative")),
        }
    }

    fn size(self) -> Result<(), Unplanned> {
        match self.int("size")? {
            Some(size) if size.unsigned_abs() > limits::INTEGER_MAX => Err(malformed("size", "at most 2^53 - 1 bytes")),
            _ => Ok(()),
        }
    }

    fn bool(self, name: &'static str) -> Result<Option<bool>, Unplanned> {
        match self.args.get(name) {
            None => Ok(None),
            Some(Value::Bool(yes)) => Ok(Some(*yes)),
            Some(_) => Err(malformed(name, "true or false")),
        }
    }
}
