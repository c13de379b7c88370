//! Vats that pass calls on for a peer, and what peers can have them pass on.

use capnp::capability::{Client, FromClientHook};
use capnp::traits::HasTypeId;
use capnp_rpc::rpc_capnp::{call, message_target};
use vatmux_driver::{pipe, virtual_time};
use vatmux_rpc::service::Stub;
use vatmux_rpc::{Options, Vat};

use crate::claims::on_a_small_stack;
use crate::common::PIPE_BYTES;
use crate::common::wire::{Outcome, Told, Wire, point_to_first_cap};
use crate::linked::chain::Link;
use crate::linked::chain_capnp::link;
use crate::own::Own;
use crate::script::{Instead, answer_instead, answer_link, lift};

const GIVE: u16 = 2;
const AFTER: u16 = 4;
const LARGE: u16 = 5;

/// A vat that serves a link, and a caller that says what the test has it say.
fn served(options: &Options, test: impl AsyncFnOnce(&mut Wire, &Vat)) {
    let (mut driver, _) = virtual_time::driver();
    let (near, far) = pipe(PIPE_BYTES);
    let client = Link::serve(Own::new(1, true)).capability().client().clone();
    let vat = Vat::serve(far, "link", Client::new(client.into_client_hook()), &driver.handle(), options);
    let mut wire = Wire::new(near);
    driver
        .drive_until(async {
            wire.say(|root| root.init_bootstrap().set_question_id(0)).await;
            assert!(matches!(wire.told().await, Some(Told::Return { id: 0, .. })));
            test(&mut wire, &vat).await;
        })
        .unwrap();
}

async fn call(
    wire: &mut Wire,
    id: u32,
    method: u16,
    target: impl FnOnce(message_target::Builder<'_>),
    build: impl FnOnce(call::Builder<'_>),
) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(link::Client::TYPE_ID);
        call.set_method_id(method);
        target(call.reborrow().init_target());
        call.reborrow().init_params();
        build(call);
    })
    .await;
}

fn the_link(mut target: message_target::Builder<'_>) {
    target.set_imported_cap(0);
}

fn result_of(id: u32) -> impl Fn(message_target::Builder<'_>) {
    move |target| {
        let mut answer = target.init_promised_answer();
        answer.set_question_id(id);
        answer.init_transform(1).get(0).set_get_pointer_field(0);
    }
}

/// Gives the peer's capability of this number.
fn with(cap: u32) -> impl Fn(call::Builder<'_>) {
    move |call| {
        let mut params = call.get_params().unwrap();
        params.reborrow().init_cap_table(1).get(0).set_sender_hosted(cap);
        point_to_first_cap(params.get_content());
    }
}

/// The next answer of the vat's; an embargo is lifted on the way.
async fn answered(wire: &mut Wire) -> (u32, Outcome) {
    loop {
        match wire.told().await.expect("the vat is over") {
            Told::Return { id, outcome } => return (id, outcome),
            // The first.
            Told::Disembargo { .. } => lift(wire, 0).await,
            _ => {}
        }
    }
}

/// Has the vat answer a call with the result of a call to the peer, which the peer answers by `answer` before it calls the
/// first result with a capability.
fn passed_on(answer: impl AsyncFnOnce(&mut Wire, u32) + Send + 'static) {
    on_a_small_stack(move || {
        served(&Options::default(), async |wire, vat| {
            call(wire, 1, AFTER, the_link, with(5)).await;
            let Some(Told::Call { id, .. }) = wire.told().await else { panic!("it does not call") };
            let (1, Outcome::Results { answers_passed, .. }) = answered(wire).await else {
                panic!("it does not answer")
            };
            assert_eq!(answers_passed, [id], "the result of the one is that of the other");
            answer(wire, id).await;
            call(wire, 2, GIVE, result_of(1), with(6)).await;
            let (2, Outcome::Exception(reason)) = answered(wire).await else { panic!("it has an answer") };
            assert!(!reason.is_empty());
            assert_eq!(vat.ended(), None);
        });
    });
}

#[test]
fn a_call_that_is_passed_on_to_an_error_fails_alone() {
    passed_on(async |wire, id| answer_instead(wire, id, Instead::Exception).await);
    passed_on(async |wire, id| answer_instead(wire, id, Instead::Null).await);
}

#[test]
fn a_call_that_is_passed_on_to_an_object_of_the_vats_fails_alone() {
    // The bootstrap capability, which the caller holds by that number.
    passed_on(async |wire, id| answer_link(wire, id, |mut cap| cap.set_receiver_hosted(0)).await);
}

#[test]
fn calls_on_results_that_are_too_large_to_send_are_answered() {
    on_a_small_stack(|| {
        let options = Options { max_message_bytes: 10_000, ..Options::default() };
        served(&options, async |wire, vat| {
            call(wire, 1, LARGE, the_link, |call| {
                let params = call.get_params().unwrap().get_content();
                params.init_as::<link::large_params::Builder<'_>>().set_bytes(20_000);
            })
            .await;
            call(wire, 2, LARGE, result_of(1), |_| {}).await;
            let (1, Outcome::Exception(reason)) = answered(wire).await else { panic!("it was sent") };
            assert!(reason.contains("over the limit of 10000"), "{reason}");
            // The object is there, whatever becomes of the results.
            assert!(matches!(answered(wire).await, (2, Outcome::Results { .. })));
            call(wire, 3, LARGE, result_of(1), |_| {}).await;
            assert!(matches!(answered(wire).await, (3, Outcome::Results { .. })));
            assert_eq!(vat.ended(), None);
        });
    });
}

#[test]
fn many_pointers_to_one_capability_count_as_many() {
    on_a_small_stack(|| {
        for (count, passes) in [(1_024, true), (1_025, false)] {
            served(&Options::default(), async |wire, vat| {
                call(wire, 1, GIVE, the_link, |call| {
                    let mut params = call.get_params().unwrap();
                    params.reborrow().init_cap_table(1).get(0).set_sender_hosted(5);
                    let mut list =
                        params.get_content().initn_as::<capnp::any_pointer_list::Builder<'_>>(count);
                    for at in 0..count {
                        crate::script::point_to_cap(list.reborrow().get(at));
                    }
                })
                .await;
                let told = match wire.told().await {
                    Some(Told::Release { .. }) => wire.told().await,
                    told => told,
                };
                assert_eq!(matches!(told, Some(Told::Return { id: 1, .. })), passes, "{told:?}");
                assert_eq!(vat.ended().is_none(), passes, "{:?}", vat.ended());
            });
        }
    });
}
