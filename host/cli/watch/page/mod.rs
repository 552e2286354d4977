//! The preview page: the graph, its nodes while they run, results, problems and the history of a sitting, in a browser on
//! this machine.
//!
//! | file | what it does |
//! | --- | --- |
//! | `board` | what the page shows, kept up by the same events that everybody hears |
//! | `history` | what runs gave, as long as there is room |
//! | `server` | who may ask what, and the answers |
//! | `http` | requests and answers as bytes |
//! | `index.html`, `style.css`, `page.js`, `layout.js` | what the browser gets, as it is |
//!
//! The server listens to this machine alone, and answers only who calls it by a name of this machine: a page from elsewhere
//! whose name is made to lead here (DNS rebinding) calls it by another one.

mod board;
mod history;
mod http;
mod server;

pub(super) use board::Board;
pub(super) use history::{MAX_PICTURES, Picture};
pub(super) use server::serve;
