//! A count of steps: what a computation may cost, the same on every machine.

use std::cell::Cell;

use crate::error::{Error, Result};

/// Steps after which it is asked whether to stop.
const ASK_AFTER: usize = 1 << 17;

thread_local! {
    static ASK: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    static SINCE: Cell<usize> = const { Cell::new(0) };
    static STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// Runs work on this thread that ends early, with an error, once `ask` says so. It is asked by steps, not by time.
pub fn interruptible<T>(ask: fn() -> bool, work: impl FnOnce() -> T) -> T {
    /// Also where the work panics, so that what comes later is neither asked nor stopped.
    struct Restored(Option<fn() -> bool>);
    impl Drop for Restored {
        fn drop(&mut self) {
            ASK.set(self.0);
            STOPPED.set(false);
        }
    }
    let _restored = Restored(ASK.replace(Some(ask)));
    SINCE.set(0);
    STOPPED.set(false);
    work()
}

/// Counts steps of work; true when the work is to stop.
pub fn interrupted(steps: usize) -> bool {
    if STOPPED.get() {
        return true;
    }
    let since = SINCE.get().saturating_add(steps);
    SINCE.set(since);
    if since < ASK_AFTER {
        return false;
    }
    SINCE.set(0);
    let stop = ASK.get().is_some_and(|ask| ask());
    STOPPED.set(stop);
    stop
}

/// Steps that are left. A step is about one product of two polynomial terms whose numbers fit a machine word.
#[derive(Debug, Clone)]
pub struct Budget {
    left: u64,
    total: u64,
}

impl Budget {
    /// A budget of this many steps.
    pub fn new(steps: u64) -> Self {
        Self {
            left: steps,
            total: steps,
        }
    }

    /// The steps that were taken.
    pub fn spent(&self) -> u64 {
        self.total - self.left
    }

    /// Takes steps away.
    ///
    /// # Errors
    /// When none are left, the message naming the limit; or when the work is interrupted.
    pub fn spend(&mut self, steps: usize) -> Result<()> {
        if interrupted(steps) {
            return Err(Error::new("interrupted"));
        }
        match self.left.checked_sub(steps as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Error::new(format!(
                    "the limit of {} algebra steps was reached",
                    self.total
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_stops_when_asked_and_goes_on_afterwards() {
        let mut budget = Budget::new(u64::MAX);
        let error = interruptible(|| true, || (0..1000).find_map(|_| budget.spend(1000).err()));
        assert_eq!(error.map(|error| error.0), Some("interrupted".to_string()));
        assert!(!interrupted(1), "the stop outlived its work");
        assert!(interruptible(
            || false,
            || (0..1000).all(|_| budget.spend(1000).is_ok())
        ));
    }

    #[test]
    fn long_numbers_cost_more_steps() {
        use crate::symbolic::polynomial::Polynomial;
        use num_bigint::BigInt;
        use num_rational::BigRational;
        let sum = |bits: u32| {
            let number = BigRational::from_integer(BigInt::from(2).pow(bits) + 1);
            Polynomial::generator(0).add(&Polynomial::constant(number))
        };
        for (bits, fits) in [(30, true), (20_000, false)] {
            let (sum, mut budget) = (sum(bits), Budget::new(5_000));
            assert_eq!(sum.mul(&sum, &mut budget).is_ok(), fits);
            assert_eq!(sum.pow(9, &mut Budget::new(5_000)).is_ok(), fits);
            assert_eq!(sum.div_exact(&sum, &mut budget).is_ok(), fits);
        }
    }
}
