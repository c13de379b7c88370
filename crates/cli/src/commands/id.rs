//! `vatmux id`

use serde_json::json;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::{home, output};

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (key, file) = home::key(arguments)?;
    let node = key.node_id().to_string();
    output::print_line(&if arguments.json {
        json!({ "node_id": node, "key_file": file.to_string_lossy() }).to_string()
    } else {
        node
    })
}
