//! Capabilities in results and parameters, and the vat behind them.

use futures::channel::oneshot;
use vatmux_rpc::service::testing::InMemory;
use vatmux_rpc::service::{Capability, Stub};

use crate::schema::notes::{Notes, Trouble};
use crate::server::Server;

#[test]
fn results_can_be_called_before_they_are_there() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let notes: Notes = node.serve(server);
    node.run(async {
        let page = notes.open("abcdef").page();
        let deeper = page.self_().page().self_().page();
        let (first, second, name) =
            futures::join!(page.read(1, 3), deeper.read(4, 10), deeper.as_named().name());
        assert_eq!(
            (first.unwrap(), second.unwrap(), name.unwrap()),
            (b"bcd".to_vec(), b"ef".to_vec(), "abcdef".to_owned())
        );
        assert_eq!(seen.pages.get(), 2, "nobody holds the one between the two");
        drop((page, deeper));
        notes.whole("").await.unwrap();
        assert_eq!(seen.pages.get(), 0, "what nobody holds is let go");
    });
}

#[test]
fn results_with_capabilities_are_stubs_and_values() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let both = notes.open_both("first", "second", "x");
        let early = both.second();
        let both = both.await.unwrap();
        assert_eq!((both.count, both.first.read(0, 2).await.unwrap()), (2, b"fi".to_vec()));
        assert_eq!(early.as_named().name().await.unwrap(), "second");

        let refused = notes.open_both("a", "b", "");
        let first = refused.first();
        let error = refused.await.err().unwrap();
        assert_eq!(
            (error.status(), error.to_string().contains("Notes.openBoth")),
            (Some(&Trouble::Missing), true)
        );
        assert!(first.read(0, 1).await.is_err(), "what was refused has no capability");
    });
}

#[test]
fn bulk_results_have_their_capabilities_early_as_well() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let raw = notes.raw("name of the page");
        let page = raw.page();
        assert_eq!(page.as_named().name().await.unwrap(), "name of the page");
        assert!(raw.await.unwrap().get().unwrap().has_page());
    });
}

#[test]
fn the_stream_lasts_as_long_as_the_last_stub_that_came_through_it() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let notes: Notes = node.serve(server);
    let handle = node.handle();
    node.run(async {
        let page = notes.open("kept").await.unwrap();
        drop(notes);
        let named = page.as_named();
        drop(page);
        assert_eq!(named.name().await.unwrap(), "kept");
        let asked = named.name();
        drop(named);
        assert_eq!(asked.await.unwrap(), "kept", "a call that is under way counts as well");
        handle.sleep(std::time::Duration::from_mins(1)).await;
        assert_eq!(seen.pages.get(), 0);
    });
}

#[test]
fn a_stub_of_somebody_else_s_capability_is_not_what_keeps_its_vat() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let page = notes.open("borrowed").await.unwrap();
        let borrowed =
            <crate::schema::notes::Page as Stub>::of(Capability::of(page.capability().client().clone()));
        assert_eq!(borrowed.read(0, 4).await.unwrap(), b"borr");
        drop((notes, page));
        let error = borrowed.read(0, 4).await.unwrap_err();
        assert!(error.disconnected().is_some(), "{error}");
        assert!(error.may_be_repeated() || error.disconnected().unwrap().maybe_delivered);
    });
}

#[test]
fn a_server_is_called_in_place_where_there_is_no_vat() {
    let mut node = InMemory::new();
    let server = Server::default();
    *server.seen.holding.borrow_mut() = None;
    let (tell, told) = oneshot::channel();
    node.run(async move {
        let notes = Notes::serve(server);
        assert_eq!(notes.whole("here").await.unwrap().text, "HERE");
        assert!(notes.identity().await.unwrap_err().to_string().contains("no vat"));
        tell.send(()).unwrap();
    });
    assert_eq!(node.run(told), Ok(()));
}
