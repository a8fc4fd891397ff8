//! A client from outside, which is never stopped: every answer of a server is checked to its last byte.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs until it is asked for its end.
pub(crate) struct Client {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<u32, String>>,
}

impl Client {
    /// Connects to a server that answers every line in upper case.
    pub(crate) fn start(port: u16) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut answers = 0;
            while !asked.load(Ordering::Relaxed) {
                answers += connection(port, answers).map_err(|error| format!("client: {error}"))?;
            }
            Ok(answers)
        });
        Self { end, thread }
    }

    /// How many answers were right, or what was not.
    pub(crate) fn end(self) -> Result<u32, String> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err("client: a panic".to_owned()))
    }
}

fn connection(port: u16, number: u32) -> std::io::Result<u32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    for request in 0..50 {
        let text = format!("outside {number} request {request} {}\n", "y".repeat(request * 40));
        stream.write_all(text.as_bytes())?;
        let mut answer = String::new();
        reader.read_line(&mut answer)?;
        if answer != text.to_uppercase() {
            let problem = format!("{answer:.80?} instead of {text:.80?}");
            return Err(std::io::Error::other(problem));
        }
    }
    stream.shutdown(Shutdown::Write)?;
    let mut rest = String::new();
    match reader.read_line(&mut rest)? {
        0 => Ok(50),
        _ => Err(std::io::Error::other(format!("{rest:.80?} after the last answer"))),
    }
}
