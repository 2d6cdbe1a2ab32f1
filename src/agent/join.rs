//! How the endpoint comes into a session: back into the one that its state file knows, or with a key; and how it stands by
//! for one.

use super::{AgentError, Allow, Options, state::StateFile};
use crate::{
    client::{Client, ClientError, Happenings},
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
    let hello = hello(options, present, Credential::Key(key(options)));
    // Whoever is told what an earlier run had open reads it from where it is.
    let requests = u64::from(options.stand_by);
    let connected = Client::connect_after(options.target.clone(), hello, requests).await;
    connected.map_err(|error| AgentError::Join(Box::new(error)))
}

/// To stand by for the item whose key this is.
pub(super) async fn stand_by(options: &Options, present: bool) -> Result<(Client, Happenings), ClientError> {
    let hello = hello(options, present, Credential::Key(key(options)));
    Client::connect(options.target.clone(), Hello { role: Role::JumpClient, ..hello }).await
}

pub(super) fn key(options: &Options) -> String {
    options.key.rsplit('#').next().unwrap_or_default().trim().to_owned()
}

fn hello(options: &Options, present: bool, credential: Credential) -> Hello {
    let client = ClientInfo {
        name: "equipoise agent".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        display_name: options.name.clone(),
        present: !options.unattended && (present || (options.allow != Allow::Ask && !options.stand_by)),
        ..ClientInfo::default()
    };
    Hello { role: Role::Customer, site: None, credential, client, features: Vec::new(), seen: None }
}
