//! The real libuci and `uci` against our reader and writer, whichever text they get.

mod compare;
mod program;
mod sameness;
