//! How far matching may go between two looks at the clock.

/// Work between two looks, in steps of about a nanosecond: dear enough that the clock costs nothing beside
/// it, and little beside any deadline.
const LOOK_EVERY: usize = 64 * 1024;

/// What a look at the clock says of a command that holds its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hour {
    /// It may go on.
    Early,
    /// It should end where it can without failing: others wait for its shards.
    SliceOver,
    /// It must end, or it would not by its deadline.
    Late,
}

/// The deadline has come before a match was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate;

/// The work that is left before the next look at the clock.
pub struct Pace {
    left: usize,
    clock: Box<dyn Fn() -> Hour>,
    slice_is_over: bool,
}

impl Pace {
    /// The pace by this clock.
    pub fn new(clock: Box<dyn Fn() -> Hour>) -> Self {
        Self {
            left: LOOK_EVERY,
            clock,
            slice_is_over: false,
        }
    }

    /// For names of our own, which are short.
    pub fn free() -> Self {
        Self::new(Box::new(|| Hour::Early))
    }

    /// Whether others have waited for a slice.
    pub fn slice_is_over(&self) -> bool {
        self.slice_is_over
    }

    /// Takes account of `work` steps, before they are done.
    ///
    /// # Errors
    /// The deadline has come.
    #[inline]
    pub fn spend(&mut self, work: usize) -> Result<(), TooLate> {
        match self.left.checked_sub(work) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.look(),
        }
    }

    #[cold]
    fn look(&mut self) -> Result<(), TooLate> {
        self.left = LOOK_EVERY;
        match (self.clock)() {
            Hour::Early => Ok(()),
            Hour::SliceOver => {
                self.slice_is_over = true;
                Ok(())
            }
            Hour::Late => Err(TooLate),
        }
    }
}
