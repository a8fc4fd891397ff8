//! The HTTP server: hands out the pages on the board.
//!
//! One request per connection, a bound on headers, time and connections: when there are too
//! many, the oldest ends, which is one that does not get on. Bodies are never read. `hyper` speaks
//! HTTP.

use super::board::Board;
use super::negotiate::{is_loopback, wants_openmetrics};
use crate::report::prometheus::{OPENMETRICS, TEXT};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// Connections at one time.
const MOST: usize = 64;
/// Time for a request to arrive.
const HEADERS: Duration = Duration::from_secs(5);
/// Time for a whole connection.
const WHOLE: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Rest when no connection can be accepted, for lack of descriptors.
const REST: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";
const INDEX: &str = "pyattach\n\n/metrics      for Prometheus\n/healthz      whether captures go on\n\
    /report.json  what the last captures found\n";

type Answer = Response<Full<Bytes>>;

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, board: Arc<Board>) {
    let local_only = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let mut connections = JoinSet::new();
    let mut order: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(REST).await;
                    continue;
                };
                order.retain(|connection| !connection.is_finished());
                if order.len() >= MOST && let Some(oldest) = order.pop_front() {
                    oldest.abort();
                }
                let board = Arc::clone(&board);
                let connection = http1::Builder::new()
                    .keep_alive(false)
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS)
                    .max_buf_size(MAX_HEAD)
                    .serve_connection(TokioIo::new(stream), service_fn(move |request| {
                        let answer = answer(&request, &board, local_only);
                        async move { Ok::<_, Infallible>(answer) }
                    }));
                order.push_back(connections.spawn(async move {
                    // What goes wrong on a connection is its client's matter.
                    let _ = tokio::time::timeout(WHOLE, connection).await;
                }));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn answer(request: &Request<Incoming>, board: &Board, local_only: bool) -> Answer {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if local_only && header(HOST).is_some_and(|host| !is_loopback(host)) {
        let text = "This address is for this machine only: ask it by 127.0.0.1 or localhost.\n";
        return plain(StatusCode::MISDIRECTED_REQUEST, text);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let pages = board.pages();
    let first = || plain(StatusCode::SERVICE_UNAVAILABLE, "The first capture has not ended.\n");
    match (request.uri().path(), pages) {
        ("/", _) => plain(StatusCode::OK, INDEX),
        ("/healthz", _) => match board.health() {
            (true, line) => plain(StatusCode::OK, line),
            (false, line) => plain(StatusCode::SERVICE_UNAVAILABLE, line),
        },
        ("/metrics" | "/report.json", None) => first(),
        ("/metrics", Some(pages)) if wants_openmetrics(header(ACCEPT).unwrap_or_default()) => {
            page(StatusCode::OK, OPENMETRICS, pages.openmetrics.clone())
        }
        ("/metrics", Some(pages)) => page(StatusCode::OK, TEXT, pages.text.clone()),
        ("/report.json", Some(pages)) => {
            page(StatusCode::OK, "application/json", pages.report.clone())
        }
        _ => plain(StatusCode::NOT_FOUND, "There is /metrics, /healthz and /report.json.\n"),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    page(status, PLAIN, text.into())
}

fn page(status: StatusCode, media: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = [
        (CONTENT_TYPE, media),
        (CACHE_CONTROL, "no-store"),
        (VARY, "Accept"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    answer
}
