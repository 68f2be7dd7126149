//! The core of `diagnose`: runs the rules over a view, links what they find into causes and symptoms, and gives each object its verdict.

mod about;
pub mod assess;
pub(crate) mod causes;
mod custom;
mod pending;
pub(crate) mod scope;
mod undo;
mod verdict;
