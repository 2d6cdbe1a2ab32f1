//! What a sound site file says that its author may not mean.

use super::{
    Problem,
    raw::{RawSite, RawValue},
    tool::ToolOption,
    value::Word,
    version,
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
        let groups = self.technician_group.iter().enumerate();
        let of_groups = groups
            .filter_map(|(at, group)| newer_than_this(&group.min_client, format!("technician_group[{at}].min_client")));
        let of_site = newer_than_this(&self.options.two_factor.min_client, "options.two_factor.min_client".to_owned());
        warned.map(problem).chain(of_site).chain(of_groups).collect()
    }
}

/// R11.3, RA-022: this build's own console and `site apply` would be among those that are too old, and the edit could not
/// be undone with them.
fn newer_than_this(least: &str, key: String) -> Option<Problem> {
    let own = env!("CARGO_PKG_VERSION");
    let message =
        format!("{least} is newer than this program ({own}), whose console and `site apply` would not be let in");
    (version(least)? > version(own)?).then_some(Problem { key, line: None, message })
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

    #[test]
    fn ra_022_a_least_version_newer_than_this_program_is_warned_of() {
        let file = |least: &str| {
            let text = format!("[site]\nname = \"s\"\n[options]\ntwo_factor = {{ min_client = \"{least}\" }}\n");
            RawSite::parse(&text).expect("a sound file").warnings()
        };
        for fine in ["", "0", env!("CARGO_PKG_VERSION")] {
            assert_eq!(file(fine), vec![], "{fine}");
        }
        let warned = file("1000.0");
        assert_eq!(warned.len(), 1);
        assert_eq!(warned[0].key, "options.two_factor.min_client");
        let group = "[site]\nname = \"s\"\n[[technician_group]]\ncode = \"g\"\nmin_client = \"1000\"\n";
        assert_eq!(RawSite::parse(group).expect("a sound file").warnings()[0].key, "technician_group[0].min_client");
    }
}
