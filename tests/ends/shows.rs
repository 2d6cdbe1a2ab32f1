//! BU-067, BU-068 at two consoles: a rep shows its screen to another, who looks and, once it may, controls it.

use crate::place::{Place, SITE};
use equipoise::{client::Transport, rep::Way};

fn site() -> String {
    let more = "\"share_outside\", \"show_screen_to_reps\", \"give_control_to_reps\"";
    let ben = "[[user]]\nusername = \"ben\"\nprivate_name = \"Ben B\"\n";
    format!("{}{ben}", SITE.replacen("\"share_outside\"", more, 1))
}

async fn shown(ana_by: Transport, ben_by: Transport) {
    let place = Place::open(&site()).await;
    place.admit("ben").await;
    let mut ben = place.console(Way::Login("ben".into()), ben_by, None);
    ben.until("in view").await;
    let mut ana = place.rep(ana_by, None);
    ana.until("in view").await;
    ana.line("control on", "you show your screen to nobody").await;
    ana.line("show ben", "rep:ben is asked to look at your screen").await;
    ben.until("ana shows you a screen in s1: join 1 or reject 1").await;
    ben.line("join 1", "you serve s1 active, the screen of ana").await;
    let picture = place.path("picture.png");
    ben.line(&format!("screen --save {}", picture.display()), "pictures of 320×200").await;
    ben.line("type hello", "the screen is not under control").await;
    ben.line("screen --control", "permission `screen` by user:ana").await;
    ana.line("control on", "control is given").await;
    ben.line("screen --control", "pictures of 320×200").await;
    ben.type_in("click 5 6\n").await;
    ben.line(&format!("shot {}", place.path("shot.png").display()), "bytes of PNG").await;
    ana.line("control off", "control is taken back").await;
    ben.until("was taken away: screen by user:ana").await;
    ben.line("type hello", "the channel ended").await;
    ana.line("show stop", "your screen is not shown any more").await;
    ben.until("s1 is gone: by_rep").await;
    assert!(std::fs::read(picture).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));

    ana.line("show rep:ben", "rep:ben is asked").await;
    ben.line("reject 2", "s2 rejected").await;
    ana.until("your invitation of rep:ben into s2 is over: declined").await;
    for rep in [&mut ana, &mut ben] {
        rep.type_in("quit\n").await;
        rep.left().await.unwrap();
    }
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bu_067_bu_068_a_screen_between_two_consoles_over_websocket() {
    shown(Transport::Ws, Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bu_067_bu_068_a_screen_between_two_consoles_over_quic() {
    shown(Transport::Quic, Transport::Ws).await;
}
