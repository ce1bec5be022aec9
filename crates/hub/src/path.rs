//! Paths within a repository.

/// Whether a path that others gave leads nowhere but down.
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.contains(['\\', '\0']) && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}
