//! The words after a command's name, one after another, and the keys that may be named among them.

/// The words after a command's name.
pub struct Words<'a> {
    command: &'a str,
    words: Vec<String>,
}

impl<'a> Words<'a> {
    pub fn of(command: &'a str, rest: &str) -> Result<Self, String> {
        Ok(Self { command, words: split(rest)? })
    }

    pub fn maybe(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    pub fn rest(&mut self) -> String {
        std::mem::take(&mut self.words).join(" ")
    }

    pub fn need(&mut self, what: &str) -> Result<String, String> {
        self.maybe().ok_or_else(|| format!("{} needs {what}", self.command))
    }

    /// `on` or `off`.
    pub fn switch(&mut self) -> Result<bool, String> {
        match self.need("on or off")?.as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            other => Err(format!("{}: `{other}` is neither on nor off", self.command)),
        }
    }

    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        before != self.words.len()
    }

    pub fn option(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        self.words.remove(at);
        if at < self.words.len() { Ok(Some(self.words.remove(at))) } else { Err(format!("{name} needs a value")) }
    }

    pub fn parse<T: std::str::FromStr>(&self, text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("{}: `{text}` is not a number that fits", self.command))
    }

    pub fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let text = self.need(what)?;
        self.parse(text.trim_start_matches('s'))
    }

    pub fn maybe_number(&mut self) -> Result<Option<u64>, String> {
        if self.words.is_empty() { Ok(None) } else { self.number("").map(Some) }
    }

    pub fn done(&self) -> Result<(), String> {
        self.words.first().map_or(Ok(()), |word| Err(format!("{}: what is `{word}`?", self.command)))
    }
}

/// At spaces, except within single or double quotes.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

/// `ctrl+alt+delete`: each by name, or a character.
pub fn keys(text: &str) -> Result<Vec<u32>, String> {
    text.split('+').map(|name| keysym(name).ok_or_else(|| format!("press: there is no key `{name}`"))).collect()
}

/// The X11 keysym of a key.
fn keysym(name: &str) -> Option<u32> {
    let name = name.to_lowercase();
    Some(match name.as_str() {
        "enter" | "return" => 0xff0d,
        "tab" => 0xff09,
        "backspace" => 0xff08,
        "escape" | "esc" => 0xff1b,
        "delete" => 0xffff,
        "insert" => 0xff63,
        "home" => 0xff50,
        "left" => 0xff51,
        "up" => 0xff52,
        "right" => 0xff53,
        "down" => 0xff54,
        "pageup" => 0xff55,
        "pagedown" => 0xff56,
        "end" => 0xff57,
        "shift" => 0xffe1,
        "ctrl" => 0xffe3,
        "alt" => 0xffe9,
        "super" => 0xffeb,
        "space" => 0x20,
        "plus" => 0x2b,
        other => {
            let number = other.strip_prefix('f').and_then(|number| number.parse::<u32>().ok());
            let mut letters = other.chars();
            match (number, letters.next(), letters.next()) {
                (Some(number @ 1..=24), ..) => 0xffbd + number,
                (_, Some(one @ (' '..='~' | '\u{a0}'..='\u{ff}')), None) => u32::from(one),
                _ => return None,
            }
        }
    })
}
