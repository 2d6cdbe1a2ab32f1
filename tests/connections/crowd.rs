//! Many connections from one address (I-M2), and what is remembered of an address and an account (I-A6).

use crate::{
    attack::{Ground, Raw, answer, in_time, upgrade},
    place::{PASSWORD, Place, hello},
    quic::Attacker,
    tls::client,
};
use equipoise::{
    broker::{Origin, TransportName},
    client::{self, ClientError, Transport},
    framing, limits,
    transport::{
        Congestion, HttpListener, HttpSettings, PerAddress, QuicListener, QuicSettings,
        tls::{self, Certificate, Source},
    },
    wire::{Credential, control::Role},
};
use futures_util::poll;
use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

async fn is_turned_away(stream: &mut TcpStream) -> bool {
    // A reset is an answer as well.
    in_time(stream.read(&mut [0; 16])).await.unwrap_or(0) == 0
}

async fn from_another_address(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn i_m2_one_address_has_so_many_connections_over_both_transports_and_others_have_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let per_address = PerAddress::new(3);
    let listen = "127.0.0.1:0".parse().unwrap();
    let http =
        HttpSettings { listen, tls: None, behind_proxy: false, origins: Vec::new(), per_address: per_address.clone() };
    let http = HttpListener::bind(http).await.unwrap();
    let source = Source::SelfMade { folder: folder.path().to_owned(), names: tls::names_for([]) };
    let certificate = Certificate::load(source, 1_800_000_000_000).unwrap();
    let config = Arc::new(tls::server_config(&certificate, &[framing::ALPN], false).unwrap());
    let (congestion, reset_key) = (Congestion::Bbr, certificate.reset_key());
    let quic = QuicListener::bind(QuicSettings {
        listen,
        tls: config,
        congestion,
        window_max: limits::WINDOW_BYTES_MAX,
        reset_key,
        per_address,
    })
    .unwrap();
    let (http_at, quic_at) = (http.address(), quic.address());
    let serving =
        [tokio::spawn(http.serve(ground.place.broker.clone())), tokio::spawn(quic.serve(ground.place.broker.clone()))];

    // One that was welcomed, one that says nothing, and one over QUIC.
    let mut customer = Raw::upgraded(http_at, "").await;
    customer.enter(ground.customers_hello().await).await.unwrap();
    let silent = TcpStream::connect(http_at).await.unwrap();
    let quic = Attacker::connect(quic_at, framing::ALPN).await.unwrap();
    let mut fourth = TcpStream::connect(http_at).await.unwrap();
    assert!(is_turned_away(&mut fourth).await);
    assert!(Attacker::connect(quic_at, framing::ALPN).await.is_err());
    customer.is_alive().await;

    let mut elsewhere = from_another_address(http_at).await;
    elsewhere.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut elsewhere).await.0, 200);
    let mut endpoint = Endpoint::client("127.0.0.2:0".parse().unwrap()).unwrap();
    let config = QuicClientConfig::try_from(client(&rustls::version::TLS13, &[framing::ALPN])).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(config)));
    assert!(in_time(endpoint.connect(quic_at, "broker.example").unwrap()).await.is_ok());

    // Whatever ends gives its place back: tried until the broker has noticed.
    drop((silent, quic));
    let mut kept = Vec::new();
    while kept.len() < 2 {
        let mut next = TcpStream::connect(http_at).await.unwrap();
        let _ = next.write_all(upgrade("").as_bytes()).await;
        if answer(&mut next).await.0 == 101 {
            kept.push(next);
        }
    }
    let mut fourth = TcpStream::connect(http_at).await.unwrap();
    assert!(is_turned_away(&mut fourth).await);
    ground.close().await;
    for listener in serving {
        in_time(listener).await.unwrap();
    }
}

fn retry_after_ms(refused: Result<String, ClientError>) -> u64 {
    match refused {
        Err(ClientError::Refused(refused)) if refused.code == "rate_limited" => refused.retry_after_ms.unwrap(),
        other => panic!("the account waits: {other:?}"),
    }
}

#[tokio::test]
async fn i_a6_an_account_and_an_address_wait_on_after_a_restart_and_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).await;
    let target = place.target(Transport::Ws);
    for _ in 0..limits::SIGN_IN_FAILURES {
        let wrong = client::sign_in(&target, "ana", "not the password").await;
        assert!(matches!(wrong, Err(ClientError::Refused(refused)) if refused.code == "unauthenticated"));
    }
    for n in 0..limits::WRONG_KEYS_PER_MIN {
        let key = Credential::Key(format!("0000-000{n}"));
        assert!(client::Client::connect(target.clone(), hello(Role::Customer, key)).await.is_err());
    }
    let before = retry_after_ms(client::sign_in(&target, "ana", PASSWORD).await);

    // What a crash leaves is what the file says while the broker runs.
    let lockouts = folder.path().join("data/lockouts");
    let crashed = tempfile::tempdir().unwrap();
    std::fs::create_dir(crashed.path().join("data")).unwrap();
    set_mode(&crashed.path().join("data"), 0o700);
    in_time(async {
        // Written at most a second after the last of them; the networks stand in it by then.
        loop {
            match std::fs::read(&lockouts) {
                Ok(bytes) if bytes.windows(8).any(|window| window == b"wrong_ms") => break,
                _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    std::fs::copy(&lockouts, crashed.path().join("data/lockouts")).unwrap();

    let address = place.address;
    in_time(place.close()).await;
    let again = Place::open_at(folder.path(), address).await;
    let after = retry_after_ms(client::sign_in(&again.target(Transport::Ws), "ana", PASSWORD).await);
    assert!(after > 0 && after <= before, "{before} ms were left, {after} are");
    let key = Credential::Key("0000-0009".into());
    let denied = client::Client::connect(again.target(Transport::Ws), hello(Role::Customer, key)).await.unwrap_err();
    assert!(matches!(denied, ClientError::Denied { code: 4029, retry_after_ms: Some(1..), .. }), "{denied:?}");
    in_time(again.close()).await;

    // Nobody sets a password in it, which would end the wait (BU-034).
    let after_crash = Place::open_at(crashed.path(), "127.0.0.1:0".parse().unwrap()).await;
    retry_after_ms(client::sign_in(&after_crash.target(Transport::Ws), "ana", PASSWORD).await);
    in_time(after_crash.close()).await;
}

fn set_mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn h_102_a_sealing_key_that_others_may_read_or_that_was_cut_stops_the_start() {
    use equipoise::{
        broker::{Broker, Pace, Settings},
        site::raw::RawSite,
    };
    let folder = tempfile::tempdir().unwrap();
    in_time(Place::open(folder.path()).await.close()).await;
    let key = folder.path().join("data/second-factor.key");
    let start = async || {
        let settings = Settings {
            data: folder.path().join("data"),
            disk_reserve_bytes: 0,
            site: RawSite::default(),
            person_pace: Pace::PERSON,
            window_max: limits::WINDOW_BYTES_MAX,
            post: None,
        };
        let started = Broker::start(settings, Box::new(|_, _| {}), Default::default()).await;
        started.err().map(|error| error.to_string())
    };
    set_mode(&key, 0o644);
    let told = start().await.unwrap();
    assert!(told.contains("second-factor.key") && told.contains("chmod 0600"), "{told}");
    set_mode(&key, 0o600);
    let whole = std::fs::read(&key).unwrap();
    std::fs::write(&key, &whole[..20]).unwrap();
    let told = start().await.unwrap();
    assert!(told.contains("second-factor.key") && told.contains("20 bytes"), "{told}");
    std::fs::write(&key, [&whole[..], &[0; 100]].concat()).unwrap();
    assert!(start().await.unwrap().contains("longer"), "not read on");
    std::fs::write(&key, &whole).unwrap();
    std::fs::write(folder.path().join("data/lockouts"), b"not ours").unwrap();
    let again = Place::open_at(folder.path(), "127.0.0.1:0".parse().unwrap()).await;
    in_time(again.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn when_everybody_comes_back_at_once_who_is_there_waits_behind_few_of_them() {
    const COMING: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let broker = ground.place.broker.clone();
    // The owner is busy until all of them have asked.
    let (go_on, busy) = std::sync::mpsc::sync_channel::<()>(1);
    let mut holding = Box::pin(broker.look(move |_| busy.recv()));
    assert!(poll!(&mut holding).is_pending());
    let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for number in 0..COMING {
        let (broker, asked, answered) = (broker.clone(), asked.clone(), answered.clone());
        let origin = Origin { address: [127, 0, 0, 1].into(), host: None, page: None, transport: TransportName::Ws };
        let nobodys = Credential::Resume(format!("nobody's token {number}"));
        tokio::spawn(async move {
            let mut entering = Box::pin(broker.enter(hello(Role::Rep, nobodys), origin));
            assert!(poll!(&mut entering).is_pending());
            asked.fetch_add(1, Ordering::Relaxed);
            assert!(entering.await.is_err());
            answered.fetch_add(1, Ordering::Relaxed);
        });
    }
    while asked.load(Ordering::Relaxed) < COMING {
        tokio::task::yield_now().await;
    }
    let before = answered.clone();
    let mut looking = Box::pin(broker.look(move |_| before.load(Ordering::Relaxed)));
    assert!(poll!(&mut looking).is_pending());
    go_on.send(()).unwrap();
    holding.await.unwrap().unwrap();
    let first = looking.await.unwrap();
    assert!(first <= limits::ENTERING_AT_ONCE, "{first} of {COMING} went first");
    ground.place.close().await;
}
