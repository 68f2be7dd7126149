//! `session` on a real cluster.

mod deaths;
mod documentation;
mod examples;
mod images;
mod life;
mod plan;
mod rights;
mod streams;
mod template;
