//! Makes what boots with `auraed` as its first program, and what the tests of it need: docs/virtual-machines.md.
//!
//! `image initramfs OUT [--units FILE]`, `image disk OUT [--units FILE]`, `image kernels`, `image all`. FILE is what `aer
//! schedule export` prints; `all` fetches and builds what the tests boot, so that none of them waits for it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use tests::{
    vm::{
        debian, image,
        store::{self, Kernel, Profile},
        units::registered,
    },
    wait::wall_clock,
};

const USAGE: &str = "usage: image initramfs OUT [--units FILE]
       image disk OUT [--units FILE]
       image kernels
       image all

FILE is what `aer schedule export` prints: units that are there from the first boot on. 'all' fetches and builds
what the tests boot.";

/// The size of the disk: what minbase has, and as much again.
const DISK_MEBIBYTES: u32 = 768;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (verb, out, units) = match words.as_slice() {
        ["kernels"] => {
            for which in [Kernel::Oldest, Kernel::Newest] {
                println!("{}", store::kernel(which).image.display());
            }
            return ExitCode::SUCCESS;
        }
        ["all"] => {
            fetch_and_build();
            return ExitCode::SUCCESS;
        }
        [verb, out] => (*verb, Path::new(*out), None),
        [verb, out, "--units", file] => (*verb, Path::new(*out), Some(PathBuf::from(file))),
        _ => return wrong(),
    };
    // Where no units are given, one that tells how the machine fares.
    let file = units.as_deref().map(|path: &Path| path.to_str().expect("UTF-8"));
    let order = match file {
        Some(file) => vec!["schedule", "import", file],
        None => vec!["enable", "--oneshot", "hello", "--", "/usr/bin/aer", "status"],
    };
    match verb {
        "initramfs" => {
            let state = registered(&[&order]);
            let bytes = image::initramfs(Profile::Release, Some(state.path()));
            fs::write(out, image::compressed(&bytes))
                .unwrap_or_else(|why| panic!("writing {}: {why}", out.display()));
        }
        "disk" => {
            let (state, root) = (registered(&[&order]), debian::root("minbase", &[]));
            let ours = (Profile::Release, Some(state.path()));
            debian::disk(out, DISK_MEBIBYTES, &root, ours, |_| {});
        }
        _ => return wrong(),
    }
    println!("{}: {} bytes", out.display(), fs::metadata(out).map_or(0, |meta| meta.len()));
    ExitCode::SUCCESS
}

/// What the tests boot, and how long each part of it took.
fn fetch_and_build() {
    let timed = |what: &str, make: &dyn Fn()| {
        let begun = wall_clock();
        make();
        println!("{what}: {:.1} s", (wall_clock() - begun) as f64 / 1e9);
    };
    timed("kernels", &|| {
        for which in [Kernel::Oldest, Kernel::Newest] {
            drop(store::kernel(which));
        }
    });
    timed("Debian", &|| drop(debian::root("minbase", &[])));
    timed("our programs, linked statically", &|| drop(store::programs(Profile::Quick)));
}

fn wrong() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
