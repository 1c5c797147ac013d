//! Truncated Laurent series with rational coefficients, of an expression in one variable at zero or at infinity.

use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::super::build::{self, exact_square_root};
use super::super::expression::{Expression, Operator};
use super::super::function::Function;

/// Coefficients that are kept.
const TERMS: usize = 18;
/// Bits beyond which coefficients are not computed.
const LARGEST: u64 = 4_000;

/// The sum of cₖ t^(valuation + k) and of higher terms that are not known; the first coefficient is not zero.
#[derive(Debug, Clone)]
pub struct Laurent {
    valuation: i64,
    coefficients: Vec<BigRational>,
}

/// Where the series is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Center {
    /// In powers of x.
    Zero,
    /// In powers of 1/x.
    Infinity,
}

fn ratio(top: i64, bottom: i64) -> BigRational {
    BigRational::new(top.into(), bottom.into())
}

impl Laurent {
    /// None when nothing is known of the series: every kept coefficient is zero.
    fn new(valuation: i64, coefficients: Vec<BigRational>) -> Option<Self> {
        let first = coefficients.iter().position(|c| !c.is_zero())?;
        let small = |c: &BigRational| c.numer().bits() + c.denom().bits() < LARGEST;
        let kept: Vec<BigRational> = coefficients.into_iter().skip(first).take(TERMS).collect();
        kept.iter().all(small).then_some(Self {
            valuation: valuation + first as i64,
            coefficients: kept,
        })
    }

    fn constant(value: BigRational) -> Self {
        let mut coefficients = vec![value];
        coefficients.resize(TERMS, BigRational::zero());
        Self {
            valuation: 0,
            coefficients,
        }
    }

    /// The power of t from which on nothing is known.
    fn end(&self) -> i64 {
        self.valuation + self.coefficients.len() as i64
    }

    fn at(&self, power: i64) -> BigRational {
        usize::try_from(power - self.valuation)
            .ok()
            .and_then(|index| self.coefficients.get(index).cloned())
            .unwrap_or_else(BigRational::zero)
    }

    fn is_zero(&self) -> bool {
        self.coefficients.iter().all(Zero::is_zero)
    }

    fn scaled(&self, factor: &BigRational) -> Self {
        Self {
            valuation: self.valuation,
            coefficients: self.coefficients.iter().map(|c| c * factor).collect(),
        }
    }

    fn add(&self, other: &Self) -> Option<Self> {
        if self.is_zero() {
            return Some(other.clone());
        }
        if other.is_zero() {
            return Some(self.clone());
        }
        let start = self.valuation.min(other.valuation);
        let end = self.end().min(other.end());
        Self::new(
            start,
            (start..end)
                .map(|power| self.at(power) + other.at(power))
                .collect(),
        )
    }

    fn mul(&self, other: &Self) -> Option<Self> {
        if self.is_zero() || other.is_zero() {
            return Some(Self::constant(BigRational::zero()));
        }
        let count = self.coefficients.len().min(other.coefficients.len());
        let coefficient = |n: usize| {
            (0..=n).fold(BigRational::zero(), |sum, k| {
                sum + &self.coefficients[k] * &other.coefficients[n - k]
            })
        };
        Self::new(
            self.valuation + other.valuation,
            (0..count).map(coefficient).collect(),
        )
    }

    fn inverse(&self) -> Option<Self> {
        let first = self.coefficients.first().filter(|c| !c.is_zero())?;
        let mut inverse = vec![first.recip()];
        for n in 1..self.coefficients.len() {
            let sum = (1..=n).fold(BigRational::zero(), |sum, k| {
                sum + &self.coefficients[k] * &inverse[n - k]
            });
            inverse.push(-sum / first);
        }
        Self::new(-self.valuation, inverse)
    }

    /// Σ cₖ uᵏ for a series u without a constant term.
    fn compose(&self, coefficient: impl Fn(i64) -> BigRational) -> Option<Self> {
        let mut total = Self::constant(coefficient(0));
        if self.is_zero() {
            return Some(total);
        }
        if self.valuation < 1 {
            return None;
        }
        let mut power = Self::constant(BigRational::one());
        for k in 1..=(TERMS as i64) {
            power = power.mul(self)?;
            if power.valuation > TERMS as i64 {
                break;
            }
            let term = power.scaled(&coefficient(k));
            if !term.is_zero() {
                total = total.add(&term)?;
            }
        }
        Some(total)
    }

    /// (1 + u)^exponent by the binomial series, for any leading coefficient with a rational root.
    fn power(&self, exponent: &BigRational) -> Option<Self> {
        if exponent.is_integer() {
            let count = exponent.to_integer().to_i64().filter(|n| n.abs() <= 64)?;
            let base = if count < 0 {
                self.inverse()?
            } else {
                self.clone()
            };
            return (0..count.abs()).try_fold(Self::constant(BigRational::one()), |product, _| {
                product.mul(&base)
            });
        }
        let first = self.coefficients.first().filter(|c| c.is_positive())?;
        let valuation = BigRational::from_integer(self.valuation.into()) * exponent;
        if !valuation.is_integer() {
            return None;
        }
        let root = match exponent.denom().to_i64()? {
            _ if first.is_one() => BigRational::one(),
            2 => exact_square_root(first)?.pow(exponent.numer().to_i32()?),
            _ => return None,
        };
        let mut rest = self.scaled(&first.recip());
        rest.valuation = 0;
        let rest = rest
            .add(&Self::constant(-BigRational::one()))
            .unwrap_or_else(|| Self::constant(BigRational::zero()));
        let binomial = |k: i64| {
            (0..k).fold(BigRational::one(), |product, j| {
                product * (exponent - BigRational::from_integer(j.into()))
                    / BigRational::from_integer((j + 1).into())
            })
        };
        let mut result = rest.compose(binomial)?.scaled(&root);
        result.valuation += valuation.to_integer().to_i64()?;
        Some(result)
    }

    /// The series of a function whose argument vanishes at the centre, or is 1 where that is its place.
    fn call(function: Function, u: &Self) -> Option<Self> {
        let inverse_factorial = |k: i64| (1..=k).fold(BigRational::one(), |f, j| f / ratio(j, 1));
        let odd = |k: i64| k % 2 == 1;
        let alternating = |k: i64| ratio(if k % 4 < 2 { 1 } else { -1 }, 1);
        let minus_one = || Self::constant(-BigRational::one());
        match function {
            Function::Exp => u.compose(inverse_factorial),
            Function::Expm1 => u.compose(|k| {
                if k == 0 {
                    BigRational::zero()
                } else {
                    inverse_factorial(k)
                }
            }),
            Function::Log => Self::call(Function::Log1p, &u.add(&minus_one())?),
            Function::Log1p => u.compose(|k| match k {
                0 => BigRational::zero(),
                k => ratio(if odd(k) { 1 } else { -1 }, k),
            }),
            Function::Sin => u.compose(|k| {
                if odd(k) {
                    alternating(k) * inverse_factorial(k)
                } else {
                    BigRational::zero()
                }
            }),
            Function::Cos => u.compose(|k| {
                if odd(k) {
                    BigRational::zero()
                } else {
                    alternating(k) * inverse_factorial(k)
                }
            }),
            Function::Sinh => u.compose(|k| {
                if odd(k) {
                    inverse_factorial(k)
                } else {
                    BigRational::zero()
                }
            }),
            Function::Cosh => u.compose(|k| {
                if odd(k) {
                    BigRational::zero()
                } else {
                    inverse_factorial(k)
                }
            }),
            Function::Tan => {
                Self::call(Function::Sin, u)?.mul(&Self::call(Function::Cos, u)?.inverse()?)
            }
            Function::Tanh => {
                Self::call(Function::Sinh, u)?.mul(&Self::call(Function::Cosh, u)?.inverse()?)
            }
            Function::Atan => u.compose(|k| {
                if odd(k) {
                    alternating(k) / ratio(k, 1)
                } else {
                    BigRational::zero()
                }
            }),
            Function::Atanh => u.compose(|k| {
                if odd(k) {
                    ratio(1, k)
                } else {
                    BigRational::zero()
                }
            }),
            Function::Sqrt => u.power(&ratio(1, 2)),
            _ => None,
        }
    }

    /// The series of the expression in its only variable; none where there is none of this kind.
    pub fn of(expression: &Expression, center: Center) -> Option<Self> {
        let result = expression.fold(|node, arguments: &[Self]| {
            let found = match node.operator() {
                Operator::Rational(value) => Some(Self::constant(value.clone())),
                Operator::Variable(_) => {
                    let mut series = Self::constant(BigRational::one());
                    series.valuation = if center == Center::Zero { 1 } else { -1 };
                    Some(series)
                }
                Operator::Add => arguments[0].add(&arguments[1]),
                Operator::Sub => arguments[0].add(&arguments[1].scaled(&-BigRational::one())),
                Operator::Neg => Some(arguments[0].scaled(&-BigRational::one())),
                Operator::Mul => arguments[0].mul(&arguments[1]),
                Operator::Div => arguments[1]
                    .inverse()
                    .and_then(|inverse| arguments[0].mul(&inverse)),
                Operator::Pow => node.arguments()[1]
                    .as_rational()
                    .and_then(|exponent| arguments[0].power(exponent)),
                Operator::Function(function) if arguments.len() == 1 => {
                    Self::call(*function, &arguments[0])
                }
                _ => None,
            };
            found.ok_or(())
        });
        result.ok()
    }

    /// The lowest power with its coefficient; none of the series that is zero.
    pub fn first(&self) -> Option<(i64, BigRational)> {
        let first = self.coefficients.first().filter(|c| !c.is_zero())?;
        Some((self.valuation, first.clone()))
    }

    /// The first `count` terms that are not zero, as an expression in Horner's form; none where there are fewer.
    pub fn truncated(
        &self,
        variable: &Expression,
        center: Center,
        count: usize,
    ) -> Option<Expression> {
        let terms: Vec<(i64, &BigRational)> = self
            .coefficients
            .iter()
            .enumerate()
            .filter(|(_, c)| !c.is_zero())
            .map(|(index, c)| (self.valuation + index as i64, c))
            .take(count)
            .collect();
        if terms.len() < count {
            return None;
        }
        let power = |exponent: i64, factor: Expression| {
            let exponent = if center == Center::Zero {
                exponent
            } else {
                -exponent
            };
            let of = |n: i64| match n {
                2 => build::mul(variable.clone(), variable.clone()),
                n => build::powi(variable.clone(), n),
            };
            match exponent {
                0 => factor,
                n if n > 0 => build::mul(factor, of(n)),
                n => build::div(factor, of(-n)),
            }
        };
        let mut total: Option<Expression> = None;
        for window in (0..terms.len()).rev() {
            let (exponent, coefficient) = terms[window];
            let number = Expression::rational(coefficient.clone());
            total = Some(match total {
                None => number,
                Some(inner) => {
                    let gap = terms[window + 1].0 - exponent;
                    build::add(number, power(gap, inner))
                }
            });
        }
        Some(power(terms[0].0, total?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::parse;
    use super::super::super::prove::{Assumptions, PROOF_STEPS, Status, prove};
    use super::*;

    fn series(text: &str, center: Center, count: usize) -> Option<Expression> {
        let expression = parse(text).expect(text);
        Laurent::of(&expression, center)?.truncated(&Expression::variable("x"), center, count)
    }

    #[test]
    fn series_at_zero_and_infinity_are_the_known_ones() {
        let known = [
            (
                "(x - sin(x))/(x - tan(x))",
                Center::Zero,
                "-1/2 + 9*x^2/40 - 27*x^4/2800",
            ),
            ("1/x - 1/tan(x)", Center::Zero, "x/3 + x^3/45 + 2*x^5/945"),
            (
                "sqrt(x^2 + 1) - x",
                Center::Infinity,
                "1/(2*x) - 1/(8*x^3) + 1/(16*x^5)",
            ),
            (
                "log(1 + 1/x)",
                Center::Infinity,
                "1/x - 1/(2*x^2) + 1/(3*x^3)",
            ),
            ("(1 - cos(x))/x^2", Center::Zero, "1/2 - x^2/24 + x^4/720"),
        ];
        for (text, center, expected) in known {
            let found = series(text, center, 3).unwrap_or_else(|| panic!("{text}"));
            let answer = prove(
                &found,
                &parse(expected).expect(expected),
                &Assumptions::new(),
                PROOF_STEPS,
            );
            assert_eq!(answer.status, Status::Proved, "{text}: {found:?}");
        }
    }

    #[test]
    fn what_has_no_rational_series_has_none() {
        for (text, center) in [
            ("exp(1/x)", Center::Zero),
            ("log(x)", Center::Zero),
            ("sqrt(x)", Center::Zero),
            ("cos(1 + x)", Center::Zero),
        ] {
            assert!(series(text, center, 1).is_none(), "{text}");
        }
    }
}
