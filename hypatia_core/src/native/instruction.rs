//! What the code of a step over rows is made of.

use serde_json::Value;

use super::number::Number;
use crate::error::{Error, Result};

/// Instructions of one kind: each with its name, and about how many picoseconds it takes an element.
macro_rules! instructions {
    ($(#[$about:meta])* $kind:ident { $($variant:ident $name:literal $cost:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $kind {
            $($variant),*
        }

        impl $kind {
            pub fn named(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$variant,)*
                    _ => return None,
                })
            }

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }

            pub fn cost(self) -> usize {
                match self {
                    $(Self::$variant => $cost),*
                }
            }

            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

instructions! {
    /// Of one operand.
    Unary {
        Neg "neg" 60, Abs "abs" 60, Relu "relu" 60, Sigmoid "sigmoid" 400, Tanh "tanh" 700, Gelu "gelu" 700,
        GeluTanh "gelu_tanh" 450, Silu "silu" 400, Exp "exp" 300, Exp2 "exp2" 300, Expm1 "expm1" 400, Log "log" 500,
        Log1p "log1p" 700, Sqrt "sqrt" 300, Rsqrt "rsqrt" 500, Reciprocal "reciprocal" 250, Erf "erf" 800,
        Sin "sin" 1500, Cos "cos" 1500, Softplus "softplus" 1000, HardSwish "hardswish" 100,
        HardSigmoid "hardsigmoid" 100, Floor "floor" 60, Ceil "ceil" 60, Round "round" 60, Trunc "trunc" 60,
        Sign "sign" 100, Not "not" 60, Square "square" 60, Cube "cube" 80,
        ReciprocalOfSquare "reciprocal_of_square" 250,
    }
}

instructions! {
    /// Of two operands.
    Binary {
        Add "add" 80, Sub "sub" 80, Mul "mul" 80, Div "div" 250, Max "max" 100, Min "min" 100, Pow "pow" 30000,
        Gt "gt" 80, Ge "ge" 80, Lt "lt" 80, Le "le" 80, Eq "eq" 80, Ne "ne" 80, And "and" 100, Or "or" 100,
    }
}

instructions! {
    /// Of a row, to one number.
    Reduction {
        Sum "sum" 60, Max "max" 100, Min "min" 100, Prod "prod" 60,
    }
}

/// One instruction; operands are numbers of registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Instruction {
    Const(f32),
    Unary(Unary, usize),
    Binary(Binary, usize, usize),
    /// a cut off below and above.
    Clamp(usize, f32, f32),
    /// The second operand where the first is not 0, else the third.
    Where(usize, usize, usize),
    Reduce(Reduction, usize),
    /// a·b + c; nobody writes it, it is what a product and a sum become.
    MultiplyAdd(usize, usize, usize),
    /// Σ a·b of a row; nobody writes it, it is what a product and its sum become.
    Dot(usize, usize),
    /// Σ (a − b)² of a row, b one number for it; what a difference and the sum of its squares become.
    SquaresAbout(usize, usize),
    /// (a − b)·c, b and c one number for a row; what a difference and a product become.
    Standardize(usize, usize, usize),
    /// e^(a − b), b one number for a row; what a difference and its exponential become.
    ExpAbout(usize, usize),
}

impl Instruction {
    /// Reads `[name, operands…, numbers…]`, where so many registers exist.
    pub fn of(words: &[Value], registers: usize) -> Result<Self> {
        let text = || Value::from(words.to_vec()).to_string();
        let name = words.first().and_then(Value::as_str).ok_or_else(|| {
            Error::new(format!("{}: an instruction begins with its name", text()))
        })?;
        let words = &words[1..];
        let takes = |count: usize| {
            if words.len() == count {
                return Ok(());
            }
            let given = words.len();
            Err(Error::new(format!(
                "{}: {count} operands, not {given}",
                text()
            )))
        };
        let register = |at: usize| {
            let register = words[at].as_u64().and_then(|r| usize::try_from(r).ok());
            register.filter(|&r| r < registers).ok_or_else(|| {
                Error::new(format!(
                    "{}: {} is none of the {registers} registers before it",
                    text(),
                    words[at]
                ))
            })
        };
        let number = |at: usize| {
            let number = Number::of(&words[at]).map(|number| number.0);
            number.ok_or_else(|| {
                Error::new(format!(
                    "{}: {} is no number; numbers are 1.5, \"inf\", \"-inf\", \"nan\"",
                    text(),
                    words[at]
                ))
            })
        };
        // "max" and "min" of one operand are of a row, of two they are of elements.
        if let Some(reduction) = Reduction::named(name)
            && (words.len() == 1 || Binary::named(name).is_none())
        {
            takes(1)?;
            return Ok(Self::Reduce(reduction, register(0)?));
        }
        if let Some(unary) = Unary::named(name) {
            takes(1)?;
            return Ok(Self::Unary(unary, register(0)?));
        }
        if let Some(binary) = Binary::named(name) {
            takes(2)?;
            return Ok(Self::Binary(binary, register(0)?, register(1)?));
        }
        match name {
            "const" => {
                takes(1)?;
                Ok(Self::Const(number(0)?))
            }
            "clamp" => {
                takes(3)?;
                Ok(Self::Clamp(register(0)?, number(1)?, number(2)?))
            }
            "where" => {
                takes(3)?;
                Ok(Self::Where(register(0)?, register(1)?, register(2)?))
            }
            _ => Err(Error::new(format!(
                "{}: there is no such instruction",
                text()
            ))),
        }
    }

    /// Its operands; where there are fewer than three, the last one again.
    #[inline]
    pub fn operands(self) -> impl Iterator<Item = usize> {
        let (count, of) = match self {
            Self::Const(_) => (0, [0; 3]),
            Self::Unary(_, a) | Self::Clamp(a, ..) | Self::Reduce(_, a) => (1, [a; 3]),
            Self::Binary(_, a, b)
            | Self::Dot(a, b)
            | Self::SquaresAbout(a, b)
            | Self::ExpAbout(a, b) => (2, [a, b, b]),
            Self::Where(a, b, c) | Self::MultiplyAdd(a, b, c) | Self::Standardize(a, b, c) => {
                (3, [a, b, c])
            }
        };
        of.into_iter().take(count)
    }

    /// The same of other registers.
    fn renamed(self, to: &[usize]) -> Self {
        match self {
            Self::Const(value) => Self::Const(value),
            Self::Unary(of, a) => Self::Unary(of, to[a]),
            Self::Clamp(a, low, high) => Self::Clamp(to[a], low, high),
            Self::Reduce(of, a) => Self::Reduce(of, to[a]),
            Self::Binary(of, a, b) => Self::Binary(of, to[a], to[b]),
            Self::Dot(a, b) => Self::Dot(to[a], to[b]),
            Self::Where(c, a, b) => Self::Where(to[c], to[a], to[b]),
            Self::MultiplyAdd(a, b, c) => Self::MultiplyAdd(to[a], to[b], to[c]),
            Self::SquaresAbout(a, b) => Self::SquaresAbout(to[a], to[b]),
            Self::Standardize(a, b, c) => Self::Standardize(to[a], to[b], to[c]),
            Self::ExpAbout(a, b) => Self::ExpAbout(to[a], to[b]),
        }
    }

    /// Whether it makes one number of a row.
    pub fn reduces(self) -> bool {
        matches!(
            self,
            Self::Reduce(..) | Self::Dot(..) | Self::SquaresAbout(..)
        )
    }

    /// About how many picoseconds it takes an element.
    pub fn cost(self) -> usize {
        match self {
            Self::Const(_) => 0,
            Self::Unary(of, _) => of.cost(),
            Self::Binary(of, ..) => of.cost(),
            Self::Reduce(of, _) => of.cost(),
            Self::Clamp(..) | Self::Where(..) | Self::MultiplyAdd(..) | Self::Dot(..) => 100,
            Self::SquaresAbout(..) | Self::Standardize(..) => 100,
            Self::ExpAbout(..) => Unary::Exp.cost(),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Const(_) => "const",
            Self::Unary(of, _) => of.name(),
            Self::Binary(of, ..) => of.name(),
            Self::Reduce(of, _) => of.name(),
            Self::Clamp(..) => "clamp",
            Self::Where(..) => "where",
            Self::MultiplyAdd(..) => "mul+add",
            Self::Dot(..) => "mul+sum",
            Self::SquaresAbout(..) => "sub+mul+sum",
            Self::Standardize(..) => "sub+mul",
            Self::ExpAbout(..) => "sub+exp",
        }
    }
}

/// Joins each product that one sum alone takes with that sum: one pass over a row in the place of two. `stored` are
/// renumbered; `single` says which registers hold one number for a row.
pub(super) fn fuse(
    mut code: Vec<Instruction>,
    loads: usize,
    single: &[bool],
    stored: &mut [usize],
) -> Vec<Instruction> {
    let registers = loads + code.len();
    let mut uses = vec![0usize; registers];
    for operand in code
        .iter()
        .flat_map(|one| one.operands())
        .chain(stored.iter().copied())
    {
        uses[operand] += 1;
    }
    let mut gone = vec![false; registers];
    for at in 0..code.len() {
        let product = |register: usize| {
            let made = code[register.checked_sub(loads)?];
            match made {
                _ if uses[register] != 1 || single[register] => None,
                Instruction::Binary(Binary::Mul, a, b) => Some((register, a, b)),
                Instruction::Unary(Unary::Square, a) => Some((register, a, a)),
                _ => None,
            }
        };
        let joined = match code[at] {
            Instruction::Binary(Binary::Add, x, y) => product(y)
                .map(|found| (found, x))
                .or_else(|| product(x).map(|found| (found, y)))
                .map(|((of, a, b), c)| (of, Instruction::MultiplyAdd(a, b, c))),
            Instruction::Reduce(Reduction::Sum, x) => product(x)
                .filter(|&(_, a, b)| !single[a] && !single[b])
                .map(|(of, a, b)| (of, Instruction::Dot(a, b))),
            _ => None,
        };
        if let Some((of, instruction)) = joined {
            gone[of] = true;
            code[at] = instruction;
        }
    }
    without(code, loads, &gone, stored)
}

/// Takes differences from one number for a row into what reads them, where that is so of all that does: squares that are
/// summed, a product with another number for the row, an exponential. `single` is as `fuse` has it, of this code, whose rows are reduced.
pub(super) fn fuse_differences(
    mut code: Vec<Instruction>,
    loads: usize,
    single: &[bool],
    stored: &mut [usize],
) -> Vec<Instruction> {
    let mut gone = vec![false; loads + code.len()];
    for at in 0..code.len() {
        let (of, Instruction::Binary(Binary::Sub, x, centre)) = (loads + at, code[at]) else {
            continue;
        };
        if single[x] || !single[centre] || stored.contains(&of) {
            continue;
        }
        let joined = |one: Instruction| match one {
            Instruction::Dot(a, b) if a == of && b == of => {
                Some(Instruction::SquaresAbout(x, centre))
            }
            Instruction::Binary(Binary::Mul, a, b) if a == of && single[b] => {
                Some(Instruction::Standardize(x, centre, b))
            }
            Instruction::Binary(Binary::Mul, a, b) if b == of && single[a] => {
                Some(Instruction::Standardize(x, centre, a))
            }
            Instruction::Unary(Unary::Exp, a) if a == of => Some(Instruction::ExpAbout(x, centre)),
            _ => None,
        };
        let readers: Vec<usize> = (at + 1..code.len())
            .filter(|&reader| code[reader].operands().any(|operand| operand == of))
            .collect();
        let found: Option<Vec<Instruction>> =
            readers.iter().map(|&one| joined(code[one])).collect();
        if let Some(found) = found {
            for (reader, instruction) in readers.into_iter().zip(found) {
                code[reader] = instruction;
            }
            gone[of] = true;
        }
    }
    without(code, loads, &gone, stored)
}

/// The code without registers that nobody reads any more; those that are left, and those that are stored, get new numbers.
fn without(
    code: Vec<Instruction>,
    loads: usize,
    gone: &[bool],
    stored: &mut [usize],
) -> Vec<Instruction> {
    let mut names: Vec<usize> = Vec::with_capacity(gone.len());
    let mut next = 0;
    for gone in gone {
        names.push(next);
        next += usize::from(!gone);
    }
    for register in stored {
        *register = names[*register];
    }
    let kept = code.into_iter().zip(&gone[loads..]);
    kept.filter(|(_, gone)| !**gone)
        .map(|(one, _)| one.renamed(&names))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Instruction> {
        let words: Vec<Value> = serde_json::from_str(text).unwrap();
        Instruction::of(&words, 3)
    }

    #[test]
    fn instructions_are_read() {
        assert_eq!(
            read("[\"max\", 2]").unwrap(),
            Instruction::Reduce(Reduction::Max, 2)
        );
        assert_eq!(
            read("[\"max\", 2, 0]").unwrap(),
            Instruction::Binary(Binary::Max, 2, 0)
        );
        assert_eq!(
            read("[\"const\", \"-inf\"]").unwrap(),
            Instruction::Const(f32::NEG_INFINITY)
        );
        assert_eq!(
            read("[\"clamp\", 1, 0, 6.0]").unwrap(),
            Instruction::Clamp(1, 0.0, 6.0)
        );
        assert_eq!(
            read("[\"where\", 0, 1, 2]").unwrap(),
            Instruction::Where(0, 1, 2)
        );
    }

    #[test]
    fn products_join_the_sums_that_take_them() {
        let code = vec![
            Instruction::Binary(Binary::Mul, 0, 1),
            Instruction::Binary(Binary::Add, 2, 0),
            Instruction::Unary(Unary::Square, 3),
            Instruction::Reduce(Reduction::Sum, 4),
        ];
        let mut stored = [5, 3];
        let fused = fuse(
            code.clone(),
            2,
            &[false, false, false, false, false, true],
            &mut stored,
        );
        assert_eq!(
            fused,
            [Instruction::MultiplyAdd(0, 1, 0), Instruction::Dot(2, 2)]
        );
        assert_eq!(stored, [3, 2]);
        // What is stored too stays.
        let mut stored = [2, 4];
        assert_eq!(fuse(code.clone(), 2, &[false; 6], &mut stored), code);
    }

    #[test]
    fn differences_join_what_reads_them() {
        let sum = Instruction::Reduce(Reduction::Sum, 0);
        let difference = Instruction::Binary(Binary::Sub, 0, 1);
        let single = [false, true, false, true, false, false];
        let code = vec![
            sum,
            difference,
            Instruction::Dot(2, 2),
            Instruction::Binary(Binary::Mul, 3, 2),
            Instruction::Unary(Unary::Exp, 2),
        ];
        let mut stored = [4, 5];
        assert_eq!(
            fuse_differences(code.clone(), 1, &single, &mut stored),
            [
                sum,
                Instruction::SquaresAbout(0, 1),
                Instruction::Standardize(0, 1, 2),
                Instruction::ExpAbout(0, 1)
            ]
        );
        assert_eq!(stored, [3, 4]);
        // What is stored, or read by others too, stays.
        assert_eq!(fuse_differences(code.clone(), 1, &single, &mut [2]), code);
        let more = [&code[..], &[Instruction::Unary(Unary::Neg, 2)]].concat();
        let wide = [&single[..], &[false]].concat();
        assert_eq!(fuse_differences(more.clone(), 1, &wide, &mut [6]), more);
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        for (text, says) in [
            ("[]", "begins with its name"),
            ("[\"cosh\", 1]", "no such instruction"),
            ("[\"add\", 1]", "2 operands, not 1"),
            ("[\"add\", 1, 3]", "3 is none of the 3 registers"),
            ("[\"neg\", -1]", "none of the 3 registers"),
            ("[\"const\", \"pi\"]", "no number"),
            ("[\"sum\", 1, 2]", "1 operands, not 2"),
        ] {
            let error = read(text).unwrap_err().0;
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
