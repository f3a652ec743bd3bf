//! Who the machine is: its key, its login, what the server granted it, and the newest key list.

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
use vend_protocol::{
    EnrolmentId, JournalId, Nonce,
    codec::{self, CodecError},
    machine_link::ClaimGranted,
    signed::Signed,
};

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
    /// The newest key list that the server sent since. The grant stays as it is: the key that signed it may not be in there.
    key_list: Option<Signed>,
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
            key_list: None,
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

    /// What the grant says, when there is one, with the keys of the newest key list.
    pub(crate) fn enrolled(&self) -> Option<Enrolled> {
        let (root, granted) = self.granted.as_ref()?;
        let mut enrolled = verify_grant(granted, *root, &self.signer().public_key(), self.nonce).ok()?;
        if let Some(list) = &self.key_list {
            enrolled.keys = enrolled.keys.with_stored(list).ok()?;
        }
        Some(enrolled)
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
        let mut identity = Self::parse(&text).ok_or(HostError::Identity(path))?;
        identity.key_list = load_key_list(dir)?;
        if identity.granted.is_some() && identity.enrolled().is_none() {
            // Going on with the grant's list would believe keys that were revoked since.
            return Err(HostError::Identity(key_list_path(dir)));
        }
        Ok(Some(identity))
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
            key_list: None,
        };
        if let Some(root) = field("root") {
            let granted = codec::decode(&unhex(field("grant")?)?).ok()?;
            identity.granted = Some((root.parse().ok()?, granted));
            identity.enrolled()?;
        }
        Some(identity)
    }

    /// Writes it; when this returns it is on the disk.
    pub(crate) fn store(&self, dir: &Path) -> Result<(), HostError> {
        let mut text = format!(
            "key {}\nlogin {}\nclaim {}\njournal {}\n",
            hex(&self.seed),
            hex(&self.login),
            self.nonce,
            self.journal
        );
        let path = Self::path(dir);
        if let Some((root, granted)) = &self.granted {
            let bytes = encoded(&path, |bytes| codec::encode(granted, bytes))?;
            text.extend(["root ", &root.to_string(), "\ngrant ", &hex(&bytes), "\n"]);
        }
        replace(dir, &path, &text)
    }
}

fn key_list_path(dir: &Path) -> PathBuf {
    dir.join("key-list")
}

/// Stores a key list beside the identity, in place of an older one; when this returns it is on the disk.
pub(crate) fn store_key_list(dir: &Path, list: &Signed) -> Result<(), HostError> {
    let path = key_list_path(dir);
    let bytes = encoded(&path, |bytes| codec::encode(list, bytes))?;
    replace(dir, &path, &format!("{}\n", hex(&bytes)))
}

fn load_key_list(dir: &Path) -> Result<Option<Signed>, HostError> {
    let path = key_list_path(dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HostError::File { path, error }),
    };
    let list = unhex(text.trim_end()).and_then(|bytes| codec::decode(&bytes).ok());
    list.map(Some).ok_or(HostError::Identity(path))
}

/// Removes the key list of an identity that is gone.
pub(crate) fn remove_key_list(dir: &Path) -> Result<(), HostError> {
    let path = key_list_path(dir);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HostError::File { path, error }),
        _ => Ok(()),
    }
}

fn encoded(
    path: &Path,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, CodecError>,
) -> Result<Vec<u8>, HostError> {
    let mut bytes = vec![0; 2048];
    let len = encode(&mut bytes)
        .map_err(|error| HostError::File { path: path.to_owned(), error: std::io::Error::other(error) })?;
    bytes.truncate(len);
    Ok(bytes)
}

/// Writes a file of the folder, readable by its owner only, whole or not at all.
fn replace(dir: &Path, path: &Path, text: &str) -> Result<(), HostError> {
    let write = || {
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(|error| HostError::File { path: path.to_owned(), error })
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

    use vend_protocol::{
        List, MachineId,
        signed::{EnrolmentBody, KeyListBody},
    };

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

    fn key_list(root: &Signer, version: u32, key: &Signer) -> Signed {
        let keys = List::try_from_iter([key.public_key().to_bytes()]).unwrap();
        root.sign(&KeyListBody { version, not_before_ms: 0, expires_ms: 9, keys }).unwrap()
    }

    #[test]
    fn a_newer_key_list_survives_a_power_cut_at_any_moment_and_the_grant_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let [root, first, second] = [1, 2, 3].map(|seed| Signer::from_seed(&[seed; 32]));
        let mut identity = Identity::draw().unwrap();
        let enrolment = EnrolmentBody {
            machine: MachineId::new(12).unwrap(),
            enrolment: identity.signer().public_key().fingerprint(),
            nonce: identity.nonce,
        };
        let granted = ClaimGranted {
            root_key: root.public_key().to_bytes(),
            key_list: key_list(&root, 1, &first),
            enrolment: first.sign(&enrolment).unwrap(),
        };
        identity.granted = Some((root.public_key().fingerprint(), granted));
        identity.store(dir.path()).unwrap();
        let version = || {
            Identity::load(dir.path()).map(|identity| identity.unwrap().enrolled().unwrap().keys.version())
        };
        assert_eq!(version().unwrap(), 1);
        // The power goes while the list is written: what is there does not count.
        fs::write(dir.path().join("key-list.new"), "0011").unwrap();
        assert_eq!(version().unwrap(), 1);
        // The key that signed the grant is in no later list.
        for newer in 2..4 {
            store_key_list(dir.path(), &key_list(&root, newer, &second)).unwrap();
            assert_eq!(version().unwrap(), newer);
        }
        store_key_list(dir.path(), &key_list(&second, 9, &second)).unwrap();
        assert!(matches!(version(), Err(HostError::Identity(path)) if path == key_list_path(dir.path())));
        fs::write(key_list_path(dir.path()), "0011\n").unwrap();
        assert!(matches!(version(), Err(HostError::Identity(_))));
    }
}
