//! The step "gather": rows of a table, by their numbers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::buffer::Kind;
use super::memory::Memory;
use super::step::{Making, Step};
use super::view::{Region, View, count};
use crate::error::{Error, Result};
use crate::team;

/// Elements for which another thread is called.
const WORTH_A_THREAD: usize = 1 << 15;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    outer: Vec<usize>,
    count: usize,
    width: usize,
    table: View,
    indices: View,
    result: View,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Gather {
    /// The table, and the indices.
    reads: [Region; 2],
    writes: [Region; 1],
    rows: usize,
}

impl Text {
    pub fn checked(self, making: &mut Making<'_>) -> Result<Gather> {
        let buffers = &making.buffers[..];
        let float = [Kind::Float32];
        let mut sizes = self.outer.clone();
        sizes.push(self.width);
        let table = self
            .table
            .over(&[self.count, self.width], &float, "table", buffers)?;
        let indices = self
            .indices
            .over(&self.outer, &[Kind::Int64], "indices", buffers)?;
        let result = self.result.over(&sizes, &float, "result", buffers)?;
        if !result.is_injective() {
            return Err(Error::new("result: two elements in one place"));
        }
        Ok(Gather {
            reads: [table, indices],
            writes: [result],
            rows: count(&self.outer)?,
        })
    }
}

impl Step for Gather {
    fn kind(&self) -> &'static str {
        "gather"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn work(&self) -> usize {
        let [table, _] = &self.reads;
        self.rows
            .saturating_mul(table.sizes[1].saturating_mul(200).saturating_add(5000))
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        let ([table, indices], [result]) = (&self.reads, &self.writes);
        let [count, width] = table.sizes[..] else {
            return Ok(());
        };
        if self.rows * width == 0 {
            return Ok(());
        }
        let threads = threads.min(self.rows * width / WORTH_A_THREAD).max(1);
        let share = self.rows.div_ceil(threads);
        let outside = AtomicBool::new(false);
        let outer = result.sizes.len() - 1;
        let (from_step, to_step) = (table.view.strides[1], result.view.strides[outer]);
        team::each(self.rows.div_ceil(share), threads, |task| {
            for row in task * share..self.rows.min((task + 1) * share) {
                let place = |strides: &[usize]| {
                    let (mut rest, mut at) = (row, 0);
                    for (&size, &stride) in indices.sizes.iter().zip(strides).rev() {
                        at += rest % size * stride;
                        rest /= size;
                    }
                    at
                };
                let at = indices.view.offset + place(&indices.view.strides);
                // SAFETY: regions lie in their buffers, the row is one of the table's, and the result's rows are this
                // task's alone.
                unsafe {
                    let index = *memory
                        .at(indices.view.buffer, at, Kind::Int64)
                        .cast::<i64>();
                    let Some(index) = usize::try_from(index).ok().filter(|&index| index < count)
                    else {
                        outside.store(true, Ordering::Relaxed);
                        return;
                    };
                    let from = table.view.offset + index * table.view.strides[0];
                    let from = memory
                        .at(table.view.buffer, from, Kind::Float32)
                        .cast::<f32>();
                    let to = result.view.offset + place(&result.view.strides[..outer]);
                    let to = memory
                        .at(result.view.buffer, to, Kind::Float32)
                        .cast::<f32>();
                    if (from_step, to_step) == (1, 1) {
                        std::ptr::copy_nonoverlapping(from, to, width);
                    } else {
                        for column in 0..width {
                            *to.add(column * to_step) = *from.add(column * from_step);
                        }
                    }
                }
            }
        });
        if outside.into_inner() {
            return Err(Error::new("index out of range in self"));
        }
        Ok(())
    }
}

impl fmt::Display for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [table, _] = &self.reads;
        write!(
            f,
            "gather {} of {} rows of {}",
            self.rows, table.sizes[0], table.sizes[1]
        )
    }
}
