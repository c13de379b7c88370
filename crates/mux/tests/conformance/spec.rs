//! The specification as text: its clauses, its tables and its vectors.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository, by its path from the root.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn read(path: &str) -> String {
    let path = repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// docs/spec/mux.md.
pub(crate) fn specification() -> String {
    read("docs/spec/mux.md")
}

/// One numbered clause.
pub(crate) struct Clause {
    /// Such as `MUX-3.1`.
    pub(crate) number: String,
    /// Binds people rather than programs.
    pub(crate) policy: bool,
    /// Everything up to the next clause or section.
    pub(crate) text: String,
}

/// All clauses, in order.
pub(crate) fn clauses(specification: &str) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    let mut inside = false;
    for line in specification.lines() {
        if let Some(rest) = line.strip_prefix("**MUX-") {
            let (number, text) = rest.split_once("**").expect("a clause begins with its number in bold");
            let policy = text.trim_start().starts_with("*(policy)*");
            clauses.push(Clause { number: format!("MUX-{number}"), policy, text: String::new() });
            inside = true;
        } else if line.starts_with('#') {
            inside = false;
        }
        if let Some(clause) = clauses.last_mut().filter(|_| inside) {
            clause.text.push_str(line);
            clause.text.push('\n');
        }
    }
    clauses
}

/// The rows of the first table in a text, without its head.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let lines =
        text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The table of a clause.
pub(crate) fn table(number: &str) -> Vec<Vec<String>> {
    let clauses = clauses(&specification());
    let clause = clauses.iter().find(|clause| clause.number == number).expect("a clause of this number");
    let rows = rows(&clause.text);
    assert!(!rows.is_empty(), "{number} has a table");
    rows
}

/// A number as the specification writes it: `2,147,483,647`.
pub(crate) fn number(cell: &str) -> Option<u64> {
    cell.replace(',', "").parse().ok()
}
