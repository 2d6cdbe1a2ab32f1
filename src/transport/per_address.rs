//! How many connections an address may have at once (I-M2), over WebSocket and QUIC together.

use crate::identity::Net;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// Counts them; clones share the count. An address is an IPv4 address or an IPv6 /64.
#[derive(Clone, Debug)]
pub struct PerAddress {
    most: usize,
    /// As many entries as there are connections at most.
    open: Arc<Mutex<HashMap<Net, usize>>>,
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    net: Net,
    open: Arc<Mutex<HashMap<Net, usize>>>,
}

impl PerAddress {
    pub fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// None: it has as many as it may.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let net = Net::of_key(address);
        let mut open = self.open.lock();
        let count = open.entry(net).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { net, open: self.open.clone() })
    }

    pub(super) fn is_full(&self, address: IpAddr) -> bool {
        self.open.lock().get(&Net::of_key(address)).is_some_and(|count| *count >= self.most)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.net) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.net);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_m2_an_address_has_so_many_places_and_gets_each_back() {
        let per_address = PerAddress::new(2);
        let address = |text: &str| text.parse().unwrap();
        let first = per_address.enter(address("192.0.2.1")).unwrap();
        let mapped = per_address.enter(address("::ffff:192.0.2.1")).unwrap();
        assert!(per_address.is_full(address("192.0.2.1")));
        assert!(per_address.clone().enter(address("192.0.2.1")).is_none(), "a clone shares the count");
        let other = per_address.enter(address("192.0.2.2"));
        assert!(other.is_some(), "another address has its own");
        drop(first);
        let again = per_address.enter(address("192.0.2.1"));
        assert!(again.is_some());
        drop((mapped, other, again));
        assert!(per_address.open.lock().is_empty(), "nothing stays behind");
    }

    #[test]
    fn i_m2_an_ipv6_network_is_one_address() {
        let per_address = PerAddress::new(1);
        let _kept = per_address.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(per_address.enter("2001:db8::ffff:1".parse().unwrap()).is_none());
        assert!(per_address.enter("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
