//! The limits that a schema sets to its methods.

use capnp::ErrorKind;
use futures::FutureExt;
use futures::channel::oneshot;
use vatmux_rpc::service::Error;
use vatmux_rpc::service::testing::InMemory;

use crate::schema::notes::Notes;
use crate::server::{Server, note};

fn is_overloaded<S>(error: &Error<S>) -> bool {
    matches!(error, Error::Call { source, .. } if source.kind == ErrorKind::Overloaded)
}

#[test]
fn more_calls_at_a_time_than_the_schema_allows_are_refused_as_overloaded() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let (let_go, holding) = oneshot::channel();
    *seen.holding.borrow_mut() = Some(holding.shared());
    let notes: Notes = node.serve(server);
    node.run(async {
        let place = note("").place;
        let (a, b, c) = (note("a"), note("b"), note("c"));
        let held = futures::future::join(notes.put(&a, &[], &place), notes.put(&b, &[], &place));
        let third = async {
            let error = notes.put(&c, &[], &place).await.unwrap_err();
            assert!(is_overloaded(&error) && error.may_be_repeated(), "{error}");
            assert!(error.to_string().contains("Notes.put: 2 calls are under way"), "{error}");
            assert_eq!(seen.putting.get(), 2, "the server has not seen it");
            assert!(notes.get("a").await.is_err(), "other methods have nothing to do with it");
            let_go.send(()).unwrap();
        };
        let ((first, second), ()) = futures::join!(held, third);
        assert!(first.is_ok() && second.is_ok());
        notes.put(&c, &[], &place).await.unwrap();
    });
}

#[test]
fn a_call_that_was_canceled_gives_its_place_back() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let (_hold, holding) = oneshot::channel();
    *seen.holding.borrow_mut() = Some(holding.shared());
    let notes: Notes = node.serve(server);
    node.run(async {
        let place = note("").place;
        let held = (notes.put(&note("a"), &[], &place), notes.put(&note("b"), &[], &place));
        notes.whole("").await.unwrap();
        assert_eq!(seen.putting.get(), 2);
        drop(held);
        *seen.holding.borrow_mut() = None;
        notes.put(&note("c"), &[], &place).await.unwrap();
        assert_eq!(seen.putting.get(), 0);
    });
}

#[test]
fn parameters_that_are_larger_than_the_schema_allows_are_refused() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let mut large = note("large");
        let place = large.place.clone();
        large.body = vec![7; 4096];
        let error = notes.put(&large, &[], &place).await.unwrap_err();
        assert!(is_overloaded(&error) && error.to_string().contains("and 4096 are the limit"), "{error}");
        large.body.truncate(2048);
        notes.put(&large, &[], &place).await.unwrap();
    });
}
