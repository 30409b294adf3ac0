//! What macOS's `net.inet.tcp.pcblist_n` holds.
//!
//! A header, then records that begin with their length and kind and follow one another at multiples of 8
//! bytes; those of one connection stand together and begin with its addresses. Layouts:
//! `bsd/netinet/in_pcb.h`, `bsd/sys/socketvar.h` and `bsd/netinet/tcp_var.h` of Apple's xnu, packed to 4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The owner of the established socket between `client`, its own end, and `server`.
pub(super) fn owner(list: &[u8], client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let mut found = Connection::default();
    let records = Records { rest: list.get(word(list, 0)? as usize..)? };
    for record in records {
        match word(record, 4)? {
            ADDRESSES => found = Connection { fits: ends(record) == Some((client, server)), uid: None },
            SOCKET => {
                let is_held = half(record, SO_STATE)? & NOBODYS == 0;
                found.uid = is_held.then(|| word(record, SO_UID)).flatten();
            }
            TCP if found.fits => {
                return found.uid.filter(|_| word(record, T_STATE) == Some(ESTABLISHED));
            }
            _ => {}
        }
    }
    None
}

/// What is known of the connection whose records are being read.
#[derive(Default)]
struct Connection {
    fits: bool,
    uid: Option<u32>,
}

struct Records<'l> {
    rest: &'l [u8],
}

impl<'l> Iterator for Records<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let length = word(self.rest, 0)? as usize;
        // A header ends the list, too; it is shorter than every record.
        let record = self.rest.get(..length).filter(|_| length > HEADER_BYTES)?;
        self.rest = self.rest.get(length.next_multiple_of(8)..).unwrap_or_default();
        Some(record)
    }
}

/// The socket's own end and the other one.
fn ends(record: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let is_v4 = record.get(VERSION)? & IPV4 != 0;
    let ip = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = record.get(at..at + 16)?.try_into().ok()?;
        Some(if is_v4 {
            Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]).into()
        } else {
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        })
    };
    let port = |at: usize| Some(u16::from_be_bytes(record.get(at..at + 2)?.try_into().ok()?));
    let local = SocketAddr::new(ip(LOCAL_ADDRESS)?, port(LOCAL_PORT)?);
    Some((local, SocketAddr::new(ip(FOREIGN_ADDRESS)?, port(FOREIGN_PORT)?)))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// `struct xinpgen`
const HEADER_BYTES: usize = 24;
/// XSO_INPCB: `struct xinpcb_n`
const ADDRESSES: u32 = 0x010;
const FOREIGN_PORT: usize = 16;
const LOCAL_PORT: usize = 18;
/// `inp_vflag`
const VERSION: usize = 44;
const IPV4: u8 = 1;
const FOREIGN_ADDRESS: usize = 48;
const LOCAL_ADDRESS: usize = 64;
/// XSO_SOCKET: `struct xsocket_n`
const SOCKET: u32 = 0x001;
const SO_STATE: usize = 26;
/// SS_NOFDREF: no program has it open.
const NOBODYS: u16 = 1;
const SO_UID: usize = 64;
/// XSO_TCPCB: `struct xtcpcb_n`
const TCP: u32 = 0x020;
const T_STATE: usize = 36;
/// TCPS_ESTABLISHED
const ESTABLISHED: u32 = 4;

/// A record of the list, for tests.
#[cfg(test)]
pub(super) fn record(length: usize, kind: u32, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut record = vec![0; length.next_multiple_of(8)];
    record[..4].copy_from_slice(&(length as u32).to_ne_bytes());
    record[4..8].copy_from_slice(&kind.to_ne_bytes());
    for (at, bytes) in fields {
        record[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..4].copy_from_slice(&(HEADER_BYTES as u32).to_ne_bytes());
        header
    }

    /// A connection from 127.0.0.1:1000 to 127.0.0.1:8330.
    fn connection(so_state: u16, t_state: u32) -> Vec<u8> {
        let fields: [(usize, &[u8]); 5] = [
            (FOREIGN_PORT, &8330_u16.to_be_bytes()),
            (LOCAL_PORT, &1000_u16.to_be_bytes()),
            (VERSION, &[IPV4]),
            (FOREIGN_ADDRESS + 12, &[127, 0, 0, 1]),
            (LOCAL_ADDRESS + 12, &[127, 0, 0, 1]),
        ];
        [
            record(104, ADDRESSES, &fields),
            record(104, SOCKET, &[(SO_STATE, &so_state.to_ne_bytes()), (SO_UID, &501_u32.to_ne_bytes())]),
            // Buffers and counters stand between.
            record(36, 0x002, &[]),
            record(204, TCP, &[(T_STATE, &t_state.to_ne_bytes())]),
        ]
        .concat()
    }

    #[test]
    fn the_owner_of_an_established_connection_is_found() {
        let (client, server) = ("127.0.0.1:1000".parse().unwrap(), "127.0.0.1:8330".parse().unwrap());
        let list = [header(), connection(0, ESTABLISHED), header()].concat();
        assert_eq!(owner(&list, client, server), Some(501));
        assert_eq!(owner(&list, server, client), None, "the other end");
        assert_eq!(owner(&[header(), connection(NOBODYS, ESTABLISHED)].concat(), client, server), None);
        assert_eq!(owner(&[header(), connection(0, 5)].concat(), client, server), None, "closing");
        for end in 0..list.len() {
            // Cut off anywhere, it is nobody's or the right one's.
            assert_ne!(owner(&list[..end], client, server), Some(0));
        }
    }

    #[test]
    fn both_families_are_read() {
        let loopback = Ipv6Addr::LOCALHOST.octets();
        let fields: [(usize, &[u8]); 5] = [
            (FOREIGN_PORT, &8330_u16.to_be_bytes()),
            (LOCAL_PORT, &1000_u16.to_be_bytes()),
            (VERSION, &[2]),
            (FOREIGN_ADDRESS, &loopback),
            (LOCAL_ADDRESS, &loopback),
        ];
        let list = [
            header(),
            record(104, ADDRESSES, &fields),
            record(104, SOCKET, &[(SO_UID, &501_u32.to_ne_bytes())]),
            record(204, TCP, &[(T_STATE, &ESTABLISHED.to_ne_bytes())]),
        ]
        .concat();
        let (client, server) = ("[::1]:1000".parse().unwrap(), "[::1]:8330".parse().unwrap());
        assert_eq!(owner(&list, client, server), Some(501));
    }
}
