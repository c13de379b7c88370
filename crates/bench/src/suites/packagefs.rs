//! `bench packagefs`: one large file, read as fast as it goes; many small files over a path with a delay.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::arguments::Arguments;
use crate::contestants::sftp::Sftp;
use crate::contestants::vatmux::{Fetched, Fetcher, Reader, Server};
use crate::contestants::yamux::WRITE;
use crate::contestants::{raw, yamux};
use crate::figures::{self, Contestant, Figures};
use crate::files::{Files, LARGE_NAME};
use crate::machine::Machine;
use crate::noise::{Cipher, Contact};
use crate::payload::Source;
use crate::relay::Relay;
use crate::report::{Column, Goal, Ratio, Report, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, READY_WITHIN, Side};
use crate::transfer;

/// The small files: how many, and how long.
const SMALL_FILES: usize = 1000;
const SMALL_BYTES: usize = 2048;

/// What the path to the small files adds, each way.
const PATH_DELAY: Duration = Duration::from_millis(5);

/// The cipher of everybody but sftp: the default of vatmux.
const CIPHER: Cipher = Cipher::ChaChaPoly;

/// Resident memory that a side may need for the large file.
const RSS_GOAL: Goal = Goal::AtMost(64.0);

/// What the table of the small files shows.
const SMALL_COLUMNS: &[Column] = &[
    Column { figure: "seconds", heading: "seconds", decimals: 3 },
    Column { figure: "server_rss_mib", heading: "server MiB", decimals: 1 },
    Column { figure: "client_rss_mib", heading: "client MiB", decimals: 1 },
    Column { figure: "server_cpu_s", heading: "server CPU s", decimals: 2 },
    Column { figure: "client_cpu_s", heading: "client CPU s", decimals: 2 },
];

pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let bytes = arguments.bytes;
    let files = Files::create(bytes, SMALL_FILES, SMALL_BYTES)?;
    let large = read_large(arguments, &files)?;
    let small = fetch_small(arguments, &files)?;
    let speed = |name: &str| large.median(name, "gb_per_s");
    let versus = |theirs: &str| Some(speed("packagefs")? / speed(theirs)?);
    let ratios = [
        Ratio::new("packagefs.read_vs_noise_raw", versus("noise_raw"), Some(Goal::AtLeast(0.70))),
        Ratio::new("packagefs.read_vs_noise_file", versus("noise_file"), None),
        Ratio::new("packagefs.read_vs_yamux", versus("yamux"), None),
        Ratio::new("packagefs.read_vs_sftp", versus("sftp"), None),
        Ratio::new("packagefs.rss_server_mib", large.median("packagefs", "server_rss_mib"), Some(RSS_GOAL)),
        Ratio::new("packagefs.rss_client_mib", large.median("packagefs", "client_rss_mib"), Some(RSS_GOAL)),
        Ratio::new("packagefs.small_10ms", small.median("fetch_10ms", "seconds"), Some(Goal::AtMost(1.5))),
    ];
    Ok(Report {
        suite: "packagefs",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        tables: vec![large, small],
    })
}

fn read_large(arguments: &Arguments, files: &Files) -> Result<Table> {
    let bytes = arguments.bytes;
    let memory = || Source::Memory { bytes };
    let file = || Source::File { path: files.large() };
    let file_checksum = file().checksum(1 << 20)?;
    let writes_checksum = memory().checksum(WRITE)?;

    let sftp = Sftp::find()?;
    let contestants = vec![
        raw::contestant("noise_raw", memory(), CIPHER)?,
        raw::contestant("noise_file", file(), CIPHER)?,
        Contestant::new("yamux", |purpose| {
            let server = Role::YamuxServer(yamux::Server { source: memory(), cipher: CIPHER });
            let client = |server, order| Role::YamuxClient(yamux::Client { server, cipher: CIPHER, order });
            transfer::run(&server, client, bytes, writes_checksum, purpose)
        }),
        match &sftp {
            Some(sftp) => {
                Contestant::new("sftp", |purpose| sftp.run(&files.large(), bytes, file_checksum, purpose))
            }
            None => Contestant::absent("sftp", "OpenSSH is not installed"),
        },
        Contestant::new("packagefs", |purpose| {
            let server = Role::VatmuxServer(Server { root: files.root().to_owned() });
            let client =
                |server, order| Role::VatmuxReader(Reader { server, path: LARGE_NAME.to_owned(), order });
            transfer::run(&server, client, bytes, file_checksum, purpose)
        }),
    ];
    Ok(Table {
        title: format!(
            "reading {bytes} bytes over loopback TCP: medians (least–greatest); noise_raw and yamux send from memory, \
             the others from a file"
        ),
        columns: transfer::COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}

fn fetch_small(arguments: &Arguments, files: &Files) -> Result<Table> {
    let contestants = vec![
        Contestant::new("fetch_loopback", |_| fetch(files, None)),
        Contestant::new("fetch_10ms", |_| fetch(files, Some(PATH_DELAY))),
    ];
    Ok(Table {
        title: format!(
            "packagefs, fetching a tree of {SMALL_FILES} files of {SMALL_BYTES} bytes, dial and handshake included, over \
             loopback and through a relay that adds {PATH_DELAY:?} each way: medians (least–greatest)"
        ),
        columns: SMALL_COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}

/// Fetches the tree of small files, and compares every byte.
fn fetch(files: &Files, delay: Option<Duration>) -> Result<Figures> {
    let mut server = Side::start(&Role::VatmuxServer(Server { root: files.root().to_owned() }))?;
    let mut contact: Contact = server.hear(READY_WITHIN)?;
    let relay = match delay {
        Some(delay) => {
            let mut relay = Side::start(&Role::Relay(Relay { target: contact.address, delay }))?;
            contact.address = relay.hear(READY_WITHIN)?;
            Some(relay)
        }
        None => None,
    };
    let destination = files.root().join("fetched");
    let fetcher = Fetcher { server: contact, destination: destination.clone() };
    let mut client = Side::start(&Role::VatmuxFetcher(fetcher))?;

    let before = (server.usage()?, client.usage()?);
    client.go()?;
    let fetched: Fetched = client.hear(DONE_WITHIN)?;
    let after = (server.usage()?, client.usage()?);
    drop(relay);
    ensure!(fetched.skipped == 0, "{} entries were left out", fetched.skipped);
    ensure!(fetched.files == SMALL_FILES as u64, "{} files came", fetched.files);
    compare(&files.small(), &destination)?;
    fs::remove_dir_all(&destination)?;
    let bytes = (SMALL_FILES * SMALL_BYTES) as u64;
    Ok(transfer::figures(fetched.seconds, bytes, (before.0, after.0), (before.1, after.1)))
}

/// Compares the files of two flat directories.
fn compare(ours: &Path, theirs: &Path) -> Result<()> {
    for entry in fs::read_dir(ours)? {
        let name = entry?.file_name();
        let read = |directory: &Path| {
            let path = directory.join(&name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        ensure!(read(ours)? == read(theirs)?, "{} arrived with other bytes", name.display());
    }
    Ok(())
}
