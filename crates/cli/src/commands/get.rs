//! `vatmux get`

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;
use serde_json::json;
use vatmux::packagefs::{self, FetchOptions, Operation, OutsideLinks, Status, Summary};

use crate::arguments::{Arguments, Get};
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::json::{seconds, skipped};
use crate::latency;
use crate::output;
use crate::progress::Bar;
use crate::pulse::Pulse;
use crate::text::{self, Harmless};
use crate::visit::{self, Calls, Visit};

pub(crate) fn run(arguments: &Arguments, get: &Get) -> Result<(), Failure> {
    let interruptible = Some(Interruptible::new()?);
    let json = arguments.json;
    let fetched = visit::pay(arguments, &get.address, Calls::Transfers, interruptible, |visit| {
        fetch(visit, get, json)
    })?;
    fetched.report(arguments.json)
}

/// What came of it.
struct Fetched {
    path: String,
    destination: PathBuf,
    summary: Summary,
    time: Duration,
}

async fn fetch(visit: Visit, get: &Get, json: bool) -> Result<Fetched, Failure> {
    let started = Instant::now();
    let files = visit.files()?;
    let path = &visit.address.path;
    let job = Job {
        files,
        path,
        bar: Bar::new(text::shown_path(path).to_string(), json),
        pulse: Pulse::new(&visit.handle, Rc::new(Cell::new(false))),
    };
    let doing = format!("fetching {}", text::shown_path(path));
    let (destination, summary) = job.pulse.guard(&doing, job.run(get)).await?;
    Ok(Fetched { path: path.clone(), destination, summary, time: started.elapsed() })
}

struct Job<'a> {
    files: packagefs::Client,
    path: &'a str,
    bar: Bar,
    pulse: Pulse,
}

impl Job<'_> {
    async fn run(&self, get: &Get) -> Result<(PathBuf, Summary), Failure> {
        if !get.recursive {
            return self.file(get).await;
        }
        match self.tree(get).await {
            // What is asked for with all that is in it may be a file, with nothing in it.
            Err(Failure::Files(packagefs::Error::Refused {
                operation: Operation::List,
                status: Status::NotADirectory,
                ..
            })) => self.file(get).await,
            outcome => outcome,
        }
    }

    async fn file(&self, get: &Get) -> Result<(PathBuf, Summary), Failure> {
        let destination = match (&get.dest, own_name(self.path)) {
            (_, None) => return Err(is_a_directory(self.path)),
            (None, Some(name)) => PathBuf::from(name),
            (Some(dest), Some(name)) if is_directory(dest) => dest.join(name),
            (Some(dest), Some(_)) => dest.clone(),
        };
        if !get.force && fs::symlink_metadata(&destination).is_ok_and(|metadata| metadata.is_file()) {
            return Err(Failure::Exists { path: destination });
        }
        let bytes =
            self.files.fetch_file(self.path, &destination, &|progress| self.advance(progress)).await?;
        Ok((destination, Summary { files: 1, bytes, ..Summary::default() }))
    }

    async fn tree(&self, get: &Get) -> Result<(PathBuf, Summary), Failure> {
        let destination = match &get.dest {
            Some(dest) => dest.clone(),
            None => own_name(self.path).ok_or(Failure::NoName)?.into(),
        };
        let outside_links = if get.outside_links { OutsideLinks::Recreate } else { OutsideLinks::Skip };
        let options = FetchOptions { outside_links, ..FetchOptions::default() };
        let progress = |progress| self.advance(progress);
        let summary = self.files.fetch_tree(self.path, &destination, options, &progress).await?;
        Ok((destination, summary))
    }

    fn advance(&self, progress: packagefs::Progress) {
        self.pulse.beat();
        self.bar.advance(progress);
    }
}

impl Fetched {
    fn report(&self, json: bool) -> Result<(), Failure> {
        let summary = &self.summary;
        if json {
            output::print_line(
                &json!({
                    "path": self.path,
                    "destination": self.destination.to_string_lossy(),
                    "files": summary.files,
                    "bytes": summary.bytes,
                    "directories": summary.directories,
                    "links": summary.links,
                    "seconds": seconds(self.time),
                    "skipped": skipped(&summary.skipped),
                })
                .to_string(),
            )?;
        } else {
            for skipped in &summary.skipped {
                let line = format!("left out {}: {}", text::shown_path(&skipped.path), skipped.reason);
                output::tell(&format!("vatmux: {}", Harmless(&line)));
            }
            output::print_line(&format!(
                "fetched {} ({}) to {} in {}",
                text::count(summary.files, "file", "files"),
                BinaryBytes(summary.bytes),
                Harmless(&self.destination.to_string_lossy()),
                latency::shown(self.time),
            ))?;
        }
        match summary.skipped.len() {
            0 => Ok(()),
            left_out => {
                Err(Failure::Incomplete { path: self.destination.clone(), left_out: left_out as u64 })
            }
        }
    }
}

/// The last name of a path on a node; the root has none.
fn own_name(path: &str) -> Option<&str> {
    path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// Whether a file goes into `dest` and not by its name.
fn is_directory(dest: &Path) -> bool {
    dest.is_dir() || dest.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn is_a_directory(path: &str) -> Failure {
    Failure::Files(packagefs::Error::Refused {
        operation: Operation::Read,
        path: path.to_owned(),
        status: Status::IsADirectory,
        detail: String::new(),
    })
}
