//! The way into the machine: virtio's drivers, and the address that qemu forwards to.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::fd::AsRawFd,
    path::PathBuf,
};

use nix::{
    kmod::{ModuleInitFlags, finit_module},
    libc,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use tests::vm::wire::FOLDER;

/// Its name where nobody renames it.
const DEVICE: &[u8] = b"eth0";

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

nix::ioctl_write_ptr_bad!(set_address, libc::SIOCSIFADDR, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_mask, libc::SIOCSIFNETMASK, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);

/// Loads the drivers, in the order of their files' names. One that is there already is none of our business.
pub(crate) fn drivers() {
    let folder = format!("{FOLDER}/modules");
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut modules: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    modules.sort();
    for module in modules {
        let loaded = File::open(&module).map_err(|error| error.to_string()).and_then(|file| {
            finit_module(&file, c"", ModuleInitFlags::empty()).map_err(|e| e.to_string())
        });
        if let Err(why) = loaded {
            eprintln!("guest: {} was not loaded: {why}", module.display());
        }
    }
}

/// Gives the device its address. False where there is no such device yet.
#[expect(unsafe_code, reason = "nothing but ioctl gives a device an address")]
pub(crate) fn address() -> bool {
    let Ok(socket) = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
    else {
        return false;
    };
    let mut flags = request();
    flags.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    let fd = socket.as_raw_fd();
    // SAFETY: each is a whole request, and the kernel keeps none.
    unsafe {
        set_address(fd, &with_address(ADDRESS)).is_ok()
            && set_mask(fd, &with_address(MASK)).is_ok()
            && set_flags(fd, &flags).is_ok()
    }
}

#[expect(unsafe_code, reason = "zeros are a request for nothing")]
fn request() -> libc::ifreq {
    // SAFETY: it has numbers and bytes only.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE) {
        *to = from.cast_signed();
    }
    request
}

fn with_address(address: Ipv4Addr) -> libc::ifreq {
    let mut request = request();
    let [a, b, c, d] = address.octets().map(u8::cast_signed);
    request.ifr_ifru.ifru_addr.sa_family =
        libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
    // After two bytes of a port.
    request.ifr_ifru.ifru_addr.sa_data = [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
    request
}
