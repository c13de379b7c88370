//! Destinations that cannot take what is fetched.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::harness::{Serving, World, finish, names};
use crate::tree::bytes;

fn serving_two_files(world: &World) -> Serving {
    fs::create_dir(world.tree().join("d")).unwrap();
    fs::write(world.tree().join("d/file"), "new").unwrap();
    fs::write(world.tree().join("d/large"), bytes(5_000_000)).unwrap();
    world.serve()
}

#[test]
fn a_file_is_replaced_only_by_force() {
    let world = World::new();
    let serving = serving_two_files(&world);
    let old = world.here().join("file");
    fs::write(&old, "old").unwrap();
    finish(world.vatmux(["get", &serving.at("d/file")])).failed(1, &["`file`", "--force"]);
    assert_eq!(fs::read(&old).unwrap(), b"old");
    finish(world.vatmux(["get", "--force", &serving.at("d/file")])).succeeded();
    assert_eq!(fs::read(&old).unwrap(), b"new");
    assert_eq!(world.names_here(), ["file"]);
}

#[test]
fn a_file_stays_when_its_replacement_cannot_be_had() {
    let world = World::new();
    let serving = serving_two_files(&world);
    fs::write(world.here().join("file"), "old").unwrap();
    finish(world.vatmux(["get", "--force", &serving.at("d/missing"), "file"])).failed(1, &["`d/missing`"]);
    assert_eq!(fs::read(world.here().join("file")).unwrap(), b"old");
    assert_eq!(world.names_here(), ["file"]);
}

#[test]
fn a_link_is_not_written_through() {
    let world = World::new();
    let serving = serving_two_files(&world);
    fs::write(world.path("elsewhere"), "old").unwrap();
    symlink(world.path("elsewhere"), world.here().join("file")).unwrap();
    for words in [&["get"][..], &["get", "--force"]] {
        let address = serving.at("d/file");
        finish(world.vatmux(words.iter().chain([&address.as_str()]))).failed(1, &["`file`"]);
    }
    assert_eq!(fs::read(world.path("elsewhere")).unwrap(), b"old");
}

#[test]
fn a_directory_is_never_replaced() {
    let world = World::new();
    let serving = serving_two_files(&world);
    fs::create_dir(world.here().join("d")).unwrap();
    fs::write(world.here().join("d/mine"), "old").unwrap();
    finish(world.vatmux(["get", "-r", &serving.at("d")])).failed(1, &["`d`", "not an empty directory"]);
    finish(world.vatmux(["get", "-r", "--force", &serving.at("d")])).failed(2, &["--force", "--recursive"]);
    assert_eq!(names(&world.here().join("d")), ["mine"]);
    assert_eq!(world.names_here(), ["d"]);
}

#[test]
fn an_empty_directory_is_filled() {
    let world = World::new();
    let serving = serving_two_files(&world);
    fs::create_dir(world.here().join("copy")).unwrap();
    finish(world.vatmux(["get", "-r", &serving.at("d"), "copy"])).succeeded();
    assert_eq!(names(&world.here().join("copy")), ["file", "large"]);
}

#[test]
fn a_directory_that_does_not_exist_is_not_made_up() {
    let world = World::new();
    let serving = serving_two_files(&world);
    for dest in ["no/such/copy", "no/"] {
        finish(world.vatmux(["get", &serving.at("d/file"), dest])).failed(1, &["does not exist"]);
    }
    finish(world.vatmux(["get", "-r", &serving.at("d"), "no/such/copy"])).failed(1, &["does not exist"]);
    assert!(world.names_here().is_empty());
}

#[test]
fn a_destination_that_ends_in_no_name_is_refused() {
    let world = World::new();
    let serving = serving_two_files(&world);
    for dest in ["..", "/"] {
        finish(world.vatmux(["get", "-r", &serving.at("d"), dest])).failed(1, &["name"]);
    }
    assert!(world.names_here().is_empty());
}

/// A file system of one mebibyte.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Fails with why there is none, such as that this process may not mount.
    fn mount(at: &'a Path) -> Result<Self, String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "vatmux-test"]).arg(at);
        let mounted = mount.output().map_err(|error| format!("cannot run mount: {error}"))?;
        if mounted.status.success() {
            Ok(Self(at))
        } else {
            Err(String::from_utf8_lossy(&mounted.stderr).trim_end().to_owned())
        }
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0).status().is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_on_it() {
    let world = World::new();
    let serving = serving_two_files(&world);
    let here = world.here();
    let _disk = match SmallDisk::mount(&here) {
        Ok(disk) => disk,
        // Continuous integration runs as root: there a skip is a failure.
        Err(reason) => {
            assert!(env::var_os("CI").is_none(), "no small disk: {reason}");
            // Written directly, past what hides the output of tests that pass.
            let _ = writeln!(io::stderr(), "SKIPPED a full disk: a small one cannot be mounted: {reason}");
            return;
        }
    };
    finish(world.vatmux(["get", &serving.at("d/large")])).failed(1, &["`large`", "the disk is full"]);
    assert!(world.names_here().is_empty(), "{:?}", world.names_here());
    finish(world.vatmux(["get", "-r", &serving.at("d"), "copy"])).failed(1, &["large`", "the disk is full"]);
    assert!(world.names_here().is_empty(), "{:?}", world.names_here());
    finish(world.vatmux(["get", &serving.at("d/file")])).succeeded();
}

#[test]
fn a_directory_that_may_not_be_written_to_is_told() {
    let world = World::new();
    let serving = serving_two_files(&world);
    // Nobody may, root included.
    let outcome = finish(world.vatmux(["get", &serving.at("d/file"), "/proc/file"]));
    outcome.failed(1, &["`/proc/file`"]);
}
