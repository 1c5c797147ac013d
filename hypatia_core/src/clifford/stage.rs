//! Products staged by grade: one list of steps for each pair of grades and each grade of the result, so that what is
//! known to be zero is neither multiplied nor looked at.

use smallvec::{SmallVec, smallvec};

use super::algebra::Algebra;
use super::multivector::Multivector;
use super::product::{Entry, Grades, Product};

/// Blades up to which coefficients are kept in place, without memory of their own.
const IN_PLACE: usize = 32;

/// Coefficients over all blades of an algebra.
pub(super) type Coefficients = SmallVec<[f64; IN_PLACE]>;

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

/// All stages of a product.
#[derive(Debug)]
pub(super) struct Stages {
    grades: usize,
    /// Those of grades r and s at `r · grades + s`.
    pairs: Vec<Vec<Stage>>,
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
        Self {
            grades,
            pairs: pairs.collect(),
        }
    }

    fn between(&self, left: Grades, right: Grades, kept: Grades) -> impl Iterator<Item = &Stage> {
        let pairs = left
            .iter()
            .flat_map(move |r| right.iter().map(move |s| (r, s)));
        let stages = pairs.flat_map(|(r, s)| &self.pairs[r * self.grades + s]);
        stages.filter(move |stage| kept.contains(stage.grade))
    }
}

/// A product without stages, for factors of nearly all grades: over blades in the order of their bits, where blade i
/// times blade j is blade i xor j, so that four neighbours are four neighbours again.
#[derive(Debug)]
pub(super) struct Dense {
    /// The bits of each blade by its position.
    bits: Vec<u8>,
    /// The sign of blade i times blade i xor k, by i and k.
    signs: Vec<[f64; IN_PLACE]>,
}

/// How many neighbours are taken at once.
const LANES: usize = 4;

impl Dense {
    /// Where there are so many blades, and the product is part of the geometric one.
    pub(super) fn new(algebra: &Algebra, product: Product) -> Option<Self> {
        if algebra.len() != IN_PLACE || product == Product::Regressive {
            return None;
        }
        let bits: Vec<u8> = algebra.blades().iter().map(|b| b.blade.0 as u8).collect();
        let mut signs = vec![[0.0; IN_PLACE]; IN_PLACE];
        for (at, entry) in algebra.table(product).iter().enumerate() {
            let [i, j] = [at / IN_PLACE, at % IN_PLACE].map(|position| usize::from(bits[position]));
            signs[i][i ^ j] = f64::from(entry.sign);
        }
        Some(Self { bits, signs })
    }

    fn product(&self, a: &[f64], b: &[f64]) -> Coefficients {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions that the function is compiled for.
            return unsafe { self.product_in_registers(a, b) };
        }
        self.sums(a, b)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn product_in_registers(&self, a: &[f64], b: &[f64]) -> Coefficients {
        self.sums(a, b)
    }

    #[inline(always)]
    fn sums(&self, a: &[f64], b: &[f64]) -> Coefficients {
        let (mut by_bits, mut sums) = ([0.0; IN_PLACE], [0.0; IN_PLACE]);
        // For each of the lowest bits of i, b with neighbours exchanged as `xor` by them does.
        let mut exchanged = [[0.0; IN_PLACE]; LANES];
        for (&bits, &b) in self.bits.iter().zip(b) {
            for (low, exchanged) in exchanged.iter_mut().enumerate() {
                exchanged[(usize::from(bits) ^ low) % IN_PLACE] = b;
            }
        }
        for (&bits, &a) in self.bits.iter().zip(a) {
            by_bits[usize::from(bits) % IN_PLACE] = a;
        }
        for (i, (&a, signs)) in by_bits.iter().zip(&self.signs).enumerate() {
            let (b, high) = (&exchanged[i % LANES], i / LANES);
            for (block, sums) in sums.chunks_exact_mut(LANES).enumerate() {
                let from = (block ^ high) % (IN_PLACE / LANES) * LANES;
                let (b, signs) = (&b[from..from + LANES], &signs[block * LANES..][..LANES]);
                for ((sum, &b), &sign) in sums.iter_mut().zip(b).zip(signs) {
                    *sum += sign * a * b;
                }
            }
        }
        self.bits
            .iter()
            .map(|&bits| sums[usize::from(bits) % IN_PLACE])
            .collect()
    }
}

impl Multivector {
    /// The part of a product with a multivector of the same algebra that has these grades.
    pub(super) fn multiplied_to(&self, product: Product, other: &Self, kept: Grades) -> Self {
        let (algebra, n) = (self.algebra(), self.algebra().len());
        let all = Grades::all(algebra.dimension());
        let grades = [
            self.possible_grades(),
            other.possible_grades(),
            kept.intersection(all),
        ];
        if grades == [all; 3]
            && let Some(dense) = algebra.dense(product)
        {
            let reached = product.grades_of(all, all, algebra.dimension());
            let sums = dense.product(self.coefficients(), other.coefficients());
            return Self::with_grades(algebra, reached, sums);
        }
        let stages =
            algebra
                .stages(product)
                .between(self.possible_grades(), other.possible_grades(), kept);
        let mut reached = Grades::default();
        let mut out: Coefficients = smallvec![0.0; n];
        if n <= IN_PLACE {
            // Arrays of a length that the compiler knows: no index needs a check.
            let (mut sums, mut a, mut b) = ([0.0; IN_PLACE], [0.0; IN_PLACE], [0.0; IN_PLACE]);
            a[..n].copy_from_slice(self.coefficients());
            b[..n].copy_from_slice(other.coefficients());
            for stage in stages {
                reached = reached.union(Grades::only(stage.grade));
                for step in &stage.steps {
                    let [i, j, k] =
                        [step.left, step.right, step.result].map(|at| usize::from(at) % IN_PLACE);
                    sums[k] += step.sign * a[i] * b[j];
                }
            }
            out.copy_from_slice(&sums[..n]);
        } else {
            let (a, b) = (self.coefficients(), other.coefficients());
            for stage in stages {
                reached = reached.union(Grades::only(stage.grade));
                for step in &stage.steps {
                    let [i, j, k] = [step.left, step.right, step.result].map(usize::from);
                    out[k] += step.sign * a[i] * b[j];
                }
            }
        }
        Self::with_grades(algebra, reached, out)
    }
}
