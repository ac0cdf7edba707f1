//! Keys and values as bytes, for a store that outlives its process.
//!
//! 1. What was encoded is decoded to an equal value, by this version and by all later ones.
//! 2. Two keys that differ are encoded differently.
//! 3. Bytes that no value has are an error, never a panic: they may come from a damaged disk.

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
}

impl Encode for String {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|error| DecodeError(error.to_string()))?;
        Ok(text.to_owned())
    }
}

impl Encode for Arc<str> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        String::decode(bytes).map(Self::from)
    }
}

impl Encode for Vec<u8> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.to_vec())
    }
}

impl Encode for Box<[u8]> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.into())
    }
}

impl Encode for Arc<[u8]> {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(bytes.into())
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
}

impl Encode for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        <[u8; 0]>::decode(bytes).map(|_| ())
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
}

impl Encode for char {
    fn encode(&self, into: &mut Vec<u8>) {
        u32::from(*self).encode(into);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let number = u32::decode(bytes)?;
        Self::from_u32(number).ok_or_else(|| DecodeError(format!("{number} is no character")))
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
