//! The generators over which canonical forms are fractions of polynomials.

use std::collections::BTreeSet;
use std::sync::Arc;

use num_rational::BigRational;
use num_traits::One;
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::polynomial::Polynomial;

/// A fraction in lowest terms; the denominator is primitive with a positive leading coefficient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fraction {
    pub num: Polynomial,
    pub den: Polynomial,
}

impl Fraction {
    pub fn polynomial(num: Polynomial) -> Self {
        Self {
            num,
            den: Polynomial::one(),
        }
    }

    pub fn constant(value: BigRational) -> Self {
        Self::polynomial(Polynomial::constant(value))
    }

    pub fn integer(value: i64) -> Self {
        Self::polynomial(Polynomial::integer(value))
    }

    pub fn zero() -> Self {
        Self::polynomial(Polynomial::zero())
    }

    pub fn one() -> Self {
        Self::polynomial(Polynomial::one())
    }

    pub fn is_zero(&self) -> bool {
        self.num.is_zero()
    }

    pub fn neg(&self) -> Self {
        Self {
            num: self.num.neg(),
            den: self.den.clone(),
        }
    }

    pub fn scale(&self, factor: &BigRational) -> Self {
        if num_traits::Zero::is_zero(factor) {
            return Self::zero();
        }
        Self {
            num: self.num.scale(factor),
            den: self.den.clone(),
        }
    }

    /// The number this is, if it is one.
    pub fn as_constant(&self) -> Option<BigRational> {
        if self.den.is_one() {
            self.num.as_constant()
        } else {
            None
        }
    }

    /// The integer exponent or multiple this is, if it is one of moderate size.
    pub fn as_small_integer(&self) -> Option<i32> {
        let value = self.as_constant()?;
        if value.denom().is_one() {
            value.to_integer().try_into().ok()
        } else {
            None
        }
    }
}

/// A generator: what a canonical form treats as a variable of its own, with the relations it obeys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kernel {
    Variable(Arc<str>),
    Pi,
    /// e to the power of the fraction.
    Exp(Fraction),
    /// log|b|.
    Log(Polynomial),
    /// |b|^(1/q); its q-th power is |b|.
    Root(Polynomial, u32),
    /// |b|; its square is b².
    Abs(Polynomial),
    /// The sign of b: its cube is itself, and its product with |b| is b.
    Sign(Polynomial),
    /// The sine; its square is one less that of the cosine.
    Sin(Fraction),
    Cos(Fraction),
    Floor(Fraction),
    Erf(Fraction),
    Asin(Fraction),
    Atan(Fraction),
    /// A power with an exponent that varies and a base of unknown sign.
    Pow(Fraction, Fraction),
}

impl Kernel {
    /// The generators that it is of.
    fn generators(&self) -> BTreeSet<u32> {
        let polynomials: SmallVec<[&Polynomial; 4]> = match self {
            Self::Variable(_) | Self::Pi => smallvec![],
            Self::Abs(b) | Self::Log(b) | Self::Root(b, _) | Self::Sign(b) => smallvec![b],
            Self::Exp(u)
            | Self::Sin(u)
            | Self::Cos(u)
            | Self::Floor(u)
            | Self::Erf(u)
            | Self::Asin(u)
            | Self::Atan(u) => smallvec![&u.num, &u.den],
            Self::Pow(u, v) => smallvec![&u.num, &u.den, &v.num, &v.den],
        };
        polynomials
            .into_iter()
            .flat_map(Polynomial::generators)
            .collect()
    }
}

/// The generators of one problem, numbered as they come.
#[derive(Debug, Clone, Default)]
pub struct KernelTable {
    kernels: Vec<Kernel>,
    numbers: FxHashMap<Kernel, u32>,
}

impl KernelTable {
    /// The number of this generator.
    pub fn number(&mut self, kernel: Kernel) -> u32 {
        if let Some(&number) = self.numbers.get(&kernel) {
            return number;
        }
        let number = self.kernels.len() as u32;
        self.kernels.push(kernel.clone());
        self.numbers.insert(kernel, number);
        number
    }

    /// The number of this generator, if it occurred already.
    pub fn find(&self, kernel: &Kernel) -> Option<u32> {
        self.numbers.get(kernel).copied()
    }

    /// The generators of the polynomials, and of what these are of, and so on: a kernel's number is larger than those of
    /// the kernels that it is of.
    pub fn reached<'p>(
        &self,
        polynomials: impl IntoIterator<Item = &'p Polynomial>,
    ) -> BTreeSet<u32> {
        let own = polynomials.into_iter().flat_map(Polynomial::generators);
        let mut reached: BTreeSet<u32> = own.collect();
        let mut pending = reached.clone();
        while let Some(generator) = pending.pop_last() {
            let below = self.get(generator).generators();
            reached.extend(&below);
            pending.extend(below);
        }
        reached
    }

    /// b of a magnitude |b| in the polynomial, or in what its generators are of; of several the least nested one.
    pub fn innermost_magnitude(&self, polynomial: &Polynomial) -> Option<&Polynomial> {
        let mut depths: FxHashMap<u32, u32> = FxHashMap::default();
        let mut innermost: Option<(u32, &Polynomial)> = None;
        for generator in self.reached([polynomial]) {
            let kernel = self.get(generator);
            let below = kernel.generators().into_iter().map(|g| depths[&g]);
            let depth = below.max().map_or(0, |depth| depth + 1);
            depths.insert(generator, depth);
            if let Kernel::Abs(b) = kernel
                && innermost.is_none_or(|(least, _)| depth < least)
            {
                innermost = Some((depth, b));
            }
        }
        innermost.map(|(_, b)| b)
    }

    /// The generator of this number.
    pub fn get(&self, number: u32) -> &Kernel {
        &self.kernels[number as usize]
    }
}
