//! Encodings that are wrong: bits turned over, words replaced, pieces cut out of valid conversations.

use std::time::Duration;

use futures::FutureExt;
use futures::io::AsyncWriteExt;
use vatmux_rpc::VatEnd;

use crate::common::Served;
use crate::heap;

/// What any bytes may make a vat take, and the driver beside it: two blobs of the largest size that the server makes,
/// which a turned bit may ask for.
const HEAP_BYTES: usize = 17 << 20;

/// Sends bytes to a served vat, whatever they are, and then ends the stream. Whatever the vat answers is read.
///
/// Nothing may panic, the heap stays bounded, and the vat ends. Gives its reason.
pub(crate) fn feed(bytes: &[u8]) -> VatEnd {
    let heap_before = heap::used();
    let Served { mut driver, mut wire, server, seen, handle, .. } = Served::with(&crate::options());
    driver
        .drive_until(async {
            for piece in bytes.chunks(8 << 10) {
                if wire.stream.write_all(piece).await.is_err() {
                    break;
                }
                handle.sleep(Duration::from_nanos(1)).await;
                while let Some(Some(_)) = wire.read().now_or_never() {}
                let heap = heap::used().saturating_sub(heap_before);
                assert!(heap < HEAP_BYTES + bytes.len(), "{heap} bytes of heap");
            }
            let _ = wire.stream.close().await;
            handle.sleep(Duration::from_mins(2)).await;
        })
        .unwrap();
    drop(wire);
    driver.drive_until(async { handle.sleep(Duration::from_mins(1)).await }).unwrap();
    assert_eq!((seen.probes.get(), seen.running.get()), (0, 0), "something is held after the end");
    server.ended().expect("its stream has ended")
}
