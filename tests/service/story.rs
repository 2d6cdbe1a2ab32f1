//! The story of the README, in three processes and on both transports.

use crate::{
    place::{Place, name},
    process::{Process, assert_same, document},
};
use equipoise::client::Transport::{self, Quic, Ws};

/// `demo`, then the two commands that it prints, each on its own transport.
fn story(agent_by: Transport, rep_by: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("sent"), document(300_000)).unwrap();
    let demo = Process::start(&["demo", "--json", "--listen", "127.0.0.1:0", "--data", &at("data")]);
    let shown: serde_json::Value = demo.out.until("JSON", |line| serde_json::from_str(line).ok());
    let shown = |field: &str| shown[field].as_str().unwrap().to_owned();

    let (url, pin) = (shown("url"), shown("pin"));
    let reach = |by| ["--server", url.as_str(), "--pin", pin.as_str(), "--transport", name(by)];
    let shown_key = shown("key");
    let agent =
        [&["agent"][..], &reach(agent_by), &["--key", &shown_key, "--allow-all", "--shell", "/bin/sh"]].concat();
    let mut agent = Process::start(&agent);
    let script = format!(
        "accept; info; shell: echo $((6 * 7)) answers; put {} {}; get {} {}; chat good morning; end",
        at("sent"),
        at("far"),
        at("far"),
        at("back")
    );
    let login = shown("login");
    let rep = [&["rep"][..], &reach(rep_by), &["--login", &login, "-c", &script]].concat();
    let mut rep = Process::start_with(&rep, &shown("password"));
    rep.done();
    rep.out.has("42 answers");
    rep.out.has("linux");
    rep.out.has("sent 300000 bytes");
    rep.out.has("fetched 300000 bytes");
    agent.out.has("good morning");
    agent.done();
    agent.out.has("The session ended");
    assert_same(folder.path().join("sent").as_path(), folder.path().join("back").as_path());
    assert_same(folder.path().join("sent").as_path(), folder.path().join("far").as_path());
    demo.signal("TERM");
    let mut demo = demo;
    demo.done();
}

#[test]
fn the_readme_holds_over_websocket() {
    story(Ws, Ws);
}

#[test]
fn the_readme_holds_over_quic() {
    story(Quic, Quic);
}

#[test]
fn the_readme_holds_with_the_agent_on_websocket_and_the_rep_on_quic() {
    story(Ws, Quic);
}

#[test]
fn the_readme_holds_with_the_agent_on_quic_and_the_rep_on_websocket() {
    story(Quic, Ws);
}

#[tokio::test(flavor = "multi_thread")]
async fn p6_3_a_denied_tool_names_its_permission_and_the_layer_that_refused_it() {
    let place = Place::open().await;
    let mut rep = place.console(Ws, "eli");
    let mut says = |line: &str, field: &'static str| {
        rep.types(line);
        rep.out.until(field, move |line| {
            let said: serde_json::Value = serde_json::from_str(line).ok()?;
            said.pointer(field).cloned()
        })
    };
    let key = says("key team:eli", "/ok/key");
    let _agent = place.agent(Quic, key.as_str().unwrap(), place.folder.path());
    says("wait offer", "/ev/offer/session");
    says("accept", "/ok/session");
    says("shell: id", "/no/message");
    let no = says("", "/no");
    assert_eq!(no["tool"], "shell", "{no}");
    assert_eq!(no["source"], "user:eli", "{no}");
}
