//! packagefs over bundles: the same interface, behind it a store.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tempfile::TempDir;
use vatmux::Entropy;
use vatmux::bundle::{Access, InstallOptions, PublisherKey, Source, Store, StoreOptions, Trust, Version};
use vatmux::packagefs::{Client, Error, FetchOptions, Kind, Limits, Links, Server, Status, Tree};
use vatmux::schema::packagefs::PackageFs;
use vatmux::schema::packagefs_capnp::package_fs;
use vatmux::service::ServedBy;

use crate::served::{KeepingSink, Kept, block_on, quietly};

/// A store with bundles in it.
struct Bundles {
    folder: TempDir,
    store: Arc<Store>,
}

impl Bundles {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { trust: Trust::Anyone, ..StoreOptions::default() };
        let store = Store::open(&folder.path().join("store"), Access::ReadWrite, options).unwrap();
        Self { folder, store: Arc::new(store) }
    }

    /// Packs and installs what `make` makes.
    fn install(&self, name: &str, version: &str, make: impl FnOnce(&Path)) {
        let tree = tempfile::tempdir().unwrap();
        make(tree.path());
        let key = PublisherKey::generate(Entropy::from_bytes([1; 32]).unwrap());
        let source = Source::scan(tree.path(), &mut |_| {}).unwrap();
        let signed = source.sign(name.parse().unwrap(), version.parse().unwrap(), &key).unwrap();
        let mut bytes = Vec::new();
        source.write(&signed, &mut bytes, &mut |_| {}).unwrap();
        let mut install = self.store.install(InstallOptions::default()).unwrap();
        install.write(&bytes).unwrap();
        install.finish().unwrap();
    }

    fn capability(&self) -> package_fs::Client {
        let tree = Arc::new(Tree::of_bundles(self.store.clone()));
        PackageFs::client_of(Server::new(tree, Limits::default()))
    }

    fn client(&self) -> Client {
        Client::new(self.capability())
    }
}

fn large() -> Vec<u8> {
    (0..1_000_003_u32).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// One of everything.
fn zoo(root: &Path) {
    fs::create_dir_all(root.join("bin/deep")).unwrap();
    fs::create_dir(root.join("nothing")).unwrap();
    fs::write(root.join("readme"), "hello").unwrap();
    fs::write(root.join("bin/tool"), "#!").unwrap();
    fs::set_permissions(root.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("bin-2"), "between").unwrap();
    fs::write(root.join("large"), large()).unwrap();
    symlink("../../readme", root.join("bin/deep/link")).unwrap();
    symlink("bin/deep", root.join("to-deep")).unwrap();
    symlink("round", root.join("round")).unwrap();
}

fn status(error: &Error) -> Status {
    match error {
        Error::Refused { status, .. } => *status,
        other => panic!("{other}"),
    }
}

fn read(client: &Client, path: &str) -> Result<Vec<u8>, Error> {
    let mut output = futures::io::Cursor::new(Vec::new());
    block_on(client.read_to(path, &mut output, &quietly))?;
    Ok(output.into_inner())
}

fn names(client: &Client, path: &str) -> Vec<String> {
    let entries = block_on(client.list(path, 1000)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn bundles_are_directories_by_their_names_and_versions() {
    let bundles = Bundles::new();
    let client = bundles.client();
    assert_eq!(names(&client, ""), [""; 0]);
    bundles.install("zoo", "1.0.0", |root| fs::write(root.join("a"), "one").unwrap());
    bundles.install("zoo", "2.0.0", |root| fs::write(root.join("a"), "two").unwrap());
    bundles.install("ant", "1.0.0", zoo);
    assert_eq!(names(&client, ""), ["ant", "zoo", "zoo@1.0.0"]);
    for (path, content) in [("zoo/a", "two"), ("zoo@2.0.0/a", "two"), ("zoo@1.0.0/a", "one")] {
        assert_eq!(read(&client, path).unwrap(), content.as_bytes());
    }
    let version: Version = "1.0.0".parse().unwrap();
    bundles.store.activate(&"zoo".parse().unwrap(), version, true).unwrap();
    assert_eq!(read(&client, "zoo/a").unwrap(), b"one");
    assert_eq!(names(&client, ""), ["ant", "zoo", "zoo@2.0.0"]);
    assert_eq!(names(&client, "ant"), ["bin", "bin-2", "large", "nothing", "readme", "round", "to-deep"]);
    assert_eq!(names(&client, "ant/bin"), ["deep", "tool"]);
    assert_eq!(names(&client, "ant/to-deep"), ["link"]);
    assert_eq!(names(&client, "ant/nothing"), [""; 0]);
}

#[test]
fn what_a_bundle_holds_is_described_as_its_publisher_signed_it() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let client = bundles.client();
    let stat = |path: &str, links| block_on(client.stat(path, links)).unwrap();
    for (path, kind, mode, size_bytes) in [
        ("", Kind::Directory, 0o555, 0),
        ("zoo", Kind::Directory, 0o555, 0),
        ("zoo/bin", Kind::Directory, 0o555, 0),
        ("zoo/bin/tool", Kind::File, 0o555, 2),
        ("zoo/readme", Kind::File, 0o444, 5),
        ("zoo/bin/deep/link", Kind::Symlink, 0o777, 0),
        ("zoo/to-deep/link", Kind::Symlink, 0o777, 0),
    ] {
        let attributes = stat(path, Links::Inspect);
        assert_eq!(
            (attributes.kind, attributes.mode, attributes.size_bytes),
            (kind, mode, size_bytes),
            "{path}"
        );
    }
    assert_eq!(stat("zoo/to-deep", Links::Inspect).link_target.as_deref(), Some("bin/deep"));
    assert_eq!(stat("zoo/to-deep/link", Links::Follow).size_bytes, 5);
    assert_eq!(read(&client, "zoo/to-deep/link").unwrap(), b"hello");
    assert!(stat("zoo", Links::Inspect).modified_ns > 0);
}

#[test]
fn a_page_goes_on_where_the_one_before_ended() {
    let bundles = Bundles::new();
    bundles.install("many", "1.0.0", |root| {
        for at in 0..2500 {
            fs::write(root.join(format!("{at:04}")), "").unwrap();
        }
    });
    let client = bundles.client();
    let entries = block_on(client.list("many", 5000)).unwrap();
    assert_eq!(entries.len(), 2500);
    assert!(entries.iter().enumerate().all(|(at, entry)| entry.name == format!("{at:04}")));
}

#[test]
fn test_reject_paths_that_lead_to_nothing_or_elsewhere() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let client = bundles.client();
    for (path, wanted) in [
        ("ant", Status::NotFound),
        ("ant/readme", Status::NotFound),
        ("zoo@1.0.1/readme", Status::NotFound),
        ("zoo@/readme", Status::NotFound),
        ("zoo@1/readme", Status::NotFound),
        ("ZOO/readme", Status::NotFound),
        ("zoo/README", Status::NotFound),
        ("zoo/readme/x", Status::NotADirectory),
        ("zoo/round", Status::LinkLoop),
        ("zoo/../zoo/readme", Status::InvalidPath),
        ("zoo", Status::IsADirectory),
        ("zoo/to-deep", Status::IsADirectory),
        ("", Status::IsADirectory),
    ] {
        assert_eq!(status(&read(&client, path).unwrap_err()), wanted, "{path}");
    }
    for (path, wanted) in [("zoo/readme", Status::NotADirectory), ("ant", Status::NotFound)] {
        assert_eq!(status(&block_on(client.list(path, 10)).unwrap_err()), wanted, "{path}");
    }
}

#[test]
fn test_reject_non_bundle_scheme_and_none_is_looked_up_elsewhere() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let client = bundles.client();
    let secret = tempfile::NamedTempFile::new().unwrap();
    let file = format!("file://{}", secret.path().display());
    for path in ["https://zoo/readme", "bundle://zoo/readme", "vat://zoo/readme", "//zoo/readme", &file] {
        assert_eq!(status(&read(&client, path).unwrap_err()), Status::InvalidPath, "{path}");
        assert_eq!(status(&block_on(client.list(path, 10)).unwrap_err()), Status::InvalidPath, "{path}");
        assert_eq!(
            status(&block_on(client.stat(path, Links::Follow)).unwrap_err()),
            Status::InvalidPath,
            "{path}"
        );
    }
    // A colon is no separator: these are names, and nothing has them.
    for path in ["bundle:zoo/readme", "file:zoo/readme", "zoo:readme"] {
        assert_eq!(status(&read(&client, path).unwrap_err()), Status::NotFound, "{path}");
    }
}

#[test]
fn a_bundle_is_fetched_whole() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let destination = bundles.folder.path().join("fetched");
    let summary =
        block_on(bundles.client().fetch_tree("zoo", &destination, FetchOptions::default(), &quietly))
            .unwrap();
    assert_eq!((summary.files, summary.links, summary.skipped.len()), (4, 3, 0));
    assert!(fs::read(destination.join("large")).unwrap() == large());
}

#[test]
fn parts_are_read_and_streams_are_sent_verified() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let fs = bundles.capability();
    let mut request = fs.open_request();
    request.get().set_path("zoo/large");
    let file = request.send().pipeline.get_file();
    let content = large();
    for (offset, length) in [(0, 10), (65_530, 20), (999_990, 100), (1_000_003, 10), (u64::MAX, 10)] {
        let mut request = file.read_request();
        request.get().set_offset(offset);
        request.get().set_length(length);
        let response = block_on(request.send().promise).unwrap();
        let begin = content.len().min(usize::try_from(offset).unwrap());
        let end = content.len().min(begin + length as usize);
        assert!(response.get().unwrap().get_data().unwrap() == &content[begin..end], "{offset}");
    }
    let kept = Rc::<RefCell<Kept>>::default();
    let mut request = file.stream_request();
    request.get().set_offset(17);
    request.get().set_sink(capnp_rpc::new_client(KeepingSink(kept.clone())));
    block_on(request.send().promise).unwrap();
    assert!(kept.borrow().bytes == content[17..]);
}

/// Long enough to be read ahead, and not of whole groups.
fn long() -> Vec<u8> {
    large().repeat(6)
}

/// What a stream of `zoo/long` from `offset` on gives, and how it ends.
fn stream_of_long(bundles: &Bundles, offset: u64) -> (Vec<u8>, Status, u64) {
    let mut request = bundles.capability().open_request();
    request.get().set_path("zoo/long");
    let file = request.send().pipeline.get_file();
    let kept = Rc::<RefCell<Kept>>::default();
    let mut request = file.stream_request();
    request.get().set_offset(offset);
    request.get().set_sink(capnp_rpc::new_client(KeepingSink(kept.clone())));
    let response = block_on(request.send().promise).unwrap();
    let results = response.get().unwrap();
    let bytes = std::mem::take(&mut kept.borrow_mut().bytes);
    (bytes, results.get_status().unwrap(), results.get_sent_bytes())
}

#[test]
fn what_is_read_ahead_of_a_long_stream_is_what_is_in_the_file_from_any_place_on() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", |root| fs::write(root.join("long"), long()).unwrap());
    for offset in [0, 1, 65_536, 1_900_000] {
        let (bytes, status, sent_bytes) = stream_of_long(&bundles, offset);
        let expected = &long()[offset as usize..];
        assert!((status, sent_bytes) == (Status::Ok, expected.len() as u64) && bytes == expected, "{offset}");
    }
}

#[test]
fn damage_that_is_met_ahead_ends_a_stream_before_any_byte_of_it() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", |root| fs::write(root.join("long"), long()).unwrap());
    let damaged_at = 5_000_000;
    for directory in fs::read_dir(bundles.folder.path().join("store/blobs")).unwrap() {
        for blob in fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            bytes[damaged_at] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }
    let (bytes, status, sent_bytes) = stream_of_long(&bundles, 0);
    assert_eq!((status, sent_bytes), (Status::IntegrityViolation, bytes.len() as u64));
    assert!((4_000_000..=damaged_at).contains(&bytes.len()), "{}", bytes.len());
    assert!(long().starts_with(&bytes));
}

#[test]
fn an_open_file_stays_readable_when_its_bundle_is_removed() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let fs = bundles.capability();
    let mut request = fs.open_request();
    request.get().set_path("zoo/large");
    let file = block_on(request.send().promise).unwrap().get().unwrap().get_file().unwrap();
    bundles.store.uninstall(&"zoo".parse().unwrap(), "1.0.0".parse().unwrap(), true).unwrap();
    assert!(bundles.store.collect().unwrap().blobs > 0);
    let mut request = file.read_request();
    request.get().set_length(1000);
    let response = block_on(request.send().promise).unwrap();
    assert!(response.get().unwrap().get_data().unwrap() == &large()[..1000]);
    assert_eq!(status(&read(&bundles.client(), "zoo/large").unwrap_err()), Status::NotFound);
}

#[test]
fn damaged_content_is_never_given_out() {
    let bundles = Bundles::new();
    bundles.install("zoo", "1.0.0", zoo);
    let blobs = bundles.folder.path().join("store/blobs");
    for directory in fs::read_dir(blobs).unwrap() {
        for blob in fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            if let Some(byte) = bytes.get_mut(0) {
                *byte ^= 1;
            }
            fs::write(path, bytes).unwrap();
        }
    }
    let client = bundles.client();
    for path in ["zoo/readme", "zoo/large", "zoo/bin/tool"] {
        let error = read(&client, path).unwrap_err();
        assert_eq!(status(&error), Status::IntegrityViolation, "{error}");
    }
}
