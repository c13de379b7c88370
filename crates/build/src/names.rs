//! Names of a schema, as Rust has them.

/// What capnpc does not use as it is.
const KEYWORDS: &[&str] = &[
    "abstract", "alignof", "as", "be", "become", "box", "break", "const", "continue", "crate", "do", "else",
    "enum", "extern", "false", "final", "fn", "for", "if", "impl", "in", "let", "loop", "macro", "match",
    "mod", "move", "mut", "offsetof", "once", "override", "priv", "proc", "pub", "pure", "ref", "return",
    "self", "sizeof", "static", "struct", "super", "trait", "true", "type", "typeof", "unsafe", "unsized",
    "use", "virtual", "where", "while", "yield",
];

/// Keywords that capnpc does not know.
const LATER_KEYWORDS: &[&str] = &["async", "await", "dyn", "gen", "try"];

/// Words of Rust's that generated code uses by themselves.
const TAKEN: &[&str] = &[
    "Box",
    "Clone",
    "Debug",
    "Default",
    "Err",
    "Fn",
    "FnOnce",
    "Future",
    "IntoFuture",
    "None",
    "Ok",
    "Option",
    "PartialEq",
    "Result",
    "Self",
    "Some",
    "String",
    "Vec",
];

/// Whether a type cannot have its own name.
pub(crate) fn is_taken(word: &str) -> bool {
    TAKEN.contains(&word)
}

/// Whether a word is a keyword that capnpc uses as it is.
pub(crate) fn is_later_keyword(word: &str) -> bool {
    LATER_KEYWORDS.contains(&word)
}

/// `readSmall` as in `set_read_small`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, character) in name.chars().enumerate() {
        if character.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// As capnpc names a module or a method of a server.
pub(crate) fn module(name: &str) -> String {
    let mut module = snake(name);
    if KEYWORDS.contains(&module.as_str()) {
        module.push('_');
    }
    module
}

/// As a field, a parameter or a method of ours.
pub(crate) fn ident(name: &str) -> String {
    let mut ident = module(name);
    if is_later_keyword(&ident) {
        ident.push('_');
    }
    ident
}

/// `readSmall` as in `ReadSmallParams`.
pub(crate) fn capitalized(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + characters.as_str())
}

/// `PackageFs` as in `PACKAGE_FS`.
pub(crate) fn shouted(name: &str) -> String {
    snake(name).to_uppercase()
}

/// The id of a node or a digest's number, as clippy wants it.
pub(crate) fn hexadecimal(number: u64) -> String {
    let digits = format!("{number:016x}");
    format!("0x{}_{}_{}_{}", &digits[0..4], &digits[4..8], &digits[8..12], &digits[12..16])
}

/// A comment of a schema as documentation, in the lines that it has.
pub(crate) fn documentation(comment: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut code = false;
    for line in comment.trim_end().lines() {
        let mut escaped = String::new();
        for character in line.chars() {
            match character {
                '`' => code = !code,
                '[' | ']' | '<' | '>' if !code => escaped.push('\\'),
                _ => {}
            }
            escaped.push(character);
        }
        // Four blanks would make code of it, which the documentation tests would run.
        let indentation = escaped.len() - escaped.trim_start().len();
        lines.push(if indentation >= 4 { escaped.trim_start().to_owned() } else { escaped });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_capnpc_gives() {
        assert_eq!(snake("readSmall"), "read_small");
        assert_eq!(snake("HTTPServer"), "h_t_t_p_server");
        assert_eq!(module("type"), "type_");
        assert_eq!(module("await"), "await", "capnpc does not know this one");
        assert_eq!(ident("await"), "await_");
        assert_eq!(capitalized("readSmall"), "ReadSmall");
        assert_eq!(hexadecimal(0xd), "0x0000_0000_0000_000d");
    }

    #[test]
    fn a_comment_is_no_markup_and_no_code() {
        assert_eq!(
            documentation("A List<T>, see [1].\n    x = `a[0]`\n"),
            ["A List\\<T\\>, see \\[1\\].", "x = `a[0]`"]
        );
    }
}
