//! Memory settings of this process, and child processes that must not outlive it.

pub use private_postgres::bound_to_this_thread;

/// Makes the kernel use 4 KiB pages only, for this process and its children.
///
/// Huge pages save no CPU here, and they were most of the memory of a small daemon. The allocator asks for them, and a
/// 2 MiB page stays resident as long as one byte of it is in use.
pub fn disable_huge_pages() {
    // If the kernel refuses, the only cost is memory.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}
