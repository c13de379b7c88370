//! The schema compiler and a text that anybody may have written.

use std::io;
use std::path::{Path, PathBuf};

use capnp::message::ReaderOptions;
use capnp::schema_capnp::{code_generator_request, node};
use vatmux_schema::{Diagnostics, Files, Options, Span, compile_from};

/// The files are called `0.capnp` and so on; there are no more than this.
const MOST_FILES: usize = 4;

/// How much longer than the schemas a request may be: what constants that name each other can come to is the
/// compiler's own bound, a little more than its 32 Mi words.
const MOST_REQUEST_BYTES: usize = 300 << 20;

/// Files that import each other by name; an `embed` may find them as well.
struct Texts<'a>(Vec<&'a [u8]>);

impl Files for Texts<'_> {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let number = path.to_str().and_then(|name| name.strip_suffix(".capnp")?.parse::<usize>().ok());
        Ok(number.and_then(|number| self.0.get(number)).map(|text| text.to_vec()))
    }
}

/// Takes `bytes` for schemas, with a byte of zero between one and the next, and compiles them all.
pub(crate) fn run(bytes: &[u8]) {
    let files = Texts(bytes.splitn(MOST_FILES, |byte| *byte == 0).collect());
    let paths: Vec<_> = (0..files.0.len()).map(|number| PathBuf::from(format!("{number}.capnp"))).collect();
    let compile = || compile_from(&files, &paths, &Options::default());
    match compile() {
        Ok(compiled) => {
            let request = compiled.to_bytes();
            assert!(request.len() <= MOST_REQUEST_BYTES);
            is_whole(&request);
            let second = compile().expect("what compiled once compiles again").to_bytes();
            assert!(request == second, "it depends on chance");
        }
        Err(diagnostics) => {
            are_in_place(&diagnostics, &files);
            assert!(!diagnostics.to_string().is_empty());
            let second = compile().expect_err("what was refused once is refused again");
            assert!(findings(&diagnostics) == findings(&second), "it depends on chance");
        }
    }
}

/// Every part can be read, and no two nodes have one id.
fn is_whole(mut request: &[u8]) {
    let options = *ReaderOptions::new().traversal_limit_in_words(None);
    let message = capnp::serialize::read_message_from_flat_slice(&mut request, options).expect("a message");
    let request: code_generator_request::Reader = message.get_root().expect("a request");
    let nodes = request.get_nodes().expect("nodes");
    let mut ids: Vec<_> = nodes.iter().map(node::Reader::get_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), nodes.len() as usize, "two nodes have one id");
    for file in request.get_requested_files().expect("files") {
        assert!(ids.binary_search(&file.get_id()).is_ok(), "a file that was asked for is not there");
    }
}

/// What is wrong, and where. The help may suggest a new id, which is another one each time.
fn findings(diagnostics: &Diagnostics) -> Vec<(&Path, &Span, &str)> {
    diagnostics.iter().map(|found| (found.file.as_path(), &found.span, found.message.as_str())).collect()
}

/// There is a reason, and what is shown of a file is there.
fn are_in_place(diagnostics: &Diagnostics, files: &Texts<'_>) {
    assert!(diagnostics.iter().next().is_some(), "it is refused without a reason");
    for diagnostic in diagnostics {
        assert!(!diagnostic.message.is_empty());
        if let Ok(Some(text)) = files.read(&diagnostic.file) {
            let span = &diagnostic.span;
            assert!(span.bytes.start <= span.bytes.end && span.bytes.end <= text.len(), "{diagnostic:?}");
            let lines = text[..span.bytes.start].split(|byte| *byte == b'\n');
            assert_eq!(span.line, lines.count(), "{diagnostic:?}");
        }
    }
}
