//! `session serve` on a real cluster.

mod access;
mod answers;
mod deployed;
mod gateway;
mod life;
mod warm;

use gateway::{Gateway, Reply};
