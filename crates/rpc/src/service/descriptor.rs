//! What a schema says of a service, for those who have to know it while they run.

use std::fmt;
use std::time::Duration;

use vatmux_mux::Priority;

use crate::Options;

/// A service: what its stream is called, and what can be asked of it.
#[derive(Debug)]
pub struct Descriptor {
    /// The name of its stream.
    pub name: &'static str,
    /// The most urgent that its streams may be, and the one that clients connect at.
    pub priority: Priority,
    /// What a stream begins with.
    pub interface: &'static Interface,
    /// Every interface that a capability of the service may have, the first one included.
    pub interfaces: &'static [&'static Interface],
    /// Of the schema of all of them.
    pub digest: Digest,
}

/// An interface of a schema.
#[derive(Debug)]
pub struct Interface {
    /// Its id.
    pub id: u64,
    /// Its name, with those of the scopes that it is in, as in `Outer.Inner`.
    pub name: &'static str,
    /// What the schema says of it.
    pub docs: &'static str,
    /// Its own methods, by ordinal; those that it inherits are its ancestors'.
    pub methods: &'static [Method],
}

/// A method of an interface.
#[derive(Debug)]
pub struct Method {
    /// Its name in the schema.
    pub name: &'static str,
    /// The interface's name.
    pub interface: &'static str,
    /// Its number.
    pub ordinal: u16,
    /// How long its calls may take at either end, where the schema says so. Default: the vat's.
    pub deadline: Option<Duration>,
    /// Two calls do no more than one.
    pub idempotent: bool,
    /// Its calls are answered when there is room for the next one.
    pub streaming: bool,
    /// What one vat may use of it.
    pub limit: Limit,
    /// The struct of its parameters, by its name in the schema.
    pub params: &'static str,
    /// The struct of its results.
    pub results: &'static str,
    /// What the schema says of it.
    pub docs: &'static str,
}

/// What one vat may use of a method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Calls that are under way at a time.
    pub calls: Option<u32>,
    /// Bytes of the parameters of one call.
    pub params_bytes: Option<u64>,
}

impl Limit {
    /// Whatever the vat's own bounds allow.
    pub const NONE: Self = Self { calls: None, params_bytes: None };
}

/// BLAKE2s of a schema: of the interface and of every node that it reaches, without comments and annotations.
///
/// Two nodes whose digests differ may well understand each other, because schemas grow. Where they do not, this says why.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    /// Its first eight bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.interface, self.name)
    }
}

impl Descriptor {
    /// Bounds of a vat of the service: the schema's deadlines, where `options` say nothing else of a method. A peer's vats
    /// have them by themselves.
    #[must_use]
    pub fn bounds(&self, options: &Options) -> Options {
        let mut options = options.clone();
        for interface in self.interfaces {
            for method in interface.methods {
                if let Some(deadline) = method.deadline
                    && options.deadlines.get(interface.id, method.ordinal).is_none()
                {
                    options.deadlines.extend([((interface.id, method.ordinal), deadline)]);
                }
            }
        }
        options
    }

    /// The method that a call names.
    #[must_use]
    pub fn method(&self, interface: u64, ordinal: u16) -> Option<&'static Method> {
        let interface = self.interfaces.iter().find(|candidate| candidate.id == interface)?;
        interface.methods.iter().find(|method| method.ordinal == ordinal)
    }
}
