//! What an agent's ramdisk finds on Ironic's network: a name server and an API. They run in the neighbour, as this same
//! test program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

/// The address that both listen on; it is the neighbour's.
pub(crate) const SERVER: &str = "198.51.100.5";
/// The API's name and port.
pub(crate) const NAME: &str = "ironic.example.net";
pub(crate) const PORT: u16 = 6385;
/// The node that the API reports for every machine.
pub(crate) const NODE: &str = "3d1d8fd0-5c6a-4d0c-8a39-0b6f0c2b7a11";
/// The requests to the API: `ADDRESS METHOD PATH BODY`, one per line.
pub(crate) const ASKED: &str = "/tmp/asked";

/// A script that starts both, in a guest that was built with `inside()`.
pub(crate) const START: &str = "for server in names api; do
    inside --ignored --exact ironic::$server >/tmp/$server 2>&1 &
done";

#[test]
#[ignore = "runs inside a guest"]
fn names() {
    let socket = UdpSocket::bind((SERVER, 53)).unwrap();
    let mut packet = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        socket.send_to(&answer(&packet[..length]), from).unwrap();
    }
}

/// The answer to a query (RFC 1035, 4.1): one address for NAME, no such name for others.
fn answer(query: &[u8]) -> Vec<u8> {
    const QUESTION: usize = 12;
    let name_ends = QUESTION + query[QUESTION..].iter().position(|byte| *byte == 0).unwrap();
    let known: Vec<u8> =
        NAME.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    let is_known = query[QUESTION..name_ends].eq_ignore_ascii_case(&known);
    let is_address = query[name_ends + 1..][..2] == [0, 1];
    let (code, answers) = (if is_known { 0 } else { 3 }, u8::from(is_known && is_address));
    let mut reply = query[..2].to_vec();
    reply.extend([0x84 | (query[2] & 1), 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(&query[QUESTION..name_ends + 5]);
    if answers == 1 {
        reply.extend([0xc0, QUESTION as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(SERVER.parse::<Ipv4Addr>().unwrap().octets());
    }
    reply
}

#[test]
#[ignore = "runs inside a guest"]
fn api() {
    let listener = TcpListener::bind((SERVER, PORT)).unwrap();
    for stream in listener.incoming() {
        // A client that disconnects early has asked nothing.
        let _ = serve(stream.unwrap());
    }
}

/// Answers one request like Ironic's API, as far as its agent goes before it waits for orders.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (method, path) = request.trim_end_matches(" HTTP/1.1\r\n").split_once(' ').unwrap_or_default();
    let peer = stream.peer_addr()?.ip();
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open(ASKED)?;
    writeln!(log, "{peer} {method} {path} {}", String::from_utf8_lossy(&body))?;
    let (status, answer) = match (method, path.split('?').next().unwrap_or_default()) {
        ("GET", "/") => (200, root()),
        ("GET", "/v1/lookup") => (200, lookup()),
        ("POST", path) if path.starts_with("/v1/heartbeat/") => (202, serde_json::Value::Null),
        _ => (404, serde_json::json!({"error_message": {"faultstring": "no such thing"}})),
    };
    let text = if answer.is_null() { String::new() } else { answer.to_string() };
    write!(
        stream,
        "HTTP/1.1 {status} It\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn root() -> serde_json::Value {
    let version = serde_json::json!({"id": "v1", "status": "CURRENT", "min_version": "1.1", "version": "1.99", "links": []});
    serde_json::json!({"name": "OpenStack Ironic API", "default_version": version, "versions": [version]})
}

fn lookup() -> serde_json::Value {
    serde_json::json!({
        "node": {"uuid": NODE, "properties": {}, "instance_info": {}, "driver_internal_info": {}, "links": []},
        "config": {
            "heartbeat_timeout": 300, "metrics": {}, "metrics_statsd": {},
            "agent_token": "0123456789abcdef0123456789abcdef0123456789ab", "agent_token_required": true}
    })
}
