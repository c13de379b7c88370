//! What the serving side has when a claim is put to the test: real services, on what they keep things on.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures::executor::block_on;
use tempfile::TempDir;
use vatmux::bundle::{self, Access as Store, InstallOptions, Rights, StoreOptions, Trust};
use vatmux::bundlemgr::Installs;
use vatmux::packagefs::{self, Tree};
use vatmux::samgr::{self, Registry};
use vatmux::statefs::{self, Access, Condition, OpenOptions, Right};

use crate::device::Device;
use crate::packed;

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
    /// A directory with one of everything.
    Directory,
    /// The same, of which a vat may have one file open.
    DirectoryOfOneFile,
    /// Bundles as files: `org.example`.
    Bundled,
    /// Two versions of `org.example`, of which the later one is active, for somebody who may do everything.
    Bundles,
    /// The same, for somebody who may look.
    BundlesToLookAt,
    /// The same, for somebody who may install bundles of other names.
    BundlesOfOthers,
    /// The same, in a store that takes no changes.
    BundlesToRead,
    /// The same, in a store that may hold 1,000 bytes.
    FewBundles,
    /// The same, in a store that trusts nobody any more.
    BundlesOfNobody,
    /// The same, and of the earlier version the head is damaged.
    BundlesWithoutHead,
    /// A bundle whose manifest is longer than an answer.
    LargeManifest,
    /// A registry, for somebody who may do everything.
    Registry,
    /// A registry, for somebody who may see `shared.` and register under `guest.`.
    RegistryOfAGuest,
    /// A registry in which each peer has one registration, one wait and one watch.
    FullRegistry,
}

const SCENES: [Scene; 19] = [
    Scene::Nothing,
    Scene::State,
    Scene::StateOfAGuest,
    Scene::SmallState,
    Scene::UncachedState,
    Scene::Directory,
    Scene::DirectoryOfOneFile,
    Scene::Bundled,
    Scene::Bundles,
    Scene::BundlesToLookAt,
    Scene::BundlesOfOthers,
    Scene::BundlesToRead,
    Scene::FewBundles,
    Scene::BundlesOfNobody,
    Scene::BundlesWithoutHead,
    Scene::LargeManifest,
    Scene::Registry,
    Scene::RegistryOfAGuest,
    Scene::FullRegistry,
];

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
    pub(crate) state: Option<statefs::Store>,
    pub(crate) access: Access,
    pub(crate) tree: Option<Arc<Tree>>,
    pub(crate) limits: packagefs::Limits,
    pub(crate) bundles: Option<Arc<bundle::Store>>,
    pub(crate) rights: Rights,
    pub(crate) installs: Installs,
    pub(crate) registry: Option<(Registry, samgr::Access)>,
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
            rights: Rights::all(),
            installs: Installs::default(),
            registry: None,
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
            Scene::Directory => Self::with_directory(packagefs::Limits::default()),
            Scene::DirectoryOfOneFile => {
                Self::with_directory(packagefs::Limits { open_files: 1, ..packagefs::Limits::default() })
            }
            Scene::Bundled => {
                let set = Self::with_bundles(Store::ReadWrite, store_options(), Self::two_versions);
                let tree = set.bundles.clone().map(|bundles| Arc::new(Tree::of_bundles(bundles)));
                Self { tree, ..set }
            }
            Scene::Bundles => Self::with_bundles(Store::ReadWrite, store_options(), Self::two_versions),
            Scene::BundlesToLookAt => {
                let set = Self::with_bundles(Store::ReadWrite, store_options(), Self::two_versions);
                Self { rights: Rights::looking(), ..set }
            }
            Scene::BundlesOfOthers => {
                let names = vec!["org.other".parse().expect("a name")];
                let may = vec![bundle::Right::Install, bundle::Right::Activate];
                let others = bundle::Rule { names, publishers: None, may };
                let set = Self::with_bundles(Store::ReadWrite, store_options(), Self::two_versions);
                Self { rights: Rights::looking().and(others), ..set }
            }
            Scene::BundlesToRead => Self::with_bundles(Store::ReadOnly, store_options(), Self::two_versions),
            Scene::FewBundles => {
                let options = StoreOptions { quota_bytes: 1_000, ..store_options() };
                Self::with_bundles(Store::ReadWrite, options, Self::two_versions)
            }
            Scene::BundlesOfNobody => {
                let options = StoreOptions { trust: Trust::Only(Vec::new()), ..store_options() };
                Self::with_bundles(Store::ReadWrite, options, Self::two_versions)
            }
            Scene::BundlesWithoutHead => Self::with_bundles(Store::ReadWrite, store_options(), |folder| {
                Self::two_versions(folder);
                let head = folder.join("bundles").join(packed::NAME).join("1.0.0");
                fs::write(head, "no head").expect("it is there");
            }),
            Scene::LargeManifest => Self::with_bundles(Store::ReadWrite, store_options(), |folder| {
                static STORE: OnceLock<Files> = OnceLock::new();
                STORE.get_or_init(|| Files::of_store_with(&[packed::with_a_large_manifest()])).write(folder);
            }),
            Scene::Registry => Self::with_registry(samgr::Limits::default(), samgr::Access::full()),
            Scene::RegistryOfAGuest => {
                let prefix = |prefix: &str| prefix.parse().expect("a prefix");
                let access = samgr::Access::none()
                    .and(prefix("shared."), samgr::Right::See)
                    .and(prefix("guest."), samgr::Right::Register);
                Self::with_registry(samgr::Limits::default(), access)
            }
            Scene::FullRegistry => {
                let one = samgr::Limits {
                    registrations_per_peer: 1,
                    waits_per_peer: 1,
                    watches_per_peer: 1,
                    ..samgr::Limits::default()
                };
                Self::with_registry(one, samgr::Access::full())
            }
        }
    }

    fn with_registry(limits: samgr::Limits, access: samgr::Access) -> Self {
        Self { registry: Some((Registry::new(limits), access)), ..Self::empty() }
    }

    fn with_state(options: OpenOptions) -> Self {
        let device = Arc::new(Device::default());
        let store = statefs::Store::open(device.clone(), options).expect("a store");
        for (name, value) in crate::statefs::BEFORE {
            let put = store.put(name.parse().expect("a key"), value.to_vec(), Condition::Any);
            block_on(put).expect("there is room");
        }
        Self { state: Some(store), device: Some(Grip(device)), ..Self::empty() }
    }

    fn with_directory(limits: packagefs::Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        let at = |path: &str| root.join(path);
        fs::create_dir_all(at("sub/deep")).expect("a directory");
        for (path, content) in crate::packagefs::BEFORE {
            fs::write(at(path), content).expect("a file");
        }
        fs::write(at("big"), vec![7; crate::packagefs::BIG_BYTES]).expect("a file");
        fs::write(folder.path().join("secret"), "outside").expect("a file");
        for (target, link) in
            [("sub", "to-sub"), ("../secret", "escape"), ("round", "round"), ("nowhere", "dangling")]
        {
            symlink(target, at(link)).expect("a link");
        }
        drop(UnixListener::bind(at("socket")).expect("a socket"));
        let tree = Arc::new(Tree::open(&root).expect("it is there"));
        Self { tree: Some(tree), limits, folder: Some(folder), ..Self::empty() }
    }

    /// A store on disk, once `prepare` has put something into it.
    fn with_bundles(access: Store, options: StoreOptions, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path());
        let store = bundle::Store::open(folder.path(), access, options).expect("a store");
        Self { bundles: Some(Arc::new(store)), folder: Some(folder), ..Self::empty() }
    }

    fn two_versions(folder: &Path) {
        static STORE: OnceLock<Files> = OnceLock::new();
        STORE.get_or_init(|| Files::of_store_with(&["1.0.0", "2.0.0"].map(packed::of))).write(folder);
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
            // The file becomes shorter while it is read.
            ("shorten", path) => {
                let file = fs::File::options().write(true).open(self.path("root").join(path));
                file.and_then(|file| file.set_len(10)).expect("a file");
            }
            // What the store has on disk is not what it was.
            ("flip", _) => self.each_blob(|blob| {
                let mut bytes = fs::read(blob).expect("a blob");
                for byte in &mut bytes {
                    *byte ^= 1;
                }
                fs::write(blob, bytes).expect("a blob");
            }),
            ("cut-short", _) => self.each_blob(|blob| fs::write(blob, "").expect("a blob")),
            ("replace", _) => self.each_blob(|blob| {
                fs::remove_file(blob).expect("a blob");
                fs::create_dir(blob).expect("a directory");
            }),
            // Nothing can be put into it, and nothing found in it.
            ("lose", _) => {
                for directory in ["staging", "bundles", "blobs"] {
                    fs::rename(self.path(directory), self.path(&format!("lost-{directory}")))
                        .expect("it is there");
                }
            }
            ("staged", _) => {
                return fs::read_dir(self.path("staging")).expect("it is there").count().to_string();
            }
            _ => panic!("no scene takes the cue {what:?} {rest:?}"),
        }
        String::new()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.as_ref().expect("a scene on disk").path().join(path)
    }

    fn each_blob(&self, change: impl Fn(&Path)) {
        let entries = |path: PathBuf| {
            fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path())
        };
        entries(self.path("blobs")).flat_map(entries).for_each(|blob| change(&blob));
    }

    fn device(&self) -> &Device {
        &self.device.as_ref().expect("a scene with a device").0
    }
}

/// A store that trusts the publisher of every bundle here.
fn store_options() -> StoreOptions {
    StoreOptions { trust: Trust::Only(vec![packed::publisher().id()]), ..StoreOptions::default() }
}

/// The files of a store. To install what is in it takes many times as long as to write them.
struct Files(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Files {
    fn of_store_with(packed: &[Vec<u8>]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = bundle::Store::open(folder.path(), Store::ReadWrite, store_options()).expect("a store");
        let store = Arc::new(store);
        for bytes in packed {
            let mut install = store.install(InstallOptions::default()).expect("there is a place");
            install.write(bytes).expect("it is a bundle");
            install.finish().expect("it is whole");
        }
        drop(store);
        let mut files = Self(Vec::new());
        files.read(folder.path(), Path::new(""));
        files
    }

    fn read(&mut self, root: &Path, directory: &Path) {
        for entry in fs::read_dir(root.join(directory)).expect("a directory") {
            let path = directory.join(entry.expect("an entry").file_name());
            if root.join(&path).is_dir() {
                self.0.push((path.clone(), None));
                self.read(root, &path);
            } else {
                let content = fs::read(root.join(&path)).expect("a file");
                self.0.push((path, Some(content)));
            }
        }
    }

    fn write(&self, root: &Path) {
        for (path, content) in &self.0 {
            let path = root.join(path);
            let written = match content {
                None => fs::create_dir(path),
                Some(content) => fs::write(path, content),
            };
            written.expect("there is room");
        }
    }
}

/// A device of a store that is on it. A store that is dropped waits for its writer, which waits for the device.
struct Grip(Arc<Device>);

impl Drop for Grip {
    fn drop(&mut self) {
        self.0.open();
    }
}
