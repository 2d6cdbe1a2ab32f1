//! A new password for somebody who cannot sign in: drawn here, shown once, and told to its user by the rep.

use super::{
    Fault,
    console::{Answer, Console},
};
use crate::wire::{Do, Hidden};
use data_encoding::BASE32_NOPAD;
use serde_json::json;
use zeroize::Zeroizing;

/// `keep`: its user need not choose another one at the next sign-in.
pub async fn give(console: &Console, username: String, keep: bool) -> Result<Answer, Fault> {
    let password = draw()?;
    let hidden = Hidden::from(password.as_str());
    let set = Do::SetPassword { username: username.clone(), password: hidden, must_reset: !keep, expires_at_ms: None };
    console.hub.client.act(set).await?;
    let then = if keep { "" } else { ", who chooses another with it at the next sign-in" };
    let json = json!({"username": username, "password": *password, "must_reset": !keep});
    Ok(Answer::new(format!("password {} for {username}{then}", *password), json))
}

/// 80 bits, in four groups that can be read out.
fn draw() -> Result<Zeroizing<String>, Fault> {
    let mut bytes = Zeroizing::new([0; 10]);
    getrandom::fill(&mut bytes[..]).map_err(|error| Fault::Wrong(format!("no password can be drawn: {error}")))?;
    let symbols = Zeroizing::new(BASE32_NOPAD.encode(&bytes[..]));
    let groups: Vec<&str> = (0..4).map(|at| &symbols[4 * at..4 * (at + 1)]).collect();
    Ok(Zeroizing::new(groups.join("-")))
}
