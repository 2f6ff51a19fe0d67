//! Generates the wire's code with protox, so that no machine needs protoc.

use std::{env, error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 5] =
    ["daemon.proto", "meta.proto", "observe.proto", "runtime.proto", "schedule.proto"];

/// The wires of drunc, each compiled by itself: what one generation calls by a name, another numbers otherwise.
const DRUNC: [(&str, &[&str]); 3] = [
    ("first", &["request_response.proto", "process_manager.proto"]),
    ("third", &["process_manager.proto"]),
    ("fourth", &["process_manager.proto"]),
];

/// Messages without a service: what carries them is no gRPC.
const DRPC: [&str; 3] = ["drpc.proto", "srv.proto", "process.proto"];

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
    for (generation, files) in DRUNC {
        let folder = format!("proto/drunc/{generation}");
        println!("cargo::rerun-if-changed={folder}");
        // What other doors speak is not told by reflection, which is the API's.
        let to = out.join("drunc").join(generation);
        fs::create_dir_all(&to)?;
        tonic_prost_build::configure()
            .build_client(false)
            .btree_map(".")
            .out_dir(to)
            .compile_fds(protox::compile(files, [folder])?)?;
    }
    for file in DRPC {
        println!("cargo::rerun-if-changed=proto/drpc/{file}");
    }
    let to = out.join("drpc");
    fs::create_dir_all(&to)?;
    tonic_prost_build::configure()
        .out_dir(to)
        .compile_fds(protox::compile(DRPC, ["proto/drpc"])?)?;
    Ok(())
}
