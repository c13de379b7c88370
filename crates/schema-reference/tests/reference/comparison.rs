//! The comparison itself: what is equal is called equal, and one changed field anywhere is noticed.

use capnp::dynamic_value::{Builder as Value, Enum, Reader};
use capnp::introspect::TypeVariant;
use capnp::message::{Builder, ReaderOptions};
use capnp::schema::Field;
use capnp::schema_capnp::{code_generator_request, node};
use capnp::{dynamic_list, dynamic_struct, serialize};
use vatmux_schema_reference::difference;

use crate::common::theirs;

/// Something of everything.
const SCHEMA: &str = r#"
@0xbf5147cbbecf40c1;
annotation mark @0xbf5147cbbecf40c2 (*) :Text;
annotation places (field, struct) :List(Int16);
struct Generic(T) $mark("struct") { # What it is.
  a @0 :T;
  b @1 :List(Text) = ["x", "y"];
  struct Inner { c @0 :T; d @1 :Generic(List(Data)); }
}
struct Plain $places([1, -2]) {
  a @0 :Int32 = -7 $mark("field"); # How many.
  union { b @1 :Float64 = 1.5; c @2 :Generic(Text).Inner = (c = "there"); d @3 :Bool = true; }
  e :group { f @4 :Data = 0x"01 02"; g @5 :Kind = second; h @6 :AnyPointer; i @7 :UInt64 = 99; j @8 :Float32 = 2; }
  k @9 :List(Generic(Data)) = [(b = ["z"]), ()];
}
enum Kind { first @0; # The first of them.
  second @1 $mark("enumerant"); }
interface Face(T) extends(Base) { one @0 [X] (a :X, b :Int8 = 3) -> (c :T) $mark("method"); two @1 Plain -> stream; }
interface Base { three @0 () -> Generic(Text); }
const answer :Int64 = 42;
const words :List(Text) = ["a", "b"];
const whole :Plain = (a = 3, c = (c = "d"));
using Json = import "/capnp/compat/json.capnp";
"#;

fn request() -> Vec<u8> {
    theirs(&[("all.capnp".to_owned(), SCHEMA.to_owned())]).unwrap()
}

/// A copy of a request, changed.
fn changed(request: &[u8], change: impl FnOnce(dynamic_struct::Builder<'_>)) -> Vec<u8> {
    let message = serialize::read_message(request, ReaderOptions::new()).unwrap();
    let mut copy = Builder::new_default();
    copy.set_root(message.get_root::<code_generator_request::Reader>().unwrap()).unwrap();
    let root: code_generator_request::Builder = copy.get_root().unwrap();
    let Value::Struct(root) = Value::from(root) else { unreachable!("a request is a struct") };
    change(root);
    serialize::write_message_to_words(&copy)
}

/// Changes the field, or the choice of a field in a union, that is the `remaining`th in the order of the walk.
struct Change {
    remaining: usize,
    path: Vec<String>,
    /// Where it was made.
    made_at: Option<String>,
}

impl Change {
    /// The `number`th change, made; `None` when there are not so many.
    fn make(request: &[u8], number: usize) -> Option<(String, Vec<u8>)> {
        let mut change = Self { remaining: number, path: Vec::new(), made_at: None };
        let bytes = changed(request, |root| change.walk_struct(root));
        change.made_at.map(|place| (place, bytes))
    }

    /// Whether it is to be made here.
    fn is_here(&mut self) -> bool {
        if self.made_at.is_some() {
            return false;
        }
        if self.remaining == 0 {
            self.made_at = Some(self.path.join("."));
            return true;
        }
        self.remaining -= 1;
        false
    }

    fn walk_struct(&mut self, mut value: dynamic_struct::Builder<'_>) {
        let schema = value.get_schema();
        let active = value.which().unwrap();
        for field in schema.get_non_union_fields().unwrap().iter().chain(active) {
            if self.made_at.is_some() {
                return;
            }
            self.path.push(name(field));
            self.walk_field(value.reborrow(), field);
            self.path.pop();
        }
        let others = schema.get_union_fields().unwrap();
        if let Some(other) =
            others.iter().find(|other| Some(other.get_index()) != active.map(|field| field.get_index()))
            && matches!(other.get_type().which(), TypeVariant::Void | TypeVariant::Bool)
        {
            self.path.push(format!("set {}", name(other)));
            if self.is_here() {
                value.clear(other).unwrap();
            }
            self.path.pop();
        }
    }

    fn walk_field(&mut self, mut value: dynamic_struct::Builder<'_>, field: Field) {
        match value.reborrow().get(field).unwrap() {
            Value::Struct(inner) => self.walk_struct(inner),
            Value::List(list) => self.walk_list(list),
            Value::Void | Value::Capability(_) => {}
            Value::AnyPointer(_) => {
                if self.is_here() {
                    let Value::AnyPointer(mut pointer) = value.get(field).unwrap() else { unreachable!() };
                    pointer.set_as("other").unwrap();
                }
            }
            other => {
                let other = changed_leaf(other);
                if self.is_here() {
                    match other {
                        Leaf::Plain(reader) => value.set(field, reader).unwrap(),
                        Leaf::Text(text) => value.set(field, Reader::Text(text.as_str().into())).unwrap(),
                        Leaf::Data(data) => value.set(field, Reader::Data(&data)).unwrap(),
                    }
                }
            }
        }
    }

    fn walk_list(&mut self, mut list: dynamic_list::Builder<'_>) {
        for index in 0..list.len() {
            if self.made_at.is_some() {
                return;
            }
            self.path.push(format!("[{index}]"));
            match list.reborrow().get(index).unwrap() {
                Value::Struct(inner) => self.walk_struct(inner),
                Value::List(inner) => self.walk_list(inner),
                other => {
                    let other = changed_leaf(other);
                    if self.is_here() {
                        match other {
                            Leaf::Plain(reader) => list.set(index, reader).unwrap(),
                            Leaf::Text(text) => list.set(index, Reader::Text(text.as_str().into())).unwrap(),
                            Leaf::Data(data) => list.set(index, Reader::Data(&data)).unwrap(),
                        }
                    }
                }
            }
            self.path.pop();
        }
    }
}

enum Leaf {
    Plain(Reader<'static>),
    Text(String),
    Data(Vec<u8>),
}

/// Another value of the same type.
fn changed_leaf(value: Value<'_>) -> Leaf {
    Leaf::Plain(match value {
        Value::Bool(value) => Reader::Bool(!value),
        Value::Int8(value) => Reader::Int8(value.wrapping_add(1)),
        Value::Int16(value) => Reader::Int16(value.wrapping_add(1)),
        Value::Int32(value) => Reader::Int32(value.wrapping_add(1)),
        Value::Int64(value) => Reader::Int64(value.wrapping_add(1)),
        Value::UInt8(value) => Reader::UInt8(value.wrapping_add(1)),
        Value::UInt16(value) => Reader::UInt16(value.wrapping_add(1)),
        Value::UInt32(value) => Reader::UInt32(value.wrapping_add(1)),
        Value::UInt64(value) => Reader::UInt64(value.wrapping_add(1)),
        Value::Float32(value) => Reader::Float32(value + 1.0),
        Value::Float64(value) => Reader::Float64(value + 1.0),
        Value::Enum(value) => {
            let schema = value.get_enumerant().unwrap().unwrap().get_containing_enum();
            Reader::Enum(Enum::new(value.get_value() ^ 1, schema))
        }
        Value::Text(value) => {
            return Leaf::Text(format!("{}x", value.into_reader().to_str().unwrap()));
        }
        Value::Data(value) => return Leaf::Data([&value[..], b"x"].concat()),
        _ => unreachable!("it has parts"),
    })
}

fn name(field: Field) -> String {
    field.get_proto().get_name().unwrap().to_string().unwrap()
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn a_request_means_what_it_means() {
    let request = request();
    assert_eq!(difference(&request, &request).unwrap(), []);
    // A copy has its parts elsewhere.
    assert_eq!(difference(&request, &changed(&request, |_| {})).unwrap(), []);
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn every_change_of_a_single_field_is_noticed_but_of_the_version() {
    let request = request();
    let mut noticed = 0;
    for number in 0.. {
        let Some((place, other)) = Change::make(&request, number) else { break };
        // A node whose id is another's cannot be told from it, and is refused.
        let found = difference(&request, &other).map_or(1, |found| found.len());
        if place.starts_with("capnpVersion") {
            assert_eq!(found, 0, "{place}");
        } else {
            assert!(found > 0, "a change of {place} goes unnoticed");
            noticed += 1;
        }
    }
    println!("{noticed} changes noticed");
    assert!(noticed > 500, "the walk ended early: {noticed}");
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn the_order_of_nodes_means_nothing_and_a_node_that_is_missing_is_named() {
    let request = request();
    let message = serialize::read_message(&request[..], ReaderOptions::new()).unwrap();
    let root: code_generator_request::Reader = message.get_root().unwrap();
    let with_nodes = |nodes: &[node::Reader<'_>]| {
        let mut copy = Builder::new_default();
        copy.set_root(root).unwrap();
        let mut list =
            copy.get_root::<code_generator_request::Builder>().unwrap().init_nodes(nodes.len() as u32);
        for (index, node) in nodes.iter().enumerate() {
            list.set_with_caveats(index as u32, *node).unwrap();
        }
        serialize::write_message_to_words(&copy)
    };
    let mut nodes: Vec<_> = root.get_nodes().unwrap().iter().collect();
    nodes.reverse();
    assert_eq!(difference(&request, &with_nodes(&nodes)).unwrap(), []);
    let last = nodes.pop().unwrap();
    let found = difference(&request, &with_nodes(&nodes)).unwrap();
    let name = last.get_display_name().unwrap().to_str().unwrap();
    assert!(found[0].part.contains(name) && found[0].ours.is_none(), "{found:?}");
    assert!(difference(&with_nodes(&nodes), &request).unwrap()[0].theirs.is_none());
    nodes.push(nodes[0]);
    assert!(difference(&request, &with_nodes(&nodes)).is_err(), "a node may be there once");
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn a_difference_says_where_it_is_and_what_each_side_says() {
    let theirs_request = request();
    let other = SCHEMA.replace("Int8 = 3", "Int8 = -4");
    let ours_request = theirs(&[("all.capnp".to_owned(), other)]).unwrap();
    let found = difference(&theirs_request, &ours_request).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let text = found[0].to_string();
    assert!(text.starts_with("node all.capnp:Face.one$Params (@0x"), "{text}");
    let end = "): struct.fields[\"b\"].slot.defaultValue.int8\n    theirs: 3\n    ours:   -4";
    assert!(text.ends_with(end), "{text}");
}
