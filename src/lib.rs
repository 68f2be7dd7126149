//! `kubectl podlife`: why pods are broken, whether they work yet, and whether they survive.

pub mod cluster;
pub mod cmd;
pub mod io;
pub mod model;
pub mod render;
pub mod rules;
