//! The front: what stands between the network and WebDAV.
//!
//! [`server`] accepts and drains, [`service`] is the life of one request from top to bottom,
//! [`hosts`] and [`guard`] refuse what nobody behind must see, [`places`] keeps room for those who come.

pub mod auth;
mod body;
mod challenges;
mod conditions;
mod conn_info;
mod date;
mod destination;
mod guard;
mod guesses;
mod hosts;
mod people;
mod places;
mod range;
mod ready;
mod record;
mod refused;
mod relayed;
mod repeats;
pub mod server;
mod service;
mod status;

pub use challenges::Challenges;
pub use hosts::{AllowedHost, NoHost};
pub use ready::Readiness;
pub use server::{Limits, Server};
pub use service::{Behind, Service, ServiceOptions};

#[cfg(test)]
mod properties;
