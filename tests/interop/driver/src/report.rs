//! The summary, and the page docs/interop.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::bench::Client;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Passed,
    Unsupported(String),
    Defect(String),
    NotRun(String),
    Failed(String),
}

impl Outcome {
    /// In one line.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Passed => "pass".to_owned(),
            Self::Unsupported(why) => format!("not supported by that client: {why}"),
            Self::Defect(text) => format!("defect of that client: {text}"),
            Self::NotRun(why) => format!("not run: {why}"),
            Self::Failed(error) => format!("FAILED: {error}"),
        }
    }
}

/// What became of one case.
pub(crate) struct Result {
    pub(crate) group: &'static str,
    pub(crate) row: String,
    pub(crate) column: String,
    pub(crate) outcome: Outcome,
}

/// The last line of a run.
pub(crate) fn summary(results: &[Result]) -> String {
    let count =
        |wanted: fn(&Outcome) -> bool| results.iter().filter(|result| wanted(&result.outcome)).count();
    format!(
        "interop: {} passed, {} not supported, {} client defects, {} not run, {} failed",
        count(|outcome| *outcome == Outcome::Passed),
        count(|outcome| matches!(outcome, Outcome::Unsupported(_))),
        count(|outcome| matches!(outcome, Outcome::Defect(_))),
        count(|outcome| matches!(outcome, Outcome::NotRun(_))),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
    )
}

/// The page: an introduction, a table for every group, and what its marks mean.
pub(crate) fn page(
    introduction: &str,
    clients: &[Client],
    results: &[Result],
    date: &str,
    note: &str,
) -> String {
    let mut notes = Notes::default();
    let mut tables = String::new();
    let mut groups: Vec<&str> = Vec::new();
    for result in results {
        if !groups.contains(&result.group) {
            groups.push(result.group);
        }
    }
    for group in groups {
        let of_group: Vec<&Result> = results.iter().filter(|result| result.group == group).collect();
        write!(tables, "\n## {group}\n\n{}", table(&of_group, &mut notes))
            .expect("a string takes everything");
    }
    let versions: Vec<String> = clients.iter().map(Client::title).collect();
    let count = summary(results);
    let note = if note.is_empty() { String::new() } else { format!(" {note}") };
    let run = format!("Run of {date}, with {}.{note}\n\n`{count}`\n", versions.join(", "));
    format!("{introduction}\n{run}{tables}{}", notes.text())
}

fn table(results: &[&Result], notes: &mut Notes) -> String {
    let (mut rows, mut columns): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for result in results {
        if !rows.contains(&&result.row[..]) {
            rows.push(&result.row);
        }
        if !columns.contains(&&result.column[..]) {
            columns.push(&result.column);
        }
    }
    let mut text = format!("| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        write!(text, "| {row} |").expect("a string takes everything");
        for column in &columns {
            let cell = results.iter().find(|result| result.row == row && result.column == *column);
            let cell = cell.map_or_else(String::new, |result| notes.mark(&result.outcome));
            write!(text, " {cell} |").expect("a string takes everything");
        }
        text.push('\n');
    }
    text
}

/// Explanations too long for a cell, numbered in the order in which they come.
#[derive(Default)]
struct Notes {
    numbers: BTreeMap<Outcome, usize>,
}

impl Notes {
    fn mark(&mut self, outcome: &Outcome) -> String {
        if *outcome == Outcome::Passed {
            return "pass".to_owned();
        }
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(outcome.clone()).or_insert(next);
        let word = match outcome {
            Outcome::Unsupported(_) => "no",
            Outcome::Defect(_) => "**defect**",
            Outcome::NotRun(_) => "not run",
            _ => "**FAILED**",
        };
        format!("{word} ({number})")
    }

    fn text(&self) -> String {
        let mut notes: Vec<_> = self.numbers.iter().collect();
        notes.sort_by_key(|(_, number)| **number);
        let mut text = String::from("\n## Notes\n\n");
        for (outcome, number) in notes {
            writeln!(text, "{number}. {}.", outcome.text()).expect("a string takes everything");
        }
        text
    }
}
