//! Keys, passwords, tickets and resume tokens in the wrong hands (H-47…H-56).

use crate::{
    attack::{Ground, Raw, http, in_time},
    place::hello,
};
use equipoise::{
    client::{Client, Transport},
    framing::SIGN_IN_PATH,
    limits,
    wire::{
        CloseCode, Credential, Do,
        control::{KeyKind, Role},
    },
};

fn by_key(key: &str) -> equipoise::wire::Hello {
    hello(Role::Customer, Credential::Key(key.to_owned()))
}

/// What somebody with this hello is told: the code and the words of the close.
async fn told(ground: &Ground, hello: equipoise::wire::Hello) -> (u16, String) {
    let mut raw = ground.socket().await;
    raw.say(&equipoise::wire::FromClient::Hello(Box::new(hello))).await;
    raw.ends_with_reason().await
}

#[tokio::test]
async fn h_47_never_made_and_used_keys_get_one_answer_and_the_sixth_wrong_one_4029() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let used = ground.key(KeyKind::Code).await;
    let (first, _) = ground.greet(by_key(&used)).await.unwrap();
    drop(first);
    let (code, words) = told(&ground, by_key(&used)).await;
    assert_eq!(code, CloseCode::Gone.number());
    for n in 1..limits::WRONG_KEYS_PER_MIN {
        assert_eq!(told(&ground, by_key(&format!("0000-000{n}"))).await, (code, words.clone()), "wrong key {n}");
    }
    let good = ground.key(KeyKind::Code).await;
    for key in ["0000-0009", good.as_str()] {
        let mut raw = ground.socket().await;
        raw.say(&equipoise::wire::FromClient::Hello(Box::new(by_key(key)))).await;
        let (mut wait, mut code) = (None, 0);
        while let Some(item) = raw.next().await {
            match item {
                equipoise::framing::websocket::Item::Message(message) => {
                    if let Ok(equipoise::wire::FromBroker::Bye(bye)) = equipoise::wire::FromBroker::decode(&message) {
                        wait = bye.retry_after_ms;
                    }
                }
                equipoise::framing::websocket::Item::Close(close) => {
                    code = close.unwrap().0;
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(code, 4029, "from here not even a right key is looked at");
        assert!(wait.is_some_and(|wait| (1..=60_000).contains(&wait)), "told how long to wait: {wait:?}");
    }
    ground.close_among_limited().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_47_of_many_wrong_keys_at_the_same_instant_five_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let keys: Vec<String> = (0..40).map(|n| format!("0000-00{n:02}")).collect();
    let all = futures_util::future::join_all(keys.iter().map(|key| ground.greet(by_key(key)))).await;
    let codes: Vec<u16> = all.into_iter().map(|told| told.err().expect("no such key")).collect();
    let looked_at = codes.iter().filter(|code| **code == 4510).count();
    assert_eq!(looked_at, limits::WRONG_KEYS_PER_MIN as usize, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 4510 | 4029)), "{codes:?}");
    ground.close_among_limited().await;
}

/// Uses up the site's budget of wrong keys: thirteen addresses with five each are more than it has.
async fn use_up_the_budget(ground: &Ground) {
    let mut asked_to_work = 0;
    for n in 0..13u8 {
        let address = std::net::IpAddr::from([192, 0, 2, n + 1]);
        for m in 0..limits::WRONG_KEYS_PER_MIN {
            let key = format!("{n:02}00-000{m}");
            let denied = ground.place.broker.enter(by_key(&key), origin(address)).await.err().unwrap();
            asked_to_work += u32::from(denied.code == CloseCode::RateLimited && denied.work.is_some());
        }
    }
    assert_eq!(asked_to_work, 13 * limits::WRONG_KEYS_PER_MIN - limits::WRONG_KEYS_SITE_PER_MIN);
}

#[tokio::test]
async fn h_48_when_the_site_s_budget_is_gone_codes_need_work_and_links_work() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    use_up_the_budget(&ground).await;
    let code = ground.key(KeyKind::Code).await;
    assert_eq!(ground.greet(by_key(&code)).await.err(), Some(4029), "right ones too");
    let link = ground.key(KeyKind::Link).await;
    assert!(ground.greet(by_key(&link)).await.is_ok(), "nobody guesses a link");
    // A client of ours works by itself, and comes in.
    for transport in [Transport::Ws, Transport::Quic] {
        let code = ground.key(KeyKind::Code).await;
        let entered = in_time(Client::connect(ground.place.target(transport), by_key(&code))).await;
        let (client, happenings) = entered.unwrap();
        happenings.ignore();
        in_time(client.close()).await;
    }
    ground.close().await;
}

#[tokio::test]
async fn h_48_work_is_good_once_from_its_address_and_saves_nobody_from_its_own_limit() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    use_up_the_budget(&ground).await;
    let (here, there) = (origin([198, 51, 100, 1].into()), origin([198, 51, 100, 2].into()));
    let enter = async |credential, from: &equipoise::broker::Origin| {
        let entered = ground.place.broker.enter(hello(Role::Customer, credential), from.clone()).await;
        entered.map_err(|denied| (denied.code.number(), denied.work))
    };
    let code = ground.key(KeyKind::Code).await;
    let (4029, Some(work)) = enter(Credential::Key(code.clone()), &here).await.err().unwrap() else { panic!("work") };
    let challenge = work.challenge.clone();
    let answer = tokio::task::spawn_blocking(move || work.solve()).await.unwrap().unwrap();
    let worked =
        |key: &str, answer| Credential::WorkedKey { key: key.to_owned(), challenge: challenge.clone(), answer };
    assert_eq!(enter(worked(&code, answer), &there).await.err().unwrap().0, 4029, "from another address");
    assert_eq!(enter(worked(&code, answer + 1), &here).await.err().unwrap().0, 4029, "not the answer");
    assert!(enter(worked(&code, answer), &here).await.is_ok());
    let other = ground.key(KeyKind::Code).await;
    assert_eq!(enter(worked(&other, answer), &here).await.err().unwrap().0, 4029, "it was used");
    ground.close().await;
}

/// B-34 in a smaller form: through the whole of the broker, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn h_48_b_34_ten_thousand_guesses_from_as_many_addresses_stay_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let code = ground.key(KeyKind::Code).await;
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..10_000u32 {
        let broker = ground.place.broker.clone();
        guesses.spawn(async move {
            let address = std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            let key = format!("Z{:03}-{:04}", n / 10_000, n % 10_000);
            broker.enter(by_key(&key), origin(address)).await.err().expect("no such key").code.number()
        });
    }
    let codes = guesses.join_all().await;
    let looked_at = codes.iter().filter(|code| **code == 4510).count();
    assert_eq!(looked_at, limits::WRONG_KEYS_SITE_PER_MIN as usize);
    assert_eq!(codes.iter().filter(|code| **code == 4029).count(), 10_000 - looked_at);
    // Customers still come in: with work by code, without by link.
    let entered = in_time(Client::connect(ground.place.target(Transport::Ws), by_key(&code))).await;
    entered.unwrap().0.close().await;
    ground.close().await;
}

fn origin(address: std::net::IpAddr) -> equipoise::broker::Origin {
    equipoise::broker::Origin { address, host: None, transport: equipoise::broker::TransportName::Wss, page: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn h_49_of_those_who_use_one_key_at_the_same_instant_one_comes_in() {
    for kind in [KeyKind::Link, KeyKind::Code] {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::open(folder.path()).await;
        let key = ground.key(kind).await;
        let all = futures_util::future::join_all((0..8).map(|_| async { ground.greet(by_key(&key)).await })).await;
        let (inside, outside): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
        assert_eq!(inside.len(), 1);
        for refused in outside {
            let code = refused.err().unwrap();
            // Seven wrong keys are more than one address has.
            assert!(code == 4510 || code == 4029, "{code}");
        }
        ground.close_among_limited().await;
    }
}

#[tokio::test]
async fn h_50_a_key_as_people_type_it_is_known_and_another_alphabet_is_4540() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let key = ground.key(KeyKind::Code).await;
    let typed = format!(" {} ", key.to_lowercase().replace('-', " - ").replace('0', "o").replace('1', "l"));
    assert!(ground.greet(by_key(&typed)).await.is_ok(), "{typed}");
    let wide: String =
        key.chars().map(|c| if c.is_ascii_digit() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c }).collect();
    for bad in ["", "１２３４-５６７８", "AB\0D-EFGH", "../../etc", &"A".repeat(3_000), &format!("{wide}é")] {
        assert_eq!(ground.greet(by_key(bad)).await.err(), Some(4540), "{bad:.20}");
    }
    assert_eq!(ground.greet(by_key(&"A".repeat(10_000))).await.err(), Some(1009), "over a hello's 4 KiB");
    ground.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h_52_many_sign_ins_at_once_are_answered_or_told_to_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut ground = Ground::open(folder.path()).await;
    let plain = ground.plain;
    let one = |n: usize| {
        let body = format!(r#"{{"username":"user{n}","password":"a wrong password"}}"#);
        let text = format!(
            "POST {SIGN_IN_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        http(plain, text)
    };
    // The pair works on while they are hashed.
    let meanwhile = async {
        for _ in 0..50 {
            ground.unharmed().await;
        }
    };
    let (all, ()) = tokio::join!(futures_util::future::join_all((0..200).map(one)), meanwhile);
    let count = |status: u16| all.iter().filter(|(got, _)| *got == status).count();
    assert_eq!(
        count(401) + count(429) + count(503),
        200,
        "{:?}",
        all.iter().map(|(status, _)| status).collect::<Vec<_>>()
    );
    assert!(count(401) <= limits::SIGN_INS_PER_MIN as usize + 1, "one network has twenty a minute");
    assert!(all.iter().filter(|(status, _)| *status != 401).all(|(_, text)| text.contains("retry-after")));
    ground.unharmed().await;
    ground.close().await;
}

#[tokio::test]
async fn h_55_a_ticket_works_once_for_its_role_and_from_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let token = ground.token("ben").await;
    let ticket = |page: Option<&str>| ground.place.broker.ticket(&token, page, "rep").unwrap();
    let with = |role, ticket: &str| hello(role, Credential::Ticket(ticket.to_owned()));
    let first = ticket(None);
    assert_eq!(ground.greet(with(Role::Customer, &first)).await.err(), Some(4501), "a customer has no tickets");
    assert_eq!(ground.greet(hello(Role::Rep, Credential::Token(first.clone()))).await.err(), Some(4501), "as a token");
    assert!(ground.greet(with(Role::Rep, &first)).await.is_ok());
    assert_eq!(ground.greet(with(Role::Rep, &first)).await.err(), Some(4501), "twice");
    let stolen = ticket(None);
    assert_eq!(ground.greet(with(Role::Admin, &stolen)).await.err(), Some(4501), "for another role");
    assert_eq!(ground.greet(with(Role::Rep, &stolen)).await.err(), Some(4501), "shown in the wrong place, it is burnt");
    let of_a_page = ticket(Some("https://console.example"));
    assert_eq!(ground.greet(with(Role::Rep, &of_a_page)).await.err(), Some(4501), "from no page");
    let of_none = ticket(None);
    let page = "Origin: https://console.example\r\n";
    assert_eq!(Raw::upgraded(ground.plain, page).await.enter(with(Role::Rep, &of_none)).await.err(), Some(4501));
    let of_a_page = ticket(Some("https://console.example"));
    assert!(Raw::upgraded(ground.plain, page).await.enter(with(Role::Rep, &of_a_page)).await.is_ok());
    assert_eq!(ground.greet(hello(Role::Admin, Credential::Token(token.clone()))).await.err(), Some(4503), "no admin");
    ground.close().await;
}

#[tokio::test]
async fn h_56_a_replayed_resume_token_ends_the_whole_family() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let resume = |token: &str| hello(Role::Customer, Credential::Resume(token.to_owned()));
    let (_first, welcome) = ground.greet(ground.customers_hello().await).await.unwrap();
    let stolen = welcome.resume;
    let (_second, welcome) = ground.greet(resume(&stolen)).await.unwrap();
    let (mut third, welcome) = ground.greet(resume(&welcome.resume)).await.unwrap();
    assert_eq!(ground.greet(resume(&stolen)).await.err(), Some(4510), "used long ago");
    assert_eq!(ground.greet(resume(&welcome.resume)).await.err(), Some(4510), "and with it the newest is dead");
    assert!(third.ends().await >= 4500, "who was connected by it is cut off");
    for other in ["", "x", "a token of nobody"] {
        assert_eq!(ground.greet(resume(other)).await.err(), Some(4510));
    }
    ground.close().await;
}

#[tokio::test]
async fn h_56_a_resume_token_is_dead_after_logout() {
    let folder = tempfile::tempdir().unwrap();
    let ground = Ground::open(folder.path()).await;
    let ben = ground.rep("ben").await;
    let token = ben.client.welcome().resume;
    in_time(ben.client.act(Do::Logout {})).await.unwrap();
    assert_eq!(ground.greet(hello(Role::Rep, Credential::Resume(token.into()))).await.err(), Some(4510));
    ground.close().await;
}
