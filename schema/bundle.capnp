@0x907e1c56db694d20;
# bundle: what a publisher signs.
#
# A bundle is a tree of files under a name and a version. Its manifest is this message, in Cap'n Proto's canonical form: one segment,
# without a segment table. There is one true encoding of a manifest, and any other is refused; so is one with fields
# that its reader does not know, because a field that is not understood cannot be judged. Canonical form drops what is not set: a
# manifest that makes no use of a later field is the same bytes as before that field was added.
#
# A name is 1 to 128 bytes of `a-z`, `0-9`, `.`, `-` and `_`, begins with a letter, and has no `..`.
#
# The manifest's digest is the BLAKE3 of its bytes. The signature is Ed25519 over the 24 bytes `vatmux bundle manifest 1`
# followed by that digest. A tree's slices need no field here: a BLAKE3 digest is the root of a tree already.

struct Manifest {
  name @0 :Text;
  version @1 :Version;
  publisher @2 :Data;
  # The Ed25519 public key, 32 bytes, in its one canonical form and not of small order.

  treeDigest @3 :Data;
  # BLAKE3, in the key derivation mode, context `vatmux bundle tree 1`, of the entries, one after the other: kind (one byte: 1 directory,
  # 2 file, 3 symlink), mode (2 bytes), length of the path (2 bytes), path, and then of a file the size (8 bytes) and the digest, of a symlink the
  # length of the target (2 bytes) and the target. Numbers are little-endian. Bundles of different names have equal trees if these are equal.

  entries @4 :List(Entry);
  # Strictly ascending by the bytes of their paths, at most 65,536. The directories on the way to an entry are entries themselves; the
  # root is none.
}

struct Version {
  # Ordered by its numbers, the first one first.
  major @0 :UInt32;
  minor @1 :UInt32;
  patch @2 :UInt32;
}

struct Entry {
  path @0 :Text;
  # At most 1,024 bytes, by the rules of packagefs's paths. No two paths differ only in case, or in how they compose their characters.

  mode @1 :UInt16;
  # 0o444, or 0o555 for what may be run or entered. A directory has 0o555, a symlink 0o777.

  union {
    directory @2 :Void;
    file :group {
      sizeBytes @3 :UInt64;
      digest @4 :Data;            # BLAKE3, 32 bytes.
    }
    symlink @5 :Text;
    # Where it points: relative, and inside the bundle. Climbing (`..`) only at its beginning.
  }
}
