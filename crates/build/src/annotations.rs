//! What a schema says by the annotations of `schema/vatmux.capnp`.

use std::time::Duration;

use capnp::private::layout::{PointerReader, StructReader};
use capnp::schema_capnp::{annotation, method, node, value};
use capnp::struct_list;
use capnp::traits::FromPointerReader;

use crate::Error;

const SERVICE: u64 = 0xc6a7_b922_aa72_f8d3;
const DEADLINE: u64 = 0xc4b3_6b29_d40f_85ce;
const IDEMPOTENT: u64 = 0xaa07_4cd4_da8e_0c7e;
const LIMIT: u64 = 0xb8c3_5b68_2d75_4cc6;
const BULK: u64 = 0xf68b_08c7_1d30_8f60;
const STATUS: u64 = 0x9c7a_5196_90bf_17d6;
const MALFORMED: u64 = 0xb0e2_1aff_2250_a1f8;
const UNKNOWN: u64 = 0x9fc7_672c_7f87_eac4;

/// Of an interface that a stream can begin with.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) priority: u8,
}

/// Of a method.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Duration>,
    pub(crate) idempotent: bool,
    pub(crate) calls: u32,
    pub(crate) params_bytes: u64,
    pub(crate) bulk: bool,
}

type Annotations<'a> = struct_list::Reader<'a, annotation::Owned>;

fn find(annotations: Annotations<'_>, id: u64) -> Result<Option<value::Reader<'_>>, Error> {
    match annotations.iter().find(|annotation| annotation.get_id() == id) {
        Some(annotation) => Ok(Some(annotation.get_value()?)),
        None => Ok(None),
    }
}

/// A struct of `schema/vatmux.capnp`, read by the layout that its ordinals have: this is what its generated code would be
/// generated with.
struct Raw<'a>(StructReader<'a>);

impl<'a> FromPointerReader<'a> for Raw<'a> {
    fn get_from_pointer(
        reader: &PointerReader<'a>,
        default: Option<&'a [capnp::Word]>,
    ) -> capnp::Result<Self> {
        reader.get_struct(default).map(Self)
    }
}

impl<'a> Raw<'a> {
    fn of(value: value::Reader<'a>) -> Result<Self, Error> {
        match value.which()? {
            value::Struct(pointer) => Ok(pointer.get_as()?),
            _ => Err(Error::Request(capnp::Error::failed(
                "an annotation of vatmux.capnp has another type".to_owned(),
            ))),
        }
    }

    /// `Service`.
    fn service(&self) -> Result<Service, Error> {
        let name: capnp::text::Reader<'_> =
            FromPointerReader::get_from_pointer(&self.0.get_pointer_field(0), None)?;
        Ok(Service { name: name.to_string()?, priority: self.0.get_data_field_mask(0, 4) })
    }

    /// `Time`.
    fn time(&self) -> Result<Duration, Error> {
        let number: u32 = self.0.get_data_field(0);
        Ok(match self.0.get_data_field::<u16>(2) {
            0 => Duration::from_millis(number.into()),
            1 => Duration::from_secs(number.into()),
            2 => Duration::from_secs(u64::from(number) * 60),
            other => return Err(capnp::NotInSchema(other).into()),
        })
    }

    /// `Limit`.
    fn limit(&self) -> (u32, u64) {
        (self.0.get_data_field(0), self.0.get_data_field(1))
    }
}

pub(crate) fn service(node: node::Reader<'_>) -> Result<Option<Service>, Error> {
    let Some(value) = find(node.get_annotations()?, SERVICE)? else { return Ok(None) };
    let service = Raw::of(value)?.service()?;
    let wrong = |reason: &str| {
        let name = node.get_display_name()?.to_string()?;
        Err(Error::Annotation { name, reason: reason.to_owned() })
    };
    if service.name.is_empty()
        || service.name.len() > 64
        || !service.name.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return wrong("a service's name is 1 to 64 bytes of printable ASCII without spaces");
    }
    if service.priority > 7 {
        return wrong("a service's priority is 0 (first) to 7");
    }
    Ok(Some(service))
}

pub(crate) fn is_status(node: node::Reader<'_>) -> Result<bool, Error> {
    Ok(find(node.get_annotations()?, STATUS)?.is_some())
}

/// The word of a status for parameters that cannot be read.
pub(crate) fn malformed(node: node::Reader<'_>) -> Result<Option<String>, Error> {
    word(node, MALFORMED)
}

/// The word of an enum for those that it does not have yet.
pub(crate) fn unknown(node: node::Reader<'_>) -> Result<Option<String>, Error> {
    word(node, UNKNOWN)
}

/// The word of an enum that is annotated.
fn word(node: node::Reader<'_>, annotation: u64) -> Result<Option<String>, Error> {
    let node::Enum(enumeration) = node.which()? else { return Ok(None) };
    let mut word = None;
    for enumerant in enumeration.get_enumerants()? {
        if find(enumerant.get_annotations()?, annotation)?.is_none() {
            continue;
        }
        let name = enumerant.get_name()?.to_string()?;
        if let Some(first) = word.replace(name) {
            let name = node.get_display_name()?.to_string()?;
            let reason = format!("`{first}` is not its only word with an annotation that one word may have");
            return Err(Error::Annotation { name, reason });
        }
    }
    Ok(word)
}

pub(crate) fn terms(interface: node::Reader<'_>, method: method::Reader<'_>) -> Result<Terms, Error> {
    let annotations = method.get_annotations()?;
    let deadline = match find(annotations, DEADLINE)? {
        Some(value) => Some(value),
        None => find(interface.get_annotations()?, DEADLINE)?,
    };
    let deadline = deadline.map(|value| Raw::of(value)?.time()).transpose()?;
    if deadline.is_some_and(|deadline| deadline.is_zero()) {
        let name = format!("{}.{}", interface.get_display_name()?.to_str()?, method.get_name()?.to_str()?);
        return Err(Error::Annotation { name, reason: "a deadline is at least a millisecond".to_owned() });
    }
    let (calls, params_bytes) = match find(annotations, LIMIT)? {
        Some(value) => Raw::of(value)?.limit(),
        None => (0, 0),
    };
    Ok(Terms {
        deadline,
        idempotent: find(annotations, IDEMPOTENT)?.is_some(),
        calls,
        params_bytes,
        bulk: find(annotations, BULK)?.is_some(),
    })
}
