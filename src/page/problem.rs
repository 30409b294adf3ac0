//! The page that says why something is not shown, and what to do.

use askama::Template;
use http::StatusCode;

use super::STYLE;

/// Why something is not shown.
#[derive(Debug)]
pub struct Problem<'a> {
    pub status: StatusCode,
    /// The cause, as far as it was told.
    pub message: &'a str,
    /// What to do.
    pub hint: Option<&'a str>,
    /// Seconds after which it is worth another try.
    pub retry_after: Option<u32>,
    /// Of the address that was asked for.
    pub path: &'a str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    style: &'static str,
    title: &'a str,
    status: u16,
    message: String,
    hint: Option<String>,
    retry_after: Option<u32>,
    /// The address of the folder above; `None` where it is no use.
    above: Option<&'static str>,
}

impl Problem<'_> {
    pub fn page(&self) -> String {
        let (title, usual_message, usual_hint) = words(self.status);
        let message = if self.message.trim().is_empty() { usual_message } else { self.message.trim() };
        let hint = self.hint.filter(|hint| !hint.is_empty()).unwrap_or(usual_hint);
        let page = Page {
            style: STYLE,
            title,
            status: self.status.as_u16(),
            message: sentence(message),
            hint: (!hint.is_empty()).then(|| sentence(hint)),
            retry_after: self.retry_after,
            above: self.above(),
        };
        // It writes into memory, and nothing in it can fail.
        page.render().unwrap_or_default()
    }

    /// Relative, as all links are. Where nobody comes in, or all is away, it leads nowhere.
    fn above(&self) -> Option<&'static str> {
        if self.status != StatusCode::NOT_FOUND || self.path.trim_matches('/').is_empty() {
            return None;
        }
        Some(if self.path.ends_with('/') { "../" } else { "./" })
    }
}

/// A title, the cause where none was told, and the advice where there is none.
fn words(status: StatusCode) -> (&'static str, &'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG => {
            ("This address is not understood", "the address cannot name anything here", "check its spelling")
        }
        StatusCode::UNAUTHORIZED => (
            "Sign in",
            "a name and a password are needed",
            "`s3dav status --show-password` shows them to the user who runs this gateway",
        ),
        StatusCode::FORBIDDEN => ("Not allowed", "this may not be shown", ""),
        StatusCode::NOT_FOUND => {
            ("Not found", "there is nothing at this address", "it may have been renamed, moved or deleted")
        }
        StatusCode::CONFLICT | StatusCode::LOCKED => {
            ("In use", "something else is being done with it", "try again in a while")
        }
        StatusCode::TOO_MANY_REQUESTS => ("Too many attempts", "too many wrong passwords", "wait a minute"),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Not available right now", "what is served cannot be reached", "`s3dav status` says more")
        }
        status if status.is_server_error() => (
            "Something went wrong",
            "the gateway could not answer",
            "`s3dav status` and the gateway's log say more",
        ),
        _ => ("Not shown", "the gateway refused this request", ""),
    }
}

/// With a capital letter, where it does not begin with code or a name in quotes, and a full stop.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let mut text: String = rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect();
    if !text.ends_with(['.', '!', '?', '…', ':']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(status: StatusCode, message: &str, hint: Option<&str>, path: &str) -> String {
        let is_away = status == StatusCode::SERVICE_UNAVAILABLE;
        Problem { status, message, hint, retry_after: is_away.then_some(5), path }.page()
    }

    #[test]
    fn the_cause_and_the_advice_are_said() {
        let away =
            page(StatusCode::SERVICE_UNAVAILABLE, "the store is away", Some("check the network"), "/a");
        for said in ["The store is away.", "Check the network.", "503", "content=\"5\"", "in 5 s"] {
            assert!(away.contains(said), "{said}: {away}");
        }
        let missing = page(StatusCode::NOT_FOUND, "", None, "/a/b");
        assert!(
            missing.contains("There is nothing at this address.") && !missing.contains("http-equiv"),
            "{missing}"
        );
        assert!(
            missing.contains("renamed, moved or deleted") && missing.contains("href=\"./\""),
            "{missing}"
        );
        assert!(page(StatusCode::NOT_FOUND, "", None, "/a/b/").contains("href=\"../\""));
        assert!(!page(StatusCode::NOT_FOUND, "", None, "/").contains("class=\"above\""));
        assert!(page(StatusCode::IM_A_TEAPOT, "", None, "/").contains("Not shown"));
    }

    #[test]
    fn nothing_that_was_told_is_markup() {
        let told = page(StatusCode::FORBIDDEN, "<script>\"x\"</script>", Some("<b>"), "/");
        assert!(!told.contains("<script>") && !told.contains("<b>"), "{told}");
    }
}
