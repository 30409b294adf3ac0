//! Panics: bugs of the program are logged; what a library panics with on bad data is an error to whoever called it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// A panic that was caught.
#[derive(Debug)]
pub struct Caught {
    pub why: String,
    /// This program's own code panicked, rather than a library.
    pub is_ours: bool,
}

/// Does work with a library that panics on bad data, and says nothing of such a panic. What the work changes must
/// not be used half changed.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    install();
    let is_within = IS_CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CATCHING.set(is_within);
    result.map_err(|panic| {
        let why = panic.downcast_ref::<String>().map(String::as_str);
        let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        Caught { why: why.to_owned(), is_ours: WAS_OURS.get() }
    })
}

/// Logs bugs from now on, in place of writing them to standard error.
pub(super) fn log() {
    IS_LOGGED.store(true, Ordering::Relaxed);
    install();
}

fn install() {
    // While a thread panics no hook can be set.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = is_ours(panic);
            WAS_OURS.set(is_ours);
            if IS_CATCHING.get() && !is_ours {
                return;
            }
            if IS_LOGGED.load(Ordering::Relaxed) {
                tracing::error!("the program has a bug: {panic}");
            } else {
                before(panic);
            }
        }));
    });
}

/// Whether it comes from this program's own code. A function of the standard library that does not tell its caller
/// counts as a library's.
fn is_ours(panic: &PanicHookInfo<'_>) -> bool {
    let sources = file!().strip_suffix("logging/panics.rs").unwrap_or(file!());
    panic.location().is_some_and(|location| location.file().starts_with(sources))
}

thread_local! {
    static IS_CATCHING: Cell<bool> = const { Cell::new(false) };
    /// The last panic was this program's own.
    static WAS_OURS: Cell<bool> = const { Cell::new(false) };
}
static INSTALLED: Once = Once::new();
/// There is a log file, and nobody reads standard error.
static IS_LOGGED: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_are_told_from_what_a_library_panics_with() {
        let ours = catch(|| panic!("a bug {}", 1)).unwrap_err();
        assert!(ours.is_ours && ours.why == "a bug 1", "{ours:?}");
        // The caller is not told to this one.
        let library = catch(|| bytes::Bytes::new().slice(5..)).unwrap_err();
        assert!(!library.is_ours && !library.why.is_empty(), "{library:?}");
        assert_eq!(catch(|| 1).unwrap(), 1);
    }
}
