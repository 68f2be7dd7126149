//! Who provides what a message names: the volume of a path, the source of a variable, the right that a call needs. An explanation is given
//! only where the spec has it, and a fix only where it can help.

mod command;
mod lock;
mod path;
mod paths;
mod privilege;
mod spec;
mod variable;

pub(crate) use crate::facts::provided::lock::{holder, holder_of_port, older};
pub(crate) use crate::facts::provided::spec::Provided;
use crate::view::{ContainerView, Needs, View};

/// What the spec says about the line of a log that explains how a container ended.
pub fn of_line(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    lock::of_line(view, container, line)
        .or_else(|| variable::of_line(view, needs, container, line).map(Provided::of_config))
        .or_else(|| command::of_line(view, needs, container, line))
        .or_else(|| privilege::of_line(view, container, line))
        .or_else(|| path::of_line(view, needs, container, line))
}

/// What the spec says about the message of a runtime that could not start a container.
pub fn of_start(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, message: &str) -> Option<Provided> {
    command::of_start(view, needs, container, message).or_else(|| path::of_mount(view, needs, container, message))
}

/// Why a file that a container waits for never comes: an object that its volume shows does not have it, or nobody else can write it.
pub fn of_awaited(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    path::absent(view, needs, container, path).or_else(|| path::unshared(container, path))
}

#[cfg(test)]
mod tests;
