//! Every bound of the compiler, in one place. No schema that a person wrote comes near any of them.

/// The longest schema file, in bytes. A token takes 24 bytes and at least one byte of text, so that a file costs at
/// most some 600 MiB while it is parsed.
pub const FILE_BYTES: usize = 16 << 20;

/// The longest file that `embed` reads, in bytes.
pub const EMBED_BYTES: usize = 32 << 20;

/// How many bytes all files have together.
pub const TOTAL_BYTES: usize = 64 << 20;

/// How many files one run reads, imports included.
pub const FILES: usize = 10_000;

/// How deep declarations nest in each other.
pub const SCOPE_DEPTH: usize = 64;

/// How deep expressions nest: lists in lists, generic parameters in generic parameters, members of members.
pub const EXPRESSION_DEPTH: usize = 64;

/// How many generic parameters a declaration has.
pub const PARAMETERS: usize = 1_000;

/// How many aliases, generic parameters, constants and literals may be followed from one name, one inside the other.
pub const RESOLUTION_DEPTH: usize = 200;

/// How many names are resolved in one run, the parts of generic types counted as well.
pub const RESOLUTIONS: usize = 4_000_000;

/// How many parts one type has, the generic parameters in it counted, and those in them. Aliases of generics that use
/// each other twice double this at each step.
pub const TYPE_PARTS: usize = 10_000;

/// How many words the defaults, constants and annotations of one run may come to, at least one for each value, and each
/// use of a constant counted as if it had been written out. A word costs some 24 bytes while it is compiled.
pub const VALUES: usize = 8 << 20;

/// How many places in structs are looked at in one run, in search of room for the members of unions. A struct with as many
/// fields as fit takes some 17 million at the very most, unless unions in unions have thousands of places to make wider.
pub const LAYOUT_STEPS: u64 = 32 << 20;

/// The longest name, in bytes.
pub const NAME_BYTES: usize = 1_000;

/// How many bytes the names of all nodes of one request come to. Each begins with those of the nodes around it.
pub const NODE_NAMES_BYTES: usize = 64 << 20;

/// How many names are looked at in one run to say which of them may have been meant by one that is not declared; what is
/// wrong after that is told without.
pub const SIMILAR_NAMES: usize = 1 << 20;

/// How many errors are kept; those after them are only counted.
pub const ERRORS: usize = 200;
