//! What is known of the sign of a polynomial: sets of signs, from structure, bounds and known facts.

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::kernel::{Kernel, KernelTable};
use super::monomial::Monomial;
use super::polynomial::Polynomial;

/// The signs a quantity may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignSet(u8);

impl SignSet {
    pub const NEGATIVE: Self = Self(1);
    pub const ZERO: Self = Self(2);
    pub const POSITIVE: Self = Self(4);
    pub const NON_NEGATIVE: Self = Self(6);
    pub const NON_POSITIVE: Self = Self(3);
    pub const NON_ZERO: Self = Self(5);
    pub const ANY: Self = Self(7);

    pub fn of(value: &BigRational) -> Self {
        if value.is_zero() {
            Self::ZERO
        } else if value.is_positive() {
            Self::POSITIVE
        } else {
            Self::NEGATIVE
        }
    }

    /// Whether every possible sign lies in `other`.
    pub fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn each(self) -> impl Iterator<Item = i8> {
        [(1, -1), (2, 0), (4, 1)]
            .into_iter()
            .filter(move |(bit, _)| self.0 & bit != 0)
            .map(|(_, sign)| sign)
    }

    fn only(sign: i8) -> Self {
        Self(match sign {
            -1 => 1,
            0 => 2,
            _ => 4,
        })
    }

    /// The signs of the negative.
    pub fn negated(self) -> Self {
        self.times(Self::NEGATIVE)
    }

    /// The signs a product may have.
    pub fn times(self, other: Self) -> Self {
        let pairs = self
            .each()
            .flat_map(|a| other.each().map(move |b| Self::only(a * b).0));
        Self(pairs.fold(0, |all, bit| all | bit))
    }

    /// The signs a sum may have.
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: i8, b: i8| match a + b {
            0 if a != 0 => Self::ANY.0,
            0 => Self::ZERO.0,
            sign => Self::only(sign.signum()).0,
        };
        let pairs = self
            .each()
            .flat_map(|a| other.each().map(move |b| sum(a, b)));
        Self(pairs.fold(0, |all, bit| all | bit))
    }

    /// The signs a power may have.
    pub fn power(self, exponent: u32) -> Self {
        if exponent == 0 {
            return Self::POSITIVE;
        }
        self.each()
            .map(|sign| Self::only(sign.pow(2 - exponent % 2)).0)
            .fold(Self(0), |all, bit| Self(all.0 | bit))
    }
}

/// Facts: polynomials and the signs they are known to have wherever both sides are defined.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    facts: Vec<(Polynomial, SignSet)>,
}

impl Facts {
    /// Records that this polynomial has one of these signs.
    pub fn insert(&mut self, polynomial: &Polynomial, signs: SignSet) {
        if polynomial.as_constant().is_some() {
            return;
        }
        let (content, primitive) = polynomial.primitive();
        let signs = signs.times(SignSet::of(&content));
        match self.facts.iter_mut().find(|(known, _)| *known == primitive) {
            Some((_, known)) => *known = known.and(signs),
            None => self.facts.push((primitive.clone(), signs)),
        }
        // An odd power has the sign of its base.
        if let [(monomial, _)] = primitive.terms()
            && let [(generator, exponent)] = monomial.0.as_slice()
            && exponent % 2 == 1
            && *exponent > 1
        {
            self.insert(&Polynomial::generator(*generator), signs);
        }
        if signs.within(SignSet::NON_ZERO) {
            // No factor of what is not zero is zero.
            for &(generator, _) in &polynomial.monomial_content().0 {
                let factor = Polynomial::generator(generator);
                if factor != polynomial.primitive().1 {
                    self.insert(&factor, SignSet::NON_ZERO);
                }
            }
        }
    }

    fn lookup(&self, primitive: &Polynomial) -> SignSet {
        self.facts
            .iter()
            .find(|(known, _)| known == primitive)
            .map_or(SignSet::ANY, |(_, signs)| *signs)
    }

    /// The polynomials known not to vanish.
    pub fn nonzero(&self) -> impl Iterator<Item = &Polynomial> {
        self.facts
            .iter()
            .filter(|(_, signs)| signs.within(SignSet::NON_ZERO))
            .map(|(polynomial, _)| polynomial)
    }

    /// The signs the polynomial may have.
    pub fn sign(&self, table: &KernelTable, polynomial: &Polynomial) -> SignSet {
        let direct = self.structural(table, polynomial, 3);
        if matches!(
            direct,
            SignSet::POSITIVE | SignSet::NEGATIVE | SignSet::ZERO
        ) {
            return direct;
        }
        self.by_facts(table, polynomial, direct, 2)
    }

    /// p = c·f + r, with a known sign of f and the sign of r by structure or by further facts.
    fn by_facts(
        &self,
        table: &KernelTable,
        polynomial: &Polynomial,
        direct: SignSet,
        depth: u32,
    ) -> SignSet {
        /// Facts beyond which they are not combined.
        const MANY: usize = 16;
        let mut signs = direct;
        for (fact, known) in &self.facts {
            for side in [SignSet::POSITIVE, SignSet::NEGATIVE] {
                let known = known.times(side);
                if !known.within(SignSet::NON_NEGATIVE) {
                    continue;
                }
                let fact = fact.scale(&if side == SignSet::POSITIVE {
                    BigRational::one()
                } else {
                    -BigRational::one()
                });
                for (monomial, coefficient) in fact.terms() {
                    let Some((_, own)) = polynomial.terms().iter().find(|(own, _)| own == monomial)
                    else {
                        continue;
                    };
                    let ratio = own / coefficient;
                    let rest = polynomial.sub(&fact.scale(&ratio));
                    let mut rest_signs = self.structural(table, &rest, 2);
                    if depth > 1
                        && rest_signs == SignSet::ANY
                        && self.facts.len() <= MANY
                        && rest.terms().len() <= 4
                    {
                        rest_signs = self.by_facts(table, &rest, rest_signs, depth - 1);
                    }
                    signs = signs.and(known.times(SignSet::of(&ratio)).plus(rest_signs));
                }
            }
        }
        signs
    }

    /// By facts, factors, terms and bounds; `depth` limits how far into kernels it looks.
    fn structural(&self, table: &KernelTable, polynomial: &Polynomial, depth: u32) -> SignSet {
        if let Some(value) = polynomial.as_constant() {
            return SignSet::of(&value);
        }
        let (content, primitive) = polynomial.primitive();
        let mut signs = self.lookup(&primitive);
        let common = primitive.monomial_content();
        if !common.is_one() {
            let rest = primitive
                .div_monomial(&common)
                .unwrap_or_else(Polynomial::one);
            let product = self
                .monomial(table, &common, depth)
                .times(self.structural(table, &rest, depth));
            signs = signs.and(product);
        } else {
            let terms = primitive
                .terms()
                .iter()
                .map(|(m, c)| self.monomial(table, m, depth).times(SignSet::of(c)));
            signs = signs.and(terms.reduce(SignSet::plus).unwrap_or(SignSet::ZERO));
            signs = signs
                .and(self.by_bounds(table, &primitive, depth))
                .and(quadratic(&primitive));
        }
        signs.times(SignSet::of(&content))
    }

    fn monomial(&self, table: &KernelTable, monomial: &Monomial, depth: u32) -> SignSet {
        monomial
            .0
            .iter()
            .map(|&(generator, exponent)| self.generator(table, generator, depth).power(exponent))
            .fold(SignSet::POSITIVE, SignSet::times)
    }

    fn generator(&self, table: &KernelTable, generator: u32, depth: u32) -> SignSet {
        let known = self.lookup(&Polynomial::generator(generator));
        if depth == 0 {
            return known;
        }
        let inner = |p: &Polynomial| self.structural(table, p, depth - 1);
        let own = match table.get(generator) {
            Kernel::Pi | Kernel::Exp(_) => SignSet::POSITIVE,
            Kernel::Root(b, _) | Kernel::Abs(b) => {
                if inner(b).within(SignSet::NON_ZERO) {
                    SignSet::POSITIVE
                } else {
                    SignSet::NON_NEGATIVE
                }
            }
            Kernel::Log(b) if b.as_constant().is_some() => SignSet::POSITIVE,
            Kernel::Sign(b) => inner(b),
            Kernel::Erf(u) | Kernel::Asin(u) | Kernel::Atan(u) => {
                inner(&u.num).times(inner(&u.den))
            }
            Kernel::Floor(u) => match inner(&u.num).times(inner(&u.den)) {
                signs if signs.within(SignSet::NON_NEGATIVE) => SignSet::NON_NEGATIVE,
                signs if signs.within(SignSet::NEGATIVE) => SignSet::NEGATIVE,
                _ => SignSet::ANY,
            },
            _ => SignSet::ANY,
        };
        known.and(own)
    }

    /// From the least and the greatest value that bounded generators allow.
    fn by_bounds(&self, table: &KernelTable, polynomial: &Polynomial, depth: u32) -> SignSet {
        let bounds = self.bounds(table, polynomial, depth);
        let low = match bounds.0 {
            Some(low) if low.is_positive() => SignSet::POSITIVE,
            Some(low) if low.is_zero() => SignSet::NON_NEGATIVE,
            _ => SignSet::ANY,
        };
        let high = match bounds.1 {
            Some(high) if high.is_negative() => SignSet::NEGATIVE,
            Some(high) if high.is_zero() => SignSet::NON_POSITIVE,
            _ => SignSet::ANY,
        };
        low.and(high)
    }

    /// Bounds of the polynomial: each is a true bound or absent.
    pub fn bounds(
        &self,
        table: &KernelTable,
        polynomial: &Polynomial,
        depth: u32,
    ) -> (Option<BigRational>, Option<BigRational>) {
        let mut total = (Some(BigRational::zero()), Some(BigRational::zero()));
        for (monomial, coefficient) in polynomial.terms() {
            let factors = monomial
                .0
                .iter()
                .map(|&(g, e)| power_bounds(self.generator_bounds(table, g, depth), e));
            let one = (Some(BigRational::one()), Some(BigRational::one()));
            let range = factors.fold(one, |a, b| product_bounds(&a, &b));
            let constant = (Some(coefficient.clone()), Some(coefficient.clone()));
            let range = product_bounds(&range, &constant);
            let sum = |a: Option<BigRational>, b: Option<BigRational>| a.zip(b).map(|(a, b)| a + b);
            total = (sum(total.0, range.0), sum(total.1, range.1));
        }
        total
    }

    fn generator_bounds(
        &self,
        table: &KernelTable,
        generator: u32,
        depth: u32,
    ) -> (Option<BigRational>, Option<BigRational>) {
        let ratio = |n: i64, d: i64| Some(BigRational::new(n.into(), d.into()));
        match table.get(generator) {
            Kernel::Pi => (ratio(314_159, 100_000), ratio(314_160, 100_000)),
            Kernel::Sin(_) | Kernel::Cos(_) | Kernel::Erf(_) | Kernel::Sign(_) => {
                (ratio(-1, 1), ratio(1, 1))
            }
            Kernel::Root(b, q) if b.as_constant().is_some() => {
                let scaled = b.leading().to_integer() * num_bigint::BigInt::from(10).pow(4 * q);
                let root = scaled.nth_root(*q);
                let at = |n: num_bigint::BigInt| Some(BigRational::new(n, 10_000.into()));
                (at(root.clone()), at(root + 1))
            }
            Kernel::Asin(_) | Kernel::Atan(_) => {
                let half = BigRational::new(15_708.into(), 10_000.into());
                let signs = self.generator(table, generator, depth);
                let low = if signs.within(SignSet::NON_NEGATIVE) {
                    BigRational::zero()
                } else {
                    -half.clone()
                };
                let high = if signs.within(SignSet::NON_POSITIVE) {
                    BigRational::zero()
                } else {
                    half
                };
                (Some(low), Some(high))
            }
            _ => {
                let signs = self.generator(table, generator, depth);
                let zero = || Some(BigRational::zero());
                let low = if signs.within(SignSet::NON_NEGATIVE) {
                    zero()
                } else {
                    None
                };
                let high = if signs.within(SignSet::NON_POSITIVE) {
                    zero()
                } else {
                    None
                };
                (low, high)
            }
        }
    }
}

type Bounds = (Option<BigRational>, Option<BigRational>);

fn power_bounds(base: Bounds, exponent: u32) -> Bounds {
    if exponent.is_multiple_of(2) {
        let magnitude = base
            .0
            .zip(base.1)
            .map(|(low, high)| low.abs().max(high.abs()).pow(exponent as i32));
        return (Some(BigRational::zero()), magnitude);
    }
    let raise = |end: Option<BigRational>| end.map(|end| end.pow(exponent as i32));
    (raise(base.0), raise(base.1))
}

fn product_bounds(left: &Bounds, right: &Bounds) -> Bounds {
    if let (Some(a), Some(b), Some(c), Some(d)) = (&left.0, &left.1, &right.0, &right.1) {
        let products = [a * c, a * d, b * c, b * d];
        return (
            products.iter().min().cloned(),
            products.iter().max().cloned(),
        );
    }
    let zero = BigRational::zero();
    let low_non_negative = |b: &Bounds| b.0.as_ref().is_some_and(|low| *low >= zero);
    let high_non_positive = |b: &Bounds| b.1.as_ref().is_some_and(|high| *high <= zero);
    let flip = |b: &Bounds| (b.1.as_ref().map(|end| -end), b.0.as_ref().map(|end| -end));
    match (low_non_negative(left), low_non_negative(right)) {
        (true, true) => {
            let low = left.0.clone().zip(right.0.clone()).map(|(a, b)| a * b);
            let high = left.1.clone().zip(right.1.clone()).map(|(a, b)| a * b);
            (low, high)
        }
        (true, false) if high_non_positive(right) => flip(&product_bounds(left, &flip(right))),
        (false, true) if high_non_positive(left) => flip(&product_bounds(&flip(left), right)),
        (false, false) if high_non_positive(left) && high_non_positive(right) => {
            product_bounds(&flip(left), &flip(right))
        }
        _ => (None, None),
    }
}

/// A quadratic in one generator with no real zero keeps the sign of its leading coefficient.
fn quadratic(polynomial: &Polynomial) -> SignSet {
    let generators = polynomial.generators();
    let [generator] = generators.as_slice() else {
        return SignSet::ANY;
    };
    if polynomial.degree_in(*generator) != 2 {
        return SignSet::ANY;
    }
    let coefficients: Vec<BigRational> = polynomial
        .coefficients_in(*generator)
        .iter()
        .map(|c| c.as_constant().unwrap_or_default())
        .collect();
    let four = BigRational::from_integer(4.into());
    let discriminant =
        &coefficients[1] * &coefficients[1] - four * &coefficients[0] * &coefficients[2];
    let lead = SignSet::of(&coefficients[2]);
    if discriminant.is_negative() {
        lead
    } else if discriminant.is_zero() {
        if lead == SignSet::POSITIVE {
            SignSet::NON_NEGATIVE
        } else {
            SignSet::NON_POSITIVE
        }
    } else {
        SignSet::ANY
    }
}
