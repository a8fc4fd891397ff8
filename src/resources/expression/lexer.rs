//! Text to tokens.

use super::ExpressionError;

/// One token and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    /// Bytes from the start of the expression.
    pub(super) at: usize,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Name(String),
    Int(i64),
    Text(String),
    /// An operator or bracket.
    Sign(&'static str),
    End,
}

/// The longer ones first.
const SIGNS: [&str; 19] = [
    "==", "!=", "<=", ">=", "//", "/", "<", ">", "+", "-", "*", ".", "@", "|", ",", "(", ")", "[",
    "]",
];

/// The tokens of an expression; the last one is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = if first.is_ascii_alphabetic() || first == '_' {
            let length = span(rest, |c| c.is_ascii_alphanumeric() || c == '_');
            (TokenKind::Name(rest[..length].to_owned()), length)
        } else if first.is_ascii_digit() {
            let length = span(rest, |c| c.is_ascii_digit());
            let number = rest[..length].parse();
            (
                TokenKind::Int(number.map_err(|_| ExpressionError::new(at, "too large a number"))?),
                length,
            )
        } else if first == '"' || first == '\'' {
            quoted(rest, first, at)?
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| unexpected(at, first))?;
            (TokenKind::Sign(sign), sign.len())
        };
        tokens.push(Token { at, kind });
        at += length;
    }
    tokens.push(Token { at, kind: TokenKind::End });
    Ok(tokens)
}

fn unexpected(at: usize, character: char) -> ExpressionError {
    let hint = match character {
        '=' => "; for equality write ==",
        '!' => "; for negation write not",
        '&' => "; write and",
        _ => "",
    };
    ExpressionError::new(at, format!("unexpected {character:?}{hint}"))
}

fn span(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Text in quotes of either kind; there are no escapes.
fn quoted(rest: &str, quote: char, at: usize) -> Result<(TokenKind, usize), ExpressionError> {
    let inner = rest.get(1..).unwrap_or("");
    let end = inner.find(quote);
    let end = end.ok_or_else(|| ExpressionError::new(at, "this text does not end"))?;
    Ok((TokenKind::Text(inner[..end].to_owned()), end + 2))
}
