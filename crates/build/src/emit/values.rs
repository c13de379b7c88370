//! Structs of a schema as values of Rust.

use std::fmt::Write as _;

use super::{Emitter, documented};
use crate::Error;
use crate::names;
use crate::schema::Field;
use crate::types::{self, Type};

/// More bools than these make clippy doubt a struct.
const MAX_BOOLS: usize = 3;

impl Emitter<'_, '_> {
    /// A struct whose fields are all values.
    pub(super) fn value_struct(&mut self, id: u64) -> Result<(), Error> {
        let schema = self.types.schema;
        let Some(place) = schema.place_of(id).cloned() else { return Ok(()) };
        let (word, path) = (self.types.word(id), self.types.path(id));
        self.claim(&word, &place.name)?;
        let fields = schema.fields(id)?;
        let docs = documented(&schema.docs(id)?, &format!("`{}` of the schema.", place.name));
        self.struct_of(&word, &docs, &fields, "#[derive(Clone, Debug, PartialEq)]");

        let mut read = String::new();
        let mut write = String::new();
        for field in &fields {
            let name = names::ident(&field.name);
            let _ = writeln!(read, "{name}: {},", self.types.read(field, "reader", ""));
            write.push_str(&types::write(field, "builder", &format!("self.{name}"), false));
        }
        let allowed = if fields.iter().all(|field| matches!(field.kind, Some(Type::Plain(_)))) {
            "#[allow(clippy::unnecessary_wraps, reason = \"it is read as every other struct\")]"
        } else {
            ""
        };
        let _ = writeln!(
            self.out,
            "impl {word} {{
                /// The value of what is in a message.
                {allowed}
                pub fn read(reader: {path}::Reader<'_>) -> capnp::Result<Self> {{ Ok(Self {{ {read} }}) }}
                /// Writes it into a message.
                pub fn write(&self, mut builder: {path}::Builder<'_>) {{ {write} }}
            }}"
        );
        Ok(())
    }

    /// A struct with these fields.
    pub(super) fn struct_of(&mut self, word: &str, docs: &str, fields: &[Field], derive: &str) {
        let mut members = String::new();
        for field in fields {
            let Some(kind) = &field.kind else { continue };
            members.push_str(&documented(&field.docs, &format!("`{}`.", field.name)));
            let _ = writeln!(members, "pub {}: {},", names::ident(&field.name), self.types.owned(kind));
        }
        let bools = fields.iter().filter(|field| field.kind == Some(Type::Plain("bool"))).count();
        let allowed = if bools > MAX_BOOLS { "#[allow(clippy::struct_excessive_bools)]" } else { "" };
        let _ = writeln!(self.out, "{docs} {derive} {allowed} pub struct {word} {{ {members} }}");
    }
}
