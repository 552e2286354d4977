//! The preview page's server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::sitting::Sitting;
use crate::program::{Place, repository};

/// Where the page of a sitting is: `127.0.0.1:1234`.
fn address(sitting: &mut Sitting) -> String {
    let url = sitting.wait("page")["url"].as_str().unwrap().to_owned();
    let address = url.strip_prefix("http://").unwrap().strip_suffix('/').unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    address
}

/// An answer: status, head, body.
struct Answer(u16, String, Vec<u8>);

fn connect(address: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // A failure limit.
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn ask_as(address: &str, request: &str) -> Answer {
    let mut all = Vec::new();
    connect(address, request).read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    Answer(head[9..12].parse().unwrap(), head, all[end + 4..].to_vec())
}

fn get(address: &str, path: &str) -> Answer {
    ask_as(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

fn state(address: &str) -> Value {
    serde_json::from_slice(&get(address, "/state").2).unwrap()
}

fn place() -> Place {
    let place = Place::new();
    place.write("a.png", fs::read(repository().join("graphs/reference.png")).unwrap());
    place.write("graph.json", graph(20));
    place
}

fn graph(width: u32) -> String {
    json!({
        "version": 1,
        "name": "negative",
        "inputs": { "width": { "type": "integer", "default": width } },
        "nodes": {
            "load": { "type": "Load Image", "inputs": { "path": "a.png" } },
            "small": { "type": "Resize", "inputs": { "image": { "from": "load.image" }, "width": { "input": "width" } } },
            "save": { "type": "Save Image", "inputs": { "images": { "from": "small.image" }, "path": "small.png" } },
        },
        "outputs": { "width": "load.width" },
    })
    .to_string()
}

#[test]
fn the_page_tells_of_graph_runs_and_problems() {
    let place = place();
    let mut sitting = Sitting::start(&place, &["graph.json", "--preview", "0"]);
    let address = address(&mut sitting);
    for (path, kind) in [("/", "text/html"), ("/style.css", "text/css"), ("/page.js", "text/javascript")] {
        let Answer(status, head, body) = get(&address, path);
        assert!(status == 200 && head.contains(kind) && head.contains("default-src 'self'"), "{path}: {head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }
    let mut events =
        BufReader::new(connect(&address, &format!("GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n"))).lines();
    while events.next().unwrap().unwrap() != "retry: 1000" {}
    let mut hear = |wanted: &dyn Fn(&Value) -> bool| loop {
        let line = events.next().unwrap().unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: Value = serde_json::from_str(data).unwrap();
        if wanted(&event) {
            return event;
        }
    };
    sitting.wait("waiting");
    let first = state(&address);
    assert_eq!((&first["name"], &first["file"], &first["run"]), (&json!("negative"), &json!("graph.json"), &json!(1)));
    assert_eq!(first["links"], json!([[0, 1], [1, 2]]));
    let node = &first["nodes"][1];
    assert_eq!((&node["id"], &node["type"], &node["state"]), (&json!("small"), &json!("Resize"), &json!("done")));
    assert!(node["inputs"].as_array().unwrap().contains(&json!(["image", "← load.image"])), "{node}");
    let run = &first["history"][0];
    assert_eq!((&run["status"], &run["ran"], &run["inputs"]), (&json!("done"), &json!(3), &json!([["width", "20"]])));
    let picture = &run["pictures"][0];
    assert_eq!(picture["name"], "small.png");
    let before = fs::read(place.path("output/small.png")).unwrap();
    let shown = |picture: &Value| get(&address, &format!("/pictures/{}", picture["id"]));
    assert!(shown(picture).1.contains("image/png") && shown(picture).2 == before);

    place.write("graph.json", graph(30));
    hear(&|event| event["event"] == "finished" && event["node"] == "small");
    sitting.wait("waiting");
    assert!(shown(picture).2 == before, "what a run gave stays, though the file is another one");
    let second = state(&address);
    assert_eq!(second["history"][0]["inputs"], json!([["width", "30"]]));
    assert_eq!(second["nodes"][0]["state"], "known");
    assert!(shown(&second["history"][0]["pictures"][0]).2 == fs::read(place.path("output/small.png")).unwrap());

    place.write("graph.json", graph(30).replace("Resize", "Resise"));
    hear(&|event| event["event"] == "problems");
    sitting.wait("waiting");
    let third = state(&address);
    assert!(third["problems"][0]["hints"][0].as_str().unwrap().contains("`Resize`"), "{}", third["problems"]);
    assert_eq!((&third["problems"][0]["node"], third["nodes"].as_array().unwrap().len()), (&json!("small"), 3));
}

#[test]
fn pages_from_elsewhere_are_refused() {
    let place = place();
    let mut sitting = Sitting::start(&place, &["graph.json", "--preview", "0"]);
    let address = address(&mut sitting);
    sitting.wait("waiting");
    let (_, port) = address.rsplit_once(':').unwrap();
    let with = |method: &str, path: &str, headers: &str| {
        ask_as(&address, &format!("{method} {path} HTTP/1.1\r\n{headers}\r\n")).0
    };
    let host = |name: &str| format!("Host: {name}\r\n");
    for (headers, expected) in [
        (host(&address), 200),
        (host(&format!("localhost:{port}")), 200),
        (host(&format!("LocalHost:{port}")), 200),
        (host(&format!("[::1]:{port}")), 200),
        (host("127.0.0.1:9"), 200),
        (host("localhost"), 200),
        (host("attacker.example"), 403),
        (host(&format!("attacker.example:{port}")), 403),
        (host("localhost.attacker.example"), 403),
        (host(&format!("127.0.0.1.attacker.example:{port}")), 403),
        (host("127.0.0.1@attacker.example"), 403),
        (host(""), 403),
        (String::new(), 403),
        (host(&address) + &host("attacker.example"), 403),
        (host(&address) + &format!("Origin: http://{address}\r\n"), 200),
        (host(&address) + "Origin: http://attacker.example\r\n", 403),
        (host(&address) + "Origin: null\r\n", 403),
    ] {
        assert_eq!(with("GET", "/state", &headers), expected, "{headers:?}");
        let posted = with("POST", "/stop", &headers);
        assert_eq!(posted, if expected == 200 { 202 } else { expected }, "{headers:?}");
    }
}

#[test]
fn nothing_else_is_served() {
    let place = place();
    let mut sitting = Sitting::start(&place, &["graph.json", "--preview", "0", "--on-change", "ask"]);
    let address = address(&mut sitting);
    sitting.wait("waiting");
    for path in [
        "/graph.json",
        "/../graph.json",
        "/pictures/../../graph.json",
        "/pictures/..%2f..%2fgraph.json",
        "/pictures/%2e%2e/graph.json",
        "/pictures/",
        "/pictures/999999",
        "/pictures/-1",
        "/pictures//etc/passwd",
        "/preview/../../../etc/passwd",
        "/preview/load",
        "/preview/%ff",
        "//etc/passwd",
        "/index.html",
        "/page.js/",
    ] {
        assert_eq!(get(&address, path).0, 404, "{path}");
    }
    let host = format!("Host: {address}\r\n\r\n");
    for (request, expected) in [
        ("GET http://attacker.example/ HTTP/1.1\r\n", 400),
        ("GET /\r\n", 400),
        ("hello\r\n", 400),
        ("DELETE / HTTP/1.1\r\n", 405),
        ("GET /run HTTP/1.1\r\n", 405),
        ("POST /state HTTP/1.1\r\n", 405),
    ] {
        assert_eq!(ask_as(&address, &format!("{request}{host}")).0, expected, "{request}");
    }
    let head = ask_as(&address, &format!("HEAD / HTTP/1.1\r\n{host}"));
    assert!(head.0 == 200 && head.2.is_empty() && !head.1.contains("Content-Length: 0"));
    // A wish from the page is as good as a key.
    assert_eq!(ask_as(&address, &format!("POST /run HTTP/1.1\r\n{host}")).0, 202);
    sitting.wait_for_end("done");
    assert_eq!(sitting.count("run"), 2);
}
