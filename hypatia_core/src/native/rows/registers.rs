//! Where the registers of a step over rows are kept.

use super::axes::{Axes, Way};
use crate::native::buffer::Kind;
use crate::native::instruction::Instruction;

/// What a register holds of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One number.
    Single,
    /// A number for each row.
    PerRow,
    /// A number for each column.
    PerColumn,
    /// A number for each place.
    Full,
}

impl Shape {
    /// What holds all that either depends on.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Single, shape) | (shape, Self::Single) => shape,
            (a, b) if a == b => a,
            _ => Self::Full,
        }
    }

    /// Of a view, in blocks of more than one row or of one. What is the same for several rows that are short is spread
    /// over them, so that they are one, unless what `reduces` alone reads it, row by row.
    fn of(way: &Way, block: Block, reduces: bool) -> Self {
        let several = block.rows > 1;
        let short = several && block.columns < SHORT;
        if short && (way.row > 0 || (way.column > 0 && !reduces)) {
            return Self::Full;
        }
        match (way.column > 0, several && way.row > 0) {
            (false, false) => Self::Single,
            (false, true) => Self::PerRow,
            (true, false) if several => Self::PerColumn,
            (true, _) => Self::Full,
        }
    }

    /// Of an instruction, from those of the registers before it.
    fn after(instruction: Instruction, shapes: &[Self], several: bool) -> Self {
        let joined = instruction
            .operands()
            .fold(Self::Single, |shape, operand| shape.join(shapes[operand]));
        match (instruction.reduces(), joined) {
            (true, Self::Full) if several => Self::PerRow,
            (true, Self::Full | Self::PerColumn) => Self::Single,
            _ => joined,
        }
    }
}

/// Where a register is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Where its view is loaded from.
    Load,
    /// Where this store writes it.
    Store(usize),
    /// In memory of its own, from this element on.
    Slot(usize),
}

/// A register: what it holds, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Register {
    pub shape: Shape,
    pub home: Home,
}

/// Rows and columns of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub rows: usize,
    pub columns: usize,
}

/// Elements of all registers of a block that stay in the first cache together.
const ELEMENTS: usize = 5120;
/// A block has no more elements: its last one would wait for the first.
const LARGEST: usize = 2048;
/// A block has at least so many, or the instructions would take longer than what they do.
const SMALLEST: usize = 256;
/// Rows of fewer elements are short: going to the next takes as long as the row.
const SHORT: usize = 64;
/// Slots begin so many elements apart from where all would begin at the same place of a page.
const APART: usize = 32;

impl Block {
    /// For so many registers; with `whole` rows are not divided.
    pub fn of(axes: &Axes, registers: usize, whole: bool) -> Self {
        let room = (ELEMENTS / registers.max(1)).clamp(SMALLEST, LARGEST);
        let columns = if whole || axes.columns <= room {
            axes.columns
        } else {
            axes.columns
                .div_ceil(axes.columns.div_ceil(room))
                .next_multiple_of(16)
        };
        let rows = if columns < axes.columns {
            1
        } else {
            (room / columns.max(1)).clamp(1, axes.rows.max(1))
        };
        Self { rows, columns }
    }

    fn elements(self, shape: Shape) -> usize {
        match shape {
            Shape::Single => 1,
            Shape::PerRow => self.rows,
            Shape::PerColumn => self.columns,
            Shape::Full => self.rows * self.columns,
        }
    }
}

/// What a register is loaded from or stored to.
pub(super) struct Access<'a> {
    pub way: &'a Way,
    pub kind: Kind,
    /// The register that is stored.
    pub register: usize,
    /// Whether memory that is read is written.
    pub in_place: bool,
}

/// Whether a register is read by what reduces rows, and by nothing else.
fn only_reduced(register: usize, code: &[Instruction], stores: &[Access<'_>]) -> bool {
    let by_others = |one: &Instruction| !one.reduces() && one.operands().any(|of| of == register);
    !code.iter().any(by_others) && stores.iter().all(|store| store.register != register)
}

/// Where a block's registers are.
pub(super) struct Allotment {
    pub registers: Vec<Register>,
    /// How many elements of memory their slots take.
    pub slots: usize,
    /// The register that is made by the first instruction that reads a register, or one of its bundle: before it a load
    /// that has a slot is to be copied there.
    pub first: Vec<usize>,
}

/// The registers for blocks like this.
pub(super) fn allot(
    loads: &[Access<'_>],
    bundles: &[Vec<usize>],
    code: &[Instruction],
    stores: &[Access<'_>],
    block: Block,
) -> Allotment {
    let several = block.rows > 1;
    let count = loads.len() + code.len();
    let mut shapes: Vec<Shape> = loads
        .iter()
        .zip(0..)
        .map(|(load, register)| Shape::of(load.way, block, only_reduced(register, code, stores)))
        .collect();
    for &instruction in code {
        shapes.push(Shape::after(instruction, &shapes, several));
    }
    let (mut first, mut last) = (vec![count; count], (0..count).collect::<Vec<_>>());
    for (at, instruction) in code.iter().enumerate() {
        for operand in instruction.operands() {
            first[operand] = first[operand].min(loads.len() + at);
            last[operand] = loads.len() + at;
        }
    }
    for store in stores {
        last[store.register] = count;
    }
    for bundle in bundles {
        let earliest = bundle.iter().map(|&load| first[load]).min();
        bundle
            .iter()
            .for_each(|&load| first[load] = earliest.unwrap_or(count));
    }
    let mut homes: Vec<Option<Home>> = vec![None; count];
    for (register, load) in loads.iter().enumerate() {
        let stored = stores.iter().any(|store| store.register == register);
        let dense = match shapes[register] {
            Shape::Single => true,
            Shape::PerRow => load.way.row == 1,
            Shape::PerColumn => load.way.column == 1,
            Shape::Full => load.way.column == 1 && (load.way.row > 0 || !several),
        };
        if load.kind == Kind::Float32 && dense && !(load.in_place && stored) {
            homes[register] = Some(Home::Load);
        }
    }
    for (number, store) in stores.iter().enumerate() {
        let direct = store.kind == Kind::Float32
            && store.way.column == 1
            && shapes[store.register] == Shape::Full
            && !store.in_place;
        if direct && homes[store.register].is_none() {
            homes[store.register] = Some(Home::Store(number));
        }
    }
    // A constant is written once, before the first block.
    let constant = |register: usize| {
        let at = register.checked_sub(loads.len());
        at.is_some_and(|at| matches!(code[at], Instruction::Const(_)))
    };
    // A load is copied when it is first read, so that its slot may have been another register's; then comes the result.
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&register| {
        let copied = register < loads.len();
        (if copied { first[register] } else { register }, !copied)
    });
    // Slots of registers that nobody reads any more, by what they hold.
    let mut free: Vec<(Shape, usize)> = Vec::new();
    let mut memory = 0;
    for register in order {
        if homes[register].is_none() {
            let shape = shapes[register];
            let found = free
                .iter()
                .position(|&(of, _)| of == shape && !constant(register));
            let at = found.map_or(memory, |found| free.swap_remove(found).1);
            if found.is_none() {
                let elements = block.elements(shape);
                memory += elements.next_multiple_of(16) + if elements > 64 { APART } else { 0 };
            }
            homes[register] = Some(Home::Slot(at));
        }
        // After the instruction, so that its result does not lie where its operands do.
        for operand in (0..=register).filter(|_| register >= loads.len()) {
            if let Some(Home::Slot(at)) = homes[operand]
                && last[operand] == register
                && !constant(operand)
            {
                free.push((shapes[operand], at));
            }
        }
    }
    let registers = shapes.iter().zip(homes).map(|(&shape, home)| Register {
        shape,
        home: home.unwrap_or(Home::Load),
    });
    Allotment {
        registers: registers.collect(),
        slots: memory,
        first,
    }
}
