//! Tokens to a tree. Binds, loosest first: `or`, `and`, `not`, comparisons, `+ -`, `* / //`,
//! unary `-`, `|`, then attributes, fields, indexes and calls.

use super::ExpressionError;
use super::lexer::{Token, TokenKind, tokens};
use super::tree::{Arithmetic, Comparison, Function, Key, Node};

/// Longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// Deepest nesting of brackets, `not` and unary `-`.
const MAX_DEPTH: usize = 32;
/// Most attributes, fields and indexes in a row, and most operands of one operator.
const MAX_CHAIN: usize = 64;

/// Makes one node of two operands.
type Join = fn(Box<Node>, Box<Node>) -> Node;
type Result<T> = std::result::Result<T, ExpressionError>;

/// Parses a whole expression.
pub(crate) fn parse(text: &str) -> Result<Node> {
    if text.len() > MAX_LENGTH {
        return Err(ExpressionError::new(0, format!("longer than {MAX_LENGTH} bytes")));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, next: 0, depth: 0, in_element: false };
    let node = parser.or()?;
    match parser.peek() {
        TokenKind::End => Ok(node),
        _ => Err(parser.error(format!("unexpected {}", parser.shown()))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// `it` has a meaning here.
    in_element: bool,
}

impl Parser {
    fn peek(&self) -> &TokenKind {
        self.tokens.get(self.next).map_or(&TokenKind::End, |token| &token.kind)
    }

    fn at(&self) -> usize {
        let last = self.tokens.last();
        self.tokens.get(self.next).or(last).map_or(0, |token| token.at)
    }

    fn error(&self, message: impl Into<String>) -> ExpressionError {
        ExpressionError::new(self.at(), message)
    }

    fn shown(&self) -> String {
        match self.peek() {
            TokenKind::Name(name) => format!("'{name}'"),
            TokenKind::Int(number) => number.to_string(),
            TokenKind::Text(text) => format!("\"{text}\""),
            TokenKind::Sign(sign) => format!("'{sign}'"),
            TokenKind::End => "end of the expression".to_owned(),
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), TokenKind::Sign(found) if *found == sign);
        self.next += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), TokenKind::Name(found) if found == word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        match self.sign(sign) {
            true => Ok(()),
            false => Err(self.error(format!("expected '{sign}', found {}", self.shown()))),
        }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Operands of one level, joined from the left.
    fn chain(
        &mut self,
        operand: fn(&mut Self) -> Result<Node>,
        join: fn(&mut Self) -> Option<Join>,
    ) -> Result<Node> {
        let mut left = operand(self)?;
        for _ in 0..MAX_CHAIN {
            let Some(make) = join(self) else { return Ok(left) };
            left = make(Box::new(left), Box::new(operand(self)?));
        }
        Err(self.error(format!("more than {MAX_CHAIN} operands in a row")))
    }

    fn or(&mut self) -> Result<Node> {
        self.chain(Self::and, |parser| parser.word("or").then_some(Node::Or as Join))
    }

    fn and(&mut self) -> Result<Node> {
        self.chain(Self::not, |parser| parser.word("and").then_some(Node::And as Join))
    }

    fn not(&mut self) -> Result<Node> {
        match self.word("not") {
            true => Ok(Node::Not(Box::new(self.nested(Self::not)?))),
            false => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Result<Node> {
        let left = self.sum()?;
        let Some(operator) = self.comparator() else { return Ok(left) };
        let right = self.sum()?;
        if self.comparator().is_some() {
            self.next -= 1;
            return Err(self.error("comparisons do not chain: write a < b and b < c"));
        }
        Ok(Node::Compare(operator, Box::new(left), Box::new(right)))
    }

    fn comparator(&mut self) -> Option<Comparison> {
        let TokenKind::Sign(sign) = self.peek() else { return None };
        let operator = match *sign {
            "==" => Comparison::Equal,
            "!=" => Comparison::Unequal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.next += 1;
        Some(operator)
    }

    fn sum(&mut self) -> Result<Node> {
        self.chain(Self::product, |parser| {
            if parser.sign("+") {
                Some(|a, b| Node::Arithmetic(Arithmetic::Add, a, b))
            } else if parser.sign("-") {
                Some(|a, b| Node::Arithmetic(Arithmetic::Subtract, a, b))
            } else {
                None
            }
        })
    }

    fn product(&mut self) -> Result<Node> {
        self.chain(Self::unary, |parser| {
            if parser.sign("*") {
                Some(|a, b| Node::Arithmetic(Arithmetic::Multiply, a, b))
            } else if parser.sign("//") {
                Some(|a, b| Node::Arithmetic(Arithmetic::Divide, a, b))
            } else if parser.sign("/") {
                Some(|a, b| Node::Arithmetic(Arithmetic::Quotient, a, b))
            } else {
                None
            }
        })
    }

    fn unary(&mut self) -> Result<Node> {
        match self.sign("-") {
            true => Ok(Node::Negate(Box::new(self.nested(Self::unary)?))),
            false => self.fallback(),
        }
    }

    fn fallback(&mut self) -> Result<Node> {
        self.chain(Self::postfix, |parser| parser.sign("|").then_some(Node::Else as Join))
    }

    fn postfix(&mut self) -> Result<Node> {
        let mut node = self.atom()?;
        for _ in 0..MAX_CHAIN {
            node = if self.sign(".") {
                Node::Attribute(Box::new(node), self.name("an attribute's name")?)
            } else if self.sign("@") {
                Node::Field(Box::new(node), self.name("a field's name")?)
            } else if self.sign("[") {
                Node::Index(Box::new(node), self.key()?)
            } else {
                return Ok(node);
            };
        }
        Err(self.error(format!("more than {MAX_CHAIN} steps in a row")))
    }

    fn name(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            TokenKind::Name(name) => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.error(format!("expected {what}, found {}", self.shown()))),
        }
    }

    fn key(&mut self) -> Result<Key> {
        let negative = self.sign("-");
        let key = match self.peek() {
            TokenKind::Int(place) => Key::Place(if negative { -place } else { *place }),
            TokenKind::Text(name) if !negative && name.is_ascii() => Key::Name(name.clone()),
            _ => return Err(self.error("expected a number or an ASCII text in brackets")),
        };
        self.next += 1;
        self.expect("]")?;
        Ok(key)
    }

    fn atom(&mut self) -> Result<Node> {
        if self.sign("(") {
            let inner = self.nested(Self::or)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.sign("@") {
            return Ok(Node::Field(Box::new(Node::Me), self.name("a field's name")?));
        }
        let node = match self.peek() {
            TokenKind::Int(number) => Node::Int(*number),
            TokenKind::Text(text) => Node::Text(text.clone()),
            TokenKind::Name(name) => {
                let (name, at) = (name.clone(), self.at());
                self.next += 1;
                return self.named(name, at);
            }
            TokenKind::Sign(_) | TokenKind::End => {
                return Err(self.error(format!("expected a value, found {}", self.shown())));
            }
        };
        self.next += 1;
        Ok(node)
    }

    fn named(&mut self, name: String, at: usize) -> Result<Node> {
        if self.sign("(") {
            return self.call(&name, at);
        }
        Ok(match name.as_str() {
            "none" => Node::None,
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            "self" => Node::Me,
            "it" if self.in_element => Node::It,
            "it" => {
                let message =
                    "'it' has a meaning only in the second argument of count, sum and first";
                return Err(ExpressionError::new(at, message));
            }
            "None" | "True" | "False" => {
                let message = format!("write {}", name.to_lowercase());
                return Err(ExpressionError::new(at, message));
            }
            "and" | "or" | "not" => {
                return Err(ExpressionError::new(at, format!("expected a value, found '{name}'")));
            }
            _ => Node::Attribute(Box::new(Node::Me), name),
        })
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Node> {
        let Some(function) = Function::named(name) else {
            let known = Function::NAMES.join(", ");
            let message = format!("no function '{name}'; there are {known}");
            return Err(ExpressionError::new(at, message));
        };
        let mut arguments = Vec::new();
        if !self.sign(")") {
            loop {
                let outer = self.in_element;
                let on_element =
                    matches!(function, Function::Count | Function::Sum | Function::First);
                self.in_element |= on_element && arguments.len() == 1;
                let argument = self.nested(Self::or);
                self.in_element = outer;
                arguments.push(argument?);
                if !self.sign(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        let (least, most) = function.arguments();
        if !(least..=most).contains(&arguments.len()) {
            let wanted =
                if least == most { least.to_string() } else { format!("{least} to {most}") };
            let message = format!("{name}() takes {wanted} arguments, not {}", arguments.len());
            return Err(ExpressionError::new(at, message));
        }
        let texts_from = match function {
            Function::Isa => 1,
            Function::Global => 0,
            _ => usize::MAX,
        };
        let texts = arguments.iter().skip(texts_from);
        if texts.into_iter().any(|node| !matches!(node, Node::Text(text) if text.is_ascii())) {
            let message = format!("{name}() takes names in quotes here");
            return Err(ExpressionError::new(at, message));
        }
        Ok(Node::Call(function, arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str) -> Box<Node> {
        Box::new(Node::Attribute(Box::new(Node::Me), name.to_owned()))
    }

    #[test]
    fn binding() {
        let sum = parse("a + b | c").unwrap();
        let fallback = Box::new(Node::Else(attribute("b"), attribute("c")));
        assert_eq!(sum, Node::Arithmetic(Arithmetic::Add, attribute("a"), fallback));
        let difference = parse("a - b - c").unwrap();
        let first = Node::Arithmetic(Arithmetic::Subtract, attribute("a"), attribute("b"));
        let whole = Node::Arithmetic(Arithmetic::Subtract, Box::new(first), attribute("c"));
        assert_eq!(difference, whole);
        assert!(matches!(parse("not a == b or c").unwrap(), Node::Or(..)));
        assert!(matches!(parse("a.b@c[0][\"k\"]").unwrap(), Node::Index(_, Key::Name(_))));
    }

    #[test]
    fn errors_say_where() {
        for (text, at) in [
            ("", 0),
            ("a +", 3),
            ("a = b", 2),
            ("len(a, b)", 0),
            ("a.b c", 4),
            ("size(a)", 0),
            ("x + it", 4),
            ("a < b < c", 6),
            ("\"open", 0),
            ("x == None", 5),
            ("global(a, \"b\")", 0),
            ("a[b]", 2),
            ("ä", 0),
        ] {
            assert_eq!(parse(text).unwrap_err().at, at, "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert!(parse(&"(".repeat(3000)).is_err());
        assert!(parse(&"not ".repeat(900)).is_err());
        assert!(parse(&"-".repeat(3000)).is_err());
        assert!(parse(&"a+".repeat(1500)).is_err());
        assert!(parse(&format!("a{}", ".b".repeat(1500))).is_err());
        assert!(parse(&"count(a, ".repeat(200)).is_err());
        assert!(parse(&"a".repeat(5000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in "[a-c_0-9 .@|()<>=+*/\\[\\]\"',-]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn nor_any_at_all(text: String) {
            let _ = parse(&text);
        }
    }
}
