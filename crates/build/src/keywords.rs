//! Names that cannot be had in Rust: keywords that capnpc does not know, and so uses as they are.

use capnp::schema_capnp::node;

use crate::Error;
use crate::names;
use crate::schema::Schema;

/// Refuses a schema whose code would be no Rust, by the name that is to blame.
pub(crate) fn check(schema: &Schema<'_>) -> Result<(), Error> {
    for file in &schema.files {
        if names::ident(&file.module) != file.module {
            return Err(Error::Keyword { name: file.name.clone(), word: file.module.clone() });
        }
        for (id, place) in schema.places_in(file) {
            let node = schema.node(id)?;
            match node.which()? {
                node::Struct(_) | node::Interface(_) => {}
                node::File(()) | node::Enum(_) | node::Const(_) | node::Annotation(_) => continue,
            }
            let module = place.path.rsplit("::").next().unwrap_or_default();
            if names::is_later_keyword(module) {
                return Err(Error::Keyword { name: place.name.clone(), word: module.to_owned() });
            }
            for method in schema.methods(id)? {
                let word = names::module(&method.name);
                if names::is_later_keyword(&word) {
                    return Err(Error::Keyword { name: format!("{}.{}", place.name, method.name), word });
                }
            }
        }
    }
    Ok(())
}
