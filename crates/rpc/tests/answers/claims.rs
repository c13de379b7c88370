//! What becomes of calls on results that are not what they should be: each claim on a stack of 64 KiB.

use capnp::capability::FromClientHook;
use futures::future::{Either, select};
use vatmux_rpc::resolved;
use vatmux_rpc::service::{Capability, Stub};

use crate::linked::chain::Link;
use crate::linked::chain_capnp::link;
use crate::own::Own;
use crate::script::{Instead, Script, answer_instead, answer_link, answer_total, asked, lift_all};

const STACK_BYTES: usize = 64 << 10;

pub(crate) fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn plain(link: &Link) -> link::Client {
    link.capability().client().clone()
}

async fn give(link: &link::Client, given: &Link) -> capnp::Result<u64> {
    let mut request = link.give_request();
    request.get().set_link(plain(given));
    Ok(request.send().promise.await?.get()?.get_total())
}

async fn pour(link: &link::Client, given: &Link) -> capnp::Result<()> {
    let mut request = link.pour_request();
    request.get().set_link(plain(given));
    request.send().await
}

#[test]
fn results_that_are_no_capability_fail_the_calls_on_them() {
    for instead in Instead::ALL {
        on_a_small_stack(move || {
            let Script { mut node, link, mut wire } = Script::new();
            node.run(async {
                let (own, call) = (Own::link(1), link.next());
                let early = call.link();
                let before = early.give(&own);
                let (id, _) = asked(&mut wire).await;
                answer_instead(&mut wire, id, instead).await;
                match (instead, call.await) {
                    // That is found out by whoever calls it.
                    (Instead::Gone, gone) => assert!(gone.unwrap().give(&own).await.is_err()),
                    (_, link) => assert!(link.is_err(), "{instead:?}"),
                }
                // A stub asks the server, which knows what it gave.
                let (give, pour) = (early.give(&own), early.pour(&own));
                let (next, after) = (early.next(), early.after(&own));
                let deeper = next.link().give(&own);
                for _ in 0..6 {
                    let (id, _) = asked(&mut wire).await;
                    answer_instead(&mut wire, id, Instead::Exception).await;
                }
                assert!(before.await.is_err() && give.await.is_err() && deeper.await.is_err());
                assert!(next.await.is_err() && after.await.is_err());
                // There was room for it, and for the next one there is none.
                assert!(pour.await.is_ok() && early.pour(&own).await.is_err());
            });
        });
    }
}

#[test]
fn callers_without_stubs_have_such_calls_fail_as_well() {
    for instead in Instead::ALL {
        on_a_small_stack(move || {
            let Script { mut node, link, mut wire } = Script::new();
            let client = plain(&link);
            node.run(async {
                let own = Own::link(1);
                let call = client.next_request().send();
                let early = call.pipeline.get_link();
                let nested = client.nested_request().send();
                let deep = nested.pipeline.get_inner().get_link();
                for _ in 0..2 {
                    let (id, _) = asked(&mut wire).await;
                    answer_instead(&mut wire, id, instead).await;
                }
                let _ = futures::join!(call.promise, nested.promise);
                for early in [early, deep] {
                    assert!(give(&early, &own).await.is_err(), "{instead:?}");
                    assert!(pour(&early, &own).await.is_err(), "{instead:?}");
                    assert!(give(&early.next_request().send().pipeline.get_link(), &own).await.is_err());
                }
            });
        });
    }
}

#[test]
fn a_promise_that_waits_for_an_answer_is_not_taken_for_that_answer() {
    on_a_small_stack(|| {
        let Script { mut node, link, mut wire } = Script::new();
        let client = plain(&link);
        node.run(async {
            let call = client.next_request().send();
            let early = call.pipeline.get_link();
            let later: link::Client = capnp_rpc::new_future_client(async {
                let response = call.promise.await?;
                response.get()?.get_link()
            });
            let (own, given) = (Own::link(1), Link::of(Capability::of(later.clone())));
            let given = give(&client, &given);
            let on_it = give(&later, &own);
            let (next, _) = asked(&mut wire).await;
            let ((), given, on_it) = futures::join!(
                async {
                    let (id, _) = asked(&mut wire).await;
                    answer_link(&mut wire, next, |mut cap| cap.set_receiver_hosted(0)).await;
                    answer_total(&mut wire, id).await;
                },
                given,
                on_it
            );
            assert_eq!(given.unwrap(), 7);
            let error = on_it.unwrap_err();
            assert!(error.extra.contains("may be waiting for this answer"), "{error}");
            assert!(give(&early, &own).await.is_err() && give(&later, &own).await.is_err());
        });
    });
}

/// Has a call answered with an object of the caller's own, which the server was given before. Gives the promise.
fn becomes_own(calls_before: bool, then: impl AsyncFnOnce(Link) + Send + 'static) {
    on_a_small_stack(move || {
        let Script { mut node, link, mut wire } = Script::new();
        node.run(async {
            let own = Own::link(1);
            // The pipeline is kept, as no stub does.
            let (given, call) = (link.give(&own), plain(&link).next_request().send());
            let early = Link::of(Capability::of(call.pipeline.get_link()));
            let before = calls_before.then(|| early.give(&own));
            let (id, _) = asked(&mut wire).await;
            answer_total(&mut wire, id).await;
            assert_eq!(given.await.unwrap(), 7);
            let (id, _) = asked(&mut wire).await;
            answer_link(&mut wire, id, |mut cap| cap.set_receiver_hosted(0)).await;
            call.promise.await.unwrap();
            if let Some(before) = before {
                let (id, _) = asked(&mut wire).await;
                answer_total(&mut wire, id).await;
                assert_eq!(before.await.unwrap(), 7);
            }
            match select(Box::pin(then(early)), Box::pin(lift_all(&mut wire))).await {
                Either::Left(((), _)) => {}
                Either::Right(_) => unreachable!("embargoes are lifted for ever"),
            }
        });
    });
}

#[test]
fn a_stub_takes_its_capabilities_to_what_it_has_become() {
    for calls_before in [false, true] {
        becomes_own(calls_before, async |early| {
            assert_eq!(early.give(&Own::link(2)).await.unwrap(), 2);
            early.pour(&Own::link(3)).await.unwrap();
            assert_eq!(early.next().link().give(&Own::link(4)).await.unwrap(), 4);
            assert_eq!(early.after(&Own::link(5)).link().large(1).await.unwrap().bytes, [5]);
        });
    }
}

#[test]
fn without_stubs_capabilities_are_lost_on_that_way_and_the_callee_is_told() {
    for calls_before in [false, true] {
        becomes_own(calls_before, async |early| {
            let early = plain(&early);
            let error = give(&early, &Own::link(2)).await.unwrap_err();
            assert!(error.extra.contains("lost on its way") && error.extra.contains("resolved"), "{error}");
            let error = pour(&early, &Own::link(2)).await.unwrap_err();
            assert!(error.extra.contains("lost on its way"), "{error}");
        });
        becomes_own(calls_before, async |early| {
            let early = plain(&early);
            assert_eq!(give(&resolved(&early), &Own::link(2)).await.unwrap(), 2);
            // Without capabilities there is nothing to lose.
            let request = early.large_request().send();
            assert!(request.promise.await.unwrap().get().unwrap().has_link());
        });
    }
}

#[test]
fn a_request_takes_as_many_capabilities_to_an_error_as_a_message_may_have() {
    on_a_small_stack(|| {
        let Script { mut node, link, mut wire } = Script::new();
        let client = plain(&link);
        node.run(async {
            let call = client.next_request().send();
            let early = call.pipeline.get_link();
            let (id, _) = asked(&mut wire).await;
            answer_instead(&mut wire, id, Instead::Exception).await;
            assert!(call.promise.await.is_err());
            let mut request = capnp::capability::Client::new(early.into_client_hook())
                .new_call::<capnp::any_pointer::Owned, capnp::any_pointer::Owned>(1, 1, None);
            let mut list = request.get().initn_as::<capnp::capability_list::Builder<'_, link::Client>>(1_024);
            for at in 0..1_024 {
                list.set(at, plain(&link).into_client_hook());
            }
            assert!(request.send().promise.await.is_err());
        });
    });
}
