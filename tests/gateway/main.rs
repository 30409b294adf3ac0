//! Everything that is tested from outside: one binary, one harness.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod absences;
mod access;
mod activation;
mod bad_inputs;
mod bases;
mod capabilities;
mod cli;
mod clients;
mod conflicts;
mod conformance;
mod control;
mod costs;
mod cuts;
mod damage;
mod endpoints;
mod finder;
mod harness;
mod kills;
mod layering;
mod locks;
mod lost_answers;
mod methods;
mod model;
mod mounting;
mod outages;
mod parent;
mod path;
mod propfind;
mod races;
mod readme;
mod scale;
mod semantics;
mod service;
mod skew;
mod slashes;
mod stalls;
mod startup;
mod state_dirs;
mod stores;
mod strangers;
mod streams;
mod trees;
mod under_way;
mod uplinks;
