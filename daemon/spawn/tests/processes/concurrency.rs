//! Many at once.

use crate::program::{input, methods};
use nix::sys::wait::WaitStatus;
use spawn::{Method, Parentage, Plan, Spawner};
use std::fs;
use std::io::{Read, Write, pipe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const SPAWNERS: usize = 4;
const EACH: usize = 50;

pub(crate) fn spawners_do_not_disturb_each_other_and_leak_nothing() {
    let methods = methods();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let spawners: Vec<_> = (0..SPAWNERS)
            .zip(methods.iter().cycle())
            .map(|(number, method)| scope.spawn(move || make_many(number, *method)))
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    disturb();
                }
            });
        }
        for spawner in spawners {
            spawner.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(before, open());
}

/// Takes the allocator's locks, opens and closes descriptors, and uses errno.
fn disturb() {
    let (mut reader, mut writer) = pipe().unwrap();
    let text: Vec<u8> = (0..2000_u32).flat_map(u32::to_ne_bytes).collect();
    writer.write_all(&text).unwrap();
    drop(writer);
    let mut back = Vec::new();
    reader.read_to_end(&mut back).unwrap();
    assert_eq!(text, back);
    assert_eq!(fs::read("/nonexistent").unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

fn make_many(number: usize, method: Method) {
    let mut spawner = Spawner::new(method).unwrap();
    for turn in 0..EACH {
        let text = format!("{number} {turn}");
        let (mut reader, writer) = pipe().unwrap();
        let mut echo = input("/bin/echo", &["echo", &text]);
        echo.stdout = writer.into();
        let plan = Plan::new(echo).unwrap();
        let child = spawner.spawn(&plan, Parentage::Child).unwrap();
        drop(plan);
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        assert_eq!(output, format!("{text}\n"));
        assert_eq!(child.pidfd.reap(), Ok(WaitStatus::Exited(child.pid, 0)));
    }
}
