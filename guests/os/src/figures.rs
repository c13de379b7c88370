//! What the image costs, measured with a host: in virtual time, where QEMU counts instructions as nanoseconds.

use std::time::Duration;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use vatmux::packagefs::{Client, PRIORITY};
use vatmux::schema::bundlemgr::BundleMgr;
use vatmux::schema::health::Health;
use vatmux_driver::Instant;
use vatmux_os_disk::Dial;
use vatmux_rpc::Peer;

use crate::content::BULK;
use crate::machine::timer;
use crate::node::Node;
use crate::park::Sleeps;

/// How long the host may take to answer the dial.
const PATIENCE: Duration = Duration::from_secs(10);

/// Null calls, one after the other.
const CALLS: u32 = 200;

/// How long nothing is done.
const IDLE: Duration = Duration::from_secs(10);

/// What is sealed at once, and how often: records of the size that a bulk transfer has.
const RECORD_BYTES: usize = 65_519;
const RECORDS: usize = 32;

/// Prints `figure NAME VALUE` for each. Fails where one cannot be measured, as one failed test.
pub(crate) async fn measure(
    node: &Node,
    dials: &[Dial],
    entered: Instant,
    sleeps: &Sleeps,
) -> Result<(), usize> {
    let failed = |error: String| {
        println!("SELFTEST: FAIL figures: {error}");
        1
    };
    let dial = dials.first().ok_or_else(|| failed("nobody to measure with".to_owned()))?;
    let peer = node.dial(dial, PATIENCE).await.map_err(|error| failed(error.to_string()))?;
    println!("dsoftbus:mux session up (peer={})", peer.node_id());
    figure("boot_to_session_us", (timer::now() - entered).as_micros());
    with(&peer, sleeps).await.map_err(failed)
}

async fn with(peer: &Peer, sleeps: &Sleeps) -> Result<(), String> {
    let handle = peer.session().handle();
    let health = peer.connect::<Health>().map_err(|error| error.to_string())?;
    health.ping(0).await.map_err(|error| error.to_string())?;
    let (began, slept) = (timer::now(), sleeps.time());
    for nonce in 0..CALLS {
        health.ping(nonce.into()).await.map_err(|error| error.to_string())?;
    }
    let busy = (timer::now() - began).saturating_sub(sleeps.time().saturating_sub(slept));
    figure("rpc_busy_ns", busy.as_nanos() / u128::from(CALLS));

    let (count, began) = (sleeps.count(), timer::now());
    handle.sleep(IDLE).await;
    let idle = timer::now() - began;
    figure("idle_wakeups_per_ks", u128::from(sleeps.count() - count) * 1_000_000 / idle.as_millis().max(1));

    let sealing = seal().ok_or("the cipher failed")?;
    figure("cipher_kib_per_s", sealing);

    let bundles = peer.connect::<BundleMgr>().map_err(|error| error.to_string())?;
    let listed = bundles.list(&[], 1).await.map_err(|error| error.to_string())?.bundles;
    let bundle = listed.first().ok_or("the host has no bundle")?;
    let files = Client::connect(peer, PRIORITY).map_err(|error| error.to_string())?;
    let path = format!("{}/{BULK}", bundle.name);
    let (began, slept) = (timer::now(), sleeps.time());
    let bytes =
        files.read_to(&path, &mut futures::io::sink(), &|_| {}).await.map_err(|error| error.to_string())?;
    let took = timer::now() - began;
    figure("bulk_kib_per_s", rate(bytes, took));
    figure("bulk_busy_kib_per_s", rate(bytes, took.saturating_sub(sleeps.time().saturating_sub(slept))));
    Ok(())
}

/// How fast records are sealed, with nothing else going on.
fn seal() -> Option<u128> {
    let cipher = ChaCha20Poly1305::new(&[7; 32].into());
    let mut record = vec![0; RECORD_BYTES];
    let began = timer::now();
    for number in 0..RECORDS {
        let mut nonce = [0; 12];
        nonce[0] = number as u8;
        cipher.encrypt_in_place_detached(&nonce.into(), &[], &mut record).ok()?;
    }
    Some(rate((RECORD_BYTES * RECORDS) as u64, timer::now() - began))
}

/// KiB per second.
fn rate(bytes: u64, time: Duration) -> u128 {
    u128::from(bytes) * 1_000_000 / 1024 / time.as_micros().max(1)
}

fn figure(name: &str, value: u128) {
    println!("figure {name} {value}");
}
