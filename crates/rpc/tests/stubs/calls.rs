//! Calls: what goes in, what comes out, and what fails.

use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use capnp::capability::{Client, FromClientHook};
use futures::FutureExt;
use vatmux_driver::pipe;
use vatmux_rpc::service::testing::InMemory;
use vatmux_rpc::service::{Capability, Error, ServedBy, Service, Status, Stub};
use vatmux_rpc::{Options, Remote, Vat, deadline};

use crate::schema::notes::{Notes, NotesManyResults, NotesPutResults, Trouble};
use crate::schema::shelf::{Colour, Place, PlaceInner};
use crate::schema::{notes_capnp, shelf_capnp};
use crate::server::{Server, content, note};

fn elsewhere() -> Place {
    Place { shelf: 1, label: "attic".to_owned(), colour: Colour::Red, inner: PlaceInner { depth: 9.0 } }
}

#[test]
fn values_arrive_as_they_were_sent() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let put = notes.put(&note("key"), &["more", "tags"], &elsewhere()).await.unwrap();
        assert_eq!(put, NotesPutResults { revision: 1, replaced: false });
        let mut expected = note("key");
        expected.tags.extend(["more".to_owned(), "tags".to_owned()]);
        expected.place = elsewhere();
        assert_eq!(notes.get("key").await.unwrap(), expected);
        notes.drop("key").await.unwrap();
        assert_eq!(notes.get("key").await.unwrap_err().status(), Some(&Trouble::Missing));
    });
}

#[test]
fn a_struct_of_the_schema_is_taken_apart_and_put_together() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        assert_eq!(notes.whole("abc").await.unwrap().text, "ABC");
    });
}

#[test]
fn what_is_no_value_is_written_and_read_in_the_message() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let chosen = notes.choose(|params| params.init_choice().set_number(42)).await.unwrap();
        let choice = chosen.get().unwrap().get_choice().unwrap();
        let notes_capnp::choice::Number(number) = choice.which().unwrap() else { panic!() };
        assert_eq!(number, 42);
        let many = notes.many(|mut params| {
            params.set_a(true);
            params.set_b(-1);
            params.set_f(0.5);
        });
        let expected = NotesManyResults { a: true, b: -1, c: 0, d: 0, e: 0, f: 0.5 };
        assert_eq!(many.await.unwrap(), expected);
    });
}

#[test]
fn bulk_results_are_read_where_they_arrived() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let response = notes.raw("a").await.unwrap();
        assert_eq!(content(&response), b"raw!");
    });
}

#[test]
fn a_refusal_is_an_error_with_the_status_the_detail_and_what_the_schema_says_of_it() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let error = notes.get("x").await.unwrap_err();
        assert_eq!(error.to_string(), "Notes.get: There is no such note (no \"x\" here)");
        let Error::Refused { method, status, detail } = error else { panic!("{error}") };
        assert_eq!((method.name, status, detail.as_str()), ("get", Trouble::Missing, "no \"x\" here"));
        assert!(!status.is_ok() && Trouble::Fine.is_ok());

        let error = notes.put(&note(""), &[], &elsewhere()).await.unwrap_err();
        assert_eq!(error.status(), Some(&Trouble::Full), "results without a detail have none");
        assert!(!error.may_be_repeated());
    });
}

#[test]
fn a_refusal_counts_for_more_than_what_was_written_before() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let notes: Notes = node.serve(server);
    node.run(async {
        let error = notes.raw("half").await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "Notes.raw: There is no room; see the [manual] of <shelves> (half-way)"
        );
        notes.whole("").await.unwrap();
        assert_eq!(seen.pages.get(), 0, "the page is gone with the results");
    });
}

#[test]
fn an_exception_is_no_refusal_and_names_the_method() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let error = notes.get("broken").await.unwrap_err();
        assert!(matches!(error, Error::Call { .. }) && error.status().is_none());
        assert_eq!(error.to_string(), "Notes.get: remote exception: the shelf fell");
        assert!(error.source().is_some());
    });
}

#[test]
fn the_schema_s_deadline_ends_a_call_at_both_ends() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let notes: Notes = node.serve(server);
    let (began, handle) = (node.now(), node.handle());
    node.run(async {
        let error = notes.sleep().await.unwrap_err();
        assert!(error.is_deadline() && !error.may_be_repeated(), "{error}");
        assert_eq!(handle.now() - began, Duration::from_secs(5), "the interface's");
        assert!(error.to_string().contains("Notes.sleep of service \"test.notes\""), "{error}");
        notes.whole("").await.unwrap();
        assert_eq!(seen.sleeping.get(), 0);
    });
}

#[test]
fn a_caller_may_have_less_patience_than_the_schema() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    let (began, handle) = (node.now(), node.handle());
    node.run(async {
        let error = deadline::with(Duration::from_millis(3), || notes.sleep()).await.unwrap_err();
        assert!(error.is_deadline());
        assert_eq!(handle.now() - began, Duration::from_millis(3));
    });
}

/// How long `sleep`, of which the schema says 5 s, waits for a callee that lets it wait for minutes.
fn patience(caller: &Options, knows_the_schema: bool, around: Option<Duration>) -> Duration {
    let mut node = InMemory::new().options(caller.clone());
    let (ours, theirs) = pipe(64 << 10);
    let bootstrap = Client::new(Notes::client_of(Server::default()).into_client_hook());
    Vat::serve(theirs, "test.notes", bootstrap, &node.handle(), &Options::default());
    // The vat lasts as long as this, or the stub that knows it.
    let remote: Remote<notes_capnp::notes::Client>;
    let notes: Notes = if knows_the_schema {
        node.connect(ours)
    } else {
        remote = Vat::connect(ours, "test.notes", &node.handle(), caller);
        Notes::of(Capability::of((*remote).clone()))
    };
    let (began, handle) = (node.now(), node.handle());
    node.run(async {
        let sleeping = match around {
            Some(patience) => deadline::with(patience, || notes.sleep()),
            None => notes.sleep(),
        };
        assert!(sleeping.await.unwrap_err().is_deadline());
        handle.now() - began
    })
}

#[test]
fn what_the_caller_says_wins_over_the_schema_and_the_schema_over_the_default() {
    let seconds = Duration::from_secs;
    let interface = Notes::DESCRIPTOR.interface;
    let sleep = interface.methods.iter().find(|method| method.name == "sleep").unwrap();
    let silent = Options { call_deadline: seconds(1), ..Options::default() };
    for knows_the_schema in [true, false] {
        assert_eq!(patience(&silent, knows_the_schema, None), seconds(5));
        for said in [seconds(2), seconds(9)] {
            let deadlines = [((interface.id, sleep.ordinal), said)].into_iter().collect();
            let says = Options { deadlines, ..silent.clone() };
            assert_eq!(patience(&says, knows_the_schema, None), said);
            assert_eq!(patience(&says, knows_the_schema, Some(seconds(7))), seconds(7));
        }
        assert_eq!(patience(&silent, knows_the_schema, Some(seconds(7))), seconds(7));
    }
}

#[test]
fn a_server_sees_the_schema_s_deadline_whoever_waits_how_long() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let notes: Notes = node.serve(server);
    let (began, handle) = (node.now(), node.handle());
    node.run(async {
        let identity = notes.identity().await.unwrap();
        assert_eq!(
            (identity.peer.as_str(), identity.remaining_millis, identity.interface.as_str()),
            ("nobody", 5_000, "Notes")
        );
        let error = deadline::with(Duration::from_mins(5), || notes.sleep()).await.unwrap_err();
        assert!(error.is_deadline());
        assert_eq!((handle.now() - began, seen.sleeping.get()), (Duration::from_secs(5), 0));
    });
}

#[test]
fn a_call_that_nobody_waits_for_is_canceled() {
    let mut node = InMemory::new();
    let server = Server::default();
    let seen = server.seen.clone();
    let notes: Notes = node.serve(server);
    node.run(async {
        let mut sleeping = notes.sleep();
        notes.whole("").await.unwrap();
        assert!(
            sleeping.poll_unpin(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending()
        );
        assert_eq!(seen.sleeping.get(), 1);
        drop(sleeping);
        notes.whole("").await.unwrap();
        assert_eq!(seen.sleeping.get(), 0);
    });
}

#[test]
fn an_inherited_method_is_called_through_the_ancestor_s_stub() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        assert_eq!(notes.as_named().name().await.unwrap(), "notes, asked by Named.name");
    });
}

#[test]
fn a_status_that_this_side_does_not_know_is_an_error_with_its_number() {
    /// capnpc's traits are there for what no stub lets one say.
    struct Newer;
    impl shelf_capnp::named::Server for Newer {}
    impl notes_capnp::notes::Server for Newer {
        async fn get(
            self: Rc<Self>,
            _: notes_capnp::notes::GetParams,
            mut results: notes_capnp::notes::GetResults,
        ) -> capnp::Result<()> {
            let mut later: notes_capnp::later::Builder<'_> = results.hook.get()?.init_as();
            later.set_status(99);
            later.set_detail("of tomorrow");
            Ok(())
        }
    }
    let mut node = InMemory::new();
    let newer: notes_capnp::notes::Client = capnp_rpc::new_client(Newer);
    let notes: Notes = node.serve_as(newer.client, Notes::DESCRIPTOR);
    let error = node.run(notes.get("x")).unwrap_err();
    assert!(matches!(error, Error::UnknownStatus { number: 99, .. }));
    assert_eq!(
        error.to_string(),
        "Notes.get: refused with status 99, which this side's schema does not have: of tomorrow"
    );
}

#[test]
fn parameters_that_break_the_schema_are_refused_in_its_own_words() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(Server::default());
    node.run(async {
        let mut request = notes.capability().client().get_request();
        request.get().set_key(capnp::text::Reader(b"\xff"));
        let response = request.send().promise.await.unwrap();
        let results = response.get().unwrap();
        assert_eq!(results.get_status(), Ok(Trouble::Garbled));
        assert!(!results.get_detail().unwrap().is_empty());

        let mut request = notes.capability().client().whole_request();
        request.get().set_text(capnp::text::Reader(b"\xff"));
        assert!(request.send().promise.await.is_err(), "a method without a status has an exception");
    });
}

#[test]
fn a_word_that_this_side_does_not_know_is_the_one_that_the_schema_names_for_that() {
    let mut message = capnp::message::Builder::new_default();
    let mut later: shelf_capnp::later_place::Builder<'_> = message.init_root();
    later.set_shelf(7);
    later.set_colour(99);
    let place = message.get_root_as_reader::<shelf_capnp::place::Reader<'_>>().unwrap();
    let place = Place::read(place).unwrap();
    assert_eq!((place.shelf, place.colour), (7, Colour::Other));
}

#[test]
fn text_that_is_no_utf_8_is_an_answer_that_breaks_the_schema() {
    struct Careless;
    impl shelf_capnp::named::Server for Careless {
        async fn name(
            self: Rc<Self>,
            _: shelf_capnp::named::NameParams,
            mut results: shelf_capnp::named::NameResults,
        ) -> capnp::Result<()> {
            results.get().set_name(capnp::text::Reader(b"\xff"));
            Ok(())
        }
    }
    impl notes_capnp::notes::Server for Careless {}
    let mut node = InMemory::new();
    let careless: notes_capnp::notes::Client = capnp_rpc::new_client(Careless);
    let notes: Notes = node.serve_as(careless.client, Notes::DESCRIPTOR);
    let error = node.run(notes.as_named().name()).unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
}
