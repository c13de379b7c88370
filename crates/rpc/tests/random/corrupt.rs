//! Encodings that are wrong: bits turned over, words replaced, pieces cut out of valid conversations.
//!
//! This is the body of the fuzz target `rpc_guard` as well, which lies in `crates/fuzzing` and uses this file: whoever feeds
//! the bytes says how much heap is in use, if he counts it.

use std::time::Duration;

use futures::FutureExt;
use futures::io::AsyncWriteExt;
use vatmux_rpc::{Limits, Options, VatEnd};

use crate::common::Served;

/// What any bytes may make a vat take, and the driver beside it: two blobs of the largest size that the server makes,
/// which a turned bit may ask for.
const HEAP_BYTES: usize = 17 << 20;

/// Bounds that are reached within one session.
pub(crate) fn options() -> Options {
    let limits = Limits {
        max_calls: 60,
        max_held_bytes: 400_000,
        max_bootstraps: 4,
        max_exports: 40,
        max_imports: 12,
        ..Limits::default()
    };
    Options { limits, max_canceled_calls: 500, ..Options::default() }
}

/// Sends bytes to a served vat, whatever they are, and then ends the stream. Whatever the vat answers is read.
///
/// Nothing may panic, the heap stays bounded, everything is let go of, and the vat ends for a reason that says what was
/// wrong with the bytes, if it is not just that they ended.
pub(crate) fn feed(bytes: &[u8], heap_used: impl Fn() -> usize) {
    let heap_before = heap_used();
    let Served { mut driver, mut wire, server, seen, handle, .. } = Served::with(&options());
    driver
        .drive_until(async {
            for piece in bytes.chunks(8 << 10) {
                if wire.stream.write_all(piece).await.is_err() {
                    break;
                }
                handle.sleep(Duration::from_nanos(1)).await;
                while let Some(Some(_)) = wire.read().now_or_never() {}
                let heap = heap_used().saturating_sub(heap_before);
                assert!(heap < HEAP_BYTES + bytes.len(), "{heap} bytes of heap");
            }
            let _ = wire.stream.close().await;
            handle.sleep(Duration::from_mins(2)).await;
        })
        .unwrap();
    drop(wire);
    driver.drive_until(async { handle.sleep(Duration::from_mins(1)).await }).unwrap();
    assert_eq!((seen.probes.get(), seen.running.get()), (0, 0), "something is held after the end");
    let end = server.ended().expect("its stream has ended");
    let ended_by_itself = matches!(end, VatEnd::EndedByPeer | VatEnd::Frame(_));
    assert!(ended_by_itself || is_named(&end), "{end:?}");
}

/// Ends that say what was wrong, and nothing else.
pub(crate) fn is_named(end: &VatEnd) -> bool {
    matches!(
        end,
        VatEnd::Violation(_)
            | VatEnd::Exceeded(_)
            | VatEnd::Aborted(_)
            | VatEnd::TooManyCanceled { .. }
            | VatEnd::SendQueueFull { .. }
    )
}
