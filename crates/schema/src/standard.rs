//! The schemas that come with the language.
//!
//! They declare what those of the C++ implementation declare, with the same ids, so that both can be used with each
//! other; the tests against that implementation show that they are equal.

use std::path::Path;

/// The text of the standard file that is imported as `name`.
pub(crate) fn text(name: &Path) -> Option<&'static str> {
    let (_, text) = FILES.iter().find(|(known, _)| Path::new(known) == name)?;
    Some(text)
}

const FILES: [(&str, &str); 7] = [
    ("/capnp/c++.capnp", include_str!("../standard/c++.capnp")),
    ("/capnp/compat/json.capnp", include_str!("../standard/compat/json.capnp")),
    ("/capnp/persistent.capnp", include_str!("../standard/persistent.capnp")),
    ("/capnp/rpc-twoparty.capnp", include_str!("../standard/rpc-twoparty.capnp")),
    ("/capnp/rpc.capnp", include_str!("../standard/rpc.capnp")),
    ("/capnp/schema.capnp", include_str!("../standard/schema.capnp")),
    ("/capnp/stream.capnp", include_str!("../standard/stream.capnp")),
];
