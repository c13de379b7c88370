//! Verified parts of files.
//!
//! A BLAKE3 digest is the root of a tree over chunks of 1,024 bytes. The chaining values of groups of 64 chunks are kept beside a
//! file that is longer than one group: folded, they must give its digest, and then each proves its group. So a part of a file
//! is verified by reading the groups that it touches and nothing else, and the table need not be trusted.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::digest::Digest;

/// How much of a file is verified at once. Reading a byte costs hashing so much, about 20 µs; a table has a 2,048th of its file.
pub(crate) const GROUP_BYTES: usize = 64 * 1024;

/// The bytes of a chaining value.
pub(crate) const VALUE_BYTES: usize = 32;

/// How many bytes the table of a file has: none where the file is one group, because its digest is that group's.
pub(crate) const fn table_bytes(size_bytes: u64) -> u64 {
    if size_bytes <= GROUP_BYTES as u64 {
        0
    } else {
        size_bytes.div_ceil(GROUP_BYTES as u64) * VALUE_BYTES as u64
    }
}

/// Takes the bytes of a file, and makes its digest and its table of them.
#[derive(Debug)]
pub(crate) struct GroupHasher {
    group: blake3::Hasher,
    in_group: usize,
    size_bytes: u64,
    values: Vec<ChainingValue>,
}

impl GroupHasher {
    pub(crate) fn new() -> Self {
        Self { group: blake3::Hasher::new(), in_group: 0, size_bytes: 0, values: Vec::new() }
    }

    /// The next bytes of the file.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full group is closed by what follows it: the last one may be the root.
            if self.in_group == GROUP_BYTES {
                self.values.push(self.group.finalize_non_root());
                self.group = blake3::Hasher::new();
                self.group.set_input_offset(self.size_bytes);
                self.in_group = 0;
            }
            let (taken, rest) = bytes.split_at(bytes.len().min(GROUP_BYTES - self.in_group));
            self.group.update(taken);
            self.in_group += taken.len();
            self.size_bytes += taken.len() as u64;
            bytes = rest;
        }
    }

    pub(crate) fn finish(mut self) -> GroupTable {
        let digest = if self.values.is_empty() {
            self.group.finalize().into()
        } else {
            self.values.push(self.group.finalize_non_root());
            root(&self.values)
        };
        GroupTable { digest, size_bytes: self.size_bytes, values: self.values }
    }
}

/// A file's digest, its length, and what proves its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupTable {
    digest: Digest,
    size_bytes: u64,
    values: Vec<ChainingValue>,
}

impl GroupTable {
    /// The table that `encoded` is, if it is that of the file with this digest and length.
    pub(crate) fn parse(digest: Digest, size_bytes: u64, encoded: &[u8]) -> Option<Self> {
        if encoded.len() as u64 != table_bytes(size_bytes) {
            return None;
        }
        let (values, _) = encoded.as_chunks::<VALUE_BYTES>();
        if !values.is_empty() && root(values) != digest {
            return None;
        }
        Some(Self { digest, size_bytes, values: values.to_vec() })
    }

    /// The bytes from which [`GroupTable::parse`] makes it again.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        self.values.concat()
    }

    /// The digest of the file.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The length of the file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many bytes group number `group` has.
    pub(crate) fn group_bytes(&self, group: u64) -> usize {
        let begin = group.saturating_mul(GROUP_BYTES as u64);
        self.size_bytes.saturating_sub(begin).min(GROUP_BYTES as u64) as usize
    }

    /// Whether `bytes` are group number `group` of the file.
    pub(crate) fn proves(&self, group: u64, bytes: &[u8]) -> bool {
        if bytes.len() != self.group_bytes(group) {
            return false;
        }
        if self.values.is_empty() {
            return group == 0 && Digest::of(bytes) == self.digest;
        }
        let Some(value) = usize::try_from(group).ok().and_then(|group| self.values.get(group)) else {
            return false;
        };
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(group * GROUP_BYTES as u64).update(bytes);
        hasher.finalize_non_root() == *value
    }
}

/// The root over two groups or more.
fn root(values: &[ChainingValue]) -> Digest {
    let (left, right) = split(values);
    merge_subtrees_root(&fold(left), &fold(right), Mode::Hash).into()
}

/// As deep as the number of values has bits.
fn fold(values: &[ChainingValue]) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = split(values);
    merge_subtrees_non_root(&fold(left), &fold(right), Mode::Hash)
}

/// The left subtree has as many as a power of two can, and leaves some to the right.
fn split(values: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    values.split_at(values.len().next_power_of_two() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at % 251) as u8).collect()
    }

    fn table(bytes: &[u8], piece: usize) -> GroupTable {
        let mut hasher = GroupHasher::new();
        for piece in bytes.chunks(piece) {
            hasher.update(piece);
        }
        hasher.finish()
    }

    #[test]
    fn the_root_over_the_groups_is_the_digest_of_the_file() {
        for groups in 0..=9 {
            for more in [0, 1, 1023, 1024, 1025, GROUP_BYTES - 1] {
                let content = content(groups * GROUP_BYTES + more);
                for piece in [1000, GROUP_BYTES, 3 * GROUP_BYTES + 7] {
                    let table = table(&content, piece);
                    assert_eq!(table.digest(), Digest::of(&content), "{groups} groups and {more}");
                    assert_eq!(table.size_bytes(), content.len() as u64);
                    assert_eq!(table.encoded().len() as u64, table_bytes(table.size_bytes()));
                    let parsed = GroupTable::parse(table.digest(), table.size_bytes(), &table.encoded());
                    assert_eq!(parsed, Some(table));
                }
            }
        }
    }

    #[test]
    fn each_group_is_proved_alone_and_no_other_bytes_are() {
        for size in [0, 1, GROUP_BYTES, 2 * GROUP_BYTES + 5] {
            let content = content(size);
            let table = table(&content, 4096);
            for (group, bytes) in (0..).zip(content.chunks(GROUP_BYTES)) {
                assert!(table.proves(group, bytes));
                assert!(!table.proves(group + 1, bytes));
                assert!(!table.proves(group, &bytes[1..]));
                let mut wrong = bytes.to_vec();
                wrong[bytes.len() / 2] ^= 1;
                assert!(!table.proves(group, &wrong));
            }
            assert!(!table.proves(u64::MAX, b""));
        }
        assert!(table(b"", 1).proves(0, b""));
    }

    #[test]
    fn test_reject_tables_of_another_file() {
        let table = table(&content(3 * GROUP_BYTES), 4096);
        let encoded = table.encoded();
        for at in 0..encoded.len() {
            let mut wrong = encoded.clone();
            wrong[at] ^= 0x80;
            assert_eq!(GroupTable::parse(table.digest(), table.size_bytes(), &wrong), None, "{at}");
        }
        for wrong in [&encoded[32..], &[], &encoded[1..]] {
            assert_eq!(GroupTable::parse(table.digest(), table.size_bytes(), wrong), None);
        }
        let swapped = [&encoded[32..64], &encoded[..32], &encoded[64..]].concat();
        assert_eq!(GroupTable::parse(table.digest(), table.size_bytes(), &swapped), None);
    }
}
