//! The blocks of a step over rows, one after another.

use std::cell::RefCell;

use smallvec::SmallVec;

use super::Rows;
use super::interleaved::{self, PLACES};
use super::registers::{Home, Register, Shape};
use super::strided::Strided;
use crate::native::instruction::{Instruction, Reduction};
use crate::native::lanes::{self, Operand};
use crate::native::memory::Memory;
use crate::native::sums;
use crate::registers::Job;

/// A line of the caches, of numbers.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read and written by address")] [f32; 16]);

thread_local! {
    /// The registers of what this thread runs.
    static REGISTERS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Where a register lies for the block at hand, and elements from one row of it to the next.
#[derive(Clone, Copy)]
struct Source {
    at: *mut f32,
    step: usize,
}

impl Source {
    /// As rows that are summed.
    #[inline(always)]
    fn rows(self) -> sums::Operand {
        sums::Operand {
            at: self.at,
            step: self.step,
        }
    }
}

/// Some blocks of a step.
pub(super) struct Task<'a> {
    pub rows: &'a Rows,
    pub memory: &'a Memory,
    pub blocks: std::ops::Range<usize>,
}

/// Where a row of these registers begins.
///
/// # Safety
/// The registers have such a row.
#[inline(always)]
unsafe fn rows_of(
    sources: &[Source],
    registers: impl Iterator<Item = usize>,
    row: usize,
) -> SmallVec<[*mut f32; PLACES]> {
    let begins = registers.map(|register| {
        let Source { at, step } = sources[register];
        // SAFETY: as the caller vouches.
        unsafe { at.add(row * step) }
    });
    begins.collect()
}

impl Job for Task<'_> {
    #[inline(always)]
    fn run<const BITS: usize>(self) {
        // Taken and given back: a closure would be compiled for any processor.
        let mut lines = self::REGISTERS.take();
        let wanted = self.rows.slots.div_ceil(16);
        if lines.len() < wanted {
            lines.resize(wanted, Line([0.0; 16]));
        }
        // SAFETY: the program has checked that each view lies in its buffer, tasks are given blocks that no other task
        // has, and the memory of registers is as long as they need.
        unsafe { self.blocks::<BITS>(lines.as_mut_ptr().cast()) };
        self::REGISTERS.set(lines);
    }
}

impl Task<'_> {
    /// # Safety
    /// Views lie in the memory, nobody else writes where these blocks read or write, and `slots` is so long.
    #[inline(always)]
    unsafe fn blocks<const BITS: usize>(&self, slots: *mut f32) {
        let rows = self.rows;
        let (loads, block) = (&rows.loads, rows.block);
        let mut list: SmallVec<[Source; 24]> = SmallVec::with_capacity(rows.registers.len());
        for register in &rows.registers {
            let at = match register.home {
                // SAFETY: slots are inside that memory.
                Home::Slot(at) => unsafe { slots.add(at) },
                _ => slots,
            };
            let step = if register.shape == Shape::Full {
                block.columns
            } else {
                0
            };
            list.push(Source { at, step });
        }
        let sources = &mut list[..];
        for (at, instruction) in rows.code.iter().enumerate() {
            if let Instruction::Const(value) = *instruction {
                // SAFETY: a constant has a slot.
                unsafe { *sources[loads.len() + at].at = value };
            }
        }
        let across = rows.axes.columns.div_ceil(block.columns).max(1);
        let down = rows.axes.rows.div_ceil(block.rows).max(1);
        let ways = rows.loads.len() + rows.stores.len();
        let mut places: SmallVec<[usize; 16]> = SmallVec::from_elem(0, ways);
        let begins = &mut places[..];
        let mut at_outer = usize::MAX;
        for number in self.blocks.clone() {
            let (rest, column) = (number / across, number % across * block.columns);
            let (outer, row) = (rest / down, rest % down * block.rows);
            if outer != at_outer {
                at_outer = outer;
                rows.begin(outer, begins);
            }
            let count = block.rows.min(rows.axes.rows - row);
            let width = block.columns.min(rows.axes.columns - column);
            let place = |of: usize| {
                let access = rows.access(of);
                let begin = begins[of] + row * access.way.row + column * access.way.column;
                // SAFETY: the program has checked that the view lies in its buffer.
                unsafe { self.memory.at(access.way.buffer, begin, access.kind) }
            };
            for (register, Register { shape, home }) in rows.registers.iter().enumerate() {
                match *home {
                    Home::Load => {
                        let step = if *shape == Shape::Full {
                            loads[register].way.row
                        } else {
                            0
                        };
                        let at = place(register).cast();
                        sources[register] = Source { at, step };
                    }
                    Home::Store(store) => {
                        let step = rows.stores[store].way.row;
                        let at = place(loads.len() + store).cast();
                        sources[register] = Source { at, step };
                    }
                    Home::Slot(_) => {}
                }
            }
            let mut copied = 0;
            for at in 0..=rows.code.len() {
                while copied < rows.copied.len() && rows.copied[copied].0 == at {
                    let bundle = &rows.copied[copied].1[..];
                    copied += 1;
                    let load = bundle[0];
                    let Register { shape, .. } = rows.registers[load];
                    let way = &loads[load].way;
                    let (count, width) = extent(shape, count, width);
                    let column = if shape == Shape::PerRow {
                        way.row
                    } else {
                        way.column
                    };
                    let from = Strided {
                        at: place(load),
                        row: way.row,
                        column,
                    };
                    let Source { at, step } = sources[load];
                    let (count, width) = if bundle.len() > 1 && from.follow(step, width) {
                        (1, count * width)
                    } else {
                        (count, width)
                    };
                    // SAFETY: the views lie in their buffer, and the registers hold so many.
                    unsafe {
                        if bundle.len() == 1 {
                            from.read::<BITS>(loads[load].kind, at, step, count, width);
                            continue;
                        }
                        for row in 0..count {
                            for (part, first) in bundle.chunks(PLACES).zip((0..).step_by(PLACES)) {
                                let to = rows_of(sources, part.iter().copied(), row);
                                let from = from.line(row).add(first);
                                interleaved::read::<BITS>(from, column, &to, width);
                            }
                        }
                    }
                }
                if let Some(&instruction) = rows.code.get(at) {
                    let out = loads.len() + at;
                    // SAFETY: registers hold what their shapes say, and a result has a place of its own.
                    unsafe { self.execute::<BITS>(instruction, out, sources, count, width) };
                }
            }
            for bundle in &rows.written {
                let store = bundle[0];
                let to = &rows.stores[store];
                let to_place = Strided {
                    at: place(loads.len() + store),
                    row: to.way.row,
                    column: to.way.column,
                };
                let shape = rows.registers[to.register].shape;
                let Source { at, step } = sources[to.register];
                let (count, width) = if bundle.len() > 1 && to_place.follow(step, width) {
                    (1, count * width)
                } else {
                    (count, width)
                };
                // SAFETY: as above; of a number per row one is written where the view has one place.
                unsafe {
                    if bundle.len() == 1 {
                        to_place.write(to.kind, shape, at, step, count, width);
                        continue;
                    }
                    for row in 0..count {
                        for (part, first) in bundle.chunks(PLACES).zip((0..).step_by(PLACES)) {
                            let stored = part.iter().map(|&store| rows.stores[store].register);
                            let from = rows_of(sources, stored, row);
                            let to = to_place.line(row).add(first);
                            interleaved::write::<BITS>(to, to_place.column, &from, width);
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// Sources are of the registers' shapes for a block of so many rows and columns, and no operand lies where the
    /// result does.
    #[inline(always)]
    unsafe fn execute<const BITS: usize>(
        &self,
        instruction: Instruction,
        out: usize,
        sources: &[Source],
        count: usize,
        width: usize,
    ) {
        if let Instruction::Const(_) = instruction {
            return;
        }
        let registers = &self.rows.registers;
        let shape = registers[out].shape;
        if shape == Shape::PerRow && width <= sums::LONGEST {
            let operands = match instruction {
                Instruction::Reduce(Reduction::Sum, a) => Some((a, None)),
                Instruction::Dot(a, b) => Some((a, Some(b))),
                _ => None,
            };
            if let Some((a, b)) = operands
                && is_wide(registers[a].shape)
                && b.is_none_or(|b| is_wide(registers[b].shape))
            {
                let to = sources[out].at;
                let (a, b) = (sources[a].rows(), b.map(|b| sources[b].rows()));
                // SAFETY: as the caller vouches.
                if unsafe { sums::of_short_rows::<BITS>(a, b, to, count, width) } == count {
                    return;
                }
            }
        }
        if let Instruction::Reduce(of, a) = instruction {
            let (a, own) = (sources[a], registers[a].shape);
            let rows = if shape == Shape::PerRow { count } else { 1 };
            for row in 0..rows {
                // SAFETY: as the caller vouches.
                unsafe {
                    let to = sources[out].at.add(row);
                    *to = match own {
                        Shape::Full | Shape::PerColumn => {
                            let row = std::slice::from_raw_parts(a.at.add(row * a.step), width);
                            lanes::reduce::<BITS>(of, row)
                        }
                        Shape::PerRow => {
                            lanes::repeated(of, *a.at.add(row), self.rows.axes.columns)
                        }
                        Shape::Single => lanes::repeated(of, *a.at, self.rows.axes.columns),
                    };
                }
            }
            return;
        }
        if let Instruction::Dot(a, b) = instruction {
            let rows = if shape == Shape::PerRow { count } else { 1 };
            for row in 0..rows {
                // SAFETY: as the caller vouches; what is multiplied has a number for each column.
                unsafe {
                    let of = |register: usize| {
                        let Source { at, step } = sources[register];
                        std::slice::from_raw_parts(at.add(row * step), width)
                    };
                    *sources[out].at.add(row) = lanes::dot::<BITS>(of(a), of(b));
                }
            }
            return;
        }
        if let Instruction::SquaresAbout(a, centre) = instruction {
            let rows = if shape == Shape::PerRow { count } else { 1 };
            let several = registers[centre].shape == Shape::PerRow;
            for row in 0..rows {
                let Source { at, step } = sources[a];
                // SAFETY: as the caller vouches; the centre is one number for the row.
                unsafe {
                    let x = std::slice::from_raw_parts(at.add(row * step), width);
                    let centre = *sources[centre].at.add(if several { row } else { 0 });
                    *sources[out].at.add(row) = lanes::squares_about::<BITS>(x, centre);
                }
            }
            return;
        }
        let (mut rows, mut columns) = extent(shape, count, width);
        let out = sources[out];
        // Rows that lie one after another, in all operands, are one.
        let mut together = rows > 1 && out.step == width;
        for operand in instruction.operands() {
            together &= match registers[operand].shape {
                Shape::Single => true,
                Shape::Full => sources[operand].step == width,
                _ => false,
            };
        }
        if together {
            (rows, columns) = (1, rows * columns);
        }
        for row in 0..rows {
            // SAFETY: as the caller vouches.
            unsafe {
                let operand = |register: usize| {
                    let source = sources[register];
                    let own = registers[register].shape;
                    if own == shape && shape != Shape::Single {
                        let at = source.at.add(row * source.step);
                        return Operand::Each(std::slice::from_raw_parts(at, columns));
                    }
                    match own {
                        Shape::PerColumn => {
                            Operand::Each(std::slice::from_raw_parts(source.at, columns))
                        }
                        Shape::PerRow => Operand::All(*source.at.add(row)),
                        _ => Operand::All(*source.at),
                    }
                };
                let to = std::slice::from_raw_parts_mut(out.at.add(row * out.step), columns);
                match instruction {
                    Instruction::Unary(of, a) => match operand(a) {
                        Operand::Each(a) => lanes::unary::<BITS>(of, a, to),
                        Operand::All(a) => lanes::unary::<BITS>(of, &[a], to),
                    },
                    Instruction::Clamp(a, low, high) => match operand(a) {
                        Operand::Each(a) => lanes::clamp(a, low, high, to),
                        Operand::All(a) => lanes::clamp(&[a], low, high, to),
                    },
                    Instruction::Binary(of, a, b) => {
                        lanes::binary::<BITS>(of, operand(a), operand(b), to);
                    }
                    Instruction::Where(c, a, b) => {
                        lanes::choose(operand(c), operand(a), operand(b), to);
                    }
                    Instruction::MultiplyAdd(a, b, c) => {
                        let (a, b, c) = (operand(a), operand(b), operand(c));
                        lanes::multiply_add::<BITS>(a, b, c, to);
                    }
                    Instruction::Standardize(a, b, c) => {
                        if let (Operand::Each(a), Operand::All(b), Operand::All(c)) =
                            (operand(a), operand(b), operand(c))
                        {
                            lanes::standardize(a, b, c, to);
                        }
                    }
                    Instruction::ExpAbout(a, b) => {
                        if let (Operand::Each(a), Operand::All(b)) = (operand(a), operand(b)) {
                            lanes::exp_about::<BITS>(a, b, to);
                        }
                    }
                    Instruction::Const(_)
                    | Instruction::Reduce(..)
                    | Instruction::Dot(..)
                    | Instruction::SquaresAbout(..) => {}
                }
            }
        }
    }
}

/// Whether a register of this shape has a number for each column.
#[inline(always)]
fn is_wide(shape: Shape) -> bool {
    matches!(shape, Shape::Full | Shape::PerColumn)
}

/// How many rows of how many elements a register of this shape has in a block. A number per row is one row of them.
#[inline(always)]
fn extent(shape: Shape, count: usize, width: usize) -> (usize, usize) {
    match shape {
        Shape::Single => (1, 1),
        Shape::PerRow => (1, count),
        Shape::PerColumn => (1, width),
        Shape::Full => (count, width),
    }
}
