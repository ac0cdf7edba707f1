//! Natural numbers of any size, for exact conversion between decimal and binary.
//!
//! As little as that needs. Quadratic, for numbers of up to some ten thousand digits.
//!
//! 1. Words are in ascending order of weight, and the last one is not zero.

use std::cmp::Ordering;

/// The largest power of ten in a word, and its exponent.
const WORD_POWER: u32 = 1_000_000_000;
const WORD_DIGITS: usize = 9;

/// More than the 64 that are wanted, so that rounding sees what follows.
const QUOTIENT_BITS: usize = 70;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(number: u64) -> Self {
        let mut words = Self(vec![number as u32, (number >> 32) as u32]);
        words.trim();
        words
    }
}

impl Natural {
    /// Reads ASCII digits.
    pub(super) fn parse(digits: &[u8]) -> Self {
        let mut number = Self(Vec::new());
        for group in digits.chunks(WORD_DIGITS) {
            let value = group
                .iter()
                .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
            number.multiply_add(10_u32.pow(group.len() as u32), value);
        }
        number
    }

    pub(super) fn power_of_ten(exponent: u32) -> Self {
        let mut number = Self(vec![1]);
        let groups = exponent / WORD_DIGITS as u32;
        for _ in 0..groups {
            number.multiply_add(WORD_POWER, 0);
        }
        number.multiply_add(10_u32.pow(exponent % WORD_DIGITS as u32), 0);
        number
    }

    pub(super) fn multiply(&mut self, other: &Self) {
        let mut product = vec![0; self.0.len() + other.0.len()];
        for (at, &word) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (place, &factor) in product[at..].iter_mut().zip(&other.0) {
                let sum = u64::from(word) * u64::from(factor) + u64::from(*place) + carry;
                *place = sum as u32;
                carry = sum >> 32;
            }
            product[at + other.0.len()] = carry as u32;
        }
        self.0 = product;
        self.trim();
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        let small = bits % 32;
        if small > 0 {
            self.multiply_add(1 << small, 0);
        }
        let words = (bits / 32) as usize;
        self.0.splice(0..0, std::iter::repeat_n(0, words));
        self.trim();
    }

    /// The top 128 bits, how many bits were below them, and whether one of those was set.
    pub(super) fn top_bits(&self) -> (u128, i32, bool) {
        let bits = self.bits();
        let below = bits.saturating_sub(128);
        let mut top = 0_u128;
        for bit in (below..bits).rev() {
            top = top << 1 | u128::from(self.bit(bit));
        }
        let sticky = (0..below).any(|bit| self.bit(bit));
        (top, below as i32, sticky)
    }

    /// At least [`QUOTIENT_BITS`] bits of the quotient, the power of two it is to be multiplied with, and
    /// whether something is left over.
    pub(super) fn divide(mut self, divisor: &Self) -> (u128, i32, bool) {
        // The quotient of n and d bits has n - d or n - d + 1 bits.
        let shift = (divisor.bits() + QUOTIENT_BITS) as i32 - self.bits() as i32;
        let mut divisor = divisor.clone();
        if shift >= 0 {
            self.shift_left(shift.unsigned_abs());
        } else {
            divisor.shift_left(shift.unsigned_abs());
        }
        // Long division, bit by bit: dividing by the divisor shifted by all quotient bits first.
        divisor.shift_left(QUOTIENT_BITS as u32);
        let mut quotient = 0_u128;
        for bit in (0..=QUOTIENT_BITS).rev() {
            if self.compare(&divisor) != Ordering::Less {
                self.subtract(&divisor);
                quotient |= 1 << bit;
            }
            divisor.halve();
        }
        (quotient, -shift, !self.0.is_empty())
    }

    /// Appends the number in decimal.
    pub(super) fn format(mut self, out: &mut Vec<u8>) {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0_u64;
            for word in self.0.iter_mut().rev() {
                let number = rest << 32 | u64::from(*word);
                *word = (number / u64::from(WORD_POWER)) as u32;
                rest = number % u64::from(WORD_POWER);
            }
            self.trim();
            groups.push(rest);
        }
        let first = groups.pop().unwrap_or(0);
        out.extend_from_slice(itoa::Buffer::new().format(first).as_bytes());
        for group in groups.into_iter().rev() {
            out.extend_from_slice(format!("{group:0WORD_DIGITS$}").as_bytes());
        }
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for word in &mut self.0 {
            let sum = u64::from(*word) * u64::from(factor) + carry;
            *word = sum as u32;
            carry = sum >> 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (at, word) in self.0.iter_mut().enumerate() {
            let other = other.0.get(at).copied().unwrap_or(0);
            let (less, first) = word.overflowing_sub(other);
            let (less, second) = less.overflowing_sub(u32::from(borrow));
            *word = less;
            borrow = first || second;
        }
        debug_assert!(!borrow);
        self.trim();
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            let low = *word & 1;
            *word = *word >> 1 | carry << 31;
            carry = low;
        }
        self.trim();
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    fn bits(&self) -> usize {
        match self.0.last() {
            Some(last) => self.0.len() * 32 - last.leading_zeros() as usize,
            None => 0,
        }
    }

    fn bit(&self, at: usize) -> bool {
        self.0[at / 32] >> (at % 32) & 1 == 1
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}
