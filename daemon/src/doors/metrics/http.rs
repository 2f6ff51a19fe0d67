//! As much of HTTP/1.1 (RFC 9112) as a scrape needs: one GET, one answer, and the connection is closed.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// The most that a request's head may have.
const LONGEST_HEAD: usize = 8 << 10;
/// What is taken away of a request that is longer.
const MOST_TAKEN_AWAY: usize = 1 << 20;
/// How long a client has for its request: who connects and says nothing is not to keep others out for long.
const REQUEST: Duration = Duration::from_secs(1);
/// How long it has for taking the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Metrics,
    Elsewhere,
    OtherMethod,
    Nonsense,
    /// Its head is longer than it may be: what stands there was not read to its end, so nothing is made of it.
    TooLong,
}

/// Answers one request. Who goes, stalls or talks nonsense is nobody's concern.
pub(super) async fn answer<S>(mut stream: S, page: impl AsyncFnOnce() -> String)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(Ok(head)) = timeout(REQUEST, read_head(&mut stream)).await else { return };
    let (status, body) = match asked(&head) {
        Asked::Metrics => ("200 OK", page().await),
        Asked::Elsewhere => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        Asked::OtherMethod => ("405 Method Not Allowed", "GET is the only method\n".to_owned()),
        Asked::TooLong => (
            "431 Request Header Fields Too Large",
            format!("the head of a request may have {LONGEST_HEAD} bytes\n"),
        ),
        Asked::Nonsense => ("400 Bad Request", "this is not HTTP\n".to_owned()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    drop(
        timeout(PATIENCE, async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        })
        .await,
    );
    if status.starts_with("431") {
        // The kernel answers what was not read with a reset, which may overtake the answer.
        drop(timeout(REQUEST, read_away(&mut stream)).await);
    }
}

/// Takes what a client still sends, within bounds, until it has done.
async fn read_away(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let (mut taken, mut piece) = (0, [0; 4 << 10]);
    while taken < MOST_TAKEN_AWAY {
        match stream.read(&mut piece).await? {
            0 => break,
            count => taken += count,
        }
    }
    Ok(())
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while head.len() < LONGEST_HEAD && !is_whole(&head) {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

fn asked(head: &[u8]) -> Asked {
    if head.len() >= LONGEST_HEAD && !is_whole(head.get(..LONGEST_HEAD).unwrap_or_default()) {
        return Asked::TooLong;
    }
    let line = head.split(|byte| *byte == b'\n').next().and_then(|line| str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split_ascii_whitespace();
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version)) = (method, target, version) else {
        return Asked::Nonsense;
    };
    let path = target.split('?').next().unwrap_or_default();
    match (version.starts_with("HTTP/1."), method == "GET", path == "/metrics" && is_whole(head)) {
        (false, _, _) => Asked::Nonsense,
        (true, false, _) => Asked::OtherMethod,
        (true, true, true) => Asked::Metrics,
        (true, true, false) => Asked::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read() {
        let of = |line: &str| asked(format!("{line}\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(of("GET /metrics HTTP/1.1"), Asked::Metrics);
        assert_eq!(of("GET /metrics?x=1 HTTP/1.0"), Asked::Metrics);
        assert_eq!(of("GET / HTTP/1.1"), Asked::Elsewhere);
        assert_eq!(of("POST /metrics HTTP/1.1"), Asked::OtherMethod);
        assert_eq!(of("GET /metrics HTTP/2"), Asked::Nonsense);
        assert_eq!(asked(b""), Asked::Nonsense);
    }

    #[test]
    fn a_head_that_is_too_long_is_refused_and_the_connection_closed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(64 << 10);
            let serving = tokio::spawn(answer(server, async || "a page".to_owned()));
            let head = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(LONGEST_HEAD));
            client.write_all(head.as_bytes()).await.unwrap();
            let mut told = String::new();
            client.read_to_string(&mut told).await.unwrap();
            drop(client);
            serving.await.unwrap();
            told
        });
        assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
        assert!(told.contains("Connection: close") && told.ends_with("8192 bytes\n"), "{told}");
        // One that fits, to the byte, is answered.
        let fits = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(LONGEST_HEAD - 23));
        assert_eq!((fits.len(), asked(fits.as_bytes())), (LONGEST_HEAD, Asked::Elsewhere));
    }

    proptest! {
        #[test]
        fn no_request_hurts(head in any::<Vec<u8>>()) {
            asked(&head);
        }
    }
}
