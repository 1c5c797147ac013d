//! Evaluation in double precision: an expression becomes a program over registers, shared parts once.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive};
use rustc_hash::FxHashMap;

use super::expression::{Expression, Operator};
use super::function::Function;
use crate::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Instruction {
    Constant(f64),
    Load(usize),
    Binary(Binary, usize, usize),
    Neg(usize),
    /// The power 1/3, which no double holds exactly.
    CubeRoot(usize),
    Call(Function, usize),
    Call2(Function, usize, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
}

/// An expression made ready for evaluation.
#[derive(Debug, Clone)]
pub struct Program {
    instructions: Vec<Instruction>,
    names: Vec<String>,
}

impl Program {
    /// The program of an expression; its variables are loaded in the order of their names.
    ///
    /// # Errors
    /// When a tensor operator occurs: it has no scalar value.
    pub fn new(expression: &Expression) -> Result<Self> {
        let names: Vec<String> = expression
            .variables()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut known: FxHashMap<Expression, usize> = FxHashMap::default();
        let mut instructions = Vec::new();
        for node in expression.post_order() {
            if known.contains_key(&node) {
                continue;
            }
            let at = |index: usize| known[&node.arguments()[index]];
            let instruction = match node.operator() {
                Operator::Rational(value) => {
                    Instruction::Constant(value.to_f64().unwrap_or(f64::NAN))
                }
                Operator::Float(bits) => Instruction::Constant(f64::from_bits(*bits)),
                Operator::Pi => Instruction::Constant(std::f64::consts::PI),
                Operator::Variable(name) => Instruction::Load(
                    names
                        .binary_search_by(|known| (**known).cmp(name))
                        .unwrap_or(usize::MAX),
                ),
                Operator::Add => Instruction::Binary(Binary::Add, at(0), at(1)),
                Operator::Sub => Instruction::Binary(Binary::Sub, at(0), at(1)),
                Operator::Mul => Instruction::Binary(Binary::Mul, at(0), at(1)),
                Operator::Div => Instruction::Binary(Binary::Div, at(0), at(1)),
                Operator::Pow if is_third(node.arguments()[1].as_rational()) => {
                    Instruction::CubeRoot(at(0))
                }
                Operator::Pow => Instruction::Binary(Binary::Pow, at(0), at(1)),
                Operator::Neg => Instruction::Neg(at(0)),
                Operator::Function(function) if node.arguments().len() == 2 => {
                    Instruction::Call2(*function, at(0), at(1))
                }
                Operator::Function(function) => Instruction::Call(*function, at(0)),
                Operator::Tensor(operator) => {
                    return Err(Error::new(format!(
                        "'{}' has no scalar value: it acts on tensors",
                        operator.name
                    )));
                }
            };
            known.insert(node.clone(), instructions.len());
            instructions.push(instruction);
        }
        Ok(Self {
            instructions,
            names,
        })
    }

    /// The variables, in the order in which values are given.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value at a point.
    ///
    /// # Errors
    /// Where the expression is not defined there.
    pub fn run(&self, values: &[f64]) -> Result<f64> {
        let mut registers: Vec<f64> = Vec::with_capacity(self.instructions.len());
        for instruction in &self.instructions {
            registers.push(match *instruction {
                Instruction::Constant(value) => value,
                Instruction::Load(index) => values[index],
                Instruction::Neg(a) => -registers[a],
                Instruction::CubeRoot(a) => {
                    check_binary(Binary::Pow, registers[a], 1.0 / 3.0)?;
                    registers[a].cbrt()
                }
                Instruction::Binary(operation, a, b) => {
                    check_binary(operation, registers[a], registers[b])?;
                    binary(operation, registers[a], registers[b])
                }
                Instruction::Call(function, a) => {
                    check_call(function, registers[a])?;
                    call(function, registers[a])
                }
                Instruction::Call2(function, a, b) => call2(function, registers[a], registers[b]),
            });
        }
        let value = registers.last().copied().unwrap_or(f64::NAN);
        if value.is_nan() && !values.iter().any(|value| value.is_nan()) {
            return Err(Error::new(
                "The value is not a number: an intermediate result overflowed",
            ));
        }
        Ok(value)
    }

    /// The value at a point by IEEE arithmetic: where the expression is not defined it is infinite or NaN.
    pub fn run_ieee(&self, values: &[f64]) -> f64 {
        let mut registers: Vec<f64> = Vec::with_capacity(self.instructions.len());
        for instruction in &self.instructions {
            registers.push(match *instruction {
                Instruction::Constant(value) => value,
                Instruction::Load(index) => values[index],
                Instruction::Neg(a) => -registers[a],
                Instruction::CubeRoot(a) => cube_root(registers[a]),
                Instruction::Binary(operation, a, b) => {
                    binary(operation, registers[a], registers[b])
                }
                Instruction::Call(function, a) => call(function, registers[a]),
                Instruction::Call2(function, a, b) => call2(function, registers[a], registers[b]),
            });
        }
        registers.last().copied().unwrap_or(f64::NAN)
    }

    /// The values at many points, one column a variable; NaN where the expression is not defined.
    ///
    /// Doubles stand as bytes in the machine's order. `columns[i]` holds the values of `names()[i]`: all of the
    /// result's length, or of one double that is repeated. Long columns are shared out among threads.
    pub fn run_columns(&self, columns: &[&[u8]], result: &mut [u8]) {
        let points = result.len() / DOUBLE;
        let threads = threads().min(points / POINTS_A_THREAD).max(1);
        let part = points.div_ceil(threads).next_multiple_of(BLOCK).max(BLOCK) * DOUBLE;
        std::thread::scope(|scope| {
            for (index, piece) in result.chunks_mut(part).enumerate() {
                let start = index * part;
                let columns: Vec<&[u8]> = columns
                    .iter()
                    .map(|column| match column.len() {
                        DOUBLE => column,
                        _ => &column[start..start + piece.len()],
                    })
                    .collect();
                let mut work = move || self.run_piece(&columns, piece);
                if threads == 1 {
                    work();
                } else {
                    scope.spawn(work);
                }
            }
        });
    }

    fn run_piece(&self, columns: &[&[u8]], result: &mut [u8]) {
        let mut registers = vec![[0.0f64; BLOCK]; self.instructions.len()];
        for (index, instruction) in self.instructions.iter().enumerate() {
            if let Instruction::Constant(value) = instruction {
                registers[index] = [*value; BLOCK];
            }
        }
        for (number, block) in result.chunks_mut(BLOCK * DOUBLE).enumerate() {
            let (start, length) = (number * BLOCK * DOUBLE, block.len() / DOUBLE);
            for (index, instruction) in self.instructions.iter().enumerate() {
                let (before, rest) = registers.split_at_mut(index);
                let out = &mut rest[0];
                match *instruction {
                    Instruction::Constant(_) => {}
                    Instruction::Load(column) => match columns[column] {
                        one if one.len() == DOUBLE => out.fill(double(one)),
                        values => {
                            let values = values[start..start + block.len()].chunks_exact(DOUBLE);
                            for (out, bytes) in out.iter_mut().zip(values) {
                                *out = double(bytes);
                            }
                        }
                    },
                    Instruction::Neg(a) => map(out, &before[a], |x| -x),
                    Instruction::CubeRoot(a) => map(out, &before[a], cube_root),
                    Instruction::Binary(operation, a, b) => {
                        binary_columns(operation, out, &before[a], &before[b])
                    }
                    Instruction::Call(function, a) => {
                        call_columns(function, &mut out[..length], &before[a][..length])
                    }
                    Instruction::Call2(function, a, b) => {
                        for ((out, a), b) in
                            out[..length].iter_mut().zip(&before[a]).zip(&before[b])
                        {
                            *out = call2(function, *a, *b);
                        }
                    }
                }
            }
            if let Some(last) = registers.last() {
                for (bytes, value) in block.chunks_exact_mut(DOUBLE).zip(last) {
                    bytes.copy_from_slice(&value.to_ne_bytes());
                }
            }
        }
    }
}

/// Points that are evaluated together, so that registers stay in the cache.
const BLOCK: usize = 512;
/// Bytes of a double.
const DOUBLE: usize = 8;
/// Points that are worth a thread of their own.
const POINTS_A_THREAD: usize = 65_536;

/// Threads to share work among: as many as there are processors, or fewer where `OMP_NUM_THREADS` says so.
fn threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = std::env::var("OMP_NUM_THREADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(processors);
    processors.min(wanted).clamp(1, 16)
}

fn double(bytes: &[u8]) -> f64 {
    bytes.try_into().map_or(f64::NAN, f64::from_ne_bytes)
}

/// Whether the exact exponent is a third.
fn is_third(exponent: Option<&BigRational>) -> bool {
    exponent.is_some_and(|value| value.numer().is_one() && *value.denom() == BigInt::from(3))
}

/// The power 1/3, not defined of negative numbers.
fn cube_root(x: f64) -> f64 {
    if x < 0.0 { f64::NAN } else { x.cbrt() }
}

/// One operator by IEEE arithmetic: what is not defined is infinite or NaN. `exponent` is the second argument where
/// that is an exact number.
pub(super) fn ieee(operator: &Operator, exponent: Option<&BigRational>, arguments: &[f64]) -> f64 {
    let of = |operation| binary(operation, arguments[0], arguments[1]);
    match operator {
        Operator::Rational(value) => value.to_f64().unwrap_or(f64::NAN),
        Operator::Float(bits) => f64::from_bits(*bits),
        Operator::Pi => std::f64::consts::PI,
        Operator::Add => of(Binary::Add),
        Operator::Sub => of(Binary::Sub),
        Operator::Mul => of(Binary::Mul),
        Operator::Div => of(Binary::Div),
        Operator::Pow if is_third(exponent) => cube_root(arguments[0]),
        Operator::Pow => of(Binary::Pow),
        Operator::Neg => -arguments[0],
        Operator::Function(function) if arguments.len() == 2 => {
            call2(*function, arguments[0], arguments[1])
        }
        Operator::Function(function) => call(*function, arguments[0]),
        Operator::Variable(_) | Operator::Tensor(_) => f64::NAN,
    }
}

fn map(out: &mut [f64], input: &[f64], operation: impl Fn(f64) -> f64) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = operation(*input);
    }
}

fn binary_columns(operation: Binary, out: &mut [f64; 512], left: &[f64; 512], right: &[f64; 512]) {
    let mut each = |operation: fn(f64, f64) -> f64| {
        for ((out, a), b) in out.iter_mut().zip(left).zip(right) {
            *out = operation(*a, *b);
        }
    };
    match operation {
        Binary::Add => each(|a, b| a + b),
        Binary::Sub => each(|a, b| a - b),
        Binary::Mul => each(|a, b| a * b),
        // Undefined points are NaN, as everywhere else here.
        Binary::Div => each(|a, b| if b == 0.0 { f64::NAN } else { a / b }),
        Binary::Pow => match right[0] {
            2.0 if right.iter().all(|b| *b == 2.0) => map(out, left, |a| a * a),
            n if n.fract() == 0.0 && (0.0..=64.0).contains(&n) && right.iter().all(|b| *b == n) => {
                map(out, left, |a| a.powi(n as i32));
            }
            _ => each(|a, b| {
                if check_binary(Binary::Pow, a, b).is_ok() {
                    a.powf(b)
                } else {
                    f64::NAN
                }
            }),
        },
    }
}

fn call_columns(function: Function, out: &mut [f64], input: &[f64]) {
    match function {
        Function::Relu => map(out, input, |x| call(Function::Relu, x)),
        Function::Abs => map(out, input, f64::abs),
        Function::Sqrt => map(out, input, f64::sqrt),
        Function::Sin => map(out, input, f64::sin),
        Function::Cos => map(out, input, f64::cos),
        Function::Exp => map(out, input, f64::exp),
        Function::Log => map(out, input, |x| if x > 0.0 { x.ln() } else { f64::NAN }),
        Function::Tanh => map(out, input, f64::tanh),
        _ => map(out, input, |x| {
            if check_call(function, x).is_ok() {
                call(function, x)
            } else {
                f64::NAN
            }
        }),
    }
}

fn check_binary(operation: Binary, a: f64, b: f64) -> Result<()> {
    match operation {
        Binary::Div if b == 0.0 => Err(Error::new("Division by zero")),
        Binary::Pow if a == 0.0 && b < 0.0 => Err(Error::new("Zero to negative power")),
        Binary::Pow if a < 0.0 && b.fract() != 0.0 => Err(Error::new(format!(
            "Negative number to a fractional power: {a} ** {b}"
        ))),
        _ => Ok(()),
    }
}

fn check_call(function: Function, x: f64) -> Result<()> {
    let defined = match function {
        Function::Log => x > 0.0,
        Function::Sqrt => x >= 0.0,
        Function::Asin | Function::Acos => x.abs() <= 1.0,
        Function::Acosh => x >= 1.0,
        Function::Atanh => x.abs() < 1.0,
        Function::Log1p => x > -1.0,
        _ => true,
    };
    if defined || x.is_nan() {
        return Ok(());
    }
    Err(Error::new(match function {
        Function::Log => format!("Log of non-positive number {x}"),
        Function::Sqrt => format!("Sqrt of negative number {x}"),
        _ => format!(
            "{} is not defined at {x}: it needs {}",
            function.name(),
            function.row().domain
        ),
    }))
}

fn binary(operation: Binary, a: f64, b: f64) -> f64 {
    match operation {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow if b == 2.0 => a * a,
        Binary::Pow => a.powf(b),
    }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// The function in double precision, at a point where it is defined.
pub fn call(function: Function, x: f64) -> f64 {
    match function {
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Sqrt => x.sqrt(),
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
        Function::Tan => x.tan(),
        Function::Asin => x.asin(),
        Function::Acos => x.acos(),
        Function::Atan => x.atan(),
        Function::Sinh => x.sinh(),
        Function::Cosh => x.cosh(),
        Function::Tanh => x.tanh(),
        // The C library's, without the loss of the textbook formula for small and negative arguments.
        Function::Asinh => libm::asinh(x),
        Function::Acosh => libm::acosh(x),
        Function::Atanh => libm::atanh(x),
        Function::Abs => x.abs(),
        Function::Sign if x == 0.0 || x.is_nan() => x,
        Function::Sign => x.signum(),
        Function::Floor => x.floor(),
        Function::Relu if x > 0.0 => x,
        Function::Relu if x.is_nan() => x,
        Function::Relu => 0.0,
        Function::ReluGrad if x.is_nan() => x,
        Function::ReluGrad => f64::from(u8::from(x > 0.0)),
        Function::Sigmoid => sigmoid(x),
        Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        // By the complementary error function, which keeps its digits for negative arguments.
        Function::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Function::Silu => x * sigmoid(x),
        Function::Erf => libm::erf(x),
        Function::Expm1 => x.exp_m1(),
        Function::Log1p => x.ln_1p(),
        Function::Hypot | Function::Max | Function::Min => f64::NAN,
    }
}

fn call2(function: Function, a: f64, b: f64) -> f64 {
    match function {
        Function::Hypot => a.hypot(b),
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        Function::Max => a.max(b),
        Function::Min => a.min(b),
        _ => f64::NAN,
    }
}

/// The value at a point given by names.
///
/// # Errors
/// Names a variable that is not given; says where the expression is not defined.
pub fn evaluate(expression: &Expression, point: &FxHashMap<String, f64>) -> Result<f64> {
    let program = Program::new(expression)?;
    let values = program
        .names()
        .iter()
        .map(|name| {
            point.get(name).copied().ok_or_else(|| {
                let mut given: Vec<&str> = point.keys().map(String::as_str).collect();
                given.sort_unstable();
                let given = if given.is_empty() {
                    "none".to_string()
                } else {
                    given.join(", ")
                };
                Error::new(format!("Variable '{name}' not found; given: {given}"))
            })
        })
        .collect::<Result<Vec<f64>>>()?;
    program.run(&values)
}
