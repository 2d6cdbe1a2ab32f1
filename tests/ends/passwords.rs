//! Passwords for colleagues, by the rep's console (BU-034).

use crate::place::{Place, SITE};
use equipoise::client::Transport;

#[tokio::test(flavor = "multi_thread")]
async fn bu_034_a_rep_gives_a_colleague_a_password_that_is_shown_once() {
    let site = SITE.replace("\"opt_out\", ", "\"opt_out\", \"set_passwords\", ");
    let place = Place::open(&format!("{site}\n[[user]]\nusername = \"ben\"\n[[user]]\nusername = \"kim\"\n")).await;
    let mut ana = place.rep(Transport::Ws, None);
    // What is drawn is never the same twice, and good enough for whoever judges passwords.
    for (command, name, answer) in
        [("password ben", "ben", Err("password_reset_required".to_owned())), ("password --keep kim", "kim", Ok(()))]
    {
        ana.type_in(&format!("{command}\n")).await;
        ana.until(&format!(" for {name}")).await;
        let seen = ana.seen();
        let line = seen.lines().rfind(|line| line.contains(&format!(" for {name}"))).unwrap();
        let drawn = line.split("password ").nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(drawn.len(), 19, "{line}");
        assert_eq!(place.signs_in(name, drawn).await, answer);
    }
    ana.type_in("unlock ben\n").await;
    ana.until("ben may sign in again at once").await;
    ana.type_in("password ana\n").await;
    ana.until("your own password is changed at a sign-in").await;
    ana.type_in("unlock nobody\n").await;
    ana.until("nobody is called").await;
    place.close().await;
}
