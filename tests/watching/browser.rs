//! The preview page in a browser, by keyboard alone: Chromium through its WebDriver, where both are installed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::sitting::Sitting;
use crate::program::{Place, repository};

/// A failure limit, not a measure.
const LONG: Duration = Duration::from_secs(120);

/// Keys by their names in WebDriver (<https://www.w3.org/TR/webdriver2/#keyboard-actions>).
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const RIGHT: &str = "\u{e014}";
const LEFT: &str = "\u{e012}";

/// A browser with one window. It ends with the test.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Nothing where there is no browser.
    fn start(place: &Place) -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let said = BufReader::new(driver.stdout.take().unwrap());
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
        let mut browser = Self { driver, port: port.expect("a port"), session: String::new() };
        let profile = format!("--user-data-dir={}", place.path("profile").display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,900",
            &profile,
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": args } } } });
        let session = browser.ask("", Some(capabilities));
        browser.session = session["sessionId"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        Some(browser)
    }

    fn ask(&self, path: &str, body: Option<Value>) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let (method, body) = body.map_or(("DELETE", String::new()), |body| ("POST", body.to_string()));
        let path = if self.session.is_empty() { "/session".into() } else { format!("/session/{}{path}", self.session) };
        let (port, length) = (self.port, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {length}"
        );
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        // The driver may leave the connection open after its answer, so its length counts.
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        stream.take(length).read_to_string(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["value"].take()
    }

    fn script(&self, script: &str) -> Value {
        self.ask("/execute/sync", Some(json!({ "script": format!("return {script}"), "args": [] })))
    }

    /// Waits until a script says yes.
    #[track_caller]
    fn until(&self, script: &str) {
        let began = Instant::now();
        while self.script(script) != json!(true) {
            assert!(began.elapsed() < LONG, "never: {script}");
            std::thread::yield_now();
        }
    }

    fn press(&self, key: &str) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.ask("/actions", Some(json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] })));
    }

    /// What the focus is on: its label or its text.
    fn focus(&self) -> String {
        let script = "(e => e.getAttribute('aria-label') ?? e.textContent.trim())(document.activeElement)";
        self.script(script).as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("", None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_page_is_used_without_a_mouse() {
    let place = Place::new();
    let Some(browser) = Browser::start(&place) else {
        eprintln!("skipped: there is no chromedriver here");
        return;
    };
    place.write("a.png", std::fs::read(repository().join("graphs/reference.png")).unwrap());
    let graph = |filter: &str| {
        json!({
            "version": 1,
            "name": "small",
            "nodes": {
                "load": { "type": "Load Image", "inputs": { "path": "a.png" } },
                "small": {
                    "type": "Resize",
                    "inputs": { "image": { "from": "load.image" }, "width": 40, "filter": filter },
                },
                "save": { "type": "Save Image", "inputs": { "images": { "from": "small.image" }, "path": "small.png" } },
            },
        })
        .to_string()
    };
    place.write("graph.json", graph("lanczos"));
    let mut sitting = Sitting::start(&place, &["graph.json", "--preview", "0", "--on-change", "ask"]);
    let url = sitting.wait("page")["url"].clone();
    sitting.wait("waiting");
    browser.ask("/url", Some(json!({ "url": url })));
    browser.until("document.querySelectorAll('.node.done').length === 3");
    assert_eq!(
        browser.script("document.title"),
        browser.script("'small: ' + document.getElementById('phase').textContent")
    );
    // The pictures have come, and nothing is wider than the window.
    browser.until("document.querySelector('#result img')?.naturalWidth === 40");
    assert_eq!(browser.script("document.documentElement.scrollWidth <= innerWidth"), true);

    let mut passed = Vec::new();
    while !browser.focus().starts_with("load,") {
        assert!(passed.len() < 20, "{passed:?}");
        browser.press(TAB);
        passed.push(browser.focus());
    }
    assert_eq!(passed[0], "Skip to results");
    browser.press(RIGHT);
    assert!(browser.focus().starts_with("small, Resize: done in"), "{}", browser.focus());
    let details = browser.script("document.getElementById('details').textContent");
    assert!(details.as_str().unwrap().contains("← load.image"), "{details}");
    browser.press(RIGHT);
    assert!(browser.focus().starts_with("save, Save Image"), "{}", browser.focus());
    browser.press(LEFT);
    let stroke = "getComputedStyle(document.activeElement.querySelector('.box')).strokeWidth";
    assert_eq!(browser.script(stroke), "5px", "the focus is seen");

    // An edit is told, the button runs, the result is another one.
    place.write("graph.json", graph("nearest"));
    browser.until("document.getElementById('phase').textContent.includes('changed: graph.json')");
    browser.script("document.getElementById('run').focus()");
    browser.press(ENTER);
    browser.until("document.querySelectorAll('#history li').length === 2");
    browser.until("document.querySelectorAll('.node.done').length === 2");
    assert!(browser.script("document.querySelector('.node.known').textContent").as_str().unwrap().contains("load"));

    place.write("graph.json", graph("nearest").replace("Resize", "Resise"));
    browser.until("document.getElementById('phase').textContent.includes('changed: graph.json')");
    browser.press(ENTER);
    browser.until("!document.getElementById('problems').hidden");
    let problems = browser.script("document.getElementById('problems').textContent");
    assert!(problems.as_str().unwrap().contains("did you mean `Resize`?"), "{problems}");
    browser.until("document.querySelector('.node.failed')?.textContent.includes('small') === true");
}
