//! Requests and answers as bytes: as much of HTTP/1.1 (RFC 9112) as a browser needs to get a few files.

use std::io::{BufRead, Write};

/// The most that is read of a request.
const MAX_HEAD: u64 = 16 << 10;

/// A request. Bodies are not read: nothing that is asked here has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without what comes after `?`.
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

/// What is not answered further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not HTTP.
    Malformed,
    /// Too long.
    TooLarge,
    /// The other side has gone, or takes too long.
    Gone,
}

impl Request {
    /// Reads the head of a request.
    pub(super) fn read(from: impl BufRead) -> Result<Self, Refusal> {
        let mut from = from.take(MAX_HEAD);
        let mut line = || -> Result<String, Refusal> {
            let mut line = Vec::new();
            from.read_until(b'\n', &mut line).map_err(|_| Refusal::Gone)?;
            if line.pop() != Some(b'\n') {
                return Err(if from.limit() == 0 { Refusal::TooLarge } else { Refusal::Gone });
            }
            line.pop_if(|last| *last == b'\r');
            String::from_utf8(line).map_err(|_| Refusal::Malformed)
        };
        let first = line()?;
        let parts: Vec<&str> = first.split(' ').collect();
        let [method, target, version] = parts[..] else { return Err(Refusal::Malformed) };
        if !target.starts_with('/') || !version.starts_with("HTTP/1.") {
            return Err(Refusal::Malformed);
        }
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(Refusal::Malformed)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let path = target.split(['?', '#']).next().unwrap_or_default();
        Ok(Self { method: method.into(), path: path.into(), headers })
    }

    /// A header that is there once; `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        found.next().filter(|_| found.next().is_none())
    }
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A good one.
    pub(super) fn of(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", content_type, body: body.into() }
    }

    /// A bad one, with a word of why.
    pub(super) fn refused(status: &'static str, why: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{why}\n").into_bytes() }
    }

    /// Writes it; without its body when only the head was asked for.
    pub(super) fn write(&self, mut to: impl Write, head_only: bool) -> std::io::Result<()> {
        to.write_all(head(self.status, self.content_type, Some(self.body.len())).as_bytes())?;
        if !head_only {
            to.write_all(&self.body)?;
        }
        to.flush()
    }
}

/// The head of an answer; one of unknown length ends with the connection. Nothing is loaded from elsewhere, shown in other
/// pages, or kept.
pub(super) fn head(status: &str, content_type: &str, length: Option<usize>) -> String {
    let length = length.map_or(String::new(), |length| format!("Content-Length: {length}\r\n"));
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{length}Cache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
    )
}

/// `%20` as a space, and so on; nothing when that is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            rest = &rest[2..];
            u8::from_str_radix(digits, 16).ok()?
        } else {
            *first
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_or_refused() {
        let read = |text: &str| Request::read(text.as_bytes());
        let request = read("GET /state?x=1 HTTP/1.1\r\nHOST: localhost:1 \r\nA: 1\nA: 2\r\n\r\nbody").unwrap();
        assert_eq!((&*request.method, &*request.path), ("GET", "/state"));
        assert_eq!(
            (request.header("host"), request.header("a"), request.header("b")),
            (Some("localhost:1"), None, None)
        );
        for (text, expected) in [
            ("", Refusal::Gone),
            ("GET / HTTP/1.1\r\n", Refusal::Gone),
            ("GET /\r\n\r\n", Refusal::Malformed),
            ("GET http://elsewhere/ HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/2\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Refusal::Malformed),
            (&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)), Refusal::TooLarge),
            (&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1 << 16)), Refusal::TooLarge),
        ] {
            assert_eq!(read(text), Err(expected), "{:.40}", text);
        }
    }

    #[test]
    fn names_in_addresses() {
        for (text, expected) in
            [("a%20b", Some("a b")), ("%C3%A9", Some("é")), ("%2", None), ("%zz", None), ("%ff", None), ("", Some(""))]
        {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
