//! `bench packagefs`: one large file, read as fast as it goes; many small files over a path with a delay.

use anyhow::Result;

use crate::arguments::Arguments;
use crate::contestants::sftp::Sftp;
use crate::contestants::yamux::WRITE;
use crate::contestants::{raw, yamux};
use crate::figures::{self, Contestant};
use crate::machine::Machine;
use crate::payload::{Files, RECORD_PLAINTEXT, Source};
use crate::report::{Column, Goal, Ratio, Report, Table};
use crate::roles::Role;
use crate::transfer;

/// The small files: how many, and how long.
const SMALL_FILES: usize = 1000;
const SMALL_BYTES: usize = 2048;

/// What the table of the large file shows.
const LARGE_COLUMNS: &[Column] = &[
    Column { figure: "gb_per_s", heading: "GB/s", decimals: 2 },
    Column { figure: "server_rss_mib", heading: "server MiB", decimals: 1 },
    Column { figure: "client_rss_mib", heading: "client MiB", decimals: 1 },
    Column { figure: "server_cpu_s", heading: "server CPU s", decimals: 2 },
    Column { figure: "client_cpu_s", heading: "client CPU s", decimals: 2 },
    Column { figure: "handshake_ms", heading: "connect ms", decimals: 1 },
];

pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let bytes = arguments.bytes;
    let files = Files::create(bytes, SMALL_FILES, SMALL_BYTES)?;
    let large = read_large(arguments, &files)?;
    let speed = |name: &str| large.median(name, "gb_per_s");
    let versus = |theirs: &str| Some(speed("packagefs")? / speed(theirs)?);
    let ratios = [
        Ratio::new("packagefs.read_vs_noise_raw", versus("noise_raw"), Some(Goal::AtLeast(0.70))),
        Ratio::new("packagefs.read_vs_noise_file", versus("noise_file"), None),
        Ratio::new("packagefs.read_vs_yamux", versus("yamux"), None),
        Ratio::new("packagefs.read_vs_sftp", versus("sftp"), None),
    ];
    Ok(Report {
        suite: "packagefs",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        tables: vec![large],
    })
}

fn read_large(arguments: &Arguments, files: &Files) -> Result<Table> {
    let bytes = arguments.bytes;
    let memory = || Source::Memory { bytes };
    let file = || Source::File { path: files.large() };
    let file_checksum = file().checksum(1 << 20)?;
    let records_checksum = memory().checksum(RECORD_PLAINTEXT)?;
    let writes_checksum = memory().checksum(WRITE)?;

    let raw = |name, source: Source, checksum| {
        Contestant::new(name, move |purpose| {
            let server = Role::RawServer(raw::Server { source: source.clone() });
            let client = |server, order| Role::RawClient(raw::Client { server, order });
            transfer::run(&server, client, bytes, checksum, purpose)
        })
    };
    let sftp = Sftp::find()?;
    let contestants = vec![
        raw("noise_raw", memory(), records_checksum),
        raw("noise_file", file(), file_checksum),
        Contestant::new("yamux", |purpose| {
            let server = Role::YamuxServer(yamux::Server { source: memory() });
            let client = |server, order| Role::YamuxClient(yamux::Client { server, order });
            transfer::run(&server, client, bytes, writes_checksum, purpose)
        }),
        match &sftp {
            Some(sftp) => {
                Contestant::new("sftp", |purpose| sftp.run(&files.large(), bytes, file_checksum, purpose))
            }
            None => Contestant::absent("sftp", "OpenSSH is not installed"),
        },
    ];
    Ok(Table {
        title: format!(
            "reading {bytes} bytes over loopback TCP: medians (least–greatest); noise_raw and yamux send from memory, \
             the others from a file"
        ),
        columns: LARGE_COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}
