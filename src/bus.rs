//! Method calls on D-Bus, by hand, to a running systemd, NetworkManager, systemd-resolved or connman. Knows nothing of
//! the purpose of a call. One deadline applies to a whole conversation, connecting included, and no answer may be
//! longer than 1 MiB. Entry: [`Bus::system`], then [`Bus::call`].
//!
//! Only what these programs use is encoded: strings, booleans, unsigned integers, and variants of them. Every reply is
//! decoded (D-Bus specification, "Marshaling"), except file descriptors.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

/// The size limit of a message that is waited for.
const LONGEST: usize = 1024 * 1024;
/// How deep the containers of a reply may be nested, according to the specification.
const DEEPEST: usize = 64;

/// A method of an object.
#[derive(Clone, Debug)]
pub struct BusMethod<'a> {
    /// The name on the bus; systemd's private socket has none and ignores it.
    pub destination: &'a str,
    /// The object.
    pub path: &'a str,
    /// The interface.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// Its arguments.
    pub arguments: &'a [Argument<'a>],
}

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// `s`
    Text(&'a str),
    /// `u`
    Number(u32),
    /// `i`
    Signed(i32),
    /// `q`
    Short(u16),
    /// `t`
    Long(u64),
    /// `b` in a variant, for setting properties.
    BooleanVariant(bool),
}

/// A value of a reply. Structures are lists; dictionaries are lists of lists of two.
#[derive(Clone, Debug, PartialEq)]
pub enum Returned {
    /// A string, an object path or a signature.
    Text(String),
    /// Any integer.
    Number(i128),
    /// A boolean.
    Boolean(bool),
    /// A floating-point number.
    Float(f64),
    /// An array, structure or dictionary entry.
    List(Vec<Returned>),
}

impl Returned {
    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Returned::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<i128> {
        if let Returned::Number(number) = self { Some(*number) } else { None }
    }

    /// The boolean, if it is one.
    pub fn boolean(&self) -> Option<bool> {
        if let Returned::Boolean(boolean) = self { Some(*boolean) } else { None }
    }

    /// The parts of an array, structure or dictionary entry; none for other values.
    pub fn list(&self) -> &[Returned] {
        if let Returned::List(values) = self { values } else { &[] }
    }

    /// The value of a dictionary's key.
    pub fn get(&self, key: &str) -> Option<&Returned> {
        let entry =
            self.list().iter().find(|entry| entry.list().first().and_then(Returned::text) == Some(key));
        entry.and_then(|entry| entry.list().get(1))
    }
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusError {
    /// Nothing listens: the bus is not running.
    Absent(String),
    /// No answer came within the bound.
    Late(Duration),
    /// The program answered with an error: its name and message.
    Refused {
        /// Such as `org.freedesktop.DBus.Error.ServiceUnknown`.
        name: String,
        /// For a person.
        text: String,
    },
    /// The connection broke, or the data was not a D-Bus message.
    Broken(String),
}

impl std::fmt::Display for BusError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BusError::Absent(why) => write!(f, "D-Bus does not answer: {why}"),
            BusError::Late(bound) => write!(f, "no answer within {} s", bound.as_secs()),
            BusError::Refused { text, .. } => f.write_str(text),
            BusError::Broken(why) => write!(f, "the connection to D-Bus failed: {why}"),
        }
    }
}

impl std::error::Error for BusError {}

/// A connection.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Signals that arrived while an answer was waited for, in order.
    signals: VecDeque<Message>,
    bound: Duration,
    deadline: Instant,
}

impl Bus {
    /// Connects to the system bus below `root` (specification, "Well-known Message Bus Instances").
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn system(root: &Path, bound: Duration) -> Result<Bus, BusError> {
        Bus::connect(root.join("run/dbus/system_bus_socket"), bound, true).await
    }

    /// Connects to systemd: on its private socket, which exists without a D-Bus daemon.
    ///
    /// # Errors
    /// systemd does not run, or the caller is not root.
    pub async fn systemd(root: &Path, bound: Duration) -> Result<Bus, BusError> {
        Bus::connect(root.join("run/systemd/private"), bound, false).await
    }

    async fn connect(socket: PathBuf, bound: Duration, hello: bool) -> Result<Bus, BusError> {
        let deadline = Instant::now() + bound;
        let late = BusError::Late(bound);
        let connected = timeout_at(deadline, UnixStream::connect(&socket)).await.map_err(|_| late.clone())?;
        let stream = connected.map_err(|error| BusError::Absent(words(&error)))?;
        let mut bus = Bus { stream, serial: 0, signals: VecDeque::new(), bound, deadline };
        match timeout_at(deadline, bus.authenticate()).await {
            Err(_) => return Err(late),
            Ok(result) => result.map_err(|error| BusError::Broken(words(&error)))?,
        }
        if hello {
            bus.call(&DAEMON).await?;
        }
        Ok(bus)
    }

    /// Authenticates: the user id in decimal, each digit as hexadecimal ASCII.
    async fn authenticate(&mut self) -> io::Result<()> {
        let uid: String =
            nix::unistd::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        // In one write: systemd ignores a message that it has read together with `BEGIN` until more data arrives.
        self.send(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes()).await?;
        let mut line = Vec::new();
        // Read byte by byte: the data after the line is binary.
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            self.fill(&mut byte).await?;
            line.extend(byte);
        }
        if !line.starts_with(b"OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }

    /// Calls a method and returns the values of its answer.
    ///
    /// # Errors
    /// The program refuses, or no answer arrives before the deadline of the connection.
    pub async fn call(&mut self, method: &BusMethod<'_>) -> Result<Vec<Returned>, BusError> {
        self.serial += 1;
        let message = message(self.serial, method);
        let (deadline, late) = (self.deadline, BusError::Late(self.bound));
        let conversation = async {
            let broken = |error: io::Error| BusError::Broken(words(&error));
            self.send(&message).await.map_err(broken)?;
            loop {
                let message = self.read().await.map_err(broken)?;
                if message.reply_to != Some(self.serial) {
                    if message.kind == SIGNAL && self.signals.len() < MOST_SIGNALS {
                        self.signals.push_back(message);
                    }
                    continue;
                }
                match message.kind {
                    ERROR => {
                        let text = message.values.first().and_then(Returned::text).unwrap_or_default();
                        let text = crate::page::printable(text).into_owned();
                        let name =
                            crate::page::printable(&message.error_name.unwrap_or_default()).into_owned();
                        return Err(BusError::Refused { name, text });
                    }
                    _ => return Ok(message.values),
                }
            }
        };
        timeout_at(deadline, conversation).await.unwrap_or(Err(late))
    }

    /// A property of an object; `None` if the program does not have it.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub async fn property(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        name: &str,
    ) -> Result<Option<Returned>, BusError> {
        let arguments = [Argument::Text(interface), Argument::Text(name)];
        let get =
            BusMethod { destination, path, interface: PROPERTIES, member: "Get", arguments: &arguments };
        match self.call(&get).await {
            Ok(values) => Ok(values.into_iter().next()),
            Err(BusError::Refused { name, .. })
                if name.ends_with(".UnknownProperty") || name.ends_with(".InvalidArgs") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a program owns this name. Starts nothing.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub async fn has_owner(&mut self, name: &str) -> Result<bool, BusError> {
        let arguments = [Argument::Text(name)];
        let method = BusMethod { member: "NameHasOwner", arguments: &arguments, ..DAEMON };
        Ok(self.call(&method).await?.first().and_then(Returned::boolean) == Some(true))
    }

    /// Subscribes to signals of an object, and of programs that start and stop.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub async fn watch(&mut self, path: &str) -> Result<(), BusError> {
        self.subscribe(&format!("type='signal',path='{path}'")).await
    }

    async fn subscribe(&mut self, rule: &str) -> Result<(), BusError> {
        let arguments = [Argument::Text(rule)];
        self.call(&BusMethod { member: "AddMatch", arguments: &arguments, ..DAEMON }).await.map(drop)
    }

    /// The values of the next signal with this name.
    ///
    /// # Errors
    /// None arrives before the deadline of the connection.
    pub async fn signal(&mut self, member: &str) -> Result<Vec<Returned>, BusError> {
        let (deadline, late) = (self.deadline, BusError::Late(self.bound));
        let wait = async {
            loop {
                let message = match self.signals.pop_front() {
                    Some(message) => message,
                    None => self.read().await.map_err(|error| BusError::Broken(words(&error)))?,
                };
                if message.kind == SIGNAL && message.member.as_deref() == Some(member) {
                    return Ok(message.values);
                }
            }
        };
        timeout_at(deadline, wait).await.unwrap_or(Err(late))
    }

    /// Waits until a program owns this name.
    ///
    /// # Errors
    /// None does before the deadline of the connection.
    pub async fn owned(&mut self, name: &str) -> Result<(), BusError> {
        self.subscribe(&format!("type='signal',member='NameOwnerChanged',arg0='{name}'")).await?;
        while !self.has_owner(name).await? {
            self.signal("NameOwnerChanged").await?;
        }
        Ok(())
    }

    /// Calls a method of a program that may be starting: its name is on the bus before its objects.
    ///
    /// # Errors
    /// Those of [`Bus::call`].
    pub async fn call_once_ready(&mut self, method: &BusMethod<'_>) -> Result<Vec<Returned>, BusError> {
        const AGAIN: Duration = Duration::from_millis(50);
        loop {
            match self.call(method).await {
                Err(BusError::Refused { name, .. })
                    if name.ends_with(".UnknownMethod") || name.ends_with(".UnknownObject") =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                result => return result,
            }
        }
    }

    async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next message, whatever it is.
    async fn read(&mut self) -> io::Result<Message> {
        let mut head = [0; 16];
        self.fill(&mut head).await?;
        let big = head[0] == b'B';
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let (fields, body) = (number(12) as usize, number(4) as usize);
        if fields > LONGEST || body > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // The fields begin at 12 with their length: a multiple of eight less four.
        let mut bytes = head.to_vec();
        bytes.resize((16 + fields).next_multiple_of(8) + body, 0);
        self.fill(&mut bytes[16..]).await?;
        Message::read(head[1], &bytes, (16 + fields).next_multiple_of(8), big)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The properties interface.
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// The daemon's own methods; `Hello` is the first call of a connection.
const DAEMON: BusMethod = BusMethod {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    arguments: &[],
};
/// Types of messages.
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
/// How many signals are kept while an answer is waited for.
const MOST_SIGNALS: usize = 256;

fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

/// A received message.
#[derive(Debug)]
struct Message {
    kind: u8,
    reply_to: Option<u32>,
    member: Option<String>,
    error_name: Option<String>,
    values: Vec<Returned>,
}

impl Message {
    fn read(kind: u8, bytes: &[u8], body: usize, big: bool) -> Option<Message> {
        let mut head = Reader { bytes: bytes.get(..body)?, at: 12, big };
        let fields = head.value("a(yv)", DEEPEST)?;
        let field = |code: i128| {
            let has = |field: &&Returned| field.list().first().and_then(Returned::number) == Some(code);
            fields.list().iter().find(has).and_then(|field| field.list().get(1)).cloned()
        };
        let reply_to = field(5).and_then(|value| value.number()?.try_into().ok());
        let member = field(3).and_then(|value| value.text().map(str::to_owned));
        let error_name = field(4).and_then(|value| value.text().map(str::to_owned));
        let signature = field(8).and_then(|value| value.text().map(str::to_owned)).unwrap_or_default();
        let mut reader = Reader { bytes: bytes.get(body..)?, at: 0, big };
        let mut values = Vec::new();
        let mut rest = signature.as_str();
        while !rest.is_empty() {
            let (one, after) = first_type(rest)?;
            values.push(reader.value(one, DEEPEST)?);
            rest = after;
        }
        Some(Message { kind, reply_to, member, error_name, values })
    }
}

/// The first complete type of a signature, and the rest.
fn first_type(signature: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, letter) in signature.char_indices() {
        match letter {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.checked_sub(1)?,
            'a' => continue,
            _ => {}
        }
        if depth == 0 {
            return signature.split_at_checked(at + letter.len_utf8());
        }
    }
    None
}

/// Decodes values, each at the alignment of its type.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    /// A value of this type; `None` if the bytes hold none.
    fn value(&mut self, kind: &str, depth: usize) -> Option<Returned> {
        let depth = depth.checked_sub(1)?;
        let inner = || kind.get(1..kind.len() - 1);
        Some(match kind.as_bytes().first()? {
            b'y' => Returned::Number(self.number(1)?.into()),
            b'b' => Returned::Boolean(self.number(4)? != 0),
            b'n' => Returned::Number((self.number(2)? as i16).into()),
            b'q' => Returned::Number(self.number(2)?.into()),
            b'i' => Returned::Number((self.number(4)? as i32).into()),
            b'u' | b'h' => Returned::Number(self.number(4)?.into()),
            b'x' => Returned::Number((self.number(8)? as i64).into()),
            b't' => Returned::Number(self.number(8)?.into()),
            b'd' => Returned::Float(f64::from_bits(self.number(8)?)),
            b's' | b'o' => {
                let length = self.number(4)? as usize;
                Returned::Text(self.text(length)?)
            }
            b'g' => {
                let length = self.number(1)? as usize;
                Returned::Text(self.text(length)?)
            }
            b'v' => {
                let length = self.number(1)? as usize;
                let signature = self.text(length)?;
                let (one, rest) = first_type(&signature)?;
                rest.is_empty().then_some(())?;
                self.value(one, depth)?
            }
            b'(' | b'{' => {
                self.align(8);
                let mut values = Vec::new();
                let mut rest = inner()?;
                while !rest.is_empty() {
                    let (one, after) = first_type(rest)?;
                    values.push(self.value(one, depth)?);
                    rest = after;
                }
                Returned::List(values)
            }
            b'a' => {
                let length = self.number(4)? as usize;
                let of = kind.get(1..)?;
                self.align(alignment(of)?);
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
                let mut values = Vec::new();
                while self.at < end {
                    let before = self.at;
                    values.push(self.value(of, depth)?);
                    // An empty structure would never reach the end.
                    (self.at > before).then_some(())?;
                }
                (self.at == end).then_some(Returned::List(values))?
            }
            _ => return None,
        })
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    /// An integer of this many bytes.
    fn number(&mut self, size: usize) -> Option<u64> {
        self.align(size);
        let bytes = self.bytes.get(self.at..self.at + size)?;
        self.at += size;
        let add = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(if self.big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// Text of this many bytes, and the terminating zero.
    fn text(&mut self, length: usize) -> Option<String> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length + 1;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

fn alignment(kind: &str) -> Option<usize> {
    Some(match kind.as_bytes().first()? {
        b'y' | b'g' | b'v' => 1,
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b'h' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => return None,
    })
}

/// A call in its encoded form (specification, "Message Format"), little-endian.
fn message(serial: u32, method: &BusMethod) -> Vec<u8> {
    let (mut body, mut signature) = (Vec::new(), String::new());
    for argument in method.arguments {
        match argument {
            Argument::Text(text) => {
                signature.push('s');
                string(&mut body, text);
            }
            Argument::Number(number) => {
                signature.push('u');
                align(&mut body, 4);
                body.extend(number.to_le_bytes());
            }
            Argument::Signed(number) => {
                signature.push('i');
                align(&mut body, 4);
                body.extend(number.to_le_bytes());
            }
            Argument::Short(number) => {
                signature.push('q');
                align(&mut body, 2);
                body.extend(number.to_le_bytes());
            }
            Argument::Long(number) => {
                signature.push('t');
                align(&mut body, 8);
                body.extend(number.to_le_bytes());
            }
            Argument::BooleanVariant(boolean) => {
                signature.push('v');
                body.extend([1, b'b', 0]);
                align(&mut body, 4);
                body.extend(u32::from(*boolean).to_le_bytes());
            }
        }
    }
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
    if !signature.is_empty() {
        align(&mut fields, 8);
        fields.extend([8, 1, b'g', 0, signature.len() as u8]);
        fields.extend(signature.bytes().chain([0]));
    }
    // Byte order, a method call, no flags, the version of the protocol.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::net::UnixListener;

    const RESTART: BusMethod = BusMethod {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "TryRestartUnit",
        arguments: &[Argument::Text("a.service"), Argument::Text("replace")],
    };

    #[test]
    fn a_call_is_encoded_as_the_specification_says() {
        let bytes = message(7, &RESTART);
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

    /// A message of this type in answer to a call, with this body.
    fn reply(kind: u8, to: u32, signature: &str, body: &[u8]) -> Vec<u8> {
        let mut fields = vec![6, 1, b's', 0];
        string(&mut fields, ":1.5");
        align(&mut fields, 8);
        fields.extend([5, 1, b'u', 0]);
        fields.extend(to.to_le_bytes());
        fields.extend([4, 1, b's', 0]);
        string(&mut fields, "a.b.Unknown");
        align(&mut fields, 8);
        fields.extend([8, 1, b'g', 0, signature.len() as u8]);
        fields.extend(signature.bytes().chain([0]));
        let mut bytes = vec![b'l', kind, 1, 1];
        for number in [body.len() as u32, 9, fields.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(fields);
        align(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }

    fn text(words: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        string(&mut bytes, words);
        bytes
    }

    /// The result of a call of [`RESTART`] on a bus with these answers; `hold` keeps the connection open afterwards.
    fn asked(answers: &[Vec<u8>], hold: bool) -> Result<Vec<Returned>, BusError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("run/dbus")).unwrap();
        let listener = UnixListener::bind(folder.path().join("run/dbus/system_bus_socket")).unwrap();
        let bytes: Vec<u8> = answers.concat();
        let bus = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert!(line.starts_with("\0AUTH EXTERNAL 3"), "{line}");
            (&stream).write_all(b"OK 0123\r\n").unwrap();
            (&stream).write_all(&bytes).unwrap();
            // Until the other side has given up.
            if hold {
                let _ = reader.read_to_end(&mut Vec::new());
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let mut bus = Bus::system(folder.path(), Duration::from_millis(500)).await?;
            bus.call(&RESTART).await
        });
        bus.join().unwrap();
        result
    }

    #[test]
    fn the_answer_to_the_call_is_what_counts() {
        let hello = reply(2, 1, "s", &text(":1.5"));
        let signal = reply(4, 0, "s", &text("a signal answers nothing"));
        let with = |last: Vec<u8>| asked(&[hello.clone(), signal.clone(), last], true);
        assert_eq!(with(reply(2, 2, "s", &text("/job/1"))), Ok(vec![Returned::Text("/job/1".into())]));
        let refused = BusError::Refused { name: "a.b.Unknown".into(), text: "no such unit".into() };
        assert_eq!(with(reply(3, 2, "s", &text("no such unit"))), Err(refused));
    }

    #[test]
    fn a_bus_that_breaks_off_hangs_or_lies_ends_the_call() {
        let hello = reply(2, 1, "s", &text(":1.5"));
        assert!(matches!(asked(std::slice::from_ref(&hello), false), Err(BusError::Broken(_))));
        assert_eq!(
            asked(std::slice::from_ref(&hello), true),
            Err(BusError::Late(Duration::from_millis(500)))
        );
        assert!(matches!(asked(&[vec![0xff; 16]], true), Err(BusError::Broken(_))));
        // The array is longer than the message.
        let lie = reply(2, 2, "as", &[200, 0, 0, 0]);
        assert!(matches!(asked(&[hello, lie], true), Err(BusError::Broken(_))));
    }

    #[test]
    fn replies_of_every_type_are_decoded() {
        // resolved's property DNS: a variant with an array of interface, family and address bytes.
        let mut body = vec![7, b'a', b'(', b'i', b'i', b'a', b'y', b')', 0];
        align(&mut body, 4);
        body.extend(16_u32.to_le_bytes());
        align(&mut body, 8);
        body.extend([2, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 192, 0, 2, 53]);
        body[0] = 7;
        let mut reader = Reader { bytes: &body, at: 0, big: false };
        let value = reader.value("v", DEEPEST).unwrap();
        let address = value.list()[0].list();
        assert_eq!((address[0].number(), address[1].number()), (Some(2), Some(2)));
        assert_eq!(
            address[2].list().iter().filter_map(Returned::number).collect::<Vec<_>>(),
            [192, 0, 2, 53]
        );
        assert_eq!(first_type("a{sv}b"), Some(("a{sv}", "b")));
        assert_eq!(first_type("a"), None);
        // Endless nesting.
        let nested = [1, b'v', 0].repeat(100);
        assert_eq!(Reader { bytes: &nested, at: 0, big: false }.value("v", DEEPEST), None);
    }
}
