//! Files for the tests of this module, put together by hand.

use super::input::checksum;

/// A file being written.
pub(super) struct Sample(Vec<u8>);

impl Sample {
    pub(super) fn new() -> Self {
        Self::of_version("0010")
    }

    pub(super) fn of_version(version: &str) -> Self {
        Self([b"REDIS", version.as_bytes()].concat())
    }

    /// Any bytes.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A string of less than 64 bytes, as it is.
    pub(super) fn short(self, text: &[u8]) -> Self {
        assert!(text.len() < 64);
        self.bytes(&[text.len() as u8]).bytes(text)
    }

    /// A key with a value of a type, that has to be written next.
    pub(super) fn key(self, kind: u8, key: &[u8]) -> Self {
        self.bytes(&[kind]).short(key)
    }

    /// A key with a string.
    pub(super) fn entry(self, key: &[u8], value: &[u8]) -> Self {
        self.key(0, key).short(value)
    }

    /// The file, ended without a checksum.
    pub(super) fn unverified(self) -> Vec<u8> {
        self.bytes(&[0xff]).bytes(&[0; 8]).0
    }

    /// The file, ended.
    pub(super) fn end(self) -> Vec<u8> {
        let ended = self.bytes(&[0xff]);
        let sum = checksum(&ended.0);
        ended.bytes(&sum.to_le_bytes()).0
    }
}
