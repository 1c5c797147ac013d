//! A count of steps: what a computation may cost, the same on every machine.

use crate::error::{Error, Result};

/// Steps that are left. A step is about one product of two polynomial terms.
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

    /// Takes steps away.
    ///
    /// # Errors
    /// When none are left; the message names the limit.
    pub fn spend(&mut self, steps: usize) -> Result<()> {
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
