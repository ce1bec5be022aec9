//! The namespaces, before the server starts.

use rustix::mount::{MountFlags, mount, mount_bind_recursive};
use std::io;
use std::path::Path;

/// Brings up the loopback device.
#[expect(unsafe_code, reason = "network devices are set up by ioctl")]
pub(super) fn bring_up_loopback() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all bytes zero are a valid value of this plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the descriptor is open, and the structure lives during the call.
    let result = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS, &request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Shows `folder` at `place`, whose parents need not exist; their other contents stay visible. `scratch` is an empty folder.
pub(super) fn show_at(folder: &Path, place: &Path, scratch: &Path) -> io::Result<()> {
    if place.is_dir() {
        return Ok(mount_bind_recursive(folder, place)?);
    }
    let ancestor = place.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("/"));
    if ancestor == Path::new("/") {
        let top: std::path::PathBuf = place.components().take(2).collect();
        return Err(io::Error::other(format!("folder `{}` does not exist; make an empty one", top.display())));
    }
    mount("tmpfs", scratch, "tmpfs", MountFlags::empty(), None)?;
    for item in fs_err::read_dir(ancestor)? {
        let item = item?;
        copy_place(&item.path(), &scratch.join(item.file_name()))?;
    }
    let rest = place.strip_prefix(ancestor).map_err(io::Error::other)?;
    let within = scratch.join(rest);
    fs_err::create_dir_all(&within)?;
    mount_bind_recursive(folder, &within)?;
    Ok(mount_bind_recursive(scratch, ancestor)?)
}

/// Shows a folder, a file or a link at a new path.
fn copy_place(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs_err::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to);
    }
    if kind.is_dir() {
        fs_err::create_dir(to)?;
    } else {
        fs_err::File::create(to)?;
    }
    Ok(mount_bind_recursive(from, to)?)
}
