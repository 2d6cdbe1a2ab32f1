//! Which pages are shown here: of the web, and of the domains that the broker named (P3.19, P3.32). Looked at again, whatever
//! the broker found before it passed a page on.

use super::{files::hidden, tool::ToolError};
use crate::{
    policy::{Tool, ToolOption, ToolValue, Word, domains},
    wire::control::Value,
};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Pages {
    domains: ToolValue,
    by: Option<Word>,
}

impl Default for Pages {
    /// Before the broker named any; sessions that are no shared pages have no list.
    fn default() -> Self {
        Self { domains: ToolValue::Any, by: None }
    }
}

impl Pages {
    /// As `permissions` says it.
    pub fn told(options: &BTreeMap<String, Value>) -> Self {
        let domains = match options.get(Tool::CobrowseDomains.name()) {
            Some(Value::List(entries)) => ToolValue::List(entries.clone().into()),
            _ => ToolValue::Any,
        };
        let by = match options.get(ToolOption::CobrowseDomainsMatch.name()) {
            Some(Value::Text(by)) => Word::from_name(by),
            _ => None,
        };
        Self { domains, by }
    }

    /// Only a page of the web is shown (H-79), and where domains are listed only of those. The host is looked for as a browser
    /// does that.
    pub fn check(&self, url: &str) -> Result<(), ToolError> {
        let refused = |why: &str| Err(ToolError::Refused(why.to_owned()));
        let parsed = url::Url::parse(url).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
        });
        let Some(parsed) = parsed.filter(|_| !url.chars().any(hidden)) else {
            return refused("malformed: only pages of the web are shown");
        };
        match domains::allows(&self.domains, self.by, url, parsed.host_str().unwrap_or_default()) {
            true => Ok(()),
            false => refused("not_listed: only pages of the listed domains are shown in this session"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(entries: &[&str], by: &str) -> Pages {
        let entries = Value::List(entries.iter().map(|entry| (*entry).to_owned()).collect());
        let by = Value::Text(by.to_owned());
        Pages::told(&BTreeMap::from([
            ("cobrowse_domains".to_owned(), entries),
            ("cobrowse_domains_match".to_owned(), by),
        ]))
    }

    #[test]
    fn lg_027_p3_32_where_domains_are_listed_no_other_page_is_shown() {
        let pages = listed(&["test.com"], "suffix");
        for url in ["https://test.com/", "https://sub.test.com:8443/a?b#c", "http://TEST.com"] {
            pages.check(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        for url in
            ["https://example.org/", "https://test.com.evil.org/", "https://evil.org/?test.com", "https://nottest.com"]
        {
            let refused = pages.check(url).expect_err(url).to_string();
            assert!(refused.starts_with("not_listed"), "{refused}");
        }
        listed(&["test.com"], "contains").check("https://test.com.evil.org/").unwrap();
        listed(&[], "suffix").check("https://example.org/").expect("an empty list is all");
        Pages::default().check("https://example.org/").expect("none is listed");
        // What two layers that have no domain in common come to.
        assert!(listed(&["."], "suffix").check("https://test.com/").is_err());
    }

    #[test]
    fn h_79_p3_19_only_pages_of_the_web_are_shown() {
        for url in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://a:b@test.com/",
            "https://test.com/\u{202e}",
            "test.com",
        ] {
            let refused = Pages::default().check(url).expect_err(url).to_string();
            assert!(refused.starts_with("malformed"), "{refused}");
        }
    }
}
