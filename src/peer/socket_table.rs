//! Linux's tables of TCP sockets, `/proc/net/tcp` and `/proc/net/tcp6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The owner of the established socket between `client`, its own end, and `server`.
pub(super) fn owner(table: &str, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, state, _, _, _, uid, _, inode, ..] = fields.as_slice() else { return None };
        let fits = *state == ESTABLISHED
            && *inode != "0"
            && address(local) == Some(client)
            && address(remote) == Some(server);
        fits.then(|| uid.parse().ok()).flatten()
    })
}

/// `0100007F:208A`: words in the machine's order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|word| Some(u32::from_str_radix(ip.get(word * 8..word * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [v4] => IpAddr::V4(Ipv4Addr::from(*v4)),
        [_, _, _, _] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

const ESTABLISHED: &str = "01";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(local: &str, remote: &str, state: &str, inode: &str) -> String {
        format!(
            "  sl  local_address rem_address   st …\n   0: {local} {remote} {state} 00000000:00000000 \
             00:00000000 00000000  1000        0 {inode} 1 0000000000000000 20 4 30 10 -1\n"
        )
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn both_families_are_read() {
        let (client, server) = ("127.0.0.1:8330".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        let of = |text: &str| owner(text, client, server);
        assert_eq!(of(&line("0100007F:208A", "0100007F:0050", "01", "77")), Some(1000));
        assert_eq!(of(&line("0100007F:0050", "0100007F:208A", "01", "77")), None, "the other end");
        assert_eq!(of(&line("0100007F:208A", "0100007F:0050", "04", "77")), None, "closing");
        assert_eq!(of(&line("0100007F:208A", "0100007F:0050", "01", "0")), None, "nobody holds it");
        let mapped = "0000000000000000FFFF00000100007F";
        assert_eq!(of(&line(&format!("{mapped}:208A"), &format!("{mapped}:0050"), "01", "7")), Some(1000));
        let loopback = "00000000000000000000000001000000";
        let text = line(&format!("{loopback}:208A"), &format!("{loopback}:0050"), "01", "7");
        assert_eq!(owner(&text, "[::1]:8330".parse().unwrap(), "[::1]:80".parse().unwrap()), Some(1000));
        for broken in ["", "x\n0: zz:1 1:1 01\n", "h\n 0: 0100007F 1 01 a b c d e f g\n"] {
            assert_eq!(of(broken), None);
        }
    }
}
