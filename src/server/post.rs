//! Opens the post with what its files hold.

use super::{ServerError, settings::MailSettings};
use crate::mail::{self, Post, Tries};
use std::{os::unix::fs::PermissionsExt, path::Path};
use zeroize::Zeroizing;

pub(super) fn open(settings: &MailSettings) -> Result<Post, ServerError> {
    let authority = settings.authority.as_ref().map(|path| {
        std::fs::read(path).map_err(|source| ServerError::MailFile {
            key: "mail.authority",
            path: path.clone(),
            source,
        })
    });
    let login = settings.login.as_ref().map(|(name, path)| Ok::<_, ServerError>((name.clone(), password(path)?)));
    Ok(Post::open(&mail::Settings {
        server: settings.server.clone(),
        port: settings.port,
        encryption: settings.encryption,
        login: login.transpose()?,
        authority: authority.transpose()?,
        from: settings.from.clone(),
        public_url: settings.public_url.clone(),
        tries: Tries::USUAL,
    })?)
}

/// One line that only the broker's own user may read.
fn password(path: &Path) -> Result<Zeroizing<String>, ServerError> {
    let unreadable = |source| ServerError::MailFile { key: "mail.password_file", path: path.to_owned(), source };
    let unfit = |why| ServerError::MailPassword { path: path.to_owned(), why };
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(unfit("others may read it: chmod 600"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(['\r', '\n']) {
        return Err(unfit("it holds no password, or more than one line"));
    }
    Ok(Zeroizing::new(password.to_owned()))
}
