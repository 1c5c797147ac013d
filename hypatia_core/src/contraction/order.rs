//! The best order of one chain of products.
//!
//! Without repeated parts that is the classic dynamic program over intervals (Godbole, IEEE Transactions on Computers,
//! 1973), with the machine's costs in place of multiplications. Where a factor occurs twice, transposed or not, all
//! orders are compared, each with equal sub-products computed once.

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::analysis::{TensorGraph, attribute, tensor_type};
use crate::cost::CostModel;
use crate::language::Term;
use crate::op::Op;
use crate::tensor_type::TensorType;

/// First and last leaf of a part of a chain.
pub type Interval = (usize, usize);

/// For each interval, the last leaf of its left part.
pub type Brackets = FxHashMap<Interval, usize>;

/// A way to bracket an interval: for each of its products the first leaf, the last of its left part, the last.
type Order = Vec<(usize, usize, usize)>;

pub fn intervals(leaves: usize) -> impl Iterator<Item = Interval> {
    (0..leaves).flat_map(move |i| (i + 1..leaves).map(move |j| (i, j)))
}

/// What deciding the order of one chain needs.
pub struct Chain {
    /// Cost of the product of `i..=s` with `s+1..=j`.
    costs: FxHashMap<(usize, usize, usize), f64>,
    /// Each leaf as another tensor and whether it is that one transposed.
    bases: Vec<(Id, bool)>,
    /// A number for each interval, the same for equal products and for transposes.
    kinds: FxHashMap<Interval, usize>,
    leaves: usize,
}

impl Chain {
    /// `None` where some interval has no sure type.
    pub fn new(egraph: &TensorGraph, leaves: &[Id], model: &CostModel) -> Option<Self> {
        let n = leaves.len();
        let mut types: FxHashMap<Interval, TensorType> = FxHashMap::default();
        for (i, &leaf) in leaves.iter().enumerate() {
            types.insert((i, i), tensor_type(egraph, leaf)?.clone());
        }
        let mut costs = FxHashMap::default();
        let folded: Vec<bool> = leaves
            .iter()
            .map(|&leaf| egraph[leaf].data.weights_only)
            .collect();
        for length in 2..=n {
            for i in 0..=n - length {
                let j = i + length - 1;
                let share = model.share(folded[i..=j].iter().all(|&f| f));
                for s in i..j {
                    let operands = [&types[&(i, s)], &types[&(s + 1, j)]];
                    let result = Op::Matmul.infer(&operands, &[])?;
                    let seconds = model.seconds(Op::Matmul, &operands, &[], &result);
                    costs.insert((i, s, j), share * seconds);
                    types.insert((i, j), result);
                }
            }
        }
        let bases: Vec<(Id, bool)> = leaves.iter().map(|&l| base(egraph, l)).collect();
        let mut names: FxHashMap<Vec<(Id, bool)>, usize> = FxHashMap::default();
        let mut kinds = FxHashMap::default();
        for (i, j) in intervals(n) {
            let forward = bases[i..=j].to_vec();
            let backward = reversed(&forward);
            let next = names.len();
            let kind = *names.entry(forward.min(backward)).or_insert(next);
            kinds.insert((i, j), kind);
        }
        Some(Self {
            costs,
            bases,
            kinds,
            leaves: n,
        })
    }

    pub fn are_transposes(&self, a: Interval, b: Interval) -> bool {
        let (a, b) = (&self.bases[a.0..=a.1], &self.bases[b.0..=b.1]);
        a != b && reversed(a) == b
    }

    /// The cheapest order; with `part`, the cheapest that computes this interval, which then costs nothing.
    pub fn best(&self, part: Option<Interval>) -> Option<Brackets> {
        let repeats = self.kinds.len() > self.kinds.values().collect::<FxHashSet<_>>().len();
        if repeats && part.is_none() {
            self.best_with_repeats()
        } else {
            Some(self.best_of_intervals(part))
        }
    }

    fn best_of_intervals(&self, part: Option<Interval>) -> Brackets {
        let mut best: FxHashMap<Interval, f64> = (0..self.leaves).map(|i| ((i, i), 0.0)).collect();
        let mut brackets = Brackets::default();
        for length in 2..=self.leaves {
            for i in 0..=self.leaves - length {
                let j = i + length - 1;
                let mut least = f64::INFINITY;
                for s in i..j {
                    let mut total = best[&(i, s)] + best[&(s + 1, j)] + self.costs[&(i, s, j)];
                    if let Some((p, q)) = part {
                        // A bracket may not cut the part.
                        let inside = p <= i && j <= q;
                        let cuts = p <= s && s < q && !inside;
                        if cuts {
                            total = f64::INFINITY;
                        }
                    }
                    if total < least || s == i {
                        least = total;
                        brackets.insert((i, j), s);
                    }
                }
                if part == Some((i, j)) {
                    least = 0.0;
                }
                best.insert((i, j), least);
            }
        }
        brackets
    }

    /// Every order, each sub-product that occurs again counted once.
    fn best_with_repeats(&self) -> Option<Brackets> {
        let mut all: FxHashMap<Interval, Vec<Order>> =
            (0..self.leaves).map(|i| ((i, i), vec![vec![]])).collect();
        for length in 2..=self.leaves {
            for i in 0..=self.leaves - length {
                let j = i + length - 1;
                let mut orders = Vec::new();
                for s in i..j {
                    for left in &all[&(i, s)] {
                        for right in &all[&(s + 1, j)] {
                            let mut order = Vec::with_capacity(length - 1);
                            order.push((i, s, j));
                            order.extend(left.iter().chain(right));
                            orders.push(order);
                        }
                    }
                }
                all.insert((i, j), orders);
            }
        }
        let mut least = f64::INFINITY;
        let mut chosen = None;
        let mut counted = vec![usize::MAX; self.kinds.len()];
        for (number, order) in all[&(0, self.leaves - 1)].iter().enumerate() {
            let mut total = 0.0;
            for &(i, s, j) in order {
                let kind = self.kinds[&(i, j)];
                if std::mem::replace(&mut counted[kind], number) != number {
                    total += self.costs[&(i, s, j)];
                }
            }
            if total < least {
                least = total;
                chosen = Some(order);
            }
        }
        Some(chosen?.iter().map(|&(i, s, j)| ((i, j), s)).collect())
    }
}

fn reversed(product: &[(Id, bool)]) -> Vec<(Id, bool)> {
    product
        .iter()
        .rev()
        .map(|&(id, transposed)| (id, !transposed))
        .collect()
}

/// A tensor as itself or as the transpose of another; of two that are each other's transposes, the older one.
fn base(egraph: &TensorGraph, leaf: Id) -> (Id, bool) {
    let leaf = egraph.find(leaf);
    let source = transposed(egraph, leaf).min();
    match source {
        Some(other) if other < leaf || !transposed(egraph, other).any(|t| t == leaf) => {
            (other, true)
        }
        _ => (leaf, false),
    }
}

/// The tensors that a class is known to be the transpose of.
fn transposed(egraph: &TensorGraph, class: Id) -> impl Iterator<Item = Id> + '_ {
    egraph[class].nodes.iter().filter_map(|term: &Term| {
        let swaps = |axes: &[usize]| {
            let n = axes.len();
            n >= 2 && axes[n - 2] == n - 1 && axes[..n - 2].iter().enumerate().all(|(i, &a)| i == a)
        };
        let transposes = term.op() == Some(Op::Permute)
            && attribute(egraph, term.children[1])?
                .axes()
                .is_some_and(swaps);
        transposes.then(|| egraph.find(term.children[0]))
    })
}
