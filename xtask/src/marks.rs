//! Marks of unfinished work in the source. The macros that say the same are clippy's to find.

use std::path::Path;

use crate::check::Skipped;
use crate::repository::Repository;

/// In two parts, so that this file does not carry what it looks for.
const MARKS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Fails with every place that carries a mark.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let mut places = Vec::new();
    for file in repository.files()?.iter().filter(|file| is_source(file)) {
        if let Some(text) = repository.text(file)? {
            places.extend(
                marked_lines(&text).map(|(number, mark)| format!("{}:{number}: {mark}", file.display())),
            );
        }
    }
    if places.is_empty() { Ok(Skipped::new()) } else { Err(places.join("\n")) }
}

/// Documents may write about marks, and lock files and data carry the names of others.
fn is_source(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "toml" | "capnp" | "sh" | "py" | "c" | "S" | "ld" | "wit"))
        || file.starts_with(".ci")
}

fn marked_lines(text: &str) -> impl Iterator<Item = (usize, &'static str)> {
    text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, mark_in(line)?)))
}

fn mark_in(line: &str) -> Option<&'static str> {
    let mut words = line.split(|character: char| !character.is_alphanumeric());
    words.find_map(|word| MARKS.into_iter().find(|mark| word == *mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_with_its_line() {
        let text = format!("fn f() {{}}\n// {}(later): more\n/* {}*/", MARKS[0], MARKS[1]);
        assert_eq!(marked_lines(&text).collect::<Vec<_>>(), [(2, MARKS[0]), (3, MARKS[1])]);
    }

    #[test]
    fn a_mark_inside_another_word_is_none() {
        assert_eq!(mark_in(&format!("const {}S: u8 = {}_1;", MARKS[0], MARKS[1].to_lowercase())), None);
    }

    #[test]
    fn sources_are_looked_at_and_documents_are_not() {
        assert!([".ci/run", "a/b.rs", "Cargo.toml"].iter().all(|file| is_source(Path::new(file))));
        assert!(!["docs/a.md", "Cargo.lock", "x.request"].iter().any(|file| is_source(Path::new(file))));
    }
}
