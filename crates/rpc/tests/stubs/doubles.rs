//! Test doubles.

use std::cell::Cell;
use std::rc::Rc;

use vatmux_rpc::service::testing::InMemory;

use crate::schema::notes::{Notes, NotesDouble, Trouble};
use crate::server::note;

#[test]
fn a_double_answers_as_the_test_says() {
    let mut node = InMemory::new();
    let asked = Rc::new(Cell::new(0));
    let counted = asked.clone();
    let double = NotesDouble::default()
        .on_get(move |key| {
            counted.set(counted.get() + 1);
            if key == "there" { Ok(note(key)) } else { Err(Trouble::Missing.into()) }
        })
        .on_raw(|key, mut results| {
            results.set_content(key.as_bytes());
            Ok(())
        })
        .on_name(|| Ok("a double".to_owned()));
    let notes: Notes = node.serve(double);
    node.run(async {
        assert_eq!(notes.get("there").await.unwrap(), note("there"));
        assert_eq!(notes.get("gone").await.unwrap_err().status(), Some(&Trouble::Missing));
        assert_eq!(crate::server::content(&notes.raw("abc").await.unwrap()), b"abc");
        assert_eq!(notes.as_named().name().await.unwrap(), "a double");
    });
    assert_eq!(asked.get(), 2);
}

#[test]
fn a_double_says_which_call_its_test_did_not_expect() {
    let mut node = InMemory::new();
    let notes: Notes = node.serve(NotesDouble::default());
    let error = node.run(notes.whole("x")).unwrap_err();
    assert!(error.to_string().contains("Notes.whole: the test says nothing of this method"), "{error}");
}
