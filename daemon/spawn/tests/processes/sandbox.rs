//! Sandboxes that deny a system call.
#![expect(unsafe_code, reason = "a seccomp filter is installed")]

use crate::program::{every_method, input, methods, output};
use spawn::{Method, Probe, Spawner, Unusable, probe};
use std::ffi::c_long;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// From now on `call` fails with `errno` in this process, seccomp(2). The architecture is not
/// looked at: this is no protection.
pub(crate) fn deny(call: c_long, errno: i32) {
    let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        statement(LOAD_WORD, 0, 0, 0), // seccomp_data.nr
        statement(JUMP_IF_EQUAL, 0, 1, u32::try_from(call).unwrap()),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        statement(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let length = u16::try_from(filter.len()).unwrap();
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the filter during the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

fn outcome(probe: &Probe, method: Method) -> &Result<(), Unusable> {
    &probe.trials.iter().find(|trial| trial.method == method).unwrap().outcome
}

fn only_clone_works() -> Probe {
    let all = every_method(None);
    println!("{all}");
    assert_eq!(all.best(), Some(Method::Clone));
    assert_eq!(methods(), [Method::Clone]);
    // What is enough is enough, and whoever wants what does not work is told what does.
    let tried = |probe: Probe| probe.trials.iter().map(|trial| trial.method).collect::<Vec<_>>();
    assert_eq!(tried(probe(Some(Method::Clone), None)), [Method::Clone]);
    assert_eq!(tried(probe(None, None)).last(), Some(&Method::Clone));
    assert_eq!(probe(None, None).best(), Some(Method::Clone));
    let (refused, found) = (Method::Clone3, probe(Some(Method::Clone3), None));
    assert!(outcome(&found, refused).is_err(), "{found}");
    assert_eq!(found.best(), Some(Method::Clone));
    assert_eq!(tried(found).first(), Some(&refused));
    assert_eq!(output(Method::Clone, input("/bin/echo", &["echo", "yes"])), "yes\n");
    all
}

pub(crate) fn clone3_missing() {
    deny(libc::SYS_clone3, libc::ENOSYS);
    let probe = only_clone_works();
    if Spawner::new(Method::Clone3).is_ok() {
        assert!(matches!(outcome(&probe, Method::Clone3), Err(Unusable::Missing)));
    }
}

pub(crate) fn clone3_forbidden() {
    deny(libc::SYS_clone3, libc::EPERM);
    let probe = only_clone_works();
    if Spawner::new(Method::Clone3).is_ok() {
        assert!(matches!(outcome(&probe, Method::Clone3), Err(Unusable::Forbidden)));
    }
}
