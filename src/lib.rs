#[cfg(feature = "demo")]
pub mod embedded;
pub mod logging;
pub mod metrics;
pub mod object;
pub mod shutdown;
pub mod state;
pub mod store;
