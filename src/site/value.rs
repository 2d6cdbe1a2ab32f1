//! The values a tool may have (P3): one word of a short list, or a list of texts. A word stands for a set of rights, so
//! that two values can be met (I-P11) and a direction asked for (I-P6).

use super::{
    raw::RawValue,
    tool::{Tool, ToolOption},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, sync::Arc};

macro_rules! words {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// Every word that is a value of some tool.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Word { $(#[serde(rename = $name)] $variant),* }

        impl Word {
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    None "none", No "no", Yes "yes", View "view", Control "control", RepToCustomer "rep_to_customer",
    CustomerToRep "customer_to_rep", Both "both", Input "input", DisplayAndInput "display_and_input", Always "always",
    RepDecides "rep_decides", Never "never", Upload "upload", Download "download", Browse "browse", Manage "manage",
    WithConsent "with_consent", Rep "rep", Customer "customer", Nothing "nothing", Lock "lock", LogOut "log_out",
    Standard "standard", Extended "extended", Suffix "suffix", Contains "contains", Classic "classic", NotAllowed "not_allowed",
    User "user", Administrator "administrator",
}

/// A word and the rights it stands for, as bits; the first word of a tool has none.
pub type Words = &'static [(Word, u8)];

/// The rights in a word of two directions or two parties.
pub mod right {
    /// View the screen; move the pointer and type.
    pub const VIEW: u8 = 1;
    pub const CONTROL: u8 = 2;
    /// Rep to customer: clipboard, upload, the rep's own camera, voice or document.
    pub const TO_CUSTOMER: u8 = 1;
    /// Customer to rep: clipboard, download, the customer's own camera, voice or document.
    pub const TO_REP: u8 = 2;
    /// What a plain `yes` gives.
    pub const YES: u8 = 1;
}

const YES_NO: Words = &[(Word::No, 0), (Word::Yes, 1)];
const PARTIES: Words = &[(Word::None, 0), (Word::Rep, 1), (Word::Customer, 2), (Word::Both, 3)];

/// What kind of value a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Words(Words),
    /// `any`, or directories (P3.8, P5).
    Paths,
    /// `any`, or texts.
    List,
}

impl Tool {
    pub const fn shape(self) -> Shape {
        Shape::Words(match self {
            Self::Screen => &[(Word::None, 0), (Word::View, 1), (Word::Control, 3)],
            Self::Clipboard => &[(Word::None, 0), (Word::RepToCustomer, 1), (Word::CustomerToRep, 2), (Word::Both, 3)],
            Self::CustomerRestrictions => &[(Word::None, 0), (Word::Input, 1), (Word::DisplayAndInput, 3)],
            Self::AppSharingPrompt => &[(Word::Always, 0), (Word::RepDecides, 1), (Word::Never, 3)],
            Self::FileTransfer => &[(Word::None, 0), (Word::Upload, 1), (Word::Download, 2), (Word::Both, 3)],
            Self::FileManager => &[(Word::None, 0), (Word::Browse, 1), (Word::Manage, 3)],
            Self::Record => &[(Word::No, 0), (Word::WithConsent, 1), (Word::Yes, 3)],
            Self::Webcam | Self::Voice | Self::DocumentShare => PARTIES,
            Self::Termination => &[(Word::Nothing, 0), (Word::Lock, 1), (Word::LogOut, 3)],
            Self::CustomerPaths | Self::RepPaths => return Shape::Paths,
            Self::CobrowseDomains => return Shape::List,
            _ => YES_NO,
        })
    }

    /// What the tool needs to be of any use (P3): without it the tool is clamped to its least value.
    pub const fn needs(self, cobrowse: bool) -> Option<(Self, u8)> {
        match self {
            Self::ShowMyScreen => Some((Self::Screen, right::VIEW)),
            Self::Clipboard if cobrowse => None,
            Self::Clipboard | Self::CustomerRestrictions => Some((Self::Screen, right::CONTROL)),
            Self::SystemInfoActions => Some((Self::SystemInfo, right::YES)),
            _ => None,
        }
    }

    /// May a technician group allow or deny it? Not what has no less and more (P2.3).
    pub const fn is_right(self) -> bool {
        !matches!(self, Self::AppSharingPrompt | Self::CobrowseDomains | Self::Termination)
    }
}

impl ToolOption {
    /// Only the customer's endpoint can honour it: it is told (P3.31).
    pub const fn is_endpoints(self) -> bool {
        matches!(
            self,
            Self::PrivacyAtStart
                | Self::AppSharingApplications
                | Self::ChatAtStart
                | Self::MaskSelectors
                | Self::BlockedButtons
                | Self::MobileDisplay
        )
    }

    pub const fn shape(self) -> Shape {
        match self {
            Self::SystemInfoMobile => Shape::Words(&[(Word::Standard, 0), (Word::Extended, 1)]),
            Self::CobrowseDomainsMatch => Shape::Words(&[(Word::Suffix, 0), (Word::Contains, 1)]),
            Self::MobileDisplay => Shape::Words(&[(Word::Standard, 0), (Word::Classic, 1)]),
            Self::PrivacyAtStart | Self::ChatAtStart | Self::ChatToggle | Self::TerminationOverride => {
                Shape::Words(YES_NO)
            }
            _ => Shape::List,
        }
    }
}

/// The value of one tool or option.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ToolValue {
    Word(Word),
    /// Everything: paths, domains, addressees.
    Any,
    /// Only these; an empty list of paths allows nothing.
    List(Arc<[String]>),
}

impl ToolValue {
    pub const NO: Self = Self::Word(Word::No);
    pub const YES: Self = Self::Word(Word::Yes);

    pub fn word(&self) -> Option<Word> {
        match self {
            Self::Word(word) => Some(*word),
            _ => None,
        }
    }

    /// From the strings of contract C1; otherwise what would be right.
    pub fn parse(shape: Shape, raw: &RawValue) -> Result<Self, String> {
        match (shape, raw) {
            (Shape::Words(words), RawValue::Word(text)) => words
                .iter()
                .find(|(word, _)| word.name() == text)
                .map(|(word, _)| Self::Word(*word))
                .ok_or_else(|| format!("`{text}` is not one of {}", Choices(words))),
            (Shape::Words(words), _) => Err(format!("must be one of {}", Choices(words))),
            (_, RawValue::Word(text)) if text == "any" => Ok(Self::Any),
            (_, RawValue::List(entries)) => Ok(Self::List(entries.clone().into())),
            (Shape::Paths, _) => Err("must be `\"any\"` or a list of directories".to_owned()),
            (Shape::List, _) => Err("must be `\"any\"` or a list of texts".to_owned()),
        }
    }

    /// The least value: nothing is allowed.
    pub fn least(shape: Shape) -> Self {
        match shape {
            Shape::Words(words) => Self::Word(words[0].0),
            Shape::Paths | Shape::List => Self::List([].into()),
        }
    }

    /// The fullest value.
    pub fn most(shape: Shape) -> Self {
        match shape {
            Shape::Words(words) => Self::Word(words[words.len() - 1].0),
            Shape::Paths | Shape::List => Self::Any,
        }
    }

    /// The rights a word stands for; of a list, whether there is anything in it.
    pub fn rights(&self, shape: Shape) -> u8 {
        match (self, shape) {
            (Self::Word(word), Shape::Words(words)) => {
                words.iter().find(|(known, _)| known == word).map_or(0, |(_, rights)| *rights)
            }
            (Self::Any, _) => 1,
            (Self::List(entries), _) => u8::from(!entries.is_empty()),
            (Self::Word(_), _) => 0,
        }
    }

    /// The word that stands for exactly these rights, or the most of them.
    pub fn of_rights(words: Words, rights: u8) -> Self {
        let best = words.iter().filter(|(_, bits)| bits & !rights == 0).max_by_key(|(_, bits)| bits.count_ones());
        Self::Word(best.map_or(words[0].0, |(word, _)| *word))
    }

    pub fn raw(&self) -> RawValue {
        match self {
            Self::Word(word) => RawValue::Word(word.name().to_owned()),
            Self::Any => RawValue::Word("any".to_owned()),
            Self::List(entries) => RawValue::List(entries.to_vec()),
        }
    }
}

impl fmt::Display for ToolValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word.name()),
            Self::Any => f.write_str("any"),
            Self::List(entries) if entries.is_empty() => f.write_str("(empty)"),
            Self::List(entries) => f.write_str(&entries.join(", ")),
        }
    }
}

impl Serialize for ToolValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word.name()),
            Self::Any => serializer.serialize_str("any"),
            Self::List(entries) => serializer.collect_seq(entries.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for ToolValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match RawValue::deserialize(deserializer)? {
            RawValue::Word(text) if text == "any" => Ok(Self::Any),
            RawValue::Word(text) => {
                Word::from_name(&text).map(Self::Word).ok_or_else(|| de::Error::custom("no word of any tool"))
            }
            RawValue::List(entries) => Ok(Self::List(entries.into())),
            RawValue::Bool(_) | RawValue::Number(_) => Err(de::Error::custom("no value of any tool")),
        }
    }
}

struct Choices(Words);

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (word, _)) in self.0.iter().enumerate() {
            write!(f, "{}`{}`", if at == 0 { "" } else { ", " }, word.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_every_value_of_every_tool_is_read_and_written_by_its_name() {
        for tool in Tool::ALL {
            let Shape::Words(words) = tool.shape() else { continue };
            assert_eq!(words[0].1, 0, "{} begins with its least value", tool.name());
            for (word, rights) in words {
                let raw = RawValue::Word(word.name().to_owned());
                let value = ToolValue::parse(tool.shape(), &raw).unwrap();
                assert_eq!(value, ToolValue::Word(*word));
                assert_eq!(value.raw(), raw);
                assert_eq!(value.rights(tool.shape()), *rights);
                assert_eq!(ToolValue::of_rights(words, *rights), value);
            }
        }
    }

    #[test]
    fn p3_a_value_of_another_tool_is_refused_and_the_right_ones_are_named() {
        let wrong = ToolValue::parse(Tool::Shell.shape(), &RawValue::Word("view".to_owned()));
        assert_eq!(wrong.unwrap_err(), "`view` is not one of `no`, `yes`");
        assert!(ToolValue::parse(Tool::Shell.shape(), &RawValue::Bool(true)).is_err());
        assert!(ToolValue::parse(Tool::CustomerPaths.shape(), &RawValue::Word("/home".to_owned())).is_err());
    }
}
