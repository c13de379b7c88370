//! What is known of a service at run time.

use std::collections::BTreeSet;
use std::time::Duration;

use vatmux_mux::Priority;
use vatmux_rpc::service::{Limit, Service, Stub};

use crate::schema::notes::{Notes, Page, Watcher};

#[test]
fn a_descriptor_says_what_the_schema_says() {
    let descriptor = Notes::DESCRIPTOR;
    assert_eq!((descriptor.name, descriptor.priority), ("test.notes", Priority::new(3).unwrap()));
    assert_eq!((descriptor.interface.name, descriptor.interface.docs), ("Notes", "Keeps notes."));

    let [get, put, ..] = descriptor.interface.methods else { panic!() };
    assert_eq!((get.name, get.ordinal, get.deadline), ("get", 0, Some(Duration::from_millis(250))));
    assert!(get.idempotent && !get.streaming && get.limit == Limit::NONE);
    assert_eq!((get.params, get.results), ("Notes.get$Params", "Notes.get$Results"));
    assert_eq!((get.docs, get.to_string().as_str()), ("The note with this key.", "Notes.get"));
    assert_eq!(
        (put.deadline, put.idempotent),
        (Some(Duration::from_secs(5)), false),
        "the interface's deadline"
    );
    assert_eq!(put.limit, Limit { calls: Some(2), params_bytes: Some(4096) });

    let whole = &descriptor.interface.methods[8];
    assert_eq!((whole.name, whole.params, whole.results), ("whole", "Result", "Result"));
    let note = &Watcher::INTERFACE.methods[0];
    assert!(note.streaming && note.results == "stream" && note.deadline.is_none());
}

#[test]
fn a_descriptor_knows_every_interface_that_a_capability_of_the_service_may_have() {
    let names: BTreeSet<_> = Notes::DESCRIPTOR.interfaces.iter().map(|interface| interface.name).collect();
    assert_eq!(names, BTreeSet::from(["Notes", "Named", "Page", "Watcher"]));
    let read = Notes::DESCRIPTOR.method(Page::INTERFACE.id, 0).unwrap();
    assert_eq!(read.to_string(), "Page.read");
    assert!(Notes::DESCRIPTOR.method(Page::INTERFACE.id, 9).is_none());
    assert!(Notes::DESCRIPTOR.method(0, 0).is_none());
}
