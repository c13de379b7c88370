//! JSON into messages, and out of them again.

use std::io;
use std::path::Path;

use capnp::message::Builder;
use serde_json::{Value, json};
use vatmux_schema::{Compiled, Files, Options};

use super::dictionary::Dictionary;
use super::raw::{Place, Pointer};
use super::{read, write};

const SCHEMA: &str = r"
@0xb4d1c7a6e5f40312;
enum Word { one @0; two @1; }
struct Inner { depth @0 :Int16 = -3; inner @1 :Inner; }
interface Cap {}
struct All {
  void @0 :Void;
  yes @1 :Bool = true;
  i8 @2 :Int8 = -8;
  i16 @3 :Int16;
  i32 @4 :Int32 = 32;
  i64 @5 :Int64;
  u8 @6 :UInt8;
  u16 @7 :UInt16 = 16;
  u32 @8 :UInt32;
  u64 @9 :UInt64 = 64;
  f32 @10 :Float32 = 0.5;
  f64 @11 :Float64;
  text @12 :Text;
  data @13 :Data;
  word @14 :Word = two;
  inner @15 :Inner;
  cap @16 :Cap;
  any @17 :AnyPointer;
  union { left @18 :UInt8; right @19 :Text; nothing @20 :Void; }
  group :group { a @21 :UInt32; b @22 :Text; }
  bools @23 :List(Bool);
  numbers @24 :List(Int64);
  floats @25 :List(Float64);
  words @26 :List(Word);
  texts @27 :List(Text);
  datas @28 :List(Data);
  structs @29 :List(Inner);
  lists @30 :List(List(UInt8));
}
";

const ALL: &str = "All";

struct Memory;

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok((path == Path::new("all.capnp")).then(|| SCHEMA.into()))
    }
}

fn compiled() -> Compiled {
    vatmux_schema::compile_from(&Memory, &["all.capnp"], &Options::default()).unwrap()
}

/// What becomes of JSON in a message.
fn there_and_back(given: &Value) -> Result<Value, String> {
    let compiled = compiled();
    let request = compiled.request().unwrap();
    let dictionary = Dictionary::new(request).unwrap();
    let nodes = request.get_nodes().unwrap();
    let mut ids = nodes.iter().map(capnp::schema_capnp::node::Reader::get_id);
    let id = ids.find(|id| dictionary.name(*id).is_ok_and(|name| name == ALL)).unwrap();
    let mut message = Builder::new_default();
    let (layout, _) = dictionary.fields(id).unwrap();
    let Place(place) = message.get_root().unwrap();
    write::structure(&dictionary, id, place.init_struct(write::size(layout)), given, "")
        .map_err(|write::Wrong(reason)| reason)?;
    let Pointer(root) = message.get_root_as_reader().unwrap();
    Ok(read::structure(&dictionary, id, root.get_struct(None).unwrap()).unwrap())
}

#[test]
fn every_type_is_read_as_it_was_written() {
    let given = json!({
        "void": null, "yes": false, "i8": 127, "i16": -32768, "i32": -1, "i64": i64::MIN, "u8": 255, "u16": 0,
        "u32": u32::MAX, "u64": u64::MAX, "f32": -1.25, "f64": 1e300, "text": "α\"β", "data": "0x00ff", "word": "one",
        "inner": { "depth": 7, "inner": { "depth": -3, "inner": null } }, "cap": null, "any": null, "right": "hand",
        "group": { "a": 5, "b": "six" }, "bools": [true, false, true], "numbers": [1, -2], "floats": [0.5, -0.0],
        "words": ["two", "one"], "texts": ["a", ""], "datas": ["0x", "0x01"],
        "structs": [{ "depth": 1, "inner": null }, { "depth": 2, "inner": null }], "lists": [[1, 2], [], [3]],
    });
    assert_eq!(there_and_back(&given).unwrap(), given);
}

#[test]
fn what_is_left_out_has_its_default() {
    let all = there_and_back(&json!({})).unwrap();
    for (name, expected) in [
        ("yes", json!(true)),
        ("i8", json!(-8)),
        ("i32", json!(32)),
        ("u16", json!(16)),
        ("u64", json!(64)),
        ("f32", json!(0.5)),
        ("word", json!("two")),
        ("text", json!(null)),
        ("left", json!(0)),
        ("group", json!({ "a": 0, "b": null })),
    ] {
        assert_eq!(all[name], expected, "{name}");
    }
    assert!(all.get("right").is_none(), "of a union there is one member");
}

#[test]
fn numbers_may_be_texts_and_words_numbers_and_bytes_lists() {
    let all = there_and_back(&json!({
        "u64": "18446744073709551615", "f64": "inf", "word": 9, "data": [0, 255], "nothing": null, "structs": [{}],
    }));
    let all = all.unwrap();
    assert_eq!((&all["u64"], &all["word"], &all["data"]), (&json!(u64::MAX), &json!(9), &json!("0x00ff")));
    assert_eq!((&all["f64"], &all["nothing"]), (&json!("inf"), &json!(null)), "what JSON has no number for");
    assert_eq!(all["structs"], json!([{ "depth": -3, "inner": null }]));
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    for (given, words) in [
        (json!([]), "the parameters: expected an object, not []"),
        (json!({ "colour": 1 }), "`colour`: there is no such field; the fields are: void, yes, i8"),
        (
            json!({ "inner": { "width": 1 } }),
            "`inner.width`: there is no such field; the fields are: depth, inner",
        ),
        (json!({ "u8": 256 }), "`u8`: expected a whole number of type u8, not 256"),
        (json!({ "i8": -129 }), "`i8`: expected a whole number of type i8"),
        (json!({ "u16": 1.5 }), "`u16`: expected a whole number"),
        (json!({ "yes": 1 }), "`yes`: expected true or false, not 1"),
        (json!({ "word": "three" }), "`word`: expected one of one, two, not \"three\""),
        (
            json!({ "structs": [{}, { "inner": { "depth": "x" } }] }),
            "`structs[1].inner.depth`: expected a whole number",
        ),
        (json!({ "lists": [[0], [1, 2000]] }), "`lists[1][1]`: expected a whole number of type u8, not 2000"),
        (json!({ "data": "0x0" }), "`data`: expected bytes"),
        (json!({ "data": "0xé" }), "`data`: expected bytes"),
        (json!({ "datas": ["zz"] }), "`datas[0]`: expected bytes"),
        (json!({ "texts": "a" }), "`texts`: expected a list, not \"a\""),
        (json!({ "void": 1 }), "`void`: expected null"),
        (json!({ "cap": {} }), "`cap`: expected null: a capability cannot be written down"),
        (json!({ "any": 1 }), "`any`: expected null"),
        (
            json!({ "left": 1, "right": "x" }),
            "`right`: `left` is given as well, and only one of the two can be",
        ),
    ] {
        let reason = there_and_back(&given).unwrap_err();
        assert!(reason.starts_with(words), "{given}: {reason}");
    }
}

#[test]
fn a_very_long_value_is_shortened_where_it_is_shown() {
    let reason = there_and_back(&json!({ "u8": "é".repeat(10_000) })).unwrap_err();
    assert!(reason.len() < 150 && reason.ends_with('…'), "{reason}");
}
