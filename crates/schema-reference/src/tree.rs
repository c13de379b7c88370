//! A message as a tree of what its fields say, read through its schema.
//!
//! Two messages say the same when their trees are equal: how they are laid out in segments, and whether a list that is
//! empty was written or left out, is not in the tree.

use std::fmt::Write as _;

use capnp::any_pointer;
use capnp::dynamic_value::Reader;
use capnp::message::{Builder, HeapAllocator};
use capnp::{dynamic_list, dynamic_struct};

/// What a value says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// Anything without parts, as a person would write it.
    Leaf(String),
    /// A struct or a group: its fields, and of a union the one that is set.
    Struct(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

impl Tree {
    /// Reads a value of any type.
    pub(crate) fn of(value: Reader<'_>) -> capnp::Result<Self> {
        Ok(match value {
            Reader::Void => Self::Leaf("void".into()),
            Reader::Bool(value) => Self::Leaf(value.to_string()),
            Reader::Int8(value) => Self::Leaf(value.to_string()),
            Reader::Int16(value) => Self::Leaf(value.to_string()),
            Reader::Int32(value) => Self::Leaf(value.to_string()),
            Reader::Int64(value) => Self::Leaf(value.to_string()),
            Reader::UInt8(value) => Self::Leaf(value.to_string()),
            Reader::UInt16(value) => Self::Leaf(value.to_string()),
            Reader::UInt32(value) => Self::Leaf(value.to_string()),
            Reader::UInt64(value) => Self::Leaf(format!("{value} ({value:#018x})")),
            // A value that is not a number has several forms; which of them is written, is seen.
            Reader::Float32(value) => Self::Leaf(format!("{value:?} ({:#010x})", value.to_bits())),
            Reader::Float64(value) => Self::Leaf(format!("{value:?} ({:#018x})", value.to_bits())),
            Reader::Enum(value) => Self::Leaf(match value.get_enumerant()? {
                Some(enumerant) => enumerant.get_proto().get_name()?.to_string()?,
                None => format!("enumerant {}", value.get_value()),
            }),
            Reader::Text(value) => Self::Leaf(format!("{:?}", String::from_utf8_lossy(value.as_bytes()))),
            Reader::Data(value) => Self::Leaf(hexadecimal(value)),
            Reader::Struct(value) => Self::of_struct(value)?,
            Reader::List(value) => Self::of_list(value)?,
            Reader::AnyPointer(value) => Self::Leaf(canonical(value)?),
            Reader::Capability(_) => Self::Leaf("capability".into()),
        })
    }

    fn of_struct(value: dynamic_struct::Reader<'_>) -> capnp::Result<Self> {
        let schema = value.get_schema();
        let always = schema.get_non_union_fields()?;
        let mut fields = Vec::with_capacity(usize::from(always.len()) + 1);
        for field in always {
            fields.push((field.get_proto().get_name()?.to_string()?, Self::of(value.get(field)?)?));
        }
        if let Some(field) = value.which()? {
            fields.push((field.get_proto().get_name()?.to_string()?, Self::of(value.get(field)?)?));
        } else if !schema.get_union_fields()?.is_empty() {
            fields.push(("union".into(), Self::Leaf("a field of a later schema".into())));
        }
        Ok(Self::Struct(fields))
    }

    fn of_list(value: dynamic_list::Reader<'_>) -> capnp::Result<Self> {
        value.iter().map(|element| Self::of(element?)).collect::<capnp::Result<_>>().map(Self::List)
    }

    /// What a struct is called in a list of such: its name if it has one, or else its number.
    pub(crate) fn label(&self) -> Option<&str> {
        let Self::Struct(fields) = self else { return None };
        ["name", "filename", "id", "scopeId"].iter().find_map(|label| {
            fields.iter().find_map(|(name, value)| match value {
                Self::Leaf(text) if name == label => Some(text.as_str()),
                _ => None,
            })
        })
    }
}

/// Bytes as the schema language writes them.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 * bytes.len() + 3);
    text.push_str("0x\"");
    for (index, byte) in bytes.iter().enumerate() {
        let gap = if index == 0 { "" } else { " " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{gap}{byte:02x}");
    }
    text.push('"');
    text
}

/// The canonical form of what a pointer of unknown type leads to.
fn canonical(pointer: any_pointer::Reader<'_>) -> capnp::Result<String> {
    if pointer.is_null() {
        return Ok("null".into());
    }
    // It must find room in one segment.
    let words = u32::try_from(pointer.target_size()?.word_count + 1).unwrap_or(u32::MAX);
    let mut message = Builder::new(HeapAllocator::new().first_segment_words(words));
    message.set_root_canonical(pointer)?;
    let segments = message.get_segments_for_output();
    Ok(format!("canonical {}", hexadecimal(segments.first().copied().unwrap_or_default())))
}
