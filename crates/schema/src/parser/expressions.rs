//! Expressions, and the uses of annotations, which are made of them.

use super::{Parsed, Parser};
use crate::lexer::Token;
use crate::limits::{EXPRESSION_DEPTH, SCOPE_DEPTH};
use crate::source::Span;
use crate::syntax::{Annotation, AnnotationValue, Argument, Expression, ExpressionId, ExpressionKind};

impl Parser<'_> {
    pub(super) fn annotations(&mut self) -> Parsed<Vec<Annotation>> {
        let mut annotations = Vec::new();
        while self.token() == Token::Dollar {
            annotations.push(self.annotation_use()?);
        }
        Ok(annotations)
    }

    pub(super) fn annotation_use(&mut self) -> Parsed<Annotation> {
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
        while self.file.imports.last().is_some_and(|(_, at)| at.start >= start.start) {
            self.file.imports.pop();
        }
        let value = if let [Argument { name: None, value }] = arguments.as_slice() {
            *value
        } else {
            let kind = ExpressionKind::Tuple(arguments);
            self.file.expressions.push(Expression { kind, span: start.to(span) });
            ExpressionId(self.file.expressions.len() as u32 - 1)
        };
        Ok(Annotation { name, value: AnnotationValue::Expression(value) })
    }

    /// An expression whose imports are not listed in the request: only those are that types and scopes come from.
    pub(super) fn unlisted(&mut self) -> Parsed<ExpressionId> {
        let listed = self.file.imports.len();
        let expression = self.expression();
        self.file.imports.truncate(listed);
        expression
    }

    pub(super) fn expression(&mut self) -> Parsed<ExpressionId> {
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

    pub(super) fn postfix(&mut self, start: Span) -> Parsed<ExpressionId> {
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

    pub(super) fn primary(&mut self, start: Span) -> Parsed<ExpressionId> {
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
    pub(super) fn arguments(&mut self) -> Parsed<Vec<Argument>> {
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
