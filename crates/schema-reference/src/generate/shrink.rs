//! Makes schemas that show something small, so that a person sees what.

use std::collections::BTreeSet;

use super::Schemas;

/// The smallest files that leaving parts out of `schemas` comes to which still show it, as `shows` says.
pub fn smallest(
    schemas: &Schemas,
    mut shows: impl FnMut(&[(String, String)]) -> bool,
) -> Vec<(String, String)> {
    let mut omitted = BTreeSet::new();
    // Large pieces first: halves, quarters, and so on to single parts, until nothing more can go.
    let mut size = schemas.optional_parts.max(1);
    loop {
        let mut has_shrunk = false;
        let mut start = 0;
        while start < schemas.optional_parts {
            let piece = start..schemas.optional_parts.min(start + size);
            start += size;
            let mut candidate = omitted.clone();
            candidate.extend(piece);
            if candidate.len() > omitted.len() && shows(&schemas.without(&candidate)) {
                omitted = candidate;
                has_shrunk = true;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !has_shrunk {
            return schemas.without(&omitted);
        }
    }
}
