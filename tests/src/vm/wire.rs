//! What a test says to the agent in its machine, over TCP: one request for each connection.
//!
//! A request is a line of words, with tabs between them, and then bytes, up to the end of what is sent. An answer is a
//! line, `ok` or `no` and the reason, and then bytes.

use std::io::{self, BufRead, BufReader, Read, Write};

/// Where the agent listens for requests.
pub const REQUESTS: u16 = 7001;

/// Where it leads to the daemon's socket.
pub const API: u16 = 7002;

/// The daemon's socket.
pub const SOCKET: &str = "/run/aurae/aurae.sock";

/// What the agent prints on the console when it can be reached.
pub const READY: &str = "guest: ready";

/// Where everything of the tests is in a machine.
pub const FOLDER: &str = "/aurae-tests";

/// Says a request. The end of what is sent is the caller's to say.
///
/// # Errors
/// Where it cannot be sent.
pub fn ask(mut to: impl Write, words: &[&str], body: &[u8]) -> io::Result<()> {
    to.write_all(words.join("\t").as_bytes())?;
    to.write_all(b"\n")?;
    to.write_all(body)
}

/// Reads a request: its words, and the bytes after them.
///
/// # Errors
/// Where it cannot be read.
pub fn hear(from: impl Read) -> io::Result<(Vec<String>, Vec<u8>)> {
    let mut from = BufReader::new(from);
    let mut line = String::new();
    from.read_line(&mut line)?;
    let mut body = Vec::new();
    from.read_to_end(&mut body)?;
    Ok((line.trim_end_matches('\n').split('\t').map(str::to_owned).collect(), body))
}

/// Says an answer.
///
/// # Errors
/// Where it cannot be sent.
pub fn answer(mut to: impl Write, answer: &io::Result<Vec<u8>>) -> io::Result<()> {
    match answer {
        Ok(bytes) => {
            to.write_all(b"ok\n")?;
            to.write_all(bytes)
        }
        Err(why) => writeln!(to, "no {}", why.to_string().replace('\n', " ")),
    }
}

/// Reads an answer.
///
/// # Errors
/// Where it cannot be read, and where it is a refusal, with the reason.
pub fn answered(from: impl Read) -> io::Result<Vec<u8>> {
    let (words, body) = hear(from)?;
    match words.join("\t").as_str() {
        "ok" => Ok(body),
        "" => Err(io::Error::other("the agent said nothing")),
        refusal => Err(io::Error::other(refusal.trim_start_matches("no ").to_owned())),
    }
}
