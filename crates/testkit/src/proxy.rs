//! An HTTP proxy on 127.0.0.1 in front of a server, that fails as networks and servers do: by a seed, so that the same
//! requests in the same order meet the same faults, or as a test chooses.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes passed on at once.
const BUFFER: usize = 256 << 10;
/// How long a request that is left hanging is held, unless the client goes away before.
const HANGING: Duration = Duration::from_secs(20);

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyFault {
    /// The proxy answers itself: status with its reason, further headers, each with its line end, and body.
    Answer(&'static str, &'static str, &'static str),
    /// The connection ends before anything was passed on.
    Cut,
    /// The connection ends when half of the request's body was passed on.
    CutRequest,
    /// The request is passed on whole, and the connection ends instead of an answer.
    CutAnswer,
    /// Nothing is passed on, and nothing answered.
    Hang,
    /// The request is passed on after a time.
    Delay(Duration),
    /// The head of the answer is sent at once, and the rest after a time.
    SlowAnswer(Duration),
}

/// Chooses the fault of a request, given its number and its head: first line and headers.
type Choose = dyn Fn(u64, &str) -> Option<ProxyFault> + Send + Sync;

/// A running proxy; its threads end with the process.
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    choose: Box<Choose>,
    requests: AtomicU64,
    log: Mutex<Vec<String>>,
    body_byte_count: AtomicU64,
}

impl FaultyProxy {
    /// In front of `server`, an address with port; `choose` returns the fault of each request.
    ///
    /// # Errors
    /// Those of listening on a free port.
    pub fn start(
        server: &str,
        choose: impl Fn(u64, &str) -> Option<ProxyFault> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            choose: Box::new(choose),
            requests: AtomicU64::new(0),
            log: Mutex::default(),
            body_byte_count: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                // Connections that break are what this is for.
                std::thread::spawn(move || shared.relay(&client));
            }
        });
        Ok(Self { address, shared })
    }

    /// In front of `server`, with faults of all kinds in `per_mille` of a thousand requests, by `seed`.
    ///
    /// # Errors
    /// Those of listening on a free port.
    pub fn random(server: &str, seed: u64, per_mille: u64) -> io::Result<Self> {
        let error = "<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>";
        let internal = "<Error><Code>InternalError</Code><Message>We encountered an internal error</Message></Error>";
        let kinds = [
            ProxyFault::Answer("503 Slow Down", "", error),
            ProxyFault::Answer("500 Internal Server Error", "", internal),
            ProxyFault::Cut,
            ProxyFault::CutRequest,
            ProxyFault::CutAnswer,
            ProxyFault::Hang,
        ];
        Self::start(server, move |number, _| {
            let random = mix(seed ^ mix(number));
            (random % 1000 < per_mille).then(|| kinds[(random >> 32) as usize % kinds.len()].clone())
        })
    }

    /// `127.0.0.1` and the port.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// First lines of all requests so far, each with the fault it met.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each kind of fault was met, by its name.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<String, usize> {
        let mut faults = BTreeMap::new();
        for line in self.log() {
            if let Some((_, fault)) = line.split_once("!! ") {
                *faults.entry(fault.split('(').next().unwrap_or(fault).to_owned()).or_default() += 1;
            }
        }
        faults
    }

    /// Bytes of bodies that clients have sent.
    #[must_use]
    pub fn body_byte_count(&self) -> u64 {
        self.shared.body_byte_count.load(Ordering::Relaxed)
    }
}

/// What happens to the answers on a connection.
#[derive(Default)]
struct Answers {
    are_lost: AtomicBool,
    /// Milliseconds between head and rest of the next one.
    hold: AtomicU64,
}

impl Shared {
    /// Passes the requests of one connection on, one after another, and what the server sends back.
    fn relay(&self, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(&self.server)?;
        // What is passed on in pieces must not wait for acknowledgements.
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        let answers = Arc::new(Answers::default());
        let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
        let chosen = Arc::clone(&answers);
        std::thread::spawn(move || -> io::Result<()> {
            let mut buffer = vec![0; BUFFER];
            loop {
                let count = from_server.read(&mut buffer).unwrap_or(0);
                // Leave to send a body is no answer yet.
                let is_answer = !buffer.starts_with(b"HTTP/1.1 100");
                if count == 0 || is_answer && chosen.are_lost.load(Ordering::Relaxed) {
                    // Also where the answer is to be lost: by now the server has done what was asked.
                    return to_client.shutdown(Shutdown::Both);
                }
                let wait = Duration::from_millis(chosen.hold.swap(0, Ordering::Relaxed));
                let head = buffer[..count].windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |end| end + 4);
                let (head, rest) = buffer[..count].split_at(if wait.is_zero() { count } else { head });
                to_client.write_all(head)?;
                std::thread::sleep(wait);
                to_client.write_all(rest)?;
            }
        });
        let result = self.requests(client, &server, &answers);
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        result
    }

    /// The fault of the next request, which is logged.
    fn next_fault(&self, head: &str) -> Option<ProxyFault> {
        let first = head.lines().next().unwrap_or_default();
        let fault = (self.choose)(self.requests.fetch_add(1, Ordering::Relaxed), head);
        let noted = fault.as_ref().map_or_else(|| first.to_owned(), |fault| format!("{first} !! {fault:?}"));
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
        fault
    }

    fn requests(&self, client: &TcpStream, mut server: &TcpStream, answers: &Answers) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(BUFFER, client);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let length = content_length(&head);
            match self.next_fault(&head) {
                fault @ (None | Some(ProxyFault::Delay(_) | ProxyFault::SlowAnswer(_))) => {
                    match fault {
                        Some(ProxyFault::Delay(wait)) => std::thread::sleep(wait),
                        Some(ProxyFault::SlowAnswer(wait)) => {
                            answers.hold.store(wait.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
                        }
                        _ => {}
                    }
                    server.write_all(head.as_bytes())?;
                    self.pass(&mut reader, length, &mut server)?;
                }
                Some(ProxyFault::Answer(status, headers, text)) => {
                    client.set_read_timeout(Some(Duration::from_millis(100)))?;
                    // A client that waits for leave to send its body sends none.
                    let _ = self.pass(&mut reader, length, &mut io::sink());
                    return answer(client, (status, headers, text));
                }
                Some(ProxyFault::Cut) => return Ok(()),
                Some(ProxyFault::CutRequest) => {
                    server.write_all(head.as_bytes())?;
                    self.pass(&mut reader, length / 2, &mut server)?;
                    return Ok(());
                }
                Some(ProxyFault::CutAnswer) => {
                    answers.are_lost.store(true, Ordering::Relaxed);
                    server.write_all(head.as_bytes())?;
                    self.pass(&mut reader, length, &mut server)?;
                }
                Some(ProxyFault::Hang) => {
                    client.set_read_timeout(Some(HANGING))?;
                    self.pass(&mut reader, length, &mut io::sink())?;
                    reader.read_line(&mut String::new())?;
                    return Ok(());
                }
            }
        }
    }

    /// Forwards a number of bytes of a body, and counts them.
    fn pass(&self, reader: &mut impl BufRead, byte_count: u64, to: &mut impl Write) -> io::Result<()> {
        let mut left = byte_count;
        while left > 0 {
            let available = reader.fill_buf()?;
            let count = available.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all(&available[..count])?;
            reader.consume(count);
            left -= count as u64;
            self.body_byte_count.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The value of the header `Content-Length`; 0 without one.
fn content_length(head: &str) -> u64 {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    found.find_map(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

/// Answers in the server's place.
fn answer(mut client: &TcpStream, (status, headers, text): (&str, &str, &str)) -> io::Result<()> {
    let length = text.len();
    write!(client, "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}")
}

/// The output function of SplitMix64: neighbouring numbers give unrelated ones.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
