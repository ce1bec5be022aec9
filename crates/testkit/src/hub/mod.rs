//! A Hub on 127.0.0.1: the routes that fetching a model takes, over a folder, with the headers and redirections of the
//! real one, a content delivery network on another port, and faults on demand.

mod faults;
mod http;
mod options;
mod routes;

pub use faults::{Fault, Rule};

use faults::Rules;
use http::Request;
pub use options::{Access, HubOptions, Mirror, Tags, WrongResponse};
use routes::Repository;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A request that was made.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and path; those to the content delivery network begin with `CDN `.
    pub line: String,
    /// Whether it had a token.
    pub has_token: bool,
}

/// A running Hub; its threads end with the process.
pub struct TestHub {
    hub: SocketAddr,
    shared: Arc<Shared>,
}

/// What the threads share.
struct Shared {
    repository: Repository,
    rules: Rules,
    seen: Mutex<Vec<Seen>>,
}

impl TestHub {
    /// Serves the files of `folder` as the branch `main` of the public model repository `name`.
    ///
    /// # Errors
    /// Those of listening on a free port.
    pub fn start(name: &str, folder: &Path) -> io::Result<Self> {
        Self::with(HubOptions {
            name: name.to_owned(),
            folder: folder.to_owned(),
            large: 10 << 10,
            access: Access::Public,
            former_name: None,
            wrong_responses: Vec::new(),
            mirror: Mirror::default(),
        })
    }

    /// Serves what `options` say.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with(options: HubOptions) -> io::Result<Self> {
        let (hub, cdn) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let (address, cdn_address) = (hub.local_addr()?, cdn.local_addr()?);
        let repository = Repository { options, cdn: cdn_address };
        let shared = Arc::new(Shared { repository, rules: Rules::default(), seen: Mutex::default() });
        listen(hub, &shared, false);
        listen(cdn, &shared, true);
        Ok(Self { hub: address, shared })
    }

    /// Base URL, for `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.hub, self.shared.repository.options.mirror.prefix)
    }

    /// Base URL of the content delivery network.
    #[must_use]
    pub fn cdn_url(&self) -> String {
        format!("http://{}", self.shared.repository.cdn)
    }

    /// The commit that `main` stands for.
    #[must_use]
    pub const fn commit(&self) -> &'static str {
        options::COMMIT
    }

    /// What goes wrong from now on. The first rule that fits a request and is not used up counts.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        self.shared.rules.set(rules);
    }

    /// Every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Method and path of every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

fn listen(listener: TcpListener, shared: &Arc<Shared>, is_cdn: bool) {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            // A client that goes away early is its own affair.
            std::thread::spawn(move || {
                let Some(mut request) = Request::read(&stream)? else { return Ok(()) };
                if !is_cdn {
                    request.strip_prefix(&shared.repository.options.mirror.prefix);
                }
                let place = if is_cdn { "CDN " } else { "" };
                let line = format!("{place}{} {}", request.method, request.target);
                let fault = shared.rules.take(&line);
                let seen = Seen { line, has_token: request.token.is_some() };
                shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                let answer =
                    if is_cdn { shared.repository.deliver(&request) } else { shared.repository.answer(&request) };
                answer.send(stream, &request, fault.as_ref())
            });
        }
    });
}
