@0xd99e88e0faa7ac6e;
# packagefs: read-only content, addressed by path.
#
# What a path names is the server's choice: a tree backed by a directory, or bundles. Of these the first segment is `BUNDLE`, which means
# the active version, or `BUNDLE@VERSION`, and the rest is a path inside it; the root lists each version once, the active one by the
# bare name. A client that walks, stats and reads needs to know neither.
#
# Paths are relative to the root: UTF-8, segments separated by `/`, at most 4,096 bytes in all and 255 in a segment. The
# empty path is the root. No segment is empty, `.` or `..`; none holds NUL or a backslash. A path that breaks this is
# answered with `invalidPath`, before anything is looked up.
#
# What may be expected to go wrong is a `Status`, with a `detail` in words where the status alone does not say it. An
# exception means that something is broken: the link, the server, or the caller's use of the protocol. A capability in a
# result is null unless the status is `ok`; calls pipelined on a null one fail with an exception: the status says why.
#
# Room to grow: fields and methods are added at the end of their struct or interface. A reader treats a status or a kind
# that it does not know as `ioError` and `other`.

using Vatmux = import "vatmux.capnp";

enum Status $Vatmux.status {
  ok @0;
  notFound @1;          # Nothing has this path (or a directory on the way to it is missing).
  notADirectory @2;     # A segment that must be a directory is something else.
  isADirectory @3;      # A file was asked for; this is a directory.
  notAFile @4;          # A file was asked for; this is a FIFO, a socket or a device, and those are never opened.
  outsideRoot @5;       # A symbolic link on the path leads out of the root.
  linkLoop @6;          # Too many symbolic links on the path.
  invalidPath @7 $Vatmux.malformed;  # The path breaks the rules above.
  invalidCursor @8;     # The cursor is not one that this method gave.
  accessDenied @9;      # The server may not read this.
  tooLarge @10;         # The caller asked for more than one call may carry; see the limits of each method.
  tooManyOpen @11;      # The caller holds as many open files as it may; drop some.
  changed @12;          # The file became shorter than it was said to be while it was read.
  sinkFailed @13;       # The caller's own sink refused the bytes.
  ioError @14;          # The storage failed; the detail has its words.
  integrityViolation @15; # What is stored is not what its publisher signed.
}

enum Kind {
  other @0 $Vatmux.unknown;  # A FIFO, a socket, a device: listed, never opened.
  file @1;
  directory @2;
  symlink @3;
}

struct Attributes {
  kind @0 :Kind;
  mode @1 :UInt16;
  # The lower nine bits of the POSIX mode (`rwxrwxrwx`). A server without them says 0o444, or 0o555 for what may be run
  # or entered.
  sizeBytes @2 :UInt64;
  # Of a file, its length. Of anything else, 0.
  modified @3 :Int64;
  # Nanoseconds since 1970-01-01T00:00:00Z, negative before; 0 where it is not known.
  linkTarget @4 :Text;
  # Of a symlink, where it points, as it is written there: the target may be absolute, may lie outside and may not
  # exist. Empty where that is not UTF-8.
}

struct Entry {
  name @0 :Text;        # One valid path segment.
  attributes @1 :Attributes;
}

interface PackageFs $Vatmux.service(name = "vatmux.packagefs", priority = 5) {
  # A tree of files, to be read. Paths are relative to its root.

  stat @0 (path :Text, followLinks :Bool = false) -> (status :Status, detail :Text, attributes :Attributes)
      $Vatmux.idempotent;
  # What `path` names. A symbolic link as its last segment is followed only on request; one before it always is, as long
  # as it stays inside the root.

  list @1 (path :Text, cursor :Data, limit :UInt32 = 1000)
      -> (status :Status, detail :Text, entries :List(Entry), next :Data, omitted :UInt32)
      $Vatmux.bulk $Vatmux.idempotent;
  # One page of the directory's entries, ordered by the bytes of their names. Links on the path are followed inside the
  # root, the last one included; an entry that is a link is described as the link that it is.
  #
  # `cursor` is empty for the first page and the `next` of the page before for each page after it; an empty `next` ends
  # the listing. A page has at most `limit` entries, never more than 1,000, and about 512 KiB at most; it may have fewer
  # and even none before the end.
  #
  # Cursors never go stale: an entry that was there during the whole listing is in it exactly once, whatever was added
  # and removed meanwhile. `omitted` counts the entries that were left out of this page because no valid path could name
  # them; the first page counts them for the whole directory.

  open @2 (path :Text) -> (status :Status, detail :Text, attributes :Attributes, file :File)
      $Vatmux.idempotent;
  # Opens a file; links are followed inside the root. The file stays readable until the capability is dropped, even if
  # its name is removed meanwhile. A server bounds how many files a caller may have open at once, to 256 by default.

  readSmall @3 (path :Text, limit :UInt32 = 65536)
      -> (status :Status, detail :Text, attributes :Attributes, content :Data, file :File)
      $Vatmux.bulk $Vatmux.idempotent;
  # Open, stat and read in one round trip. `content` is the first `limit` bytes of the file, or all of it when it is no
  # longer than that; `file` is set only when there is more. `limit` is at most 262,144, else `tooLarge`.
}

interface File {
  # A file that was opened: it stays what it was, whatever becomes of its name.

  stat @0 () -> (status :Status, detail :Text, attributes :Attributes) $Vatmux.idempotent;
  # What it is now: a file that is still written to grows.

  read @1 (offset :UInt64, length :UInt32) -> (status :Status, detail :Text, data :Data)
      $Vatmux.bulk $Vatmux.idempotent;
  # The bytes at `offset`: as many as asked for, or fewer where the file ends, none past its end. `length` is at most
  # 1,048,576, else `tooLarge`.

  stream @2 (offset :UInt64, length :UInt64 = 0xffffffffffffffff, sink :ByteSink, chunkBytes :UInt32 = 130048)
      -> (status :Status, detail :Text, sentBytes :UInt64)
      $Vatmux.bulk $Vatmux.deadline(minutes = 43200);
  # Writes the bytes from `offset` to the sink, up to `length` of them or to the end that the file had when the call
  # began, at the pace at which the sink takes them. When all were taken it calls `end`, and
  # returns after `end` did. A stream that does not end with `ok` has no `end`. It lasts as long as its bytes take: it is
  # not a call to be cut off by the clock alone.
  #
  # A `write` carries at most `chunkBytes`, of which fewer than 4,096 count as that; a server may send less at a time, and
  # sends no more than 1 MiB. Long chunks cost both ends less; whoever takes only shorter messages does not ask for them.
  # With what RPC puts around it a chunk of 127 or 255 KiB fits two or four records of the link, and one of 128 three.
}

interface ByteSink $Vatmux.deadline(minutes = 60) {
  # Who takes the bytes may be a person who reads a page at a time; that the peer itself is gone shows in its session much
  # earlier.

  write @0 (bytes :Data) -> stream;
  # The next bytes, in order, and at least one. An exception ends the stream.

  end @1 (totalBytes :UInt64) -> ();
  # There are no more bytes, and so many were written. Returns when all of them have been taken.
}
