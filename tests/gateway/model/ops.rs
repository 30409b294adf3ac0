//! What can happen in a sequence.

use proptest::prelude::*;

/// A file's path below the sequence's own folder.
pub type Path = &'static str;

/// Names of files and of folders do not mix: what happens where they do has tests of its own.
const FILES: [Path; 7] = ["x", "y", "a/x", "a/y", "b/x", "a/c/x", "caf\u{e9}"];
const FOLDERS: [Path; 3] = ["a", "b", "a/c"];

/// A step.
#[derive(Debug, Clone)]
pub enum Op {
    Put {
        client: usize,
        path: Path,
        length: usize,
    },
    Get {
        client: usize,
        path: Path,
    },
    GetRange {
        client: usize,
        path: Path,
        first: usize,
        last: usize,
    },
    Head {
        client: usize,
        path: Path,
    },
    List {
        client: usize,
        folder: Path,
    },
    MakeFolder {
        folder: Path,
    },
    Delete {
        client: usize,
        path: Path,
    },
    DeleteFolder {
        client: usize,
        folder: Path,
    },
    Transfer {
        client: usize,
        moves: bool,
        from: Path,
        to: Path,
        overwrite: bool,
    },
    TransferFolder {
        client: usize,
        moves: bool,
        from: Path,
        to: Path,
    },
    /// Another program writes to the bucket, past the gateway.
    OutsidePut {
        path: Path,
        length: usize,
    },
    OutsideDelete {
        path: Path,
    },
    /// All that is remembered becomes old.
    Wait,
    /// S3 does harm during a step.
    Faulty(Fault, Box<Op>),
    /// A read's answer from S3 is held back over a step.
    Held(Box<Op>, Box<Op>),
}

/// Harm that S3 does once.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    LostPutAnswer,
    LostCopyAnswer,
    LostDeleteAnswer,
    BrokenBody,
    ListRefused,
}

pub const CLIENTS: usize = 3;

fn file() -> impl Strategy<Value = Path> {
    prop::sample::select(&FILES[..])
}

fn folder() -> impl Strategy<Value = Path> {
    prop::sample::select(&FOLDERS[..])
}

fn client() -> impl Strategy<Value = usize> {
    0..CLIENTS
}

fn read() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (client(), file()).prop_map(|(client, path)| Op::Get { client, path }),
        2 => (client(), file(), 0..12_usize, 0..20_usize).prop_map(|(client, path, first, more)| Op::GetRange {
            client,
            path,
            first,
            last: first + more
        }),
        2 => (client(), file()).prop_map(|(client, path)| Op::Head { client, path }),
        4 => (client(), prop::sample::select(&["", "a", "b", "a/c"][..]))
            .prop_map(|(client, folder)| Op::List { client, folder }),
    ]
}

fn write() -> impl Strategy<Value = Op> {
    let length = 1..30_usize;
    prop_oneof![
        8 => (client(), file(), length).prop_map(|(client, path, length)| Op::Put { client, path, length }),
        3 => (client(), file()).prop_map(|(client, path)| Op::Delete { client, path }),
        2 => folder().prop_map(|folder| Op::MakeFolder { folder }),
        1 => (client(), folder()).prop_map(|(client, folder)| Op::DeleteFolder { client, folder }),
        4 => (client(), any::<bool>(), file(), file(), prop::bool::weighted(0.8)).prop_map(
            |(client, moves, from, to, overwrite)| Op::Transfer { client, moves, from, to, overwrite }
        ),
        2 => (client(), any::<bool>(), folder(), folder())
            .prop_map(|(client, moves, from, to)| Op::TransferFolder { client, moves, from, to }),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::LostPutAnswer,
        Fault::LostCopyAnswer,
        Fault::LostDeleteAnswer,
        Fault::BrokenBody,
        Fault::ListRefused,
    ])
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        28 => read(),
        28 => write(),
        6 => (file(), 1..30_usize).prop_map(|(path, length)| Op::OutsidePut { path, length }),
        2 => file().prop_map(|path| Op::OutsideDelete { path }),
        4 => Just(Op::Wait),
        2 => (fault(), prop_oneof![write(), read()]).prop_map(|(fault, op)| Op::Faulty(fault, Box::new(op))),
        4 => (read(), write()).prop_map(|(read, write)| Op::Held(Box::new(read), Box::new(write))),
    ]
}

/// A sequence.
pub fn sequence() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 20..40)
}
