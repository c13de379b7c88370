//! Links from the project's documents to its own files and headings.
//!
//! Addresses of other hosts are not visited: whether they answer today says nothing about the project. Links inside
//! Rust documentation are rustdoc's to check.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::check::Skipped;
use crate::repository::Repository;

/// What a document links to, and what can be linked to in it.
#[derive(Debug, Default)]
struct Document {
    /// As written.
    links: Vec<String>,
    /// One for each heading, as GitHub names them.
    anchors: HashSet<String>,
}

/// Fails with every link that leads nowhere.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let mut documents = HashMap::new();
    for file in repository.files()? {
        if file.extension().is_some_and(|extension| extension == "md")
            && let Some(text) = repository.text(&file)?
        {
            documents.insert(file, Document::read(&text));
        }
    }
    let mut complaints = Vec::new();
    for (file, document) in &documents {
        for link in &document.links {
            if let Err(reason) = follow(repository.root(), &documents, file, link) {
                complaints.push(format!("{}: {link}: {reason}", file.display()));
            }
        }
    }
    complaints.sort();
    println!("{} documents read", documents.len());
    if complaints.is_empty() { Ok(Skipped::new()) } else { Err(complaints.join("\n")) }
}

impl Document {
    fn read(text: &str) -> Document {
        let mut document = Document::default();
        let mut repetitions = HashMap::new();
        let mut heading = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor_of(&heading.take().unwrap_or_default());
                    let seen = repetitions.entry(anchor.clone()).or_insert(0);
                    document.anchors.insert(if *seen == 0 { anchor } else { format!("{anchor}-{seen}") });
                    *seen += 1;
                }
                _ => {}
            }
        }
        document
    }
}

/// Says why a link leads nowhere.
fn follow(
    root: &Path,
    documents: &HashMap<PathBuf, Document>,
    from: &Path,
    link: &str,
) -> Result<(), String> {
    if has_scheme(link) {
        return Ok(());
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { from.to_owned() } else { resolve(from, path)? };
    if !root.join(&target).exists() {
        return Err(format!("there is no {}", target.display()));
    }
    match documents.get(&target) {
        Some(document) if !anchor.is_empty() && !document.anchors.contains(anchor) => {
            Err(format!("{} has no heading #{anchor}", target.display()))
        }
        _ => Ok(()),
    }
}

/// The file that a relative link means, seen from the top of the checkout.
fn resolve(from: &Path, path: &str) -> Result<PathBuf, String> {
    let mut target = from.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::ParentDir if target.pop() => {}
            Component::ParentDir => return Err("it leaves the project".to_owned()),
            Component::RootDir | Component::Prefix(_) => {
                return Err("it is absolute; links are relative".to_owned());
            }
        }
    }
    Ok(target)
}

/// `https:`, `mailto:` and the like, by the grammar of RFC 3986, section 3.1.
fn has_scheme(link: &str) -> bool {
    link.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    })
}

/// The anchor that GitHub gives a heading.
fn anchor_of(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Complaints about one document `docs/a.md`, beside which `docs/b.md` and `README.md` stand.
    fn complaint(text: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("docs")).unwrap();
        fs::write(directory.path().join("README.md"), "# Top\n").unwrap();
        fs::write(directory.path().join("docs/b.md"), "# The `wire`, *explained*\n\n## Twice\n\n## Twice\n")
            .unwrap();
        fs::write(directory.path().join("docs/a.md"), text).unwrap();
        check(&Repository::at(directory.path())).err()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let links = [
            "[b](b.md) [top](../README.md) [directory](../docs/)",
            "[wire](b.md#the-wire-explained) [second](b.md#twice-1) [here](#own)\n\n# Own",
            "[web](https://example.org/gone.md) [mail](mailto:a@example.org) <vat://node@host:1/gone.md>",
            "[by name][b]\n\n[b]: b.md",
        ];
        for link in links {
            assert_eq!(complaint(link), None);
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_named_with_their_document() {
        let links = [
            ("[gone](gone.md)", "there is no docs/gone.md"),
            ("![gone](gone.svg)", "there is no docs/gone.svg"),
            ("[gone][g]\n\n[g]: ../gone.md", "there is no gone.md"),
            ("[heading](b.md#gone)", "docs/b.md has no heading #gone"),
            ("[third](b.md#twice-2)", "docs/b.md has no heading #twice-2"),
            ("[here](#gone)", "docs/a.md has no heading #gone"),
            ("[out](../../elsewhere.md)", "it leaves the project"),
            ("[absolute](/README.md)", "it is absolute"),
        ];
        for (link, reason) in links {
            let complaint = complaint(link).unwrap_or_else(|| panic!("{link} passed"));
            assert!(
                complaint.starts_with("docs/a.md: ") && complaint.contains(reason),
                "{link}: {complaint}"
            );
        }
    }

    #[test]
    fn what_looks_like_a_link_in_code_is_none() {
        assert_eq!(complaint("`[gone](gone.md)`\n\n```\n[gone](gone.md)\n```\n"), None);
    }

    #[test]
    fn every_link_of_a_document_is_followed() {
        let complaint = complaint("[one](one.md) [b](b.md) [two](two.md)").unwrap();
        assert_eq!(complaint.lines().count(), 2, "{complaint}");
    }
}
