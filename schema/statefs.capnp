@0xf559961b0a4a2a74;
# statefs: durable keys and values.
#
# A key is UTF-8 of 1 to 255 bytes, segments separated by `/`, none of them empty, `.` or `..`; none holds NUL or a backslash. A key
# that breaks this is answered with `invalidKey` (or `keyTooLong`), before anything is looked up. What the caller may not
# see looks as if it were not there.
#
# Every value has a version: a number that the store gives out, larger than all that it gave out before. Zero is no version: it stands
# for "there is no such key". An acknowledged change is durable: it survives the loss of the process and of power.
#
# What may be expected to go wrong is a `Status`, with a `detail` in words where the status alone does not say it. An exception means
# that something is broken: the link, the server, or the caller's use of the protocol. Results other than `status` and `detail`
# hold nothing unless the status is `ok`, except where it is said.
#
# Room to grow: fields and methods are added at the end of their struct or interface. A reader treats a status that it does
# not know as `ioError`. Changes that are applied exactly once across a reconnect will name their client and their number in further
# parameters.

using Vatmux = import "vatmux.capnp";
using PackageFs = import "packagefs.capnp";

enum Status $Vatmux.status {
  ok @0;
  notFound @1;          # There is no such key (or the caller may not see it).
  accessDenied @2;      # The caller may see this, and not change it.
  valueTooLarge @3;     # The value is larger than this method, or the store, takes.
  keyTooLong @4;        # Longer than 255 bytes.
  invalidKey @5 $Vatmux.malformed;  # The key, or the prefix, breaks the rules above.
  malformed @6;         # The request makes no sense: the detail says what of it.
  ioError @7;           # The storage failed; the detail has its words.
  unsupported @8;       # This store does not do that.
  integrityViolation @9;# What was stored is not what was read.
  rollbackDetected @10; # The store is older than one that its owner has seen.
  transactionLimit @11; # More operations, or more bytes, than a transaction takes.
  quotaExceeded @12;    # The caller, or the store, has no room left.
  versionMismatch @13;  # The key's version is not the one that was asked for; `version` says which it is.
  invalidCursor @14;    # The cursor is not one that this method gave.
  busy @15;             # As many uploads, or transactions, as there may be are under way; try later.
}

struct Entry {
  key @0 :Text;
  version @1 :UInt64;
  sizeBytes @2 :UInt64;
}

struct Condition {
  # What must hold of a key for a change to be made. A change whose condition does not hold changes nothing.
  union {
    any @0 :Void;             # Nothing.
    absent @1 :Void;          # There is no such key.
    present @2 :Void;         # There is such a key, of any version.
    version @3 :UInt64;       # The key has this version; 0 means the same as `absent`.
  }
}

struct Operation {
  # One step of a transaction.
  key @0 :Text;
  condition @1 :Condition;
  union {
    check @2 :Void;           # Changes nothing: only the condition counts.
    put @3 :Data;             # At most 64 KiB.
    delete @4 :Void;          # Of a key that is not there: nothing, unless the condition says otherwise.
  }
}

interface StateFs $Vatmux.service(name = "vatmux.state", priority = 2) {
  # Durable keys and values, each with a version.

  get @0 (key :Text, limit :UInt32 = 65536)
      -> (status :Status, detail :Text, version :UInt64, sizeBytes :UInt64, value :Data)
      $Vatmux.bulk $Vatmux.idempotent;
  # The value. `limit` is at most 65,536; of a larger value the status is `valueTooLarge`, `version` and `sizeBytes` are set, and
  # `read` gets it.

  read @1 (key :Text, sink :PackageFs.ByteSink)
      -> (status :Status, detail :Text, version :UInt64, sizeBytes :UInt64)
      $Vatmux.deadline(minutes = 60) $Vatmux.limit(calls = 16);
  # Writes a value of any size to the sink, as it was when the call began, at the pace at which the sink takes it. When all of
  # it was taken it calls `end`, and returns after `end` did; a read that does not end with `ok` has no `end`.

  put @2 (key :Text, value :Data, condition :Condition)
      -> (status :Status, detail :Text, version :UInt64) $Vatmux.bulk;
  # At most 65,536 bytes. `version` is the new one, or, where the condition does not hold, the one that the key has.

  write @3 (key :Text, sizeBytes :UInt64, condition :Condition) -> (status :Status, detail :Text, upload :Upload);
  # A value of up to 64 MiB, in pieces. Nothing of it is seen before `commit` returned, and then all of it.

  delete @4 (key :Text, condition :Condition)
      -> (status :Status, detail :Text, version :UInt64) $Vatmux.bulk;
  # `version` is that of what was deleted, or, where the condition does not hold, the one that the key has. Deleting what is not
  # there is `notFound`.

  list @5 (prefix :Text, cursor :Data, limit :UInt32 = 1000)
      -> (status :Status, detail :Text, entries :List(Entry), next :Data)
      $Vatmux.bulk $Vatmux.idempotent;
  # One page of the keys that begin with `prefix` (an empty one begins all), ordered by their bytes. `cursor` is empty for the first page and
  # the `next` of the page before for each after it; an empty `next` ends the listing. A key that is there during the whole listing is in it
  # exactly once. At most 1,000 to a page.

  transact @6 (operations :List(Operation))
      -> (status :Status, detail :Text, failed :UInt32, versions :List(UInt64)) $Vatmux.bulk;
  # All or nothing, and seen by nobody half-done. At most 64 operations on different keys, and 256 KiB of values. Where it fails, `failed` is the
  # operation that is to blame, counted from 1, or 0 where it is the whole; where it does not, `versions` has each key's version after it, 0 where there is none.

  sync @7 () -> (status :Status, detail :Text, version :UInt64);
  # Returns when everything that the store has taken before this call is durable, with the last version given out.

  usage @8 (prefix :Text)
      -> (status :Status, detail :Text, keys :UInt64, valueBytes :UInt64, quotaBytes :UInt64) $Vatmux.idempotent;
  # Of the keys that begin with `prefix` and that the caller may see. `quotaBytes` is how much the caller may store, 0 where nobody bounds it but the disk.

  narrow @9 (prefix :Text, readOnly :Bool) -> (status :Status, detail :Text, state :StateFs);
  # The same store, seen through a prefix: whoever has the result can see no other keys and, if it is `readOnly`, change none. Keys
  # are named in full all the same.

  since @10 (mark :Data) -> (status :Status, detail :Text, state :StateFs, mark :Data) $Vatmux.idempotent;
  # The same store, if it still has all that it had given out when it gave this mark; else `rollbackDetected`: an older copy of it was put in
  # its place, or another store, also where it has been changed since and its versions are beyond those of the mark. A store does not go
  # back while it is served, so that asking once on each new session is enough. An empty mark is about nothing, and always `ok`. The `mark` in
  # the results is about all that was acknowledged before this call: whoever keeps it where the node's owner cannot reach can tell.
}

interface Upload $Vatmux.deadline(minutes = 60) {
  # A value on its way in. Nothing of it is seen before `commit` returned.

  write @0 (bytes :Data) -> stream;
  # The next bytes, in order, at most 1 MiB. A write that the store refuses ends the upload; `commit` says why.

  commit @1 () -> (status :Status, detail :Text, version :UInt64);
  # Stores what was written, if it is as many bytes as were announced and the condition holds still. Dropping an upload that was not
  # committed drops what was written.
}
