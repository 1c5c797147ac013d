//! The step "rows": a straight program over the elements of rows, with reductions along them.
//!
//! It runs block by block: each instruction goes over some rows, or a part of one, that stay in the first cache until
//! the next instruction reads them. Nothing lies between instructions but the choice of a loop.

mod axes;
mod block;
mod interleaved;
mod registers;
mod strided;

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::buffer::{Buffer, Kind};
use super::instruction::{Binary, Instruction, Unary, fuse, fuse_differences};
use super::memory::Memory;
use super::step::{Making, Step};
use super::sums;
use super::view::{Region, View, count};
use crate::error::{Error, Result};
use crate::registers::dispatch;
use crate::team;
use axes::{Axes, Way};
use block::Task;
use registers::{Allotment, Block, Home, Register, allot};

/// Picoseconds for which another thread is called.
const WORTH_A_THREAD: usize = 4_000_000;
/// So many tasks for each thread: one may begin late.
const TASKS: usize = 2;
/// Picoseconds that an element takes to be loaded or stored.
const ACCESS: usize = 100;

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    outer: Vec<usize>,
    row: usize,
    loads: Vec<View>,
    code: Vec<Vec<Value>>,
    stores: Vec<StoreText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreText {
    register: usize,
    view: View,
}

/// What is loaded or stored, along the loops.
#[derive(Debug)]
struct Access {
    way: Way,
    kind: Kind,
    /// The register that it goes to or comes from.
    register: usize,
}

/// A step, ready to run.
#[derive(Debug)]
pub(super) struct Rows {
    reads: Vec<Region>,
    writes: Vec<Region>,
    axes: Axes,
    block: Block,
    loads: Vec<Access>,
    code: Vec<Instruction>,
    stores: Vec<Access>,
    registers: Vec<Register>,
    /// Elements of memory that registers take.
    slots: usize,
    /// Loads that are copied to their registers, by the instruction that is the first to read one of them; and stores
    /// that are copied from theirs: each with those that are interleaved with it.
    copied: Vec<(usize, Vec<usize>)>,
    written: Vec<Vec<usize>>,
    blocks: usize,
    work: usize,
}

impl Text {
    /// The step, if all that it says fits.
    pub fn checked(self, making: &mut Making<'_>) -> Result<Rows> {
        let buffers = &making.buffers[..];
        let mut sizes = self.outer;
        sizes.push(self.row);
        count(&sizes)?;
        let kinds = [Kind::Float32, Kind::Bool];
        let mut reads = Vec::with_capacity(self.loads.len());
        for (i, load) in self.loads.into_iter().enumerate() {
            reads.push(load.over(&sizes, &kinds, &format!("load {i}"), buffers)?);
        }
        let mut code: Vec<Instruction> = Vec::with_capacity(self.code.len());
        for words in &self.code {
            let instruction = Instruction::of(words, reads.len() + code.len())?;
            code.push(quick_power(instruction, &code, reads.len()));
        }
        let single = per_row(&reads, &code);
        let mut writes = Vec::with_capacity(self.stores.len());
        let mut stored = Vec::with_capacity(self.stores.len());
        for (i, StoreText { register, view }) in self.stores.into_iter().enumerate() {
            let what = format!("store {i}");
            let region = view.over(&sizes, &kinds, &what, buffers)?;
            let Some(&one) = single.get(register) else {
                return Err(Error::new(format!(
                    "{what}: there is no register {register}, of {}",
                    single.len()
                )));
            };
            let mut places = region.clone();
            if let (Some(size), Some(0)) = (places.sizes.last_mut(), region.view.strides.last()) {
                if *size > 1 && !one {
                    return Err(Error::new(format!(
                        "{what}: register {register} is not a number per row, and the row has one place"
                    )));
                }
                *size = (*size).min(1);
            }
            if !places.is_injective() {
                return Err(Error::new(format!(
                    "{what}: strides {:?} over sizes {sizes:?} put two elements in one place",
                    region.view.strides
                )));
            }
            writes.push(region);
            stored.push(register);
        }
        if writes.is_empty() {
            return Err(Error::new("rows: nothing is stored"));
        }
        let code = fuse(code, reads.len(), &single, &mut stored);
        // Short rows, and such as are walked through in another order, are taken several at a time.
        let reduces = code.iter().any(|one| one.reduces());
        let code = if reduces && self.row > sums::LONGEST {
            let single = per_row(&reads, &code);
            fuse_differences(code, reads.len(), &single, &mut stored)
        } else {
            code
        };
        Ok(Rows::new(reads, code, writes, &stored, buffers))
    }
}

/// A power whose exponent is one of those that torch takes a quicker way for.
fn quick_power(instruction: Instruction, before: &[Instruction], loads: usize) -> Instruction {
    let Instruction::Binary(Binary::Pow, base, exponent) = instruction else {
        return instruction;
    };
    let exponent = exponent.checked_sub(loads).map(|at| before[at]);
    let Some(Instruction::Const(exponent)) = exponent else {
        return instruction;
    };
    let quick = [
        (2.0, Unary::Square),
        (3.0, Unary::Cube),
        (0.5, Unary::Sqrt),
        (-0.5, Unary::Rsqrt),
        (-1.0, Unary::Reciprocal),
        (-2.0, Unary::ReciprocalOfSquare),
    ];
    let found = quick.into_iter().find(|&(of, _)| of == exponent);
    found.map_or(instruction, |(_, unary)| Instruction::Unary(unary, base))
}

/// For each register whether it holds one number for a whole row.
fn per_row(reads: &[Region], code: &[Instruction]) -> Vec<bool> {
    let single =
        |read: &Region| read.view.strides.last() == Some(&0) || read.sizes.last() == Some(&1);
    let mut registers: Vec<bool> = reads.iter().map(single).collect();
    for instruction in code {
        let reduced = instruction.reduces();
        registers.push(reduced || instruction.operands().all(|operand| registers[operand]));
    }
    registers
}

impl Rows {
    /// A step that copies a region to another of the same sizes.
    pub fn copy(from: Region, to: Region, buffers: &[Buffer]) -> Self {
        Self::new(vec![from], Vec::new(), vec![to], &[0], buffers)
    }

    fn new(
        reads: Vec<Region>,
        code: Vec<Instruction>,
        writes: Vec<Region>,
        stored: &[usize],
        buffers: &[Buffer],
    ) -> Self {
        let reduces = code.iter().any(|one| one.reduces());
        let folded = |write: &Region| {
            write.view.strides.last() == Some(&0)
                && write.sizes.last().is_some_and(|&size| size > 1)
        };
        let kept = reduces || writes.iter().any(folded);
        let regions: Vec<&Region> = writes.iter().chain(&reads).collect();
        let (axes, mut ways) = Axes::of(&regions, kept);
        let load_ways = ways.split_off(writes.len());
        let access = |(way, register): (Way, usize)| {
            let kind = buffers[way.buffer].kind;
            Access {
                way,
                kind,
                register,
            }
        };
        let loads: Vec<Access> = load_ways.into_iter().zip(0..).map(access).collect();
        let stores: Vec<Access> = ways
            .into_iter()
            .zip(stored.iter().copied())
            .map(access)
            .collect();
        let in_place = |a: &[Region], buffer: usize| a.iter().any(|one| one.view.buffer == buffer);
        let described = |list: &[Access], others: &[Region]| -> Vec<bool> {
            list.iter()
                .map(|one| in_place(others, one.way.buffer))
                .collect()
        };
        let flags = (described(&loads, &writes), described(&stores, &reads));
        fn views<'a>(list: &'a [Access], in_place: &[bool]) -> Vec<registers::Access<'a>> {
            let pairs = list.iter().zip(in_place);
            pairs
                .map(|(one, &in_place)| registers::Access {
                    way: &one.way,
                    kind: one.kind,
                    register: one.register,
                    in_place,
                })
                .collect()
        }
        let (load_views, store_views) = (views(&loads, &flags.0), views(&stores, &flags.1));
        // How large a block may be depends on its registers, and these on whether it has several rows.
        let full = |block: Block,
                    Allotment {
                        registers, slots, ..
                    }: &Allotment| {
            let all = registers
                .iter()
                .filter(|one| one.shape == registers::Shape::Full)
                .count();
            let own = slots / (block.rows * block.columns).max(1);
            let slotted = registers
                .iter()
                .filter(|one| matches!(one.home, Home::Slot(_)))
                .count();
            all - slotted.min(all) + own.min(slotted)
        };
        let bundles = interleaved::bundles(0..loads.len(), &loads);
        let mut block = Block {
            rows: 1,
            columns: axes.columns,
        };
        let mut allotted = allot(&load_views, &bundles, &code, &store_views, block);
        for _ in 0..2 {
            block = Block::of(&axes, full(block, &allotted), reduces);
            allotted = allot(&load_views, &bundles, &code, &store_views, block);
            if block.rows == 1 {
                break;
            }
        }
        let Allotment {
            registers,
            slots,
            first,
        } = allotted;
        let mut copied: Vec<(usize, Vec<usize>)> = Vec::new();
        for bundle in bundles {
            let before = first[bundle[0]] - loads.len();
            let apart = interleaved::of_one_shape(bundle, &loads, &registers);
            // What is read where it lies is no part of a longer bundle: its elements lie together.
            let slotted = apart.into_iter();
            let slotted = slotted.filter(|one| registers[one[0]].home != Home::Load);
            copied.extend(slotted.map(|one| (before, one)));
        }
        copied.sort_unstable();
        let written = (0..stores.len())
            .filter(|&store| registers[stores[store].register].home != Home::Store(store));
        let written = interleaved::bundles(written, &stores)
            .into_iter()
            .flat_map(|bundle| interleaved::of_one_shape(bundle, &stores, &registers))
            .collect();
        let outer: usize = axes.outer.iter().product();
        let blocks = outer
            * axes.rows.div_ceil(block.rows.max(1))
            * axes.columns.div_ceil(block.columns.max(1));
        let per_element = code
            .iter()
            .zip(&registers[loads.len()..])
            .filter(|(_, register)| register.shape != registers::Shape::Single)
            .map(|(one, _)| one.cost())
            .sum::<usize>()
            + (loads.len() + stores.len()) * ACCESS;
        let work = (outer * axes.rows * axes.columns).saturating_mul(per_element);
        let empty = reads.iter().chain(&writes).any(Region::is_empty);
        Self {
            block,
            loads,
            code,
            stores,
            registers,
            slots,
            copied,
            written,
            blocks: if empty { 0 } else { blocks },
            work,
            axes,
            reads,
            writes,
        }
    }

    /// Loads first, then stores.
    #[inline(always)]
    fn access(&self, number: usize) -> &Access {
        match number.checked_sub(self.loads.len()) {
            Some(store) => &self.stores[store],
            None => &self.loads[number],
        }
    }

    /// Writes where each load and store begins in this turn of the outer loops.
    fn begin(&self, outer: usize, begins: &mut [usize]) {
        for (number, begin) in begins.iter_mut().enumerate() {
            let way = &self.access(number).way;
            let (mut rest, mut at) = (outer, way.offset);
            for (&size, &stride) in self.axes.outer.iter().zip(&way.outer).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            *begin = at;
        }
    }
}

impl Step for Rows {
    fn kind(&self) -> &'static str {
        "rows"
    }

    fn reads(&self) -> &[Region] {
        &self.reads
    }

    fn writes(&self) -> &[Region] {
        &self.writes
    }

    fn in_place(&self) -> bool {
        true
    }

    fn work(&self) -> usize {
        self.work
    }

    fn run(&self, memory: &Memory, threads: usize) -> Result<()> {
        if self.blocks == 0 {
            return Ok(());
        }
        let threads = threads.min(self.work / WORTH_A_THREAD).max(1);
        let tasks = if threads == 1 {
            1
        } else {
            (threads * TASKS).min(self.blocks)
        };
        let share = self.blocks.div_ceil(tasks);
        team::each(self.blocks.div_ceil(share), threads, |task| {
            dispatch(Task {
                rows: self,
                memory,
                blocks: task * share..self.blocks.min((task + 1) * share),
            });
        });
        Ok(())
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .code
            .iter()
            .filter(|one| !matches!(one, Instruction::Const(_)))
            .map(|one| one.name())
            .collect();
        let what = if names.is_empty() {
            "copy".to_string()
        } else {
            names.join(" ")
        };
        let sizes = self.writes[0]
            .sizes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        write!(f, "rows {} {what}", sizes.join("×"))?;
        write!(f, ", blocks of {}×{}", self.block.rows, self.block.columns)
    }
}
