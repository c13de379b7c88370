//! Two nodes that were built from schemas that do not fit.

use vatmux_rpc::service::testing::InMemory;
use vatmux_rpc::service::{Descriptor, Digest, Error, ServedBy, Service, Stub};

use crate::schema::notes::{Notes, NotesDouble};
use crate::schema::shelf::{Named, NamedDouble};
use crate::schema::shelf_capnp;

/// What a node says that was built from another schema.
static OTHER: Descriptor = Descriptor {
    name: "test.notes",
    priority: vatmux_mux::Priority::FIRST,
    interface: &crate::schema::shelf::NAMED_INTERFACE,
    interfaces: &[],
    digest: Digest([0xab; 32]),
};

#[test]
fn the_first_call_that_the_peer_does_not_know_says_both_digests() {
    let mut node = InMemory::new();
    let named = Named::client_of(NamedDouble::default().on_name(|| Ok("something else".to_owned())));
    let notes: Notes = node.serve_as(named.client, &OTHER);
    node.run(async {
        let error = notes.get("x").await.unwrap_err();
        let Error::Mismatch { ref mismatch, .. } = error else { panic!("{error}") };
        assert_eq!(mismatch.theirs.digest, Digest([0xab; 32]));
        assert_eq!(
            (mismatch.theirs.service.as_str(), mismatch.theirs.interface_id),
            ("test.notes", Named::INTERFACE.id)
        );
        let words = error.to_string();
        for expected in [
            "Notes.get: ".to_owned(),
            Notes::DESCRIPTOR.digest.to_string(),
            "abababababababab".to_owned(),
            format!("Notes {:#018x}", Notes::INTERFACE.id),
            format!("Named {:#018x}", Named::INTERFACE.id),
        ] {
            assert!(words.contains(&expected), "{words} says {expected}");
        }
        assert_eq!(notes.as_named().name().await.unwrap(), "something else", "what fits goes on");
    });
}

#[test]
fn a_method_that_a_server_of_the_same_schema_has_not_is_no_mismatch() {
    struct Unfinished;
    impl shelf_capnp::named::Server for Unfinished {}
    impl crate::schema::notes_capnp::notes::Server for Unfinished {}
    let mut node = InMemory::new();
    let unfinished: crate::schema::notes_capnp::notes::Client = capnp_rpc::new_client(Unfinished);
    let notes: Notes = node.serve_as(unfinished.client, Notes::DESCRIPTOR);
    let error = node.run(notes.get("x")).unwrap_err();
    assert!(matches!(error, Error::Call { .. }) && error.to_string().contains("not implemented"), "{error}");
}

#[test]
fn whoever_does_not_say_what_it_serves_fails_as_it_did() {
    let mut node = InMemory::new();
    // A capability that is described by nobody: the one of a page, say, that a plain server of another language offers.
    let named = Named::client_of(NamedDouble::default());
    let handle = node.handle();
    let (ours, theirs) = vatmux_driver::pipe(1 << 16);
    vatmux_rpc::Vat::serve(theirs, "test.notes", named.client, &handle, &vatmux_rpc::Options::default());
    let notes: Notes = node.connect(ours);
    let error = node.run(notes.get("x")).unwrap_err();
    assert!(matches!(error, Error::Call { .. }), "{error}");
}

#[test]
fn a_described_capability_is_the_one_that_it_describes() {
    let mut node = InMemory::new();
    let double = NotesDouble::default()
        .on_whole(|text| Ok(crate::schema::notes::ResultValue { text: text.to_owned() }));
    let notes: Notes = node.serve(double);
    assert_eq!(node.run(notes.whole("as before")).unwrap().text, "as before");
}
