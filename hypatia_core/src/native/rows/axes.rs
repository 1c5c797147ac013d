//! The loops of a step over rows: which there are, and in which order.

use crate::native::view::Region;

/// Where a view goes along the loops.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub buffer: usize,
    pub offset: usize,
    /// Elements from one place to the next along each outer loop,
    pub outer: Vec<usize>,
    /// from one row of a block to the next,
    pub row: usize,
    /// and along a row.
    pub column: usize,
}

/// Sizes of the loops, from the outermost.
#[derive(Debug, Clone)]
pub(super) struct Axes {
    pub outer: Vec<usize>,
    /// Rows that may lie in one block.
    pub rows: usize,
    pub columns: usize,
}

/// One loop: its size, and the stride of each view along it.
#[derive(Debug, Clone)]
struct Loop {
    size: usize,
    strides: Vec<usize>,
}

impl Axes {
    /// The loops over regions of the same sizes, first those that are stored; where the last one may not be any of them
    /// it is `kept`. Loops of one turn are left out, those that go on as one are one, and what lies together in the
    /// result is written together.
    pub fn of(regions: &[&Region], kept: bool) -> (Self, Vec<Way>) {
        let sizes = &regions[0].sizes;
        let mut loops: Vec<Loop> = (0..sizes.len())
            .map(|axis| Loop {
                size: sizes[axis],
                strides: regions
                    .iter()
                    .map(|region| region.view.strides[axis])
                    .collect(),
            })
            .collect();
        let last = if kept { loops.pop() } else { None };
        loops.retain(|one| one.size != 1);
        loops.sort_by(|a, b| b.strides.cmp(&a.strides));
        let mut joined: Vec<Loop> = Vec::with_capacity(loops.len());
        for inner in loops {
            match joined.last_mut() {
                Some(outer) if goes_on(outer, &inner) => {
                    outer.size *= inner.size;
                    outer.strides = inner.strides;
                }
                _ => joined.push(inner),
            }
        }
        let one = || Loop {
            size: 1,
            strides: vec![0; regions.len()],
        };
        let row = last.or_else(|| joined.pop()).unwrap_or_else(one);
        // A view that is read across its elements is read along them by the rows of a block.
        let across = (0..joined.len()).rev().find(|&axis| {
            let strides = joined[axis].strides.iter().zip(&row.strides);
            strides
                .into_iter()
                .any(|(&next, &column)| next == 1 && column > 1)
        });
        let rows = match across {
            Some(axis) => joined.remove(axis),
            None => joined.pop().unwrap_or_else(one),
        };
        let ways = regions.iter().enumerate().map(|(i, region)| Way {
            buffer: region.view.buffer,
            offset: region.view.offset,
            outer: joined.iter().map(|one| one.strides[i]).collect(),
            row: if rows.size == 1 { 0 } else { rows.strides[i] },
            column: if row.size == 1 { 0 } else { row.strides[i] },
        });
        let ways = ways.collect();
        let axes = Self {
            outer: joined.iter().map(|one| one.size).collect(),
            rows: rows.size,
            columns: row.size,
        };
        (axes, ways)
    }
}

/// Whether the inner loop's end is the outer one's next turn, in every view.
fn goes_on(outer: &Loop, inner: &Loop) -> bool {
    let strides = outer.strides.iter().zip(&inner.strides);
    strides
        .into_iter()
        .all(|(&outer, &next)| outer == inner.size * next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::view::View;

    fn region(sizes: &[usize], strides: &[usize]) -> Region {
        Region {
            view: View {
                buffer: 0,
                offset: 7,
                strides: strides.to_vec(),
            },
            sizes: sizes.to_vec(),
        }
    }

    #[test]
    fn what_lies_together_is_one_loop() {
        let a = region(&[2, 3, 1, 4], &[12, 4, 9, 1]);
        let (axes, ways) = Axes::of(&[&a, &a], false);
        assert_eq!((axes.outer.len(), axes.rows, axes.columns), (0, 1, 24));
        assert_eq!((ways[1].offset, ways[1].column), (7, 1));
        let (axes, _) = Axes::of(&[&a], true);
        assert_eq!((axes.outer.len(), axes.rows, axes.columns), (0, 6, 4));
    }

    #[test]
    fn a_bias_goes_along_the_rows_and_a_result_is_written_in_its_order() {
        let (to, bias) = (
            region(&[2, 3, 4], &[12, 1, 3]),
            region(&[2, 3, 4], &[0, 1, 0]),
        );
        let (axes, ways) = Axes::of(&[&to, &bias], false);
        assert_eq!((&axes.outer[..], axes.rows, axes.columns), (&[][..], 8, 3));
        assert_eq!((ways[1].row, ways[1].column), (0, 1));
    }

    #[test]
    fn what_is_transposed_is_read_along_its_rows() {
        let (to, from) = (
            region(&[5, 6, 7, 8], &[336, 56, 8, 1]),
            region(&[5, 6, 7, 8], &[7, 35, 1, 210]),
        );
        let (axes, ways) = Axes::of(&[&to, &from], false);
        assert_eq!((axes.rows, axes.columns, ways[1].row), (7, 8, 1));
    }
}
