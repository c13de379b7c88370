//! A peer that sends what it should not, or does not read what it should.

mod common;

use std::time::Duration;

use capnp::ErrorKind;
use capnp::traits::HasTypeId;
use common::wire::{Told, Wire};
use common::{Pair, Scripted, Served, echo, probe};
use futures::io::AsyncWriteExt;
use vatmux_driver::{Clock, Instant};
use vatmux_rpc::{FrameError, Options, VatEnd};

const BLOB: u16 = 7;

async fn bootstrap(wire: &mut Wire) {
    wire.say(|root| root.init_bootstrap().set_question_id(0)).await;
}

async fn ask_for_blob(wire: &mut Wire, id: u32, bytes: u64) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(probe::Client::TYPE_ID);
        call.set_method_id(BLOB);
        let mut params =
            call.reborrow().init_params().get_content().init_as::<probe::blob_params::Builder<'_>>();
        params.set_bytes(bytes);
        call.init_target().set_imported_cap(0);
    })
    .await;
}

/// A generator of numbers that is the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn a_header_that_announces_too_much_ends_the_vat_at_once_and_says_why() {
    let words = (8_u32 << 20) / 8 + 1;
    let too_large = [0_u32.to_le_bytes(), words.to_le_bytes()].concat();
    let Served { mut driver, mut wire, server, seen, .. } = Served::new();
    driver
        .drive_until(async {
            wire.say_bytes(&too_large).await;
            let limit = 8 << 20;
            let end = VatEnd::Frame(FrameError::TooLarge { bytes: limit + 8, limit: limit as usize });
            assert_eq!(server.wait_for_end().await, end);
            let Some(Told::Abort { reason }) = wire.told().await else { panic!() };
            assert!(reason.contains("a message of 8388616 bytes, over the limit of 8388608"), "{reason}");
            assert_eq!(wire.told().await, None);
        })
        .unwrap();
    assert_eq!(seen.probes.get(), 0);
}

#[test]
fn a_caller_learns_that_its_peer_sent_garbage() {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    let error = driver
        .drive_until(async {
            wire.say_bytes(b"HTTP/1.1 400 Bad Request\r\n").await;
            echo(&probe, 1).await.unwrap_err()
        })
        .unwrap();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.extra.starts_with("service \"probe\" is gone: the peer sent a message of"), "{error}");
}

#[test]
fn a_stream_that_ends_inside_a_message_is_no_clean_end() {
    let Served { mut driver, mut wire, server, .. } = Served::new();
    driver
        .drive_until(async {
            wire.say_bytes(&[0, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3]).await;
            wire.stream.close().await.unwrap();
            assert_eq!(server.wait_for_end().await, VatEnd::Frame(FrameError::Truncated));
        })
        .unwrap();
}

#[test]
fn an_empty_message_and_one_of_zeros_are_survived() {
    for bytes in [vec![0; 8], [vec![0, 0, 0, 0, 3, 0, 0, 0], vec![0; 24]].concat()] {
        let Served { mut driver, mut wire, server, handle, .. } = Served::new();
        driver
            .drive_until(async {
                wire.say_bytes(&bytes).await;
                handle.sleep(Duration::from_mins(1)).await;
            })
            .unwrap();
        assert!(!matches!(server.ended(), Some(VatEnd::EndedHere)), "{:?}", server.ended());
    }
}

#[test]
fn random_bytes_end_a_vat_without_a_panic() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let bytes: Vec<u8> = (0..random.below(400)).map(|_| random.below(256) as u8).collect();
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                // A small message, so that what follows the header counts.
                let words = bytes.len() as u32 / 8;
                wire.say_bytes(&[0_u32.to_le_bytes(), words.to_le_bytes()].concat()).await;
                wire.say_bytes(&bytes).await;
                wire.stream.close().await.unwrap();
                server.wait_for_end().await;
            })
            .unwrap();
    }
}

/// A conversation with bits turned over: each message still has its length, and most of its structure.
#[test]
fn messages_with_flipped_bits_end_a_vat_without_a_panic() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let Served { mut driver, handle, mut wire, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrap(&mut wire).await;
                for id in 1..6_u32 {
                    let mut builder = capnp::message::Builder::new_default();
                    let root: capnp_rpc::rpc_capnp::message::Builder<'_> = builder.init_root();
                    match random.below(3) {
                        0 => {
                            let mut finish = root.init_finish();
                            finish.set_question_id(random.below(4) as u32);
                        }
                        1 => {
                            let mut call = root.init_call();
                            call.set_question_id(id);
                            call.set_interface_id(probe::Client::TYPE_ID);
                            call.set_method_id(random.below(8) as u16);
                            call.reborrow().init_params().init_cap_table(2).get(0).set_sender_hosted(1);
                            call.init_target().set_imported_cap(0);
                        }
                        _ => {
                            let mut call = root.init_call();
                            call.set_question_id(id);
                            call.set_interface_id(common::counter::Client::TYPE_ID);
                            call.reborrow().init_params();
                            let mut target = call.init_target().init_promised_answer();
                            target.set_question_id(random.below(4) as u32);
                            target.init_transform(1).get(0).set_get_pointer_field(0);
                        }
                    }
                    let mut bytes = capnp::serialize::write_message_to_words(&builder);
                    for _ in 0..random.below(3) {
                        let place = 8 + random.below(bytes.len() as u64 - 8) as usize;
                        bytes[place] ^= 1 << random.below(8);
                    }
                    if wire.stream.write_all(&bytes).await.is_err() {
                        break;
                    }
                    handle.sleep(Duration::from_millis(1)).await;
                }
                let _ = wire.stream.close().await;
            })
            .unwrap();
    }
}

#[test]
fn a_peer_that_does_not_read_its_answers_is_not_served_more_of_them() {
    let options = Options { send_queue_soft_bytes: 100_000, ..Options::default() };
    let Served { mut driver, handle, mut wire, server, .. } = Served::with(&options);
    let calls = 3_000;
    driver
        .drive_until(async {
            bootstrap(&mut wire).await;
            let mut sent = 0;
            while sent < calls {
                sent += 1;
                // What is under way when the time is up is sent all the same: the pipe has room for a part of it.
                if handle
                    .timeout(Duration::from_millis(1), ask_for_blob(&mut wire, sent, 1_000))
                    .await
                    .is_err()
                {
                    break;
                }
            }
            // 100 kB of answers, what the pipe holds of them, and what it holds of calls.
            assert!(sent < 1_200, "{sent} calls were taken");
            assert_eq!(server.ended(), None);
        })
        .unwrap();
}

#[test]
fn a_peer_that_reads_late_gets_all_its_answers_in_order() {
    let options = Options { send_queue_soft_bytes: 20_000, ..Options::default() };
    let Served { mut driver, handle, mut wire, server, .. } = Served::with(&options);
    driver
        .drive_until(async {
            bootstrap(&mut wire).await;
            for id in 1..400 {
                ask_for_blob(&mut wire, id, 1_000).await;
            }
            handle.sleep(Duration::from_secs(20)).await;
            for id in 0..400 {
                let Some(Told::Return { id: returned, .. }) = wire.told().await else { panic!() };
                assert_eq!(returned, id);
            }
        })
        .unwrap();
    assert_eq!(server.ended(), None);
}

#[test]
fn a_peer_that_never_reads_ends_its_vat_when_its_time_is_up() {
    let Served { mut driver, clock, mut wire, server, seen, handle, .. } = Served::new();
    driver
        .drive_until(async {
            bootstrap(&mut wire).await;
            ask_for_blob(&mut wire, 1, 500_000).await;
            assert_eq!(server.wait_for_end().await, VatEnd::SendStalled(Duration::from_secs(30)));
            assert_eq!(clock.now(), Instant::ORIGIN + Duration::from_secs(30));
            handle.sleep(Duration::from_nanos(1)).await;
            assert_eq!(seen.probes.get(), 0);
            // Its last words get the time to leave; then the stream is dropped all the same.
            handle.sleep(Duration::from_secs(6)).await;
            let mut rest = Vec::new();
            futures::AsyncReadExt::read_to_end(&mut wire.stream, &mut rest).await.unwrap();
            assert!(rest.len() <= common::PIPE_BYTES);
        })
        .unwrap();
}

#[test]
fn a_caller_that_queues_without_end_loses_its_vat_and_not_its_memory() {
    let options = Options { send_queue_hard_bytes: 1 << 20, ..Options::default() };
    let Scripted { mut driver, probe, wire, .. } = Scripted::with(&options);
    let blob = vec![0; 100_000];
    let mut calls = Vec::new();
    for _ in 0..100 {
        let mut request = probe.write_request();
        request.get().set_bytes(&blob);
        calls.push(request.send());
    }
    let end = driver.drive_until(probe.vat().wait_for_end()).unwrap();
    let VatEnd::SendQueueFull { queued_bytes, limit } = end else { panic!("{end}") };
    assert!(limit == 1 << 20 && queued_bytes < limit + 101_000);
    let error = driver.drive_until(calls.pop().unwrap()).unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Disconnected);
    drop(wire);
}

#[test]
fn a_call_that_is_too_large_fails_alone() {
    let mut pair = Pair::with(&Options { max_message_bytes: 10_000, ..Options::default() });
    let mut request = pair.probe.write_request();
    request.get().set_bytes(&[0; 10_000]);
    pair.run(request.send()).unwrap();
    let error = pair.run(pair.probe.written_request().send().promise).err();
    assert!(error.is_none(), "the first write is only refused");
    let mut request = pair.probe.write_request();
    request.get().set_bytes(&[0; 10_000]);
    let error = pair.run(request.send()).err();
    let error = error.expect("a stream remembers its failure");
    assert!(error.extra.contains("bytes is over the limit of 10000 and was not sent"), "{error}");
    assert_eq!(pair.run(echo(&pair.probe.clone(), 1)).unwrap(), 1);
    assert_eq!(pair.seen.written.get(), 0);
}

#[test]
fn results_that_are_too_large_fail_alone_and_leave_nothing_behind() {
    let mut pair = Pair::with(&Options { max_message_bytes: 10_000, ..Options::default() });
    for _ in 0..3 {
        let mut request = pair.probe.blob_and_counter_request();
        request.get().set_bytes(20_000);
        let error = pair.run(request.send().promise).err().unwrap();
        assert!(error.extra.contains("bytes is over the limit of 10000 and was not sent"), "{error}");
        let mut request = pair.probe.blob_request();
        request.get().set_bytes(20_000);
        assert!(pair.run(request.send().promise).is_err());
    }
    pair.settle();
    assert_eq!(pair.seen.counters.get(), 0);
    let mut request = pair.probe.blob_and_counter_request();
    request.get().set_bytes(1_000);
    assert!(pair.run(request.send().promise).is_ok());
}

#[test]
fn a_message_of_seven_mebibytes_passes() {
    let mut pair = Pair::new();
    let mut request = pair.probe.blob_request();
    request.get().set_bytes(7 << 20);
    let answer = pair.run(request.send().promise).unwrap();
    assert_eq!(answer.get().unwrap().get_blob().unwrap().len(), 7 << 20);
}

#[test]
fn a_peer_that_aborts_is_quoted() {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    let error = driver
        .drive_until(async {
            wire.say(|root| root.init_abort().set_reason("I have had enough")).await;
            echo(&probe, 1).await.unwrap_err()
        })
        .unwrap();
    assert_eq!(
        error.extra,
        "not delivered: service \"probe\" is gone: the peer aborted it: I have had enough"
    );
    assert_eq!(probe.vat().ended(), Some(VatEnd::Aborted("I have had enough".to_owned())));
}

#[test]
fn what_is_quoted_of_a_peer_is_short() {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    let error = driver
        .drive_until(async {
            wire.say(|root| root.init_abort().set_reason("ü".repeat(20_000))).await;
            echo(&probe, 1).await.unwrap_err()
        })
        .unwrap();
    assert!(error.extra.len() < 1_100, "{} bytes", error.extra.len());
}

/// capnp-rpc prints some failures to standard output, where the output of a program is.
#[test]
fn nothing_is_printed_whatever_ends_a_vat() {
    const CHILD: &str = "VATMUX_RPC_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return end_vats_in_every_way();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_printed_whatever_ends_a_vat", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    for line in printed.lines() {
        let of_the_harness = line.is_empty() || line.starts_with("running ") || line.starts_with("test ");
        assert!(of_the_harness, "printed: {line}");
    }
}

fn end_vats_in_every_way() {
    a_header_that_announces_too_much_ends_the_vat_at_once_and_says_why();
    a_caller_learns_that_its_peer_sent_garbage();
    a_stream_that_ends_inside_a_message_is_no_clean_end();
    random_bytes_end_a_vat_without_a_panic();
    messages_with_flipped_bits_end_a_vat_without_a_panic();
    a_peer_that_never_reads_ends_its_vat_when_its_time_is_up();
    a_caller_that_queues_without_end_loses_its_vat_and_not_its_memory();
    a_peer_that_aborts_is_quoted();
    // The driver goes away under a vat.
    let Pair { driver, probe, server, .. } = Pair::new();
    drop(driver);
    drop(probe);
    assert!(server.ended().is_some());
}
