//! Linear equations over constants, for the method of unknown coefficients.

use std::collections::BTreeMap;

use super::canonical::Context;
use super::kernel::Fraction;
use super::monomial::Monomial;
use super::polynomial::Polynomial;
use crate::error::Result;

/// Constants c with Σ cᵢ·partsᵢ = target as an identity in the generators that vary; none when there are none.
///
/// # Errors
/// When the budget is spent.
pub fn solve_linear(
    context: &mut Context,
    parts: &[Fraction],
    target: &Fraction,
    varies: &dyn Fn(&Context, u32) -> bool,
) -> Result<Option<Vec<Fraction>>> {
    let mut den = target.den.clone();
    for part in parts {
        den = context.common_multiple(&den, &part.den)?;
    }
    // One row a monomial of the varying generators; the last column is the target.
    let count = parts.len();
    let mut rows: BTreeMap<Monomial, Vec<Polynomial>> = BTreeMap::new();
    for (column, part) in parts.iter().chain(std::iter::once(target)).enumerate() {
        let numerator = context.over(part, &den)?;
        for (monomial, coefficient) in numerator.terms() {
            let (mut outer, mut inner) = (Monomial::one(), Monomial::one());
            for &(generator, exponent) in &monomial.0 {
                let factor = Monomial::power(generator, exponent);
                if varies(context, generator) {
                    outer = outer.mul(&factor);
                } else {
                    inner = inner.mul(&factor);
                }
            }
            let row = rows
                .entry(outer)
                .or_insert_with(|| vec![Polynomial::zero(); count + 1]);
            row[column] = row[column].add(&Polynomial::term(inner, coefficient.clone()));
        }
    }
    let mut matrix: Vec<Vec<Fraction>> = rows
        .into_values()
        .map(|row| row.into_iter().map(Fraction::polynomial).collect())
        .collect();
    let mut pivots: Vec<(usize, usize)> = Vec::new();
    let mut next_row = 0;
    for column in 0..count {
        let Some(found) = (next_row..matrix.len()).find(|&row| !matrix[row][column].is_zero())
        else {
            continue;
        };
        matrix.swap(next_row, found);
        let pivot = matrix[next_row][column].clone();
        for entry in &mut matrix[next_row] {
            *entry = context.div(entry, &pivot)?;
        }
        let base = matrix[next_row].clone();
        for (index, row) in matrix.iter_mut().enumerate() {
            if index == next_row || row[column].is_zero() {
                continue;
            }
            let factor = row[column].neg();
            for (entry, value) in row.iter_mut().zip(&base).skip(column) {
                if !value.is_zero() {
                    let product = context.mul(&factor, value)?;
                    *entry = context.add(entry, &product)?;
                }
            }
        }
        pivots.push((next_row, column));
        next_row += 1;
    }
    if matrix[next_row..].iter().any(|row| !row[count].is_zero()) {
        return Ok(None);
    }
    let mut solution = vec![Fraction::zero(); count];
    for (row, column) in pivots {
        solution[column] = matrix[row][count].clone();
    }
    Ok(Some(solution))
}
