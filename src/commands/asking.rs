//! Questions at the terminal.

use std::io::{IsTerminal, Write};

use super::CommandError;

/// Asks whether to go on, unless that was said.
pub(super) async fn confirm(question: &str, is_said: bool) -> Result<(), CommandError> {
    if is_said {
        return Ok(());
    }
    match ask(question).await? {
        Some(true) => Ok(()),
        Some(false) => Err(anyhow::anyhow!("nothing was done").into()),
        None => Err(CommandError::hinted(
            anyhow::anyhow!("there is no terminal to ask on: {question}"),
            "add --yes to go ahead without asking",
        )),
    }
}

/// Yes or no; `None` where there is nobody to ask.
pub(super) async fn ask(question: &str) -> Result<Option<bool>, CommandError> {
    if !is_possible() {
        return Ok(None);
    }
    let question = question.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut shown = std::io::stderr();
        write!(shown, "{question} [y/N] ")?;
        shown.flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let answer = answer.await??.trim().to_lowercase();
    Ok(Some(answer == "y" || answer == "yes"))
}

/// Whether somebody reads what is asked, and can answer.
pub(super) fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
