//! Who the machine is: its key, its login, and what the server granted it.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use vend_payments::{
    enrolment::{Enrolled, LoginSecret, Ticket, verify_grant},
    signed::Signer,
};
use vend_protocol::{EnrolmentId, JournalId, Nonce, codec, machine_link::ClaimGranted};

use crate::HostError;

/// The identity file: one line of hexadecimal digits a field, written whole or not at all.
pub(crate) struct Identity {
    seed: [u8; 32],
    login: [u8; 32],
    nonce: Nonce,
    /// The journal that belongs to the key.
    pub(crate) journal: JournalId,
    /// The root key's fingerprint and the grant, once there is one.
    granted: Option<(EnrolmentId, ClaimGranted)>,
}

impl Identity {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("identity")
    }

    /// A new key and login.
    pub(crate) fn draw() -> Result<Self, HostError> {
        Ok(Self {
            seed: random()?,
            login: random()?,
            nonce: Nonce(random()?),
            journal: JournalId(random()?),
            granted: None,
        })
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer::from_seed(&self.seed)
    }

    pub(crate) const fn login(&self) -> LoginSecret {
        LoginSecret::from_random(self.login)
    }

    pub(crate) const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// What the grant says, when there is one.
    pub(crate) fn enrolled(&self) -> Option<Enrolled> {
        let (root, granted) = self.granted.as_ref()?;
        verify_grant(granted, *root, &self.signer().public_key(), self.nonce).ok()
    }

    /// Takes the server's answer, if it is for this key and under the ticket's root.
    pub(crate) fn grant(&mut self, ticket: &Ticket<'_>, granted: ClaimGranted) -> Option<Enrolled> {
        self.granted = Some((ticket.root, granted));
        let enrolled = self.enrolled();
        if enrolled.is_none() {
            self.granted = None;
        }
        enrolled
    }

    /// Reads the identity of a machine's folder; `None` when it has none yet.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, HostError> {
        let path = Self::path(dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(HostError::File { path, error }),
        };
        Self::parse(&text).map(Some).ok_or(HostError::Identity(path))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut field = |name| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let mut identity = Self {
            seed: vend_protocol::hex_array(field("key")?)?,
            login: vend_protocol::hex_array(field("login")?)?,
            nonce: Nonce(vend_protocol::hex_array(field("claim")?)?),
            journal: field("journal")?.parse().ok()?,
            granted: None,
        };
        if let Some(root) = field("root") {
            let granted = codec::decode(&unhex(field("grant")?)?).ok()?;
            identity.granted = Some((root.parse().ok()?, granted));
            identity.enrolled()?;
        }
        Some(identity)
    }

    /// Writes it, readable by its owner only; when this returns it is on the disk.
    pub(crate) fn store(&self, dir: &Path) -> Result<(), HostError> {
        let path = Self::path(dir);
        self.write(dir, &path).map_err(|error| HostError::File { path, error })
    }

    fn write(&self, dir: &Path, path: &Path) -> std::io::Result<()> {
        let mut text = format!(
            "key {}\nlogin {}\nclaim {}\njournal {}\n",
            hex(&self.seed),
            hex(&self.login),
            self.nonce,
            self.journal
        );
        if let Some((root, granted)) = &self.granted {
            let mut bytes = vec![0; 2048];
            let len = codec::encode(granted, &mut bytes).map_err(std::io::Error::other)?;
            bytes.truncate(len);
            text.extend(["root ", &root.to_string(), "\ngrant ", &hex(&bytes), "\n"]);
        }
        let new = dir.join("identity.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(dir)?.sync_all()
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], HostError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| HostError::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte =
        |pair: &[u8; 2]| vend_protocol::hex_array::<1>(core::str::from_utf8(pair).ok()?).map(|[byte]| byte);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_identity_is_read_back_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::load(dir.path()).unwrap().is_none());
        let identity = Identity::draw().unwrap();
        identity.store(dir.path()).unwrap();
        let again = Identity::load(dir.path()).unwrap().unwrap();
        assert_eq!(
            (again.seed, again.login, again.journal),
            (identity.seed, identity.login, identity.journal)
        );
        let mode = fs::metadata(Identity::path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(Identity::path(dir.path()), "key 12").unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(HostError::Identity(_))));
    }
}
