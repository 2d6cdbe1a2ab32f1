//! Networks, as far as one party may own them.

use std::net::IpAddr;

/// An IPv4 address or an IPv6 /64 for keys and connections, a /24 or /64 for sign-ins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Net(pub(super) IpAddr);

impl Net {
    pub(crate) fn of_key(address: IpAddr) -> Self {
        Self::masked(address, u32::MAX)
    }

    pub(super) fn of_sign_in(address: IpAddr) -> Self {
        Self::masked(address, u32::MAX << 8)
    }

    fn masked(address: IpAddr, v4: u32) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4((address.to_bits() & v4).into()),
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        })
    }

    /// Always 16 bytes, whatever the family.
    pub(super) fn bytes(self) -> [u8; 16] {
        match self.0 {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_itself() {
        let address = |text: &str| text.parse().unwrap();
        assert_eq!(Net::of_key(address("2001:db8::1")), Net::of_key(address("2001:db8::ffff:1")));
        assert_ne!(Net::of_key(address("2001:db8::1")), Net::of_key(address("2001:db8:0:1::1")));
        assert_eq!(Net::of_key(address("::ffff:192.0.2.1")), Net::of_key(address("192.0.2.1")));
        assert_ne!(Net::of_key(address("192.0.2.1")), Net::of_key(address("192.0.2.2")));
        assert_eq!(Net::of_sign_in(address("192.0.2.1")), Net::of_sign_in(address("192.0.2.2")));
    }
}
