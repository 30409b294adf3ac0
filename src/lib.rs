//! s3dav serves S3 as WebDAV, for Finder and everyone else.
//!
//! A request walks down this list once, and its answer walks back up; a module uses only those
//! below it (`tests/gateway/layering` holds the exact table; `src/ARCHITECTURE.md` is the map for whoever comes new):
//!
//! - [`cli`]: the command line's structs.
//! - [`commands`]: one file a command; puts the layers together.
//! - [`config`]: one complete, typed configuration.
//! - [`service`]: the gateway as a service of its user: launchd's and systemd's definitions.
//! - [`container`]: what mounts Amazon S3 Files in a container, and watches over it.
//! - [`parent`]: the process that holds a gateway's sockets, and starts it anew when it dies.
//! - [`control`]: the sockets by which commands talk to a running gateway, and to its parent.
//! - [`mount`]: attaching what is served to a directory.
//! - [`notify`]: what became of saves, said on the user's desktop.
//! - [`http`]: the front; the life of one request is in `http/service.rs`.
//! - [`dav`]: WebDAV; the engine behind its intercepts, PROPFIND, locks.
//! - [`page`]: pages for people: a folder, and why something is not shown.
//! - [`fs`]: a bucket, or a directory, as a file system; what they promise is in their `SEMANTICS.md`.
//! - [`store`]: object stores; `store/s3` is the only place that sees the AWS SDK.
//! - [`cache`]: what is known without asking; pure structures.
//! - [`spool`]: bodies that are taken without a pause, however slowly they are stored.
//! - [`state`]: the local database of one source.
//! - [`peer`]: whose program is at the other end of a connection; [`sockets`]: those that were opened before;
//!   [`descriptors`]: how many there may be.
//! - [`stack`]: Amazon S3 Files as a stack of CloudFormation: its template, and what is known of one.
//! - [`aws_cli`]: the AWS command line, the door to CloudFormation, ECS and SSM.
//! - [`process`]: programs of the system, which are told only what they need.
//! - [`iam`]: what AWS must allow, as policies.
//! - [`client`]: who is asking, and what is peculiar to that client.
//! - [`named`]: enums by their names, such as what an option can be.
//! - [`object`], [`open_file`], [`metrics`], [`shutdown`], [`tally`], [`logging`], [`spelling`], [`words`]: the vocabulary and small tools.
//!
//! Beside it stands [`embedded`], an S3 server for the demo and the tests.

//! System calls that no crate offers are made in `peer/macos.rs` and `sockets/launchd.rs`; nothing else is
//! unsafe.

#![deny(unsafe_code)]

pub mod aws_cli;
pub mod bucket_spec;
pub mod cache;
pub mod checksum;
pub mod cli;
pub mod client;
pub mod commands;
pub mod config;
pub mod container;
pub mod control;
pub mod dav;
pub mod descriptors;
#[cfg(feature = "demo")]
pub mod embedded;
pub mod far;
pub mod fs;
pub mod http;
pub mod iam;
pub mod logging;
pub mod metrics;
pub mod mistake;
pub mod mount;
pub mod named;
pub mod notify;
pub mod object;
pub mod open_file;
pub mod page;
pub mod parent;
pub mod path_key;
pub mod peer;
pub mod process;
pub mod relay;
pub mod service;
pub mod shutdown;
pub mod sockets;
pub mod spelling;
pub mod spool;
pub mod stack;
pub mod state;
pub mod store;
pub mod sync;
pub mod tally;
#[cfg(test)]
mod testing;
pub mod units;
pub mod words;
