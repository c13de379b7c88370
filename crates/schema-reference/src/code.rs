//! The Rust that requests become.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use capnpc::codegen::CodeGenerationCommand;

/// What `capnpc` makes of a framed request: each file that it writes, with its text.
///
/// The parameters of its aliases for what methods take and give are sorted: it writes them in the order of a hash set,
/// which is another one each time.
///
/// # Errors
/// What it says where it does not want the request. Some that the C++ tool makes it cannot turn into Rust.
pub fn generated_code(request: &[u8]) -> capnp::Result<BTreeMap<PathBuf, String>> {
    let directory = tempfile::tempdir()?;
    CodeGenerationCommand::new().output_directory(directory.path()).run(request)?;
    let mut files = BTreeMap::new();
    collect(directory.path(), Path::new(""), &mut files)?;
    Ok(files)
}

fn collect(top: &Path, below: &Path, files: &mut BTreeMap<PathBuf, String>) -> io::Result<()> {
    for entry in fs::read_dir(top.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(top, &path, files)?;
        } else {
            let text = fs::read_to_string(entry.path())?;
            files.insert(path, text.lines().map(settled).collect());
        }
    }
    Ok(())
}

/// A line with the parameters of each alias in it in their order. They are the lists that end with a comma.
fn settled(line: &str) -> String {
    let mut text = String::with_capacity(line.len() + 1);
    let mut rest = line;
    while let Some(end) = rest.find(",>") {
        let (before, after) = rest.split_at(end);
        let start = before.rfind('<').map_or(0, |start| start + 1);
        let mut parameters: Vec<_> = before[start..].split(',').collect();
        parameters.sort_unstable();
        text.push_str(&before[..start]);
        text.push_str(&parameters.join(","));
        text.push_str(",>");
        rest = &after[2..];
    }
    text.push_str(rest);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_an_aliases_parameters_is_settled_and_nothing_else() {
        let alias = |parameters: &str| settled(&format!("  pub type Params<{parameters}> = x<B,A>;"));
        assert_eq!(alias("B,A,"), alias("A,B,"));
        assert_eq!(alias("B,A,"), "  pub type Params<A,B,> = x<B,A>;\n");
        assert_ne!(alias("B,A,"), alias("B,C,"));
        assert_eq!(settled("f(_: P<B,A,>, _: R<D,C,>)"), "f(_: P<A,B,>, _: R<C,D,>)\n");
        assert_eq!(settled("fn a<B,A>() {"), "fn a<B,A>() {\n");
    }
}
