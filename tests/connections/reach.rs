//! What people ask for beyond their reach, at a real broker: every hostile path of the rep's, for endpoints of each
//! system and over both transports (H-57…H-71), directions nobody has a right to, pages that are none, and what an
//! external rep tries. Nothing of it comes to the other end.

use crate::{
    attack::in_time,
    place::{PASSWORD, Person, Place, SITE, hello},
};
use equipoise::{
    broker::Pace,
    client::{ActError, Client, Transport},
    engine::Actor,
    wire::{
        Credential, Do, Done, Ev,
        control::{KeyKind, Open, Role, Value},
    },
};
use std::{collections::BTreeMap, path::Path};

const LISTED: &str = r#"["C:\\Support", "/srv/support"]"#;

/// The paths of H-57 to H-67 that one system refuses.
fn refused_paths(os: &str) -> Vec<String> {
    let windows = [
        // H-57
        "C:\\Support\\..\\x",
        "C:\\Support\\a\\..\\..\\x",
        "C:/Support/../x",
        "C:\\Support\\..",
        "..\\x",
        "C:\\Support\\....\\\\x",
        // H-58
        "C:\\Windows\\x",
        "C:foo",
        "C:Support\\x",
        "D:\\Support\\x",
        "\\Support\\x",
        // H-59
        "\\\\host\\share\\x",
        "\\\\?\\C:\\Support\\x",
        "\\\\.\\PhysicalDrive0",
        "//?/C:/Support/x",
        // H-60
        "C:\\Support%5c..%5cx",
        // H-62
        "C:\\Support\\CON",
        "C:\\Support\\aux.txt",
        "C:\\Support\\COM\u{b9}",
        "C:\\Support\\x.",
        "C:\\Support\\x ",
        // H-63
        "C:\\Support\\file.txt:evil",
        "C:\\Support\\file.txt::$DATA",
        // H-64, of the listed directory too
        "C:\\Support\\PROGRA~1\\x",
        "C:\\SUPPOR~1\\x",
        // H-65
        "c:\\windows\\X",
        "C:\\Suppo\u{301}rt\\x",
        // H-66
        "C:\\SupportEvil\\x",
    ];
    let linux = [
        "../x",
        "/srv/support/../x",
        "/srv/support/a/../../x",
        "....//x",
        "/srv/support/..",
        "/etc/passwd",
        "/srv/%73upport/x",
        "/srv/Support/x",
        "/srv/suppo\u{301}rt/x",
        "/srv/support-old",
        "/srv/support-old/x",
    ];
    let paths: &[&str] = if os == "windows" { &windows } else { &linux };
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// The texts of H-61 and H-67 that are no paths at all.
fn malformed_paths(root: &str) -> Vec<String> {
    let named = ["a\0b", "a\nb", "a\u{1}b", "a\u{85}b", "a\u{1b}]0;x\u{7}", "a\u{202e}txt.exe", "a\u{2066}b"];
    let mut paths: Vec<String> = named.iter().map(|name| format!("{root}{name}")).collect();
    paths.extend([format!("{root}{}", "a".repeat(40_000)), format!("{root}{}", "a/".repeat(5_000))]);
    // Short enough for a path, and too deep.
    paths.push(format!("{root}{}", "a/".repeat(1_000)));
    paths
}

/// Every request that has a path in it, with this one in each place of a path; the others are good.
fn requests(path: &str, good: &str) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let text = str::to_owned;
    let mut requests = Vec::new();
    for direction in ["download", "upload"] {
        requests.push(("file_transfer", vec![("direction", text(direction)), ("path", text(path))]));
    }
    for verb in ["list", "stat", "delete", "make"] {
        requests.push(("file_manager", vec![("verb", text(verb)), ("path", text(path))]));
    }
    for (from, to) in [(path, good), (good, path)] {
        requests.push(("file_manager", vec![("verb", text("rename")), ("path", text(from)), ("to", text(to))]));
    }
    requests
}

struct Scene {
    place: Place,
    ana: Person,
    customer: Person,
}

impl Scene {
    /// Ana serves a customer of this system by a policy with these tools.
    async fn open(folder: &Path, tools: &str, transport: Transport, os: &str) -> Self {
        let site = replaced(
            SITE,
            "tools = { screen = \"control\", shell = \"yes\", file_transfer = \"both\", customer_paths = \"any\"",
            &format!("tools = {{ {tools}"),
        );
        let site = replaced(&site, "\"share_outside\"", "\"share_outside\", \"invite_external\"");
        let site =
            format!("{site}[[policy]]\ncode = \"guest\"\nfor_invites = true\ntools = {{ elevation = \"no\" }}\n");
        let pace = Pace { per_s: 100_000, burst: 100_000 };
        let place = Place::open_paced(folder, &site, pace).await;
        place.broker.set_password(Actor::System, "ana", PASSWORD.to_owned()).await.unwrap();
        let token = place.broker.token_for("ana").await.unwrap();
        let mut ana = connect(&place, transport, hello(Role::Rep, Credential::Token(token))).await;
        let make = Do::MakeKey { queue: None, kind: KeyKind::Code, lives_s: None };
        let Done::Key { key, .. } = in_time(ana.client.act(make)).await.unwrap() else { panic!("a key is made") };
        let mut hello = hello(Role::Customer, Credential::Key(key.into()));
        hello.client.os = os.to_owned();
        let customer = connect(&place, transport, hello).await;
        let session = customer.client.welcome().session.unwrap();
        if in_time(ana.client.act(Do::Accept { session })).await.is_err() {
            in_time(ana.client.act(Do::Take { session })).await.unwrap();
        }
        ana.session = session;
        Self { place, ana, customer }
    }

    fn asked(&self, tool: &str, args: &[(&str, String)]) -> Do {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), Value::Text(value.clone()))).collect();
        Do::Open(Open { session: self.ana.session, tool: tool.to_owned(), args })
    }

    /// The first request that comes to the customer is this one of the rep's: no other did before.
    async fn nothing_came_but(&mut self, tool: &str, args: &[(&str, String)]) {
        in_time(self.ana.client.act(self.asked(tool, args))).await.unwrap();
        let requested = |ev| if let Ev::Requested { tool, args, .. } = ev { Some((tool, args)) } else { None };
        let (came, with) = self.customer.until(requested).await;
        let wanted: BTreeMap<String, Value> =
            args.iter().map(|(name, value)| ((*name).to_owned(), Value::Text(value.clone()))).collect();
        assert_eq!((came.as_str(), with), (tool, wanted));
    }

    async fn close(self) {
        in_time(self.place.close()).await;
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is not in the site");
    text.replacen(from, to, 1)
}

async fn connect(place: &Place, transport: Transport, hello: equipoise::wire::Hello) -> Person {
    let (client, happenings) = in_time(Client::connect(place.target(transport), hello)).await.unwrap();
    Person { client, happenings, session: 0 }
}

async fn refusal(person: &Person, act: Do) -> String {
    let name = format!("{act:?}");
    match in_time(person.client.act(act)).await {
        Err(ActError::Refused(refused)) => refused.code,
        other => panic!("{}: {other:?}", name.get(..300).unwrap_or(&name)),
    }
}

async fn paths_beyond_reach(transport: Transport, os: &str, root: &str) {
    let folder = tempfile::tempdir().unwrap();
    let tools = format!("file_transfer = \"both\", file_manager = \"manage\", customer_paths = {LISTED}");
    let mut scene = Scene::open(folder.path(), &tools, transport, os).await;
    let good = format!("{root}a");
    let refused = refused_paths(os).into_iter().map(|path| (path, "path_refused"));
    for (path, code) in refused.chain(malformed_paths(root).into_iter().map(|path| (path, "malformed"))) {
        for (tool, args) in requests(&path, &good) {
            let head: String = path.chars().take(100).collect();
            assert_eq!(refusal(&scene.ana, scene.asked(tool, &args)).await, code, "{tool} {head:?}");
            // A customer asks for no file and manages none, whatever the path.
            assert_eq!(refusal(&scene.customer, scene.asked(tool, &args)).await, "not_permitted", "{tool} {head:?}");
        }
    }
    scene.nothing_came_but("file_manager", &[("verb", "stat".to_owned()), ("path", good)]).await;
    scene.close().await;
}

#[tokio::test]
async fn h_57_h_58_h_59_h_60_h_61_h_62_h_63_h_64_h_65_h_66_h_67_h_71_no_path_leads_out_of_a_windows_customer_s_list() {
    for transport in [Transport::Ws, Transport::Quic] {
        paths_beyond_reach(transport, "windows", "C:\\Support\\").await;
    }
}

#[tokio::test]
async fn h_57_h_58_h_60_h_61_h_65_h_66_h_67_h_71_no_path_leads_out_of_a_linux_customer_s_list() {
    for transport in [Transport::Ws, Transport::Quic] {
        paths_beyond_reach(transport, "linux", "/srv/support/").await;
    }
}

#[tokio::test]
async fn h_69_one_direction_of_files_gives_nobody_the_other() {
    for (right, other) in [("upload", "download"), ("download", "upload")] {
        let folder = tempfile::tempdir().unwrap();
        let tools = format!("file_transfer = \"{right}\", customer_paths = \"any\"");
        let mut scene = Scene::open(folder.path(), &tools, Transport::Ws, "linux").await;
        let args = |direction: &str| [("direction", direction.to_owned()), ("path", "/srv/a".to_owned())];
        for person in [&scene.ana, &scene.customer] {
            assert_eq!(refusal(person, scene.asked("file_transfer", &args(other))).await, "not_permitted");
        }
        scene.nothing_came_but("file_transfer", &args(right)).await;
        scene.close().await;
    }
}

#[tokio::test]
async fn h_79_no_page_but_one_of_the_web_comes_to_the_customer() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::open(folder.path(), "push_url = \"yes\"", Transport::Ws, "linux").await;
    for url in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "file:///etc/passwd",
        "data:text/html,x",
        "\\\\host\\share",
        "https://ana:secret@example.com/",
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/",
        "http://[::1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://2130706433/",
        "http://\u{ff11}27.0.0.1/",
    ] {
        let args = [("url", url.to_owned())];
        assert_eq!(refusal(&scene.ana, scene.asked("push_url", &args)).await, "malformed", "{url}");
        assert_eq!(refusal(&scene.customer, scene.asked("push_url", &args)).await, "not_permitted", "{url}");
    }
    scene.nothing_came_but("push_url", &[("url", "https://help.example.com/".to_owned())]).await;
    scene.close().await;
}

#[tokio::test]
async fn h_80_h_81_an_external_rep_with_an_administrator_s_name_reaches_one_session_and_none_of_its_levers() {
    for transport in [Transport::Ws, Transport::Quic] {
        let folder = tempfile::tempdir().unwrap();
        let tools = "elevation = \"yes\", elevated_tools = \"yes\", invite_external = \"yes\"";
        let mut scene = Scene::open(folder.path(), tools, transport, "linux").await;
        let session = scene.ana.session;
        let invite = Do::InviteExternal { session, address: "eve@partner.example".into(), policy: None };
        let Done::Key { key, .. } = in_time(scene.ana.client.act(invite)).await.unwrap() else { panic!("a key") };
        let mut hello = hello(Role::External, Credential::Key(key.into()));
        hello.client.display_name = "Administrator".into();
        let eve = connect(&scene.place, transport, hello).await;
        // She is told apart by what the broker knows, whatever she calls herself.
        assert!(eve.client.welcome().you.starts_with("external"), "{:?}", eve.client.welcome());
        let other = session + 1;
        let elevation = |session| Do::Open(Open { session, tool: "elevation".into(), args: BTreeMap::new() });
        for (act, code) in [
            (Do::Transfer { session, to: "team:desk".into() }, "not_permitted"),
            (Do::Share { session, to: "rep:ben".into() }, "not_permitted"),
            (Do::TakeOver { session }, "not_permitted"),
            (Do::End { session }, "not_owner"),
            (Do::InviteExternal { session, address: "mal@partner.example".into(), policy: None }, "not_permitted"),
            (elevation(session), "not_permitted"),
            (Do::Join { session: other }, "unknown_session"),
            (Do::Transfer { session: other, to: "team:desk".into() }, "unknown_session"),
            (elevation(other), "unknown_session"),
            (Do::GetNext {}, "not_permitted"),
            (Do::Site {}, "not_permitted"),
        ] {
            let name = format!("{act:?}");
            assert_eq!(refusal(&eve, act).await, code, "{name}");
        }
        scene.nothing_came_but("elevation", &[]).await;
        scene.close().await;
    }
}
