//! What the serving side has when a claim is put to the test: real services, on what they keep things on.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use tempfile::TempDir;
use vatmux::bundle;
use vatmux::bundlemgr::Rights;
use vatmux::packagefs::{self, Tree};
use vatmux::statefs::{self, Access, Condition, OpenOptions, Right, Store};

use crate::device::Device;

/// Which services there are, and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// What every node has.
    Nothing,
    /// A store with a few keys, for somebody who may do everything.
    State,
    /// The same, for somebody who may see `shared/` and change `guest/`.
    StateOfAGuest,
    /// A store that may hold 100,000 bytes.
    SmallState,
    /// A store that keeps nothing in memory.
    UncachedState,
}

const SCENES: [Scene; 5] =
    [Scene::Nothing, Scene::State, Scene::StateOfAGuest, Scene::SmallState, Scene::UncachedState];

impl Scene {
    pub(crate) fn named(name: &str) -> Self {
        let found = SCENES.into_iter().find(|scene| format!("{scene:?}") == name);
        found.unwrap_or_else(|| panic!("no scene is called {name:?}"))
    }
}

/// The services of a scene.
pub(crate) struct Set {
    /// Dropped before its store is.
    device: Option<Grip>,
    pub(crate) state: Option<Store>,
    pub(crate) access: Access,
    pub(crate) tree: Option<Arc<Tree>>,
    pub(crate) limits: packagefs::Limits,
    pub(crate) bundles: Option<Arc<bundle::Store>>,
    pub(crate) rights: Rights,
    pub(crate) upload_patience: Duration,
    folder: Option<TempDir>,
}

impl Set {
    fn empty() -> Self {
        Self {
            state: None,
            access: Access::full(),
            device: None,
            tree: None,
            limits: packagefs::Limits::default(),
            bundles: None,
            rights: Rights::Change,
            upload_patience: Duration::from_mins(1),
            folder: None,
        }
    }

    pub(crate) fn build(scene: Scene) -> Self {
        match scene {
            Scene::Nothing => Self::empty(),
            Scene::State => Self::with_state(OpenOptions::default()),
            Scene::StateOfAGuest => {
                let prefix = |prefix: &str| prefix.parse().expect("a prefix");
                let access =
                    Access::none().and(prefix("shared/"), Right::Read).and(prefix("guest/"), Right::Write);
                Self { access, ..Self::with_state(OpenOptions::default()) }
            }
            Scene::SmallState => {
                let limits = statefs::Limits { value_bytes: 100_000, keys: 100 };
                Self::with_state(OpenOptions { limits, ..OpenOptions::default() })
            }
            Scene::UncachedState => {
                Self::with_state(OpenOptions { cache_bytes: 0, ..OpenOptions::default() })
            }
        }
    }

    fn with_state(options: OpenOptions) -> Self {
        let device = Arc::new(Device::default());
        let store = Store::open(device.clone(), options).expect("a store");
        for (name, value) in crate::statefs::BEFORE {
            let put = store.put(name.parse().expect("a key"), value.to_vec(), Condition::Any);
            block_on(put).expect("there is room");
        }
        Self { state: Some(store), device: Some(Grip(device)), ..Self::empty() }
    }

    /// Lets go on what waits for a device.
    pub(crate) fn open(&self) {
        if let Some(device) = &self.device {
            device.0.open();
        }
    }

    /// What a scene is told beyond what all are.
    pub(crate) fn take(&self, what: &str, rest: &str) -> String {
        match (what, rest) {
            ("device", "hold") => self.device().hold(),
            ("device", trouble) => self.device().suffer(trouble),
            _ => panic!("no scene takes the cue {what:?} {rest:?}"),
        }
        String::new()
    }

    fn device(&self) -> &Device {
        &self.device.as_ref().expect("a scene with a device").0
    }
}

/// A device of a store that is on it. A store that is dropped waits for its writer, which waits for the device.
struct Grip(Arc<Device>);

impl Drop for Grip {
    fn drop(&mut self) {
        self.0.open();
    }
}
