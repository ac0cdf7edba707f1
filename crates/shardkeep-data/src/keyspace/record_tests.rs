use proptest::prelude::*;

use super::*;

const AT: Option<UnixMillis> = Some(UnixMillis::new(1_700_000_000_000));

#[track_caller]
fn check(record: &Record, key: &[u8], value: &[u8], expires_at: Option<UnixMillis>) {
    assert_eq!(record.key(), key);
    assert_eq!(record.value(), value);
    assert_eq!(record.expires_at(), expires_at);
    assert!(record.shape().end() <= record.allocation_size());
    assert_eq!(record.is_large(), value.len() >= LARGE_BYTES_MIN);
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn a_record_is_one_pointer_and_may_be_absent_for_free() {
    assert_eq!(size_of::<Option<Record>>(), 8);
}

#[test]
fn records_take_the_classes_they_should() {
    for (key, value, expires_at, expected) in [
        (0, 0, None, 16),
        (0, 14, None, 16),
        (14, 64, None, 80),
        (14, 65, None, 96),
        (14, 56, AT, 80),
        (14, 57, AT, 96),
        (14, 240, None, 256),
        (14, 241, None, 320),
        (14, 255, None, 320),
        (14, 998, None, 1_024),
        (14, 999, None, 1_280),
        (256, 0, AT, 320),
        (14, LARGE_BYTES_MIN - 1, None, 20_480),
        (14, LARGE_BYTES_MIN, None, 32 + 48 + LARGE_BYTES_MIN),
        (14, LARGE_BYTES_MIN, AT, 48 + 48 + LARGE_BYTES_MIN),
    ] {
        let record = Record::new(&vec![1; key], &vec![2; value], expires_at);
        assert_eq!(
            record.allocated_bytes(),
            expected,
            "{key} + {value}, {expires_at:?}"
        );
    }
}

#[cfg(not(miri))]
#[test]
fn the_account_is_what_jemalloc_gives() {
    use std::alloc::GlobalAlloc;
    use tikv_jemallocator::{Jemalloc, usable_size};

    let sizes = [14_336, 14_337, 16_384, 16_385, 65_000, 100_000, 1_000_000];
    for bytes in (2..5_000).chain(sizes) {
        let layout = Layout::from_size_align(bytes.max(16), 1).expect("a small layout");
        // SAFETY: a layout of no less than one byte; freed with the same, once.
        let given = unsafe {
            let start = Jemalloc.alloc(layout);
            let given = usable_size(start);
            Jemalloc.dealloc(start, layout);
            given
        };
        assert_eq!(class_size(bytes), given, "{bytes}");
        assert_eq!(class_size(class_size(bytes)), class_size(bytes));
    }
}

#[test]
fn empty_keys_and_values_are_possible() {
    check(&Record::new(b"", b"", None), b"", b"", None);
    check(&Record::new(b"", b"", AT), b"", b"", AT);
}

#[test]
fn a_value_of_the_same_class_stays_where_it_is() {
    let mut record = Record::new(b"counter", b"9", AT);
    let place = record.0;
    assert!(record.set_value(b"10").is_none());
    assert_eq!(record.0, place);
    assert!(record.set(b"1234567", Some(UnixMillis::new(5))).is_none());
    assert_eq!(record.0, place);
    check(&record, b"counter", b"1234567", Some(UnixMillis::new(5)));
}

#[test]
fn appending_moves_seldom() {
    let mut record = Record::new(b"key", b"", None);
    let mut expected = Vec::new();
    let mut moves = 0;
    for number in 0..if cfg!(miri) { 200 } else { 20_000_u32 } {
        let size = record.allocation_size();
        record.append(&number.to_le_bytes());
        expected.extend(number.to_le_bytes());
        moves += u32::from(record.allocation_size() != size);
    }
    check(&record, b"key", &expected, None);
    assert!(moves < 20, "{moves}");
    assert!(record.allocated_bytes() <= 2 * expected.len() + 64);
}

#[test]
fn a_roomy_record_gives_its_room_back_when_the_value_gets_small() {
    let mut record = Record::new(b"key", b"value", AT);
    record.resize_value(5_000);
    assert_eq!(&record.value()[..6], b"value\0");
    record.set_value(b"small");
    assert_eq!(record.allocated_bytes(), 32);
    record.resize_value(20_000);
    record.set_value(b"small");
    assert_eq!(record.allocated_bytes(), 32);
    check(&record, b"key", b"small", AT);
}

#[test]
fn the_expiry_comes_goes_and_changes() {
    let mut record = Record::new(b"key", b"value", None);
    for expires_at in [None, AT, AT, Some(UnixMillis::new(7)), None, None] {
        record.set_expires_at(expires_at);
        check(&record, b"key", b"value", expires_at);
    }
}

#[test]
fn walk_bits_stay_whatever_becomes_of_the_value() {
    let mut record = Record::new(b"key", b"value", None);
    assert_eq!(record.walk_bits(), 0);
    for bits in [1, 3, 2, 0, 2] {
        record.set_walk_bits(bits);
        assert_eq!(record.walk_bits(), bits);
        check(&record, b"key", b"value", None);
    }
    record.set_expires_at(AT);
    record.append(&[7; 1_000]);
    record.append(&[7; 10_000]);
    record.set(b"small", None);
    record.resize_value(5_000);
    record.set_value(b"smaller");
    assert_eq!(record.walk_bits(), 2);
    check(&record, b"key", b"smaller", None);
}

#[test]
fn a_large_value_is_shared_by_copies_until_one_of_them_changes_it() {
    let value = vec![7; LARGE_BYTES_MIN];
    let mut record = Record::new(b"key", &value, AT);
    record.set_walk_bits(1);
    let copy = record.with_key(b"another key");
    let clone = record.clone();
    assert_eq!(copy.value().as_ptr(), record.value().as_ptr());
    assert_eq!(clone.value().as_ptr(), record.value().as_ptr());
    assert_eq!((copy.walk_bits(), clone.walk_bits()), (0, 1));
    record.append(b"more");
    record.value_mut()[0] = 1;
    record.set_expires_at(None);
    drop(clone);
    check(&copy, b"another key", &value, AT);
    let mut changed = value.clone();
    changed.extend(b"more");
    changed[0] = 1;
    check(&record, b"key", &changed, None);
    assert_eq!(record.walk_bits(), 1);
}

#[test]
fn a_large_value_that_nothing_else_holds_is_replaced_where_it_is_and_otherwise_given_back() {
    let mut record = Record::new(b"key", &[1; LARGE_BYTES_MIN], None);
    let place = record.value().as_ptr();
    assert!(record.set_value(&[2; LARGE_BYTES_MIN]).is_none());
    assert_eq!(record.value().as_ptr(), place);
    let copy = record.clone();
    let old = record.set(&[3; LARGE_BYTES_MIN], AT);
    check(&record, b"key", &[3; LARGE_BYTES_MIN], AT);
    check(&copy, b"key", &[2; LARGE_BYTES_MIN], None);
    assert_eq!(old.map(|old| old.value().as_ptr()), Some(place));
    let old = record.set_value(b"small");
    check(&record, b"key", b"small", AT);
    assert_eq!(
        old.map(|old| old.value().to_vec()),
        Some(vec![3; LARGE_BYTES_MIN])
    );
    assert!(
        record.set_value(&[4; LARGE_BYTES_MIN]).is_none(),
        "a small one is not given back"
    );
    check(&record, b"key", &[4; LARGE_BYTES_MIN], AT);
}

#[test]
fn a_value_becomes_large_and_small_again_as_its_length_says() {
    let mut record = Record::new(b"key", b"", AT);
    let mut expected = Vec::new();
    for len in [
        100, 300, 16_383, 16_384, 40_000, 16_385, 16_000, 200, 17_000, 5,
    ] {
        record.resize_value(len);
        expected.resize(len, 0);
        check(&record, b"key", &expected, AT);
        record.append(b"x");
        expected.push(b'x');
        check(&record, b"key", &expected, AT);
        record.value_mut().fill(len as u8);
        expected.fill(len as u8);
    }
}

#[test]
fn debug_shows_the_key_and_hides_the_value() {
    let shown = format!("{:?}", Record::new(b"k\xff", b"secret", None));
    assert!(
        shown.contains("k\\\\xff") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn records_travel_between_threads() {
    fn assert_send_and_sync<T: Send + Sync>() {}
    assert_send_and_sync::<Record>();
}

#[test]
#[should_panic(expected = "a value of 536870913 bytes")]
fn a_value_beyond_the_limit_is_a_bug_of_the_caller() {
    Record::new(b"key", b"value", None).resize_value(STRING_BYTES_MAX + 1);
}

#[derive(Clone, Debug)]
enum Step {
    SetValue(Vec<u8>),
    Set(Vec<u8>, Option<u64>),
    SetExpiresAt(Option<u64>),
    Append(Vec<u8>),
    Resize(usize),
    Overwrite(u8),
    SetWalkBits(u8),
    /// Goes on with a copy; the original stays.
    Copy(bool),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 0..300),
        (LARGE_BYTES_MIN - 8..LARGE_BYTES_MIN + 8).prop_map(|len| vec![9; len]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let expiry = prop::option::of(1..u64::MAX);
    prop_oneof![
        bytes().prop_map(Step::SetValue),
        (bytes(), expiry.clone()).prop_map(|(value, at)| Step::Set(value, at)),
        expiry.prop_map(Step::SetExpiresAt),
        bytes().prop_map(Step::Append),
        prop_oneof![0..500_usize, LARGE_BYTES_MIN - 8..40_000].prop_map(Step::Resize),
        any::<u8>().prop_map(Step::Overwrite),
        any::<bool>().prop_map(Step::Copy),
        (0..4_u8).prop_map(Step::SetWalkBits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 12 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_record_holds_what_a_struct_of_three_would(
        key in bytes(),
        first in bytes(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut record = Record::new(&key, &first, None);
        let mut value = first;
        let mut expires_at = None;
        let mut walk_bits = 0;
        let mut kept = None;
        for step in steps {
            match step {
                Step::SetValue(new) => {
                    record.set_value(&new);
                    value = new;
                }
                Step::Set(new, at) => {
                    expires_at = at.map(UnixMillis::new);
                    record.set(&new, expires_at);
                    value = new;
                }
                Step::SetExpiresAt(at) => {
                    expires_at = at.map(UnixMillis::new);
                    record.set_expires_at(expires_at);
                }
                Step::Append(more) => {
                    record.append(&more);
                    value.extend(more);
                }
                Step::Resize(len) => {
                    record.resize_value(len);
                    value.resize(len, 0);
                }
                Step::Overwrite(byte) => {
                    record.value_mut().fill(byte);
                    value.fill(byte);
                }
                Step::Copy(with_key) => {
                    let copy = if with_key { record.with_key(&key) } else { record.clone() };
                    walk_bits = copy.walk_bits();
                    kept = Some((std::mem::replace(&mut record, copy), value.clone()));
                }
                Step::SetWalkBits(bits) => {
                    record.set_walk_bits(bits);
                    walk_bits = bits;
                }
            }
            check(&record, &key, &value, expires_at);
            prop_assert_eq!(record.walk_bits(), walk_bits);
            if let Some((kept, value)) = &kept {
                prop_assert_eq!(kept.value(), value);
            }
        }
    }
}

#[test]
fn a_value_as_long_is_written_over_the_old_one_where_nothing_else_changes() {
    let mut record = Record::new(b"key", b"abc", None);
    assert!(record.set_alike(b"xyz") && record.value() == b"xyz" && record.key() == b"key");
    assert!(!record.set_alike(b"longer") && record.value() == b"xyz");
    record.set_expires_at(Some(UnixMillis::new(7)));
    assert!(!record.set_alike(b"abc") && record.value() == b"xyz");
    for len in [300, LARGE_BYTES_MIN + 44] {
        let mut record = Record::new(b"k", &vec![1; len], None);
        assert!(!record.set_alike(&vec![2; len]));
        assert!(!record.set_alike(&vec![2; len % 256]));
        assert_eq!(record.value(), vec![1; len]);
    }
}
