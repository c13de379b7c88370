//! `vatmux ls`

use std::fmt::Write;

use vatmux::packagefs::{self, Attributes, Entry, Kind, Links, Status};

use crate::arguments::{Arguments, Ls};
use crate::failure::Failure;
use crate::json;
use crate::output::{self, Output};
use crate::text::{self, Harmless};
use crate::visit::{self, Calls, Visit};

pub(crate) fn run(arguments: &Arguments, ls: &Ls) -> Result<(), Failure> {
    let form = match (arguments.json, ls.long) {
        (true, _) => Form::Json,
        (false, true) => Form::Long,
        (false, false) => Form::Names,
    };
    visit::pay(arguments, &ls.address, Calls::Short, None, |visit| list(visit, form))
}

#[derive(Clone, Copy)]
enum Form {
    Names,
    Long,
    Json,
}

/// Prints each page as it comes: a directory of any size takes the memory of one page.
async fn list(visit: Visit, form: Form) -> Result<(), Failure> {
    let files = visit.files()?;
    let path = &visit.address.path;
    let mut output = Output::standard()?;
    let mut listing = files.listing(path);
    let mut first = true;
    loop {
        let page = match listing.next_page().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            // What is no directory is listed as itself.
            Err(packagefs::Error::Refused { status: Status::NotADirectory, .. }) if first => {
                let attributes = files.stat(path, Links::Inspect).await?;
                output.print(&rendered(&[Entry { name: path.clone(), attributes }], form)).await?;
                return output.finish().await;
            }
            Err(error) => return Err(error.into()),
        };
        first = false;
        output.print(&rendered(&page, form)).await?;
    }
    output.finish().await?;
    if listing.omitted() > 0 {
        let omitted = text::count(listing.omitted().into(), "name", "names");
        output::tell(&format!(
            "vatmux: left out {omitted} that no path can hold (not UTF-8, or with a backslash)"
        ));
    }
    Ok(())
}

fn rendered(entries: &[Entry], form: Form) -> String {
    let mut text = String::new();
    let width = entries.iter().map(|entry| entry.attributes.size_bytes.to_string().len()).max().unwrap_or(0);
    for Entry { name, attributes } in entries {
        // Writing to a string cannot fail.
        let _ = match form {
            Form::Names => writeln!(text, "{}{}", Harmless(name), suffix(attributes)),
            Form::Long => writeln!(
                text,
                "{} {:>width$} {:19} {}{}{}",
                text::mode(attributes),
                attributes.size_bytes,
                text::modified(attributes).as_deref().unwrap_or("-"),
                Harmless(name),
                suffix(attributes),
                Target(attributes),
            ),
            Form::Json => writeln!(text, "{}", json::attributes("name", name, attributes)),
        };
    }
    text
}

fn suffix(attributes: &Attributes) -> &'static str {
    match attributes.kind {
        Kind::Directory => "/",
        Kind::File | Kind::Symlink | Kind::Other => "",
    }
}

/// Where a link leads.
struct Target<'a>(&'a Attributes);

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.link_target {
            Some(target) => write!(f, " -> {}", Harmless(target)),
            None => Ok(()),
        }
    }
}
