//! Congruence closure over ground terms, with explanations: which equations make two terms equal.
//!
//! After Nieuwenhuis and Oliveras, "Fast congruence closure and extensions" (Information and Computation, 2007).
//! It shares no code with the search, so that it can check what the search found.

use std::collections::BTreeSet;

use egg::Id;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use crate::analysis::{Builder, Known, OpaqueOp, keeps_constant};
use crate::attribute::Attribute;
use crate::language::{Head, Term};
use crate::op::Op;
use crate::range::{Range, range};
use crate::tensor_type::TensorType;

type Pairs = SmallVec<[(usize, usize); 4]>;

#[derive(Debug, Clone)]
enum Reason {
    /// The equation of this number.
    Equation(usize),
    /// Equal heads over equal operands, paired so.
    Congruent(Pairs),
}

/// What terms refer to: types of inputs, opaque operations.
#[derive(Debug, Default)]
pub struct Signature {
    pub inputs: FxHashMap<u32, TensorType>,
    pub opaque: Vec<OpaqueOp>,
}

/// Ground terms, which of them are equal, and why.
#[derive(Debug, Default)]
pub struct Congruence {
    signature: Signature,
    attributes: Vec<Attribute>,
    attribute_numbers: FxHashMap<Attribute, u32>,
    terms: Vec<Term>,
    numbers: FxHashMap<Term, usize>,
    types: Vec<Option<TensorType>>,
    /// Parent in the union-find structure.
    parent: Vec<usize>,
    /// Terms that use a member of the class, by representative.
    users: Vec<Vec<usize>>,
    /// The number that each element is, by representative.
    constants: Vec<Option<f64>>,
    canonical: FxHashMap<Term, usize>,
    /// The edge towards the root of the proof tree.
    proof: Vec<Option<(usize, Reason)>>,
    pending: Vec<(usize, usize, Reason)>,
    /// A pair of joined terms whose types differ.
    pub contradiction: Option<String>,
}

fn index(id: Id) -> usize {
    usize::from(id)
}

impl Congruence {
    pub fn new(signature: Signature) -> Self {
        Self {
            signature,
            ..Self::default()
        }
    }

    /// Adds a term over terms added before; the same term is added once.
    pub fn add(&mut self, head: Head, children: impl IntoIterator<Item = Id>) -> Id {
        let term = Term::new(head, children);
        if let Some(&number) = self.numbers.get(&term) {
            return Id::from(number);
        }
        let number = self.terms.len();
        let ty = self.type_of(&term);
        let constant = self.constant_of(&term);
        for &child in &term.children {
            let class = self.find(index(child));
            self.users[class].push(number);
        }
        self.terms.push(term.clone());
        self.numbers.insert(term, number);
        self.types.push(ty);
        self.parent.push(number);
        self.users.push(Vec::new());
        self.constants.push(constant);
        self.proof.push(None);
        self.file(number);
        self.close();
        Id::from(number)
    }

    /// The same for all terms that are known to be equal.
    pub fn representative(&self, id: Id) -> Id {
        Id::from(self.find(index(id)))
    }

    /// The term of this number.
    pub fn term(&self, id: Id) -> &Term {
        &self.terms[index(id)]
    }

    fn type_of(&self, term: &Term) -> Option<TensorType> {
        match term.head {
            Head::Attribute(_) => None,
            Head::Input(n) => self.signature.inputs.get(&n).cloned(),
            Head::Opaque(n) => self.signature.opaque.get(n as usize)?.ty.clone(),
            Head::Item(n) => match self.terms[index(term.children[0])].head {
                Head::Opaque(k) => self
                    .signature
                    .opaque
                    .get(k as usize)?
                    .items
                    .get(&n)
                    .cloned(),
                _ => None,
            },
            Head::Op(op) => {
                let (operands, attributes) = term.split();
                self.infer(op, operands, attributes)
            }
        }
    }

    fn constant_of(&self, term: &Term) -> Option<f64> {
        let (operands, attributes) = term.split();
        match term.op()? {
            Op::Const => self.attribute(attributes[0])?.float(),
            op if keeps_constant(op) => self.constant(operands[0]),
            _ => None,
        }
    }

    fn find(&self, mut term: usize) -> usize {
        while self.parent[term] != term {
            term = self.parent[term];
        }
        term
    }

    /// Whether two terms are known to be equal.
    pub fn equal(&self, a: Id, b: Id) -> bool {
        self.find(index(a)) == self.find(index(b))
    }

    /// The term over the classes of its operands.
    fn canonical_term(&self, number: usize) -> Term {
        let term = &self.terms[number];
        Term::new(
            term.head,
            term.children.iter().map(|&c| Id::from(self.find(index(c)))),
        )
    }

    /// Files a term under its canonical form; where another has it, the two are equal by congruence.
    fn file(&mut self, number: usize) {
        let canonical = self.canonical_term(number);
        match self.canonical.get(&canonical) {
            Some(&other) if self.find(other) != self.find(number) => {
                let pairs = self.pairs(number, other);
                self.pending.push((number, other, Reason::Congruent(pairs)));
            }
            Some(_) => {}
            None => {
                self.canonical.insert(canonical, number);
            }
        }
    }

    /// The operands of two congruent terms, each beside the one that it equals.
    fn pairs(&self, a: usize, b: usize) -> Pairs {
        let sorted = |number: usize| {
            let term = &self.terms[number];
            let mut children: SmallVec<[usize; 4]> =
                term.children.iter().map(|&c| index(c)).collect();
            if term.op().is_some_and(Op::is_commutative) {
                children.sort_by_key(|&c| self.find(c));
            }
            children
        };
        sorted(a).into_iter().zip(sorted(b)).collect()
    }

    /// Makes two terms equal by the equation of this number.
    pub fn equate(&mut self, a: Id, b: Id, equation: usize) {
        self.pending
            .push((index(a), index(b), Reason::Equation(equation)));
        self.close();
    }

    fn close(&mut self) {
        while let Some((a, b, reason)) = self.pending.pop() {
            let (mut winner, mut loser) = (self.find(a), self.find(b));
            if winner == loser {
                continue;
            }
            if self.types[a] != self.types[b] && self.contradiction.is_none() {
                let show = |t: &Option<TensorType>| {
                    t.as_ref().map_or("no tensor".into(), ToString::to_string)
                };
                self.contradiction = Some(format!(
                    "{} was joined with {}",
                    show(&self.types[a]),
                    show(&self.types[b])
                ));
            }
            self.turn_towards(a);
            self.proof[a] = Some((b, reason));
            if self.users[winner].len() < self.users[loser].len() {
                std::mem::swap(&mut winner, &mut loser);
            }
            self.parent[loser] = winner;
            let (of_winner, of_loser) = (self.constants[winner], self.constants[loser]);
            for user in std::mem::take(&mut self.users[loser]) {
                self.users[winner].push(user);
                self.file(user);
            }
            if of_winner.is_some() != of_loser.is_some() {
                self.constants[winner] = of_winner.or(of_loser);
                self.spread_constant(winner);
            }
        }
    }

    /// Tells the terms over a class whose constant has become known, and those over them.
    fn spread_constant(&mut self, class: usize) {
        let mut work = vec![class];
        while let Some(class) = work.pop() {
            for user in self.users[class].clone() {
                let above = self.find(user);
                if self.constants[above].is_none() {
                    self.constants[above] = self.constant_of(&self.terms[user]);
                    if self.constants[above].is_some() {
                        work.push(above);
                    }
                }
            }
        }
    }

    /// Makes a term the root of its proof tree.
    fn turn_towards(&mut self, term: usize) {
        let mut edge = self.proof[term].take();
        let mut at = term;
        while let Some((next, reason)) = edge {
            edge = self.proof[next].replace((at, reason));
            at = next;
        }
    }

    /// The numbers of the equations from which the pairs' equality follows; `None` where one does not follow.
    pub fn explain(&self, pairs: &[(Id, Id)]) -> Option<BTreeSet<usize>> {
        let mut used = BTreeSet::new();
        let mut done: FxHashSet<(usize, usize)> = FxHashSet::default();
        let mut work: Vec<(usize, usize)> =
            pairs.iter().map(|&(a, b)| (index(a), index(b))).collect();
        while let Some((a, b)) = work.pop() {
            if a == b || !done.insert((a, b)) {
                continue;
            }
            let on_the_way: FxHashSet<usize> = self.towards_root(a).collect();
            let meeting = self.towards_root(b).find(|t| on_the_way.contains(t))?;
            for start in [a, b] {
                for term in self.towards_root(start).take_while(|&t| t != meeting) {
                    match &self.proof[term].as_ref()?.1 {
                        Reason::Equation(number) => {
                            used.insert(*number);
                        }
                        Reason::Congruent(pairs) => work.extend(pairs.iter().copied()),
                    }
                }
            }
        }
        Some(used)
    }

    fn towards_root(&self, term: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(term), |&t| {
            self.proof[t].as_ref().map(|(next, _)| *next)
        })
    }
}

impl Known for Congruence {
    fn tensor_type(&self, id: Id) -> Option<&TensorType> {
        self.types.get(index(id))?.as_ref()
    }

    fn attribute(&self, id: Id) -> Option<&Attribute> {
        match self.terms.get(index(id))?.head {
            Head::Attribute(number) => self.attributes.get(number as usize),
            _ => None,
        }
    }

    fn constant(&self, id: Id) -> Option<f64> {
        self.constants[self.find(index(id))]
    }

    /// Of this very term, whatever it equals: an equal one may be rounded otherwise.
    fn range(&self, id: Id) -> Range {
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        let mut stack = vec![index(id)];
        while let Some(term) = stack.pop() {
            if needed.insert(term) {
                stack.extend(self.terms[term].split().0.iter().map(|&c| index(c)));
            }
        }
        // Operands have smaller numbers than what uses them.
        let mut ranges: FxHashMap<usize, Range> = FxHashMap::default();
        for &number in &needed {
            let term = &self.terms[number];
            let (operands, attributes) = term.split();
            let found = match (&self.types[number], term.op()) {
                (Some(ty), Some(op)) => {
                    let known: SmallVec<[Range; 4]> =
                        operands.iter().map(|&o| ranges[&index(o)]).collect();
                    let attributes: SmallVec<[&Attribute; 4]> = attributes
                        .iter()
                        .filter_map(|&a| self.attribute(a))
                        .collect();
                    let equal = |i: usize, j: usize| self.equal(operands[i], operands[j]);
                    range(op, &known, &equal, &attributes, ty)
                }
                (Some(ty), None) => Range::of(ty),
                (None, _) => Range {
                    low: f64::NEG_INFINITY,
                    high: f64::INFINITY,
                    nan: true,
                },
            };
            ranges.insert(number, found);
        }
        ranges[&index(id)]
    }
}

impl Builder for Congruence {
    fn add_term(&mut self, op: Op, operands: &[Id], attributes: &[Id]) -> Option<Id> {
        self.infer(op, operands, attributes)?;
        Some(self.add(Head::Op(op), operands.iter().chain(attributes).copied()))
    }

    fn add_attribute(&mut self, attribute: Attribute) -> Id {
        let number = match self.attribute_numbers.get(&attribute) {
            Some(&number) => number,
            None => {
                let number =
                    u32::try_from(self.attributes.len()).expect("fewer than 2³² attributes");
                self.attributes.push(attribute.clone());
                self.attribute_numbers.insert(attribute, number);
                number
            }
        };
        self.add(Head::Attribute(number), [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_type::DType;

    fn bank(inputs: u32) -> (Congruence, Vec<Id>) {
        let ty = TensorType::new(DType::F32, &[4, 4]);
        let signature = Signature {
            inputs: (0..inputs).map(|n| (n, ty.clone())).collect(),
            opaque: Vec::new(),
        };
        let mut bank = Congruence::new(signature);
        let ids = (0..inputs).map(|n| bank.add(Head::Input(n), [])).collect();
        (bank, ids)
    }

    #[test]
    fn equal_operands_make_equal_terms_and_the_explanation_names_just_what_is_needed() {
        let (mut bank, x) = bank(4);
        let f = bank.add(Head::Op(Op::Exp), [x[0]]);
        let g = bank.add(Head::Op(Op::Exp), [x[2]]);
        bank.equate(x[0], x[1], 0);
        bank.equate(x[3], x[0], 1);
        bank.equate(x[1], x[2], 2);
        assert!(bank.equal(f, g));
        assert_eq!(bank.explain(&[(f, g)]), Some(BTreeSet::from([0, 2])));
    }

    #[test]
    fn sums_are_congruent_in_any_order() {
        let (mut bank, x) = bank(3);
        let a = bank.add(Head::Op(Op::Add), [x[0], x[1]]);
        let b = bank.add(Head::Op(Op::Add), [x[2], x[0]]);
        assert!(!bank.equal(a, b));
        bank.equate(x[2], x[1], 7);
        assert_eq!(bank.explain(&[(a, b)]), Some(BTreeSet::from([7])));
    }

    #[test]
    fn a_constant_that_becomes_known_is_known_of_all_that_spreads_it() {
        let (mut bank, x) = bank(1);
        let axes = bank.add_attribute(Attribute::Axes(vec![1, 0]));
        let turned = bank.add(Head::Op(Op::Permute), [x[0], axes]);
        let back = bank.add(Head::Op(Op::Permute), [turned, axes]);
        let like = TensorType::new(DType::F32, &[]);
        let zero = bank.add_constant(0.0, &like);
        let shape =
            bank.add_attribute(Attribute::Shape(TensorType::new(DType::F32, &[4, 4]).shape));
        let zeros = zero.map(|zero| bank.add(Head::Op(Op::Expand), [zero, shape]));
        assert_eq!(bank.constant(back), None);
        bank.equate(x[0], zeros.expect("a constant"), 0);
        assert_eq!(bank.constant(turned), Some(0.0));
        assert_eq!(bank.constant(back), Some(0.0));
    }

    #[test]
    fn what_does_not_follow_is_not_explained() {
        let (bank, x) = bank(2);
        assert_eq!(bank.explain(&[(x[0], x[1])]), None);
    }
}
