//! The table against a `HashMap`, with small segments so that they split, and with hashes that
//! collide on purpose.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;

/// Small enough that a hundred keys split several times.
const SMALL_SEGMENT: usize = 7;

#[derive(Clone, Debug, PartialEq)]
struct Item {
    key: u16,
    value: u32,
    expires_at: Option<UnixMillis>,
}

impl Entry for Item {
    fn expires_at(&self) -> Option<UnixMillis> {
        self.expires_at
    }
}

fn item(key: u16) -> Item {
    Item {
        key,
        value: 0,
        expires_at: None,
    }
}

/// How keys become hashes, the good way and several bad ones.
#[derive(Clone, Copy, Debug)]
enum Hashing {
    Mixed,
    AllEqual,
    EqualTag,
    EqualPrefix,
    OnlyTheTagDiffers,
    DifferLate,
}

const HASHINGS: [Hashing; 6] = [
    Hashing::Mixed,
    Hashing::AllEqual,
    Hashing::EqualTag,
    Hashing::EqualPrefix,
    Hashing::OnlyTheTagDiffers,
    Hashing::DifferLate,
];

impl Hashing {
    fn hash(self, key: u16) -> u64 {
        let mixed = (u64::from(key) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        match self {
            Self::Mixed => mixed,
            Self::AllEqual => 0x0123_4567_89AB_CDEF,
            Self::EqualTag => mixed >> 7,
            Self::EqualPrefix => mixed & 0xFF,
            Self::OnlyTheTagDiffers => mixed << 57,
            // The last two directory bits of a table without shard bits.
            Self::DifferLate => (mixed & 3) << (64 - 7 - DIRECTORY_DEPTH_MAX) | (mixed & 0xF00),
        }
    }
}

fn small_table(shard_bits: u32) -> Table<Item> {
    Table::with_segment_entries_max(shard_bits, SMALL_SEGMENT)
}

fn assert_consistent(table: &Table<Item>, hashing: Hashing) {
    assert_eq!(table.iter().count(), table.len());
    let allocated: usize = table.segments.iter().map(HashTable::allocation_size).sum();
    assert_eq!(table.segment_bytes, allocated, "the account of memory");
    assert_eq!(table.notes.len(), table.segments.len());
    assert_eq!(table.due.len(), table.segments.len());
    for (id, segment) in table.segments.iter().enumerate() {
        for item in segment {
            assert_eq!(
                table.directory.segment_of(hashing.hash(item.key)),
                id,
                "{item:?}"
            );
            if let Some(expires_at) = item.expires_at {
                let bound = expires_at.get().max(table.notes[id].rests_until);
                assert!(table.due[id] <= bound, "{item:?} is missed");
            }
        }
        assert!(table.earliest_due <= table.due[id]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, u32, Option<u64>),
    Remove(u16),
    RemoveBySlot(u16),
    SetExpiry(u16, Option<u64>),
    Expire(u64),
    ScanOn,
    WalkOn(u8),
    PartOn,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..300_u16;
    let expiry = proptest::option::weighted(0.3, 1..10_000_u64);
    prop_oneof![
        20 => (key.clone(), any::<u32>(), expiry.clone()).prop_map(|(k, v, e)| Step::Put(k, v, e)),
        5 => key.clone().prop_map(Step::Remove),
        5 => key.clone().prop_map(Step::RemoveBySlot),
        3 => (key, expiry).prop_map(|(k, e)| Step::SetExpiry(k, e)),
        1 => (1..10_000_u64).prop_map(Step::Expire),
        2 => Just(Step::ScanOn),
        6 => (1..40_u8).prop_map(Step::WalkOn),
        6 => Just(Step::PartOn),
        1 => Just(Step::Clear).prop_filter("clear seldom", |_| true),
    ]
}

/// A walk through the table that stops inside of segments.
struct Stroll<S> {
    /// `None` before it begins.
    at: Option<S>,
    /// Keys there since it began.
    stayed: Vec<u16>,
    visited: HashMap<u16, u32>,
    /// Entries of a segment were visited again.
    restarted: bool,
}

impl<S: Copy> Stroll<S> {
    fn new() -> Self {
        Self {
            at: None,
            stayed: Vec::new(),
            visited: HashMap::new(),
            restarted: false,
        }
    }

    fn begin(&mut self, start: S, model: &HashMap<u16, Item>) -> S {
        if self.at.is_none() {
            self.stayed = model.keys().copied().collect();
            self.visited.clear();
            self.restarted = false;
        }
        self.at.unwrap_or(start)
    }

    fn end(&mut self, next: Option<S>) {
        self.at = next;
        if next.is_none() {
            for key in &self.stayed {
                let times = self.visited.get(key).copied().unwrap_or(0);
                assert!(times >= 1, "key {key} stayed and was never met");
                assert!(times == 1 || self.restarted, "key {key} met {times} times");
            }
        }
    }
}

/// The table, a `HashMap` beside it, and a scan under way.
struct Pair {
    hashing: Hashing,
    table: Table<Item>,
    model: HashMap<u16, Item>,
    cursor: Cursor,
    /// Keys there since the scan began.
    stayed: Vec<u16>,
    visited: HashMap<u16, u32>,
    walk: Stroll<WalkCursor>,
    parts: Stroll<PartCursor>,
}

impl Pair {
    fn new(hashing: Hashing, shard_bits: u32, segment_entries: usize) -> Self {
        Self {
            hashing,
            table: Table::with_segment_entries_max(shard_bits, segment_entries),
            model: HashMap::new(),
            cursor: Cursor::START,
            stayed: Vec::new(),
            visited: HashMap::new(),
            walk: Stroll::new(),
            parts: Stroll::new(),
        }
    }

    /// The key is gone: no walk need meet it.
    fn forget(&mut self, key: u16) {
        for stayed in [
            &mut self.stayed,
            &mut self.walk.stayed,
            &mut self.parts.stayed,
        ] {
            stayed.retain(|&stayed| stayed != key);
        }
    }

    fn take(&mut self, step: Step) {
        let hashing = self.hashing;
        let rehash = |item: &Item| hashing.hash(item.key);
        match step {
            Step::Put(key, value, expires_at) => {
                let item = Item {
                    key,
                    value,
                    expires_at: expires_at.map(UnixMillis::new),
                };
                let old = self.model.insert(key, item.clone());
                match self
                    .table
                    .entry(hashing.hash(key), |item| item.key == key, rehash)
                {
                    Slot::Occupied(mut slot) => {
                        assert_eq!(Some(slot.get()), old.as_ref());
                        assert_eq!(Some(slot.replace(item.clone())), old);
                        assert_eq!(slot.into_mut(), &item);
                    }
                    Slot::Vacant(slot) => {
                        assert_eq!(old, None);
                        assert_eq!(slot.insert(item.clone()), &item);
                    }
                }
            }
            Step::Remove(key) => {
                let removed = self.table.remove(hashing.hash(key), |item| item.key == key);
                assert_eq!(removed, self.model.remove(&key));
                self.forget(key);
            }
            Step::RemoveBySlot(key) => {
                let slot = self
                    .table
                    .entry(hashing.hash(key), |item| item.key == key, rehash);
                let removed = match slot {
                    Slot::Occupied(slot) => Some(slot.remove()),
                    Slot::Vacant(_) => None,
                };
                assert_eq!(removed, self.model.remove(&key));
                self.forget(key);
            }
            Step::SetExpiry(key, expires_at) => {
                let expires_at = expires_at.map(UnixMillis::new);
                let hash = hashing.hash(key);
                if let Some(item) = self.table.find_mut(hash, |item| item.key == key) {
                    item.expires_at = expires_at;
                    self.table.note_expiry(hash, expires_at);
                }
                if let Some(item) = self.model.get_mut(&key) {
                    item.expires_at = expires_at;
                }
            }
            Step::Expire(now) => self.expire(UnixMillis::new(now)),
            Step::ScanOn => self.scan_on(),
            Step::WalkOn(entries) => self.walk_on(usize::from(entries)),
            Step::PartOn => self.part_on(),
            Step::Clear => {
                self.table.clear();
                self.model.clear();
                self.stayed.clear();
                self.walk.stayed.clear();
                self.parts.stayed.clear();
            }
        }
    }

    fn expire(&mut self, now: UnixMillis) {
        let mut gone = Vec::new();
        let slice = self.table.expire_slice(now, |item| gone.push(item));
        assert_eq!(slice.removed, gone.len());
        for item in gone {
            assert!(
                item.expires_at.is_some_and(|at| at <= now),
                "{item:?} gone at {now}"
            );
            assert_eq!(self.model.remove(&item.key), Some(item.clone()));
            self.forget(item.key);
        }
    }

    fn scan_on(&mut self) {
        if self.cursor == Cursor::START {
            self.stayed = self.model.keys().copied().collect();
            self.visited.clear();
        }
        let visited = &mut self.visited;
        let next = self.table.scan(self.cursor, |item| {
            *visited.entry(item.key).or_default() += 1;
        });
        match next {
            Some(next) => {
                assert!(next > self.cursor);
                self.cursor = next;
            }
            None => {
                for key in &self.stayed {
                    assert_eq!(self.visited.get(key), Some(&1), "key {key} stayed");
                }
                self.cursor = Cursor::START;
            }
        }
    }

    fn walk_on(&mut self, entries: usize) {
        let spot = self.walk.begin(WalkCursor::START, &self.model);
        let mut left = entries;
        let visited = &mut self.walk.visited;
        let visit = |item: &mut Item| {
            *visited.entry(item.key).or_default() += 1;
            left -= 1;
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let walked = self.table.walk(spot, |_| {}, visit);
        self.walk.restarted |= walked.restarted;
        self.walk.end(walked.next);
    }

    fn part_on(&mut self) {
        let from = self.parts.begin(PartCursor::START, &self.model);
        let visited = &mut self.parts.visited;
        let mut again = false;
        let next = self.table.scan_part(from, |item| {
            let times = visited.entry(item.key).or_default();
            *times += 1;
            again |= *times > 1;
        });
        // Only a segment whose entries have moved is visited again.
        self.parts.restarted |= again && from.number() >> 16 != 0;
        let next = next.map(|next| PartCursor::from_number(next.number()).unwrap());
        self.parts.end(next);
    }

    fn assert_equal(&self) {
        assert_eq!(self.table.len(), self.model.len());
        for (key, item) in &self.model {
            let hash = self.hashing.hash(*key);
            assert_eq!(self.table.find(hash, |item| item.key == *key), Some(item));
        }
        assert_consistent(&self.table, self.hashing);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_a_hash_map_does(
        steps in proptest::collection::vec(step(), 1..600),
        hashing in 0..HASHINGS.len(),
        shard_bits in prop_oneof![Just(0), Just(6), Just(SHARD_BITS_MAX)],
        segment_entries in prop_oneof![Just(SMALL_SEGMENT), Just(112)],
    ) {
        let mut pair = Pair::new(HASHINGS[hashing], shard_bits, segment_entries);
        for step in steps {
            pair.take(step);
        }
        pair.assert_equal();
        // Whatever the scan has missed so far, it finds by its end.
        pair.scan_on();
        while pair.cursor != Cursor::START {
            pair.scan_on();
        }
        pair.walk_on(3);
        while pair.walk.at.is_some() {
            pair.walk_on(3);
        }
        pair.part_on();
        while pair.parts.at.is_some() {
            pair.part_on();
        }
    }
}

fn fill(table: &mut Table<Item>, hashing: Hashing, keys: impl Iterator<Item = u16>) {
    for key in keys {
        table.insert_unique(hashing.hash(key), item(key), |item| hashing.hash(item.key));
    }
}

#[test]
fn entries_that_no_split_would_part_share_one_growing_segment() {
    for hashing in [
        Hashing::AllEqual,
        Hashing::EqualPrefix,
        Hashing::OnlyTheTagDiffers,
    ] {
        let mut table = small_table(0);
        fill(&mut table, hashing, 0..2_000);
        assert_eq!(table.segments.len(), 1, "{hashing:?}");
        assert_eq!(table.directory.depth(), 0, "{hashing:?}");
        assert_consistent(&table, hashing);
    }
}

#[test]
fn entries_that_only_the_last_directory_bits_part_are_parted() {
    let mut table = small_table(0);
    fill(&mut table, Hashing::DifferLate, 0..200);
    assert_eq!(table.directory.depth(), DIRECTORY_DEPTH_MAX);
    let longest = table.segments.iter().map(HashTable::len).max().unwrap();
    assert!(
        longest < 100,
        "four groups of some fifty, the longest segment has {longest}"
    );
    assert_consistent(&table, Hashing::DifferLate);
}

#[test]
fn a_deep_enough_directory_lets_segments_grow() {
    let mut table: Table<u64> = Table::with_segment_entries_max(0, 3);
    let step = 1 << 40;
    for number in 0..400_000_u64 {
        table.insert_unique(number * step / 4, number, |number| number * step / 4);
    }
    assert_eq!(table.directory.depth(), DIRECTORY_DEPTH_MAX);
    assert_eq!(table.len(), 400_000);
    assert!((0..400_000).all(|n| table.find(n * step / 4, |&found| found == n).is_some()));
}

impl Entry for u64 {
    fn expires_at(&self) -> Option<UnixMillis> {
        None
    }
}

#[test]
fn keys_that_come_and_go_do_not_make_the_table_grow() {
    let hashing = Hashing::Mixed;
    let mut table = Table::with_segment_entries_max(0, 448);
    fill(&mut table, hashing, 0..1_000);
    let mut most = 0;
    for round in 0..60_u16 {
        for key in (round * 1_000)..(round * 1_000 + 1_000) {
            table.remove(hashing.hash(key), |item| item.key == key);
            fill(&mut table, hashing, std::iter::once(key + 1_000));
        }
        most = most.max(table.memory_bytes());
    }
    assert_eq!(table.len(), 1_000);
    let per_entry = most / table.len();
    assert!(
        per_entry <= 17 * 3,
        "{per_entry} bytes for entries of {}",
        size_of::<Item>()
    );
    assert_consistent(&table, hashing);
}

#[test]
fn removing_everything_gives_the_memory_of_large_segments_back() {
    let hashing = Hashing::Mixed;
    let mut table = Table::new(6);
    fill(&mut table, hashing, 0..50_000);
    let full = table.memory_bytes();
    for key in 0..50_000 {
        assert!(
            table
                .remove(hashing.hash(key), |item| item.key == key)
                .is_some()
        );
    }
    assert!(
        table.memory_bytes() * 50 < full,
        "{} of {full}",
        table.memory_bytes()
    );
    assert_consistent(&table, hashing);
}

#[test]
fn an_empty_table_is_small_and_a_cleared_one_is_empty() {
    let mut table = Table::new(6);
    let empty = table.memory_bytes();
    assert!(size_of_val(&table) + empty < 512, "{empty}");
    fill(&mut table, Hashing::Mixed, 0..10_000);
    table.clear();
    assert_eq!(table.memory_bytes(), empty);
    assert_eq!((table.len(), table.iter().count()), (0, 0));
}

#[test]
fn expiry_slices_remove_all_that_has_expired_and_nothing_else() {
    let hashing = Hashing::Mixed;
    let mut table = small_table(0);
    for key in 0..1_000_u16 {
        let expires_at = (key % 2 == 0).then(|| UnixMillis::new(1_000 + u64::from(key)));
        let item = Item {
            key,
            value: 0,
            expires_at,
        };
        table.insert_unique(hashing.hash(key), item, |item| hashing.hash(item.key));
    }
    assert_eq!(table.next_expiry(), Some(UnixMillis::new(1_000)));
    let none_yet = table.expire_slice(UnixMillis::new(999), |_| {});
    assert_eq!(
        none_yet,
        ExpireSlice {
            removed: 0,
            more_due: false
        }
    );

    let now = UnixMillis::new(1_499);
    let mut removed = 0;
    let mut slices = 0;
    loop {
        let slice = table.expire_slice(now, |item| assert!(item.key < 500, "{item:?}"));
        removed += slice.removed;
        slices += 1;
        if !slice.more_due {
            break;
        }
    }
    assert_eq!(removed, 250);
    assert!(
        slices <= table.segments.len(),
        "{slices}: each segment once"
    );
    assert!(table.next_expiry() > Some(now));
    assert_consistent(&table, hashing);
}

#[test]
fn a_segment_rests_after_a_look() {
    let hashing = Hashing::Mixed;
    let mut table = Table::new(0);
    for key in 0..1_000_u16 {
        let expires_at = Some(UnixMillis::new(10_000 + u64::from(key)));
        let item = Item {
            key,
            value: 0,
            expires_at,
        };
        table.insert_unique(hashing.hash(key), item, |item| hashing.hash(item.key));
    }
    let mut looks = 0;
    let mut removed = 0;
    for now in (10_000..12_000).map(UnixMillis::new) {
        if table.next_expiry().is_some_and(|due| due <= now) {
            looks += 1;
            removed += table.expire_slice(now, |_| {}).removed;
        }
    }
    assert_eq!(removed, 1_000);
    assert!(
        looks < 20,
        "{looks} looks for a thousand entries that expire one by one"
    );
    assert_eq!(table.next_expiry(), None);
}

#[test]
fn an_expiry_set_later_is_heeded() {
    let hashing = Hashing::Mixed;
    let mut table = small_table(0);
    fill(&mut table, hashing, 0..100);
    assert_eq!(table.next_expiry(), None);
    table
        .find_mut(hashing.hash(7), |item| item.key == 7)
        .unwrap()
        .expires_at = Some(UnixMillis::new(5));
    table.note_expiry(hashing.hash(7), Some(UnixMillis::new(5)));
    assert_eq!(table.next_expiry(), Some(UnixMillis::new(5)));
    let mut gone = Vec::new();
    table.expire_slice(UnixMillis::new(5), |item| gone.push(item.key));
    assert_eq!(gone, [7]);
}

#[test]
fn random_reaches_every_entry_and_also_the_last_one() {
    let hashing = Hashing::Mixed;
    let mut table = small_table(0);
    assert_eq!(table.random(1), None);
    fill(&mut table, hashing, 0..100);
    let mut times = HashMap::new();
    for seed in 0..20_000 {
        *times.entry(table.random(seed).unwrap().key).or_insert(0) += 1;
    }
    assert_eq!(times.len(), 100);
    assert!(
        times.values().all(|&n| (40..1_000).contains(&n)),
        "{times:?}"
    );
    for key in 1..100 {
        table.remove(hashing.hash(key), |item| item.key == key);
    }
    assert_eq!(table.random(3).map(|item| item.key), Some(0));
}

#[test]
fn a_panicking_rehash_leaves_the_table_as_it_was() {
    let hashing = Hashing::Mixed;
    let mut table = small_table(0);
    fill(&mut table, hashing, 0..7);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        table.insert_unique(hashing.hash(7), item(7), |_| panic!("planned"));
    }));
    assert!(panicked.is_err());
    assert_eq!(table.len(), 7);
    assert_consistent(&table, hashing);
    fill(&mut table, hashing, 7..100);
    assert_consistent(&table, hashing);
}

#[test]
fn cursors_are_numbers_within_their_range() {
    assert_eq!(Cursor::from_position(0), Some(Cursor::START));
    assert_eq!(Cursor::from_position(Cursor::POSITIONS), None);
    let last = Cursor::from_position(Cursor::POSITIONS - 1).unwrap();
    assert_eq!(last.position(), Cursor::POSITIONS - 1);
    assert_eq!(small_table(0).scan(last, |_| {}), None);
}

#[test]
fn a_walk_in_another_table_begins_the_segment_again() {
    let hashing = Hashing::Mixed;
    let fill_one = || {
        let mut table = Table::with_segment_entries_max(0, 3_584);
        fill(&mut table, hashing, 0..300);
        table
    };
    let (mut first, mut second) = (fill_one(), fill_one());
    let stop = |_: &mut Item| ControlFlow::Break(());
    let spot = first.walk(WalkCursor::START, |_| {}, stop).next.unwrap();
    assert!(!first.walk(spot, |_| {}, stop).restarted);
    assert!(second.walk(spot, |_| {}, stop).restarted);
}

#[test]
fn a_part_of_a_quiet_segment_is_a_few_entries() {
    let hashing = Hashing::Mixed;
    let mut table = Table::with_segment_entries_max(0, 3_584);
    fill(&mut table, hashing, 0..3_500);
    let (mut at, mut met) = (Some(PartCursor::START), 0);
    while let Some(from) = at {
        let before = met;
        at = table.scan_part(from, |_| met += 1);
        assert!(met - before <= 16, "{} entries at once", met - before);
        assert!(at.is_none_or(|next| next.number() < 1 << 37));
    }
    assert_eq!(met, 3_500);
}
