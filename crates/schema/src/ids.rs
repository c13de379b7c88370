//! Ids: new ones, and those of what has none of its own, which are derived from the parent's id by MD5, so that they are the same everywhere.

/// A new id, for a file or whatever else is to have one of its own.
#[must_use]
pub fn new_id() -> u64 {
    // The keys of a new hasher are as random as the system makes them, and no two are the same.
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id()) | 1 << 63
}

/// The id of what is declared as `name` in the node with the id `parent`.
pub(crate) fn of_child(parent: u64, name: &str) -> u64 {
    hash(&[&parent.to_le_bytes(), name.as_bytes()])
}

/// The id of the group that is the field at `index` of the struct or group with the id `parent`.
pub(crate) fn of_group(parent: u64, index: u16) -> u64 {
    hash(&[&parent.to_le_bytes(), &index.to_le_bytes()])
}

/// The id of the struct that the parameters, or else the results, of the method with this ordinal are.
pub(crate) fn of_parameters(interface: u64, ordinal: u16, results: bool) -> u64 {
    hash(&[&interface.to_le_bytes(), &ordinal.to_le_bytes(), &[u8::from(results)]])
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut context = md5::Context::new();
    for part in parts {
        context.consume(part);
    }
    let digest = context.finalize().0;
    digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)) | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;

    // What capnp 0.9.2 makes of `struct Point` with two fields, a group and a union, and of a method.

    #[test]
    fn a_childs_id_hashes_its_parent_and_name() {
        assert_eq!(of_child(0xbf51_47cb_becf_40c1, "Point"), 10_321_141_360_927_894_358);
    }

    #[test]
    fn a_groups_id_hashes_its_parent_and_index() {
        assert_eq!(of_group(10_321_141_360_927_894_358, 2), 10_225_315_256_933_806_956);
        assert_eq!(of_group(10_321_141_360_927_894_358, 3), 17_219_005_202_162_102_495);
    }

    #[test]
    fn the_id_of_parameters_hashes_the_interface_and_ordinal() {
        assert_eq!(of_parameters(13_785_878_874_762_985_673, 0, false), 16_404_746_664_005_952_336);
        assert_eq!(of_parameters(13_785_878_874_762_985_673, 0, true), 9_264_366_732_719_056_006);
    }
}
