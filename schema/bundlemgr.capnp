@0xe1a4477b109d302e;
# bundlemgr: signed bundles, installed whole or not at all.
#
# A bundle is a tree of files under a name and a version, with a manifest that its publisher signed (schema/bundle.capnp). Nothing
# of it is visible before all of it was verified: the signature by a publisher whom the node trusts, and the digest of every entry.
#
# A name is 1 to 128 bytes of `a-z`, `0-9`, `.`, `-` and `_`, begins with a letter, has no `..`, and does not end with a dot. A version
# is three numbers, as in `1.2.3`, and not all of them zero: 0.0.0 stands for none.
#
# Room to grow: fields and methods are added at the end. A reader treats a status that it does not know as `ioError`.

using Vatmux = import "vatmux.capnp";
using Version = import "bundle.capnp".Version;

enum Status $Vatmux.status {
  ok @0;
  notFound @1;          # There is no such bundle or version (or the caller may not see it).
  accessDenied @2;      # The caller may not change bundles of this name.
  unsigned @3;          # The manifest has no signature.
  invalidSignature @4;  # The signature is not the publisher's over this manifest.
  unknownPublisher @5;  # The publisher's key is not one that the node trusts.
  downgrade @6;         # A later version is active, and going back was not asked for.
  digestMismatch @7;    # An entry's content, or the whole tree, is not what the manifest says.
  sizeMismatch @8;      # Fewer or more bytes than were announced.
  quotaExceeded @9;     # More than the node, or the caller, may store.
  diskFull @10;         # The disk of the node has no room left.
  busy @11;             # As many installs as may be are under way, or one of the same bundle.
  malformed @12;        # Not a bundle, or a request that makes no sense: the detail says what of it.
  invalidName @13;      # The name or the version breaks the rules above.
  invalidCursor @14;    # The cursor is not one that this method gave.
  alreadyInstalled @15; # This version is there, with another content. With the same content it is `ok`.
  inUse @16;            # The version is active: activate another one, or say that it may be removed all the same.
  ioError @17;          # The storage failed; the detail has its words.
  readOnly @18;         # This store takes no changes.
  damaged @19;          # What is stored is not what was stored; the detail says what, and what to do.
  tooLarge @20;         # More was asked for than one call may carry.
}

struct Bundle {
  name @0 :Text;
  version @1 :Version;
  publisher @2 :Data;           # The Ed25519 public key, 32 bytes.
  treeDigest @3 :Data;          # BLAKE3 of the whole tree, 32 bytes.
  contentBytes @4 :UInt64;      # Of all its files.
  files @5 :UInt32;
  active @6 :Bool;
  installed @7 :Int64;          # Nanoseconds since 1970-01-01T00:00:00Z; 0 where that is not known.
  storedBytes @8 :UInt64;       # Of its content on disk, what nothing else that is installed has.
}

interface BundleMgr $Vatmux.service(name = "vatmux.bundles", priority = 6) {
  # Installs, queries and removes the bundles of a node.

  install @0 (sizeBytes :UInt64, activate :Bool = true, allowDowngrade :Bool = false)
      -> (status :Status, detail :Text, upload :Upload);
  # Takes a packed bundle of exactly `sizeBytes`. What is refused for its size, or because too much is under way, is refused here.

  query @1 (name :Text) -> (status :Status, detail :Text, versions :List(Bundle)) $Vatmux.idempotent;
  # The versions of one bundle, the latest first: all of them, or the 1,024 latest. At most one is active.

  list @2 (cursor :Data, limit :UInt32 = 256)
      -> (status :Status, detail :Text, bundles :List(Bundle), next :Data) $Vatmux.idempotent;
  # One page of all versions of all bundles, by name, the latest version first. `cursor` is empty for the first page and the `next` of the
  # page before for each after it; an empty `next` ends the list. At most 256 to a page. A version that is there during the whole listing is
  # in it exactly once.

  manifest @3 (name :Text, version :Version) -> (status :Status, detail :Text, manifest :Data, signature :Data)
      $Vatmux.bulk $Vatmux.idempotent;
  # The canonical manifest message and its signature, as the publisher made them. No version means the active one. A manifest that is too
  # long for one message, of more than 4 MiB, is `tooLarge`.

  activate @4 (name :Text, version :Version, allowDowngrade :Bool = false) -> (status :Status, detail :Text, before :Version) $Vatmux.limit(calls = 4);
  # Has the bare name mean this version. `before` is the one that it meant.

  uninstall @5 (name :Text, version :Version, evenIfActive :Bool = false)
      -> (status :Status, detail :Text) $Vatmux.limit(calls = 4);
  # Files that are open stay readable until they are closed.

  collect @6 () -> (status :Status, detail :Text, blobs :UInt64, freedBytes :UInt64)
      $Vatmux.deadline(minutes = 10) $Vatmux.limit(calls = 1);
  # Removes the content that no bundle needs. What is open stays readable until it is closed.

  usage @7 () -> (status :Status, detail :Text, bundles :UInt32, storedBytes :UInt64, quotaBytes :UInt64) $Vatmux.idempotent;
}

interface Upload {
  # A bundle on its way in. Dropping it before `finish` drops what was written.

  write @0 (bytes :Data) -> stream $Vatmux.deadline(minutes = 10) $Vatmux.limit(calls = 64, paramsBytes = 1050000);
  # The next bytes, in order, at most 1 MiB; a call is done when its bytes were verified and written. What comes after a refusal is
  # taken and dropped: an exception would be the answer to all later calls, and `finish` could not say why.

  finish @1 () -> (status :Status, detail :Text, bundle :Bundle, wasThere :Bool) $Vatmux.deadline(minutes = 10);
  # Stores and, if it was asked for, activates: when it returns, that is durable. `wasThere` says that the same content was installed before.
  # Dropping an upload that was not finished drops what was written.

  refused @2 () -> (status :Status, detail :Text) $Vatmux.deadline(minutes = 1440);
  # Answers as soon as the upload is refused, with what `finish` would say: the header and the manifest are judged when they are there, so that
  # nobody need send the content of a hopeless upload. `ok` when it was finished, or dropped. Once for each upload.
}
