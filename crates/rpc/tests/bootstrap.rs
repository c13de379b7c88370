//! What a caller's vat makes of a peer that gives no bootstrap capability.
//!
//! capnp-rpc 0.27.3 panics in a caller that sends a request with capabilities in it on a promise that has become an error,
//! or an object of the caller's own. Such requests are made here, of a bootstrap capability that has become neither.

mod common;

use std::rc::Rc;
use std::time::Duration;

use capnp_rpc::rpc_capnp::return_;
use common::Scripted;
use common::wire::{Told, point_to_first_cap};
use vatmux_driver::{Clock, Instant};
use vatmux_rpc::{VatEnd, Violation};

/// The caller's vat, whose request for the bootstrap capability is answered as `answer` does it.
fn bootstrap_ends_with(expected: &VatEnd, answer: impl FnOnce(return_::Builder<'_>)) {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    let mut request = probe.count_twice_request();
    // Whatever it becomes, it may be an object of ours.
    request.get().set_counter(common::new_counter(&Rc::default()));
    let early = request.send().promise;
    let end = driver.drive_until(async {
        assert!(matches!(wire.told().await, Some(Told::Bootstrap { id: 0 })));
        assert!(matches!(wire.told().await, Some(Told::Call { .. })));
        wire.say(|root| {
            let mut returned = root.init_return();
            returned.set_answer_id(0);
            answer(returned);
        })
        .await;
        let end = probe.vat().wait_for_end().await;
        assert!(early.await.is_err());
        end
    });
    assert_eq!(end.unwrap(), *expected);
    let mut request = probe.count_twice_request();
    request.get().set_counter(common::new_counter(&Rc::default()));
    let error = driver.drive_until(request.send().promise).unwrap().err().unwrap();
    assert!(error.extra.contains(&expected.to_string()), "{error}");
}

#[test]
fn a_bootstrap_capability_that_is_an_error_ends_the_vat_with_its_words() {
    bootstrap_ends_with(&VatEnd::NoBootstrap("nobody home".to_owned()), |answer| {
        answer.init_exception().set_reason("nobody home");
    });
}

#[test]
fn a_bootstrap_capability_that_is_none_of_the_peers_ends_the_vat() {
    let strange = VatEnd::from(Violation::StrangeBootstrap);
    bootstrap_ends_with(&strange, |answer| {
        let mut results = answer.init_results();
        results.reborrow().init_cap_table(1).get(0).set_receiver_hosted(0);
        content_is_first_cap(results.get_content());
    });
    bootstrap_ends_with(&strange, |answer| {
        let mut results = answer.init_results();
        results.reborrow().init_cap_table(1).get(0).set_none(());
        content_is_first_cap(results.get_content());
    });
    bootstrap_ends_with(&strange, |answer| {
        // One that it gives, and does not answer with.
        answer.init_results().init_cap_table(1).get(0).set_sender_hosted(0);
    });
    bootstrap_ends_with(&strange, |answer| {
        let mut results = answer.init_results();
        results.reborrow().init_cap_table(1).get(0).set_sender_hosted(0);
        point_to_first_cap(results.get_content());
    });
    bootstrap_ends_with(&strange, |mut answer| answer.set_canceled(()));
}

#[test]
fn a_bootstrap_capability_that_does_not_come_ends_the_vat_at_its_deadline() {
    let Scripted { mut driver, probe, clock, wire: _silent, .. } = Scripted::new();
    let end = driver.drive_until(probe.vat().wait_for_end()).unwrap();
    assert_eq!(end, VatEnd::BootstrapLate(Duration::from_secs(30)));
    assert_eq!(clock.now(), Instant::ORIGIN + Duration::from_secs(30));
}

/// Makes `content` the first capability of the message's table.
fn content_is_first_cap(mut content: capnp::any_pointer::Builder<'_>) {
    use capnp::traits::ImbueMut;
    content.imbue_mut(Box::leak(Box::default()));
    content.set_as_capability(capnp_rpc::new_broken_cap(capnp::Error::failed("a stand-in".to_owned())).hook);
}
