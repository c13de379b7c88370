@0x82ff75c5f132b844;
# Notes: a service with one of everything that stubs know, for the tests of stubs.

using Vatmux = import "/vatmux/vatmux.capnp";
using Shelf = import "shelf.capnp";

enum Trouble $Vatmux.status {
  fine @0;
  missing @1;            # There is no such note.
  full @2;               # There is no room; see the [manual] of <shelves>.
  garbled @3 $Vatmux.malformed;  # That is no text.
}

struct Note {
  key @0 :Text;
  body @1 :Data;
  size @2 :UInt64;
  pinned @3 :Bool;
  place @4 :Shelf.Place;
  tags @5 :List(Text);
  history @6 :List(Shelf.Place.Inner);
  colours @7 :List(Shelf.Colour);
  numbers @8 :List(Int32);
  parts @9 :List(Data);
  type @10 :Float32;     # A word that Rust keeps for itself.
  async @11 :Bool;       # And one that it did not always keep.
}

struct Result {
  # A word that Rust has already.
  text @0 :Text;
}

struct Later {
  # The results of `get`, with a status that is no word of `Trouble` yet.
  status @0 :UInt16;
  detail @1 :Text;
}

struct Choice {
  # No value of Rust: it has a union.
  union { nothing @0 :Void; number @1 :UInt32; }
}

interface Notes extends(Shelf.Named)
    $Vatmux.service(name = "test.notes", priority = 3) $Vatmux.deadline(seconds = 5) {
  # Keeps notes.

  get @0 (key :Text) -> (status :Trouble, detail :Text, note :Note) $Vatmux.idempotent $Vatmux.deadline(millis = 250);
  # The note with this key.

  put @1 (note :Note, tags :List(Text), where :Shelf.Place) -> (status :Trouble, revision :UInt64, replaced :Bool)
      $Vatmux.limit(calls = 2, paramsBytes = 4096);
  # Keeps a note.

  drop @2 (key :Text) -> (status :Trouble, detail :Text);

  open @3 (key :Text) -> (page :Page);
  # A page, at once.

  openBoth @4 (call :Text, request :Text, params :Text) -> (status :Trouble, detail :Text, first :Page, second :Page, count :UInt16);
  # Names that generated code has itself.

  raw @5 (key :Text) -> (status :Trouble, detail :Text, content :Data, page :Page) $Vatmux.bulk;
  # Content in its message.

  choose @6 (choice :Choice) -> (choice :Choice);
  # By builder and reader.

  watch @7 (watcher :Watcher) -> ();
  # Tells the watcher of three notes, and returns after its `end` did.

  whole @8 Result -> Result;
  # A struct of the schema on both sides.

  sleep @9 () -> ();
  # Never answers.

  identity @10 () -> (peer :Text, remainingMillis :UInt64, interface :Text);
  # What the server knows of the call.

  many @11 (a :Bool, b :Int8, c :Int16, d :Int32, e :Int64, f :Float64, g :Text) -> (a :Bool, b :Int8, c :Int16, d :Int32, e :Int64, f :Float64);
}

interface Page extends(Shelf.Named) {
  read @0 (offset :UInt64, length :UInt32) -> (data :Data);
  self @1 () -> (page :Page);
}

interface Watcher {
  note @0 (note :Note) -> stream;
  seen @1 (key :Text, count :UInt64) -> stream;
  end @2 () -> (total :UInt64);
}

interface Box(T) {
  # Generic: stubs know nothing of it.
  get @0 () -> (value :T);
}
