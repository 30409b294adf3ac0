//! What kernels tell of sockets: whatever is cut off or garbled, nobody is taken for another user.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::pcblist::{self, record};
use super::socket_table;
use crate::testing::{any_text, config, near, near_text};

/// A socket in a table.
#[derive(Debug, Clone)]
struct Listed {
    local: SocketAddr,
    remote: SocketAddr,
    uid: u32,
    is_established: bool,
    is_held: bool,
}

impl Listed {
    /// Who has it, if anybody.
    fn owner(&self) -> Option<u32> {
        (self.is_established && self.is_held).then_some(self.uid)
    }
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        Just(IpAddr::from(Ipv4Addr::LOCALHOST)),
        Just(IpAddr::from(Ipv6Addr::LOCALHOST)),
        any::<u32>().prop_map(|ip| Ipv4Addr::from(ip).into()),
        any::<u128>().prop_map(|ip| IpAddr::from(Ipv6Addr::from(ip)).to_canonical()),
    ];
    (ip, prop_oneof![1..4_u16, any::<u16>()]).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// Sockets of both families, no two between the same ends.
fn sockets() -> impl Strategy<Value = Vec<Listed>> {
    let uid = prop_oneof![Just(0), Just(501), Just(1000), any::<u32>()];
    let socket = (address(), address(), uid, any::<bool>(), prop_oneof![3 => Just(true), 1 => Just(false)]);
    vec(socket, 1..6).prop_map(|sockets| {
        let mut listed: Vec<Listed> = Vec::new();
        for (local, remote, uid, is_established, is_held) in sockets {
            let same_family = local.is_ipv4() == remote.is_ipv4();
            if same_family && !listed.iter().any(|other| (other.local, other.remote) == (local, remote)) {
                listed.push(Listed { local, remote, uid, is_established, is_held });
            }
        }
        listed
    })
}

/// The owner of the socket between the ends that is really there.
fn right(sockets: &[Listed], local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    sockets.iter().find(|socket| (socket.local, socket.remote) == (local, remote))?.owner()
}

/// As `/proc/net/tcp` and `/proc/net/tcp6` show them.
fn table(sockets: &[Listed]) -> String {
    let words = |bytes: &[u8]| -> String {
        let word = |word: &[u8]| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap()));
        bytes.chunks(4).map(word).collect()
    };
    let end = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => format!("{}:{:04X}", words(&ip.octets()), end.port()),
        IpAddr::V6(ip) => format!("{}:{:04X}", words(&ip.octets()), end.port()),
    };
    let mut table =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n".to_owned();
    for (index, socket) in sockets.iter().enumerate() {
        table.push_str(&format!(
            "{index:4}: {} {} {} 00000000:00000000 00:00000000 00000000 {:5}        0 {} 1 0000000000000000 20 4 30 10 -1\n",
            end(socket.local),
            end(socket.remote),
            if socket.is_established { "01" } else { "06" },
            socket.uid,
            if socket.is_held { 77 } else { 0 },
        ));
    }
    table
}

/// As `net.inet.tcp.pcblist_n` holds them.
fn list(sockets: &[Listed]) -> Vec<u8> {
    let ip = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => [[0; 12].as_slice(), &ip.octets()].concat(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut header = vec![0; 24];
    header[..4].copy_from_slice(&24_u32.to_ne_bytes());
    let mut list = header.clone();
    for socket in sockets {
        let family = if socket.local.is_ipv4() { 1 } else { 2 };
        let (foreign, local) = (ip(socket.remote.ip()), ip(socket.local.ip()));
        let ports = (socket.remote.port().to_be_bytes(), socket.local.port().to_be_bytes());
        let ends: [(usize, &[u8]); 5] =
            [(16, &ports.0), (18, &ports.1), (44, &[family]), (48, &foreign), (64, &local)];
        let state = u16::from(!socket.is_held).to_ne_bytes();
        let tcp_state = if socket.is_established { 4_u32 } else { 10 };
        list.extend(record(104, 0x010, &ends));
        list.extend(record(104, 0x001, &[(26, &state), (64, &socket.uid.to_ne_bytes())]));
        list.extend(record(36, 0x002, &[]));
        list.extend(record(204, 0x020, &[(36, &tcp_state.to_ne_bytes())]));
    }
    list.extend(header);
    list
}

/// The ends of one of these sockets, or others.
fn asked(sockets: &[Listed], which: Index, swap: bool) -> (SocketAddr, SocketAddr) {
    let none = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
    let (local, remote) = match sockets {
        [] => none,
        sockets => (which.get(sockets).local, which.get(sockets).remote),
    };
    if swap { (remote, local) } else { (local, remote) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_socket_has_its_owner(sockets in sockets(), which in any::<Index>(), swap in any::<bool>()) {
        let (local, remote) = asked(&sockets, which, swap);
        let owner = right(&sockets, local, remote);
        prop_assert_eq!(socket_table::owner(&table(&sockets), local, remote), owner);
        prop_assert_eq!(pcblist::owner(&list(&sockets), local, remote), owner);
    }

    #[test]
    fn what_is_cut_off_names_nobody_else(sockets in sockets(), which in any::<Index>(), end in any::<Index>()) {
        let (local, remote) = asked(&sockets, which, false);
        let owner = right(&sockets, local, remote);
        let (table, list) = (table(&sockets), list(&sockets));
        let read = socket_table::owner(&table[..end.index(table.len())], local, remote);
        prop_assert!(read.is_none() || read == owner, "{:?}", read);
        let read = pcblist::owner(&list[..end.index(list.len())], local, remote);
        prop_assert!(read.is_none() || read == owner, "{:?}", read);
    }

    #[test]
    fn what_is_garbled_is_read_to_its_end(
        text in prop_oneof![any_text(), near_text(sockets().prop_map(|sockets| table(&sockets)))],
        bytes in prop_oneof![vec(any::<u8>(), 0..256), near(sockets().prop_map(|sockets| list(&sockets)))],
        ends in (address(), address()),
    ) {
        socket_table::owner(&text, ends.0, ends.1);
        pcblist::owner(&bytes, ends.0, ends.1);
    }
}

#[cfg(target_os = "linux")]
proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_answer_names_its_owner_or_nobody(
        kind in prop_oneof![Just(20_u16), any::<u16>()],
        state in 0..12_u8,
        (uid, inode) in (any::<u32>(), proptest::sample::select(&[0_u32, 77][..])),
        end in any::<Index>(),
    ) {
        let mut answer = vec![0; 16 + 72];
        answer[4..6].copy_from_slice(&kind.to_ne_bytes());
        answer[17] = state;
        answer[80..84].copy_from_slice(&uid.to_ne_bytes());
        answer[84..88].copy_from_slice(&inode.to_ne_bytes());
        let owner = super::linux::owner(&answer);
        prop_assert_eq!(owner, (kind == 20 && state == 1 && inode != 0).then_some(uid));
        prop_assert_eq!(super::linux::owner(&answer[..end.index(answer.len())]), None);
    }

    #[test]
    fn an_answer_of_any_bytes_is_no_trouble(bytes in vec(any::<u8>(), 0..128)) {
        let owner = super::linux::owner(&bytes);
        let refusal = super::linux::refusal(&bytes);
        prop_assert!(owner.is_none() || refusal.is_none());
    }
}
