//! Noise and nothing else: what the encryption and the socket cost, the floor that everything is compared with.
//!
//! The server copies blocks into records, seals them there and writes each with one call; the client reads as much as
//! there is, opens the records where they lie and throws the plaintext away. Neither allocates once it runs.

use std::io::{Read, Write};
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::figures::Contestant;
use crate::noise::{self, Cipher, Contact, Inbox, RECORD};
use crate::payload::{RECORD_PLAINTEXT, Sink, Source};
use crate::roles::Role;
use crate::side::Bench;
use crate::transfer::{self, Connected, Order, Transfer};

/// Moves all of `source` under `cipher`.
pub(crate) fn contestant<'a>(name: &'static str, source: Source, cipher: Cipher) -> Result<Contestant<'a>> {
    let (bytes, checksum) = (source.bytes()?, source.checksum(RECORD_PLAINTEXT)?);
    Ok(Contestant::new(name, move |purpose| {
        let server = Role::RawServer(Server { source: source.clone(), cipher });
        let client = |server, order| Role::RawClient(Client { server, cipher, order });
        transfer::run(&server, client, bytes, checksum, purpose)
    }))
}

/// Sends a source once a client asks for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) source: Source,
    pub(crate) cipher: Cipher,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let server = noise::Server::bind(self.cipher)?;
        bench.say(&server.contact()?)?;
        let (mut stream, mut noise) = server.accept()?;
        let mut block = vec![0; RECORD_PLAINTEXT];
        let mut blocks = self.source.open(&mut block)?;
        let mut record = vec![0; RECORD];
        // The client's "go" is a record as well; its content does not matter.
        let asked = stream.read(&mut record)?;
        ensure!(asked > 0, "the client hung up before it asked");
        loop {
            let length = blocks.next(&mut block)?;
            if length == 0 {
                return Ok(());
            }
            let length = noise::seal(&mut noise, &block[..length], &mut record)?;
            stream.write_all(&record[..length])?;
        }
    }
}

/// Reads what the server sends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) server: Contact,
    pub(crate) cipher: Cipher,
    pub(crate) order: Order,
}

impl Client {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let dialed = Instant::now();
        let (mut stream, mut noise) = noise::dial(&self.server, self.cipher)?;
        bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
        let mut inbox = Inbox::new();
        let mut sink = Sink::new(self.order.checks);
        bench.wait_for_go()?;

        let asked = Instant::now();
        let mut record = [0; 64];
        let length = noise::seal(&mut noise, b"go", &mut record)?;
        stream.write_all(&record[..length])?;
        while sink.bytes < self.order.bytes {
            while let Some(record) = inbox.next() {
                sink.take(noise.open(record)?);
            }
            if sink.bytes < self.order.bytes {
                let read = stream.read(inbox.space())?;
                ensure!(read > 0, "the server hung up after {} bytes", sink.bytes);
                inbox.added(read);
            }
        }
        bench.say(&Transfer::new(asked.elapsed(), &sink))
    }
}
