//! A server of notes, written against the generated traits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use capnp::capability::Response;
use vatmux_rpc::service::{Call, Refusal, Stub};

use crate::schema::notes::*;
use crate::schema::notes_capnp::notes;
use crate::schema::shelf::{Colour, NamedServer, Place, PlaceInner};

/// What a test sees of its server.
#[derive(Default)]
pub(crate) struct Seen {
    /// Calls of `sleep` that run.
    pub(crate) sleeping: Cell<usize>,
    /// Calls of `put` that run, which it goes on with when this is taken away.
    pub(crate) holding: RefCell<Option<futures::future::Shared<futures::channel::oneshot::Receiver<()>>>>,
    pub(crate) putting: Cell<usize>,
    /// Pages alive.
    pub(crate) pages: Cell<usize>,
}

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) notes: RefCell<BTreeMap<String, Note>>,
    pub(crate) seen: Rc<Seen>,
}

pub(crate) fn note(key: &str) -> Note {
    Note {
        key: key.to_owned(),
        body: vec![0, 1, 0xff],
        size: u64::MAX,
        pinned: true,
        place: Place {
            shelf: 7,
            label: "up".to_owned(),
            colour: Colour::Green,
            inner: PlaceInner { depth: -0.5 },
        },
        tags: vec!["α".to_owned(), String::new()],
        history: vec![PlaceInner { depth: 1.0 }, PlaceInner { depth: 2.0 }],
        colours: vec![Colour::Red, Colour::Green],
        numbers: vec![i32::MIN, 0, i32::MAX],
        parts: vec![vec![], vec![1, 2]],
        type_: 0.25,
        async_: true,
    }
}

/// Counts itself.
pub(crate) struct Counted(Rc<Seen>, fn(&Seen) -> &Cell<usize>);

impl Counted {
    fn new(seen: &Rc<Seen>, which: fn(&Seen) -> &Cell<usize>) -> Self {
        which(seen).set(which(seen).get() + 1);
        Self(seen.clone(), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).set(self.1(&self.0).get() - 1);
    }
}

impl Server {
    fn find(&self, key: &str) -> Result<Note, Refusal<Trouble>> {
        let found = self.notes.borrow().get(key).cloned();
        found.ok_or_else(|| Refusal::new(Trouble::Missing, format!("no {key:?} here")))
    }

    fn page(&self, text: &str) -> Page {
        let alive = Counted::new(&self.seen, |seen| &seen.pages);
        Page::serve(PageOf { text: text.to_owned(), seen: self.seen.clone(), _alive: alive })
    }
}

impl NamedServer for Server {
    async fn name(&self, call: &Call) -> capnp::Result<String> {
        Ok(format!("notes, asked by {}", call.method()))
    }
}

impl NotesServer for Server {
    async fn get(&self, _call: &Call, key: &str) -> Result<Note, Refusal<Trouble>> {
        if key == "broken" {
            return Err(capnp::Error::failed("the shelf fell".to_owned()).into());
        }
        self.find(key)
    }

    async fn put(
        &self,
        _call: &Call,
        mut note: Note,
        tags: Vec<String>,
        place: Place,
    ) -> Result<NotesPutResults, Refusal<Trouble>> {
        let _putting = Counted::new(&self.seen, |seen| &seen.putting);
        let holding = self.seen.holding.borrow().clone();
        if let Some(holding) = holding {
            let _ = holding.await;
        }
        if note.key.is_empty() {
            return Err(Trouble::Full.into());
        }
        note.tags.extend(tags);
        note.place = place;
        let mut notes = self.notes.borrow_mut();
        let replaced = notes.insert(note.key.clone(), note).is_some();
        Ok(NotesPutResults { revision: notes.len() as u64, replaced })
    }

    async fn drop(&self, _call: &Call, key: &str) -> Result<(), Refusal<Trouble>> {
        self.find(key)?;
        self.notes.borrow_mut().remove(key);
        Ok(())
    }

    async fn open(&self, _call: &Call, key: &str) -> capnp::Result<Page> {
        Ok(self.page(key))
    }

    async fn open_both(
        &self,
        call_: &Call,
        call: &str,
        request: &str,
        params: &str,
    ) -> Result<NotesOpenBothResults, Refusal<Trouble>> {
        if params.is_empty() {
            return Err(Refusal::new(Trouble::Missing, call_.method().to_string()));
        }
        Ok(NotesOpenBothResults { first: self.page(call), second: self.page(request), count: 2 })
    }

    async fn raw(
        &self,
        _call: &Call,
        key: &str,
        mut results: notes::raw_results::Builder<'_>,
    ) -> Result<(), Refusal<Trouble>> {
        results.set_page(self.page(key).capability().client().clone());
        results.reborrow().init_content(4).copy_from_slice(b"raw!");
        if key == "half" {
            return Err(Refusal::new(Trouble::Full, "half-way"));
        }
        Ok(())
    }

    async fn choose(
        &self,
        _call: &Call,
        params: notes::choose_params::Reader<'_>,
        mut results: notes::choose_results::Builder<'_>,
    ) -> capnp::Result<()> {
        results.set_choice(params.get_choice()?)
    }

    async fn watch(&self, _call: &Call, watcher: Watcher) -> capnp::Result<()> {
        for key in ["a", "b", "c"] {
            watcher.note(&note(key)).await?;
        }
        let total = watcher.end().await?;
        if total == 3 { Ok(()) } else { Err(capnp::Error::failed(format!("{total} of 3 arrived"))) }
    }

    async fn whole(&self, _call: &Call, text: &str) -> capnp::Result<ResultValue> {
        Ok(ResultValue { text: text.to_uppercase() })
    }

    async fn sleep(&self, _call: &Call) -> capnp::Result<()> {
        let _sleeping = Counted::new(&self.seen, |seen| &seen.sleeping);
        std::future::pending().await
    }

    async fn identity(&self, call: &Call) -> capnp::Result<NotesIdentityResults> {
        let context = call.context().ok_or_else(|| capnp::Error::failed("no vat".to_owned()))?;
        Ok(NotesIdentityResults {
            peer: call.peer().map_or_else(|| "nobody".to_owned(), |peer| peer.to_string()),
            remaining_millis: context.remaining(context.arrived()).as_millis() as u64,
            interface: call.method().interface.to_owned(),
        })
    }

    async fn many(
        &self,
        _call: &Call,
        params: notes::many_params::Reader<'_>,
    ) -> capnp::Result<NotesManyResults> {
        Ok(NotesManyResults {
            a: params.get_a(),
            b: params.get_b(),
            c: params.get_c(),
            d: params.get_d(),
            e: params.get_e(),
            f: params.get_f(),
        })
    }
}

pub(crate) struct PageOf {
    text: String,
    seen: Rc<Seen>,
    _alive: Counted,
}

impl NamedServer for PageOf {
    async fn name(&self, _call: &Call) -> capnp::Result<String> {
        Ok(self.text.clone())
    }
}

impl PageServer for PageOf {
    async fn read(&self, _call: &Call, offset: u64, length: u32) -> capnp::Result<Vec<u8>> {
        let bytes = self.text.as_bytes().iter().skip(offset as usize).take(length as usize);
        Ok(bytes.copied().collect())
    }

    async fn self_(&self, _call: &Call) -> capnp::Result<Page> {
        let alive = Counted::new(&self.seen, |seen| &seen.pages);
        Ok(Page::serve(Self { text: self.text.clone(), seen: self.seen.clone(), _alive: alive }))
    }
}

/// The content of a call of `raw`.
pub(crate) fn content(response: &Response<notes::raw_results::Owned>) -> Vec<u8> {
    response.get().unwrap().get_content().unwrap().to_vec()
}
