//! The reference graph and what is made of it, held against what the target knows of itself.

#[path = "../not_run/mod.rs"]
mod not_run;
#[path = "../support/mod.rs"]
mod support;

mod damage;
mod edges;
mod export;
mod oddly;
mod wakers;
mod why;
