//! A router has little memory: what is free again goes back to it.

/// Of what is free at the end of the heap, in bytes; the C library's own is 128 KiB, and grows.
const KEPT: libc::c_int = 64 << 10;
/// What is at least this long, in bytes, is kept apart from the heap, in which it would leave holes: texts of files, and
/// of what programs say.
const APART: libc::c_int = 64 << 10;

/// Has one heap for all threads, which shrinks (mallopt(3)).
pub(super) fn be_frugal() {
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_TRIM_THRESHOLD, KEPT),
        (libc::M_MMAP_THRESHOLD, APART),
    ] {
        // SAFETY: no other thread is there yet, and both are parameters of this function.
        unsafe { libc::mallopt(parameter, value) };
    }
}
