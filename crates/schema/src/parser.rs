//! Tokens into a syntax tree.
//!
//! A statement that cannot be parsed is reported, and skipped up to its `;` or over its block; parsing goes on behind
//! it, so that one run finds what is wrong with each statement.

mod declarations;
mod expressions;

use crate::diagnostics::Kind as ErrorKind;
use crate::diagnostics::Report;
use crate::lexer::{Token, Tokens, tokenize};
use crate::names::{Name, Names};
use crate::source::Span;
use crate::syntax::{
    Declaration, DeclarationId, Expression, ExpressionId, ExpressionKind, File, Kind, Named,
};

/// The words of the language. None of them is reserved.
#[derive(Debug)]
pub(crate) struct Words {
    using: Name,
    constant: Name,
    enumeration: Name,
    structure: Name,
    interface: Name,
    annotation: Name,
    union: Name,
    group: Name,
    import: Name,
    embed: Name,
    extends: Name,
    stream: Name,
    inf: Name,
}

impl Words {
    pub(crate) fn new(names: &mut Names) -> Self {
        Self {
            using: names.intern("using"),
            constant: names.intern("const"),
            enumeration: names.intern("enum"),
            structure: names.intern("struct"),
            interface: names.intern("interface"),
            annotation: names.intern("annotation"),
            union: names.intern("union"),
            group: names.intern("group"),
            import: names.intern("import"),
            embed: names.intern("embed"),
            extends: names.intern("extends"),
            stream: names.intern("stream"),
            inf: names.intern("inf"),
        }
    }
}

/// Parses `text`. What is wrong is told to `report`; what could be parsed is returned all the same.
pub(crate) fn parse(text: &[u8], names: &mut Names, words: &Words, report: &mut dyn FnMut(Report)) -> File {
    let (tokens, errors) = tokenize(text, names);
    for error in errors {
        report(Report {
            kind: ErrorKind::Syntax,
            span: error.span,
            message: error.message,
            help: error.help.map(Into::into),
            ..Report::default()
        });
    }
    let Tokens { tokens, strings, docs } = tokens;
    let file = File { strings, docs, ..File::default() };
    let mut parser = Parser { text, tokens, at: 0, names, words, file, report, depth: 0 };
    parser.file();
    parser.file
}

/// A statement could not be parsed, and has been complained about.
struct Failed;

type Parsed<T> = Result<T, Failed>;

/// What may be declared in a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    File,
    Struct,
    /// Of a group or a union.
    Members,
    Enum,
    Interface,
}

struct Parser<'a> {
    text: &'a [u8],
    tokens: Vec<(Token, Span)>,
    at: usize,
    names: &'a Names,
    words: &'a Words,
    file: File,
    report: &'a mut dyn FnMut(Report),
    depth: usize,
}

impl Parser<'_> {
    fn token(&self) -> Token {
        self.tokens.get(self.at).map_or(Token::End, |(token, _)| *token)
    }

    fn following(&self, ahead: usize) -> Token {
        self.tokens.get(self.at + ahead).map_or(Token::End, |(token, _)| *token)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(Span::default(), |(_, span)| *span)
    }

    fn previous_span(&self) -> Span {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(Span::default(), |(_, span)| *span)
    }

    fn advance(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn take(&mut self, token: Token) -> bool {
        let matches = self.token() == token;
        if matches {
            self.advance();
        }
        matches
    }

    fn is_word(&self, word: Name) -> bool {
        self.token() == Token::Identifier(word)
    }

    fn error(&mut self, span: Span, message: impl Into<String>, label: &str, help: Option<&str>) -> Failed {
        (self.report)(Report {
            kind: ErrorKind::Syntax,
            span,
            message: message.into(),
            label: label.into(),
            help: help.map(Into::into),
            ..Report::default()
        });
        Failed
    }

    /// Complains that `expected` does not stand here.
    fn expected(&mut self, expected: &str, help: Option<&str>) -> Failed {
        let found = match self.token() {
            // Already complained about.
            Token::Invalid => return Failed,
            Token::Identifier(name) => format!("`{}`", self.names.text(name)),
            Token::Integer(value) => format!("`{value}`"),
            Token::Float(_) => "a number".into(),
            Token::Text(_) => "text".into(),
            Token::Data(_) => "data".into(),
            Token::At => "`@`".into(),
            Token::Colon => "`:`".into(),
            Token::Equals => "`=`".into(),
            Token::Dollar => "`$`".into(),
            Token::Dot => "`.`".into(),
            Token::Bang => "`!`".into(),
            Token::Star => "`*`".into(),
            Token::Minus => "`-`".into(),
            Token::Arrow => "`->`".into(),
            Token::Operator => "this operator".into(),
            Token::Comma => "`,`".into(),
            Token::OpenParen => "`(`".into(),
            Token::CloseParen => "`)`".into(),
            Token::OpenBracket => "`[`".into(),
            Token::CloseBracket => "`]`".into(),
            Token::Semicolon(_) => "`;`".into(),
            Token::OpenBrace(_) => "`{`".into(),
            Token::CloseBrace(_) => "`}`".into(),
            Token::End => "the end of the file".into(),
        };
        // What is missing is missing behind what stands before it; what is wrong is wrong where it stands.
        let ends = matches!(
            self.token(),
            Token::Semicolon(_) | Token::OpenBrace(_) | Token::CloseBrace(_) | Token::End
        );
        let span = if ends && self.at > 0 { self.previous_span().after() } else { self.span() };
        let label = format!("expected {expected}");
        let help = match self.token() {
            Token::Operator if help.is_none() => {
                Some("operators that stand side by side are one: set them apart by a space")
            }
            _ => help,
        };
        self.error(span, format!("expected {expected}, found {found}"), &label, help)
    }

    fn identifier(&mut self, what: &str) -> Parsed<Named> {
        if let Token::Identifier(name) = self.token() {
            let named = Named { name, span: self.span() };
            self.advance();
            return Ok(named);
        }
        Err(self.expected(what, None))
    }

    fn expect(&mut self, token: Token, what: &str, help: Option<&str>) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { Err(self.expected(what, help)) }
    }

    fn declare(&mut self, kind: Kind, name: Option<Named>, span: Span) -> Declaration {
        Declaration {
            kind,
            name,
            span: span.to(self.previous_span()),
            id: None,
            ordinal: None,
            parameters: Vec::new(),
            annotations: Vec::new(),
            children: Vec::new(),
            doc: 0,
            incomplete: false,
        }
    }

    fn add(&mut self, declaration: Declaration) -> DeclarationId {
        self.file.declarations.push(declaration);
        DeclarationId(self.file.declarations.len() as u32 - 1)
    }

    fn add_expression(&mut self, kind: ExpressionKind, start: Span) -> ExpressionId {
        let span = start.to(self.previous_span());
        self.file.expressions.push(Expression { kind, span });
        ExpressionId(self.file.expressions.len() as u32 - 1)
    }

    fn file(&mut self) {
        let root = self.declare(Kind::File, None, Span { start: 0, end: 0 });
        let root = self.add(root);
        let mut children = Vec::new();
        self.statements(Scope::File, root, &mut children);
        self.file.declarations[root.0 as usize].children = children;
    }

    /// Parses statements up to the end of the block, or of the file, into `children`.
    fn statements(&mut self, scope: Scope, parent: DeclarationId, children: &mut Vec<DeclarationId>) {
        loop {
            match self.token() {
                Token::End => return,
                Token::CloseBrace(_) if scope != Scope::File => return,
                Token::CloseBrace(_) => {
                    let help = Some("remove it, or look for a block that was closed before");
                    self.error(self.span(), "expected a declaration, found `}`", "closes no block", help);
                    self.advance();
                    continue;
                }
                _ => {}
            }
            let start = self.at;
            match self.statement(scope, parent) {
                Ok(Some(child)) => children.push(child),
                Ok(None) => {}
                Err(Failed) => {
                    self.file.declarations[parent.0 as usize].incomplete = true;
                    self.skip_statement(start);
                }
            }
        }
    }

    /// Goes on behind the statement that began at token `start`: behind its `;` or its block.
    fn skip_statement(&mut self, start: usize) {
        let mut depth = 0_usize;
        self.at = self.at.max(start);
        // What was parsed of the statement may have opened blocks, but never a block that it did not close.
        loop {
            match self.token() {
                Token::End => return,
                Token::Semicolon(_) if depth == 0 => return self.advance(),
                Token::OpenBrace(_) => depth += 1,
                Token::CloseBrace(_) if depth == 0 => return,
                Token::CloseBrace(_) if depth == 1 => return self.advance(),
                Token::CloseBrace(_) => depth -= 1,
                _ => {}
            }
            self.advance();
        }
    }

    fn statement(&mut self, scope: Scope, parent: DeclarationId) -> Parsed<Option<DeclarationId>> {
        let start = self.span();
        let word = match self.token() {
            Token::Identifier(word) => word,
            Token::At if scope == Scope::File => {
                let id = self.id()?;
                let doc = self.end_statement()?;
                let file = &mut self.file.declarations[parent.0 as usize];
                file.doc = doc;
                if let Some(first) = file.id.replace(id) {
                    file.id = Some(first);
                    self.error(start.to(id.span), "a file has one id", "this one is its second", None);
                }
                return Ok(None);
            }
            Token::Dollar if scope == Scope::File => {
                let annotation = self.annotation_use()?;
                self.end_statement()?;
                self.file.declarations[parent.0 as usize].annotations.push(annotation);
                return Ok(None);
            }
            _ => {
                let what = match scope {
                    Scope::File => "a declaration",
                    Scope::Struct | Scope::Members => "a field, a group or a union",
                    Scope::Enum => "an enumerant",
                    Scope::Interface => "a method",
                };
                return Err(self.expected(what, None));
            }
        };
        // No word is reserved: `struct @0 :Text` is a field.
        let member = matches!(self.following(1), Token::At | Token::Colon);
        if scope == Scope::Enum {
            return self.enumerant(start).map(Some);
        }
        if !member || scope == Scope::File {
            if word == self.words.union && scope != Scope::File && scope != Scope::Interface {
                self.advance();
                return self.block(Kind::Union, None, None, start, Scope::Members).map(Some);
            }
            if let Some(parse) = self.general(word) {
                let declaration = parse(self, start)?;
                if scope == Scope::Members {
                    let span = self.file.declaration(declaration).span;
                    let help = "it can stand in the struct around the group or union";
                    self.error(
                        span,
                        "this kind of declaration does not belong here",
                        "not a field, group or union",
                        Some(help),
                    );
                    return Ok(None);
                }
                return Ok(Some(declaration));
            }
        }
        match scope {
            Scope::Struct | Scope::Members => self.member(start).map(Some),
            Scope::Interface => self.method(start).map(Some),
            Scope::File | Scope::Enum => {
                let help = self.similar_word(word);
                Err(self.expected(
                    "a declaration: `struct`, `enum`, `interface`, `const`, `annotation` or `using`",
                    help.as_deref(),
                ))
            }
        }
    }

    fn similar_word(&self, word: Name) -> Option<String> {
        let words = ["struct", "enum", "interface", "const", "annotation", "using"];
        crate::diagnostics::most_similar(self.names.text(word), words.into_iter())
            .map(|word| format!("did you mean `{word}`?"))
    }

    /// How a declaration that may stand in more than one kind of block is parsed.
    fn general(&self, word: Name) -> Option<fn(&mut Self, Span) -> Parsed<DeclarationId>> {
        let words = self.words;
        if word == words.using {
            Some(Self::using)
        } else if word == words.constant {
            Some(Self::constant)
        } else if word == words.enumeration {
            Some(Self::enumeration)
        } else if word == words.structure {
            Some(Self::structure)
        } else if word == words.interface {
            Some(Self::interface)
        } else if word == words.annotation {
            Some(Self::annotation)
        } else {
            None
        }
    }

    /// The `;` of a statement; its doc comment.
    fn end_statement(&mut self) -> Parsed<u32> {
        match self.token() {
            Token::Semicolon(doc) => {
                self.advance();
                Ok(doc)
            }
            Token::OpenBrace(_) => {
                Err(self.expected("`;`", Some("this declaration ends with a semicolon, not a block")))
            }
            // A text that is not closed has taken it along.
            _ if self.follows_invalid() && (self.starts_line() || self.token() == Token::End) => Ok(0),
            // It was forgotten at the end of a line: nothing else is wrong.
            Token::Identifier(_) | Token::CloseBrace(_) if self.starts_line() || self.token_closes() => {
                let span = self.previous_span().after();
                self.error(span, "expected `;` at the end of the declaration", "expected `;`", None);
                Ok(0)
            }
            Token::At => Err(self.expected("`;`", Some("an id or a number stands right behind the name"))),
            _ => Err(self.expected("`;`", None)),
        }
    }

    fn token_closes(&self) -> bool {
        matches!(self.token(), Token::CloseBrace(_))
    }

    fn follows_invalid(&self) -> bool {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .is_some_and(|(token, _)| *token == Token::Invalid)
    }

    /// Whether the token is the first on its line.
    fn starts_line(&self) -> bool {
        let between = self.text.get(self.previous_span().end as usize..self.span().start as usize);
        between.is_some_and(|between| between.contains(&b'\n'))
    }
}
