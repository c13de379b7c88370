//! Text into tokens.
//!
//! A run of operator characters is one token, as in the language's definition: `:.Foo` is not `: .Foo`. A doc comment
//! belongs to the `;`, `{` or `}` that it follows, and is kept with that token.

use std::num::IntErrorKind;

use crate::limits::NAME_BYTES;
use crate::names::{Name, Names};
use crate::source::Span;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token {
    Identifier(Name),
    Integer(u64),
    Float(f64),
    /// Quoted text, by its index in [`Tokens::strings`].
    Text(u32),
    /// Bytes in hexadecimal, by their index in [`Tokens::strings`].
    Data(u32),
    /// `@`
    At,
    /// `:`
    Colon,
    /// `=`
    Equals,
    /// `$`
    Dollar,
    /// `.`
    Dot,
    /// `!`
    Bang,
    /// `*`
    Star,
    /// `-`
    Minus,
    /// `->`
    Arrow,
    /// Another run of operator characters.
    Operator,
    Comma,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    /// `;` with the doc comment behind it, by its index in [`Tokens::docs`], which is 0 for none.
    Semicolon(u32),
    OpenBrace(u32),
    CloseBrace(u32),
    /// Something that is no token, already complained about.
    Invalid,
    /// Behind the last token.
    End,
}

/// The tokens of one file.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<(Token, Span)>,
    pub(crate) strings: Vec<Vec<u8>>,
    /// Where the comments stand, from the first `#` to the end of the last line.
    pub(crate) docs: Vec<Span>,
}

/// What is wrong with a token.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
}

/// Splits `text` into tokens, the last of which is [`Token::End`].
pub(crate) fn tokenize(text: &[u8], names: &mut Names) -> (Tokens, Vec<LexError>) {
    let mut lexer = Lexer { text, at: 0, names, out: Tokens::default(), errors: Vec::new() };
    lexer.out.docs.push(Span::default());
    if text.starts_with(b"\xef\xbb\xbf") {
        lexer.at = 3;
    }
    lexer.run();
    (lexer.out, lexer.errors)
}

/// The text of the comment at `span`: without the `#` and one space behind it, and without what indents the lines.
pub(crate) fn comment_text(text: &[u8], span: Span) -> Vec<u8> {
    let comment = text.get(span.start as usize..span.end as usize).unwrap_or(&[]);
    let mut out = Vec::with_capacity(comment.len());
    for line in comment.split_inclusive(|byte| *byte == b'\n') {
        let hash = line.iter().position(|byte| *byte == b'#').map_or(line.len(), |hash| hash + 1);
        let line = &line[hash..];
        let line = line.strip_prefix(b" ").unwrap_or(line);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}

fn is_operator(byte: u8) -> bool {
    b"!$%&*+-./:<=>?@^|~".contains(&byte)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    names: &'a mut Names,
    out: Tokens,
    errors: Vec<LexError>,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_while(&mut self, condition: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&condition) {
            self.at += 1;
        }
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }

    fn push(&mut self, token: Token, start: usize) {
        self.out.tokens.push((token, self.span_from(start)));
    }

    fn error(&mut self, start: usize, message: impl Into<String>, help: Option<&'static str>) {
        self.errors.push(LexError { span: self.span_from(start), message: message.into(), help });
    }

    fn run(&mut self) {
        while let Some(byte) = self.peek() {
            let start = self.at;
            match byte {
                byte if is_space(byte) => self.at += 1,
                b'#' => self.skip_while(|byte| byte != b'\n'),
                byte if is_name_start(byte) => {
                    self.skip_while(is_name);
                    if self.at - start > NAME_BYTES {
                        let message = format!("this name is longer than {NAME_BYTES} bytes");
                        self.error(start, message, None);
                    }
                    let end = self.at.min(start + NAME_BYTES);
                    // Only ASCII got here.
                    let text = std::str::from_utf8(&self.text[start..end]).unwrap_or_default();
                    let name = self.names.intern(text);
                    self.push(Token::Identifier(name), start);
                }
                b'0'..=b'9' => self.number(start),
                b'"' => match self.quoted() {
                    Some(text) => {
                        let index = self.string(text);
                        self.push(Token::Text(index), start);
                    }
                    None => self.push(Token::Invalid, start),
                },
                b'(' => self.single(Token::OpenParen),
                b')' => self.single(Token::CloseParen),
                b'[' => self.single(Token::OpenBracket),
                b']' => self.single(Token::CloseBracket),
                b',' => self.single(Token::Comma),
                b';' | b'{' | b'}' => {
                    self.at += 1;
                    let span = self.span_from(start);
                    let doc = self.doc();
                    let token = match byte {
                        b';' => Token::Semicolon(doc),
                        b'{' => Token::OpenBrace(doc),
                        _ => Token::CloseBrace(doc),
                    };
                    self.out.tokens.push((token, span));
                }
                byte if is_operator(byte) => {
                    self.skip_while(is_operator);
                    let token = match &self.text[start..self.at] {
                        b"@" => Token::At,
                        b":" => Token::Colon,
                        b"=" => Token::Equals,
                        b"$" => Token::Dollar,
                        b"." => Token::Dot,
                        b"!" => Token::Bang,
                        b"*" => Token::Star,
                        b"-" => Token::Minus,
                        b"->" => Token::Arrow,
                        _ => Token::Operator,
                    };
                    self.push(token, start);
                }
                _ => self.unknown(start),
            }
        }
        let end = self.text.len();
        self.push(Token::End, end);
    }

    fn single(&mut self, token: Token) {
        let start = self.at;
        self.at += 1;
        self.push(token, start);
    }

    fn string(&mut self, bytes: Vec<u8>) -> u32 {
        self.out.strings.push(bytes);
        self.out.strings.len() as u32 - 1
    }

    fn unknown(&mut self, start: usize) {
        // One complaint for a run of such characters, and for all of a text in the wrong quotes.
        if matches!(self.peek(), Some(b'\'' | b'`')) {
            let quote = self.peek();
            self.at += 1;
            self.skip_while(|byte| byte != b'\n' && Some(byte) != quote);
            if self.peek() == quote {
                self.at += 1;
            }
        } else {
            self.skip_while(|byte| {
                !is_space(byte) && !is_name(byte) && !is_operator(byte) && !b"#\"()[]{},;".contains(&byte)
            });
        }
        let run = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let shown: String = run
            .chars()
            .take(16)
            .map(|character| if character.is_control() { '\u{fffd}' } else { character })
            .collect();
        let help = match run.chars().next() {
            Some('\'' | '`' | '‘' | '’' | '“' | '”') => {
                Some("text is written in double quotes: \"…\"")
            }
            Some(character) if character.is_alphabetic() => Some(
                "names consist of the ASCII letters and digits; other characters may stand in comments and text",
            ),
            _ => None,
        };
        self.error(start, format!("`{shown}` does not belong in a schema"), help);
        self.push(Token::Invalid, start);
    }

    /// The comment lines behind `;`, `{` or `}`: those that start on the same line or the next, up to the first line
    /// that is no comment.
    fn doc(&mut self) -> u32 {
        let blank = |byte: u8| is_space(byte) && byte != b'\n';
        self.skip_while(blank);
        if self.peek() == Some(b'\n') {
            self.at += 1;
            self.skip_while(blank);
        }
        let start = self.at;
        let mut end = start;
        while self.peek() == Some(b'#') {
            self.skip_while(|byte| byte != b'\n');
            self.at = (self.at + 1).min(self.text.len());
            end = self.at;
            self.skip_while(blank);
        }
        if end == start {
            return 0;
        }
        self.out.docs.push(Span { start: start as u32, end: end as u32 });
        self.out.docs.len() as u32 - 1
    }

    fn number(&mut self, start: usize) {
        if self.text[start..].starts_with(b"0x") {
            self.at += 2;
            if self.peek() == Some(b'"') {
                let bytes = self.hex_data(start);
                let index = self.string(bytes);
                return self.push(Token::Data(index), start);
            }
            self.skip_while(|byte| byte.is_ascii_hexdigit());
            if self.at == start + 2 {
                self.error(start, "`0x` without digits", Some("hexadecimal digits follow, as in `0x1f`"));
                return self.push(Token::Invalid, start);
            }
            return self.integer(start, start + 2, 16);
        }
        self.skip_while(|byte| byte.is_ascii_digit());
        let mut float = false;
        if self.peek() == Some(b'.')
            && !self
                .text
                .get(self.at + 1)
                .copied()
                .is_some_and(|next| is_operator(next) || is_name_start(next) && !matches!(next, b'e' | b'E'))
        {
            float = true;
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_digit());
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            let digits = self.at;
            self.skip_while(|byte| byte.is_ascii_digit());
            if self.at == digits {
                self.error(start, "an exponent without digits", Some("digits follow the `e`, as in `1e9`"));
                return self.push(Token::Invalid, start);
            }
        }
        if self.peek().is_some_and(is_name) {
            return self.bad_number(start);
        }
        if !float {
            let octal = self.at > start + 1 && self.text[start] == b'0';
            return if octal { self.integer(start, start + 1, 8) } else { self.integer(start, start, 10) };
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(value) => self.push(Token::Float(value), start),
            Err(_) => self.bad_number(start),
        }
    }

    fn bad_number(&mut self, start: usize) {
        self.skip_while(is_name);
        let help =
            "a number is decimal (`10`, `1.5e3`), hexadecimal (`0x1f`) or, with a leading `0`, octal (`017`)";
        self.error(start, "this is not a number", Some(help));
        self.push(Token::Invalid, start);
    }

    fn integer(&mut self, start: usize, digits: usize, radix: u32) {
        if self.peek().is_some_and(is_name) {
            return self.bad_number(start);
        }
        let text = std::str::from_utf8(&self.text[digits..self.at]).unwrap_or_default();
        match u64::from_str_radix(text, radix) {
            Ok(value) => self.push(Token::Integer(value), start),
            // A floating-point number may be as large; an integer of this value fits no type.
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
                let value = text.bytes().fold(0.0, |value, digit| {
                    let digit = char::from(digit).to_digit(radix).unwrap_or_default();
                    value * f64::from(radix) + f64::from(digit)
                });
                self.push(Token::Float(value), start);
            }
            Err(_) => self.bad_number(start),
        }
    }

    /// `"…"` of hexadecimal digits in pairs, with space between the pairs.
    fn hex_data(&mut self, start: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            self.skip_while(is_space);
            let pair = (self.text.get(self.at).copied(), self.text.get(self.at + 1).copied());
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            match pair {
                (Some(b'"'), _) => {
                    self.at += 1;
                    if bytes.is_empty() {
                        self.error(
                            start,
                            "this data has no bytes",
                            Some("no bytes are written as empty text: `\"\"`"),
                        );
                    }
                    return bytes;
                }
                (None, _) => {
                    self.error(start, "this hexadecimal data never ends", Some("it ends with a `\"`"));
                    return bytes;
                }
                (high, low) => {
                    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                        let at = self.at;
                        self.skip_while(|byte| byte != b'"' && byte != b'\n' && byte != b';');
                        self.error(at, "expected two hexadecimal digits for each byte", None);
                        if self.peek() == Some(b'"') {
                            self.at += 1;
                        }
                        return bytes;
                    };
                    bytes.push((high << 4 | low) as u8);
                    self.at += 2;
                }
            }
        }
    }

    /// Text in double quotes, its escapes resolved; `None` if it is not closed.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let start = self.at;
        let mut bytes = Vec::new();
        self.at += 1;
        loop {
            let Some(byte) = self.peek() else {
                self.error(start, "this text never ends", Some("text ends with a `\"`"));
                return None;
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    return Some(bytes);
                }
                b'\n' => {
                    let help = "text ends with a `\"` on its own line; a line break in it is written `\\n`, and texts \
                                that stand side by side are joined";
                    self.error(start, "this text is not closed on its line", Some(help));
                    return None;
                }
                b'\\' => {
                    let escape = self.at;
                    self.at += 1;
                    if let Some(byte) = self.escape() {
                        bytes.push(byte);
                    } else {
                        let help = "the escapes are \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\' \\?, \\x and two \
                                        hexadecimal digits, \\ and up to three octal digits";
                        self.error(escape, "unknown escape", Some(help));
                    }
                }
                byte => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        if byte == b'\n' {
            return None;
        }
        self.at += 1;
        Some(match byte {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'"' | b'\'' | b'?' => byte,
            b'x' => {
                let mut value = 0;
                for _ in 0..2 {
                    value = value << 4 | char::from(self.peek()?).to_digit(16)?;
                    self.at += 1;
                }
                value as u8
            }
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(8)) else {
                        break;
                    };
                    value = value << 3 | digit;
                    self.at += 1;
                }
                value as u8
            }
            _ => return None,
        })
    }
}
