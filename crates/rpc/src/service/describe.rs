//! How two nodes find out that they were built from schemas that do not fit.

use std::time::Duration;

use capnp::capability::{Client, FromClientHook, Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, ResultsHook};
use capnp::{Error, MessageSize, any_pointer};

use super::{Descriptor, Digest};
use crate::deadline;
use crate::description_capnp::described;

/// The id of the interface, and its method's number.
const DESCRIBED: u64 = 0xdfa8_96d5_1624_d5d7;
const DESCRIBE: u16 = 0;

/// How long a peer has to say what it serves. Somebody waits to read an error message.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of a peer's words, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// What a peer says that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name of the stream.
    pub service: String,
    /// What a stream begins with.
    pub interface_id: u64,
    /// The name of that.
    pub interface_name: String,
    /// Of the schema.
    pub digest: Digest,
}

/// Asks what is behind a capability that a stream began with.
pub(super) async fn ask(client: &Client) -> capnp::Result<Description> {
    let described: described::Client = FromClientHook::new(client.hook.add_ref());
    let request = described.describe_request();
    let response = deadline::with(PATIENCE, || request.send()).promise.await?;
    let description = response.get()?;
    let digest = description.get_digest()?;
    Ok(Description {
        service: shortened(description.get_service()?),
        interface_id: description.get_interface_id(),
        interface_name: shortened(description.get_interface_name()?),
        digest: Digest(
            digest.try_into().map_err(|_| Error::failed("a digest that has not 32 bytes".to_owned()))?,
        ),
    })
}

fn shortened(text: capnp::text::Reader<'_>) -> String {
    let mut text = String::from_utf8_lossy(text.as_bytes()).into_owned();
    text.truncate(text.floor_char_boundary(MAX_NAME_BYTES));
    text
}

/// A service's capability that can be asked what it is.
pub(crate) struct Described {
    inner: Box<dyn ClientHook>,
    descriptor: &'static Descriptor,
}

impl Described {
    pub(crate) fn client(client: Client, descriptor: &'static Descriptor) -> Client {
        Client::new(Box::new(Self { inner: client.hook, descriptor }))
    }
}

fn describe(descriptor: &Descriptor, mut results: Box<dyn ResultsHook>) -> capnp::Result<()> {
    let mut description: described::describe_results::Builder<'_> = results.get()?.init_as();
    description.set_service(descriptor.name);
    description.set_interface_id(descriptor.interface.id);
    description.set_interface_name(descriptor.interface.name);
    description.set_digest(&descriptor.digest.0);
    let mut methods = description.init_methods(descriptor.interface.methods.len() as u32);
    for (index, method) in (0..).zip(descriptor.interface.methods) {
        methods.set(index, method.name);
    }
    Ok(())
}

impl ClientHook for Described {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(Self { inner: self.inner.add_ref(), descriptor: self.descriptor })
    }

    fn new_call(
        &self,
        interface_id: u64,
        method_id: u16,
        size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        self.inner.new_call(interface_id, method_id, size_hint)
    }

    fn call(
        &self,
        interface_id: u64,
        method_id: u16,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        if (interface_id, method_id) == (DESCRIBED, DESCRIBE) {
            return describe(self.descriptor, results).into();
        }
        self.inner.call(interface_id, method_id, params, results)
    }

    // To everybody else it is the capability itself.

    fn get_brand(&self) -> usize {
        self.inner.get_brand()
    }

    fn get_ptr(&self) -> usize {
        self.inner.get_ptr()
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        None
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        None
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        self.inner.when_resolved()
    }
}
