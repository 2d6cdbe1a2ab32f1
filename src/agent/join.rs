//! How the endpoint comes into a session: back into the one that its state file knows, or with a key.

use super::{AgentError, Allow, Options, state::StateFile};
use crate::{
    client::{Client, Happenings},
    wire::{
        Hello,
        control::{ClientInfo, Credential, Role},
    },
};

/// Back into the session that the state file knows, else into one with the key.
pub(super) async fn join(
    options: &Options,
    present: bool,
    state: Option<&StateFile>,
    token: Option<String>,
) -> Result<(Client, Happenings), AgentError> {
    let requests = state.map_or(0, StateFile::requests);
    if let Some(token) = token {
        let hello = hello(options, present, Credential::Resume(token));
        match Client::connect_after(options.target.clone(), hello, requests).await {
            Err(error) if error.come_back() || options.key.is_empty() => return Err(AgentError::Join(Box::new(error))),
            // That session is over; the key leads into another.
            Err(_) => {
                if let Some(state) = state {
                    state.forget();
                }
            }
            Ok(connected) => return Ok(connected),
        }
    }
    let key = options.key.rsplit('#').next().unwrap_or_default().trim().to_owned();
    let connected = Client::connect(options.target.clone(), hello(options, present, Credential::Key(key))).await;
    connected.map_err(|error| AgentError::Join(Box::new(error)))
}

fn hello(options: &Options, present: bool, credential: Credential) -> Hello {
    let client = ClientInfo {
        name: "equipoise agent".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        display_name: options.name.clone(),
        present: !options.unattended && (present || options.allow != Allow::Ask),
        ..ClientInfo::default()
    };
    Hello { role: Role::Customer, site: None, credential, client, features: Vec::new(), seen: None }
}
