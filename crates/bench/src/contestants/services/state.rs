//! Keys and values: by those who call a node for them, and by those who have a database in their own process.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::future::{Either, select};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use vatmux::health;
use vatmux::schema::health::Health;
use vatmux::schema::statefs::StateFs;
use vatmux::statefs::{self, Access, Client, Condition, Key, OpenOptions, Store};
use vatmux_rpc::service::Stub as _;
use vatmux_rpc::{Peer, Services};

use super::bundles::Packed;
use crate::contestants::node;
use crate::contestants::rpc::{self, Called, Calls};
use crate::noise::Contact;
use crate::series::Series;
use crate::side::Bench;
use crate::transfer::Connected;

/// The size of a value.
pub(crate) const VALUE_BYTES: usize = 1024;

/// Among how many keys the calls go around.
const KEYS: u64 = 1000;

fn key(at: u64) -> Result<Key> {
    Ok(format!("bench/{}", at % KEYS).parse()?)
}

fn value(at: u64) -> Vec<u8> {
    vec![at as u8; VALUE_BYTES]
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Call {
    /// A value is put, and is durable when the call returns.
    Put,
    /// A value is read, and compared.
    Get,
    /// Nothing is asked, of `vatmux.health`.
    Ping,
}

impl Call {
    async fn measure(self, bench: &Bench, dialed: Instant, peer: &Peer, calls: Calls) -> Result<()> {
        let state = Client::connect(peer)?;
        match self {
            Self::Put => {
                let put = async |at| {
                    state.put(&key(at)?, &value(at), Condition::Any).await?;
                    Ok(())
                };
                rpc::measure(bench, dialed, calls, put).await
            }
            Self::Get => {
                for at in 0..KEYS {
                    state.put(&key(at)?, &value(at), Condition::Any).await?;
                }
                let get = async |at| {
                    let found = state.get(&key(at)?).await?.context("it was put")?;
                    ensure!(found.bytes == value(at % KEYS), "another value came");
                    Ok(())
                };
                rpc::measure(bench, dialed, calls, get).await
            }
            Self::Ping => {
                let health: Health = peer.connect()?;
                let ping = async |at| Ok(health::ping(health.capability().client(), at).await?);
                rpc::measure(bench, dialed, calls, ping).await
            }
        }
    }
}

/// Calls a node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) server: Contact,
    pub(crate) call: Call,
    pub(crate) calls: Calls,
}

impl Caller {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        node::dial(&self.server, async |dialed, peer| {
            self.call.measure(bench, dialed, &peer, self.calls).await
        })
    }
}

/// Serves a store and calls it on one thread, over loopback: where nobody's figures have the time in them that another core takes
/// to wake.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Guest {
    pub(crate) state: PathBuf,
    pub(crate) call: Call,
    pub(crate) calls: Calls,
}

impl Guest {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let store = Store::open_file(&self.state, OpenOptions::default())?;
        let mut services = Services::default();
        health::offer_among(&mut services)?;
        services.serve::<StateFs, _>(move |_| statefs::Server::new(store.clone(), Access::full()))?;
        node::on_one_thread(services, async |dialed, peer| {
            self.call.measure(bench, dialed, &peer, self.calls).await
        })
    }
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Engine {
    /// `SQLite` with a write-ahead log, synchronous=FULL: a commit is durable when it returns.
    Sqlite,
    /// A store of statefs, called as a library.
    Statefs,
}

/// Puts into a database of its own process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) engine: Engine,
    pub(crate) file: PathBuf,
    pub(crate) calls: Calls,
}

impl Database {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let opened = Instant::now();
        let measured = async {
            match self.engine {
                Engine::Sqlite => {
                    let database = Connection::open(&self.file)?;
                    database.pragma_update(None, "journal_mode", "WAL")?;
                    database.pragma_update(None, "synchronous", "FULL")?;
                    let table =
                        "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID";
                    database.execute(table, ())?;
                    let put = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
                    let put = RefCell::new(database.prepare(put)?);
                    let put = async |at| {
                        put.borrow_mut().execute((key(at)?.as_str(), value(at)))?;
                        Ok(())
                    };
                    rpc::measure(bench, opened, self.calls, put).await
                }
                Engine::Statefs => {
                    let store = Store::open_file(&self.file, OpenOptions::default())?;
                    let put = async |at| {
                        store.put(key(at)?, value(at), Condition::Any).await?;
                        Ok(())
                    };
                    rpc::measure(bench, opened, self.calls, put).await
                }
            }
        };
        futures::executor::block_on(measured)
    }
}

/// Puts one value after the other, first with nothing else to do and then while the same session installs a bundle.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Puts {
    pub(crate) server: Contact,
    /// How many, each time.
    pub(crate) puts: u64,
    pub(crate) packed: Packed,
}

/// Bytes of a bundle that were sent before its install counts as running.
const INSTALL_IS_RUNNING: u64 = 16 << 20;

impl Puts {
    /// Says twice what the puts took, and then how many bytes of bundles were sent beside the second half.
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        node::dial(&self.server, async |dialed, peer| {
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            bench.wait_for_go()?;
            let state = Client::connect(&peer)?;
            // Every key is there before the first put is timed.
            put(&state, KEYS).await?;
            bench.say(&put(&state, self.puts).await?)?;

            let sent = Cell::new(0);
            let installing = pin!(async {
                loop {
                    if let Err(error) =
                        self.packed.install(&peer, &|bytes| sent.set(sent.get() + bytes)).await
                    {
                        return error;
                    }
                    if let Err(error) = self.packed.remove(&peer).await {
                        return error;
                    }
                }
            });
            let putting = pin!(async {
                while sent.get() < INSTALL_IS_RUNNING {
                    put(&state, 1).await?;
                }
                let before = sent.get();
                anyhow::Ok((put(&state, self.puts).await?, sent.get() - before))
            });
            match select(putting, installing).await {
                Either::Left((put, _)) => {
                    let (called, installed_bytes) = put?;
                    bench.say(&called)?;
                    bench.say(&installed_bytes)
                }
                Either::Right((error, _)) => Err(error).context("the install failed beside the puts"),
            }
        })
    }
}

async fn put(state: &Client, puts: u64) -> Result<Called> {
    let began = Instant::now();
    let mut latencies = Series::default();
    for at in 0..puts {
        let sent = Instant::now();
        state.put(&key(at)?, &value(at), Condition::Any).await?;
        latencies.push(sent.elapsed().as_secs_f64());
    }
    Called::of(&latencies, began)
}
