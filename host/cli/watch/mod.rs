//! `dc-graph watch`: a run after each edit.
//!
//! | file | what it does |
//! | --- | --- |
//! | `command` | arguments; what all runs of a sitting share |
//! | `sitting` | the loop: what happens when something happens |
//! | `looking` | which files are watched, and what is different in them |
//! | `turn` | one run, on a thread of its own |
//! | `notice` | what threads tell the loop |
//! | `telling` | what people and scripts hear |
//! | `after` | the command that is run after a run |
//! | `page` | the preview page |

mod after;
mod command;
mod looking;
mod notice;
mod page;
mod sitting;
mod telling;
mod turn;

pub(crate) use command::{Args, run};
