//! How errors look to the person who wrote the schema: each schema beside this file, and the text that comes of it.
//!
//! `VATMUX_BLESS=1 cargo test -p vatmux-schema --test messages` writes the texts anew, for a person to read.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use vatmux_schema::{Files, Options, compile_from};

/// One directory, whose files are named without it.
struct Directory(PathBuf);

impl Files for Directory {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        fs::read(self.0.join(path)).map(Some)
    }
}

#[test]
fn each_message_is_as_it_was_read_and_found_good() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| PathBuf::from(entry.unwrap().file_name()))
        .filter(|name| name.extension().is_some_and(|extension| extension == "capnp"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let found = compile_from(&Directory(directory.clone()), &[&name], &Options::default())
            .expect_err("each has something wrong in it")
            .to_string();
        let text = directory.join(name.with_extension("txt"));
        if env::var_os("VATMUX_BLESS").is_some() {
            fs::write(&text, &found).unwrap();
        }
        let expected = fs::read_to_string(&text).unwrap_or_default();
        assert!(found == expected, "{} is now:\n{found}\nand was:\n{expected}", text.display());
    }
}
