//! The commands a rep types. One is parsed whole before anything is done.

use super::{
    history::Asked,
    jobs,
    words::{Words, keys},
};

/// One line of the console.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    Queues,
    Reps,
    /// The session, or the one that is offered.
    Accept(Option<u64>),
    Reject(Option<u64>),
    Take(u64),
    Next,
    /// A key that leads to this queue, or to the rep's own.
    Key(Option<String>),
    /// A support button into this queue, or the rep's own, through this portal.
    Button(Option<String>, Option<String>),
    /// The same, handed to the customer's end.
    Deploy(Option<String>, Option<String>),
    Buttons,
    Revoke(u32),
    /// Whom the session may be handed to, `transfer` or `share`, by a part of a name.
    Whom(String, String),
    /// The jump items there are, or those with this in their code, group or owner.
    Items(Option<String>),
    Jump(String),
    /// The key of a jump item, for the endpoint that stands by for it.
    ItemKey(String),
    /// The customer's end stands by for this item from then on, or no more.
    Pin(String),
    Unpin(String),
    /// The customer is asked whether reps may come as this item when nobody is there.
    Unattended(String),
    /// The key of a jump item is good no more.
    RevokeItemKey(String),
    /// Another portal for a button; none: that of the customer's own connection.
    Portal(u32, Option<String>),
    /// The scripts that jobs are made of.
    Templates,
    Job(jobs::Asked),
    /// Jobs, the newest first, or those before this one.
    Jobs(Option<u64>),
    /// How a job stands on each item, or went, once it is over.
    JobResult {
        job: u64,
        wait: bool,
    },
    CancelJob(u64),
    /// The session that tools work in.
    Use(u64),
    /// A terminal, or one line given to a shell of its own.
    Shell(Option<String>),
    Put {
        local: String,
        remote: String,
        overwrite: bool,
    },
    Get {
        remote: String,
        local: String,
        overwrite: bool,
    },
    List(String),
    Move {
        from: String,
        to: String,
    },
    Remove(String),
    MakeDirectory(String),
    Info,
    Processes,
    EndProcess(u32),
    Script(String),
    Page(String),
    Reboot,
    /// How the customer is held back.
    Restrict(String),
    /// What happens at the customer's end when the session is over.
    AtEnd(String),
    Capture(String),
    /// An arrow at a place, and what it says.
    Mark(u16, u16, String),
    /// Text for the customer's clipboard; left out: theirs is fetched.
    Clip(Option<String>),
    Chat(String),
    /// Whether the customer may write in the chat.
    SetChat(bool),
    Screen {
        control: bool,
        save: Option<String>,
        /// Stop after so many; left out: until `screen stop`.
        pictures: Option<u64>,
    },
    ScreenStop,
    /// This rep's own screen, to another.
    Show(String),
    ShowStop,
    /// Whoever looks at it may control it, or not any more.
    Control(bool),
    /// The latest picture, into a file.
    Shot(String),
    /// Keys to press together, by their keysyms.
    Press(Vec<u32>),
    Point(u16, u16),
    Click(u16, u16),
    Type(String),
    /// A custom field of the session, and its value; an empty one takes it away.
    Field(String, String),
    /// What another system calls the session.
    ExternalKey(String),
    Fields,
    Hold,
    Resume,
    Transfer(String),
    Share(String),
    /// A key for somebody from outside, by their mail address, perhaps with a policy.
    Invite(String, Option<String>),
    /// Help with the session, by an issue.
    Assist(String),
    Join(u64),
    Leave,
    TakeOver(u64),
    /// Extended availability.
    Extended(bool),
    Switch(String),
    Status(String),
    /// To every customer who waits, for so many minutes; left out: until it is withdrawn.
    Notice {
        text: String,
        minutes: Option<u64>,
    },
    Notices,
    Withdraw(u32),
    /// A new password for this user, who keeps it or has to choose another at the next sign-in.
    Password {
        username: String,
        keep: bool,
    },
    /// This user may try to sign in again at once.
    Unlock(String),
    /// Sessions that have ended.
    History(Asked),
    /// As it stands with its past, or one offer of it.
    Explain(Option<u32>),
    End,
    /// For scripts: until a session is offered, or until the session ended.
    Wait(WaitFor),
    Help,
    Quit,
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    Offer,
    End,
    Seconds(u64),
}

pub const HELP: &str = "\
queues                          what waits, is offered or runs
reps                            who is here
accept [N] | reject [N]         answer an offer
take N | next                   take a waiting session | the one that is due
key [QUEUE]                     a key for one customer, into QUEUE (`team:net`) or your own queue
button [QUEUE] [--portal P]     a link into a queue that does not wear out
deploy [QUEUE] [--portal P]     the same, for the customer's end to keep
buttons | revoke N              what buttons there are | end button N
portal N [P]                    its sessions come through portal P from here on
items [TEXT]                    what jump items there are, or those that TEXT is in
jump CODE                       a session on the endpoint that stands by for the item CODE
itemkey CODE | revokekey CODE   a new key for the endpoint of item CODE, in place of an earlier one | none
pin CODE | unpin CODE           the customer's end may be reached as the item CODE later on | no more
unattended CODE                 ask the customer whether you may come as the item CODE when nobody is there
templates                       the scripts that jobs are made of
job TEMPLATE ITEM… [--for HOURS]     run one on items, at once or when their endpoints are there within HOURS (24)
job --script FILE [--timeout SECONDS] ITEM…   the same with a script of your own, as an administrator of automation
jobs [N]                        what jobs there are, or those before job N
result N [--wait]               how job N stands on each item, or went, once it is over
cancel N                        end job N wherever it waits or runs
use N                           work in session N
shell                           a terminal on the customer's machine; Ctrl-] comes back here
shell: LINE                     one line in a shell of its own
put LOCAL REMOTE [--overwrite]  send a file
get REMOTE LOCAL [--overwrite]  fetch a file
ls REMOTE                       what is in a directory
mv REMOTE REMOTE                rename a file or directory
rm REMOTE                       delete a file or an empty directory
mkdir REMOTE                    make a directory
info                            what machine it is
ps | kill N                     what runs there | end process N
script CODE                     run a script of your team
push URL                        show a page to the customer
reboot                          restart the machine; the session goes on
restrict off|input|display_and_input   what the person at the machine may do meanwhile
atend nothing|lock|log_out      what happens on the machine when the session is over
capture FILE                    one picture of the screen, as PNG
mark X Y [TEXT]                 an arrow over the customer's screen
clip [TEXT]                     fetch the customer's clipboard, or put a text into it
chat TEXT                       say something
mute | unmute                   turn the customer's chat off | on
screen [--control] [--save FILE] [--pictures N] | screen stop
shot FILE                       the picture that is shown, as PNG
point X Y | click X Y | type TEXT | press KEY   input for a screen under control; keys as in enter or ctrl+c
field NAME [VALUE]              write a field on the session; without a value it is gone
external [KEY]                  what another system calls the session
fields                          what is written on it
hold | resume | end             the session
show REP | show stop            your own screen to another rep, who answers with join or reject; end that
control on|off                  whoever looks at it may control it, or not any more
transfer TO | share TO          to `team:net` or `rep:ana`
whom transfer|share [NAME]      to whom that may be, by a part of a name
invite ADDRESS [POLICY]         a key for somebody from outside, for this session alone
assist ISSUE                    ask a colleague to join and help
join N | leave | takeover N     go into a session, out of it, or own it
extended on|off                 may be invited by mail while logged out
switch ws|quic                  change the transport; nothing is lost
notice [--for MINUTES] TEXT     tell every customer who waits; without a time until it is withdrawn
notices | withdraw N            what they are told | end notice N
password NAME [--keep]          a new password for a user, who has to choose another with it unless --keep
unlock NAME                     a user who failed to sign in may try again at once
status CODE                     available, away, busy or the site's own
history [--since 24h|7d|DATE] [--until …] [--team T] [--rep R] [--before N] [--long]   sessions that have ended
explain [OFFER]                 why the session waits or was offered as it was, or one past offer of it
wait offer|end|SECONDS          for scripts
help | quit
";

impl Command {
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let (name, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(name, rest)| (name, rest.trim()));
        if name == "shell:" {
            return if rest.is_empty() {
                Err("shell: needs a line".into())
            } else {
                Ok(Self::Shell(Some(rest.into())))
            };
        }
        if matches!(name, "chat" | "type") {
            let text = rest.to_owned();
            return match (name, text.is_empty()) {
                (_, true) => Err(format!("{name} needs a text")),
                ("chat", _) => Ok(Self::Chat(text)),
                _ => Ok(Self::Type(text)),
            };
        }
        if name == "notice" {
            return notice(rest);
        }
        if name == "clip" {
            return Ok(Self::Clip((!rest.is_empty()).then(|| rest.to_owned())));
        }
        let mut words = Words::of(name, rest)?;
        let command = match name {
            "" => Self::Nothing,
            "queues" => Self::Queues,
            "reps" => Self::Reps,
            "accept" => Self::Accept(words.maybe_number()?),
            "reject" => Self::Reject(words.maybe_number()?),
            "take" => Self::Take(words.number("a session's number")?),
            "next" => Self::Next,
            "key" => Self::Key(words.maybe()),
            "button" => {
                let portal = words.option("--portal")?;
                Self::Button(words.maybe(), portal)
            }
            "deploy" => {
                let portal = words.option("--portal")?;
                Self::Deploy(words.maybe(), portal)
            }
            "buttons" => Self::Buttons,
            "revoke" => Self::Revoke(words.number("a button's number")?),
            "portal" => Self::Portal(words.number("a button's number")?, words.maybe()),
            "items" => Self::Items(words.maybe()),
            "jump" => Self::Jump(words.need("the code of a jump item")?),
            "itemkey" => Self::ItemKey(words.need("the code of a jump item")?),
            "pin" => Self::Pin(words.need("the code of a jump item")?),
            "unpin" => Self::Unpin(words.need("the code of a jump item")?),
            "unattended" => Self::Unattended(words.need("the code of a jump item")?),
            "revokekey" => Self::RevokeItemKey(words.need("the code of a jump item")?),
            "templates" => Self::Templates,
            "job" => Self::Job(jobs::Asked::of(&mut words)?),
            "jobs" => Self::Jobs(words.maybe_number()?),
            "result" => {
                let wait = words.flag("--wait");
                Self::JobResult { job: words.number("a job's number")?, wait }
            }
            "cancel" => Self::CancelJob(words.number("a job's number")?),
            "use" => Self::Use(words.number("a session's number")?),
            "shell" => Self::Shell(None),
            "put" => {
                let overwrite = words.flag("--overwrite");
                Self::Put { local: words.need("a local file")?, remote: words.need("a remote path")?, overwrite }
            }
            "get" => {
                let overwrite = words.flag("--overwrite");
                Self::Get { remote: words.need("a remote file")?, local: words.need("a local path")?, overwrite }
            }
            "ls" => Self::List(words.need("a remote directory")?),
            "mv" => Self::Move { from: words.need("a remote path")?, to: words.need("a new path")? },
            "rm" => Self::Remove(words.need("a remote path")?),
            "mkdir" => Self::MakeDirectory(words.need("a remote path")?),
            "info" => Self::Info,
            "ps" => Self::Processes,
            "kill" => Self::EndProcess(words.number("a process number")?),
            "script" => Self::Script(words.need("the code of a script")?),
            "push" => Self::Page(words.need("an address")?),
            "mute" => Self::SetChat(false),
            "unmute" => Self::SetChat(true),
            "reboot" => Self::Reboot,
            "restrict" => Self::Restrict(words.need("off, input or display_and_input")?),
            "atend" => Self::AtEnd(words.need("nothing, lock or log_out")?),
            "capture" => Self::Capture(words.need("a file")?),
            "mark" => Self::Mark(words.number("x")?, words.number("y")?, words.rest()),
            "screen" if words.flag("stop") => Self::ScreenStop,
            "screen" => Self::Screen {
                control: words.flag("--control"),
                save: words.option("--save")?,
                pictures: words.option("--pictures")?.map(|text| words.parse(&text)).transpose()?,
            },
            "shot" => Self::Shot(words.need("a file")?),
            "press" => Self::Press(keys(&words.need("a key, such as enter or ctrl+c")?)?),
            "point" => Self::Point(words.number("x")?, words.number("y")?),
            "click" => Self::Click(words.number("x")?, words.number("y")?),
            "field" => Self::Field(words.need("a field's name")?, words.rest()),
            "external" => Self::ExternalKey(words.rest()),
            "fields" => Self::Fields,
            "hold" => Self::Hold,
            "resume" => Self::Resume,
            "transfer" => Self::Transfer(words.need("a queue or a rep")?),
            "whom" => Self::Whom(words.need("transfer or share")?, words.rest()),
            "invite" => Self::Invite(words.need("a mail address")?, words.maybe()),
            "assist" => Self::Assist(words.need("an issue")?),
            "join" => Self::Join(words.number("a session's number")?),
            "leave" => Self::Leave,
            "takeover" => Self::TakeOver(words.number("a session's number")?),
            "extended" => Self::Extended(words.switch()?),
            "show" if words.flag("stop") => Self::ShowStop,
            "show" => Self::Show(words.need("a rep")?),
            "control" => Self::Control(words.switch()?),
            "share" => Self::Share(words.need("a queue or a rep")?),
            "switch" => Self::Switch(words.need("ws or quic")?),
            "notices" => Self::Notices,
            "withdraw" => Self::Withdraw(words.number("a notice's number")?),
            "password" => {
                let keep = words.flag("--keep");
                Self::Password { username: words.need("a username")?, keep }
            }
            "unlock" => Self::Unlock(words.need("a username")?),
            "status" => Self::Status(words.need("a status")?),
            "history" => Self::History(Asked::of(&mut words)?),
            "explain" => Self::Explain(words.maybe().map(|text| words.parse(&text)).transpose()?),
            "end" => Self::End,
            "wait" => match words.need("offer, end or seconds")?.as_str() {
                "offer" => Self::Wait(WaitFor::Offer),
                "end" => Self::Wait(WaitFor::End),
                seconds => Self::Wait(WaitFor::Seconds(words.parse(seconds)?)),
            },
            "help" | "?" => Self::Help,
            "quit" | "exit" => Self::Quit,
            other => return Err(format!("there is no command `{other}`; try `help`")),
        };
        words.done()?;
        Ok(command)
    }

    /// The commands of a script: separated by `;` or line ends, except within quotes.
    pub fn script(text: &str) -> Result<Vec<Self>, String> {
        let (mut quote, mut line, mut commands) = (None, String::new(), Vec::new());
        for c in text.chars() {
            match c {
                ';' | '\n' if quote.is_none() => commands.push(Self::parse(&std::mem::take(&mut line))?),
                _ => {
                    if matches!(c, '"' | '\'') {
                        quote = match quote {
                            None => Some(c),
                            Some(open) if open == c => None,
                            open => open,
                        };
                    }
                    line.push(c);
                }
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".into());
        }
        commands.push(Self::parse(&line)?);
        commands.retain(|command| *command != Self::Nothing);
        Ok(commands)
    }
}

/// The text as it was typed, after how long it lives.
fn notice(rest: &str) -> Result<Command, String> {
    let (minutes, text) = match rest.strip_prefix("--for") {
        None => (None, rest),
        Some(rest) => {
            let (minutes, text) = rest.trim_start().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
            let minutes = minutes.parse().map_err(|_| format!("notice: `{minutes}` is no number of minutes"))?;
            (Some(minutes), text.trim())
        }
    };
    match text.is_empty() {
        true => Err("notice needs a text".into()),
        false => Ok(Command::Notice { text: text.to_owned(), minutes }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Command {
        Command::parse(line).unwrap()
    }

    fn wrong(line: &str) -> String {
        Command::parse(line).unwrap_err()
    }

    #[test]
    fn commands_read_as_they_are_typed() {
        assert_eq!(parse("accept"), Command::Accept(None));
        assert_eq!(parse(" accept s9 "), Command::Accept(Some(9)));
        assert_eq!(parse("take 9"), Command::Take(9));
        assert_eq!(parse("key team:net"), Command::Key(Some("team:net".into())));
        assert_eq!(parse("shell"), Command::Shell(None));
        assert_eq!(parse("shell: uname -a | cat"), Command::Shell(Some("uname -a | cat".into())));
        assert_eq!(parse("chat it's here"), Command::Chat("it's here".into()));
        assert_eq!(
            parse("put 'my file' \"/srv/a b\" --overwrite"),
            Command::Put { local: "my file".into(), remote: "/srv/a b".into(), overwrite: true }
        );
        assert_eq!(
            parse("screen --save x.ppm --control --pictures 5"),
            Command::Screen { control: true, save: Some("x.ppm".into()), pictures: Some(5) }
        );
        assert_eq!(parse("screen stop"), Command::ScreenStop);
        assert_eq!(parse("show rep:ben"), Command::Show("rep:ben".into()));
        assert_eq!(parse("show stop"), Command::ShowStop);
        assert_eq!(parse("control off"), Command::Control(false));
        assert_eq!(parse("click 3 4"), Command::Click(3, 4));
        assert_eq!(parse("wait offer"), Command::Wait(WaitFor::Offer));
        assert_eq!(parse("wait 3"), Command::Wait(WaitFor::Seconds(3)));
        let notice = |text: &str, minutes| Command::Notice { text: text.into(), minutes };
        assert_eq!(parse("notice  we're back at ten"), notice("we're back at ten", None));
        assert_eq!(parse("notice --for 90 the line is down"), notice("the line is down", Some(90)));
        assert_eq!(parse("withdraw 3"), Command::Withdraw(3));
        assert_eq!(parse("field order 47 11"), Command::Field("order".into(), "47 11".into()));
        assert_eq!(parse("field order"), Command::Field("order".into(), String::new()));
        let (queue, portal) = (Some("team:net".to_owned()), Some("main".to_owned()));
        assert_eq!(parse("button team:net --portal main"), Command::Button(queue.clone(), portal));
        assert_eq!(parse("deploy team:net"), Command::Deploy(queue, None));
        assert_eq!(parse("portal 3"), Command::Portal(3, None));
        assert_eq!((parse("items"), parse("items db")), (Command::Items(None), Command::Items(Some("db".into()))));
        assert_eq!(parse("whom share far"), Command::Whom("share".into(), "far".into()));
        assert_eq!(parse("jump srv-1"), Command::Jump("srv-1".into()));
        assert_eq!((parse("jobs"), parse("jobs 9")), (Command::Jobs(None), Command::Jobs(Some(9))));
        assert_eq!(parse("result 3 --wait"), Command::JobResult { job: 3, wait: true });
        assert_eq!(parse("cancel 3"), Command::CancelJob(3));
        let password = |keep| Command::Password { username: "ben".into(), keep };
        assert_eq!((parse("password ben"), parse("password --keep ben")), (password(false), password(true)));
        assert_eq!(parse("unlock ben"), Command::Unlock("ben".into()));
        assert_eq!(parse("external CASE-7"), Command::ExternalKey("CASE-7".into()));
        assert_eq!(parse(""), Command::Nothing);
    }

    #[test]
    fn a_wrong_command_says_what_is_wrong() {
        assert_eq!(wrong("dance"), "there is no command `dance`; try `help`");
        assert_eq!(wrong("take"), "take needs a session's number");
        assert_eq!(wrong("take ana"), "take: `ana` is not a number that fits");
        assert_eq!(wrong("put a"), "put needs a remote path");
        assert_eq!(wrong("next 9"), "next: what is `9`?");
        assert_eq!(wrong("get 'a b"), "a quote is not closed");
        assert_eq!(wrong("screen --save"), "--save needs a value");
        assert_eq!(wrong("control perhaps"), "control: `perhaps` is neither on nor off");
        assert_eq!(wrong("click 70000 1"), "click: `70000` is not a number that fits");
        assert_eq!(wrong("chat"), "chat needs a text");
        assert_eq!(wrong("notice --for 5"), "notice needs a text");
        assert_eq!(wrong("notice --for ever we are closed"), "notice: `ever` is no number of minutes");
    }

    #[test]
    fn a_script_is_commands_between_semicolons() {
        let script = Command::script("accept; shell: echo 'a;b'\nend;").unwrap();
        assert_eq!(script, [Command::Accept(None), Command::Shell(Some("echo 'a;b'".into())), Command::End]);
        assert!(Command::script("accept; dance").is_err());
        assert!(Command::script("chat 'open").is_err());
    }

    #[test]
    fn every_command_of_the_help_is_known() {
        for line in HELP.lines() {
            let name = line.split_whitespace().next().unwrap();
            let said = Command::parse(name).err().unwrap_or_default();
            assert!(!said.contains("there is no command"), "{name}");
        }
    }
}
