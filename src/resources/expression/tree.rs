//! What an expression is made of.

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// `none`
    None,
    /// `true`, `false`
    Bool(bool),
    /// `15`
    Int(i64),
    /// `"text"`
    Text(String),
    /// `self`: the resource.
    Me,
    /// `it`: the element that `count`, `sum` or `first` is looking at.
    It,
    /// `NAME` in a limit: a metric of the resource, or a total.
    Metric(String),
    /// `a.b`; a bare name is an attribute of the resource.
    Attribute(Box<Node>, String),
    /// `a@b`: a declared field of the C struct.
    Field(Box<Node>, String),
    /// `a[0]`, `a["key"]`
    Index(Box<Node>, Key),
    /// `a | b`: `a`, or `b` when `a` is missing.
    Else(Box<Node>, Box<Node>),
    /// `not a`
    Not(Box<Node>),
    /// `-a`
    Negate(Box<Node>),
    /// `a and b`
    And(Box<Node>, Box<Node>),
    /// `a or b`
    Or(Box<Node>, Box<Node>),
    /// `a < b`
    Compare(Comparison, Box<Node>, Box<Node>),
    /// `a + b`
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    /// `len(a)`
    Call(Function, Vec<Node>),
}

impl Node {
    /// Does it call `function`, anywhere?
    pub(crate) fn calls(&self, function: Function) -> bool {
        match self {
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Text(_) => false,
            Self::Me | Self::It | Self::Metric(_) => false,
            Self::Attribute(of, _) | Self::Field(of, _) | Self::Index(of, _) => of.calls(function),
            Self::Not(of) | Self::Negate(of) => of.calls(function),
            Self::Else(a, b) | Self::And(a, b) | Self::Or(a, b) => {
                a.calls(function) || b.calls(function)
            }
            Self::Compare(_, a, b) | Self::Arithmetic(_, a, b) => {
                a.calls(function) || b.calls(function)
            }
            Self::Call(called, arguments) => {
                *called == function || arguments.iter().any(|argument| argument.calls(function))
            }
        }
    }
}

/// What stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// A place, from the end when negative.
    Place(i64),
    /// A key of a dict.
    Name(String),
}

/// Operators with a truth value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Operators on numbers; `+` also joins texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `//`, rounded down as Python does
    Divide,
    /// `/`, never whole
    Quotient,
}

macro_rules! functions {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $least:literal..=$most:literal; )+) => {
        /// The closed list of functions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function {
            $( $(#[$doc])* $variant, )+
        }

        impl Function {
            /// Every function's name, in the order of the list.
            pub(crate) const NAMES: &'static [&'static str] = &[$($name),+];

            pub(super) fn named(name: &str) -> Option<Self> {
                match name { $( $name => Some(Self::$variant), )+ _ => None }
            }

            /// Fewest and most arguments.
            pub(super) fn arguments(self) -> (usize, usize) {
                match self { $( Self::$variant => ($least, $most), )+ }
            }
        }
    };
}

functions! {
    /// How many items a container has.
    Len = "len", 1..=1;
    /// The items of a list, tuple, set, deque, queue or WeakSet.
    Items = "items", 1..=1;
    /// The keys of a dict.
    Keys = "keys", 1..=1;
    /// The values of a dict.
    Values = "values", 1..=1;
    /// How many items, or how many for which a condition on `it` holds.
    Count = "count", 1..=2;
    /// The sum of the items, or of an expression on `it`.
    Sum = "sum", 1..=2;
    /// The first item, or the first for which a condition on `it` holds; none if there is none.
    First = "first", 1..=2;
    /// Is it an instance of one of the named classes?
    Isa = "isa", 2..=16;
    /// What a weak reference points to; none when it is gone.
    Deref = "deref", 1..=1;
    /// A global variable of a module.
    Global = "global", 2..=2;
    /// The descriptor of a socket, file or number; none when closed.
    Fd = "fd", 1..=1;
    /// The peer of a descriptor, from the kernel's tables.
    Peer = "peer", 1..=1;
    /// The TCP state of a descriptor, from the kernel's tables.
    TcpState = "tcp_state", 1..=1;
    /// The qualified name of a function, method or coroutine.
    Code = "code", 1..=1;
    /// File and line where a function is defined.
    Where = "where", 1..=1;
    /// A connection string without anything that may be secret.
    Redact = "redact", 1..=1;
    /// The name of its type.
    Type = "type", 1..=1;
    /// False when the value is missing.
    Known = "known", 1..=1;
    /// `if(condition, then, else)`
    If = "if", 3..=3;
}
