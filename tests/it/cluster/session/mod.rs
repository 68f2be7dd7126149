//! `session` on a real cluster.

mod deaths;
mod documentation;
mod examples;
pub mod images;
pub mod life;
mod plan;
mod rights;
mod streams;
pub mod template;
