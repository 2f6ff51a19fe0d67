//! Generates the wire's code with protox, so that no machine needs protoc.

use std::{env, error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 5] =
    ["daemon.proto", "meta.proto", "observe.proto", "runtime.proto", "schedule.proto"];

fn main() -> Result<(), Box<dyn error::Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed=proto/{file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".runtime.RunFrame")
        .bytes(".observe.LogChunk")
        .compile_fds(descriptors)?;
    Ok(())
}
