//! Recurrent layers: the states of all steps, each of what came before it and of what the step is given.
//!
//! A step is one product of the state with a weight, and a cell for each unit. The weight is read anew at each step, and
//! nothing else takes time: each thread has the same units at every step, so that its part of the weight stays in its
//! own cache.

use std::ops::Range;

use crate::bilinear::threads;
use crate::elementary::tanh;
use crate::error::{Error, Result};
use crate::linear::activation::{plus, sigmoid};
use crate::linear::strip::{self, PANELS, Strip};
use crate::linear::{Activation, COLUMNS, Linear, packed_length};
use crate::registers::{Job, dispatch};
use crate::team::Parts;

/// Below so many multiplications of a step a further thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 16;
/// A strip has all gates of a block.
const _: () = assert!(PANELS >= 4);

/// What a unit does with its gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Gates i, f, g, o: c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c) (Hochreiter and Schmidhuber 1997).
    Lstm,
    /// Gates r, z, n: n = tanh(x + σ(r) y) of what the input and the state give, h = (1 − σ(z)) n + σ(z) h (Cho 2014).
    Gru,
    /// h = tanh(x + y).
    Tanh,
    /// h = max(x + y, 0).
    Relu,
}

impl Cell {
    /// The one of this name: `lstm`, `gru`, `tanh` or `relu`.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "lstm" => Self::Lstm,
            "gru" => Self::Gru,
            "tanh" => Self::Tanh,
            "relu" => Self::Relu,
            _ => {
                return Err(Error::new(format!(
                    "there is no cell {name:?}; there are lstm, gru, tanh and relu"
                )));
            }
        })
    }

    /// Gates of a unit.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Tanh | Self::Relu => 1,
        }
    }

    /// Whether a unit has a memory beside its state.
    pub fn remembers(self) -> bool {
        self == Self::Lstm
    }
}

/// How many steps of how many examples, and how wide they are.
#[derive(Debug, Clone, Copy)]
pub struct Extents {
    pub steps: usize,
    pub batch: usize,
    pub units: usize,
}

impl Extents {
    /// Numbers that the gates of one example take, the same for the rows of the weight: for every sixteen units the first
    /// gate of each, then the second of each, and so on; of units that there are not, zeros.
    pub fn columns(self, cell: Cell) -> Option<usize> {
        let blocks = self.units.div_ceil(COLUMNS);
        blocks.checked_mul(COLUMNS * cell.gates())
    }

    /// Numbers of the result.
    pub fn results(self, cell: Cell) -> Option<usize> {
        let steps = self.steps.checked_add(usize::from(cell.remembers()))?;
        steps.checked_mul(self.batch)?.checked_mul(self.units)
    }
}

/// One direction of one layer.
#[derive(Debug, Clone, Copy)]
pub struct Recurrence<'a> {
    pub cell: Cell,
    /// What the inputs give to the gates, (steps, batch, columns).
    pub inputs: &'a [f32],
    /// The weight of the state, (columns, units) in panels.
    pub panels: &'a [f32],
    /// A number for each column, beside the product with the state.
    pub bias: Option<&'a [f32]>,
    /// The state before the first step, (batch, units).
    pub state: &'a [f32],
    /// The memory before it, of a cell that has one.
    pub memory: Option<&'a [f32]>,
    pub extents: Extents,
    /// From the last step to the first.
    pub reverse: bool,
}

impl Recurrence<'_> {
    /// Writes the states of all steps, (steps, batch, units), and after them the memory that is left, with so many threads
    /// at most.
    ///
    /// # Errors
    /// The slices are not of these sizes, or the memory is there where it should not be, or the other way round.
    pub fn apply(&self, result: &mut [f32], threads: usize) -> Result<()> {
        let Extents {
            steps,
            batch,
            units,
        } = self.extents;
        let columns = self.extents.columns(self.cell).unwrap_or(usize::MAX);
        let rows = batch.saturating_mul(units);
        let fits = self.inputs.len() == steps.saturating_mul(batch).saturating_mul(columns)
            && self.panels.len() == packed_length(columns, units)
            && self.bias.is_none_or(|bias| bias.len() == columns)
            && self.state.len() == rows
            && self.memory.map(<[f32]>::len) == self.cell.remembers().then_some(rows)
            && Some(result.len()) == self.extents.results(self.cell);
        if !fits {
            return Err(Error::new(format!(
                "recurrence of {:?}, {:?}: the lengths do not fit",
                self.cell, self.extents
            )));
        }
        if rows == 0 {
            return Ok(());
        }
        if let Some(memory) = self.memory {
            result[steps * rows..].copy_from_slice(memory);
        }
        let blocks = units.div_ceil(COLUMNS);
        let members = threads
            .min(rows * columns / WORTH_A_THREAD)
            .min(blocks)
            .max(1);
        let mut gates = vec![0.0; batch * columns];
        let (result, gates) = (Parts::of(result), Parts::of(&mut gates));
        // The steps in their order, each with the one before it.
        let step = |turn: usize| if self.reverse { steps - 1 - turn } else { turn };
        for turn in 0..steps {
            let part = Part {
                of: self,
                step: step(turn),
                before: turn.checked_sub(1).map(step),
                blocks: 0..blocks,
                result,
                gates,
            };
            threads::each(0..members, |_, member| {
                let blocks = member * blocks / members..(member + 1) * blocks / members;
                dispatch(Part { blocks, ..part });
            });
        }
        Ok(())
    }
}

/// Some blocks of sixteen units at one step.
#[derive(Clone)]
struct Part<'a> {
    of: &'a Recurrence<'a>,
    step: usize,
    /// The step before; none before the first.
    before: Option<usize>,
    blocks: Range<usize>,
    result: Parts,
    gates: Parts,
}

impl Job for Part<'_> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // SAFETY: `apply`, which makes parts, has checked the lengths and divides the units among them.
        unsafe { self.advance::<BITS>() };
    }
}

impl<'a> Part<'a> {
    /// The states before this step.
    ///
    /// # Safety
    /// The result holds them, and nobody writes them meanwhile.
    #[inline(always)]
    unsafe fn states(&self) -> &'a [f32] {
        let rows = self.of.extents.batch * self.of.extents.units;
        match self.before {
            None => self.of.state,
            // SAFETY: as the caller vouches.
            Some(step) => unsafe {
                std::slice::from_raw_parts(self.result.address().add(step * rows), rows)
            },
        }
    }

    /// # Safety
    /// The recurrence's slices, the result and the gates fit, and nobody else uses these units.
    /// The processor has registers of `BITS`.
    #[inline(always)]
    unsafe fn advance<const BITS: usize>(&self) {
        let Extents { batch, units, .. } = self.of.extents;
        let each = self.of.cell.gates();
        let columns = units.div_ceil(COLUMNS) * each * COLUMNS;
        // SAFETY: as many states, which nobody writes at this step.
        let before = unsafe { self.states() };
        let linear = Linear {
            x: before,
            panels: self.of.panels,
            bias: self.of.bias,
            other: None,
            activation: Activation::None,
            columns,
            depth: units,
        };
        let few = batch <= strip::rows();
        let together = if few {
            PANELS / each
        } else {
            self.blocks.len()
        };
        let groups = self.blocks.len().div_ceil(together);
        for group in 0..groups {
            // There and back in turn: what was read last is in the cache still.
            let place = if self.step.is_multiple_of(2) {
                group
            } else {
                groups - 1 - group
            };
            let first = self.blocks.start + place * together;
            let blocks = first..self.blocks.end.min(first + together);
            let panels = blocks.start * each..blocks.end * each;
            let result = self.gates.address();
            // SAFETY: the columns of these blocks are this part's alone.
            unsafe {
                if few {
                    let rows = batch;
                    let strip = Strip {
                        linear: &linear,
                        result,
                        rows,
                        panels,
                    };
                    strip.multiply::<BITS>();
                } else {
                    linear.tiles::<BITS>(result, batch, panels);
                }
            }
            for row in 0..batch {
                for block in blocks.clone() {
                    // SAFETY: as above.
                    unsafe { self.cells::<BITS>(before, row, block, columns) };
                }
            }
        }
    }

    /// The cells of one block of one example, of whose gates the product is there.
    ///
    /// # Safety
    /// As `advance`.
    #[inline(always)]
    unsafe fn cells<const BITS: usize>(
        &self,
        states: &[f32],
        row: usize,
        block: usize,
        columns: usize,
    ) {
        type Lanes = [f32; COLUMNS];
        let Extents {
            steps,
            batch,
            units,
        } = self.of.extents;
        let each = self.of.cell.gates();
        let column = block * each * COLUMNS;
        let given = &self.of.inputs[(self.step * batch + row) * columns + column..];
        // SAFETY: the gates have so many columns in each row.
        let product = unsafe { self.gates.address().add(row * columns + column) };
        // Of a gate what the input gives and what the state gives; a closure would be compiled for any processor.
        macro_rules! gate {
            ($gate:literal) => {{
                let mut x = [0.0; COLUMNS];
                x.copy_from_slice(&given[$gate * COLUMNS..($gate + 1) * COLUMNS]);
                // SAFETY: the block has so many columns.
                let y = unsafe { product.add($gate * COLUMNS).cast::<Lanes>().read() };
                (x, y)
            }};
        }
        let unit = block * COLUMNS;
        let width = COLUMNS.min(units - unit);
        let at = row * units + unit;
        let size = batch * units;
        // SAFETY: the result has so many units at this step.
        let to = unsafe {
            let to = self.result.address().add(self.step * size + at);
            std::slice::from_raw_parts_mut(to, width)
        };
        let mut state = [0.0; COLUMNS];
        match self.of.cell {
            Cell::Lstm => {
                let ((ix, iy), (fx, fy), (gx, gy), (ox, oy)) =
                    (gate!(0), gate!(1), gate!(2), gate!(3));
                // SAFETY: after all steps the memories.
                let kept = unsafe {
                    let kept = self.result.address().add(steps * size + at);
                    std::slice::from_raw_parts_mut(kept, width)
                };
                let mut memory = [0.0; COLUMNS];
                memory[..width].copy_from_slice(kept);
                for u in 0..COLUMNS {
                    let new = sigmoid::<BITS>(ix[u] + iy[u]) * tanh::<BITS>(gx[u] + gy[u]);
                    memory[u] = plus::<BITS>(sigmoid::<BITS>(fx[u] + fy[u]), memory[u], new);
                    state[u] = sigmoid::<BITS>(ox[u] + oy[u]) * tanh::<BITS>(memory[u]);
                }
                kept.copy_from_slice(&memory[..width]);
            }
            Cell::Gru => {
                let ((rx, ry), (zx, zy), (nx, ny)) = (gate!(0), gate!(1), gate!(2));
                let mut before = [0.0; COLUMNS];
                before[..width].copy_from_slice(&states[at..at + width]);
                for u in 0..COLUMNS {
                    let reset = sigmoid::<BITS>(rx[u] + ry[u]);
                    let new = tanh::<BITS>(plus::<BITS>(reset, ny[u], nx[u]));
                    let kept = sigmoid::<BITS>(zx[u] + zy[u]);
                    state[u] = plus::<BITS>(kept, before[u] - new, new);
                }
            }
            Cell::Tanh => {
                let (x, y) = gate!(0);
                for u in 0..COLUMNS {
                    state[u] = tanh::<BITS>(x[u] + y[u]);
                }
            }
            Cell::Relu => {
                let (x, y) = gate!(0);
                for u in 0..COLUMNS {
                    let sum = x[u] + y[u];
                    state[u] = if sum < 0.0 { 0.0 } else { sum };
                }
            }
        }
        to.copy_from_slice(&state[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::pack;

    /// By the definition, in double precision.
    struct Plain {
        cell: Cell,
        extents: Extents,
        weight: Vec<f32>,
        bias: Vec<f32>,
    }

    impl Plain {
        fn column(&self, gate: usize, unit: usize) -> usize {
            (unit / COLUMNS * self.cell.gates() + gate) * COLUMNS + unit % COLUMNS
        }

        fn states(&self, inputs: &[f32], state: &[f32], memory: &[f32], reverse: bool) -> Vec<f64> {
            let Extents {
                steps,
                batch,
                units,
            } = self.extents;
            let columns = self.extents.columns(self.cell).unwrap();
            let size = batch * units;
            let mut result = vec![0.0; self.extents.results(self.cell).unwrap()];
            let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (mut before, mut memory) = (wide(state), wide(memory));
            let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
            for turn in 0..steps {
                let step = if reverse { steps - 1 - turn } else { turn };
                let mut after = vec![0.0; size];
                for (row, unit) in (0..batch).flat_map(|row| (0..units).map(move |u| (row, u))) {
                    let gate = |gate: usize| {
                        let column = self.column(gate, unit);
                        let x = f64::from(inputs[(step * batch + row) * columns + column]);
                        let y: f64 = (0..units)
                            .map(|k| {
                                before[row * units + k] * f64::from(self.weight[column * units + k])
                            })
                            .sum();
                        (x, y + f64::from(self.bias[column]))
                    };
                    let sum = |(x, y): (f64, f64)| x + y;
                    let at = row * units + unit;
                    after[at] = match self.cell {
                        Cell::Lstm => {
                            memory[at] = sigma(sum(gate(1))) * memory[at]
                                + sigma(sum(gate(0))) * sum(gate(2)).tanh();
                            sigma(sum(gate(3))) * memory[at].tanh()
                        }
                        Cell::Gru => {
                            let (x, y) = gate(2);
                            let new = (x + sigma(sum(gate(0))) * y).tanh();
                            let kept = sigma(sum(gate(1)));
                            (1.0 - kept) * new + kept * before[at]
                        }
                        Cell::Tanh => sum(gate(0)).tanh(),
                        Cell::Relu => sum(gate(0)).max(0.0),
                    };
                }
                result[step * size..][..size].copy_from_slice(&after);
                before = after;
            }
            if self.cell.remembers() {
                result[steps * size..].copy_from_slice(&memory);
            }
            result
        }
    }

    #[test]
    fn states_of_every_cell_are_by_the_definition() {
        let mut draw = fastrand::Rng::with_seed(41);
        let sizes = [
            (1, 1, 1),
            (3, 1, 16),
            (2, 7, 5),
            (4, 2, 33),
            (2, 14, 80),
            (2, 1, 200),
            (0, 2, 4),
        ];
        let cells = ["lstm", "gru", "tanh", "relu"].map(|name| Cell::named(name).unwrap());
        for (cell, (steps, batch, units), reverse) in cells
            .into_iter()
            .flat_map(|cell| sizes.map(|sizes| (cell, sizes)))
            .flat_map(|(cell, sizes)| [false, true].map(|reverse| (cell, sizes, reverse)))
        {
            let extents = Extents {
                steps,
                batch,
                units,
            };
            let columns = extents.columns(cell).unwrap();
            let mut numbers =
                |count: usize| -> Vec<f32> { (0..count).map(|_| draw.f32() * 2.0 - 1.0).collect() };
            let inputs = numbers(steps * batch * columns);
            let (state, memory) = (numbers(batch * units), numbers(batch * units));
            let weight = numbers(columns * units);
            let plain = Plain {
                cell,
                extents,
                bias: numbers(columns),
                weight: weight.iter().map(|w| w / (units as f32).sqrt()).collect(),
            };
            let mut panels = vec![f32::NAN; packed_length(columns, units)];
            pack(&plain.weight, columns, units, &mut panels).unwrap();
            let recurrence = Recurrence {
                cell,
                inputs: &inputs,
                panels: &panels,
                bias: Some(&plain.bias),
                state: &state,
                memory: cell.remembers().then_some(&memory),
                extents,
                reverse,
            };
            let mut result = vec![f32::NAN; extents.results(cell).unwrap()];
            recurrence.apply(&mut result, 2).unwrap();
            let wanted = plain.states(&inputs, &state, &memory, reverse);
            for (at, (&got, &wanted)) in result.iter().zip(&wanted).enumerate() {
                let error = (f64::from(got) - wanted).abs();
                assert!(
                    error < 2e-6,
                    "{cell:?} {extents:?} {reverse} {at}: {got} {wanted}"
                );
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let extents = Extents {
            steps: 1,
            batch: 1,
            units: 2,
        };
        let zeros = [0.0; 128];
        let recurrence = Recurrence {
            cell: Cell::Lstm,
            inputs: &zeros[..64],
            panels: &zeros,
            bias: None,
            state: &zeros[..2],
            memory: None,
            extents,
            reverse: false,
        };
        let error = recurrence.apply(&mut [0.0; 4], 1).unwrap_err().to_string();
        assert!(error.contains("do not fit"), "{error}");
        let whole = Recurrence {
            memory: Some(&zeros[..2]),
            ..recurrence
        };
        assert!(whole.apply(&mut [0.0; 4], 1).is_ok());
        let error = Cell::named("elman").unwrap_err().to_string();
        assert!(error.contains("tanh"), "{error}");
    }
}
