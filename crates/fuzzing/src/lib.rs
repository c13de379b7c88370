//! What each fuzz target does with the bytes that it is given, and what must hold whatever they are.
//!
//! The bodies are ordinary functions, so that the same bytes mean the same in three places: under libFuzzer (`fuzz/`,
//! run by `cargo xtask fuzz`), in the replay of the committed corpora by `cargo test`, and in a debugger. A body is
//! total and deterministic: it returns, or it panics because a promise was broken.
//!
//! | target | bytes are | what must hold |
//! |---|---|---|
//! | [`BundleUnpack`](Target::BundleUnpack) | a packed bundle, or a manifest, cut anywhere | what is taken for one is written back as it was, and does not depend on how it was cut |
//! | [`MuxDecoder`](Target::MuxDecoder) | frames, a hello, a name | each is judged as the specification says, and what is accepted is written back as it was |
//! | [`MuxEngine`](Target::MuxEngine) | what arrives at a session, cut anywhere, and what its application does | bounds, a typed end, nothing after it, and no difference between storages or ways to cut |
//! | [`MuxOperations`](Target::MuxOperations) | the choices of a run of the simulator | all that its oracle checks |
//! | [`NoiseHandshake`](Target::NoiseHandshake) | what happens to the messages of two honest ends on the way | a handshake completes with the right peer, over the bytes that were sent, or not at all |
//! | [`NoiseRecords`](Target::NoiseRecords) | what happens to records on the way | a record opens once, in its place, unchanged, or never |
//! | [`RpcGuard`](Target::RpcGuard) | what arrives at a vat that serves | bounded memory, an end with a name, nothing held after it |
//! | [`SchemaCompile`](Target::SchemaCompile) | schemas that may import each other | a whole request or a reason with its place, each time the same |

mod bundle_unpack;
// The tests of vats have the server and the peer that the target needs.
#[path = "../../rpc/tests/common/mod.rs"]
mod common;
mod decoder;
mod engine;
mod handshake;
mod records;
#[path = "../../rpc/tests/random/corrupt.rs"]
mod rpc_guard;
mod schema;
mod script;
mod witness;

use vatmux_sim::Case;

/// A fuzz target: the name of a file in `fuzz/fuzz_targets` and of a directory in `fuzz/corpus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The readers of packed bundles and manifests.
    BundleUnpack,
    /// The parsers of frames, hellos and names.
    MuxDecoder,
    /// One session and a peer that sends any bytes.
    MuxEngine,
    /// A run of the simulator.
    MuxOperations,
    /// Two handshakes and whoever is between them.
    NoiseHandshake,
    /// Records and whoever carries them.
    NoiseRecords,
    /// A vat that serves, and a peer that sends any bytes.
    RpcGuard,
    /// The schema compiler, and whoever writes schemas.
    SchemaCompile,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 8] = [
        Self::BundleUnpack,
        Self::MuxDecoder,
        Self::MuxEngine,
        Self::MuxOperations,
        Self::NoiseHandshake,
        Self::NoiseRecords,
        Self::RpcGuard,
        Self::SchemaCompile,
    ];

    /// The name, as files and directories have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BundleUnpack => "bundle_unpack",
            Self::MuxDecoder => "mux_decoder",
            Self::MuxEngine => "mux_engine",
            Self::MuxOperations => "mux_operations",
            Self::NoiseHandshake => "noise_handshake",
            Self::NoiseRecords => "noise_records",
            Self::RpcGuard => "rpc_guard",
            Self::SchemaCompile => "schema_compile",
        }
    }

    /// Does with `bytes` what the target does with them.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn run(self, bytes: &[u8]) {
        match self {
            Self::BundleUnpack => bundle_unpack::run(bytes),
            Self::MuxDecoder => decoder::run(bytes),
            Self::MuxEngine => engine::run(bytes),
            Self::MuxOperations => {
                if let Err(failure) = vatmux_sim::replay(Case::from_bytes(bytes)) {
                    panic!("{failure}");
                }
            }
            Self::NoiseHandshake => handshake::run(bytes),
            Self::NoiseRecords => records::run(bytes),
            // Who fuzzes bounds the heap of the whole process.
            Self::RpcGuard => rpc_guard::feed(bytes, || 0),
            Self::SchemaCompile => schema::run(bytes),
        }
    }
}
