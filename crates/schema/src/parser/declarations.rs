//! Declarations, each from its keyword or name up to its `;` or the end of its block.

use super::{Parsed, Parser, Scope};
use crate::lexer::Token;
use crate::limits::{PARAMETERS, SCOPE_DEPTH};
use crate::source::Span;
use crate::syntax::{DeclarationId, ExpressionKind, Kind, Method, Named, Number, Parameters, TARGETS};

impl Parser<'_> {
    pub(super) fn using(&mut self, start: Span) -> Parsed<DeclarationId> {
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

    pub(super) fn constant(&mut self, start: Span) -> Parsed<DeclarationId> {
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

    pub(super) fn annotation(&mut self, start: Span) -> Parsed<DeclarationId> {
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

    pub(super) fn enumeration(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the enum")?;
        let id = self.optional_id()?;
        self.block(Kind::Enum, Some(name), id, start, Scope::Enum)
    }

    pub(super) fn structure(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the struct")?;
        let id = self.optional_id()?;
        self.block(Kind::Struct, Some(name), id, start, Scope::Struct)
    }

    pub(super) fn interface(&mut self, start: Span) -> Parsed<DeclarationId> {
        self.advance();
        let name = self.identifier("the name of the interface")?;
        let id = self.optional_id()?;
        self.block(Kind::Interface { superclasses: Vec::new() }, Some(name), id, start, Scope::Interface)
    }

    /// The rest of a declaration that has a block: generic parameters, superclasses and annotations as far as `kind`
    /// has them, and the block itself.
    pub(super) fn block(
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

    pub(super) fn block_of(&mut self, id: DeclarationId, start: Span, scope: Scope) -> Parsed<()> {
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

    pub(super) fn enumerant(&mut self, start: Span) -> Parsed<DeclarationId> {
        let name = self.identifier("an enumerant")?;
        let ordinal = self.ordinal("`@` and the number of the enumerant")?;
        let mut declaration = self.declare(Kind::Enumerant, Some(name), start);
        declaration.ordinal = Some(ordinal);
        declaration.annotations = self.annotations()?;
        declaration.doc = self.end_statement()?;
        Ok(self.add(declaration))
    }

    /// A field, a named union or a group.
    pub(super) fn member(&mut self, start: Span) -> Parsed<DeclarationId> {
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

    pub(super) fn method(&mut self, start: Span) -> Parsed<DeclarationId> {
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

    pub(super) fn parameters(&mut self) -> Parsed<Parameters> {
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
    pub(super) fn names(&mut self, close: Token, what: &str) -> Parsed<Vec<Named>> {
        let mut names = Vec::new();
        while self.token() != close {
            let name = self.identifier("the name of a generic parameter")?;
            if names.len() >= PARAMETERS {
                let message = format!("more than {PARAMETERS} generic parameters");
                return Err(self.error(name.span, message, "one too many", None));
            }
            names.push(name);
            if !self.take(Token::Comma) {
                break;
            }
        }
        self.expect(close, &format!("`,` or {what}"), None)?;
        Ok(names)
    }

    pub(super) fn id(&mut self) -> Parsed<Number> {
        self.expect(Token::At, "`@`", None)?;
        let Token::Integer(value) = self.token() else {
            return Err(self.expected("an id, as in `@0x9eb32e19f86ee174`", None));
        };
        let span = self.previous_span().to(self.span());
        self.advance();
        if value >> 63 == 0 {
            let new = crate::new_id();
            let help =
                format!("an id has 64 bits, the highest of which is set; this is a new one: @{new:#018x}");
            self.error(span, "this is no id", "its highest bit is not set", Some(&help));
        }
        Ok(Number { value, span })
    }

    pub(super) fn optional_id(&mut self) -> Parsed<Option<Number>> {
        if self.token() == Token::At { self.id().map(Some) } else { Ok(None) }
    }

    pub(super) fn ordinal(&mut self, expected: &str) -> Parsed<Number> {
        self.expect(Token::At, expected, None)?;
        let Token::Integer(value) = self.token() else {
            return Err(self.expected("a number", None));
        };
        let span = self.previous_span().to(self.span());
        self.advance();
        Ok(Number { value, span })
    }
}
