//! Ids as td's clients see them: a mark and sixteen hexadecimal digits.

use tombolo_core::{CredentialId, InvitationId, ProjectId, UserId};

macro_rules! public_id {
    ($write:ident, $read:ident, $id:ty, $mark:literal) => {
        pub(super) fn $write(id: $id) -> String {
            format!(concat!($mark, "{:016x}"), id.get())
        }

        #[allow(dead_code, reason = "not every id is read again")]
        pub(super) fn $read(text: &str) -> Option<$id> {
            number(text.strip_prefix($mark)?).map(<$id>::new)
        }
    };
}

public_id!(write_user, read_user, UserId, "u_");
public_id!(write_project, read_project, ProjectId, "p_");
public_id!(write_key, read_key, CredentialId, "ak_");
public_id!(write_invitation, read_invitation, InvitationId, "inv_");

fn number(digits: &str) -> Option<i64> {
    let plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| i64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read() {
        assert_eq!(write_project(ProjectId::new(0x7fff_0000_0000_00ab)), "p_7fff0000000000ab");
        assert_eq!(read_project("p_7fff0000000000ab"), Some(ProjectId::new(0x7fff_0000_0000_00ab)));
        for text in
            ["", "p_", "p_1", "p_FFFF0000000000AB", "p_ffff0000000000ab", "u_7fff0000000000ab", "p_+fff0000000000ab"]
        {
            assert_eq!(read_project(text), None, "{text}");
        }
    }
}
