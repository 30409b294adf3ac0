//! Whether what is written into a directory is there after a restart of the machine, or of the container.

use std::path::Path;

/// Whether files in `directory`, or where it would be made, survive a restart: not in memory, not in the layer of a
/// container, and not where the system cleans up.
pub fn survives(directory: &Path) -> bool {
    let Some(there) = directory.ancestors().find(|place| place.exists()) else { return false };
    let place = there.canonicalize().unwrap_or_else(|_| there.to_owned());
    !CLEANED.iter().any(|cleaned| place.starts_with(cleaned)) && is_on_disk(&place)
}

#[cfg(target_os = "linux")]
fn is_on_disk(place: &Path) -> bool {
    // As `linux/magic.h` has them: tmpfs, ramfs, overlayfs.
    const GONE: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x794c_7630];
    rustix::fs::statfs(place).is_ok_and(|system| !GONE.contains(&(system.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_on_disk(_: &Path) -> bool {
    true
}

const CLEANED: [&str; 5] = ["/tmp", "/private/tmp", "/var/tmp", "/run", "/dev/shm"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cleaned_up_or_lies_in_memory_does_not_survive() {
        for place in ["/tmp", "/tmp/a/b", "/run/user/0/none", "/dev/shm"] {
            assert!(!survives(Path::new(place)), "{place}");
        }
        #[cfg(target_os = "linux")]
        assert!(!survives(Path::new("/dev/none")), "it lies in memory");
    }
}
