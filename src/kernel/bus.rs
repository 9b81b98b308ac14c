//! A method call on the system's D-Bus, by hand: what a running systemd-networkd or systemd-resolved is told to read
//! again. Strings are the only arguments. Everything is bounded in time and size; knows nothing of what the call is for.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Where the system bus listens (D-Bus specification, "Well-known Message Bus Instances").
pub(super) const SOCKET: &str = "/run/dbus/system_bus_socket";
/// How long each answer may take; a service that has to be started first is not among those that are called.
const BOUND: Duration = Duration::from_secs(5);
/// No answer that is waited for is longer.
const LONGEST: usize = 64 * 1024;

/// A method of an object.
#[derive(Clone, Copy)]
pub(super) struct Method {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
    pub(super) member: &'static str,
    pub(super) arguments: &'static [&'static str],
}

const HELLO: Method = Method {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    arguments: &[],
};

/// Calls a method and waits for its answer, whose content is of no interest. The error is in the service's words.
pub(super) fn call(socket: &Path, method: Method) -> Result<(), String> {
    let mut stream = UnixStream::connect(socket).map_err(|e| words(&e))?;
    let answer = converse(&mut stream, method).map_err(|e| words(&e))?;
    answer.map_or(Ok(()), Err)
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => format!("no answer within {} s", BOUND.as_secs()),
        _ => super::host::words(error),
    }
}

/// `Some` is the error that was answered.
fn converse(stream: &mut UnixStream, method: Method) -> io::Result<Option<String>> {
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))?;
    // Who is calling, in decimal digits that are written as hexadecimal ASCII.
    let uid: String =
        nix::unistd::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
    if !line(stream)?.starts_with("OK ") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut bytes = b"BEGIN\r\n".to_vec();
    bytes.extend(message(1, HELLO));
    bytes.extend(message(2, method));
    stream.write_all(&bytes)?;
    loop {
        if let Some(answer) = answer(stream, 2)? {
            return Ok(answer);
        }
    }
}

/// A line of the authentication, whose end is `\r\n`. Read byte by byte: what follows is no text.
fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") && line.len() < 512 {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A call as it is sent (D-Bus specification, "Message Format"), little-endian.
fn message(serial: u32, method: Method) -> Vec<u8> {
    let mut body = Vec::new();
    method.arguments.iter().for_each(|argument| string(&mut body, argument));
    let mut fields = Vec::new();
    for (code, kind, value) in [
        (1, b'o', method.path),
        (2, b's', method.interface),
        (3, b's', method.member),
        (6, b's', method.destination),
    ] {
        align(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        string(&mut fields, value);
    }
    if !method.arguments.is_empty() {
        align(&mut fields, 8);
        let signature = "s".repeat(method.arguments.len());
        fields.extend([8, 1, b'g', 0, signature.len() as u8]);
        fields.extend(signature.bytes().chain([0]));
    }
    // A call, little-endian, without flags, of the first version.
    let mut message = vec![b'l', 1, 0, 1];
    for number in [body.len() as u32, serial, fields.len() as u32] {
        message.extend(number.to_le_bytes());
    }
    message.extend(fields);
    align(&mut message, 8);
    message.extend(body);
    message
}

fn string(bytes: &mut Vec<u8>, text: &str) {
    align(bytes, 4);
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.bytes().chain([0]));
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

/// Reads one message. `None` where it is no answer to this call; else what kind of answer.
fn answer(stream: &mut UnixStream, serial: u32) -> io::Result<Option<Option<String>>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let number = |at: usize| {
        let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        if head[0] == b'l' { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    };
    let (fields, body) = (number(12) as usize, number(4) as usize);
    if fields > LONGEST || body > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; fields.next_multiple_of(8) + body];
    stream.read_exact(&mut rest)?;
    let (answers, failed) = (head[1] == 2, head[1] == 3);
    // The only number among the fields of a header is the serial of the call that is answered: code 5, a `u`.
    let mark = [5, 1, b'u', 0];
    let to =
        rest.get(..fields).into_iter().flat_map(|fields| fields.chunks(4)).skip_while(|w| *w != mark).nth(1);
    let wanted = if head[0] == b'l' { serial.to_le_bytes() } else { serial.to_be_bytes() };
    if !(answers || failed) || to != Some(&wanted) {
        return Ok(None);
    }
    // An error's first argument is a sentence for a person.
    let text = rest.get(fields.next_multiple_of(8) + 4..).unwrap_or_default();
    let sentence =
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    Ok(Some(failed.then(|| crate::diagnostic::printable(sentence))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    const RESTART: Method = Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "TryRestartUnit",
        arguments: &["a.service", "replace"],
    };

    #[test]
    fn a_call_is_what_the_specification_says() {
        let bytes = message(7, RESTART);
        assert_eq!(bytes[..4], *b"l\x01\0\x01");
        // Two strings: a length, the text and its end, each at a multiple of four.
        let body = b"\x09\0\0\0a.service\0\0\0\x07\0\0\0replace\0";
        assert_eq!(bytes[4..12], [body.len() as u8, 0, 0, 0, 7, 0, 0, 0]);
        assert!(bytes.ends_with(body));
        let fields = usize::from(bytes[12]);
        assert_eq!(bytes.len(), (16 + fields).next_multiple_of(8) + body.len());
        assert!(bytes[16..].starts_with(b"\x01\x01o\0\x19\0\0\0/org/freedesktop/systemd1\0"));
        assert!(bytes.windows(7).any(|w| w == b"\x08\x01g\0\x02ss"));
    }

    /// Answers as a bus does, and says what it was told.
    fn bus(answers: Vec<Vec<u8>>) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let bus = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(line(&mut stream).unwrap().starts_with("\0AUTH EXTERNAL 3"));
            stream.write_all(b"OK 0123\r\n").unwrap();
            assert_eq!(line(&mut stream).unwrap(), "BEGIN\r\n");
            let mut calls = vec![0; message(1, HELLO).len() + message(2, RESTART).len()];
            stream.read_exact(&mut calls).unwrap();
            answers.iter().for_each(|answer| stream.write_all(answer).unwrap());
        });
        let told = call(&path, RESTART);
        bus.join().unwrap();
        told
    }

    /// A message of this type in answer to a call, with a string in it.
    fn reply(kind: u8, to: u32, text: &str) -> Vec<u8> {
        let mut body = Vec::new();
        string(&mut body, text);
        let mut fields = vec![6, 1, b's', 0];
        string(&mut fields, ":1.5");
        align(&mut fields, 8);
        fields.extend([5, 1, b'u', 0]);
        fields.extend(to.to_le_bytes());
        let mut bytes = vec![b'l', kind, 1, 1];
        for number in [body.len() as u32, 9, fields.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(fields);
        align(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn the_answer_to_the_call_is_what_counts() {
        let before = [reply(2, 1, ":1.5"), reply(4, 2, "a signal is no answer")].to_vec();
        let with = |last: Vec<u8>| bus([before.clone(), vec![last]].concat());
        assert_eq!(with(reply(2, 2, "/org/freedesktop/systemd1/job/1")), Ok(()));
        assert_eq!(with(reply(3, 2, "Unit a.service not found.")), Err("Unit a.service not found.".into()));
        assert!(bus(before.clone()).is_err(), "a bus that goes away has not answered");
        assert!(bus(vec![vec![0xff; 16]]).is_err(), "no bounds, no reading");
        assert!(call(Path::new("/nonexistent"), RESTART).unwrap_err().contains("No such file"));
    }
}
