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
    pub fn operands(self) -> impl Iterator<Item = usize> {
        let (count, of) = match self {
            Self::Const(_) => (0, [0; 3]),
            Self::Unary(_, a) | Self::Clamp(a, ..) | Self::Reduce(_, a) => (1, [a; 3]),
            Self::Binary(_, a, b) | Self::Dot(a, b) => (2, [a, b, b]),
            Self::Where(a, b, c) | Self::MultiplyAdd(a, b, c) => (3, [a, b, c]),
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
        }
    }

    /// Whether it makes one number of a row.
    pub fn reduces(self) -> bool {
        matches!(self, Self::Reduce(..) | Self::Dot(..))
    }

    /// About how many picoseconds it takes an element.
    pub fn cost(self) -> usize {
        match self {
            Self::Const(_) => 0,
            Self::Unary(of, _) => of.cost(),
            Self::Binary(of, ..) => of.cost(),
            Self::Reduce(of, _) => of.cost(),
            Self::Clamp(..) | Self::Where(..) | Self::MultiplyAdd(..) | Self::Dot(..) => 100,
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
    let mut names: Vec<usize> = Vec::with_capacity(registers);
    let mut next = 0;
    for gone in gone {
        names.push(next);
        next += usize::from(!gone);
    }
    for register in stored {
        *register = names[*register];
    }
    let kept = code.into_iter().enumerate();
    kept.filter(|(at, _)| names.get(loads + at + 1).copied().unwrap_or(next) > names[loads + at])
        .map(|(_, one)| one.renamed(&names))
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
