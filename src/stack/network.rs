//! Addresses: who may come in, and where the mount target is to be.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{NoValue, no_value};

/// Addresses that may reach the load balancer: at most 256 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRange {
    first: Ipv4Addr,
    bits: u32,
}

impl std::str::FromStr for SourceRange {
    type Err = NoValue;

    fn from_str(text: &str) -> Result<Self, NoValue> {
        let wrong = |why: &str| no_value(format!("{text:?} {why}"), HOW_TO_WRITE);
        if text.contains("::") {
            return Err(wrong("is not a range of IPv4 addresses, which the load balancer needs"));
        }
        let (address, bits) = text.split_once('/').ok_or_else(|| wrong("is not a range of addresses"))?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong("is not a range of addresses"))?;
        let bits = bits
            .parse()
            .ok()
            .filter(|bits| *bits <= u32::BITS)
            .ok_or_else(|| wrong("is not a range of addresses"))?;
        if bits < WIDEST {
            return Err(wrong("would open the file system to more than 256 addresses"));
        }
        if address.octets()[0] == 0 {
            return Err(wrong("is not a usable address"));
        }
        let first = Ipv4Addr::from_bits(address.to_bits() & mask(bits));
        if first != address {
            return Err(no_value(
                format!("{text:?} is not the start of a range"),
                "the bits after the prefix must be 0; for a single address write /32",
            ));
        }
        Ok(Self { first, bits })
    }
}

impl std::fmt::Display for SourceRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// The last address of a subnet that nobody uses; AWS keeps the first four and the last to itself. `None`: it is full.
pub fn free_address(subnet: &str, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let (address, bits) = subnet.split_once('/')?;
    let (address, bits): (Ipv4Addr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    // Those of AWS have 16 to 28 bits.
    if !(MOST_OF_SUBNET..=LEAST_OF_SUBNET).contains(&bits) {
        return None;
    }
    let first = address.to_bits() & mask(bits);
    let last = first | !mask(bits);
    (first + KEPT..last).rev().map(Ipv4Addr::from_bits).find(|address| !used.contains(address))
}

fn mask(bits: u32) -> u32 {
    u32::MAX.checked_shl(u32::BITS - bits).unwrap_or(0)
}

const HOW_TO_WRITE: &str = "write your own address as in 203.0.113.7/32, or a range of it, no wider than /24";
/// Bits of the widest range that is let in.
const WIDEST: u32 = 24;
const MOST_OF_SUBNET: u32 = 16;
const LEAST_OF_SUBNET: u32 = 28;
/// Addresses at the start of a subnet that AWS uses.
const KEPT: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_range_is_wide() {
        for right in ["203.0.113.7/32", "203.0.113.0/24", "203.0.113.128/25", "255.255.255.255/32"] {
            assert_eq!(right.parse::<SourceRange>().unwrap().to_string(), right);
        }
        for wrong in [
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/24",
            "0.0.0.0/32",
            "10.0.0.0/8",
            "203.0.112.0/23",
            "203.0.113.7",
            "203.0.113.7/24",
            "203.0.113.7/33",
            "203.0.113.7/",
            "203.0.113/24",
            "2001:db8::/64",
            "any",
            "",
            "/32",
            "203.0.113.7/+32 ",
            "203.0.113.7/-1",
            "0203.0.113.7/32",
        ] {
            assert!(wrong.parse::<SourceRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_free_address_is_nobodys() {
        let used = |addresses: &[&str]| addresses.iter().map(|text| text.parse().unwrap()).collect();
        let free = |subnet, addresses: &[&str]| {
            free_address(subnet, &used(addresses)).map(|found| found.to_string())
        };
        assert_eq!(free("10.1.2.0/24", &[]).as_deref(), Some("10.1.2.254"));
        assert_eq!(free("10.1.2.16/28", &["10.1.2.30", "10.1.2.29"]).as_deref(), Some("10.1.2.28"));
        let all: Vec<String> = (20..31).map(|last| format!("10.1.2.{last}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(free("10.1.2.16/28", &all), None);
        for wrong in ["10.1.2.0", "10.1.2.0/30", "10.0.0.0/8", "x/24", "fd00::/64"] {
            assert_eq!(free(wrong, &[]), None, "{wrong}");
        }
    }
}
