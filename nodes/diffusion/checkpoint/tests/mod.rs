//! Whole files and folders: written here, read back, broken on purpose.

mod forms;
mod malformed;
mod writing;
