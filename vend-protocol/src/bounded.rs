//! Containers with a fixed capacity, so that no decoder allocates by an attacker's length.

use core::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
    ser::SerializeSeq,
};

/// A value did not fit into its fixed capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("longer than its capacity")]
pub struct Full;

/// UTF-8 text of at most `N` bytes.
///
/// ```
/// use vend_protocol::Text;
/// let name: Text<16> = "Sparkling 气泡水".try_into().unwrap_or_default();
/// assert_eq!(&*name, ""); // 19 bytes do not fit into 16
/// assert_eq!(&*Text::<48>::try_from("Sparkling 气泡水").unwrap(), "Sparkling 气泡水");
/// ```
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or(&[]);
        // The bytes only ever come from a `&str`, so this cannot fail; an empty text beats a panic.
        core::str::from_utf8(bytes).unwrap_or("")
    }

    /// As much of `text` as fits, cut at a character.
    pub fn truncated(text: &str) -> Self {
        let mut len = text.len().min(N);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        Self::try_from(text.get(..len).unwrap_or("")).unwrap_or_default()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> TryFrom<&str> for Text<N> {
    type Error = Full;

    fn try_from(text: &str) -> Result<Self, Full> {
        let mut bytes = [0; N];
        fill(bytes.get_mut(..text.len()).ok_or(Full)?, text.as_bytes());
        Ok(Self { bytes, len: text.len() })
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        // Without looking at the bytes as text, which would check them again.
        self.bytes.get(..self.len) == other.bytes.get(..other.len)
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<const N: usize>;

        impl<const N: usize> Visitor<'_> for TextVisitor<N> {
            type Value = Text<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a short text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<N>, E> {
                Text::try_from(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// At most `N` bytes, kept and forwarded as they came.
#[derive(Clone, Copy)]
pub struct Bytes<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Bytes<N> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Fills it through `write`, which is given all of the capacity and says how much it used.
    ///
    /// # Errors
    /// What `write` returns; [`Full`] when it claims more than the capacity.
    pub fn fill<E: From<Full>>(write: impl FnOnce(&mut [u8; N]) -> Result<usize, E>) -> Result<Self, E> {
        let mut bytes = [0; N];
        let len = write(&mut bytes)?;
        if len > N {
            return Err(Full.into());
        }
        Ok(Self { bytes, len })
    }
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> TryFrom<&[u8]> for Bytes<N> {
    type Error = Full;

    fn try_from(slice: &[u8]) -> Result<Self, Full> {
        let mut bytes = [0; N];
        fill(bytes.get_mut(..slice.len()).ok_or(Full)?, slice);
        Ok(Self { bytes, len: slice.len() })
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<const N: usize> PartialEq for Bytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for Bytes<N> {}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_slice())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BytesVisitor<const N: usize>;

        impl<const N: usize> Visitor<'_> for BytesVisitor<N> {
            type Value = Bytes<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a few bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes<N>, E> {
                Bytes::try_from(bytes).map_err(E::custom)
            }
        }

        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// At most `N` items.
///
/// ```
/// use vend_protocol::List;
/// let mut list: List<u8, 2> = List::default();
/// list.push(1).unwrap();
/// list.push(2).unwrap();
/// assert!(list.push(3).is_err());
/// assert_eq!(list.iter().sum::<u8>(), 3);
/// ```
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    items: [Option<T>; N],
    len: usize,
}

impl<T, const N: usize> List<T, N> {
    /// Adds an item at the end.
    ///
    /// # Errors
    /// [`Full`] when there are `N` already.
    pub fn push(&mut self, item: T) -> Result<(), Full> {
        *self.items.get_mut(self.len).ok_or(Full)? = Some(item);
        self.len += 1;
        Ok(())
    }

    /// The number of items.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at `index`.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index)?.as_ref()
    }

    /// The item at `index`, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.items.get_mut(index)?.as_mut()
    }

    /// The items, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.items.iter().flatten()
    }

    /// Gathers the items of an iterator.
    ///
    /// # Errors
    /// [`Full`] when there are more than `N`.
    pub fn try_from_iter(items: impl IntoIterator<Item = T>) -> Result<Self, Full> {
        let mut list = Self::default();
        items.into_iter().try_for_each(|item| list.push(item))?;
        Ok(list)
    }
}

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { items: [const { None }; N], len: 0 }
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq, const N: usize> Eq for List<T, N> {}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Serialize, const N: usize> Serialize for List<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.len))?;
        self.iter().try_for_each(|item| seq.serialize_element(item))?;
        seq.end()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for ListVisitor<T, N> {
            type Value = List<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a short list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T, N>, A::Error> {
                let mut list = List::default();
                while let Some(item) = seq.next_element()? {
                    list.push(item).map_err(de::Error::custom)?;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// Copies as `copy_from_slice` does, without the panic that it keeps at opt-level z.
pub(crate) fn fill(place: &mut [u8], bytes: &[u8]) {
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// `N` bytes from their lower-case hexadecimal digits.
pub fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}
