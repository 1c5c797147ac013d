//! Evaluation over columns of doubles: blocks of points pass through the program's instructions, so that what is
//! between stays in the cache and the loops become vector instructions. Undefined points are NaN.

use super::evaluate::{
    Binary, Instruction, Program, call2, cube_root, defined_call, defined_power,
};
use super::function::Function;
use super::vector_math;

/// Points that are evaluated together.
const BLOCK: usize = 512;
/// Points that are worth a thread of their own.
const POINTS_A_THREAD: usize = 65_536;
/// Whole exponents up to which a power is computed by products.
const LARGEST_PRODUCT: f64 = 64.0;

/// The values of one variable: one for each point, or one that is repeated.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    Each(&'a [f64]),
    One(f64),
}

/// Where each instruction's result is kept: registers are used again once nothing reads them any more.
struct Places {
    of: Vec<usize>,
    count: usize,
}

impl Places {
    fn new(instructions: &[Instruction]) -> Self {
        let mut last_use: Vec<usize> = (0..instructions.len()).collect();
        for (index, instruction) in instructions.iter().enumerate() {
            for operand in instruction.operands() {
                last_use[operand] = index;
            }
        }
        let (mut of, mut free, mut count) = (Vec::new(), Vec::new(), 0);
        for (index, instruction) in instructions.iter().enumerate() {
            // The result's place is taken before the operands' are given back: they are never the same. Constants
            // are filled in once for all blocks and keep a place of their own.
            let constant = matches!(instruction, Instruction::Constant(_));
            let reused = if constant { None } else { free.pop() };
            of.push(reused.unwrap_or(count));
            count += usize::from(reused.is_none());
            let mut ended: Vec<usize> = instruction
                .operands()
                .filter(|operand| last_use[*operand] == index)
                .filter(|operand| !matches!(instructions[*operand], Instruction::Constant(_)))
                .collect();
            ended.dedup();
            free.extend(ended.into_iter().map(|operand| of[operand]));
        }
        Self { of, count }
    }
}

impl Program {
    /// The values at many points, one column a variable in the order of `names()`; NaN where the expression is not
    /// defined.
    ///
    /// A column has as many values as the result. Long columns are shared out among threads.
    pub fn run_columns(&self, columns: &[Column<'_>], result: &mut [f64]) {
        let points = result.len();
        let threads = threads().min(points / POINTS_A_THREAD).max(1);
        let part = points.div_ceil(threads).next_multiple_of(BLOCK).max(BLOCK);
        let places = Places::new(self.instructions());
        std::thread::scope(|scope| {
            for (index, piece) in result.chunks_mut(part).enumerate() {
                let start = index * part;
                let columns: Vec<Column<'_>> = columns
                    .iter()
                    .map(|column| match column {
                        Column::Each(values) => Column::Each(&values[start..start + piece.len()]),
                        one => *one,
                    })
                    .collect();
                let places = &places;
                let mut work = move || self.run_piece(places, &columns, piece);
                if threads == 1 {
                    work();
                } else {
                    scope.spawn(work);
                }
            }
        });
    }

    fn run_piece(&self, places: &Places, columns: &[Column<'_>], result: &mut [f64]) {
        let mut registers = vec![vec![0.0; BLOCK]; places.count];
        for (instruction, place) in self.instructions().iter().zip(&places.of) {
            if let Instruction::Constant(value) = instruction {
                registers[*place].fill(*value);
            }
        }
        let Some(last) = places.of.last() else {
            return;
        };
        for (number, block) in result.chunks_mut(BLOCK).enumerate() {
            let start = number * BLOCK;
            for (index, instruction) in self.instructions().iter().enumerate() {
                if matches!(instruction, Instruction::Constant(_)) {
                    continue;
                }
                let place = places.of[index];
                let mut out = std::mem::take(&mut registers[place]);
                let of = |operand: usize| &registers[places.of[operand]][..block.len()];
                match *instruction {
                    Instruction::Load(column) => match columns[column] {
                        Column::Each(values) => {
                            out[..block.len()].copy_from_slice(&values[start..start + block.len()]);
                        }
                        Column::One(value) => out.fill(value),
                    },
                    other => apply(other, &mut out[..block.len()], of),
                }
                registers[place] = out;
            }
            block.copy_from_slice(&registers[*last][..block.len()]);
        }
    }
}

/// Threads to share work among: as many as there are processors, or fewer where `OMP_NUM_THREADS` says so.
fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = std::env::var("OMP_NUM_THREADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(processors);
    processors.min(wanted).clamp(1, 16)
}

/// One instruction over a block; `of` gives the block of an operand.
fn apply<'a>(instruction: Instruction, out: &mut [f64], of: impl Fn(usize) -> &'a [f64]) {
    match instruction {
        Instruction::Constant(value) => out.fill(value),
        Instruction::Load(_) => {}
        Instruction::Neg(a) => map(out, of(a), |x| -x),
        Instruction::CubeRoot(a) => map(out, of(a), cube_root),
        Instruction::Binary(operation, a, b) => binary(operation, out, of(a), of(b)),
        Instruction::Call(function, a) => call(function, out, of(a)),
        Instruction::Call2(function, a, b) => map2(out, of(a), of(b), |a, b| call2(function, a, b)),
    }
}

fn map(out: &mut [f64], input: &[f64], operation: impl Fn(f64) -> f64) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = operation(*input);
    }
}

fn map2(out: &mut [f64], left: &[f64], right: &[f64], operation: impl Fn(f64, f64) -> f64) {
    for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
        *out = operation(*a, *b);
    }
}

fn binary(operation: Binary, out: &mut [f64], left: &[f64], right: &[f64]) {
    match operation {
        Binary::Add => map2(out, left, right, |a, b| a + b),
        Binary::Sub => map2(out, left, right, |a, b| a - b),
        Binary::Mul => map2(out, left, right, |a, b| a * b),
        Binary::Div => map2(
            out,
            left,
            right,
            |a, b| if b == 0.0 { f64::NAN } else { a / b },
        ),
        Binary::Pow => match right.first() {
            Some(&n)
                if n.fract() == 0.0
                    && (0.0..=LARGEST_PRODUCT).contains(&n)
                    && right.iter().all(|b| *b == n) =>
            {
                whole_power(out, left, n as u32);
            }
            _ => map2(out, left, right, defined_power),
        },
    }
}

/// Powers by repeated squaring, the whole block at each step.
fn whole_power(out: &mut [f64], base: &[f64], mut exponent: u32) {
    if exponent == 2 {
        return map(out, base, |x| x * x);
    }
    out.fill(1.0);
    let mut square = [0.0; BLOCK];
    let square = &mut square[..base.len()];
    square.copy_from_slice(base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            for (out, factor) in out.iter_mut().zip(&*square) {
                *out *= factor;
            }
        }
        exponent >>= 1;
        if exponent > 0 {
            for factor in &mut *square {
                *factor *= *factor;
            }
        }
    }
}

fn call(function: Function, out: &mut [f64], input: &[f64]) {
    match function {
        Function::Exp => vector_math::exp(out, input),
        Function::Sin => vector_math::sin(out, input),
        Function::Cos => vector_math::cos(out, input),
        Function::Sigmoid => vector_math::sigmoid(out, input),
        Function::Silu => {
            vector_math::sigmoid(out, input);
            for (out, x) in out.iter_mut().zip(input) {
                *out *= x;
            }
        }
        Function::Log => {
            vector_math::log(out, input);
            for (out, x) in out.iter_mut().zip(input) {
                *out = if *x > 0.0 { *out } else { f64::NAN };
            }
        }
        Function::Abs => map(out, input, f64::abs),
        Function::Sqrt => map(out, input, f64::sqrt),
        Function::Relu => map(out, input, |x| if x > 0.0 || x.is_nan() { x } else { 0.0 }),
        _ => map(out, input, |x| defined_call(function, x)),
    }
}
