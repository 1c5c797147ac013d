//! Products staged by grade: one list of steps for each pair of grades and each grade of the result, so that what is
//! known to be zero is neither multiplied nor looked at.

use super::algebra::Algebra;
use super::coefficients::{Coefficients, IN_PLACE};
use super::multivector::Multivector;
use super::product::{Entry, Grades, Product};

/// A product of which fewer than one pair of blades in so many has a term is taken by stages.
const SPARSE: usize = 8;

/// `out[result] += sign · left[left] · right[right]`.
#[derive(Debug, Clone, Copy)]
struct Step {
    left: u16,
    right: u16,
    result: u16,
    sign: f64,
}

/// The steps that two grades have towards a third. Neighbours differ in their result, so that they do not wait for
/// one another.
#[derive(Debug)]
struct Stage {
    grade: usize,
    steps: Box<[Step]>,
}

/// What products of one grade with a set of grades come to.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    grades: Grades,
    steps: usize,
}

/// All stages of a product.
#[derive(Debug)]
pub(super) struct Stages {
    grades: usize,
    /// Those of grades r and s at `r · grades + s`.
    pairs: Vec<Vec<Stage>>,
    /// Of grade r with the set of grades S at `r · 2^grades + S`.
    reach: Vec<Reach>,
    dense: Option<Dense>,
}

impl Stages {
    pub(super) fn new(algebra: &Algebra, product: Product) -> Self {
        let (grades, n, table) = (
            algebra.dimension() + 1,
            algebra.len(),
            algebra.table(product),
        );
        let steps_to = |r: usize, s: usize, grade: usize| -> Box<[Step]> {
            let places = algebra
                .positions(r)
                .flat_map(|i| algebra.positions(s).map(move |j| (i, j)));
            let steps = places.filter_map(|(i, j)| {
                let Entry { blade, sign } = table[i * n + j];
                (sign != 0 && algebra.grade(usize::from(blade)) == grade).then_some(Step {
                    left: i as u16,
                    right: j as u16,
                    result: blade,
                    sign: f64::from(sign),
                })
            });
            steps.collect()
        };
        let pairs = (0..grades * grades).map(|pair| {
            let (r, s) = (pair / grades, pair % grades);
            let stages = (0..grades).map(|grade| Stage {
                grade,
                steps: steps_to(r, s, grade),
            });
            stages.filter(|stage| !stage.steps.is_empty()).collect()
        });
        let pairs: Vec<Vec<Stage>> = pairs.collect();
        let reach = (0..grades << grades).map(|at| {
            let (r, set) = (at >> grades, Grades((at & ((1 << grades) - 1)) as u16));
            let stages = set.iter().flat_map(|s| &pairs[r * grades + s]);
            stages.fold(Reach::default(), |reach, stage| Reach {
                grades: reach.grades.union(Grades::only(stage.grade)),
                steps: reach.steps + stage.steps.len(),
            })
        });
        Self {
            grades,
            reach: reach.collect(),
            dense: Dense::new(algebra, product),
            pairs,
        }
    }

    fn between(&self, left: Grades, right: Grades, kept: Grades) -> impl Iterator<Item = &Stage> {
        let pairs = left
            .iter()
            .flat_map(move |r| right.iter().map(move |s| (r, s)));
        let stages = pairs.flat_map(|(r, s)| &self.pairs[r * self.grades + s]);
        stages.filter(move |stage| kept.contains(stage.grade))
    }

    fn reach(&self, left: Grades, right: Grades) -> Reach {
        let mut reach = Reach::default();
        for r in left.iter() {
            let one = self.reach[r << self.grades | usize::from(right.0)];
            reach.grades = reach.grades.union(one.grades);
            reach.steps += one.steps;
        }
        reach
    }
}

/// A product without stages, for factors of many grades: over blades in the order of their bits, where blade i times
/// blade j is blade i xor j, so that four neighbours are four neighbours again.
#[derive(Debug)]
struct Dense {
    /// The bits of each blade by its position.
    bits: Vec<u8>,
    /// The sign of blade i times blade i xor k at `i · n + k`.
    signs: Vec<f64>,
}

/// How many neighbours are taken at once.
const LANES: usize = 4;

impl Dense {
    /// Where there are at least so many blades, and the product is part of the geometric one.
    fn new(algebra: &Algebra, product: Product) -> Option<Self> {
        let n = algebra.len();
        if !(LANES..=IN_PLACE).contains(&n) || product == Product::Regressive {
            return None;
        }
        let bits: Vec<u8> = algebra.blades().iter().map(|b| b.blade.0 as u8).collect();
        let mut signs = vec![0.0; n * n];
        for (at, entry) in algebra.table(product).iter().enumerate() {
            let [i, j] = [at / n, at % n].map(|position| usize::from(bits[position]));
            signs[i * n + (i ^ j)] = f64::from(entry.sign);
        }
        Some(Self { bits, signs })
    }

    /// The product; None where it is not finite, since known zeros were multiplied too.
    fn product(&self, a: &[f64], b: &[f64]) -> Option<Coefficients> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            return unsafe { self.product_in_registers(a, b) };
        }
        self.by_size(a, b)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn product_in_registers(&self, a: &[f64], b: &[f64]) -> Option<Coefficients> {
        self.by_size(a, b)
    }

    #[inline(always)]
    fn by_size(&self, a: &[f64], b: &[f64]) -> Option<Coefficients> {
        match self.bits.len() {
            4 => self.sums::<4>(a, b),
            8 => self.sums::<8>(a, b),
            16 => self.sums::<16>(a, b),
            _ => self.sums::<32>(a, b),
        }
    }

    #[inline(always)]
    fn sums<const N: usize>(&self, a: &[f64], b: &[f64]) -> Option<Coefficients> {
        let (a, b, bits) = (&a[..N], &b[..N], &self.bits[..N]);
        let (mut left, mut right, mut sums) = ([0.0; N], [0.0; N], [0.0; N]);
        for at in 0..N {
            left[usize::from(bits[at]) % N] = a[at];
            right[usize::from(bits[at]) % N] = b[at];
        }
        for low in 0..LANES {
            // The right factor with neighbours exchanged as `xor` by the lowest bits does.
            let mut exchanged = [0.0; N];
            for at in 0..N {
                exchanged[at] = right[at ^ low];
            }
            for high in 0..N / LANES {
                let i = high * LANES + low;
                let (a, signs) = (left[i], &self.signs[i * N..][..N]);
                for block in 0..N / LANES {
                    let (to, from) = (block * LANES, (block ^ high) * LANES);
                    for lane in 0..LANES {
                        sums[to + lane] += signs[to + lane] * a * exchanged[from + lane];
                    }
                }
            }
        }
        let (mut out, mut zero) = ([0.0; IN_PLACE], 0.0);
        for at in 0..N {
            out[at] = sums[usize::from(bits[at]) % N];
            zero += 0.0 * sums[at];
        }
        // What is not finite stays so in a sum.
        (zero == 0.0).then_some(Coefficients::InPlace(out, N))
    }
}

impl Multivector {
    /// The part of a product with a multivector of the same algebra that has these grades.
    pub(super) fn multiplied_to(&self, product: Product, other: &Self, kept: Grades) -> Self {
        let (algebra, n) = (self.algebra(), self.algebra().len());
        let (left, right) = (self.possible_grades(), other.possible_grades());
        let (a, b) = (self.coefficients(), other.coefficients());
        let stages = algebra.stages(product);
        let reach = stages.reach(left, right);
        if reach.grades.0 & !kept.0 == 0
            && reach.steps * SPARSE > n * n
            && let Some(sums) = stages.dense.as_ref().and_then(|dense| dense.product(a, b))
        {
            return Self::with_grades(algebra, reach.grades, sums);
        }
        let staged = stages.between(left, right, kept);
        let reached = reach.grades.intersection(kept);
        let mut out = Self::with_grades(algebra, reached, Coefficients::zeros(n));
        if let (
            Coefficients::InPlace(a, _),
            Coefficients::InPlace(b, _),
            Coefficients::InPlace(sums, _),
        ) = (self.stored(), other.stored(), out.stored_mut())
        {
            // Arrays of a length that the compiler knows: no index needs a check.
            for stage in staged {
                for step in &stage.steps {
                    let [i, j, k] =
                        [step.left, step.right, step.result].map(|at| usize::from(at) % IN_PLACE);
                    sums[k] += step.sign * a[i] * b[j];
                }
            }
            return out;
        }
        let sums = out.stored_mut();
        for step in staged.flat_map(|stage| &stage.steps) {
            let [i, j, k] = [step.left, step.right, step.result].map(usize::from);
            sums[k] += step.sign * a[i] * b[j];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product term by term, of the grades that the factors may have.
    fn by_terms(product: Product, a: &Multivector, b: &Multivector) -> Vec<f64> {
        let algebra = a.algebra();
        let mut out = vec![0.0; algebra.len()];
        for term in algebra.terms(product, a.possible_grades(), b.possible_grades()) {
            let [i, j, k] = [term.left, term.right, term.result].map(usize::from);
            out[k] += f64::from(term.sign) * a.coefficients()[i] * b.coefficients()[j];
        }
        out
    }

    fn drawn(algebra: &'static Algebra, grades: Grades, seed: u64) -> Multivector {
        let mut draw = fastrand::Rng::with_seed(seed);
        let values = (0..algebra.len()).map(|_| draw.f64() - 0.5).collect();
        Multivector::new(algebra, values).unwrap().part(grades)
    }

    #[test]
    fn every_product_of_any_grades_is_that_of_the_table() {
        for (p, q, r) in [
            (1, 0, 0),
            (2, 0, 0),
            (3, 0, 0),
            (3, 0, 1),
            (1, 3, 0),
            (4, 1, 0),
            (4, 2, 0),
        ] {
            let algebra = Algebra::new(p, q, r).unwrap();
            let every = Grades::all(algebra.dimension());
            for (product, name) in Product::ALL {
                for (left, right) in [
                    (every, every),
                    (Grades::EVEN, every),
                    (Grades::EVEN, Grades::only(1)),
                ] {
                    let (a, b) = (drawn(algebra, left, 1), drawn(algebra, right, 2));
                    let expected = by_terms(product, &a, &b);
                    for kept in [Grades(u16::MAX), Grades::OWN_REVERSE] {
                        let part = a.multiplied_to(product, &b, kept);
                        let whole = Multivector::new(algebra, expected.clone()).unwrap();
                        assert!(
                            part.is_close(&whole.part(kept), 0.0, 1e-14).unwrap(),
                            "{name} in {algebra}"
                        );
                        assert_eq!(part.grades().0 & !part.possible_grades().0, 0);
                    }
                }
            }
        }
    }

    #[test]
    fn known_zeros_are_not_multiplied_with_what_is_not_finite() {
        let space = Algebra::named("VGA3D").unwrap();
        let even = drawn(space, Grades::EVEN, 1);
        let mut b = drawn(space, Grades::all(3), 2);
        b.stored_mut()[1] = f64::INFINITY;
        let product = even.times(&b);
        // The infinite e1 gives odd grades alone, with an even factor.
        assert!(product.even().magnitude().is_finite());
        assert!(!product.odd().magnitude().is_finite());
        let without = even.times(&b.even()).even();
        assert!(product.even().is_close(&without, 1e-14, 0.0).unwrap());
    }

    #[test]
    fn a_product_with_itself_cancels_exactly() {
        for model in ["VGA3D", "STA", "CGA3D"] {
            let algebra = Algebra::named(model).unwrap();
            let vector = drawn(algebra, Grades::only(1), 3);
            assert_eq!(vector.multiplied(Product::Outer, &vector).magnitude(), 0.0);
            assert_eq!(vector.times(&vector).grades(), Grades::only(0));
        }
    }
}
