//! Keys and values as bytes, for a store that outlives its process.
//!
//! 1. What was encoded is decoded to an equal value, by this version and by all later ones.
//! 2. Two keys that differ are encoded differently.
//! 3. Bytes that no value has are an error, never a panic: they may come from a damaged disk.
//! 4. What two forms call themselves differs where the bytes of one would be read as values of the other.

use std::fmt;
use std::sync::Arc;

/// Encodes and decodes keys, or values.
///
/// [`Plain`] is for whatever is [`Encode`]; with the feature `serde`, `SerdeCodec` is for whatever
/// serde can serialize. Everything else brings its own.
pub trait Codec<T>: Send + Sync + 'static {
    /// Appends `value` as bytes.
    ///
    /// # Errors
    /// It has no form as bytes; then nothing is written to the store.
    fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// The value that was encoded as `bytes`.
    ///
    /// # Errors
    /// There is none.
    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError>;

    /// What the bytes are, in a few words: noted in the store, which is not opened with another codec or
    /// other types (see [`Durable::accept_other_types`](crate::Durable::accept_other_types)). It must
    /// stay the same as long as the store lives. By default the names of the codec and the type, without
    /// the modules they are in; [`Named`] gives another.
    fn form(&self) -> String {
        format!("{} {}", short_name::<Self>(), short_name::<T>())
    }
}

/// The name of a type without the modules it is in: those change more often than what it is. (The compiler
/// promises no form of it, but has kept this part of it as it is written in a program.)
fn short_name<T: ?Sized>() -> String {
    let is_of_path = |c: char| c.is_alphanumeric() || "_:{}#".contains(c);
    let mut short = String::new();
    let mut rest = std::any::type_name::<T>();
    while !rest.is_empty() {
        let path = rest.find(|c| !is_of_path(c)).unwrap_or(rest.len());
        short.push_str(rest[..path].rsplit("::").next().unwrap_or_default());
        let between = &rest[path..];
        let next = between.find(is_of_path).unwrap_or(between.len());
        short.push_str(&between[..next]);
        rest = &between[next..];
    }
    short
}

/// A codec whose form has a name of its own: for types that may be renamed while their store lives, and for
/// those whose name stays while their form changes.
///
/// ```
/// use shardkeep::codec::{Named, Plain};
/// use shardkeep::{Durable, Store};
///
/// # let dir = std::env::temp_dir().join(format!("shardkeep-doc-named-{}", std::process::id()));
/// let cents = || Named::new("cents", Plain);
/// let prices: Store<String, u64> =
///     Store::builder().durable_with(&dir, Durable::new(), Plain, cents()).open()?;
/// prices.insert("desk".to_owned(), 19_900)?;
/// drop(prices);
///
/// let opened = Store::<String, u64>::builder().durable(&dir, Durable::new()).open();
/// assert!(opened.is_err(), "a number is not an amount of money");
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Named<C> {
    name: String,
    codec: C,
}

impl<C> Named<C> {
    /// `codec`, whose form is called `name`.
    pub fn new(name: impl Into<String>, codec: C) -> Self {
        let name = name.into();
        Self { name, codec }
    }
}

impl<T, C: Codec<T>> Codec<T> for Named<C> {
    fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.codec.encode(value, into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        self.codec.decode(bytes)
    }

    fn form(&self) -> String {
        self.name.clone()
    }
}

/// A value that has no form as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError(pub String);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value cannot be encoded: {}", self.0)
    }
}

impl std::error::Error for EncodeError {}

/// Bytes that are no value of the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(pub String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes are no value of this type: {}", self.0)
    }
}

impl std::error::Error for DecodeError {}

/// What has one obvious form as bytes: text as UTF-8, bytes as they are, numbers as little endian.
pub trait Encode: Sized {
    /// Appends the value as bytes.
    fn encode(&self, into: &mut Vec<u8>);

    /// The value that was encoded as `bytes`.
    ///
    /// # Errors
    /// There is none.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// What the bytes are, in a few words, the same as long as there are stores with them: see
    /// [`Codec::form`]. By default the name of the type without the modules it is in.
    #[must_use]
    fn form() -> String {
        short_name::<Self>()
    }
}

/// The codec of whatever is [`Encode`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl<T: Encode> Codec<T> for Plain {
    fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        value.encode(into);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        T::decode(bytes)
    }

    fn form(&self) -> String {
        T::form()
    }
}

impl Encode for String {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|error| DecodeError(error.to_string()))?;
        Ok(text.to_owned())
    }

    fn form() -> String {
        "text".to_owned()
    }
}

impl Encode for Arc<str> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        String::decode(bytes).map(Self::from)
    }

    fn form() -> String {
        "text".to_owned()
    }
}

impl Encode for Vec<u8> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }

    fn form() -> String {
        "bytes".to_owned()
    }
}

impl Encode for Box<[u8]> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.into())
    }

    fn form() -> String {
        "bytes".to_owned()
    }
}

impl Encode for Arc<[u8]> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.into())
    }

    fn form() -> String {
        "bytes".to_owned()
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        bytes
            .try_into()
            .map_err(|_| DecodeError(format!("{} bytes instead of {N}", bytes.len())))
    }

    fn form() -> String {
        format!("{N} bytes")
    }
}

impl Encode for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        <[u8; 0]>::decode(bytes).map(|_| ())
    }

    fn form() -> String {
        "nothing".to_owned()
    }
}

impl Encode for bool {
    fn encode(&self, into: &mut Vec<u8>) {
        into.push(u8::from(*self));
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(DecodeError("neither 0 nor 1".to_owned())),
        }
    }

    fn form() -> String {
        "bool".to_owned()
    }
}

impl Encode for char {
    fn encode(&self, into: &mut Vec<u8>) {
        u32::from(*self).encode(into);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let number = u32::decode(bytes)?;
        Self::from_u32(number).ok_or_else(|| DecodeError(format!("{number} is no character")))
    }

    fn form() -> String {
        "char".to_owned()
    }
}

macro_rules! encode_numbers {
    ($($number:ty),*) => {$(
        impl Encode for $number {
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                Encode::decode(bytes).map(Self::from_le_bytes)
            }

            fn form() -> String {
                stringify!($number).to_owned()
            }
        }
    )*};
}

encode_numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

/// A pair: the length of the first (four bytes, little endian), the first, the second.
impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, into: &mut Vec<u8>) {
        let at = into.len();
        into.extend_from_slice(&[0; 4]);
        self.0.encode(into);
        let length = (into.len() - at - 4) as u32;
        into[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.1.encode(into);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let short = || DecodeError("the pair ends too early".to_owned());
        let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (first, second) = rest.split_at_checked(length).ok_or_else(short)?;
        Ok((A::decode(first)?, B::decode(second)?))
    }

    fn form() -> String {
        format!("({}, {})", A::form(), B::form())
    }
}

/// One byte that says whether there is a value, then the value.
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, into: &mut Vec<u8>) {
        self.is_some().encode(into);
        if let Some(value) = self {
            value.encode(into);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((0, [])) => Ok(None),
            Some((1, rest)) => T::decode(rest).map(Some),
            Some(_) | None => Err(DecodeError("neither a value nor none".to_owned())),
        }
    }

    fn form() -> String {
        format!("{} or nothing", T::form())
    }
}

#[cfg(feature = "serde")]
pub use serialized::SerdeCodec;

#[cfg(feature = "serde")]
mod serialized {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::{Codec, DecodeError, EncodeError};

    /// The codec of whatever serde can serialize, in the format of `postcard`: compact, and not
    /// self-describing, so a type must keep its shape as long as its store lives.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct SerdeCodec;

    struct Appending<'v>(&'v mut Vec<u8>);

    impl Extend<u8> for Appending<'_> {
        fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
            self.0.extend(bytes);
        }
    }

    impl<T: Serialize + DeserializeOwned> Codec<T> for SerdeCodec {
        fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
            match postcard::to_extend(value, Appending(into)) {
                Ok(_) => Ok(()),
                Err(error) => Err(EncodeError(error.to_string())),
            }
        }

        fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError> {
            match postcard::take_from_bytes(bytes) {
                Ok((value, [])) => Ok(value),
                Ok((_, rest)) => Err(DecodeError(format!("{} bytes too many", rest.len()))),
                Err(error) => Err(DecodeError(error.to_string())),
            }
        }

        /// Of the type nothing is known but its name: give it another where it may be renamed, or change
        /// its shape, with [`Named`](super::Named).
        fn form(&self) -> String {
            format!("postcard {}", super::short_name::<T>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "serde")]
    #[test]
    fn what_serde_can_serialize_comes_back() {
        let value = (7_u32, "seven".to_owned(), vec![Some(1.5_f64), None]);
        let mut bytes = b"before".to_vec();
        assert!(SerdeCodec.encode(&value, &mut bytes).is_ok());
        let found: Result<(u32, String, Vec<Option<f64>>), _> = SerdeCodec.decode(&bytes[6..]);
        assert_eq!(found, Ok(value));
        let long: Result<u8, _> = SerdeCodec.decode(&[1, 2]);
        assert!(long.is_err());
    }

    fn check<T: Encode + PartialEq + fmt::Debug>(value: T, bytes: &[u8]) {
        let mut encoded = Vec::new();
        value.encode(&mut encoded);
        assert_eq!(encoded, bytes);
        assert_eq!(T::decode(bytes), Ok(value));
    }

    #[test]
    fn values_have_one_form_that_stays() {
        check("é".to_owned(), "é".as_bytes());
        check(vec![1_u8, 2], &[1, 2]);
        check([7_u8; 3], &[7; 3]);
        check(258_u16, &[2, 1]);
        check(-1_i32, &[255; 4]);
        check(true, &[1]);
        check('a', &[97, 0, 0, 0]);
        check((), &[]);
        check(("ab".to_owned(), 1_u8), &[2, 0, 0, 0, b'a', b'b', 1]);
        check(Some(5_u8), &[1, 5]);
        check(None::<u8>, &[0]);
        check(1.5_f64, &1.5_f64.to_le_bytes());
    }

    #[test]
    fn what_a_form_is_called_stays_and_tells_it_from_all_others() {
        type Deep = Option<(String, Vec<u8>)>;
        struct Own;
        impl Encode for Own {
            fn encode(&self, _: &mut Vec<u8>) {}

            fn decode(_: &[u8]) -> Result<Self, DecodeError> {
                Ok(Self)
            }
        }
        let forms = [
            (<String as Encode>::form(), "text"),
            (<Arc<str> as Encode>::form(), "text"),
            (<Box<[u8]> as Encode>::form(), "bytes"),
            (<[u8; 8] as Encode>::form(), "8 bytes"),
            (<u64 as Encode>::form(), "u64"),
            (<i64 as Encode>::form(), "i64"),
            (<f64 as Encode>::form(), "f64"),
            (<Deep as Encode>::form(), "(text, bytes) or nothing"),
            (<Own as Encode>::form(), "Own"),
            (short_name::<Option<Vec<Own>>>(), "Option<Vec<Own>>"),
            (short_name::<(Own, &[u8])>(), "(Own, &[u8])"),
            (Codec::<u8>::form(&Plain), "u8"),
            (Codec::<u8>::form(&Named::new("age", Plain)), "age"),
        ];
        for (form, expected) in forms {
            assert_eq!(form, expected);
        }
    }

    #[test]
    fn bytes_of_no_value_are_an_error() {
        assert!(String::decode(&[0xff]).is_err());
        assert!(u32::decode(&[1, 2, 3]).is_err());
        assert!(bool::decode(&[2]).is_err());
        assert!(char::decode(&0xd800_u32.to_le_bytes()).is_err());
        assert!(<(u8, u8)>::decode(&[9, 0, 0, 0, 1]).is_err());
        assert!(<(u8, u8)>::decode(&[1, 0]).is_err());
        assert!(Option::<u8>::decode(&[0, 1]).is_err());
        assert!(Option::<u8>::decode(&[]).is_err());
    }
}
