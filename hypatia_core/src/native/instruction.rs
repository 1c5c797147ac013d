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
            Self::Binary(_, a, b) => (2, [a, b, b]),
            Self::Where(c, a, b) => (3, [c, a, b]),
        };
        of.into_iter().take(count)
    }

    /// About how many picoseconds it takes an element.
    pub fn cost(self) -> usize {
        match self {
            Self::Const(_) => 0,
            Self::Unary(of, _) => of.cost(),
            Self::Binary(of, ..) => of.cost(),
            Self::Reduce(of, _) => of.cost(),
            Self::Clamp(..) | Self::Where(..) => 100,
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
        }
    }
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
