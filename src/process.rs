//! This process's memory, and child processes, which must not outlive it.

pub use private_postgres::bound_to_this_thread;

/// Has the kernel back memory with pages of 4 KiB only, also in child processes. Huge pages save no CPU here, but made up
/// most of what a small daemon held: the allocator asks for them, and a page of 2 MiB stays whole as long as a byte of it
/// is in use.
pub fn disable_huge_pages() {
    // A kernel that refuses it only costs memory.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}
