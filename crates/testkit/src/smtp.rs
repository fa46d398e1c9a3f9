//! A mail server on loopback: a real SMTP dialogue, and a mailbox that tests read.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::eventually::{eventually, spawn};

/// A mail comes within moments, or after the first wait of whoever sends it.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// How a mail server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes every mail.
    Takes,
    /// It takes connections, and says nothing.
    Silent,
    /// It refuses every recipient for good.
    Refuses,
    /// It puts the next so many mails off, and takes those after them.
    PutsOff(u32),
}

/// A mail as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who the envelope says it is from.
    pub from: String,
    /// Whom the envelope says it goes to.
    pub to: Vec<String>,
    /// Headers and body, dots unstuffed.
    pub data: String,
}

/// A mail server. It stops with the test's process.
#[derive(Debug)]
pub struct SmtpServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    mails: Vec<Received>,
    /// Connections that were made.
    calls: usize,
    /// Mails that were refused or put off.
    turned_away: usize,
}

impl SmtpServer {
    /// Starts a server that behaves in this manner.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State { manner, mails: Vec::new(), calls: 0, turned_away: 0 }));
        let own = Arc::clone(&state);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&own);
                // Whoever breaks the dialogue off has ended it.
                spawn(move || drop(converse(&stream, &state)));
            }
        });
        Self { address, state }
    }

    /// The URL under which it is configured.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The URL of a mail server that is not there.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn nobodys_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("smtp://{}", listener.local_addr().expect("a listener has an address"))
    }

    /// Changes how it behaves from the next connection on.
    pub fn behave(&self, manner: Manner) {
        lock(&self.state).manner = manner;
    }

    /// The mails that it took so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Received> {
        lock(&self.state).mails.clone()
    }

    /// Waits until it took `count` mails, and returns the last of them.
    ///
    /// # Panics
    /// When they do not come.
    pub fn arrived(&self, count: usize) -> Received {
        eventually(&format!("mail number {count}"), ARRIVAL_MAX, || self.mails().get(count - 1).cloned())
    }

    /// Waits until somebody has connected `count` times.
    ///
    /// # Panics
    /// When nobody does.
    pub fn called(&self, count: usize) {
        eventually("a connection to the mail server", ARRIVAL_MAX, || (lock(&self.state).calls >= count).then_some(()));
    }

    /// Waits until it turned `count` mails away.
    ///
    /// # Panics
    /// When none comes.
    pub fn turned_away(&self, count: usize) {
        eventually("a mail that is turned away", ARRIVAL_MAX, || {
            (lock(&self.state).turned_away >= count).then_some(())
        });
    }
}

impl Received {
    /// The header called `name`, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.data.split_once("\r\n\r\n")?;
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The text, decoded.
    ///
    /// # Panics
    /// When it is encoded in a way that the server does not use.
    #[must_use]
    pub fn text(&self) -> String {
        let (_, body) = self.data.split_once("\r\n\r\n").unwrap_or_default();
        match self.header("Content-Transfer-Encoding").as_deref() {
            None | Some("7bit" | "8bit") => body.replace("\r\n", "\n"),
            Some("quoted-printable") => unquoted(body),
            Some(other) => panic!("a text in {other}"),
        }
    }

    /// The link in it: the line that is nothing else and has a query.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn link(&self) -> String {
        let text = self.text();
        let link = text.lines().find(|line| line.starts_with("http") && line.contains('?'));
        link.unwrap_or_else(|| panic!("a mail without a link: {text}")).to_owned()
    }
}

fn unquoted(body: &str) -> String {
    let joined = body.replace("=\r\n", "").replace("\r\n", "\n");
    let (mut bytes, mut rest) = (Vec::new(), joined.as_bytes());
    while let [byte, after @ ..] = rest {
        let quoted = (*byte == b'=').then(|| after.get(..2)).flatten();
        let value = quoted.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(mut stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let manner = {
        let mut state = lock(state);
        state.calls += 1;
        state.manner
    };
    if manner == Manner::Silent {
        // Until the other side gives up.
        while lines.next().is_some_and(|line| line.is_ok()) {}
        return Ok(());
    }
    stream.write_all(b"220 mail.test ESMTP\r\n")?;
    let (mut from, mut to) = (String::new(), Vec::new());
    while let Some(line) = lines.next() {
        let line = line?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250 SIZE 1000000",
            "HELO" | "RSET" | "NOOP" => "250 well",
            "MAIL" => {
                from = address_in(&line);
                "250 well"
            }
            "RCPT" if manner == Manner::Refuses => {
                lock(state).turned_away += 1;
                // As real ones do, it repeats the address: no log may.
                stream.write_all(format!("550 5.1.1 <{}> unknown here\r\n", address_in(&line)).as_bytes())?;
                continue;
            }
            "RCPT" if is_put_off(state) => "451 4.7.1 come again",
            "RCPT" => {
                to.push(address_in(&line));
                "250 well"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let mut data = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    data.push_str("\r\n");
                }
                let mail = Received { from: from.clone(), to: std::mem::take(&mut to), data };
                lock(state).mails.push(mail);
                "250 taken"
            }
            "QUIT" => {
                return stream.write_all(b"221 bye\r\n");
            }
            _ => "502 not here",
        };
        stream.write_all(reply.as_bytes())?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}

fn is_put_off(state: &Mutex<State>) -> bool {
    let mut state = lock(state);
    let Manner::PutsOff(left @ 1..) = state.manner else { return false };
    state.manner = Manner::PutsOff(left - 1);
    state.turned_away += 1;
    true
}

fn address_in(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map(|(address, _)| address.to_owned()).unwrap_or_default()
}
