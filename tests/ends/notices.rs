//! Notices to waiting customers, by the rep's console (R10.1).

use crate::place::{Place, SITE};
use equipoise::{agent::Allow, client::Transport};

#[tokio::test(flavor = "multi_thread")]
async fn r10_1_a_rep_tells_waiting_customers_and_takes_it_back() {
    let place = Place::open(&SITE.replace("\"opt_out\", ", "\"opt_out\", \"edit_customer_notices\", ")).await;
    let mut customer = place.customer(Transport::Ws, Allow::All, &place.folder("share")).await;
    let mut ana = place.rep(Transport::Ws, None);
    ana.until("accept or reject").await;
    ana.type_in("notices\n").await;
    ana.until("no notice").await;
    ana.type_in("notice --for 90 the mail server's line is down\n").await;
    ana.until("notice 1 is told").await;
    customer.until("the mail server's line is down").await;
    ana.type_in("notices\n").await;
    ana.until("1 (ana, 90 min): the mail server's line is down").await;
    ana.type_in("withdraw 1\n").await;
    ana.until("notice 1 is withdrawn").await;
    ana.type_in("notices\n").await;
    ana.until("no notice").await;
    place.close().await;
}
