//! Products that share a factor: before the search, the wider product that holds several of them enters the e-graph,
//! with a slice of it for each. Nothing is claimed here: that a slice is the product it stands for follows by the rules
//! for slices of products and of concatenations, and whether it pays is for extraction to say.

use egg::{Id, Language};
use rustc_hash::FxHashMap;

use crate::analysis::{Builder, TensorGraph, tensor_type};
use crate::attribute::Attribute;
use crate::bits::Bits;
use crate::op::Op;
use crate::tensor_type::Dim;

/// Products in one group.
const MOST: usize = 16;

/// A matrix product as it stands in a program.
#[derive(Debug, Clone, Copy)]
struct Product {
    left: Id,
    right: Id,
    /// What an `addmm` adds.
    summand: Option<Id>,
}

/// Which factor is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Left,
    Right,
}

/// Enters a wider product for each group of independent products that share a factor. The e-graph holds one program, as
/// [`crate::optimize::represent`] made it.
pub fn enter(egraph: &mut TensorGraph) {
    let (products, needs) = products(egraph);
    for side in [Side::Left, Side::Right] {
        for group in groups(egraph, &products, &needs, side) {
            let members: Vec<Product> = group.iter().map(|&i| products[i]).collect();
            // Without a sure type there is nothing to enter.
            let _ = widen(egraph, &members, side);
        }
    }
    egraph.rebuild();
}

/// The matrix that a factor repeats over a stack, else the factor: the product broadcasts by itself.
fn bare(egraph: &TensorGraph, id: Id) -> Id {
    let mut below = egraph.find(id);
    while let Some(term) = egraph[below].nodes.first()
        && matches!(term.op(), Some(Op::Expand | Op::Reshape))
    {
        let operand = egraph.find(term.children[0]);
        let same = tensor_type(egraph, operand) == tensor_type(egraph, below);
        let is_matrix = |id| tensor_type(egraph, id).is_some_and(|ty| ty.rank() == 2);
        if term.op() == Some(Op::Expand) && is_matrix(operand) {
            return operand;
        }
        if !same && term.op() == Some(Op::Reshape) {
            break;
        }
        below = operand;
    }
    egraph.find(id)
}

/// The products, operands before what uses them, and for each the products that it is made of.
fn products(egraph: &TensorGraph) -> (Vec<Product>, Vec<Bits>) {
    let classes: Vec<Id> = {
        let mut classes: Vec<Id> = egraph.classes().map(|class| class.id).collect();
        classes.sort_unstable();
        classes
    };
    let is_product = |&id: &Id| {
        let mut terms = egraph[id].nodes.iter();
        terms.any(|t| matches!(t.op(), Some(Op::Matmul | Op::Addmm)))
    };
    let count = classes.iter().filter(|id| is_product(id)).count();
    let (mut products, mut needs) = (Vec::new(), Vec::new());
    let mut below: FxHashMap<Id, Bits> = FxHashMap::default();
    // A program is stated operands first, so that their classes have the smaller numbers.
    for id in classes {
        let Some(term) = egraph[id].nodes.first() else {
            continue;
        };
        let mut made_of = Bits::with_capacity(count);
        for &child in term.children() {
            if let Some(bits) = below.get(&egraph.find(child)) {
                made_of.union(bits);
            }
        }
        let (operands, _) = term.split();
        let product = match (term.op(), operands) {
            (Some(Op::Matmul), &[left, right]) => Some((left, right, None)),
            (Some(Op::Addmm), &[summand, left, right]) => Some((left, right, Some(summand))),
            _ => None,
        };
        if let Some((left, right, summand)) = product
            && products.len() < count
        {
            needs.push(made_of.clone());
            made_of.insert(products.len());
            products.push(Product {
                left: egraph.find(left),
                right: bare(egraph, right),
                summand,
            });
        }
        below.insert(id, made_of);
    }
    (products, needs)
}

/// Groups of two or more products, by number, that share the factor on this side, whose other factors can be
/// concatenated, and of which none is made of another.
fn groups(
    egraph: &TensorGraph,
    products: &[Product],
    needs: &[Bits],
    side: Side,
) -> Vec<Vec<usize>> {
    type Key = (Id, Vec<Dim>);
    let mut groups: Vec<(Key, Vec<usize>)> = Vec::new();
    for (number, product) in products.iter().enumerate() {
        let Some((shared, other, axis)) = parts(egraph, *product, side) else {
            continue;
        };
        let mut shape = other;
        shape[axis] = Dim::Known(0);
        let key = (shared, shape);
        let independent = |members: &[usize]| members.iter().all(|&m| !needs[number].contains(m));
        let open = groups
            .iter_mut()
            .find(|(k, members)| *k == key && members.len() < MOST && independent(members));
        match open {
            Some((_, members)) => members.push(number),
            None => groups.push((key, vec![number])),
        }
    }
    let groups = groups.into_iter().map(|(_, members)| members);
    groups.filter(|members| members.len() > 1).collect()
}

/// The shared factor, the shape of the other one, and the axis along which others are concatenated, whose extent is known.
fn parts(egraph: &TensorGraph, product: Product, side: Side) -> Option<(Id, Vec<Dim>, usize)> {
    let (shared, other, back) = match side {
        Side::Left => (product.left, product.right, 1),
        Side::Right => (product.right, product.left, 2),
    };
    let shape = tensor_type(egraph, other)?.shape.clone();
    let axis = shape.len().checked_sub(back)?;
    shape[axis].known()?;
    Some((shared, shape, axis))
}

/// Adds the product of the shared factor with all others at once, and each member's slice of it.
fn widen(egraph: &mut TensorGraph, members: &[Product], side: Side) -> Option<()> {
    let first = members[0];
    let (shared, _, axis) = parts(egraph, first, side)?;
    let others: Vec<Id> = members
        .iter()
        .map(|m| if side == Side::Left { m.right } else { m.left })
        .collect();
    let extents: Option<Vec<i64>> = members
        .iter()
        .map(|&m| {
            let (_, shape, axis) = parts(egraph, m, side)?;
            shape[axis].known()
        })
        .collect();
    let extents = extents?;
    let all = concatenated(egraph, &others, axis)?;
    let summands = members
        .iter()
        .map(|m| m.summand)
        .collect::<Option<Vec<Id>>>();
    let wide = match (side, summands) {
        (Side::Left, Some(summands)) if are_rows(egraph, &summands, &extents) => {
            let summand = concatenated(egraph, &summands, 0)?;
            egraph.add_term(Op::Addmm, &[summand, shared, all], &[])?
        }
        (Side::Left, _) => egraph.add_term(Op::Matmul, &[shared, all], &[])?,
        (Side::Right, _) => egraph.add_term(Op::Matmul, &[all, shared], &[])?,
    };
    let back = if side == Side::Left { 1 } else { 2 };
    let axis = tensor_type(egraph, wide)?.rank().checked_sub(back)?;
    let mut start = 0;
    for extent in extents {
        let numbers = [i64::try_from(axis).ok()?, start, start + extent, 1];
        let attributes = numbers.map(|n| egraph.add_attribute(Attribute::Int(n)));
        egraph.add_term(Op::Slice, &[wide], &attributes)?;
        start += extent;
    }
    Some(())
}

/// Whether each summand is a row with one element for each column.
fn are_rows(egraph: &TensorGraph, summands: &[Id], extents: &[i64]) -> bool {
    summands.iter().zip(extents).all(|(&id, &extent)| {
        tensor_type(egraph, id).is_some_and(|ty| ty.shape == [Dim::Known(extent)])
    })
}

/// One after another, two at a time and halves first, so that each is moved few times.
fn concatenated(egraph: &mut TensorGraph, ids: &[Id], axis: usize) -> Option<Id> {
    if let &[id] = ids {
        return Some(id);
    }
    let (left, right) = ids.split_at(ids.len() / 2);
    let (left, right) = (
        concatenated(egraph, left, axis)?,
        concatenated(egraph, right, axis)?,
    );
    let axis = egraph.add_attribute(Attribute::Int(i64::try_from(axis).ok()?));
    egraph.add_term(Op::Cat, &[left, right], &[axis])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::TensorAnalysis;
    use crate::language::{Head, Term};
    use crate::tensor_type::{DType, TensorType};

    fn input(egraph: &mut TensorGraph, shape: &[i64]) -> Id {
        let number = u32::try_from(egraph.analysis.inputs.len()).unwrap();
        let ty = TensorType::new(DType::F32, shape);
        egraph.analysis.inputs.insert(number, (ty, false));
        egraph.add(Term::leaf(Head::Input(number)))
    }

    fn widths(egraph: &TensorGraph, op: Op) -> Vec<i64> {
        let classes = egraph.classes_for_op(&Head::Op(op)).into_iter().flatten();
        let mut widths: Vec<i64> = classes
            .filter_map(|id| tensor_type(egraph, id)?.shape.last()?.known())
            .collect();
        widths.sort_unstable();
        widths
    }

    #[test]
    fn independent_products_that_share_a_factor_get_a_wider_one() {
        let mut egraph = TensorGraph::new(TensorAnalysis::default());
        let x = input(&mut egraph, &[6, 5]);
        for width in [3, 4, 7] {
            let w = input(&mut egraph, &[5, width]);
            egraph.add_term(Op::Matmul, &[x, w], &[]).unwrap();
        }
        egraph.rebuild();
        enter(&mut egraph);
        assert_eq!(widths(&egraph, Op::Matmul), [3, 4, 7, 14]);
        assert_eq!(widths(&egraph, Op::Slice), [3, 4, 7]);
    }

    #[test]
    fn a_product_is_not_merged_with_one_that_it_is_made_of() {
        let mut egraph = TensorGraph::new(TensorAnalysis::default());
        let (mut h, w) = (input(&mut egraph, &[2, 5]), input(&mut egraph, &[5, 5]));
        for _ in 0..3 {
            h = egraph.add_term(Op::Matmul, &[h, w], &[]).unwrap();
        }
        egraph.rebuild();
        enter(&mut egraph);
        assert!(egraph.classes_for_op(&Head::Op(Op::Slice)).is_none());
    }
}
