//! A bare tonic stream of the same bytes, at a Unix socket, on a thread of its own.

use std::{path::PathBuf, pin::Pin, sync::Mutex, thread};

use api::observe::{
    GetAuraeDaemonLogStreamRequest, GetSubProcessStreamRequest, LogBatch, LogChunk, LogItem,
    LogsRequest, StatusRequest, StatusResponse, observe_server::Observe,
    observe_server::ObserveServer,
};
use tokio::sync::mpsc::Receiver;
use tokio_stream::{
    Iter,
    wrappers::{ReceiverStream, UnixListenerStream},
};
use tonic::{Request, Response, Status, transport::Server};

use crate::LINE;

/// Lines of a batch: what the daemon's have.
pub(crate) const LINES: usize = (128 << 10) / LINE;

struct Bare {
    lines: usize,
    /// What is sent in the place of those.
    printed: Mutex<Option<Receiver<Result<LogBatch, Status>>>>,
}

type Messages<T> = Box<dyn Iterator<Item = Result<T, Status>> + Send>;
type Stream<T> = Iter<Messages<T>>;
type Batches = Pin<Box<dyn tokio_stream::Stream<Item = Result<LogBatch, Status>> + Send>>;

fn line(number: usize) -> String {
    format!("{number:099}")
}

#[tonic::async_trait]
impl Observe for Bare {
    type LogsStream = Batches;
    type GetSubProcessStreamStream = Stream<LogItem>;
    type GetAuraeDaemonLogStreamStream = Stream<LogItem>;

    async fn logs(&self, _: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        if let Some(printed) = self.printed.lock().expect("nobody panics").take() {
            return Ok(Response::new(Box::pin(ReceiverStream::new(printed))));
        }
        let data: Vec<u8> =
            (0..LINES).flat_map(|number| (line(number) + "\n").into_bytes()).collect();
        let count = self.lines / LINES;
        let batch = (0..count).map(move |_| {
            // As it is read from a file, each into memory of its own.
            let chunk = LogChunk { data: data.clone().into(), ..LogChunk::default() };
            Ok(LogBatch { chunks: vec![chunk], ..LogBatch::default() })
        });
        let batches: Messages<LogBatch> = Box::new(batch);
        Ok(Response::new(Box::pin(tokio_stream::iter(batches))))
    }

    async fn get_sub_process_stream(
        &self,
        _: Request<GetSubProcessStreamRequest>,
    ) -> Result<Response<Self::GetSubProcessStreamStream>, Status> {
        let text = line(7);
        let item = (0..self.lines).map(move |_| {
            let (channel, line) = ("job.stdout".to_owned(), text.clone());
            Ok(LogItem { channel, line, timestamp: 1, ..LogItem::default() })
        });
        let items: Messages<LogItem> = Box::new(item);
        Ok(Response::new(tokio_stream::iter(items)))
    }

    async fn get_aurae_daemon_log_stream(
        &self,
        _: Request<GetAuraeDaemonLogStreamRequest>,
    ) -> Result<Response<Self::GetAuraeDaemonLogStreamStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Serves so many lines, until the process ends.
pub(crate) fn serve(path: PathBuf, lines: usize) {
    serve_it(path, Bare { lines, printed: Mutex::default() });
}

/// Serves what comes, as it comes.
pub(crate) fn serve_printed(path: PathBuf, printed: Receiver<Result<LogBatch, Status>>) {
    serve_it(path, Bare { lines: 0, printed: Mutex::new(Some(printed)) });
}

fn serve_it(path: PathBuf, bare: Bare) {
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
    listener.set_nonblocking(true).expect("ours");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).expect("ours");
            let server = Server::builder()
                .initial_stream_window_size(256 << 10)
                .initial_connection_window_size(1 << 20)
                .add_service(ObserveServer::new(bare));
            drop(server.serve_with_incoming(UnixListenerStream::new(listener)).await);
        });
    });
}
