//! Whole files and folders: written here, read back, broken on purpose.

mod adapters;
mod forms;
mod malformed;
mod parity;
mod writing;
