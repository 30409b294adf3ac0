//! Whether the gateway can do its work, for whoever sends it requests only then.

/// What the gateway knows of its source. It is asked without a password: nothing that it says names what is served.
pub trait Readiness: Send + Sync {
    /// Why it is not ready, in a few words; `None`: it is. Answers from memory.
    fn hindrance(&self) -> Option<&'static str>;
}
