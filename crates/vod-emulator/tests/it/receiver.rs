//! A receiver of posted events that does as it is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reaction {
    /// It answers with this status.
    Status(u16),
    /// It never answers.
    Never,
    /// It answers 200 once it is released.
    Held,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Posted {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }
}

#[derive(Debug)]
struct Book {
    posted: Mutex<Vec<Posted>>,
    /// What it does next; once empty, it answers 200.
    reactions: Mutex<VecDeque<Reaction>>,
    released: watch::Sender<bool>,
}

/// A running receiver. Ended when it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    book: Arc<Book>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(reactions: impl IntoIterator<Item = Reaction>) -> Self {
        ClosedPort::new().open(reactions)
    }
}

/// A port that refuses connections, and that nobody else gets.
pub(crate) struct ClosedPort {
    pub(crate) url: String,
    socket: TcpSocket,
}

impl ClosedPort {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { url: format!("http://{}", socket.local_addr().unwrap()), socket }
    }

    /// Starts a receiver there.
    pub(crate) fn open(self, reactions: impl IntoIterator<Item = Reaction>) -> Receiver {
        let Self { url, socket } = self;
        let listener: TcpListener = socket.listen(1_024).unwrap();
        let book = Arc::new(Book {
            posted: Mutex::default(),
            reactions: Mutex::new(reactions.into_iter().collect()),
            released: watch::Sender::new(false),
        });
        let router = Router::new().fallback(receive).with_state(Arc::clone(&book));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { url, book, task }
    }
}

impl Receiver {
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.book.posted.lock().unwrap().clone()
    }

    pub(crate) fn release(&self) {
        self.book.released.send_replace(true);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(book): State<Arc<Book>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1024 * 1024).await.unwrap();
    book.posted.lock().unwrap().push(Posted {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let reaction = book.reactions.lock().unwrap().pop_front();
    let status = match reaction.unwrap_or(Reaction::Status(200)) {
        Reaction::Status(status) => status,
        Reaction::Never => std::future::pending().await,
        Reaction::Held => {
            book.released.subscribe().wait_for(|released| *released).await.unwrap();
            200
        }
    };
    let answer = Response::builder().status(status).header("Location", "/elsewhere");
    answer.body(Body::from("{\"code\":0}")).unwrap()
}
