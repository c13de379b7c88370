//! From JSON to a message.

use capnp::private::layout::{
    ElementSize, ListBuilder, PointerBuilder, PrimitiveElement, StructBuilder, StructSize,
};
use capnp::schema_capnp::{field, node, type_, value};
use capnp::traits::FromPointerBuilder;
use serde_json::{Map, Value};

use super::dictionary::Dictionary;
use super::raw::StructsBuilder;

/// What is wrong with what was given, and where: a path such as `note.tags[2]`.
pub(super) struct Wrong(pub(super) String);

impl From<capnp::Error> for Wrong {
    fn from(error: capnp::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<capnp::NotInSchema> for Wrong {
    fn from(error: capnp::NotInSchema) -> Self {
        Self(error.to_string())
    }
}

impl From<std::str::Utf8Error> for Wrong {
    fn from(error: std::str::Utf8Error) -> Self {
        Self(error.to_string())
    }
}

fn wrong<T>(path: &str, expected: &str, value: &Value) -> Result<T, Wrong> {
    let mut shown = value.to_string();
    if shown.len() > 60 {
        shown.truncate(shown.floor_char_boundary(60));
        shown.push('…');
    }
    let place = if path.is_empty() { "the parameters".to_owned() } else { format!("`{path}`") };
    Err(Wrong(format!("{place}: expected {expected}, not {shown}")))
}

/// How large a struct is.
pub(super) fn size(layout: node::struct_::Reader<'_>) -> StructSize {
    StructSize { data: layout.get_data_word_count(), pointers: layout.get_pointer_count() }
}

/// Fills a struct with the members of an object.
pub(super) fn structure(
    dictionary: &Dictionary<'_>,
    id: u64,
    mut builder: StructBuilder<'_>,
    given: &Value,
    path: &str,
) -> Result<(), Wrong> {
    let Value::Object(object) = given else { return wrong(path, "an object", given) };
    let (layout, fields) = dictionary.fields(id)?;
    check_names(&fields, object, path)?;
    let mut chosen: Option<&str> = None;
    for field in fields {
        let name = field.get_name()?.to_str()?;
        let Some(value) = object.get(name) else { continue };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if field.get_discriminant_value() != field::NO_DISCRIMINANT {
            if let Some(other) = chosen.replace(name) {
                return Err(Wrong(format!(
                    "`{path}`: `{other}` is given as well, and only one of the two can be"
                )));
            }
            builder.set_data_field(layout.get_discriminant_offset() as usize, field.get_discriminant_value());
        }
        match field.which()? {
            field::Group(group) => {
                structure(dictionary, group.get_type_id(), builder.reborrow(), value, &path)?;
            }
            field::Slot(slot) => self::slot(dictionary, slot, &mut builder, value, &path)?,
        }
    }
    Ok(())
}

fn check_names(fields: &[field::Reader<'_>], object: &Map<String, Value>, path: &str) -> Result<(), Wrong> {
    let names = fields.iter().map(|field| Ok(field.get_name()?.to_str()?));
    let names: Vec<&str> = names.collect::<Result<_, Wrong>>()?;
    for given in object.keys() {
        if !names.contains(&given.as_str()) {
            let place = if path.is_empty() { given.clone() } else { format!("{path}.{given}") };
            let there = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
            return Err(Wrong(format!("`{place}`: there is no such field; the fields are: {there}")));
        }
    }
    Ok(())
}

fn slot(
    dictionary: &Dictionary<'_>,
    slot: field::slot::Reader<'_>,
    builder: &mut StructBuilder<'_>,
    given: &Value,
    path: &str,
) -> Result<(), Wrong> {
    let offset = slot.get_offset() as usize;
    let default = slot.get_default_value()?.which()?;
    /// A number, flipped by its default.
    macro_rules! number {
        ($variant:ident, $type:ty) => {
            if let value::$variant(mask) = default {
                builder.set_data_field_mask::<$type>(offset, integer(given, path)?, mask);
            }
        };
    }
    match slot.get_type()?.which()? {
        type_::Void(()) if given.is_null() => {}
        type_::Void(()) => return wrong(path, "null, since it has no value", given),
        type_::Bool(()) => match (given, default) {
            (Value::Bool(given), value::Bool(mask)) => builder.set_bool_field_mask(offset, *given, mask),
            _ => return wrong(path, "true or false", given),
        },
        type_::Int8(()) => number!(Int8, i8),
        type_::Int16(()) => number!(Int16, i16),
        type_::Int32(()) => number!(Int32, i32),
        type_::Int64(()) => number!(Int64, i64),
        type_::Uint8(()) => number!(Uint8, u8),
        type_::Uint16(()) => number!(Uint16, u16),
        type_::Uint32(()) => number!(Uint32, u32),
        type_::Uint64(()) => number!(Uint64, u64),
        type_::Float32(()) => {
            if let value::Float32(mask) = default {
                builder.set_data_field_mask(offset, float(given, path)? as f32, mask.to_bits());
            }
        }
        type_::Float64(()) => {
            if let value::Float64(mask) = default {
                builder.set_data_field_mask(offset, float(given, path)?, mask.to_bits());
            }
        }
        type_::Enum(kind) => {
            if let value::Enum(mask) = default {
                let word = word(dictionary, kind.get_type_id(), given, path)?;
                builder.set_data_field_mask::<u16>(offset, word, mask);
            }
        }
        _ => {
            let place = builder.reborrow().get_pointer_field(offset);
            pointer(dictionary, slot.get_type()?, place, given, path)?;
        }
    }
    Ok(())
}

/// A number, or a text that is one: not every program can write those of 64 bits.
fn integer<T: TryFrom<i128>>(given: &Value, path: &str) -> Result<T, Wrong> {
    let number: Option<i128> = match given {
        Value::Number(number) => number.as_i64().map(Into::into).or_else(|| number.as_u64().map(Into::into)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(number),
        None => wrong(path, &format!("a whole number of type {}", std::any::type_name::<T>()), given),
    }
}

fn float(given: &Value, path: &str) -> Result<f64, Wrong> {
    match given {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .map_or_else(|| wrong(path, "a number", given), Ok)
}

fn word(dictionary: &Dictionary<'_>, id: u64, given: &Value, path: &str) -> Result<u16, Wrong> {
    let mut names = Vec::new();
    for (number, word) in (0..).zip(dictionary.words(id)?) {
        let name = word.get_name()?.to_str()?;
        if given.as_str() == Some(name) {
            return Ok(number);
        }
        names.push(name);
    }
    match given {
        Value::Number(_) => integer(given, path),
        _ => wrong(path, &format!("one of {}", names.join(", ")), given),
    }
}

fn pointer(
    dictionary: &Dictionary<'_>,
    kind: type_::Reader<'_>,
    mut place: PointerBuilder<'_>,
    given: &Value,
    path: &str,
) -> Result<(), Wrong> {
    if given.is_null() {
        return Ok(());
    }
    match kind.which()? {
        type_::Text(()) => match given {
            Value::String(text) => place.set_text(text.as_str().into()),
            _ => return wrong(path, "a text", given),
        },
        type_::Data(()) => place.set_data(&bytes(given, path)?),
        type_::Struct(kind) => {
            let (layout, _) = dictionary.fields(kind.get_type_id())?;
            let builder = place.init_struct(size(layout));
            structure(dictionary, kind.get_type_id(), builder, given, path)?;
        }
        type_::List(kind) => list(dictionary, kind.get_element_type()?, place, given, path)?,
        type_::Interface(_) => return wrong(path, "null: a capability cannot be written down", given),
        _ => return wrong(path, "null: a pointer of any type cannot be written down", given),
    }
    Ok(())
}

/// `0x` and two digits for each byte, or a list of numbers.
fn bytes(given: &Value, path: &str) -> Result<Vec<u8>, Wrong> {
    let expected = "bytes, as \"0x0aff\" or as [10, 255]";
    match given {
        Value::Array(numbers) => numbers.iter().map(|number| integer(number, path)).collect(),
        Value::String(text) => {
            let digits =
                text.strip_prefix("0x").filter(|digits| digits.len().is_multiple_of(2) && digits.is_ascii());
            let Some(digits) = digits else { return wrong(path, expected, given) };
            let bytes = digits.as_bytes().chunks(2).map(|pair| {
                let pair = std::str::from_utf8(pair).ok()?;
                u8::from_str_radix(pair, 16).ok()
            });
            bytes.collect::<Option<_>>().map_or_else(|| wrong(path, expected, given), Ok)
        }
        _ => wrong(path, expected, given),
    }
}

fn list(
    dictionary: &Dictionary<'_>,
    element: type_::Reader<'_>,
    place: PointerBuilder<'_>,
    given: &Value,
    path: &str,
) -> Result<(), Wrong> {
    let Value::Array(values) = given else { return wrong(path, "a list", given) };
    let count = values.len() as u32;
    let at = |index: usize| format!("{path}[{index}]");
    /// A list of numbers.
    macro_rules! numbers {
        ($type:ty) => {{
            let list = place.init_list(<$type as PrimitiveElement>::element_size(), count);
            fill::<$type>(&list, values, |index, value| integer(value, &at(index)))?
        }};
    }
    match element.which()? {
        type_::Void(()) => {
            place.init_list(ElementSize::Void, count);
        }
        type_::Bool(()) => {
            let list = place.init_list(ElementSize::Bit, count);
            fill(&list, values, |index, value| {
                value.as_bool().map_or_else(|| wrong(&at(index), "true or false", value), Ok)
            })?;
        }
        type_::Int8(()) => numbers!(i8),
        type_::Int16(()) => numbers!(i16),
        type_::Int32(()) => numbers!(i32),
        type_::Int64(()) => numbers!(i64),
        type_::Uint8(()) => numbers!(u8),
        type_::Uint16(()) => numbers!(u16),
        type_::Uint32(()) => numbers!(u32),
        type_::Uint64(()) => numbers!(u64),
        type_::Float32(()) => {
            let list = place.init_list(ElementSize::FourBytes, count);
            fill(&list, values, |index, value| Ok(float(value, &at(index))? as f32))?;
        }
        type_::Float64(()) => {
            let list = place.init_list(ElementSize::EightBytes, count);
            fill(&list, values, |index, value| float(value, &at(index)))?;
        }
        type_::Enum(kind) => {
            let list = place.init_list(ElementSize::TwoBytes, count);
            fill(&list, values, |index, value| word(dictionary, kind.get_type_id(), value, &at(index)))?;
        }
        type_::Struct(kind) => {
            let (layout, _) = dictionary.fields(kind.get_type_id())?;
            let mut place = place;
            place.reborrow().init_struct_list(count, size(layout));
            let mut list = StructsBuilder::get_from_pointer(place, None)?;
            for (index, value) in values.iter().enumerate() {
                let builder = list.reborrow().get(index as u32).0;
                structure(dictionary, kind.get_type_id(), builder, value, &at(index))?;
            }
        }
        _ => {
            let mut list = place.init_list(ElementSize::Pointer, count);
            for (index, value) in values.iter().enumerate() {
                let place = list.reborrow().get_pointer_element(index as u32);
                pointer(dictionary, element, place, value, &at(index))?;
            }
        }
    }
    Ok(())
}

fn fill<T: PrimitiveElement>(
    list: &ListBuilder<'_>,
    values: &[Value],
    read: impl Fn(usize, &Value) -> Result<T, Wrong>,
) -> Result<(), Wrong> {
    for (index, value) in values.iter().enumerate() {
        T::set(list, index as u32, read(index, value)?);
    }
    Ok(())
}
