//! One file per verb: its flags, its plan, its wiring.

pub mod local;
