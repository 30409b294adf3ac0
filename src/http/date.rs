//! The `Date` header (RFC 9110, section 6.6.1).
//!
//! hyper would put it on every answer of a connection, without exception; one client is told none of one answer.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Response, header};

/// Marks an answer that has no date.
#[derive(Debug, Clone, Copy)]
struct Undated;

/// Keeps the date off an answer.
pub(super) fn leave_out<B>(answer: &mut Response<B>) {
    answer.extensions_mut().insert(Undated);
}

/// Gives an answer its date.
pub(super) fn add<B>(answer: &mut Response<B>) {
    if answer.extensions_mut().remove::<Undated>().is_some() {
        return;
    }
    if let Some(date) = now(SystemTime::now()) {
        answer.headers_mut().insert(header::DATE, date);
    }
}

/// Made once a second by each thread.
fn now(now: SystemTime) -> Option<HeaderValue> {
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    LATEST.with_borrow_mut(|latest| match latest {
        Some((of, date)) if *of == second => Some(date.clone()),
        _ => {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            let date = HeaderValue::try_from(date).ok()?;
            *latest = Some((second, date.clone()));
            Some(date)
        }
    })
}

thread_local! {
    /// The second, since 1970, and its date.
    static LATEST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_of_its_second() {
        let at = |millis| now(UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
        assert_eq!(at(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778_000), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT", "the clock was set back");
    }

    #[test]
    fn what_is_marked_has_no_date() {
        let mut answers = [Response::new(()), Response::new(())];
        leave_out(&mut answers[1]);
        answers.iter_mut().for_each(add);
        assert!(answers[0].headers().contains_key("date") && answers[1].headers().is_empty());
    }
}
