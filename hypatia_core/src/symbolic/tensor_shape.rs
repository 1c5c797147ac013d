//! Shapes of tensor expressions: free extents, made equal where the operators need it.

use indexmap::IndexMap;
use num_traits::ToPrimitive;
use rustc_hash::FxHashMap;

use super::expression::{Expression, Operator};
use super::function::Function;
use crate::error::{Error, Result};

/// A free extent, by number.
pub type Extent = usize;

/// The shapes of every part of two expressions over the same variables.
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    parents: Vec<Extent>,
    variables: IndexMap<String, Vec<Extent>>,
    parts: FxHashMap<Expression, Vec<Extent>>,
    /// Extents of convolutions, by what they follow from.
    derived: FxHashMap<(String, Vec<Extent>), Extent>,
}

/// An integer that stands as an argument, such as an axis.
pub fn literal(expression: &Expression) -> Option<i64> {
    match expression.operator() {
        Operator::Neg => literal(&expression.arguments()[0]).map(|value| -value),
        _ => expression
            .as_rational()
            .filter(|value| value.is_integer())
            .and_then(|value| value.to_integer().to_i64()),
    }
}

/// The axis an argument names, counted from the end where it is negative.
pub fn axis(argument: Option<&Expression>, rank: usize, otherwise: i64) -> Result<usize> {
    let named = match argument {
        Some(argument) => {
            literal(argument).ok_or_else(|| Error::new("an axis has to be an integer"))?
        }
        None => otherwise,
    };
    let place = if named < 0 {
        named + rank as i64
    } else {
        named
    };
    usize::try_from(place)
        .ok()
        .filter(|place| *place < rank)
        .ok_or_else(|| Error::new(format!("axis {named} of a tensor with {rank} dimensions")))
}

impl Shapes {
    /// The shapes of both sides, whose results have the same one.
    ///
    /// Variables are matrices, save where an operator says otherwise: biases and weights of norms are vectors,
    /// what is convolved has four dimensions.
    ///
    /// # Errors
    /// When ranks clash, or an operator's shape does not follow from its arguments' shapes.
    pub fn of(left: &Expression, right: &Expression) -> Result<Self> {
        let mut shapes = Self::default();
        shapes.declare(left, right)?;
        // The second time all extents that are equal are known to be.
        for _ in 0..2 {
            shapes.parts.clear();
            let ours = shapes.infer(left)?;
            let theirs = shapes.infer(right)?;
            if ours.len() != theirs.len() {
                return Err(Error::new(format!(
                    "the left side has {} dimensions and the right side {}",
                    ours.len(),
                    theirs.len()
                )));
            }
            for (a, b) in ours.iter().zip(&theirs) {
                shapes.unite(*a, *b);
            }
        }
        Ok(shapes)
    }

    /// The variables and their extents, in the order in which they occur.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Vec<Extent>)> {
        self.variables
            .iter()
            .map(|(name, shape)| (name.as_str(), self.resolved(shape)))
    }

    /// The extents of a part.
    pub fn part(&self, part: &Expression) -> Option<Vec<Extent>> {
        self.parts.get(part).map(|shape| self.resolved(shape))
    }

    fn resolved(&self, shape: &[Extent]) -> Vec<Extent> {
        shape.iter().map(|extent| self.find(*extent)).collect()
    }

    fn find(&self, mut extent: Extent) -> Extent {
        while self.parents[extent] != extent {
            extent = self.parents[extent];
        }
        extent
    }

    fn fresh(&mut self) -> Extent {
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    fn unite(&mut self, a: Extent, b: Extent) {
        let (a, b) = (self.find(a), self.find(b));
        let (least, other) = (a.min(b), a.max(b));
        self.parents[other] = least;
    }

    /// Gives every variable its rank, by the operators that use it.
    fn declare(&mut self, left: &Expression, right: &Expression) -> Result<()> {
        let mut ranks: Vec<(Expression, usize)> = Vec::new();
        for node in left.post_order().into_iter().chain(right.post_order()) {
            let Operator::Tensor(operator) = node.operator() else {
                continue;
            };
            for (place, argument) in node.arguments().iter().enumerate() {
                let rank = match (operator.name, place) {
                    ("linear", 2) | ("layernorm", 1 | 2) | ("conv2d", 2) => 1,
                    ("conv2d", 0 | 1) => 4,
                    _ => continue,
                };
                ranks.push((argument.clone(), rank));
            }
        }
        for name in left.variables().into_iter().chain(right.variables()) {
            let variable = Expression::variable(&name);
            let mut wanted = ranks
                .iter()
                .filter(|(part, _)| *part == variable)
                .map(|(_, rank)| *rank);
            let rank = wanted.next().unwrap_or(2);
            if wanted.any(|other| other != rank) {
                return Err(Error::new(format!("'{name}' is used with several ranks")));
            }
            if !self.variables.contains_key(&*name) {
                let shape = (0..rank).map(|_| self.fresh()).collect();
                self.variables.insert(name.to_string(), shape);
            }
        }
        Ok(())
    }

    fn infer(&mut self, side: &Expression) -> Result<Vec<Extent>> {
        for node in side.post_order() {
            if self.parts.contains_key(&node) {
                continue;
            }
            let arguments: Vec<Vec<Extent>> = node
                .arguments()
                .iter()
                .map(|argument| self.parts[argument].clone())
                .collect();
            let shape = self.node(&node, &arguments)?;
            self.parts.insert(node, shape);
        }
        Ok(self.parts[side].clone())
    }

    fn node(&mut self, node: &Expression, arguments: &[Vec<Extent>]) -> Result<Vec<Extent>> {
        match node.operator() {
            Operator::Rational(_) | Operator::Float(_) | Operator::Pi => Ok(Vec::new()),
            Operator::Variable(name) => Ok(self.variables[&**name].clone()),
            Operator::Add | Operator::Sub | Operator::Mul | Operator::Div => {
                self.broadcast(&arguments[0], &arguments[1])
            }
            Operator::Neg => Ok(arguments[0].clone()),
            Operator::Pow => self.broadcast(&arguments[0], &arguments[1]),
            Operator::Function(Function::Max | Function::Min | Function::Hypot) => {
                self.broadcast(&arguments[0], &arguments[1])
            }
            Operator::Function(_) => Ok(arguments[0].clone()),
            Operator::Tensor(operator) => self.tensor(operator.name, node, arguments),
        }
    }

    /// The same shape, or the end of it: a number or a vector beside a matrix.
    fn broadcast(&mut self, a: &[Extent], b: &[Extent]) -> Result<Vec<Extent>> {
        let (long, short) = if a.len() >= b.len() { (a, b) } else { (b, a) };
        for (x, y) in long.iter().rev().zip(short.iter().rev()) {
            self.unite(*x, *y);
        }
        Ok(long.to_vec())
    }

    fn tensor(
        &mut self,
        name: &str,
        node: &Expression,
        arguments: &[Vec<Extent>],
    ) -> Result<Vec<Extent>> {
        let given = node.arguments();
        let matrix = |place: usize| -> Result<(Extent, Extent)> {
            match arguments[place][..] {
                [rows, columns] => Ok((rows, columns)),
                _ => Err(Error::new(format!("'{name}' is known of matrices here"))),
            }
        };
        match name {
            "matmul" => {
                let ((rows, inner), (other, columns)) = (matrix(0)?, matrix(1)?);
                self.unite(inner, other);
                Ok(vec![rows, columns])
            }
            "linear" => {
                let ((rows, inner), (columns, other)) = (matrix(0)?, matrix(1)?);
                self.unite(inner, other);
                if let Some(bias) = arguments.get(2) {
                    self.broadcast(&[rows, columns], bias)?;
                }
                Ok(vec![rows, columns])
            }
            "transpose" => {
                let (rows, columns) = matrix(0)?;
                if given.len() == 1 {
                    return Ok(vec![columns, rows]);
                }
                let (first, second) = (axis(given.get(1), 2, 0)?, axis(given.get(2), 2, 1)?);
                Ok(if first == second {
                    vec![rows, columns]
                } else {
                    vec![columns, rows]
                })
            }
            "softmax" | "log_softmax" => {
                axis(given.get(1), arguments[0].len(), -1)?;
                Ok(arguments[0].clone())
            }
            "layernorm" => {
                for vector in arguments.iter().skip(1).take(2) {
                    self.broadcast(&arguments[0], vector)?;
                }
                Ok(arguments[0].clone())
            }
            "attention" => {
                let ((queries, width), (keys, other)) = (matrix(0)?, matrix(1)?);
                let (values, columns) = matrix(2)?;
                self.unite(width, other);
                self.unite(keys, values);
                if let Some(mask) = arguments.get(3) {
                    self.broadcast(&[queries, keys], mask)?;
                }
                Ok(vec![queries, columns])
            }
            "conv2d" => {
                let ([batch, channels, ..], [maps, depth, ..]) =
                    (&arguments[0][..], &arguments[1][..])
                else {
                    return Err(Error::new("'conv2d' takes tensors with four dimensions"));
                };
                let text: Vec<String> = given[3.min(given.len())..]
                    .iter()
                    .map(|g| format!("{g:?}"))
                    .collect();
                let (batch, maps) = (*batch, *maps);
                if given.len() < 7 {
                    self.unite(*channels, *depth);
                }
                if let Some(bias) = arguments.get(2) {
                    self.broadcast(&[maps], bias)?;
                }
                let mut shape = vec![batch, maps];
                for place in [2, 3] {
                    let from = vec![
                        self.find(arguments[0][place]),
                        self.find(arguments[1][place]),
                    ];
                    let key = (format!("{place}{text:?}"), from);
                    let extent = match self.derived.get(&key) {
                        Some(extent) => *extent,
                        None => self.fresh(),
                    };
                    self.derived.insert(key, extent);
                    shape.push(extent);
                }
                Ok(shape)
            }
            "sum" | "mean" => match given.get(1) {
                None => Ok(Vec::new()),
                Some(_) => {
                    let place = axis(given.get(1), arguments[0].len(), -1)?;
                    let mut shape = arguments[0].clone();
                    shape.remove(place);
                    Ok(shape)
                }
            },
            _ => Err(Error::new(format!(
                "the shape of '{name}' does not follow from free shapes"
            ))),
        }
    }
}
