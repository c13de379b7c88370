//! Schemas with something wrong in them, or something else.

use fastrand::Rng;

/// What may come in from outside.
const FOREIGN: [&str; 46] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ":",
    "=",
    ",",
    ".",
    "$",
    "@",
    "@0",
    "@1",
    "@65536",
    "->",
    "!",
    "*",
    "-",
    "struct",
    "union",
    "group",
    "enum",
    "interface",
    "const",
    "annotation",
    "using",
    "import",
    "embed",
    "extends",
    "stream",
    "Text",
    "Int8",
    "List",
    "AnyPointer",
    "Void",
    "void",
    "null",
    "true",
    "inf",
    "0x\"00\"",
    "\"text\"",
    "99999999999999999999",
    "lower",
    "Upper",
];

/// The tokens of a text as far as changing it takes, and what is between them.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_length(rest),
            _ if first.is_alphanumeric() || first == '@' => {
                let word = |letter: char| !(letter.is_alphanumeric() || letter == '_');
                first.len_utf8()
                    + rest[first.len_utf8()..].find(word).unwrap_or(rest.len() - first.len_utf8())
            }
            _ if first.is_whitespace() => {
                rest.find(|letter: char| !letter.is_whitespace()).unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        let (token, others) = rest.split_at(length);
        tokens.push(token);
        rest = others;
    }
    tokens
}

/// The length of the literal that a text starts with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A text with a few of its tokens left out, repeated, exchanged or replaced.
#[must_use]
pub fn mutated(text: &str, random: &mut Rng) -> String {
    let mut parts: Vec<String> = tokens(text).into_iter().map(str::to_owned).collect();
    for _ in 0..[1, 1, 1, 2, 3][random.usize(..5)] {
        let places: Vec<_> = (0..parts.len()).filter(|at| is_token(&parts[*at])).collect();
        if places.is_empty() {
            break;
        }
        let (one, other) = (places[random.usize(..places.len())], places[random.usize(..places.len())]);
        let alike: Vec<_> =
            places.iter().copied().filter(|at| class(&parts[*at]) == class(&parts[one])).collect();
        let like_it = alike[random.usize(..alike.len())];
        let foreign = FOREIGN[random.usize(..FOREIGN.len())];
        let changed = match random.u32(0..12) {
            0 | 1 => String::new(),
            2 => format!("{0} {0}", parts[one]),
            3 => std::mem::take(&mut parts[other]),
            4 => parts[other].clone(),
            5 => foreign.to_owned(),
            6 => format!("{} {foreign}", parts[one]),
            7..10 => parts[like_it].clone(),
            _ => {
                parts.swap(one, like_it);
                continue;
            }
        };
        parts[one] = changed;
    }
    parts.concat()
}

/// What a token could stand for without the grammar being hurt.
fn class(token: &str) -> u32 {
    match token.chars().next() {
        Some('@') => 0,
        Some('"') => 1,
        Some(first) if first.is_ascii_digit() => 2,
        Some(first) if first.is_uppercase() => 3,
        Some(first) if first.is_lowercase() => 4,
        _ => 5,
    }
}

fn is_token(part: &str) -> bool {
    !part.trim().is_empty() && !part.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_strings_comments_and_single_signs() {
        let text = "a @12 :T = \"x\\\" y\"; # c; d\n}";
        let expected =
            ["a", " ", "@12", " ", ":", "T", " ", "=", " ", "\"x\\\" y\"", ";", " ", "# c; d", "\n", "}"];
        assert_eq!(tokens(text), expected);
        assert_eq!(tokens("é\"open"), ["é", "\"open"]);
    }

    #[test]
    fn a_seed_decides_what_is_changed() {
        let text = "struct A { b @0 :Text; }";
        let changed = |seed| mutated(text, &mut Rng::with_seed(seed));
        assert_eq!(changed(7), changed(7));
        assert!((0..20).any(|seed| changed(seed) != changed(7)));
    }
}
