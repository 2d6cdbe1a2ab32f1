//! The `[mail]` block: all of it or nothing.

use super::{MailSettings, is_origin, read::Reader};
use crate::mail::Encryption;
use std::net::IpAddr;

/// None where no server is named, or where something is wrong, which is noted.
pub(super) fn check(r: &mut Reader) -> Option<MailSettings> {
    let server = r.text("mail.server")?;
    let port = r.integer("mail.port", 0..=65_535);
    let encryption = r.word(
        "mail.encryption",
        &[("starttls", Encryption::StartTls), ("tls", Encryption::Tls), ("none", Encryption::None)],
    );
    let authority = r.path("mail.authority");
    let (username, password_file) = (r.text("mail.username")?, r.path("mail.password_file"));
    let (from, public_url) = (r.text("mail.from")?, r.text("mail.public_url")?);
    if server.is_empty() {
        let given = [("mail.username", !username.is_empty()), ("mail.from", !from.is_empty())];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            r.problem(key, "no mail is sent without mail.server".to_owned());
        }
        return None;
    }
    if server.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@')) {
        r.problem("mail.server", format!("{server:?} is not a host name or an address; the port is mail.port"));
    }
    if !crate::site::is_mail_address(&from) {
        r.problem("mail.from", format!("{from:?} is not a mail address such as equipoise@example.com"));
    }
    let public_url = if is_origin(&public_url) { public_url.parse().ok() } else { None };
    if public_url.is_none() {
        let expected = "not where people reach this broker, such as https://help.example.com";
        r.problem("mail.public_url", format!("it is {expected}, and every link in a letter begins with it"));
    }
    if username.is_empty() != password_file.is_none() {
        let missing = if username.is_empty() { "mail.username" } else { "mail.password_file" };
        r.problem(missing, "mail.username and mail.password_file belong together".to_owned());
    }
    if encryption == Some(Encryption::None) && !username.is_empty() {
        r.problem("mail.encryption", "a password is never sent without encryption".to_owned());
    }
    let encryption = encryption?;
    let port = match (port?, encryption) {
        (0, Encryption::StartTls) => 587,
        (0, Encryption::Tls) => 465,
        (0, Encryption::None) => 25,
        (port, _) => port as u16,
    };
    let login = password_file.map(|file| (username, file));
    Some(MailSettings { server, port, encryption, authority, login, from, public_url: public_url? })
}

impl MailSettings {
    /// As [`super::Settings::weaknesses`].
    pub(super) fn weaknesses(&self) -> impl Iterator<Item = (&'static str, String)> {
        let here = self.server == "localhost" || self.server.parse::<IpAddr>().is_ok_and(|server| server.is_loopback());
        let plain = self.encryption == Encryption::None && !here;
        let plain =
            plain.then(|| ("mail.encryption", "whoever sees the line to the mail server reads keys".to_owned()));
        let page = self.public_url.scheme() == "http";
        let page = page.then(|| ("mail.public_url", "letters lead to a page without TLS".to_owned()));
        plain.into_iter().chain(page)
    }
}
