//! Invitations by mail (R7.4, R7.5): the letter, the page it leads to, and mail servers that do not take it.

use crate::{
    attack::http,
    place::{PASSWORD, Person, Place, SITE, a_session, hello},
    smtp::{MailServer, Manner, post, settings, tls_in},
};
use equipoise::{
    broker::Broker,
    client::{self, ActError, Client, Transport},
    engine::Actor,
    framing::INVITATION_PATH,
    mail::{Encryption, Post},
    transport::{HttpListener, HttpSettings, PerAddress},
    wire::{Credential, Do, Done, Ev, control::Role},
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};
use zeroize::Zeroizing;

/// The usual place; Ben may have extended availability, and Ana may invite people from outside.
fn site() -> String {
    let site = SITE
        .replace("\"share_outside\"", "\"share_outside\", \"invite_external\"")
        .replace("username = \"ben\"", "username = \"ben\"\nemail = \"ben@example.com\"")
        .replace(
            "private_name = \"Ben B\"\nteams = { desk = \"member\" }\npermissions = [",
            "private_name = \"Ben B\"\nteams = { desk = \"member\" }\npermissions = [\"extended_availability\", ",
        )
        .replace("tools = { screen", "tools = { invite_external = \"yes\", screen");
    format!("{site}\n[[policy]]\ncode = \"guest\"\nfor_invites = true\ntools = {{ shell = \"no\" }}\n")
}

struct Scene {
    place: Place,
    ana: Person,
    customer: Person,
    /// Of the listener without TLS, for pages.
    pages: SocketAddr,
}

impl Scene {
    /// Ana serves a customer; Ben was here, switched extended availability on, and left.
    async fn open(folder: &Path, post: Post) -> Self {
        let place = Place::open_with_post(folder, &site(), post).await;
        place.broker.set_password(Actor::System, "ben", PASSWORD.to_owned()).await.unwrap();
        let ben = console(&place, "ben").await;
        ben.client.act(Do::Extended { on: true }).await.unwrap();
        ben.client.act(Do::Logout {}).await.unwrap();
        let (ana, customer) = a_session(place.target(Transport::Ws), place.target(Transport::Ws)).await;
        let pages = pages(&place.broker).await;
        Self { place, ana, customer, pages }
    }

    async fn share(&self) -> Result<Done, ActError> {
        self.ana.client.act(Do::Share { session: self.ana.session, to: "rep:ben".into() }).await
    }

    async fn answer(&self, token: &str, answer: &str) -> (u16, String) {
        let body = format!("{{\"token\":\"{token}\",\"answer\":\"{answer}\"}}");
        let head = format!("Host: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        http(self.pages, format!("POST {INVITATION_PATH} HTTP/1.1\r\n{head}\r\n{body}")).await
    }

    /// Why Ana's invitation of Ben is over.
    async fn over(&mut self) -> String {
        let session = self.ana.session;
        let gone = |ev| match ev {
            Ev::InvitationGone { session: of, to, reason } if of == session && to == "rep:ben" => Some(reason),
            _ => None,
        };
        self.ana.until(gone).await
    }

    async fn close(self) {
        drop((self.ana, self.customer));
        self.place.close().await;
    }
}

async fn console(place: &Place, username: &str) -> Person {
    let target = place.target(Transport::Ws);
    let token = client::sign_in(&target, username, PASSWORD).await.unwrap();
    let (client, happenings) = Client::connect(target, hello(Role::Rep, Credential::Token(token))).await.unwrap();
    Person { client, happenings, session: 0 }
}

async fn pages(broker: &Broker) -> SocketAddr {
    let settings = HttpSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        behind_proxy: false,
        origins: Vec::new(),
        per_address: PerAddress::new(1_000),
    };
    let listener = HttpListener::bind(settings).await.unwrap();
    let address = listener.address();
    tokio::spawn(listener.serve(broker.clone()));
    address
}

fn code(refused: Result<Done, ActError>) -> String {
    match refused {
        Err(ActError::Refused(refused)) => refused.code,
        other => panic!("it is refused: {other:?}"),
    }
}

#[tokio::test]
async fn r7_4_h_105_a_letter_s_link_opens_a_page_whose_button_accepts_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(Manner::Takes).await;
    let scene = Scene::open(folder.path(), post(server.address)).await;
    scene.share().await.unwrap();
    let letter = server.letter().await;
    assert_eq!(letter.to, "ben@example.com");
    assert!(letter.text.contains("From: equipoise@help.example"), "{}", letter.text);
    assert!(letter.text.contains("Auto-Submitted: auto-generated"), "{}", letter.text);
    assert!(letter.text.contains("Ana A asks you to join"), "{}", letter.text);
    let token = letter.secret("https://help.example/v1/invitation#accept.");
    let (head, _) = letter.text.split_once("\n\n").unwrap();
    assert!(!head.contains(&token), "no secret stands in a header: {head}");

    // What scanners do: they look, whichever way, and nothing is answered by it.
    for method in ["GET", "HEAD", "GET"] {
        let (status, page) = http(scene.pages, format!("{method} {INVITATION_PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(status, 200);
        for said in ["frame-ancestors 'none'", "no-store", "no-referrer", "nosniff"] {
            assert!(page.contains(said), "{said}: {page}");
        }
    }
    let (status, script) = http(scene.pages, format!("GET {INVITATION_PATH}.js HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert!(status == 200 && script.contains("text/javascript"), "{script}");
    for (token, answer, expected) in [
        (token.as_str(), "maybe", 422),
        ("AAAAAAAAAAAAAAAAAAAAAA", "accept", 410),
        ("AAAA-AAAA", "accept", 400),
        (token.as_str(), "accept", 200),
        (token.as_str(), "accept", 410),
        (token.as_str(), "decline", 410),
    ] {
        let (status, text) = scene.answer(token, answer).await;
        assert_eq!(status, expected, "{answer}: {text}");
    }

    // Ben signs in, and is in the session.
    let mut ben = console(&scene.place, "ben").await;
    let session = scene.ana.session;
    ben.until(|ev| match ev {
        Ev::Session(view) if view.session == session => {
            view.participants.iter().any(|it| it.name == "Ben B").then_some(())
        }
        _ => None,
    })
    .await;
    assert!(!server.has_more(), "one letter");
    drop(ben);
    scene.close().await;
}

#[tokio::test]
async fn r7_4_who_invited_hears_that_it_was_declined_and_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(Manner::Takes).await;
    let mut scene = Scene::open(folder.path(), post(server.address)).await;
    scene.share().await.unwrap();
    let token = server.letter().await.secret("invitation#decline.");
    assert_eq!(scene.answer(&token, "decline").await.0, 200);
    assert_eq!(scene.over().await, "declined");

    scene.share().await.unwrap();
    let token = server.letter().await.secret("invitation#decline_and_switch_off.");
    assert_eq!(scene.answer(&token, "decline_and_switch_off").await.0, 200);
    assert_eq!(scene.over().await, "declined");
    assert_eq!(code(scene.share().await), "no_rep_available");
    assert!(!server.has_more());
    scene.close().await;
}

#[tokio::test]
async fn r7_4_a_recipient_whom_the_server_refuses_is_tried_once_and_who_invited_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = MailServer::start(Manner::Refuses).await;
    let mut scene = Scene::open(folder.path(), post(server.address)).await;
    scene.share().await.unwrap();
    assert_eq!(scene.over().await, "mail_failed");
    assert_eq!(server.connections(), 1);
    // It may be sent again.
    scene.share().await.unwrap();
    assert_eq!(scene.over().await, "mail_failed");
    scene.close().await;
}

#[tokio::test]
async fn r7_4_a_server_that_says_not_now_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(Manner::NotYet(2)).await;
    let scene = Scene::open(folder.path(), post(server.address)).await;
    scene.share().await.unwrap();
    assert_eq!(server.letter().await.to, "ben@example.com");
    assert_eq!(server.connections(), 3);
    scene.close().await;
}

#[tokio::test]
async fn r7_4_a_dead_and_a_silent_server_hold_nobody_up_and_who_invited_is_told() {
    let silent = MailServer::start(Manner::Silent).await;
    let dead = MailServer::start(Manner::Takes).await.address;
    for (server, connections) in [(silent.address, 3), (dead, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Scene::open(folder.path(), post(server)).await;
        // Answered while nobody has taken the letter.
        scene.share().await.unwrap();
        assert_eq!(code(scene.share().await), "wrong_state");
        assert_eq!(scene.over().await, "mail_failed");
        if connections > 0 {
            assert_eq!(silent.connections(), connections);
        }
        scene.close().await;
    }
}

#[tokio::test]
async fn r7_5_an_external_rep_s_key_comes_by_mail_and_is_good_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = MailServer::start(Manner::NotYet(0)).await;
    let scene = Scene::open(folder.path(), post(server.address)).await;
    let invite =
        |address: &str| Do::InviteExternal { session: scene.ana.session, address: address.into(), policy: None };
    scene.ana.client.act(invite("eve@partner.example")).await.unwrap();
    let letter = server.letter().await;
    assert_eq!(letter.to, "eve@partner.example");
    assert!(letter.text.contains("Ana asks you to help"), "names as customers see them: {}", letter.text);
    let key = letter.secret("--invite ");
    let target = scene.place.target(Transport::Ws);
    let eve = Client::connect(target, hello(Role::External, Credential::Key(key))).await.unwrap();
    assert_eq!(eve.0.welcome().session, Some(scene.ana.session));
    drop(eve);
    scene.close().await;

    let folder = tempfile::tempdir().unwrap();
    let refuses = MailServer::start(Manner::Refuses).await;
    let mut scene = Scene::open(folder.path(), post(refuses.address)).await;
    let invite = Do::InviteExternal { session: scene.ana.session, address: "mal@partner.example".into(), policy: None };
    let Done::Key { key, .. } = scene.ana.client.act(invite).await.unwrap() else { panic!("a key was made") };
    let told = |ev| if let Ev::MailFailed { address, .. } = ev { Some(address) } else { None };
    assert_eq!(scene.ana.until(told).await, "mal@partner.example");
    let target = scene.place.target(Transport::Ws);
    let mal = Client::connect(target, hello(Role::External, Credential::Key(key.into()))).await.unwrap();
    drop(mal);
    scene.close().await;
}

#[tokio::test]
async fn a_letter_goes_over_tls_to_a_server_that_is_vouched_for_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, authority) = tls_in(folder.path());
    let login = || Some(("equipoise".to_owned(), Zeroizing::new("a password".to_owned())));
    let mut with_tls = MailServer::start(Manner::StartTls(acceptor)).await;
    let mut without = MailServer::start(Manner::Takes).await;
    let letter = || {
        let post = Post::open(&settings(without.address)).unwrap();
        post.letters().external("eve@partner.example", "Ana", "KEY")
    };
    let send = async |server: SocketAddr, authority: Option<Vec<u8>>| {
        let encryption = Encryption::StartTls;
        let settings = equipoise::mail::Settings { encryption, login: login(), authority, ..settings(server) };
        let (told, failed) = tokio::sync::oneshot::channel();
        let post = Post::open(&settings).unwrap();
        post.send(letter(), move || told.send(()).unwrap());
        // Dropped without a word: the server took the letter.
        failed.await.is_err()
    };
    assert!(send(with_tls.address, Some(authority)).await);
    let taken = with_tls.letter().await;
    assert!(taken.encrypted && taken.login.is_some(), "{taken:?}");

    assert!(!send(with_tls.address, None).await, "nobody vouches for it");
    assert!(!with_tls.has_more());
    assert!(!send(without.address, None).await, "it offers no STARTTLS");
    assert!(!without.has_more());

    let broken = equipoise::mail::Settings { authority: Some(b"no certificate".to_vec()), ..settings(without.address) };
    let broken = equipoise::mail::Settings { encryption: Encryption::Tls, ..broken };
    assert!(Post::open(&broken).is_err());
}

/// What was logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_holds_a_letter_s_secret_or_whom_it_is_for() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let logging = tracing::subscriber::set_default(subscriber.finish());
    let mut server = MailServer::start(Manner::Takes).await;
    let refuses = MailServer::start(Manner::Refuses).await;
    let (told, failed) = tokio::sync::oneshot::channel();
    let letter = |post: &Post| post.letters().invitation("ben@example.com", "Ana", 7, "the-secret");
    let (takes, refuses) = (post(server.address), post(refuses.address));
    assert_eq!(format!("{:?}", letter(&takes)), "Letter(…)");
    takes.send(letter(&takes), || panic!("it is taken"));
    refuses.send(letter(&refuses), move || told.send(()).unwrap());
    assert!(server.letter().await.text.contains("the-secret"));
    failed.await.unwrap();
    takes.close().await;
    drop(logging);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the mail server did not take a letter"), "{logged}");
    assert!(!logged.contains("the-secret") && !logged.contains("ben@example"), "{logged}");
}

#[tokio::test]
async fn a_post_that_is_full_or_closed_says_so_at_once() {
    let silent = MailServer::start(Manner::Silent).await;
    let mut slow = settings(silent.address);
    // Nobody waits for it: the end of the post comes first.
    slow.tries.each = equipoise::time::Span::minutes(60);
    let post = Post::open(&slow).unwrap();
    let failed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let send = |post: &Post| {
        let failed = failed.clone();
        let letter = post.letters().external("eve@partner.example", "Ana", "KEY");
        post.send(letter, move || {
            failed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
    };
    let failures = || failed.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..equipoise::limits::LETTERS_ON_THEIR_WAY {
        send(&post);
    }
    assert_eq!(failures(), 0);
    send(&post);
    assert_eq!(failures(), 1, "one too many");
    post.close().await;
    assert_eq!(failures(), equipoise::limits::LETTERS_ON_THEIR_WAY + 1, "each sender is told");
}
