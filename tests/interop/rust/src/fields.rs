//! Lines of the form `COMMAND KEY=VALUE KEY=VALUE`.

use std::collections::HashMap;

pub(crate) struct Fields<'a>(HashMap<&'a str, &'a str>);

impl<'a> Fields<'a> {
    pub(crate) fn parse(line: &'a str) -> (&'a str, Self) {
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or_default();
        (command, Self(words.map(|word| word.split_once('=').expect("a field is KEY=VALUE")).collect()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    pub(crate) fn text(&self, key: &str) -> &'a str {
        self.get(key).unwrap_or_else(|| panic!("the field {key} is missing"))
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    pub(crate) fn hex(&self, key: &str) -> Vec<u8> {
        hex::decode(self.text(key)).expect("hexadecimal digits")
    }
}

/// Text without the characters that separate: percent-encoded as in URLs.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if character <= ' ' || character == '%' {
            escaped.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    escaped
}
