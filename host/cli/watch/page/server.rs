//! Who may ask what, and the answers.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::Duration;

use super::board::Board;
use super::http::{Answer, Refusal, Request, decoded, head};
use crate::cli::watch::notice::Notice;

/// Where the page is unless somebody says otherwise, if that is free.
const PORT: u16 = 7340;
/// Browsers open a handful.
const MAX_CONNECTIONS: usize = 64;
/// How long a browser may take to ask or to take an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a silent connection is tried, so that those of closed pages end.
const TRY_EVERY: Duration = Duration::from_secs(15);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

/// Serves the page from now on and gives its address. `port` 0 takes any that is free; without one the usual one is taken,
/// or any when that is in use.
pub(in crate::cli::watch) fn serve(
    port: Option<u16>,
    board: Arc<Board>,
    wishes: Sender<Notice>,
) -> std::io::Result<String> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = match port {
        Some(port) => bind(port)?,
        None => bind(PORT).or_else(|_| bind(0))?,
    };
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("page".into()).spawn(move || {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().flatten() {
            if open.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
                continue;
            }
            open.fetch_add(1, Ordering::SeqCst);
            let guard = Open(open.clone());
            let (board, wishes) = (board.clone(), wishes.clone());
            // Without a thread the connection ends here.
            let _ = std::thread::Builder::new().spawn(move || {
                let _guard = guard;
                // A browser that has gone needs no answer.
                let _ = answer(&stream, &board, &wishes);
            });
        }
    })?;
    Ok(format!("http://{address}/"))
}

/// A connection that is open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn answer(stream: &TcpStream, board: &Board, wishes: &Sender<Notice>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = match Request::read(BufReader::new(stream)) {
        Ok(request) => request,
        Err(Refusal::Gone) => return Ok(()),
        Err(Refusal::Malformed) => return Answer::refused("400 Bad Request", "this is not HTTP").write(stream, false),
        Err(Refusal::TooLarge) => {
            return Answer::refused("431 Request Header Fields Too Large", "too long").write(stream, false);
        }
    };
    if let Err(refused) = may_ask(&request) {
        return refused.write(stream, false);
    }
    if request.method == "GET" && request.path == "/events" {
        return events(stream, board);
    }
    reply(&request, board, wishes).write(stream, request.method == "HEAD")
}

/// Whether the request comes from a page of this server, or from no page.
fn may_ask(request: &Request) -> Result<(), Answer> {
    let forbidden = |why| Err(Answer::refused("403 Forbidden", why));
    let Some(host) = request.header("host") else { return forbidden("a `Host` header is needed") };
    // Whatever the port: it may be forwarded.
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|digit| digit.is_ascii_digit()) { name } else { host });
    if !["localhost", "127.0.0.1", "[::1]"].contains(&name.to_ascii_lowercase().as_str()) {
        return forbidden("this page is for `localhost` alone");
    }
    let same = |origin: &str| origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host));
    match request.header("origin") {
        Some(origin) if !same(origin) => forbidden("this page is for itself alone"),
        _ => Ok(()),
    }
}

fn reply(request: &Request, board: &Board, wishes: &Sender<Notice>) -> Answer {
    let wish = |notice: Notice| {
        // The sitting may be over.
        let _ = wishes.send(notice);
        Answer { status: "202 Accepted", content_type: JSON, body: b"{}".to_vec() }
    };
    let not_found = || Answer::refused("404 Not Found", "there is no such thing here");
    let wishing = matches!(request.path.as_str(), "/run" | "/stop");
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/run") => wish(Notice::Run),
        ("POST", "/stop") => wish(Notice::Stop),
        ("GET" | "HEAD", path) if !wishing => match path {
            "/" => Answer::of(HTML, include_str!("index.html")),
            "/style.css" => Answer::of(CSS, include_str!("style.css")),
            "/page.js" => Answer::of(SCRIPT, include_str!("page.js")),
            "/layout.js" => Answer::of(SCRIPT, include_str!("layout.js")),
            "/state" => Answer::of(JSON, board.as_json().to_string()),
            path => picture(path, board).unwrap_or_else(not_found),
        },
        _ => Answer::refused("405 Method Not Allowed", "this cannot be asked so"),
    }
}

fn picture(path: &str, board: &Board) -> Option<Answer> {
    if let Some(id) = path.strip_prefix("/pictures/") {
        let picture = board.picture(id.parse().ok()?)?;
        return Some(Answer::of(picture.content_type, &*picture.bytes));
    }
    let image = board.preview(&decoded(path.strip_prefix("/preview/")?)?)?;
    dc_graph_nodes::png_bytes(&image).ok().map(|bytes| Answer::of("image/png", bytes))
}

/// Server-sent events: those of the sitting as they come, and a word now and then.
fn events(mut stream: &TcpStream, board: &Board) -> std::io::Result<()> {
    let events = board.listen();
    stream.write_all(head("200 OK", "text/event-stream", None).as_bytes())?;
    stream.write_all(b"retry: 1000\n\n")?;
    loop {
        match events.recv_timeout(TRY_EVERY) {
            Ok(event) => {
                let mut text = format!("data: {event}\n\n");
                // What has come meanwhile goes along.
                events.try_iter().for_each(|event| text += &format!("data: {event}\n\n"));
                stream.write_all(text.as_bytes())?;
            }
            Err(RecvTimeoutError::Timeout) => stream.write_all(b": still here\n\n")?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
