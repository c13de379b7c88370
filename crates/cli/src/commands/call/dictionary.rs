//! What schemas say of a service's methods, by the names that people type.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use capnp::private::layout::StructReader;
use capnp::schema_capnp::{code_generator_request, enumerant, field, method, node, value};
use capnp::struct_list;
use capnp::traits::FromPointerReader;
use vatmux_schema::{Disk, Files};

use super::raw::Pointer;

/// Schemas of shipped services, and what they import.
const SHIPPED: [(&str, &str); 7] = [
    ("shipped/bundle.capnp", include_str!("../../../../../schema/bundle.capnp")),
    ("shipped/bundlemgr.capnp", include_str!("../../../../../schema/bundlemgr.capnp")),
    ("shipped/health.capnp", include_str!("../../../../../schema/health.capnp")),
    ("shipped/packagefs.capnp", include_str!("../../../../../schema/packagefs.capnp")),
    ("shipped/samgr.capnp", include_str!("../../../../../schema/samgr.capnp")),
    ("shipped/statefs.capnp", include_str!("../../../../../schema/statefs.capnp")),
    ("shipped/vatmux.capnp", include_str!("../../../../../schema/vatmux.capnp")),
];

/// Those that have services.
pub(super) const SHIPPED_SERVICES: [&str; 5] = [
    "shipped/bundlemgr.capnp",
    "shipped/health.capnp",
    "shipped/packagefs.capnp",
    "shipped/samgr.capnp",
    "shipped/statefs.capnp",
];

/// Annotations of `schema/vatmux.capnp`.
const SERVICE: u64 = 0xc6a7_b922_aa72_f8d3;
const STATUS: u64 = 0x9c7a_5196_90bf_17d6;
const DEADLINE: u64 = 0xc4b3_6b29_d40f_85ce;

/// The disk, and what is shipped.
pub(super) struct Shipped;

impl Files for Shipped {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match SHIPPED.iter().find(|(name, _)| Path::new(name) == path) {
            Some((_, text)) => Ok(Some(text.as_bytes().to_vec())),
            None => Disk.read(path),
        }
    }
}

/// The nodes of compiled schemas.
pub(super) struct Dictionary<'a> {
    nodes: HashMap<u64, node::Reader<'a>>,
}

/// An interface that a stream can begin with.
pub(super) struct Service<'a> {
    pub(super) interface: node::Reader<'a>,
    /// The stream's name.
    pub(super) name: String,
    pub(super) priority: u8,
}

/// A method of it, or of an ancestor.
pub(super) struct Method<'a> {
    /// The interface that has it.
    pub(super) interface: node::Reader<'a>,
    pub(super) ordinal: u16,
    pub(super) reader: method::Reader<'a>,
}

impl<'a> Dictionary<'a> {
    pub(super) fn new(request: code_generator_request::Reader<'a>) -> capnp::Result<Self> {
        let nodes = request.get_nodes()?.iter().map(|node| (node.get_id(), node)).collect();
        Ok(Self { nodes })
    }

    pub(super) fn node(&self, id: u64) -> capnp::Result<node::Reader<'a>> {
        self.nodes
            .get(&id)
            .copied()
            .ok_or_else(|| capnp::Error::failed(format!("{id:#018x} is not in the schema")))
    }

    /// Every service in the schemas, in the order of their names.
    pub(super) fn services(&self) -> capnp::Result<Vec<Service<'a>>> {
        let mut services = Vec::new();
        for node in self.nodes.values() {
            if let Some(annotation) = annotation(node.get_annotations()?, SERVICE)? {
                let name: capnp::text::Reader<'_> =
                    FromPointerReader::get_from_pointer(&annotation.get_pointer_field(0), None)?;
                let priority = annotation.get_data_field_mask::<u8>(0, 4);
                services.push(Service { interface: *node, name: name.to_string()?, priority });
            }
        }
        services.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(services)
    }

    /// The methods of an interface and of its ancestors.
    pub(super) fn methods(&self, interface: node::Reader<'a>) -> capnp::Result<Vec<Method<'a>>> {
        let (mut methods, mut seen, mut waiting) = (Vec::new(), Vec::new(), vec![interface]);
        while let Some(interface) = waiting.pop() {
            if seen.contains(&interface.get_id()) {
                continue;
            }
            seen.push(interface.get_id());
            let node::Interface(parts) = interface.which()? else { continue };
            for (ordinal, reader) in (0..).zip(parts.get_methods()?) {
                methods.push(Method { interface, ordinal, reader });
            }
            for superclass in parts.get_superclasses()? {
                waiting.push(self.node(superclass.get_id())?);
            }
        }
        Ok(methods)
    }

    /// The fields of a struct.
    pub(super) fn fields(
        &self,
        id: u64,
    ) -> capnp::Result<(node::struct_::Reader<'a>, Vec<field::Reader<'a>>)> {
        match self.node(id)?.which()? {
            node::Struct(layout) => Ok((layout, layout.get_fields()?.iter().collect())),
            _ => Err(capnp::Error::failed("what should be a struct is none".to_owned())),
        }
    }

    /// The words of an enum.
    pub(super) fn words(&self, id: u64) -> capnp::Result<struct_list::Reader<'a, enumerant::Owned>> {
        match self.node(id)?.which()? {
            node::Enum(enumeration) => enumeration.get_enumerants(),
            _ => Err(capnp::Error::failed("what should be an enum is none".to_owned())),
        }
    }

    /// Whether an enum says how calls end.
    pub(super) fn is_status(&self, id: u64) -> capnp::Result<bool> {
        Ok(self.node(id)?.get_annotations()?.iter().any(|annotation| annotation.get_id() == STATUS))
    }

    /// A node's own name.
    pub(super) fn name(&self, id: u64) -> capnp::Result<&'a str> {
        let node = self.node(id)?;
        let name = node.get_display_name()?.to_str()?;
        Ok(name.get(node.get_display_name_prefix_length() as usize..).unwrap_or(name))
    }
}

impl Method<'_> {
    /// What the schema says of how long it may take.
    pub(super) fn deadline(&self) -> capnp::Result<Option<std::time::Duration>> {
        let own = annotation(self.reader.get_annotations()?, DEADLINE)?;
        let time = match own {
            Some(time) => Some(time),
            None => annotation(self.interface.get_annotations()?, DEADLINE)?,
        };
        Ok(time.map(|time| {
            let number = u64::from(time.get_data_field::<u32>(0));
            match time.get_data_field::<u16>(2) {
                0 => std::time::Duration::from_millis(number),
                1 => std::time::Duration::from_secs(number),
                _ => std::time::Duration::from_secs(number * 60),
            }
        }))
    }
}

/// An annotation that is a struct.
fn annotation(
    annotations: struct_list::Reader<'_, capnp::schema_capnp::annotation::Owned>,
    id: u64,
) -> capnp::Result<Option<StructReader<'_>>> {
    match annotations.iter().find(|annotation| annotation.get_id() == id) {
        None => Ok(None),
        Some(annotation) => match annotation.get_value()?.which()? {
            value::Struct(pointer) => Ok(Some(pointer.get_as::<Pointer<'_>>()?.0.get_struct(None)?)),
            _ => Err(capnp::Error::failed("an annotation of vatmux.capnp has another type".to_owned())),
        },
    }
}
