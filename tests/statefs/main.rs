//! statefs as its clients see it: what each method does, what it refuses, and who may do what.

mod access;
mod calls;
mod linked;
mod rejects;

use std::sync::Arc;

use futures::executor::block_on;
use tempfile::TempDir;
use vatmux::schema::statefs::StateFs;
use vatmux::service::Stub;
use vatmux::statefs::{
    Access, Client, Condition, FileDevice, Key, OpenOptions, Prefix, RequestError, Server, Status, Store,
    Value,
};

/// A store in a temporary directory.
struct Kept {
    store: Store,
    _directory: TempDir,
}

impl Kept {
    fn new() -> Self {
        Self::with(OpenOptions::default())
    }

    fn with(options: OpenOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let device = FileDevice::open(&directory.path().join("statefs")).unwrap();
        Self { store: Store::open(Arc::new(device), options).unwrap(), _directory: directory }
    }

    /// The capability of somebody with this access.
    fn stub(&self, access: Access) -> StateFs {
        StateFs::serve(Server::new(self.store.clone(), access))
    }

    fn client(&self, access: Access) -> Client {
        Client::new(self.stub(access))
    }
}

fn key(key: &str) -> Key {
    key.parse().unwrap()
}

fn prefix(prefix: &str) -> Prefix {
    prefix.parse().unwrap()
}

fn put(client: &Client, name: &str, value: &[u8]) -> Result<u64, RequestError> {
    block_on(client.put(&key(name), value, Condition::Any)).map(vatmux::statefs::Version::get)
}

fn get(client: &Client, name: &str) -> Option<Vec<u8>> {
    let value: Option<Value> = block_on(client.get(&key(name))).unwrap();
    value.map(|value| value.bytes)
}

fn status<T>(answer: Result<T, RequestError>) -> Option<Status> {
    answer.err().and_then(|error| error.status())
}
