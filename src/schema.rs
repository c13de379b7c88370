//! What the build script generates from `schema/*.capnp`: readers, builders, clients and server traits.
//!
//! The documentation of each service is in its schema.

/// Lints are ours to obey, not the generator's.
macro_rules! generated {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            unreachable_pub,
            unused_qualifications,
            clippy::all,
            clippy::pedantic,
            clippy::unimplemented
        )]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($name), ".rs"));
        }
    };
}

generated!(
    /// `schema/health.capnp`: whether a node answers, and how fast.
    health_capnp
);
generated!(
    /// `schema/packagefs.capnp`: read-only content, addressed by path.
    packagefs_capnp
);
