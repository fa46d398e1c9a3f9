//! Reading a password that somebody is given.

use std::io::{BufRead, IsTerminal as _};

use anyhow::Context as _;
use tombolo_core::{Secret, limits};
use tombolo_service::PasswordUnfit;

use crate::output;

/// Reads the line of standard input that is a password: its end is none of it.
///
/// # Errors
/// When there is none, or it can be nobody's.
pub(super) fn read() -> anyhow::Result<Secret> {
    let input = std::io::stdin().lock();
    if input.is_terminal() {
        output::remark("reading the password from standard input: a line, which is shown");
    }
    read_line(input)
}

fn read_line(input: impl BufRead) -> anyhow::Result<Secret> {
    // What is longer, with the end of its line, is too long whatever follows.
    let bytes_max = limits::PASSWORD_BYTES_MAX + "\r\n".len();
    let mut line = Vec::new();
    input.take(bytes_max as u64).read_until(b'\n', &mut line).context("the password could not be read")?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    let text = String::from_utf8(line).map_err(|_| anyhow::anyhow!("a password is text in UTF-8"))?;
    let password = Secret::new(text);
    PasswordUnfit::check(&password).context("that cannot be a password")?;
    let advised = limits::PASSWORD_CHARS_ADVISED;
    if password.reveal().chars().count() < advised {
        output::remark(format_args!("that is a short password: {advised} letters or more are harder to guess"));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_line() {
        let check = |input: &[u8], expected: Result<&str, &str>| match (read_line(input), expected) {
            (Ok(password), Ok(expected)) => assert_eq!(password.reveal(), expected),
            (Err(error), Err(words)) => assert!(format!("{error:#}").contains(words), "{error:#}"),
            (read, _) => panic!("{read:?} and not {expected:?}"),
        };
        check(b"correct horse", Ok("correct horse"));
        check(b"correct horse\n", Ok("correct horse"));
        check(b"correct horse\r\nbattery", Ok("correct horse"));
        check(b" correct horse \n", Ok(" correct horse "));
        check("großmutter\n".as_bytes(), Ok("großmutter"));
        check(b"1\r\n", Ok("1"));
        for nothing in ["", "\n", "\r\n", "\ncorrect horse\n"] {
            check(nothing.as_bytes(), Err("at least one letter"));
        }
        check(b"correct \xff horse\n", Err("UTF-8"));
        let longest = "x".repeat(limits::PASSWORD_BYTES_MAX);
        check(format!("{longest}\r\n").as_bytes(), Ok(&longest));
        check(format!("{longest}x\n").as_bytes(), Err("at most 1024"));
        check(format!("{longest}{longest}").as_bytes(), Err("at most 1024"));
    }
}
