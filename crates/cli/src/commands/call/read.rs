//! From a message to JSON.

use std::fmt::Write as _;

use capnp::private::layout::{PointerReader, StructReader};
use capnp::schema_capnp::{field, type_, value};
use capnp::traits::FromPointerReader;
use capnp::{any_pointer_list, primitive_list};
use serde_json::{Map, Value, json};

use super::dictionary::Dictionary;
use super::raw::{Pointer, Structs};

/// No field of a union is in force.
const NO_DISCRIMINANT: u16 = field::NO_DISCRIMINANT;

/// The fields of a struct; of a union, the one that is in force.
pub(super) fn structure(
    dictionary: &Dictionary<'_>,
    id: u64,
    reader: StructReader<'_>,
) -> capnp::Result<Value> {
    let (layout, fields) = dictionary.fields(id)?;
    let in_force = match layout.get_discriminant_count() {
        0 => NO_DISCRIMINANT,
        _ => reader.get_data_field(layout.get_discriminant_offset() as usize),
    };
    let mut object = Map::new();
    for field in fields {
        let member = field.get_discriminant_value();
        if member != NO_DISCRIMINANT && member != in_force {
            continue;
        }
        let value = match field.which()? {
            field::Group(group) => structure(dictionary, group.get_type_id(), reader)?,
            field::Slot(slot) => self::slot(dictionary, slot, reader)?,
        };
        object.insert(field.get_name()?.to_string()?, value);
    }
    Ok(Value::Object(object))
}

fn slot(
    dictionary: &Dictionary<'_>,
    slot: field::slot::Reader<'_>,
    reader: StructReader<'_>,
) -> capnp::Result<Value> {
    let offset = slot.get_offset() as usize;
    let default = slot.get_default_value()?.which()?;
    /// A number, as its default has it flipped.
    macro_rules! number {
        ($variant:ident, $type:ty) => {
            match default {
                value::$variant(mask) => json!(reader.get_data_field_mask::<$type>(offset, mask)),
                _ => json!(null),
            }
        };
    }
    Ok(match slot.get_type()?.which()? {
        type_::Void(()) => Value::Null,
        type_::Bool(()) => match default {
            value::Bool(mask) => json!(reader.get_bool_field_mask(offset, mask)),
            _ => Value::Null,
        },
        type_::Int8(()) => number!(Int8, i8),
        type_::Int16(()) => number!(Int16, i16),
        type_::Int32(()) => number!(Int32, i32),
        type_::Int64(()) => number!(Int64, i64),
        type_::Uint8(()) => number!(Uint8, u8),
        type_::Uint16(()) => number!(Uint16, u16),
        type_::Uint32(()) => number!(Uint32, u32),
        type_::Uint64(()) => number!(Uint64, u64),
        type_::Float32(()) => match default {
            value::Float32(mask) => float(reader.get_data_field_mask::<f32>(offset, mask.to_bits()).into()),
            _ => Value::Null,
        },
        type_::Float64(()) => match default {
            value::Float64(mask) => float(reader.get_data_field_mask::<f64>(offset, mask.to_bits())),
            _ => Value::Null,
        },
        type_::Enum(kind) => match default {
            value::Enum(mask) => {
                word(dictionary, kind.get_type_id(), reader.get_data_field_mask(offset, mask))?
            }
            _ => Value::Null,
        },
        _ => pointer(dictionary, slot.get_type()?, reader.get_pointer_field(offset))?,
    })
}

/// A number that JSON may not have.
fn float(number: f64) -> Value {
    if number.is_finite() { json!(number) } else { json!(number.to_string()) }
}

/// A word of an enum, or its number where it has none.
fn word(dictionary: &Dictionary<'_>, id: u64, number: u16) -> capnp::Result<Value> {
    let words = dictionary.words(id)?;
    if u32::from(number) < words.len() {
        return Ok(json!(words.get(number.into()).get_name()?.to_str()?));
    }
    Ok(json!(number))
}

/// What a pointer points to; null where that is nothing.
fn pointer(
    dictionary: &Dictionary<'_>,
    kind: type_::Reader<'_>,
    pointer: PointerReader<'_>,
) -> capnp::Result<Value> {
    if pointer.is_null() {
        return Ok(Value::Null);
    }
    Ok(match kind.which()? {
        type_::Text(()) => match pointer.get_text(None)?.to_str() {
            Ok(text) => json!(text),
            Err(_) => json!(hexadecimal(pointer.get_text(None)?.as_bytes())),
        },
        type_::Data(()) => json!(hexadecimal(pointer.get_data(None)?)),
        type_::Struct(kind) => structure(dictionary, kind.get_type_id(), pointer.get_struct(None)?)?,
        type_::Interface(kind) => json!({ "capability": dictionary.name(kind.get_type_id())? }),
        type_::List(list) => self::list(dictionary, list.get_element_type()?, pointer)?,
        _ => json!({ "pointer": "of any type" }),
    })
}

fn list(
    dictionary: &Dictionary<'_>,
    element: type_::Reader<'_>,
    pointer: PointerReader<'_>,
) -> capnp::Result<Value> {
    /// A list of numbers.
    macro_rules! numbers {
        ($type:ty) => {
            numbers_of::<$type>(&pointer)?.into_iter().map(|number| json!(number)).collect()
        };
    }
    let values: Vec<Value> = match element.which()? {
        type_::Void(()) => {
            let list = primitive_list::Reader::<'_, ()>::get_from_pointer(&pointer, None)?;
            // A list of nothing may be as long as it likes to say.
            return Ok(json!({ "length": list.len() }));
        }
        type_::Bool(()) => numbers!(bool),
        type_::Int8(()) => numbers!(i8),
        type_::Int16(()) => numbers!(i16),
        type_::Int32(()) => numbers!(i32),
        type_::Int64(()) => numbers!(i64),
        type_::Uint8(()) => numbers!(u8),
        type_::Uint16(()) => numbers!(u16),
        type_::Uint32(()) => numbers!(u32),
        type_::Uint64(()) => numbers!(u64),
        type_::Float32(()) => {
            numbers_of::<f32>(&pointer)?.into_iter().map(|number| float(number.into())).collect()
        }
        type_::Float64(()) => numbers_of::<f64>(&pointer)?.into_iter().map(float).collect(),
        type_::Enum(kind) => numbers_of::<u16>(&pointer)?
            .into_iter()
            .map(|number| word(dictionary, kind.get_type_id(), number))
            .collect::<capnp::Result<_>>()?,
        type_::Struct(kind) => {
            let list = Structs::get_from_pointer(&pointer, None)?;
            // Elements that take nothing in the message may be as many as it likes to say.
            let most = list.len().min(super::MAX_ELEMENTS);
            (0..most)
                .map(|index| structure(dictionary, kind.get_type_id(), list.get(index).0))
                .collect::<capnp::Result<_>>()?
        }
        _ => {
            let list = any_pointer_list::Reader::get_from_pointer(&pointer, None)?;
            let mut values = Vec::new();
            for index in 0..list.len() {
                let Pointer(at) = list.get(index).get_as()?;
                values.push(self::pointer(dictionary, element, at)?);
            }
            values
        }
    };
    Ok(Value::Array(values))
}

fn numbers_of<'a, T>(pointer: &PointerReader<'a>) -> capnp::Result<Vec<T>>
where
    T: capnp::private::layout::PrimitiveElement + capnp::introspect::Introspect + 'a,
{
    Ok(primitive_list::Reader::<'a, T>::get_from_pointer(pointer, None)?.iter().collect())
}

/// Bytes, as `0x` and two digits each.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
