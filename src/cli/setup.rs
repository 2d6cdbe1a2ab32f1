//! `setup`: the first administrator, with a password and a second factor.

use super::{
    out::{Failure, Out},
    runtime,
    serve::password,
};
use crate::{
    identity::Secret,
    server::setup::{self, Done, Enrol, Enrolment, SetupError, SetupRequest},
};
use clap::Args;
use std::{
    io::{self, Write},
    path::PathBuf,
};

#[derive(Args, Debug)]
#[command(after_help = "Works on the machine of a running broker that has no administrator yet, as the same user.\n\n\
                        A second factor is enrolled with it, unless --no-second-factor says that the password is to \
                        be enough: the secret is shown once, and a code of it is read from standard input.\n\n\
                        Examples:\n  equipoise setup --data data --username root\n  \
                        EQUIPOISE_PASSWORD=… equipoise setup --token TOKEN --username root --no-second-factor")]
pub(super) struct SetupArgs {
    /// Data folder of the broker
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The one-time token the broker printed; by default read from DIR/setup-token
    #[arg(long, env = "EQUIPOISE_SETUP_TOKEN", hide_env_values = true, allow_hyphen_values = true)]
    token: Option<String>,
    /// The administrator's username
    #[arg(long)]
    username: String,
    /// Sign in with the password alone; one can be enrolled later
    #[arg(long)]
    no_second_factor: bool,
}

pub(super) fn setup(args: SetupArgs) -> Result<(), Failure> {
    let token = match args.token {
        Some(token) => token,
        None => setup::written_token(&args.data).map_err(|e| Failure::failed(&e))?,
    };
    let typed = password("Password of the first administrator (at least 12 characters; empty: one is made): ")?;
    let made_up = typed.is_empty().then(Secret::recovery);
    let password = made_up.as_ref().map_or(typed, |password| password.reveal().to_owned());
    let runtime = runtime(1)?;
    let mut request = SetupRequest { token, username: args.username, password, second_factor: None };
    let ask = |request: &SetupRequest| runtime.block_on(setup::ask(&args.data, request));
    if !args.no_second_factor {
        request.second_factor = Some(Enrolment::Begin);
    }
    let recovery = loop {
        match ask(&request) {
            Ok(Done::Begun(Enrol { secret, uri })) => {
                Out.line(&format!("Give this secret to an authenticator; it is shown once:\n\n  {secret}\n  {uri}\n"))?;
                request.second_factor = Some(Enrolment::Code(code()?));
            }
            Ok(Done::Made(recovery)) => break recovery,
            Err(SetupError::Refused { message, again: true })
                if matches!(request.second_factor, Some(Enrolment::Code(_))) =>
            {
                Out.note(&message);
                request.second_factor = Some(Enrolment::Code(code()?));
            }
            Err(error) => return Err(Failure::failed(&error)),
        }
    };
    Out.line(&format!("{} is the administrator; the broker opens its doors", request.username))?;
    if let Some(password) = made_up {
        Out.line(&format!("The password, shown once:\n\n  {}\n", password.reveal()))?;
    }
    if !recovery.is_empty() {
        Out.line(&format!(
            "Recovery codes, for whoever loses the authenticator. Each works once; they are shown once:\n\n  {}",
            recovery.join("\n  ")
        ))?;
    }
    Ok(())
}

/// A code that the authenticator shows, from standard input.
fn code() -> Result<String, Failure> {
    let mut line = String::new();
    // Without a terminal there is nobody to prompt.
    let _ = write!(io::stderr(), "Code it shows: ").and_then(|()| io::stderr().flush());
    let read = io::stdin().read_line(&mut line).map_err(|e| Failure::Usage(format!("standard input: {e}")))?;
    if read == 0 {
        let message = "no code came on standard input; nothing was set up. --no-second-factor does without";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(line.trim().to_owned())
}
