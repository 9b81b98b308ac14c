//! The minimum of HTTP and TLS that shows whether the right kind of service answers.

use super::super::evidence::Answer;

/// A request for a path.
pub(super) fn request(host: &str, port: u16, path: &str) -> Vec<u8> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: netapply/{version}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// What the first bytes of an answer mean; `None` if there are too few of them.
pub(super) fn status(bytes: &[u8]) -> Option<Answer> {
    const START: &[u8] = b"HTTP/1.";
    if !bytes.starts_with(START.get(..bytes.len().min(START.len()))?) {
        return Some(strange(bytes));
    }
    let line = bytes.split(|b| *b == b'\n').next().filter(|line| line.len() < bytes.len());
    // A status line is short; one that does not end is invalid.
    let Some(line) = line else { return (bytes.len() > 512).then(|| strange(bytes)) };
    let status = line
        .split(|b| *b == b' ')
        .nth(1)
        .and_then(|word| std::str::from_utf8(word).ok()?.trim().parse().ok());
    Some(status.map_or_else(|| strange(bytes), Answer::Status))
}

/// A TLS 1.2 ClientHello that offers common suites, with the host's name in it (RFC 5246, RFC 6066). The handshake is
/// never completed.
pub(super) fn hello(host: &str) -> Vec<u8> {
    let mut extensions: Vec<u8> = Vec::new();
    if host.parse::<std::net::IpAddr>().is_err() {
        let name = host.as_bytes();
        let length = name.len() as u16;
        extensions.extend([0, 0]);
        extensions.extend((length + 5).to_be_bytes());
        extensions.extend((length + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend(length.to_be_bytes());
        extensions.extend(name);
    }
    // supported_groups: x25519, P-256, P-384; ec_point_formats: uncompressed; signature_algorithms: ECDSA and RSA.
    extensions.extend([0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24]);
    extensions.extend([0, 11, 0, 2, 1, 0]);
    extensions.extend([0, 13, 0, 14, 0, 12, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1]);
    let mut body = vec![3, 3];
    // The random of a handshake that is never used.
    body.extend([0x6e; 32]);
    body.push(0);
    // ECDHE and RSA with AES-GCM, and the older CBC ones for old BMC-side services.
    let suites: [u16; 8] = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xc013, 0xc014, 0x009c, 0x002f];
    body.extend((suites.len() as u16 * 2).to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend((body.len() as u16).to_be_bytes());
    handshake.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

/// Whether the first bytes of an answer are TLS: a handshake record, or an alert, which servers with newer or stricter
/// TLS send.
pub(super) fn tls(bytes: &[u8]) -> Option<Answer> {
    match bytes {
        [21 | 22, 3, ..] => Some(Answer::Tls),
        [] | [21 | 22] => None,
        _ => Some(strange(bytes)),
    }
}

/// The beginning of an unexpected answer, printable and short.
fn strange(bytes: &[u8]) -> Answer {
    let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    let printable = |b: &u8| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' };
    Answer::Strange(line.iter().take(40).map(printable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_parsed_once_its_line_is_complete() {
        assert_eq!(status(b"HTTP/1.1 503 Service Unavailable\r\n"), Some(Answer::Status(503)));
        assert_eq!(status(b"HTTP/1.0 200\r\n"), Some(Answer::Status(200)));
        assert_eq!(status(b"HTTP/1.1 20"), None);
        assert_eq!(status(b"HT"), None);
        assert_eq!(status(b"SSH-2.0-OpenSSH_9.6\r\n"), Some(Answer::Strange("SSH-2.0-OpenSSH_9.6".into())));
        assert_eq!(status(b"HTTP/1.1 many\r\n"), Some(Answer::Strange("HTTP/1.1 many".into())));
    }

    #[test]
    fn a_hello_has_the_lengths_that_its_parts_have() {
        for host in ["api.example", "192.0.2.1"] {
            let hello = hello(host);
            let number = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
            assert_eq!(number(3), hello.len() - 5, "record");
            assert_eq!(number(7), hello.len() - 9, "handshake");
            let extensions = 9 + 2 + 32 + 1 + 2 + 16 + 2;
            assert_eq!(number(extensions), hello.len() - extensions - 2, "extensions");
        }
    }

    #[test]
    fn an_alert_is_tls_too() {
        assert_eq!(tls(&[21, 3, 3, 0, 2, 2, 70]), Some(Answer::Tls));
        assert!(matches!(tls(b"HTTP/1.1 400"), Some(Answer::Strange(_))));
    }
}
