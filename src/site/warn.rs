//! What a sound site file says that its author may not mean.

use super::{
    Problem,
    raw::{RawSite, RawValue},
    tool::ToolOption,
    value::Word,
};

impl RawSite {
    /// Weaker than it looks, though sound: shown by `site check` and `site apply`, told to whoever edits, and logged.
    pub fn warnings(&self) -> Vec<Problem> {
        let option = ToolOption::CobrowseDomainsMatch.name();
        let contains = RawValue::Word(Word::Contains.name().to_owned());
        let warned = self.policy.iter().enumerate().filter(|(_, policy)| policy.tools.get(option) == Some(&contains));
        let problem = |(at, _)| Problem {
            key: format!("policy[{at}].tools.{option}"),
            line: None,
            // P3.32.
            message: "`contains` lets `example.com.evil.org` through where `example.com` is listed; `suffix` does not"
                .to_owned(),
        };
        warned.map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_32_domains_compared_by_contains_are_warned_of() {
        let file = |how: &str| {
            let tools = format!("tools = {{ cobrowse_domains = [\"example.com\"]{how} }}");
            let text = format!("[site]\nname = \"s\"\n[[policy]]\ncode = \"a\"\n[[policy]]\ncode = \"b\"\n{tools}\n");
            RawSite::parse(&text).expect("a sound file").warnings()
        };
        assert_eq!((file(""), file(", cobrowse_domains_match = \"suffix\"")), (vec![], vec![]));
        let warned = file(", cobrowse_domains_match = \"contains\"");
        assert_eq!(warned.len(), 1);
        assert_eq!(warned[0].key, "policy[1].tools.cobrowse_domains_match");
    }
}
