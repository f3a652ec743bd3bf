//! The server's keys on disk.
//!
//! `keygen` makes two folders. The *root* folder holds the operator's root key, which signs key lists and belongs on a
//! computer that is not connected to anything. The *online* folder is what the server needs: its online key, the seal key,
//! the root key's public half and the key list. Files are readable by their owner only.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use vend_payments::{
    signed::{PublicKey, Signer},
    wallet::SealKey,
};
use vend_protocol::{
    List, codec, hex_array,
    signed::{KeyListBody, Signed},
};
use zeroize::Zeroizing;

use crate::engine::ServerKeys;

const ROOT_KEY: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const ONLINE_KEY: &str = "online.key";
const SEAL_KEY: &str = "seal.key";
const KEY_LIST: &str = "key-list.hex";
/// A key list is good for this long.
const LIST_VALID_MS: u64 = 400 * 24 * 3_600_000;

/// Why keys could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// A file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{} does not hold a key", .0.display())]
    Malformed(PathBuf),
    /// The key list is not signed by the root key, or leaves the online key out.
    #[error("the key list does not vouch for the online key")]
    List,
    /// The operating system gave no random bytes.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Makes a root key, an online key under it, and a seal key. Refuses to overwrite any.
///
/// # Errors
/// [`KeyFileError`].
pub fn generate(root: &Path, online: &Path, now_ms: u64) -> Result<(), KeyFileError> {
    for dir in [root, online] {
        fs::create_dir_all(dir).map_err(|error| KeyFileError::File { path: dir.to_owned(), error })?;
    }
    let root_seed = secret()?;
    let online_seed = secret()?;
    let signer = Signer::from_seed(&root_seed);
    let keys = List::try_from_iter([Signer::from_seed(&online_seed).public_key().to_bytes()]);
    let list = signer.sign(&KeyListBody {
        version: 1,
        // A machine's clock may be a little behind the computer's that signs.
        not_before_ms: now_ms.saturating_sub(24 * 3_600_000),
        expires_ms: now_ms.saturating_add(LIST_VALID_MS),
        keys: keys.map_err(|_| KeyFileError::List)?,
    });
    let mut bytes = [0; 512];
    let len = list.and_then(|list| codec::encode(&list, &mut bytes)).map_err(|_| KeyFileError::List)?;
    write(&root.join(ROOT_KEY), root_seed.as_slice())?;
    write(&online.join(ROOT_PUBLIC), &signer.public_key().to_bytes())?;
    write(&online.join(KEY_LIST), bytes.get(..len).unwrap_or(&[]))?;
    write(&online.join(SEAL_KEY), secret()?.as_slice())?;
    // Last, so that a set with this file is a whole one.
    write(&online.join(ONLINE_KEY), online_seed.as_slice())
}

/// Whether [`generate`] has finished in this folder.
pub fn exist(online: &Path) -> bool {
    online.join(ONLINE_KEY).exists()
}

/// Reads what [`generate`] made for the server.
///
/// # Errors
/// [`KeyFileError`].
pub fn load(online: &Path) -> Result<ServerKeys, KeyFileError> {
    let root_path = online.join(ROOT_PUBLIC);
    let root =
        PublicKey::from_bytes(&*read_32(&root_path)?).map_err(|_| KeyFileError::Malformed(root_path))?;
    let signer = Signer::from_seed(&*read_32(&online.join(ONLINE_KEY))?);
    let list_path = online.join(KEY_LIST);
    let key_list: Signed =
        codec::decode(&read(&list_path)?).map_err(|_| KeyFileError::Malformed(list_path))?;
    let seal = SealKey::new(*read_32(&online.join(SEAL_KEY))?);
    ServerKeys::new(signer, root, key_list, seal).map_err(|_| KeyFileError::List)
}

fn secret() -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(KeyFileError::Random)?;
    Ok(bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let fail = |error| KeyFileError::File { path: path.to_owned(), error };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text = Zeroizing::new(crate::engine::hex(bytes) + "\n");
    let mut file = options.open(path).map_err(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let text =
        fs::read_to_string(path).map_err(|error| KeyFileError::File { path: path.to_owned(), error })?;
    let text = Zeroizing::new(text);
    let pairs = text.trim_end().as_bytes().chunks(2);
    let bytes = pairs.map(|pair| hex_array::<1>(std::str::from_utf8(pair).unwrap_or("")).map(|[byte]| byte));
    let bytes = bytes.collect::<Option<Vec<u8>>>().ok_or_else(|| KeyFileError::Malformed(path.to_owned()))?;
    Ok(Zeroizing::new(bytes))
}

fn read_32(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let bytes = read(path)?;
    let array = bytes.as_slice().try_into().map_err(|_| KeyFileError::Malformed(path.to_owned()))?;
    Ok(Zeroizing::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (root, online) = (dir.path().join("root"), dir.path().join("online"));
        generate(&root, &online, 1_000_000_000_000).unwrap();
        assert!(load(&online).is_ok());
        assert!(!online.join(ROOT_KEY).exists(), "the root key is not the server's");
        assert!(matches!(generate(&root, &online, 1), Err(KeyFileError::File { .. })), "never overwritten");
    }

    #[test]
    fn an_online_key_that_the_root_does_not_vouch_for_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (root, online) = (dir.path().join("root"), dir.path().join("online"));
        generate(&root, &online, 1_000_000_000_000).unwrap();
        fs::write(online.join(ONLINE_KEY), "11".repeat(32)).unwrap();
        assert!(matches!(load(&online), Err(KeyFileError::List)));
    }
}
