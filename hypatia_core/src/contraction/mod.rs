//! Chains of matrix products: their best orders, found exactly, enter the e-graph by associativity, step by step.

mod order;

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::analysis::{Builder, TensorGraph, tensor_type};
use crate::attribute::Attribute;
use crate::cost::CostModel;
use crate::error::Result;
use crate::language::Head;
use crate::op::Op;
use crate::pattern::{Binding, Match};
use crate::rules::Rewrite;
use crate::step::{Step, apply};
use crate::tensor_type::TensorType;

use order::{Brackets, Chain, Interval, intervals};

/// Chains of more factors are ordered part by part.
const LONGEST: usize = 10;
/// Chains looked at in one round.
const MOST_CHAINS: usize = 512;

/// A product as it is bracketed; each node with its class.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(Id),
    Node(Id, Box<(Tree, Tree)>),
}

impl Tree {
    fn class(&self) -> Id {
        match self {
            Self::Leaf(id) | Self::Node(id, _) => *id,
        }
    }

    fn leaves(&self, into: &mut Vec<Id>) {
        match self {
            Self::Leaf(id) => into.push(*id),
            Self::Node(_, children) => {
                children.0.leaves(into);
                children.1.leaves(into);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Node(_, children) => children.0.len() + children.1.len(),
        }
    }
}

/// A chain as it stands in the e-graph.
struct Found {
    tree: Tree,
    leaves: Vec<Id>,
    /// Its sub-products that another chain has too.
    shared: Vec<Interval>,
}

/// A product of a tree: its interval, its class, the classes of both factors.
struct Product {
    interval: Interval,
    class: Id,
    factors: (Id, Id),
}

/// The chains that were ordered, and the rules by which they are.
#[derive(Debug)]
pub struct Orders {
    to_the_right: Option<&'static Rewrite>,
    to_the_left: Option<&'static Rewrite>,
    transpose: Option<&'static Rewrite>,
    seen: FxHashSet<Vec<Id>>,
}

impl Orders {
    /// Orders chains by the associativity among these rules; does nothing where it is not among them.
    pub fn new(rules: impl Iterator<Item = &'static Rewrite> + Clone) -> Self {
        let find = |name: &str, reversed: bool| {
            rules
                .clone()
                .find(|r| r.rule.name == name && r.reversed == reversed)
        };
        Self {
            to_the_right: find("matmul-associates", false),
            to_the_left: find("matmul-associates", true),
            transpose: find("transpose-of-matmul-swaps", false),
            seen: FxHashSet::default(),
        }
    }

    /// Enters the best order of each chain not seen before; the steps taken.
    ///
    /// # Errors
    /// A step gave a type that cannot be: the rule is wrong.
    pub fn enter(&mut self, egraph: &mut TensorGraph, model: &CostModel) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        if self.to_the_right.is_none() || self.to_the_left.is_none() {
            return Ok(steps);
        }
        for Found {
            tree,
            leaves,
            shared,
        } in self.chains(egraph)
        {
            let Some(chain) = Chain::new(egraph, &leaves, model) else {
                continue;
            };
            let mut orders: Vec<Brackets> = chain.best(None).into_iter().collect();
            for part in shared {
                orders.extend(chain.best(Some(part)));
            }
            for brackets in orders {
                let end = leaves.len() - 1;
                if let Some(tree) =
                    self.arrange(egraph, tree.clone(), &brackets, 0, end, &mut steps)?
                {
                    self.join_transposes(egraph, &chain, &tree, &mut steps)?;
                }
            }
        }
        egraph.rebuild();
        Ok(steps)
    }

    /// New chains of three or more factors, each with its leaves and the intervals that another chain has too.
    fn chains(&mut self, egraph: &TensorGraph) -> Vec<Found> {
        let Some(classes) = egraph.classes_for_op(&Head::Op(Op::Matmul)) else {
            return Vec::new();
        };
        let mut classes: Vec<Id> = classes.collect();
        classes.sort_unstable();
        let mut found: Vec<(Tree, Vec<Id>)> = Vec::new();
        let mut inner: FxHashSet<Id> = FxHashSet::default();
        for class in classes {
            let mut path = vec![class];
            let tree = flatten(egraph, class, LONGEST, &mut path);
            collect_inner(&tree, true, &mut inner);
            let mut leaves = Vec::new();
            tree.leaves(&mut leaves);
            found.push((tree, leaves));
        }
        // How many chains, not parts of longer ones, have each sub-product.
        let mut holders: FxHashMap<&[Id], usize> = FxHashMap::default();
        for (_, leaves) in found.iter().filter(|(t, _)| !inner.contains(&t.class())) {
            let own: FxHashSet<&[Id]> = intervals(leaves.len())
                .map(|(i, j)| &leaves[i..=j])
                .collect();
            for part in own {
                *holders.entry(part).or_default() += 1;
            }
        }
        let mut chains = Vec::new();
        for (tree, leaves) in &found {
            if leaves.len() < 3 || chains.len() >= MOST_CHAINS || !self.seen.insert(leaves.clone())
            {
                continue;
            }
            let shared = intervals(leaves.len())
                .filter(|&(i, j)| j - i + 1 < leaves.len())
                .filter(|&(i, j)| holders.get(&leaves[i..=j]).is_some_and(|&n| n > 1))
                .collect();
            chains.push(Found {
                tree: tree.clone(),
                leaves: leaves.clone(),
                shared,
            });
        }
        chains
    }

    /// The tree over leaves `i..=j`, bracketed anew by rotations.
    fn arrange(
        &self,
        egraph: &mut TensorGraph,
        tree: Tree,
        brackets: &Brackets,
        i: usize,
        j: usize,
        steps: &mut Vec<Step>,
    ) -> Result<Option<Tree>> {
        if i == j {
            return Ok(Some(tree));
        }
        let split = brackets[&(i, j)];
        let Some(Tree::Node(class, children)) = self.split(egraph, tree, i, split, steps)? else {
            return Ok(None);
        };
        let left = self.arrange(egraph, children.0, brackets, i, split, steps)?;
        let right = self.arrange(egraph, children.1, brackets, split + 1, j, steps)?;
        Ok(match (left, right) {
            (Some(left), Some(right)) => Some(Tree::Node(class, Box::new((left, right)))),
            _ => None,
        })
    }

    /// The tree, whose first leaf is `i`, with leaf `split` the last of its left part.
    fn split(
        &self,
        egraph: &mut TensorGraph,
        tree: Tree,
        i: usize,
        split: usize,
        steps: &mut Vec<Step>,
    ) -> Result<Option<Tree>> {
        let Tree::Node(class, children) = tree else {
            return Ok(None);
        };
        let (left, right) = *children;
        let last = i + left.len() - 1;
        if last == split {
            return Ok(Some(Tree::Node(class, Box::new((left, right)))));
        }
        // ((a b) c) = (a (b c)), to the right or to the left.
        let (to_the_right, inner) = if last > split {
            (true, self.split(egraph, left.clone(), i, split, steps)?)
        } else {
            (
                false,
                self.split(egraph, right.clone(), last + 1, split, steps)?,
            )
        };
        let Some(Tree::Node(_, inner)) = inner else {
            return Ok(None);
        };
        let (a, b, c) = if to_the_right {
            (inner.0, inner.1, right)
        } else {
            (left, inner.0, inner.1)
        };
        let rule = if to_the_right {
            self.to_the_right
        } else {
            self.to_the_left
        };
        let Some(rule) = rule else { return Ok(None) };
        let bindings = [("?a", a.class()), ("?b", b.class()), ("?c", c.class())];
        steps.extend(apply(egraph, rule, class, bind(egraph, rule, &bindings))?);
        let (low, high) = if to_the_right { (&b, &c) } else { (&a, &b) };
        let Some(product) = egraph.add_term(Op::Matmul, &[low.class(), high.class()], &[]) else {
            return Ok(None);
        };
        let children = if to_the_right {
            (a, Tree::Node(product, Box::new((b, c))))
        } else {
            (Tree::Node(product, Box::new((a, b))), c)
        };
        Ok(Some(Tree::Node(class, Box::new(children))))
    }

    /// Says of sub-products that are each other's transposes that they are.
    fn join_transposes(
        &self,
        egraph: &mut TensorGraph,
        chain: &Chain,
        tree: &Tree,
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        let Some(rule) = self.transpose else {
            return Ok(());
        };
        let mut products = Vec::new();
        collect_products(tree, 0, &mut products);
        for (at, product) in products.iter().enumerate() {
            let (class, (a, b)) = (product.class, product.factors);
            let twin = products[..at]
                .iter()
                .any(|p| chain.are_transposes(p.interval, product.interval));
            let Some(rank) = tensor_type(egraph, class).map(TensorType::rank) else {
                continue;
            };
            if !twin || rank < 2 {
                continue;
            }
            let mut swap: Vec<usize> = (0..rank).collect();
            swap.swap(rank - 2, rank - 1);
            let swap = egraph.add_attribute(Attribute::Axes(swap));
            let Some(transposed) = egraph.add_term(Op::Permute, &[class], &[swap]) else {
                continue;
            };
            let bindings = [("?a", a), ("?b", b), ("?p", swap)];
            let found = bind(egraph, rule, &bindings);
            steps.extend(apply(egraph, rule, transposed, found)?);
        }
        Ok(())
    }
}

/// The products of a tree, whose first leaf is of this number.
fn collect_products(tree: &Tree, first: usize, into: &mut Vec<Product>) {
    if let Tree::Node(class, children) = tree {
        let factors = (children.0.class(), children.1.class());
        into.push(Product {
            interval: (first, first + tree.len() - 1),
            class: *class,
            factors,
        });
        collect_products(&children.0, first, into);
        collect_products(&children.1, first + children.0.len(), into);
    }
}

fn collect_inner(tree: &Tree, root: bool, into: &mut FxHashSet<Id>) {
    if let Tree::Node(class, children) = tree {
        if !root {
            into.insert(*class);
        }
        collect_inner(&children.0, false, into);
        collect_inner(&children.1, false, into);
    }
}

fn bind(egraph: &TensorGraph, rule: &Rewrite, bindings: &[(&str, Id)]) -> Match {
    let bound = |name: &String| {
        bindings
            .iter()
            .find(|(n, _)| n == name)
            .map_or(Binding::Free, |(_, id)| Binding::Class(egraph.find(*id)))
    };
    Match {
        bindings: rule.variables.iter().map(bound).collect(),
        remainder: SmallVec::new(),
    }
}

/// A class as a product of at most so many factors, by its first product term.
fn flatten(egraph: &TensorGraph, class: Id, most: usize, path: &mut Vec<Id>) -> Tree {
    let product = egraph[class]
        .nodes
        .iter()
        .find(|t| t.op() == Some(Op::Matmul));
    let Some(term) = product.filter(|_| most >= 2) else {
        return Tree::Leaf(class);
    };
    let children: SmallVec<[Id; 2]> = term.children.iter().map(|&c| egraph.find(c)).collect();
    let expand = |child: Id, most: usize, path: &mut Vec<Id>| {
        // x = x·1 goes round in a circle.
        if path.contains(&child) {
            return Tree::Leaf(child);
        }
        path.push(child);
        let tree = flatten(egraph, child, most, path);
        path.pop();
        tree
    };
    let left = expand(children[0], most - 1, path);
    let right = expand(children[1], most - left.len(), path);
    Tree::Node(class, Box::new((left, right)))
}
