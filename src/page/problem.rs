//! The page that says why something is not shown, and what to do.

use askama::Template;
use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::{STYLE, above};

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
    /// Of the address that was asked for, below the one of the root.
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
    /// The address of the folder above, where it is another one than the root.
    above: Option<&'static str>,
    /// The root's; `None` where it is no use.
    home: Option<String>,
}

impl Problem<'_> {
    pub fn page(&self) -> String {
        let (title, usual_message, usual_hint) = words(self.status);
        let missing = self.missing();
        let message = match self.message.trim() {
            "" => missing.as_deref().unwrap_or(usual_message),
            told => told,
        };
        let hint = self.hint.filter(|hint| !hint.is_empty()).unwrap_or(usual_hint);
        let page = Page {
            style: STYLE,
            title,
            status: self.status.as_u16(),
            message: sentence(message),
            hint: (!hint.is_empty()).then(|| sentence(hint)),
            retry_after: self.retry_after,
            above: self.above(),
            home: self.home(),
        };
        // It writes into memory, and nothing in it can fail.
        page.render().unwrap_or_default()
    }

    /// What to say of a name that nothing has.
    fn missing(&self) -> Option<String> {
        let last = self.path.trim_end_matches('/').rsplit('/').next().filter(|last| !last.is_empty())?;
        let name = percent_decode_str(last).decode_utf8().ok()?;
        (self.status == StatusCode::NOT_FOUND).then(|| format!("there is nothing called “{name}” here"))
    }

    /// Whether it can be that there are others at that address or near it. Where nobody comes in, or all is away,
    /// every link leads nowhere.
    fn leads_back(&self) -> bool {
        let known =
            [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST, StatusCode::URI_TOO_LONG];
        known.contains(&self.status) && !self.path.trim_matches('/').is_empty()
    }

    /// Relative, as all links are. It may be missing as well, which nobody asks the store for.
    fn above(&self) -> Option<&'static str> {
        let (is_folder, levels) = (self.path.ends_with('/'), self.levels());
        let is_root = levels == usize::from(is_folder);
        let is_shown = self.leads_back() && self.status == StatusCode::NOT_FOUND && !is_root;
        is_shown.then_some(if is_folder { "../" } else { "./" })
    }

    fn home(&self) -> Option<String> {
        self.leads_back().then(|| above(self.levels()))
    }

    /// How many folders the one that the address is in lies below the root, as a browser counts.
    fn levels(&self) -> usize {
        self.path.matches('/').count().saturating_sub(1)
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
            missing.contains("There is nothing called “b” here.") && !missing.contains("http-equiv"),
            "{missing}"
        );
        assert!(missing.contains("renamed, moved or deleted"), "{missing}");
        let of_no_text = page(StatusCode::NOT_FOUND, "", None, "/%ff");
        assert!(of_no_text.contains("There is nothing at this address."), "{of_no_text}");
        let decoded = page(StatusCode::NOT_FOUND, "", None, "/caf%C3%A9%20%3Cb%3E/");
        assert!(decoded.contains("“café &#60;b&#62;”"), "{decoded}");
        assert!(page(StatusCode::IM_A_TEAPOT, "", None, "/").contains("Not shown"));
    }

    #[test]
    fn links_lead_to_where_something_is() {
        let ways = |status, path| {
            let page = page(status, "", None, path);
            let at = |name: &str| {
                let before = page.split_once(&format!("\">{name}</a>"))?.0;
                before.rsplit_once('"').map(|(_, href)| href.to_owned())
            };
            (at("The folder above").unwrap_or_default(), at("Home").unwrap_or_default())
        };
        let both = |above: &str, home: &str| (above.to_owned(), home.to_owned());
        let missing = StatusCode::NOT_FOUND;
        assert_eq!(ways(missing, "/a/b/c"), both("./", "../../"));
        assert_eq!(ways(missing, "/a/b/"), both("../", "../../"));
        // There is but one way from here.
        assert_eq!(ways(missing, "/a"), both("", "./"));
        assert_eq!(ways(missing, "/a/"), both("", "../"));
        assert_eq!(ways(missing, "/"), both("", ""));
        assert_eq!(ways(StatusCode::BAD_REQUEST, "/a/%zz"), both("", "../"));
        assert_eq!(ways(StatusCode::FORBIDDEN, "/a/b"), both("", "../"));
        // Nobody comes in there.
        assert_eq!(ways(StatusCode::UNAUTHORIZED, "/a/b"), both("", ""));
        assert_eq!(ways(StatusCode::SERVICE_UNAVAILABLE, "/a/b"), both("", ""));
    }

    #[test]
    fn nothing_that_was_told_is_markup() {
        let told = page(StatusCode::FORBIDDEN, "<script>\"x\"</script>", Some("<b>"), "/");
        assert!(!told.contains("<script>") && !told.contains("<b>"), "{told}");
    }
}
