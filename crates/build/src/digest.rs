//! The digest of an interface's schema.

use std::collections::BTreeSet;

use blake2::{Blake2s256, Digest};
use capnp::message::Builder;
use capnp::schema_capnp::{field, node, type_, value};
use capnp::serialize;

use crate::Error;
use crate::schema::Schema;

/// BLAKE2s of the interface `root` and of every node that it reaches, in the order of their ids: of each its id and name, and
/// of its members in order what decides how they look on the wire, with their names. Comments and annotations are not in it,
/// nor is the file that a node is in.
pub(crate) fn of(schema: &Schema<'_>, root: u64) -> Result<[u8; 32], Error> {
    let mut hash = Blake2s256::new();
    for id in closure(schema, root)? {
        let node = schema.node(id)?;
        hash.update(id.to_le_bytes());
        match node.which()? {
            node::Struct(structure) => {
                hash.update([1, u8::from(structure.get_is_group())]);
                hash.update(structure.get_data_word_count().to_le_bytes());
                hash.update(structure.get_pointer_count().to_le_bytes());
                hash.update(structure.get_discriminant_count().to_le_bytes());
                hash.update(structure.get_discriminant_offset().to_le_bytes());
                let fields = structure.get_fields()?;
                hash.update(fields.len().to_le_bytes());
                for member in fields {
                    named(&mut hash, member.get_name()?.as_bytes());
                    hash.update(member.get_discriminant_value().to_le_bytes());
                    match member.which()? {
                        field::Slot(slot) => {
                            hash.update([1]);
                            hash.update(slot.get_offset().to_le_bytes());
                            canonical::<type_::Owned>(&mut hash, slot.get_type()?)?;
                            canonical::<value::Owned>(&mut hash, slot.get_default_value()?)?;
                        }
                        field::Group(group) => {
                            hash.update([2]);
                            hash.update(group.get_type_id().to_le_bytes());
                        }
                    }
                }
            }
            node::Enum(enumeration) => {
                hash.update([2]);
                let enumerants = enumeration.get_enumerants()?;
                hash.update(enumerants.len().to_le_bytes());
                for enumerant in enumerants {
                    named(&mut hash, enumerant.get_name()?.as_bytes());
                }
            }
            node::Interface(interface) => {
                hash.update([3]);
                let methods = interface.get_methods()?;
                hash.update(methods.len().to_le_bytes());
                for method in methods {
                    named(&mut hash, method.get_name()?.as_bytes());
                    hash.update(method.get_param_struct_type().to_le_bytes());
                    hash.update(method.get_result_struct_type().to_le_bytes());
                }
                let superclasses = interface.get_superclasses()?;
                hash.update(superclasses.len().to_le_bytes());
                for superclass in superclasses {
                    hash.update(superclass.get_id().to_le_bytes());
                }
            }
            node::File(()) | node::Const(_) | node::Annotation(_) => {}
        }
    }
    Ok(hash.finalize().into())
}

fn named(hash: &mut Blake2s256, name: &[u8]) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
}

fn canonical<T: capnp::traits::Owned>(
    hash: &mut Blake2s256,
    value: impl capnp::traits::SetterInput<T>,
) -> Result<(), Error> {
    let mut message = Builder::new_default();
    message.set_root_canonical(value)?;
    let bytes = serialize::write_message_to_words(&message);
    named(hash, &bytes);
    Ok(())
}

/// The interfaces that a capability of the service may have: those that the nodes in the digest are.
pub(crate) fn interfaces(schema: &Schema<'_>, root: u64) -> Result<Vec<u64>, Error> {
    let mut interfaces = vec![root];
    for id in closure(schema, root)? {
        if id != root && matches!(schema.node(id)?.which()?, node::Interface(_)) {
            interfaces.push(id);
        }
    }
    Ok(interfaces)
}

/// Every node that an interface reaches.
fn closure(schema: &Schema<'_>, root: u64) -> Result<BTreeSet<u64>, Error> {
    let mut seen = BTreeSet::from([root]);
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        let mut found = Vec::new();
        match schema.node(id)?.which()? {
            node::Struct(structure) => {
                for member in structure.get_fields()? {
                    match member.which()? {
                        field::Slot(slot) => types(slot.get_type()?, &mut found)?,
                        field::Group(group) => found.push(group.get_type_id()),
                    }
                }
            }
            node::Interface(interface) => {
                for method in interface.get_methods()? {
                    found.extend([method.get_param_struct_type(), method.get_result_struct_type()]);
                    brands(method.get_param_brand()?, &mut found)?;
                    brands(method.get_result_brand()?, &mut found)?;
                }
                for superclass in interface.get_superclasses()? {
                    found.push(superclass.get_id());
                    brands(superclass.get_brand()?, &mut found)?;
                }
            }
            node::Enum(_) | node::File(()) | node::Const(_) | node::Annotation(_) => {}
        }
        waiting.extend(found.into_iter().filter(|id| seen.insert(*id)));
    }
    Ok(seen)
}

fn types(kind: type_::Reader<'_>, found: &mut Vec<u64>) -> Result<(), Error> {
    match kind.which()? {
        type_::List(list) => types(list.get_element_type()?, found)?,
        type_::Enum(kind) => found.push(kind.get_type_id()),
        type_::Struct(kind) => {
            found.push(kind.get_type_id());
            brands(kind.get_brand()?, found)?;
        }
        type_::Interface(kind) => {
            found.push(kind.get_type_id());
            brands(kind.get_brand()?, found)?;
        }
        _ => {}
    }
    Ok(())
}

fn brands(brand: capnp::schema_capnp::brand::Reader<'_>, found: &mut Vec<u64>) -> Result<(), Error> {
    use capnp::schema_capnp::brand::{binding, scope};
    for scope in brand.get_scopes()? {
        if let scope::Bind(bindings) = scope.which()? {
            for binding in bindings? {
                if let binding::Type(kind) = binding.which()? {
                    types(kind?, found)?;
                }
            }
        }
    }
    Ok(())
}
