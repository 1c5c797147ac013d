//! Evaluation in double precision: an expression becomes a program over registers, shared parts once. Points one by
//! one here, columns of points in `columns`.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive};
use rustc_hash::FxHashMap;

use super::expression::{Expression, Operator};
use super::function::Function;
use crate::error::{Error, Result};

/// One step of a program; operands are the numbers of earlier steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Instruction {
    Constant(f64),
    Load(usize),
    Binary(Binary, usize, usize),
    Neg(usize),
    /// The power 1/3, which no double holds exactly.
    CubeRoot(usize),
    Call(Function, usize),
    Call2(Function, usize, usize),
}

impl Instruction {
    /// The steps whose results this one reads.
    pub(super) fn operands(&self) -> impl Iterator<Item = usize> {
        let (first, second) = match *self {
            Self::Constant(_) | Self::Load(_) => (None, None),
            Self::Neg(a) | Self::CubeRoot(a) | Self::Call(_, a) => (Some(a), None),
            Self::Binary(_, a, b) | Self::Call2(_, a, b) => (Some(a), Some(b)),
        };
        first.into_iter().chain(second)
    }

    /// Whether the step has a value.
    ///
    /// # Errors
    /// Where it is not defined.
    fn check(&self, registers: &[f64]) -> Result<()> {
        match *self {
            Self::CubeRoot(a) => check_binary(Binary::Pow, registers[a], 1.0 / 3.0),
            Self::Binary(operation, a, b) => check_binary(operation, registers[a], registers[b]),
            Self::Call(function, a) => check_call(function, registers[a]),
            _ => Ok(()),
        }
    }

    /// The step's value by IEEE arithmetic.
    fn value(&self, registers: &[f64], values: &[f64]) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Load(index) => values[index],
            Self::Neg(a) => -registers[a],
            Self::CubeRoot(a) => cube_root(registers[a]),
            Self::Binary(operation, a, b) => binary(operation, registers[a], registers[b]),
            Self::Call(function, a) => call(function, registers[a]),
            Self::Call2(function, a, b) => call2(function, registers[a], registers[b]),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
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

    pub(super) fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The value at a point.
    ///
    /// # Errors
    /// Where the expression is not defined there.
    pub fn run(&self, values: &[f64]) -> Result<f64> {
        let value = self.walk(values, Instruction::check)?;
        if value.is_nan() && !values.iter().any(|value| value.is_nan()) {
            return Err(Error::new(
                "The value is not a number: an intermediate result overflowed",
            ));
        }
        Ok(value)
    }

    /// The value at a point by IEEE arithmetic: where the expression is not defined it is infinite or NaN.
    pub fn run_ieee(&self, values: &[f64]) -> f64 {
        match self.walk::<std::convert::Infallible>(values, |_, _| Ok(())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The last step's value; every step is checked before it is taken.
    fn walk<E>(
        &self,
        values: &[f64],
        check: impl Fn(&Instruction, &[f64]) -> std::result::Result<(), E>,
    ) -> std::result::Result<f64, E> {
        let mut registers: Vec<f64> = Vec::with_capacity(self.instructions.len());
        for instruction in &self.instructions {
            check(instruction, &registers)?;
            registers.push(instruction.value(&registers, values));
        }
        Ok(registers.last().copied().unwrap_or(f64::NAN))
    }
}

/// Whether the exact exponent is a third.
fn is_third(exponent: Option<&BigRational>) -> bool {
    exponent.is_some_and(|value| value.numer().is_one() && *value.denom() == BigInt::from(3))
}

/// The power 1/3, not defined of negative numbers.
pub(super) fn cube_root(x: f64) -> f64 {
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

/// A power, NaN where it is not defined.
pub(super) fn defined_power(a: f64, b: f64) -> f64 {
    match check_binary(Binary::Pow, a, b) {
        Ok(()) => a.powf(b),
        Err(_) => f64::NAN,
    }
}

/// A function, NaN where it is not defined.
pub(super) fn defined_call(function: Function, x: f64) -> f64 {
    match check_call(function, x) {
        Ok(()) => call(function, x),
        Err(_) => f64::NAN,
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

pub(super) fn call2(function: Function, a: f64, b: f64) -> f64 {
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
