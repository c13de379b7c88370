@0xd8fc947ffb66ac8c;
# samgr: who offers what, now.
#
# A node's registry of live capabilities. A provider registers one under a name and holds a handle; when the handle is dropped, or the provider's
# session or process ends, the name is gone. Whoever resolves the name gets the capability itself, and may call it in the same
# breath: a call pipelined on the result costs no further round trip.
#
# A name is UTF-8 of 1 to 255 bytes without blanks and control characters. What the caller may not see looks as if it were not there.
#
# Every change has a revision, larger than that of the change before it, and every registration a generation: two registrations of one
# name are never mistaken for each other. Both begin anew with the registry, whose `epoch` says so. They count the changes of all: who
# sees few of them can tell that there were others, not which.
#
# Room to grow: fields and methods are added at the end. A reader treats a status that it does not know as `ioError`.

using Vatmux = import "vatmux.capnp";

enum Status $Vatmux.status {
  ok @0;
  notFound @1;          # Nobody offers this (or the caller may not see it).
  accessDenied @2;      # The caller may not register this name.
  alreadyRegistered @3; # The name is taken, and either of the two refuses the replacement.
  invalidName @4;       # The name breaks the rules above.
  malformed @5 $Vatmux.malformed;  # The request makes no sense: the detail says what of it.
  tooMany @6;           # The caller, or all together, hold as many registrations, waits or watches as they may.
  timedOut @7;          # Nobody registered the name in time.
  gone @8;              # The registration was replaced, or has expired.
  invalidCursor @9;     # The cursor is not one that this listing gave.
  ioError @10;          # Something failed; the detail has its words.
}

enum Conflict {
  refuse @0 $Vatmux.unknown;  # Where the name is taken, this registration fails.
  replace @1;           # Where it is taken by a registration of the same node that is replaceable, that one is gone.
}

struct Policy {
  conflict @0 :Conflict;
  replaceable @1 :Bool;         # Whether a later registration of the same node may replace this one.
  heartbeatMillis @2 :UInt32;
  # If not 0, the registration is gone when so much time passes without a heartbeat, though its session lives.
}

struct Descriptor {
  # What is known of what is offered. The interface, the digest and the version are the provider's words, the rest is the registry's.
  name @0 :Text;
  interfaceId @1 :UInt64;       # 0 where the provider did not say.
  schemaDigest @2 :Data;        # BLAKE2s of the schema, of 32 bytes, as vatmux-build has it; empty where the provider did not say.
  version @3 :Text;             # At most 64 bytes; empty where the provider did not say.
  node @4 :Text;                # Who offers it: the id that the channel proved.
  generation @5 :UInt64;
  revision @6 :UInt64;          # Of the change that registered it.
  priority @7 :UInt8;           # Of the service's own stream, for a service of the node itself.
  local @8 :Bool;               # A service of the node itself, which also has a stream of its name.
}

enum Reason {
  other @0 $Vatmux.unknown;
  dropped @1;           # The provider let go of its handle, or of its stream to the registry.
  disconnected @2;      # The provider's session ended.
  replaced @3;
  expired @4;           # No heartbeat came in time.
}

struct Change {
  revision @0 :UInt64;
  union {
    registered @1 :Descriptor;
    unregistered :group {
      name @2 :Text;
      generation @3 :UInt64;
      reason @4 :Reason;
    }
  }
}

interface Samgr $Vatmux.service(name = "vatmux.samgr", priority = 1) {
  register @0 (name :Text, service :Capability, policy :Policy, descriptor :Descriptor)
      -> (status :Status, detail :Text, registration :Registration, generation :UInt64, revision :UInt64);
  # Offers `service`, a capability of the caller's, under `name` for as long as `registration` is held. Of `descriptor` the interface, the
  # digest and the version are used. Those who call it come by way of the registry's node: it is the one that the provider sees.

  resolve @1 (name :Text) -> (status :Status, detail :Text, service :Capability, descriptor :Descriptor)
      $Vatmux.idempotent;
  # The capability itself. Calls on it after its provider died fail as disconnected: resolve the name again. A service of the
  # node itself is as if it came by its own stream, except that it shares the priority of this one: bulk belongs on the other.

  waitFor @2 (name :Text, timeoutMillis :UInt32)
      -> (status :Status, detail :Text, service :Capability, descriptor :Descriptor)
      $Vatmux.idempotent $Vatmux.deadline(minutes = 11);
  # As `resolve`, as soon as somebody offers the name. At most 10 minutes, else `malformed`. What is called on the result before it is
  # there waits as well, by its own deadline.

  list @3 (prefix :Text, cursor :Data, limit :UInt32 = 256)
      -> (status :Status, detail :Text, services :List(Descriptor), next :Data, revision :UInt64, epoch :UInt64)
      $Vatmux.bulk $Vatmux.idempotent;
  # One page of what the caller may see, ordered by name. At most 256 to a page. `cursor` is empty for the first page and the `next` of
  # the page before for each page after it; an empty `next` ends the listing.

  watch @4 (prefix :Text, watcher :Watcher, since :UInt64, epoch :UInt64)
      -> (status :Status, detail :Text, watch :Watch, epoch :UInt64);
  # Tells `watcher` of what there is, then that this was all, then of each change, in order, each once, until `watch` is dropped.
  # A watcher that leaves a call unanswered for 30 s is let go of when there is something to tell it, and at once when the caller's session ends.
  #
  # Where `since` is not 0, the watcher knows the state at that revision of that `epoch`: it is told of the changes since, and then
  # `current`. Where those are not known (any more), it hears `compacted` first, and then what there is.
}

interface Registration {
  heartbeat @0 () -> (status :Status, detail :Text) $Vatmux.idempotent;
  # That the provider is still alive and well. `gone` when the registration is no more.
}

interface Watch {
  # Dropping it ends the watch.
}

interface Watcher {
  changes @0 (changes :List(Change)) -> stream;
  # The next changes, at most 64. Before the first `current`, and after each `compacted`: one `registered` for each service that there is.

  current @1 (revision :UInt64) -> stream;
  # The marker: what came before is the state at this revision, what comes after are changes.

  compacted @2 (revision :UInt64) -> stream;
  # The watcher was too slow, and changes up to this revision were dropped for it: what it knows counts no more. The state of now follows,
  # and another `current`.
}
