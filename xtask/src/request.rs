//! What a `CodeGeneratorRequest` says, apart from which compiler wrote it.
//!
//! Releases of the schema compiler order nodes differently, add fields of their own and ship other versions of the
//! standard schemas. None of that is a difference in meaning. What generated code can depend on is: the project's own nodes,
//! their documentation, and the files asked for with their imports.

use std::collections::BTreeMap;
use std::fmt::Debug;

use capnp::message::ReaderOptions;
use capnp::schema_capnp::code_generator_request;
use capnp::serialize;

/// The meaning of a request. Two requests are interchangeable when their meanings are equal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// Each named part as text; its names are the field names of `schema.capnp` and the nodes' own.
    parts: BTreeMap<String, String>,
}

/// Schemas that come with the compiler, by the name that the compiler gives them.
const STANDARD_SCHEMAS: &str = "capnp/";

impl Meaning {
    /// Reads a request. Refuses one that names a file by an absolute path, because that ties it to one machine.
    pub(crate) fn of(request: &[u8]) -> Result<Meaning, String> {
        Meaning::read(request).map_err(|error| format!("it is no request: {error}"))?
    }

    fn read(mut request: &[u8]) -> capnp::Result<Result<Meaning, String>> {
        let message = serialize::read_message_from_flat_slice(&mut request, ReaderOptions::new())?;
        let request: code_generator_request::Reader = message.get_root()?;
        let mut parts = BTreeMap::new();
        let mut names = BTreeMap::new();
        for node in request.get_nodes()? {
            let name = node.get_display_name()?.to_string()?;
            if name.starts_with('/') {
                return Ok(Err(format!("it names a file of this machine: {name}")));
            }
            if !name.starts_with(STANDARD_SCHEMAS) {
                parts.insert(format!("node {name}"), text(&node));
                names.insert(node.get_id(), name);
            }
        }
        for info in request.get_source_info()? {
            if let Some(name) = names.get(&info.get_id()) {
                parts.insert(format!("documentation of {name}"), text(&info));
            }
        }
        for file in request.get_requested_files()? {
            let name = file.get_filename()?.to_string()?;
            if name.starts_with('/') {
                return Ok(Err(format!("it asks for a file of this machine: {name}")));
            }
            parts.insert(format!("file {name}"), text(&file));
        }
        Ok(Ok(Meaning { parts }))
    }

    /// The names of the parts that differ, sorted.
    pub(crate) fn difference(&self, other: &Meaning) -> Vec<String> {
        let either = self.parts.keys().chain(other.parts.keys());
        let mut names: Vec<_> =
            either.filter(|name| self.parts.get(*name) != other.parts.get(*name)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// All fields that our `schema.capnp` knows, and only those.
fn text(part: &impl Debug) -> String {
    format!("{part:?}")
}

#[cfg(test)]
mod tests {
    use capnp::message::Builder;
    use capnp::schema_capnp::node;

    use super::*;

    fn request(build: impl FnOnce(code_generator_request::Builder)) -> Vec<u8> {
        let mut message = Builder::new_default();
        build(message.init_root());
        serialize::write_message_to_words(&message)
    }

    fn fill(mut node: node::Builder, id: u64, name: &str, field_count: u16) {
        node.set_id(id);
        node.set_display_name(name);
        node.init_struct().set_data_word_count(field_count);
    }

    fn two_nodes(order: [usize; 2], field_count: u16) -> Vec<u8> {
        request(|mut request| {
            let mut nodes = request.reborrow().init_nodes(2);
            fill(nodes.reborrow().get(order[0] as u32), 1, "a.capnp:A", 1);
            fill(nodes.get(order[1] as u32), 2, "a.capnp:B", field_count);
        })
    }

    #[test]
    fn the_order_of_the_nodes_means_nothing() {
        assert_eq!(Meaning::of(&two_nodes([0, 1], 1)), Meaning::of(&two_nodes([1, 0], 1)));
    }

    #[test]
    fn a_changed_node_is_named() {
        let (old, new) =
            (Meaning::of(&two_nodes([0, 1], 1)).unwrap(), Meaning::of(&two_nodes([0, 1], 2)).unwrap());
        assert_eq!(old.difference(&new), ["node a.capnp:B"]);
    }

    #[test]
    fn the_version_of_the_compiler_means_nothing() {
        let versioned = |minor| request(|request| request.init_capnp_version().set_minor(minor));
        assert_ne!(versioned(9), versioned(10));
        assert_eq!(Meaning::of(&versioned(9)), Meaning::of(&versioned(10)));
    }

    #[test]
    fn the_standard_schemas_mean_nothing() {
        let standard = |field_count| {
            request(|request| fill(request.init_nodes(1).get(0), 1, "capnp/c++.capnp", field_count))
        };
        assert_eq!(Meaning::of(&standard(1)), Meaning::of(&standard(2)));
    }

    #[test]
    fn a_changed_comment_is_a_change() {
        let documented = |comment: &str| {
            let bytes = request(|mut request| {
                fill(request.reborrow().init_nodes(1).get(0), 1, "a.capnp:A", 1);
                let mut info = request.init_source_info(1).get(0);
                info.set_id(1);
                info.set_doc_comment(comment);
            });
            Meaning::of(&bytes).unwrap()
        };
        assert_eq!(documented("old").difference(&documented("new")), ["documentation of a.capnp:A"]);
    }

    #[test]
    fn a_changed_file_name_is_a_change() {
        let asking = |name: &str| {
            Meaning::of(&request(|r| r.init_requested_files(1).get(0).set_filename(name))).unwrap()
        };
        assert_eq!(asking("a.capnp").difference(&asking("b.capnp")), ["file a.capnp", "file b.capnp"]);
    }

    #[test]
    fn a_request_that_names_a_file_of_one_machine_is_refused() {
        let file =
            request(|request| request.init_requested_files(1).get(0).set_filename("/somewhere/a.capnp"));
        let node = request(|request| fill(request.init_nodes(1).get(0), 1, "/somewhere/a.capnp", 0));
        for bytes in [file, node] {
            assert!(Meaning::of(&bytes).unwrap_err().contains("/somewhere/a.capnp"));
        }
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        let whole = two_nodes([0, 1], 1);
        for bytes in [&[][..], b"rubbish", &[0xff; 64], &whole[..whole.len() - 8]] {
            assert!(Meaning::of(bytes).unwrap_err().starts_with("it is no request"), "{bytes:?}");
        }
    }
}
