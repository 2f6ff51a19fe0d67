//! A program that misbehaves on request.
//!
//! Its arguments are actions, done in order; at the end of them it exits with status 0. Called `shell` it takes them from its
//! standard input, line by line.
//!
//! | Action | What it does |
//! |---|---|
//! | `exit N` | exits with this status |
//! | `raise SIGNAL` | signals itself, with the default disposition (`raise SIGSTOP` stops it) |
//! | `ignore SIGNAL` | is deaf to it from now on (its children are not: they say so themselves) |
//! | `hear SIGNAL` | waits for a signal that it ignores, and goes on |
//! | `notify TEXT` | sends the text to the service manager (sd_notify(3)) |
//! | `sole LOCK FILE` | adds a line to FILE where another process holds LOCK, and holds it itself until it ends |
//! | `first FILE { ACTIONS }` | does these actions where FILE was not there, and makes it |
//! | `nap MILLISECONDS` | does nothing for so long |
//! | `out TEXT`, `err TEXT` | prints the text without a newline |
//! | `line TEXT` | prints the text and a newline |
//! | `bytes COUNT` | prints that many `x` in large writes |
//! | `nuls COUNT`, `broken` | prints NULs; bytes that are not UTF-8 |
//! | `numbered FILE RATE` | prints numbered lines for ever, RATE a second (0: no limit), and keeps in FILE how many it has written |
//! | `live FOLDER` | one life of a service in a storm: `tests::storm::lives` |
//! | `bursts FIFO FILE RATE BYTES` | prints so many bytes of numbered lines, at most RATE a second, for each byte from FIFO, until that is a dot; then FILE says how many lines, bytes and nanoseconds |
//! | `close FD` | closes a descriptor |
//! | `say FIFO TEXT`, `await FIFO` | writes a line to a FIFO; waits until it is released |
//! | `append FILE TEXT`, `mark FILE` | adds a line; adds its process id |
//! | `connect SOCKET COUNT` | connects so often and says nothing; holds what is not refused until it ends |
//! | `setsid` | leaves its session |
//! | `pause` | waits for a signal, for ever |
//! | `alloc MIB` | takes and touches memory |
//! | `bomb COUNT` | starts that many children that pause |
//! | `swarm MOST FILE` | the same until the kernel refuses one more, and adds how many there are to FILE |
//! | `breed` | makes processes that make processes, for ever, as many as the kernel allows |
//! | `orphans COUNT` | makes so many children that make a child each, and end before it |
//! | `spin MILLISECONDS` | takes all of a processor that it gets, for so long |
//! | `start { ACTIONS }` | starts a child with these actions and goes on; blocks nest |
//! | `report` | prints what it finds itself to be, as one line of JSON |

mod actions;
mod load;
mod report;
mod storm;

use std::env;

fn main() {
    // A shell, to whoever executes it by a link of that name: each line of its input is actions.
    if env::args_os().next().is_some_and(|name| name.to_string_lossy().ends_with("shell")) {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            actions::perform(&words);
        }
        return;
    }
    let words: Vec<String> =
        env::args_os().skip(1).map(|w| w.to_string_lossy().into_owned()).collect();
    actions::perform(&words);
}
