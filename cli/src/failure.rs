//! Why the program ends with an error.

use std::fmt;
use std::io::Write;

/// The one line that is printed before the program ends with status 1, if it was not printed already.
#[derive(Debug)]
pub(crate) struct Failure(Option<String>);

impl Failure {
    /// A failure with a message that names the culprit.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self(Some(message.to_string()))
    }

    /// A failure about which everything is printed already.
    pub(crate) fn reported() -> Self {
        Self(None)
    }

    /// Prints `error: …` on standard error.
    pub(crate) fn report(&self) {
        if let Some(message) = &self.0 {
            // Nowhere left to complain to when this fails.
            let _ = writeln!(std::io::stderr(), "error: {}", one_line(message));
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(self.0.as_deref().unwrap_or_default()))
    }
}

/// Servers have a part in messages: no line ends and nothing that moves a terminal's cursor.
fn one_line(text: &str) -> String {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_plain_text() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc\n"), "a b [2Jc");
    }
}
