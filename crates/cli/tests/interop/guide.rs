//! The C++ program of docs/guide/bridge.md, built by the commands that the page says, beside a bridge to a node.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Serving, World};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The lines of the first block of `language` of which one begins with `first`.
fn block(page: &str, language: &str, first: &str) -> Vec<String> {
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
            if block.iter().any(|line| line.starts_with(first)) {
                return block;
            }
        }
    }
    panic!("the page has no block of {language} with {first:?}");
}

#[test]
#[ignore = "needs g++, capnproto and libcapnp-dev: cargo xtask test interop"]
fn the_cpp_program_of_the_guide_lists_the_files_of_a_node() {
    let page = fs::read_to_string(checkout().join("docs/guide/bridge.md")).unwrap();
    let program = block(&page, "cpp", "#include <capnp/ez-rpc.h>").join("\n") + "\n";
    let commands = block(&page, "console", "$ g++");

    let world = World::new();
    for name in ["greeting.txt", "other"] {
        fs::write(world.tree().join(name), "content").unwrap();
    }
    let node = world.serve();
    let socket = world.here().join("files.sock");
    let words = ["bridge", node.line(), "vatmux.packagefs", "--unix", socket.to_str().unwrap()];
    let _bridge = Serving::start(world.vatmux(words));

    // Where the page's commands are said: beside the schemas, with `vatmux` on the path.
    fs::write(world.here().join("list.cpp"), program).unwrap();
    symlink(checkout().join("schema"), world.here().join("schema")).unwrap();
    let vatmux = Path::new(env!("CARGO_BIN_EXE_vatmux")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([vatmux].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut said = String::new();
    for command in &commands {
        let words =
            command.strip_prefix("$ ").expect("the page shows commands, and nothing of what they say");
        let mut shell = Command::new("sh");
        let outcome =
            shell.args(["-euc", words]).current_dir(world.here()).env("PATH", &path).output().unwrap();
        assert!(outcome.status.success(), "{words}: {}", String::from_utf8_lossy(&outcome.stderr));
        said = String::from_utf8(outcome.stdout).unwrap();
    }
    assert_eq!(said, "greeting.txt\nother\n");
}
