//! A batch, grouped by shard: a counting sort of indices, nothing is copied.
//!
//! Pure. The buffers are kept for the next batch, so in steady state nothing is allocated.
//!
//! 1. `order` holds every index below the batch's length exactly once; those of one shard stand
//!    together, in their original order.
//! 2. `counts` is all zero between batches.

/// Groups the operations of a batch by shard.
///
/// ```
/// let mut groups = shardkeep_core::group::Groups::new(4);
/// groups.build([2, 0, 2].into_iter());
/// let grouped: Vec<_> = groups.iter_from(0).map(|group| (group.shard, group.members.to_vec())).collect();
/// assert_eq!(grouped, [(2, vec![0, 2]), (0, vec![1])]);
/// ```
pub struct Groups {
    counts: Vec<u32>,
    shard_of: Vec<u32>,
    order: Vec<u32>,
    touched: Vec<Touched>,
}

#[derive(Clone, Copy)]
struct Touched {
    shard: u32,
    start: u32,
    end: u32,
}

/// The operations of one shard in a batch.
#[derive(Clone, Copy, Debug)]
pub struct Group<'g> {
    /// The shard.
    pub shard: usize,
    /// Positions in the batch, in their original order.
    pub members: &'g [u32],
}

impl Groups {
    /// Buffers for batches over `shards` shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self {
            counts: vec![0; shards],
            shard_of: vec![],
            order: vec![],
            touched: vec![],
        }
    }

    /// Groups a batch whose `i`-th operation belongs to the `i`-th shard given.
    ///
    /// # Panics
    /// When a shard does not exist.
    pub fn build(&mut self, shards: impl Iterator<Item = usize>) {
        self.shard_of.clear();
        self.touched.clear();
        for shard in shards {
            let count = &mut self.counts[shard];
            let shard = shard as u32;
            if *count == 0 {
                self.touched.push(Touched {
                    shard,
                    start: 0,
                    end: 0,
                });
            }
            *count += 1;
            self.shard_of.push(shard);
        }
        let mut start = 0;
        for touched in &mut self.touched {
            let count = &mut self.counts[touched.shard as usize];
            touched.start = start;
            start += *count;
            touched.end = start;
            *count = touched.start;
        }
        self.order.resize(self.shard_of.len(), 0);
        for (at, &shard) in self.shard_of.iter().enumerate() {
            let next = &mut self.counts[shard as usize];
            self.order[*next as usize] = at as u32;
            *next += 1;
        }
        for touched in &self.touched {
            self.counts[touched.shard as usize] = 0;
        }
    }

    /// How many shards the batch touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.touched.len()
    }

    /// Whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// The `at`-th group.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn group(&self, at: usize) -> Group<'_> {
        let touched = self.touched[at];
        let members = &self.order[touched.start as usize..touched.end as usize];
        Group {
            shard: touched.shard as usize,
            members,
        }
    }

    /// All groups, beginning with the `start`-th (modulo their number) and going round: callers that
    /// begin at different places meet less.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = Group<'_>> {
        let len = self.len();
        (0..len).map(move |at| self.group((start + at) % len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_stands_in_its_shard_once_and_in_order() {
        let mut groups = Groups::new(8);
        for batch in [vec![], vec![3], vec![1, 1, 1], vec![7, 0, 7, 3, 0, 7]] {
            groups.build(batch.iter().copied());
            let mut seen = vec![];
            for group in groups.iter_from(2) {
                assert!(group.members.is_sorted());
                assert!(
                    group
                        .members
                        .iter()
                        .all(|&at| batch[at as usize] == group.shard)
                );
                seen.extend_from_slice(group.members);
            }
            seen.sort_unstable();
            assert!(
                seen.iter().map(|&at| at as usize).eq(0..batch.len()),
                "{batch:?}"
            );
        }
    }
}
