//! Where scratch buffers lie: in one arena, those that are never needed at the same time in the same place.

use super::buffer::{Buffer, Place};
use crate::error::{Error, Result};

/// Each buffer begins on a line of the caches.
pub(super) const ALIGNMENT: usize = 64;

/// The first and the last step that touch a buffer.
pub(super) type Life = Option<(usize, usize)>;

/// For each buffer its first byte in the arena (0 for those of the caller), and the bytes of the arena.
///
/// Buffers are placed in the order of their first steps, each in the first gap that holds it.
pub(super) fn plan(buffers: &[Buffer], lives: &[Life]) -> Result<(Vec<usize>, usize)> {
    let mut places = vec![0; buffers.len()];
    let mut order: Vec<usize> = (0..buffers.len())
        .filter(|&b| buffers[b].place == Place::Scratch && lives[b].is_some())
        .collect();
    order.sort_by_key(|&b| lives[b]);
    let too_large = || Error::new("scratch memory: more bytes than there can be");
    // What is alive, by its place: first byte, end, last step.
    let mut alive: Vec<(usize, usize, usize)> = Vec::new();
    let mut total = 0;
    for b in order {
        let Some((first, last)) = lives[b] else {
            continue;
        };
        alive.retain(|&(.., end)| end >= first);
        let bytes = buffers[b]
            .elements
            .checked_mul(buffers[b].kind.bytes())
            .and_then(|bytes| bytes.checked_next_multiple_of(ALIGNMENT))
            .ok_or_else(too_large)?;
        let (mut at, mut before) = (0usize, 0);
        for &(from, to, _) in &alive {
            if from - at >= bytes {
                break;
            }
            at = to;
            before += 1;
        }
        let end = at
            .checked_add(bytes)
            .filter(|&end| end <= isize::MAX as usize)
            .ok_or_else(too_large)?;
        places[b] = at;
        alive.insert(before, (at, end, last));
        total = total.max(end);
    }
    Ok((places, total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::buffer::Kind;

    #[test]
    fn what_lives_at_the_same_time_lies_apart_and_memory_is_used_again() {
        let mut draw = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let count = draw.usize(1..30);
            let buffers: Vec<Buffer> = (0..count)
                .map(|_| Buffer {
                    elements: draw.usize(0..500),
                    kind: [Kind::Float32, Kind::Bool, Kind::Int64][draw.usize(0..3)],
                    place: if draw.u8(0..5) == 0 {
                        Place::Argument
                    } else {
                        Place::Scratch
                    },
                })
                .collect();
            let lives: Vec<Life> = (0..count)
                .map(|_| {
                    let first = draw.usize(0..20);
                    (draw.u8(0..8) > 0).then(|| (first, first + draw.usize(0..6)))
                })
                .collect();
            let (places, total) = plan(&buffers, &lives).unwrap();
            let own = |b: usize| buffers[b].place == Place::Scratch;
            let end = |b: usize| places[b] + buffers[b].elements * buffers[b].kind.bytes();
            for a in (0..count).filter(|&a| own(a)) {
                let Some((first, last)) = lives[a] else {
                    continue;
                };
                assert!(places[a].is_multiple_of(ALIGNMENT) && end(a) <= total);
                for b in (0..a).filter(|&b| own(b)) {
                    let Some((other_first, other_last)) = lives[b] else {
                        continue;
                    };
                    if first <= other_last && other_first <= last {
                        assert!(
                            end(a) <= places[b]
                                || end(b) <= places[a]
                                || places[a] == end(a)
                                || places[b] == end(b)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_chain_takes_the_memory_of_two() {
        let buffers = vec![
            Buffer {
                elements: 16,
                kind: Kind::Float32,
                place: Place::Scratch
            };
            10
        ];
        let lives: Vec<Life> = (0..10).map(|i| Some((i, i + 1))).collect();
        assert_eq!(plan(&buffers, &lives).unwrap().1, 128);
    }
}
