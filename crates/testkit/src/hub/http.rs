//! As much of HTTP/1.1 as a Hub needs, with answers that can go wrong.

use super::Fault;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

/// What was asked.
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// The bearer token.
    pub(super) token: Option<String>,
    /// First byte and, where it was named, the one after the last.
    range: Option<(usize, Option<usize>)>,
}

/// What is answered.
pub(super) struct Response {
    pub(super) status: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads the head of a request; nothing if the client went away.
    pub(super) fn read(stream: &TcpStream) -> io::Result<Option<Self>> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(None);
            }
        }
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let header = |name: &str| {
            let mut headers = head.lines().filter_map(|line| line.split_once(": "));
            headers.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned()))
        };
        // A client that takes this for its proxy sends the whole URL.
        let path = target.strip_prefix("http://").map(|rest| rest.find('/').map_or("/", |start| &rest[start..]));
        let range = header("range").and_then(|range| {
            let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((start.parse().ok()?, end.parse::<usize>().ok().map(|last| last + 1)))
        });
        Ok(Some(Self {
            method: method.to_owned(),
            target: path.unwrap_or(target).to_owned(),
            token: header("authorization").and_then(|value| Some(value.strip_prefix("Bearer ")?.to_owned())),
            range,
        }))
    }

    /// Takes a prefix off the path. What is not below it leads nowhere.
    pub(super) fn strip_prefix(&mut self, prefix: &str) {
        self.target = match self.target.strip_prefix(prefix) {
            Some(rest) => rest.to_owned(),
            None => format!("/outside{}", self.target),
        };
    }

    /// The path without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Response {
    pub(super) fn new(status: &'static str) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        let body = value.to_string().into_bytes();
        Self { body, ..Self::new("200 OK").with("Content-Type", "application/json") }
    }

    /// An answer with the Hub's word for what is wrong.
    pub(super) fn refusal(status: &'static str, code: &str, message: &str) -> Self {
        let response = if code.is_empty() { Self::new(status) } else { Self::new(status).with("X-Error-Code", code) };
        response.with("X-Error-Message", message)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends what was asked for, or what `fault` makes of it.
    pub(super) fn send(mut self, mut stream: TcpStream, request: &Request, fault: Option<&Fault>) -> io::Result<()> {
        if !matches!(fault, Some(Fault::Whole)) {
            self.take_range(request);
        }
        match fault {
            Some(Fault::Silent) => return io::copy(&mut stream.take(u64::MAX), &mut io::sink()).map(drop),
            Some(Fault::Status(status, pause)) => {
                self = Self::new(status);
                self.headers.extend(pause.map(|seconds| ("Retry-After", seconds.to_string())));
            }
            Some(Fault::WrongByte(place)) if !self.body.is_empty() => {
                let place = place % self.body.len();
                self.body[place] ^= 1;
            }
            Some(Fault::Endless) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")?;
                // The client goes away.
                loop {
                    stream.write_all(&[b' '; 1 << 16])?;
                }
            }
            Some(Fault::EndlessPages) => {
                self = self.with("Link", format!("<{}>; rel=\"next\"", request.target));
            }
            Some(Fault::Short(length)) => self.body.truncate(*length),
            _ => {}
        }
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = self.body.len();
        let head =
            format!("HTTP/1.1 {}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n", self.status);
        stream.write_all(head.as_bytes())?;
        match fault {
            _ if request.method == "HEAD" => Ok(()),
            Some(Fault::Cut(after)) => stream.write_all(&self.body[..length.min(*after)]),
            Some(Fault::Slow) => self.body.chunks(length / 16 + 1).try_for_each(|part| {
                std::thread::sleep(Duration::from_millis(2));
                stream.write_all(part)
            }),
            _ => stream.write_all(&self.body),
        }
    }

    fn take_range(&mut self, request: &Request) {
        let Some((start, end)) = request.range.filter(|_| self.status == "200 OK") else { return };
        let all = self.body.len();
        let Range { start, end } = start..end.unwrap_or(all).min(all);
        if start >= end {
            *self = Self::new("416 Range Not Satisfiable").with("Content-Range", format!("bytes */{all}"));
            return;
        }
        self.status = "206 Partial Content";
        self.headers.push(("Content-Range", format!("bytes {start}-{}/{all}", end - 1)));
        self.body = self.body[start..end].to_vec();
    }
}
