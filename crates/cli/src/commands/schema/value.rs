//! Types and values of compiled schemas in the words of the schema language.
//!
//! A struct or a list in a request has the layout that its type says, and the type is only known at run time. So it is
//! brought into the canonical form, of one segment, and read there. What is out of place reads as nothing.

use std::collections::HashMap;
use std::fmt::Write as _;

use capnp::any_pointer;
use capnp::message::{Builder, HeapAllocator};
use capnp::schema_capnp::{brand, field, node, type_, value};
use capnp::struct_list;

/// How deep values are shown.
const MOST_DEPTH: usize = 64;

/// How many elements are shown of a list of what takes no room, which could be as long as it likes.
const MOST_OF_NOTHING: usize = 1024;

/// A field that is in no union.
const NO_DISCRIMINANT: u16 = field::NO_DISCRIMINANT;

/// The nodes of a request, by id.
pub(super) struct Nodes<'a>(HashMap<u64, node::Reader<'a>>);

impl<'a> Nodes<'a> {
    pub(super) fn new(nodes: struct_list::Reader<'a, node::Owned>) -> Self {
        Self(nodes.iter().map(|node| (node.get_id(), node)).collect())
    }

    pub(super) fn get(&self, id: u64) -> Option<node::Reader<'a>> {
        self.0.get(&id).copied()
    }

    /// The name of a node within its file.
    pub(super) fn name(&self, id: u64) -> capnp::Result<String> {
        let Some(node) = self.get(id) else { return Ok(format!("@{id:#x}")) };
        let name = node.get_display_name()?.to_string()?;
        Ok(name.split_once(':').map(|(_, name)| name.to_owned()).unwrap_or(name))
    }

    pub(super) fn type_name(&self, ty: type_::Reader<'_>) -> capnp::Result<String> {
        use type_::any_pointer::unconstrained;
        Ok(match ty.which()? {
            type_::Void(()) => "Void".into(),
            type_::Bool(()) => "Bool".into(),
            type_::Int8(()) => "Int8".into(),
            type_::Int16(()) => "Int16".into(),
            type_::Int32(()) => "Int32".into(),
            type_::Int64(()) => "Int64".into(),
            type_::Uint8(()) => "UInt8".into(),
            type_::Uint16(()) => "UInt16".into(),
            type_::Uint32(()) => "UInt32".into(),
            type_::Uint64(()) => "UInt64".into(),
            type_::Float32(()) => "Float32".into(),
            type_::Float64(()) => "Float64".into(),
            type_::Text(()) => "Text".into(),
            type_::Data(()) => "Data".into(),
            type_::List(list) => format!("List({})", self.type_name(list.get_element_type()?)?),
            type_::Enum(declared) => self.name(declared.get_type_id())?,
            type_::Struct(declared) => self.branded(declared.get_type_id(), declared.get_brand()?)?,
            type_::Interface(declared) => self.branded(declared.get_type_id(), declared.get_brand()?)?,
            type_::AnyPointer(any) => match any.which()? {
                type_::any_pointer::Unconstrained(kind) => match kind.which()? {
                    unconstrained::AnyKind(()) => "AnyPointer".into(),
                    unconstrained::Struct(()) => "AnyStruct".into(),
                    unconstrained::List(()) => "AnyList".into(),
                    unconstrained::Capability(()) => "Capability".into(),
                },
                type_::any_pointer::Parameter(parameter) => {
                    let index = u32::from(parameter.get_parameter_index());
                    match self.get(parameter.get_scope_id()).map(node::Reader::get_parameters).transpose()? {
                        Some(names) if index < names.len() => names.get(index).get_name()?.to_string()?,
                        _ => "AnyPointer".into(),
                    }
                }
                type_::any_pointer::ImplicitMethodParameter(parameter) => {
                    format!("[{}]", parameter.get_parameter_index())
                }
            },
        })
    }

    /// A name with the arguments of its own parameters.
    pub(super) fn branded(&self, id: u64, brand: brand::Reader<'_>) -> capnp::Result<String> {
        let name = self.name(id)?;
        let scopes = brand.get_scopes()?;
        let Some(scope) = scopes.iter().find(|scope| scope.get_scope_id() == id) else { return Ok(name) };
        let brand::scope::Bind(bindings) = scope.which()? else { return Ok(name) };
        let mut arguments = Vec::new();
        for binding in bindings? {
            arguments.push(match binding.which()? {
                brand::binding::Unbound(()) => "AnyPointer".to_owned(),
                brand::binding::Type(ty) => self.type_name(ty?)?,
            });
        }
        Ok(if arguments.is_empty() { name } else { format!("{name}({})", arguments.join(", ")) })
    }

    /// A value of a type; `None` for nothing.
    pub(super) fn value(
        &self,
        ty: type_::Reader<'_>,
        value: value::Reader<'_>,
    ) -> capnp::Result<Option<String>> {
        Ok(Some(match value.which()? {
            value::Void(()) | value::Interface(()) => return Ok(None),
            value::Bool(value) => value.to_string(),
            value::Int8(value) => value.to_string(),
            value::Int16(value) => value.to_string(),
            value::Int32(value) => value.to_string(),
            value::Int64(value) => value.to_string(),
            value::Uint8(value) => value.to_string(),
            value::Uint16(value) => value.to_string(),
            value::Uint32(value) => value.to_string(),
            value::Uint64(value) => value.to_string(),
            value::Float32(value) => value.to_string(),
            value::Float64(value) => value.to_string(),
            value::Text(value) => text(value?.as_bytes()),
            value::Data(value) => data(value?),
            value::Enum(value) => match ty.which()? {
                type_::Enum(declared) => self.enumerant(declared.get_type_id(), value)?,
                _ => value.to_string(),
            },
            value::Struct(value) | value::List(value) | value::AnyPointer(value) => match canonical(value)? {
                Some(segment) => Segment(&segment).pointed_to(self, ty, 0, MOST_DEPTH)?.unwrap_or_default(),
                None => return Ok(None),
            },
        }))
    }

    /// What bits of the data section stand for.
    fn plain(&self, ty: type_::Reader<'_>, bits: u64) -> capnp::Result<String> {
        Ok(match ty.which()? {
            type_::Void(()) => "void".into(),
            type_::Bool(()) => (bits & 1 == 1).to_string(),
            type_::Int8(()) => (bits as u8).cast_signed().to_string(),
            type_::Int16(()) => (bits as u16).cast_signed().to_string(),
            type_::Int32(()) => (bits as u32).cast_signed().to_string(),
            type_::Int64(()) => bits.cast_signed().to_string(),
            type_::Float32(()) => f32::from_bits(bits as u32).to_string(),
            type_::Float64(()) => f64::from_bits(bits).to_string(),
            type_::Enum(declared) => self.enumerant(declared.get_type_id(), bits as u16)?,
            _ => bits.to_string(),
        })
    }

    fn enumerant(&self, id: u64, value: u16) -> capnp::Result<String> {
        if let Some(node) = self.get(id)
            && let node::Enum(declared) = node.which()?
        {
            let enumerants = declared.get_enumerants()?;
            if u32::from(value) < enumerants.len() {
                return Ok(enumerants.get(value.into()).get_name()?.to_string()?);
            }
        }
        Ok(value.to_string())
    }
}

/// What a pointer leads to, with a pointer to it in front; `None` for nothing.
fn canonical(pointer: any_pointer::Reader<'_>) -> capnp::Result<Option<Vec<u8>>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // It must find room in one segment.
    let words = u32::try_from(pointer.target_size()?.word_count + 1).unwrap_or(u32::MAX);
    let mut message = Builder::new(HeapAllocator::new().first_segment_words(words));
    message.set_root_canonical(pointer)?;
    Ok(message.get_segments_for_output().first().map(|segment| segment.to_vec()))
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

fn data(bytes: &[u8]) -> String {
    let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    format!("0x\"{digits}\"")
}

/// A message in canonical form.
struct Segment<'a>(&'a [u8]);

/// Where a struct has its parts, in bytes from the start of the segment.
#[derive(Clone, Copy)]
struct Parts {
    data: usize,
    data_bytes: usize,
    pointers: usize,
    pointer_count: usize,
}

/// A list.
enum Elements {
    /// Each of so many bits.
    Bits {
        start: usize,
        bits: usize,
        count: usize,
    },
    Structs(Vec<Parts>),
}

impl Segment<'_> {
    /// Eight bytes; zeros where there are none.
    fn word(&self, at: usize) -> u64 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn bytes(&self, start: usize, length: usize) -> &[u8] {
        start.checked_add(length).and_then(|end| self.0.get(start..end)).unwrap_or_default()
    }

    /// `bits` bits, a power of two of them, of which the first is the `offset`th from `start`.
    fn bits(&self, start: usize, offset: usize, bits: usize) -> u64 {
        let mut word = [0; 8];
        let source = self.bytes(start + offset / 8, bits.div_ceil(8));
        word[..source.len()].copy_from_slice(source);
        let value = u64::from_le_bytes(word);
        if bits == 1 { (value >> (offset % 8)) & 1 } else { value }
    }

    /// Where the pointer at `at` leads, in bytes. Those of canonical messages lead forwards.
    fn target(&self, at: usize) -> usize {
        at + 8 + 8 * ((self.word(at) as u32 >> 2) as usize)
    }

    fn parts(&self, at: usize) -> Parts {
        let word = self.word(at);
        let (data, pointer_count) = ((word >> 32) as u16, (word >> 48) as u16);
        let (start, data_bytes) = (self.target(at), 8 * usize::from(data));
        Parts { data: start, data_bytes, pointers: start + data_bytes, pointer_count: pointer_count.into() }
    }

    fn elements(&self, at: usize) -> Elements {
        let word = self.word(at);
        let (kind, count, start) = ((word >> 32) as usize & 7, (word >> 35) as usize, self.target(at));
        let bits = [0, 1, 8, 16, 32, 64, 64][kind.min(6)];
        if kind < 7 {
            let most = (8 * self.0.len()).checked_div(bits).unwrap_or(MOST_OF_NOTHING);
            return Elements::Bits { start, bits, count: count.min(most) };
        }
        let tag = self.word(start);
        let (data, pointers) = (usize::from((tag >> 32) as u16), usize::from((tag >> 48) as u16));
        let (size, count) = (8 * (data + pointers), (tag as u32 >> 2) as usize);
        let most = self.0.len().checked_div(size).unwrap_or(MOST_OF_NOTHING);
        let parts = (0..count.min(most)).map(|index| {
            let start = start + 8 + index * size;
            Parts { data: start, data_bytes: 8 * data, pointers: start + 8 * data, pointer_count: pointers }
        });
        Elements::Structs(parts.collect())
    }

    /// What the pointer at `at` leads to; `None` for nothing.
    fn pointed_to(
        &self,
        nodes: &Nodes<'_>,
        ty: type_::Reader<'_>,
        at: usize,
        depth: usize,
    ) -> capnp::Result<Option<String>> {
        if self.word(at) == 0 {
            return Ok(None);
        }
        let Some(depth) = depth.checked_sub(1) else { return Ok(Some("…".into())) };
        Ok(Some(match ty.which()? {
            type_::Text(()) => {
                let bytes = self.blob(at);
                text(bytes.strip_suffix(&[0]).unwrap_or(bytes))
            }
            type_::Data(()) => data(self.blob(at)),
            type_::Struct(declared) => {
                self.structure(nodes, declared.get_type_id(), self.parts(at), depth)?
            }
            type_::List(list) => self.list(nodes, list.get_element_type()?, at, depth)?,
            _ => "…".into(),
        }))
    }

    fn blob(&self, at: usize) -> &[u8] {
        match self.elements(at) {
            Elements::Bits { start, bits: 8, count } => self.bytes(start, count),
            _ => &[],
        }
    }

    fn list(
        &self,
        nodes: &Nodes<'_>,
        ty: type_::Reader<'_>,
        at: usize,
        depth: usize,
    ) -> capnp::Result<String> {
        let mut values = Vec::new();
        match (self.elements(at), ty.which()?) {
            (Elements::Structs(all), type_::Struct(declared)) => {
                for parts in all {
                    values.push(self.structure(nodes, declared.get_type_id(), parts, depth)?);
                }
            }
            (Elements::Bits { start, bits, count }, _) => {
                for index in 0..count {
                    values.push(match plain_bits(ty)? {
                        Some(_) => nodes.plain(ty, self.bits(start, index * bits, bits))?,
                        None => self
                            .pointed_to(nodes, ty, start + 8 * index, depth)?
                            .unwrap_or_else(|| "null".into()),
                    });
                }
            }
            _ => {}
        }
        Ok(format!("[{}]", values.join(", ")))
    }

    fn structure(&self, nodes: &Nodes<'_>, id: u64, parts: Parts, depth: usize) -> capnp::Result<String> {
        let mut fields = Vec::new();
        if let Some(node) = nodes.get(id)
            && let node::Struct(layout) = node.which()?
        {
            let tag = self.field_bits(parts, layout.get_discriminant_offset() as usize, 16) as u16;
            for field in layout.get_fields()? {
                let is_in_union = field.get_discriminant_value() != NO_DISCRIMINANT;
                if is_in_union && field.get_discriminant_value() != tag {
                    continue;
                }
                if let Some(value) = self.field(nodes, field, parts, is_in_union, depth)? {
                    fields.push(format!("{} = {value}", field.get_name()?.to_str()?));
                }
            }
        }
        Ok(format!("({})", fields.join(", ")))
    }

    /// What a field says; `None` where that is the default. Of a union the field that is set says something anyway.
    fn field(
        &self,
        nodes: &Nodes<'_>,
        field: field::Reader<'_>,
        parts: Parts,
        is_in_union: bool,
        depth: usize,
    ) -> capnp::Result<Option<String>> {
        let slot = match field.which()? {
            field::Slot(slot) => slot,
            field::Group(group) => {
                let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
                let value = self.structure(nodes, group.get_type_id(), parts, depth)?;
                return Ok((value != "()" || is_in_union).then_some(value));
            }
        };
        let (ty, offset) = (slot.get_type()?, slot.get_offset() as usize);
        if let Some(bits) = plain_bits(ty)? {
            let stored = self.field_bits(parts, offset, bits);
            if stored == 0 && !is_in_union {
                return Ok(None);
            }
            return nodes.plain(ty, stored ^ default_bits(slot.get_default_value()?)?).map(Some);
        }
        let value = if offset < parts.pointer_count {
            self.pointed_to(nodes, ty, parts.pointers + 8 * offset, depth)?
        } else {
            None
        };
        Ok(value.or_else(|| is_in_union.then(|| "null".to_owned())))
    }

    /// `bits` bits of the data section; zeros past its end.
    fn field_bits(&self, parts: Parts, offset: usize, bits: usize) -> u64 {
        if (offset + 1) * bits <= 8 * parts.data_bytes {
            self.bits(parts.data, offset * bits, bits)
        } else {
            0
        }
    }
}

/// How many bits a value of the type takes in the data section; `None` for a pointer.
fn plain_bits(ty: type_::Reader<'_>) -> capnp::Result<Option<usize>> {
    Ok(match ty.which()? {
        type_::Void(()) => Some(0),
        type_::Bool(()) => Some(1),
        type_::Int8(()) | type_::Uint8(()) => Some(8),
        type_::Int16(()) | type_::Uint16(()) | type_::Enum(_) => Some(16),
        type_::Int32(()) | type_::Uint32(()) | type_::Float32(()) => Some(32),
        type_::Int64(()) | type_::Uint64(()) | type_::Float64(()) => Some(64),
        type_::Text(())
        | type_::Data(())
        | type_::List(_)
        | type_::Struct(_)
        | type_::Interface(_)
        | type_::AnyPointer(_) => None,
    })
}

/// What is stored is the value with the default's bits flipped.
fn default_bits(value: value::Reader<'_>) -> capnp::Result<u64> {
    Ok(match value.which()? {
        value::Bool(value) => u64::from(value),
        value::Int8(value) => u64::from(value.cast_unsigned()),
        value::Int16(value) => u64::from(value.cast_unsigned()),
        value::Int32(value) => u64::from(value.cast_unsigned()),
        value::Int64(value) => value.cast_unsigned(),
        value::Uint8(value) => u64::from(value),
        value::Uint16(value) | value::Enum(value) => u64::from(value),
        value::Uint32(value) => u64::from(value),
        value::Uint64(value) => value,
        value::Float32(value) => u64::from(value.to_bits()),
        value::Float64(value) => value.to_bits(),
        _ => 0,
    })
}
