//! What the things cost that the limits count, each filled to its limit.

use std::time::Duration;

use capnp::traits::HasTypeId;
use capnp_rpc::rpc_capnp::{call, message};
use futures::FutureExt;
use vatmux_rpc::{Limits, Options};

use crate::common::wire::point_to_first_cap;
use crate::common::{Served, probe};
use crate::heap;

/// Says `count` messages to a vat of the default limits. Gives the heap that each of them takes for good.
fn cost_of_each(count: u32, build: impl Fn(u32, message::Builder<'_>)) -> usize {
    let options = Options { limits: Limits::default(), ..Options::default() };
    let Served { mut driver, mut wire, server, handle, .. } = Served::with(&options);
    let cost = driver
        .drive_until(async {
            wire.say(|root| root.init_bootstrap().set_question_id(1_000_000)).await;
            handle.sleep(Duration::from_nanos(1)).await;
            let before = heap::used();
            for id in 0..count {
                wire.say(|root| build(id, root)).await;
                while let Some(Some(_)) = wire.read().now_or_never() {}
            }
            handle.sleep(Duration::from_nanos(1)).await;
            while let Some(Some(_)) = wire.read().now_or_never() {}
            heap::used().saturating_sub(before) / count as usize
        })
        .unwrap();
    assert_eq!(server.ended(), None);
    cost
}

fn call(root: message::Builder<'_>, id: u32, method: u16) -> call::Builder<'_> {
    let mut call = root.init_call();
    call.set_question_id(id);
    call.set_interface_id(probe::Client::TYPE_ID);
    call.set_method_id(method);
    call.reborrow().init_target().set_imported_cap(0);
    call.reborrow().init_params();
    call
}

fn is_within(what: &str, cost: usize, documented: usize) {
    println!("{what}: {cost} bytes");
    assert!(cost <= documented, "{what} costs {cost} bytes, and not {documented}");
}

#[test]
fn what_the_limits_count_costs_what_they_say() {
    let limits = Limits::default();
    let calls = cost_of_each(limits.max_calls as u32, |id, root| {
        call(root, id, 1);
    });
    is_within("an outstanding call", calls, 2_720);
    let bootstraps = cost_of_each(limits.max_bootstraps as u32 - 1, |id, root| {
        root.init_bootstrap().set_question_id(id);
    });
    is_within("a bootstrap that is not finished", bootstraps, 920);
    // The call holds the table with it.
    let imports = cost_of_each(64, |id, root| {
        let mut params = call(root, id, 1).init_params();
        let mut table = params.reborrow().init_cap_table(256);
        for at in 0..256 {
            table.reborrow().get(at).set_sender_hosted(id * 256 + at);
        }
        point_to_first_cap(params.get_content());
    });
    is_within("a capability of the peer's", imports / 256, 410);
    let finished = cost_of_each(4_000, |id, root| {
        // A counter, and the Finish of the answer that gave it.
        if id.is_multiple_of(2) {
            call(root, id, 3);
        } else {
            let mut finish = root.init_finish();
            finish.set_question_id(id - 1);
            finish.set_release_result_caps(false);
        }
    });
    is_within("a capability given out, with its server", finished * 2, 444);
}
