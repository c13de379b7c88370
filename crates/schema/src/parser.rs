//! Tokens into a syntax tree.
//!
//! A statement that cannot be parsed is reported, and skipped up to its `;` or over its block; parsing goes on behind
//! it, so that one run finds what is wrong with each statement.

use crate::diagnostics::Kind as ErrorKind;
use crate::diagnostics::Report;
use crate::lexer::{Token, Tokens, tokenize};
use crate::limits::{EXPRESSION_DEPTH, SCOPE_DEPTH};
use crate::names::{Name, Names};
use crate::source::Span;
use crate::syntax::{
    Annotation, AnnotationValue, Argument, Declaration, DeclarationId, Expression, ExpressionId,
    ExpressionKind, File, Kind, Method, Named, Number, Parameters, TARGETS,
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

    fn using(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let (name, target) = if matches!(self.token(), Token::Identifier(_))
            && self.following(1) == Token::Equals
        {
            let name = self.identifier("a name")?;
            self.advance();
            (name, self.expression()?)
        } else {
            let target = self.expression()?;
            let ExpressionKind::Member { member, .. } = &self.file.expression(target).kind else {
                let span = self.file.expression(target).span;
                let help =
                    "write `using Name = …;`, or name something in it: `using import \"file.capnp\".Name;`";
                return Err(self.error(
                    span,
                    "`using` needs a name",
                    "nothing here says what to call it",
                    Some(help),
                ));
            };
            (*member, target)
        };
        let mut declaration = self.declare(Kind::Using { target }, Some(name), start);
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    fn constant(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the constant")?;
        let id = self.optional_id()?;
        self.expect(Token::Colon, "`:` and the type of the constant", None)?;
        let ty = self.expression()?;
        self.expect(Token::Equals, "`=` and the value of the constant", None)?;
        let value = self.unlisted()?;
        let mut declaration = self.declare(Kind::Const { ty, value }, Some(name), start);
        declaration.id = id;
        declaration.annotations = self.annotations()?;
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    fn annotation(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the annotation")?;
        let id = self.optional_id()?;
        self.expect(
            Token::OpenParen,
            "`(` and what the annotation may be applied to",
            Some("`(*)` allows everything"),
        )?;
        let mut targets = 0_u16;
        if self.take(Token::Star) {
            targets = !0;
        } else {
            while self.token() != Token::CloseParen {
                let target = self.identifier("what the annotation may be applied to, or `*`")?;
                let text = self.names.text(target.name);
                match TARGETS.iter().position(|known| *known == text) {
                    Some(index) if targets & (1 << index) != 0 => {
                        let message = format!("`{text}` is named twice");
                        self.error(target.span, message, "the second time", None);
                    }
                    Some(index) => targets |= 1 << index,
                    None => {
                        let help = match crate::diagnostics::most_similar(text, TARGETS.into_iter()) {
                            Some(similar) => format!("did you mean `{similar}`?"),
                            None => format!("the targets are {}", TARGETS.join(", ")),
                        };
                        let message = format!("`{text}` is nothing that annotations are applied to");
                        self.error(target.span, message, "unknown target", Some(&help));
                    }
                }
                if !self.take(Token::Comma) {
                    break;
                }
            }
        }
        self.expect(Token::CloseParen, "`,` or `)`", None)?;
        self.expect(
            Token::Colon,
            "`:` and the type of the annotation's value",
            Some("an annotation without a value is `:Void`"),
        )?;
        let ty = self.unlisted()?;
        let mut declaration = self.declare(Kind::Annotation { ty, targets }, Some(name), start);
        declaration.id = id;
        declaration.annotations = self.annotations()?;
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    fn enumeration(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the enum")?;
        let id = self.optional_id()?;
        self.block(Kind::Enum, Some(name), id, start, Scope::Enum)
    }

    fn structure(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the struct")?;
        let id = self.optional_id()?;
        self.block(Kind::Struct, Some(name), id, start, Scope::Struct)
    }

    fn interface(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the interface")?;
        let id = self.optional_id()?;
        self.block(Kind::Interface { superclasses: Vec::new() }, Some(name), id, start, Scope::Interface)
    }

    /// The rest of a declaration that has a block: generic parameters, superclasses and annotations as far as `kind`
    /// has them, and the block itself.
    fn block(
        &mut self,
        kind: Kind,
        name: Option<Named>,
        id: Option<Number>,
        start: Span,
        scope: Scope,
    ) -> Parsed<DeclarationId> {
        let generic = matches!(kind, Kind::Struct | Kind::Interface { .. });
        let parameters = if generic && self.take(Token::OpenParen) {
            self.names(Token::CloseParen, "`)`")?
        } else {
            Vec::new()
        };
        let kind = match kind {
            Kind::Interface { .. } if self.is_word(self.words.extends) => {
                self.advance();
                self.expect(Token::OpenParen, "`(` and the interfaces that this one extends", None)?;
                let mut superclasses = Vec::new();
                while self.token() != Token::CloseParen {
                    superclasses.push(self.expression()?);
                    if !self.take(Token::Comma) {
                        break;
                    }
                }
                self.expect(Token::CloseParen, "`,` or `)`", None)?;
                Kind::Interface { superclasses }
            }
            kind => kind,
        };
        let annotated = name.is_some();
        let mut declaration = self.declare(kind, name, start);
        declaration.id = id;
        declaration.parameters = parameters;
        if annotated {
            declaration.annotations = self.annotations()?;
        }
        declaration.span = start.to(self.previous_span());
        let id = self.add(declaration);
        self.block_of(id, start, scope)?;
        Ok(id)
    }

    fn block_of(&mut self, id: DeclarationId, start: Span, scope: Scope) -> Parsed<()> {
        let Token::OpenBrace(doc) = self.token() else {
            let help = match self.token() {
                Token::Semicolon(_) => Some("this declaration ends with a block, not a semicolon"),
                Token::At => Some("an id stands right behind the name: `struct Name @0x… (T) {`"),
                _ => None,
            };
            return Err(self.expected("`{`", help));
        };
        let open = self.span();
        if self.depth >= SCOPE_DEPTH {
            let span = start.to(self.previous_span());
            return Err(self.error(
                span,
                format!("declarations nest deeper than {SCOPE_DEPTH} levels"),
                "here",
                None,
            ));
        }
        self.advance();
        self.depth += 1;
        let mut children = Vec::new();
        self.statements(scope, id, &mut children);
        self.depth -= 1;
        let mut declared_doc = doc;
        if let Token::CloseBrace(doc) = self.token() {
            self.advance();
            if declared_doc == 0 {
                declared_doc = doc;
            }
        } else {
            self.error(open, "this block is never closed", "opened here", Some("it ends with a `}`"));
        }
        let declaration = &mut self.file.declarations[id.0 as usize];
        declaration.doc = declared_doc;
        declaration.children = children;
        Ok(())
    }

    fn enumerant(&mut self, start: Span) -> Parsed<DeclarationId> {
        let name = self.identifier("an enumerant")?;
        let ordinal = self.ordinal("`@` and the number of the enumerant")?;
        let mut declaration = self.declare(Kind::Enumerant, Some(name), start);
        declaration.ordinal = Some(ordinal);
        declaration.annotations = self.annotations()?;
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    /// A field, a named union or a group.
    fn member(&mut self, start: Span) -> Parsed<DeclarationId> {
        let name = self.identifier("a field")?;
        let ordinal = if self.token() == Token::At { Some(self.ordinal("`@`")?) } else { None };
        let pinned = ordinal.is_some() && self.take(Token::Bang);
        if ordinal.is_none() && self.token() != Token::Colon {
            return Err(self.expected("`@` and the number of the field", None));
        }
        let help = ordinal.is_none().then_some("a field is written `name @0 :Type;`");
        self.expect(Token::Colon, "`:`", help)?;
        let block = matches!(self.following(1), Token::OpenBrace(_) | Token::Dollar);
        if block && self.is_word(self.words.union) {
            self.advance();
            if let (Some(ordinal), false) = (ordinal, pinned) {
                let help = "remove the number, unless the layout of a schema from before Cap'n Proto 0.3 has to stay: \
                            then write `!` behind it, as in `name @1! :union {`";
                self.error(ordinal.span, "a union has no number", "not needed", Some(help));
            }
            let id = self.block(Kind::Union, Some(name), None, start, Scope::Members)?;
            self.file.declarations[id.0 as usize].ordinal = ordinal;
            return Ok(id);
        }
        if block && self.is_word(self.words.group) {
            if let Some(ordinal) = ordinal {
                return Err(self.error(
                    ordinal.span,
                    "a group has no number",
                    "not needed",
                    Some("its fields have"),
                ));
            }
            self.advance();
            return self.block(Kind::Group, Some(name), None, start, Scope::Members);
        }
        let Some(ordinal) = ordinal else {
            let span = name.span.after();
            let message = "expected `@` and the number of the field";
            return Err(self.error(
                span,
                message,
                "number missing",
                Some("a field is written `name @0 :Type;`"),
            ));
        };
        if pinned {
            return Err(self.expected("a union", Some("only unions have a `!` behind their number")));
        }
        let ty = self.expression()?;
        let default = if self.take(Token::Equals) { Some(self.unlisted()?) } else { None };
        let mut declaration = self.declare(Kind::Field { ty, default }, Some(name), start);
        declaration.ordinal = Some(ordinal);
        declaration.annotations = self.annotations()?;
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    fn method(&mut self, start: Span) -> Parsed<DeclarationId> {
        let name = self.identifier("a method")?;
        let ordinal = self.ordinal("`@` and the number of the method")?;
        let implicit =
            if self.take(Token::OpenBracket) { self.names(Token::CloseBracket, "`]`")? } else { Vec::new() };
        let parameters = self.parameters()?;
        let results = if self.take(Token::Arrow) {
            if self.is_word(self.words.stream) && !matches!(self.following(1), Token::Dot | Token::OpenParen)
            {
                let span = self.span();
                self.advance();
                self.file.stream.get_or_insert(span);
                Parameters::Stream(span)
            } else {
                self.parameters()?
            }
        } else {
            Parameters::List { fields: Vec::new() }
        };
        let method = Method { implicit, parameters, results };
        let mut declaration = self.declare(Kind::Method(Box::new(method)), Some(name), start);
        declaration.ordinal = Some(ordinal);
        declaration.annotations = self.annotations()?;
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    fn parameters(&mut self) -> Parsed<Parameters> {
        if !self.take(Token::OpenParen) {
            return Ok(Parameters::Type(self.expression()?));
        }
        let mut fields = Vec::new();
        while self.token() != Token::CloseParen {
            let start = self.span();
            let name = self.identifier("a parameter")?;
            self.expect(
                Token::Colon,
                "`:` and the type of the parameter",
                Some("a parameter is written `name :Type`"),
            )?;
            let ty = self.expression()?;
            let default = if self.take(Token::Equals) { Some(self.unlisted()?) } else { None };
            let mut declaration = self.declare(Kind::Field { ty, default }, Some(name), start);
            declaration.annotations = self.annotations()?;
            fields.push(self.add(declaration));
            if !self.take(Token::Comma) {
                break;
            }
        }
        self.expect(Token::CloseParen, "`,` or `)`", None)?;
        Ok(Parameters::List { fields })
    }

    /// Names between commas, up to and with `close`.
    fn names(&mut self, close: Token, what: &str) -> Parsed<Vec<Named>> {
        let mut names = Vec::new();
        while self.token() != close {
            names.push(self.identifier("the name of a generic parameter")?);
            if !self.take(Token::Comma) {
                break;
            }
        }
        self.expect(close, &format!("`,` or {what}"), None)?;
        Ok(names)
    }

    fn id(&mut self) -> Parsed<Number> {
        self.expect(Token::At, "`@`", None)?;
        let Token::Integer(value) = self.token() else {
            return Err(self.expected("an id, as in `@0x9eb32e19f86ee174`", None));
        };
        let span = self.previous_span().to(self.span());
        self.advance();
        if value >> 63 == 0 {
            let help =
                "an id has 64 bits, the highest of which is set; `capnp id` or `vatmux schema id` makes one";
            self.error(span, "this is no id", "its highest bit is not set", Some(help));
        }
        Ok(Number { value, span })
    }

    fn optional_id(&mut self) -> Parsed<Option<Number>> {
        if self.token() == Token::At { self.id().map(Some) } else { Ok(None) }
    }

    fn ordinal(&mut self, expected: &str) -> Parsed<Number> {
        self.expect(Token::At, expected, None)?;
        let Token::Integer(value) = self.token() else {
            return Err(self.expected("a number", None));
        };
        let span = self.previous_span().to(self.span());
        self.advance();
        Ok(Number { value, span })
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
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).is_some_and(|(token, _)| *token == Token::Invalid)
    }

    /// Whether the token is the first on its line.
    fn starts_line(&self) -> bool {
        let between = self.text.get(self.previous_span().end as usize..self.span().start as usize);
        between.is_some_and(|between| between.contains(&b'\n'))
    }

    fn annotations(&mut self) -> Parsed<Vec<Annotation>> {
        let mut annotations = Vec::new();
        while self.token() == Token::Dollar {
            annotations.push(self.annotation_use()?);
        }
        Ok(annotations)
    }

    fn annotation_use(&mut self) -> Parsed<Annotation> {
        self.expect(Token::Dollar, "`$`", None)?;
        if !matches!(self.token(), Token::Identifier(_) | Token::Dot) {
            return Err(self.expected("the name of an annotation", None));
        }
        let whole = self.expression()?;
        let expression = self.file.expression(whole);
        let span = expression.span;
        let ExpressionKind::Apply { base, arguments } = &expression.kind else {
            return Ok(Annotation { name: whole, value: AnnotationValue::None });
        };
        let (name, arguments) = (*base, arguments.clone());
        let start = self.file.expression(name).span.after();
        self.file.imports.retain(|(_, at)| at.start < start.start || at.start >= span.end);
        let value = match arguments.as_slice() {
            [Argument { name: None, value }] => *value,
            _ => {
                self.file
                    .expressions
                    .push(Expression { kind: ExpressionKind::Tuple(arguments), span: start.to(span) });
                ExpressionId(self.file.expressions.len() as u32 - 1)
            }
        };
        Ok(Annotation { name, value: AnnotationValue::Expression(value) })
    }

    /// An expression whose imports are not listed in the request: only those are that types and scopes come from.
    fn unlisted(&mut self) -> Parsed<ExpressionId> {
        let listed = self.file.imports.len();
        let expression = self.expression();
        self.file.imports.truncate(listed);
        expression
    }

    fn expression(&mut self) -> Parsed<ExpressionId> {
        let start = self.span();
        if self.depth >= SCOPE_DEPTH + EXPRESSION_DEPTH {
            let message = format!("expressions nest deeper than {EXPRESSION_DEPTH} levels");
            return Err(self.error(start, message, "here", None));
        }
        let depth = self.depth;
        // Scopes and expressions have a bound of their own, counted in one number.
        self.depth = if depth < SCOPE_DEPTH { SCOPE_DEPTH } else { depth } + 1;
        let result = self.postfix(start);
        self.depth = depth;
        result
    }

    fn postfix(&mut self, start: Span) -> Parsed<ExpressionId> {
        let mut expression = self.primary(start)?;
        for _ in 0..EXPRESSION_DEPTH {
            match self.token() {
                Token::Dot => {
                    self.advance();
                    let member = self.identifier("a name")?;
                    expression =
                        self.add_expression(ExpressionKind::Member { base: expression, member }, start);
                }
                Token::OpenParen => {
                    self.advance();
                    let arguments = self.arguments()?;
                    expression =
                        self.add_expression(ExpressionKind::Apply { base: expression, arguments }, start);
                }
                _ => return Ok(expression),
            }
        }
        Err(self.error(start, format!("a name has more than {EXPRESSION_DEPTH} parts"), "here", None))
    }

    fn primary(&mut self, start: Span) -> Parsed<ExpressionId> {
        let kind = match self.token() {
            Token::Integer(value) => {
                self.advance();
                ExpressionKind::Integer(value)
            }
            Token::Float(value) => {
                self.advance();
                ExpressionKind::Float(value)
            }
            Token::Minus => {
                self.advance();
                let kind = match self.token() {
                    Token::Integer(value) => ExpressionKind::Negative(value),
                    Token::Float(value) => ExpressionKind::Float(-value),
                    Token::Identifier(word) if word == self.words.inf => {
                        ExpressionKind::Float(f64::NEG_INFINITY)
                    }
                    _ => return Err(self.expected("a number", None)),
                };
                self.advance();
                kind
            }
            Token::Text(_) => {
                let mut text = Vec::new();
                while let Token::Text(index) = self.token() {
                    text.extend_from_slice(self.file.string(index));
                    self.advance();
                }
                ExpressionKind::Text(text)
            }
            Token::Data(index) => {
                self.advance();
                ExpressionKind::Data(index)
            }
            Token::Dot => {
                self.advance();
                ExpressionKind::Absolute(self.identifier("a name")?.name)
            }
            Token::Identifier(word) => {
                self.advance();
                match self.token() {
                    Token::Text(path) if word == self.words.import => {
                        self.advance();
                        self.file.imports.push((path, start));
                        ExpressionKind::Import(path)
                    }
                    Token::Text(path) if word == self.words.embed => {
                        self.advance();
                        ExpressionKind::Embed(path)
                    }
                    _ => ExpressionKind::Name(word),
                }
            }
            Token::OpenBracket => {
                self.advance();
                let mut elements = Vec::new();
                while self.token() != Token::CloseBracket {
                    elements.push(self.expression()?);
                    if !self.take(Token::Comma) {
                        break;
                    }
                }
                self.expect(Token::CloseBracket, "`,` or `]`", None)?;
                ExpressionKind::List(elements)
            }
            Token::OpenParen => {
                self.advance();
                let arguments = self.arguments()?;
                // One value in parentheses is that value.
                if let [Argument { name: None, value }] = arguments.as_slice() {
                    return Ok(*value);
                }
                ExpressionKind::Tuple(arguments)
            }
            Token::Invalid => {
                self.advance();
                ExpressionKind::Invalid
            }
            _ => return Err(self.expected("a type, a value or a name", None)),
        };
        Ok(self.add_expression(kind, start))
    }

    /// What stands behind a `(`, up to and with the `)`.
    fn arguments(&mut self) -> Parsed<Vec<Argument>> {
        let mut arguments = Vec::new();
        while self.token() != Token::CloseParen {
            let name = match (self.token(), self.following(1)) {
                (Token::Identifier(_), Token::Equals) => {
                    let name = self.identifier("a name")?;
                    self.advance();
                    Some(name)
                }
                _ => None,
            };
            let value = self.expression()?;
            arguments.push(Argument { name, value });
            if !self.take(Token::Comma) {
                break;
            }
        }
        self.expect(Token::CloseParen, "`,` or `)`", None)?;
        Ok(arguments)
    }
}
