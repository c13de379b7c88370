//! The multiplexers over loopback TCP, under Noise: what is left of the speed of the encrypted link.

use anyhow::Result;

use crate::arguments::Arguments;
use crate::contestants::stream::Windows;
use crate::contestants::yamux::WRITE;
use crate::contestants::{h2, raw, stream, yamux};
use crate::figures::{self, Contestant};
use crate::noise::Cipher;
use crate::payload::Source;
use crate::report::{Goal, Ratio, Table};
use crate::roles::Role;
use crate::transfer;

/// The contestants under one cipher, and what they are compared by.
struct Suite {
    cipher: Cipher,
    raw: &'static str,
    yamux: &'static str,
    h2: &'static str,
    fixed: &'static str,
    growing: &'static str,
    versus_raw: &'static str,
    versus_best_peer: &'static str,
    fixed_versus_raw: &'static str,
    goal: f64,
}

const SUITES: [Suite; 2] = [
    Suite {
        cipher: Cipher::ChaChaPoly,
        raw: "chacha_raw",
        yamux: "chacha_yamux",
        h2: "chacha_h2_1m",
        fixed: "chacha_vatmux_64k",
        growing: "chacha_vatmux",
        versus_raw: "mux.tcp_noise.vs_noise_raw",
        versus_best_peer: "mux.tcp_noise.vs_best_peer",
        fixed_versus_raw: "mux.tcp_noise.at_64k_vs_noise_raw",
        goal: 0.95,
    },
    Suite {
        cipher: Cipher::AesGcm,
        raw: "aes_raw",
        yamux: "aes_yamux",
        h2: "aes_h2_1m",
        fixed: "aes_vatmux_64k",
        growing: "aes_vatmux",
        versus_raw: "mux.tcp_noise_aes.vs_noise_raw",
        versus_best_peer: "mux.tcp_noise_aes.vs_best_peer",
        fixed_versus_raw: "mux.tcp_noise_aes.at_64k_vs_noise_raw",
        goal: 0.90,
    },
];

pub(super) fn run(arguments: &Arguments) -> Result<(Vec<Table>, Vec<Ratio>)> {
    let mut tables = Vec::new();
    let mut ratios = Vec::new();
    for suite in &SUITES {
        let table = suite.run(arguments)?;
        ratios.extend(suite.ratios(&table).into_iter().flatten());
        tables.push(table);
    }
    Ok((tables, ratios))
}

impl Suite {
    fn run(&self, arguments: &Arguments) -> Result<Table> {
        let (bytes, cipher) = (arguments.bytes, self.cipher);
        let source = || Source::Memory { bytes };
        let writes_checksum = source().checksum(WRITE)?;
        let ours = |name, windows| {
            Contestant::new(name, move |purpose| {
                let server = Role::StreamServer(stream::Server { source: source(), windows });
                let client =
                    |server, order| Role::StreamClient(stream::Client { server, cipher, windows, order });
                transfer::run(&server, client, bytes, writes_checksum, purpose)
            })
        };
        let contestants = vec![
            raw::contestant(self.raw, source(), cipher)?,
            Contestant::new(self.yamux, move |purpose| {
                let server = Role::YamuxServer(yamux::Server { source: source(), cipher });
                let client = |server, order| Role::YamuxClient(yamux::Client { server, cipher, order });
                transfer::run(&server, client, bytes, writes_checksum, purpose)
            }),
            Contestant::new(self.h2, move |purpose| {
                let server = Role::H2Server(h2::Server { bytes, cipher });
                let client = |server, order| Role::H2Client(h2::Client { server, cipher, order });
                transfer::run(&server, client, bytes, writes_checksum, purpose)
            }),
            ours(self.fixed, Windows::Fixed),
            ours(self.growing, Windows::Growing),
        ];
        Ok(Table {
            title: format!(
                "{bytes} bytes from one process to another over loopback TCP under {}, all by ring, in writes of {WRITE} \
                 on one stream: medians (least–greatest). Raw bytes fill every record and leave with one call each; the \
                 windows of yamux tune themselves, those of h2 are 1 MiB",
                cipher.suite()
            ),
            columns: transfer::COLUMNS,
            rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
        })
    }

    fn ratios(&self, table: &Table) -> [Option<Ratio>; 3] {
        let speed = |name| table.median(name, "gb_per_s");
        let versus_raw = |name| Some(speed(name)? / speed(self.raw)?);
        let best_peer = [self.yamux, self.h2].into_iter().filter_map(speed).reduce(f64::max);
        let versus_best = speed(self.growing).zip(best_peer).map(|(ours, theirs)| ours / theirs);
        [
            Ratio::new(self.versus_raw, versus_raw(self.growing), Some(Goal::AtLeast(self.goal))),
            Ratio::new(self.fixed_versus_raw, versus_raw(self.fixed), None),
            Ratio::new(self.versus_best_peer, versus_best, None),
        ]
    }
}
