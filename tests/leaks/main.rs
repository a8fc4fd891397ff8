//! The leak scenarios of `python-fixtures/leaks` and their healthy twins: every number is the library's own, the right rule
//! fires on the leak, none of warning or above on the twin, and no output has a secret.
//!
//! The libraries come from `tests/provision.sh --libraries`, PostgreSQL is Debian's package.

mod findings;
mod kernel;
mod renamed;
mod scenarios;
mod secrets;

#[path = "../resources_support/mod.rs"]
mod resources_support;
#[path = "../support/mod.rs"]
mod support;
