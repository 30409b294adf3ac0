//! Texts of an endpoint, made fit to be shown.

/// A text of the endpoint as one line that does nothing to a terminal and shows all there is, but for what is
/// too much.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == MAX_TEXT {
            shown.push('…');
            break;
        }
        match c {
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(c.escape_unicode()),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Characters. The longest of S3's own texts are policies' refusals, below 500.
const MAX_TEXT: usize = 2000;
