//! Requests to the hosts that were granted, and to no other.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use ureq::http::{Request, Response, Uri};
use ureq::{Agent, Body};

/// What is asked.
pub(super) struct Question {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
const MAX_REDIRECTIONS: usize = 5;

/// Sends a request from a thread of its own, so that the caller can give up at any time: `wait` is called again and again
/// and ends the wait with an error of its own.
pub(super) fn send<E>(
    question: Question,
    hosts: &BTreeSet<String>,
    most: u64,
    timeout: Duration,
    mut wait: impl FnMut() -> Result<(), E>,
) -> Result<Result<Answer, String>, E> {
    let (tell, told) = mpsc::channel();
    let hosts = hosts.clone();
    let spawned = std::thread::Builder::new().name("plugin-http".into()).spawn(move || {
        // Nobody listens any more when the call was given up.
        let _ = tell.send(exchange(question, &hosts, most, timeout));
    });
    if let Err(error) = spawned {
        return Ok(Err(format!("cannot start a thread: {error}")));
    }
    loop {
        match told.recv_timeout(Duration::from_millis(10)) {
            Ok(answer) => return Ok(answer),
            Err(mpsc::RecvTimeoutError::Timeout) => wait()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(Err("the request broke off".into())),
        }
    }
}

fn exchange(question: Question, hosts: &BTreeSet<String>, most: u64, timeout: Duration) -> Result<Answer, String> {
    if !METHODS.contains(&question.method.as_str()) {
        return Err(format!("expected one of {}, found the method `{}`", METHODS.join(", "), question.method));
    }
    // Redirections are followed here, so that each of them is checked; proxies of the environment are not for plugins.
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .allow_non_standard_methods(true)
        .build()
        .into();
    let mut uri: Uri = question.url.parse().map_err(|error| format!("`{}` is not a URL: {error}", question.url))?;
    let mut method = question.method.as_str();
    for _ in 0..=MAX_REDIRECTIONS {
        check(&uri, hosts)?;
        let mut request = Request::builder().method(method).uri(&uri);
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        let body = if method == question.method { &question.body[..] } else { &[] };
        let request = request.body(body).map_err(|error| format!("cannot be sent: {error}"))?;
        let response = agent.run(request).map_err(|error| format!("`{uri}`: {error}"))?;
        let Some(next) = redirection(&uri, &response)? else { return answer(response, most) };
        if matches!(response.status().as_u16(), 301..=303) && method != "HEAD" {
            method = "GET";
        }
        uri = next;
    }
    Err(format!("more than {MAX_REDIRECTIONS} redirections"))
}

fn check(uri: &Uri, hosts: &BTreeSet<String>) -> Result<(), String> {
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("expected a URL that begins with `https:` or `http:`, found `{uri}`"));
    }
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(usual);
    let granted = (port == usual && hosts.contains(&host)) || hosts.contains(&format!("{host}:{port}"));
    if granted { Ok(()) } else { Err(format!("requests to `{host}:{port}` are not granted")) }
}

fn redirection(from: &Uri, response: &Response<Body>) -> Result<Option<Uri>, String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get("location") else { return Ok(None) };
    let location = location.to_str().map_err(|_| "was redirected to what is not text".to_owned())?;
    let absolute = match location.starts_with('/') && !location.starts_with("//") {
        true => format!(
            "{}://{}{location}",
            from.scheme_str().unwrap_or_default(),
            from.authority().map_or("", |authority| authority.as_str())
        ),
        false => location.into(),
    };
    absolute.parse().map(Some).map_err(|error| format!("was redirected to `{location}`: {error}"))
}

fn answer(response: Response<Body>, most: u64) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    let mut bytes = Vec::new();
    let reader = body.into_reader().take(most.saturating_add(1)).read_to_end(&mut bytes);
    reader.map_err(|error| format!("the answer broke off: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("the answer is larger than the {most} bytes that are left of `buffers-mib`"));
    }
    Ok(Answer { status: head.status.as_u16(), headers, body: bytes })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Answers one request for each of the given texts, then closes.
    fn server(answers: Vec<String>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                    head.push(byte[0]);
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        port
    }

    fn ask(url: &str, hosts: &[&str], most: u64) -> Result<Answer, String> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let question = Question { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() };
        send(question, &hosts, most, Duration::from_secs(20), || Ok::<_, ()>(())).unwrap()
    }

    fn refusal(url: &str, hosts: &[&str]) -> String {
        ask(url, hosts, 100).map(|answer| answer.status).unwrap_err()
    }

    #[test]
    fn only_hosts_that_were_granted() {
        for url in [
            "http://localhost/",
            "http://example.org.evil.com/",
            "http://example.org@evil.com/",
            "https://example.org:8443/",
            "http://example.com/",
        ] {
            let error = refusal(url, &["example.org"]);
            assert!(error.contains("are not granted"), "{url}: {error}");
        }
        for url in ["file:///etc/passwd", "/etc/passwd", "ftp://example.org/"] {
            assert!(refusal(url, &["example.org"]).contains("URL"), "{url}");
        }
    }

    #[test]
    fn answers_and_redirections() {
        let port = server(vec!["HTTP/1.1 404 No\r\nx-a: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi".into()]);
        let host = format!("127.0.0.1:{port}");
        let found = ask(&format!("http://{host}/"), &[&host], 100).unwrap();
        assert_eq!((found.status, &found.body[..]), (404, &b"hi"[..]));
        assert!(found.headers.contains(&("x-a".into(), "b".into())));

        let moved =
            |to: &str| format!("HTTP/1.1 302 Go\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let port = server(vec![moved("http://localhost:1/")]);
        let host = format!("127.0.0.1:{port}");
        assert!(refusal(&format!("http://{host}/"), &[&host]).contains("`localhost:1` are not granted"));

        let fine = "HTTP/1.1 200 Ok\r\ncontent-length: 3\r\nconnection: close\r\n\r\nyes".to_owned();
        let port = server(vec![moved("/b"), fine.clone(), fine]);
        let host = format!("127.0.0.1:{port}");
        assert_eq!(ask(&format!("http://{host}/"), &[&host], 100).unwrap().body, b"yes");
        assert!(
            ask(&format!("http://{host}/"), &[&host], 2).map(|_| ()).unwrap_err().contains("larger than the 2 bytes")
        );
    }

    #[test]
    fn waiting_can_be_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let question =
            Question { method: "GET".into(), url: format!("http://{host}/"), headers: Vec::new(), body: Vec::new() };
        let result = send(question, &[host].into(), 100, Duration::from_secs(20), || Err("enough"));
        assert_eq!(result.map(|_| ()), Err("enough"));
    }
}
