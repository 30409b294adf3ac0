//! A directory as what is served: what only holds there. What holds for both is tested on both, where
//! the other tests are.

mod cuts;
mod deep;
mod escapes;
mod exports;
mod faults;
mod links;
#[cfg(target_os = "linux")]
mod mounts;
mod semantics;
mod syscalls;
