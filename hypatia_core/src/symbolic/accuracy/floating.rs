//! Doubles as points on a line of ordinals, and the error of one double against another in bits.

/// The place of a finite double among all doubles: neighbours differ by one, both zeros are 0.
pub fn ordinal(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    if bits < 0 { i64::MIN - bits } else { bits }
}

/// The double at this place.
pub fn from_ordinal(place: i64) -> f64 {
    f64::from_bits(if place < 0 {
        (i64::MIN - place) as u64
    } else {
        place as u64
    })
}

/// The error when the computation gives no number at all.
pub const WORST: f64 = 64.0;

/// The bits that are wrong in `found`: the logarithm to base two of one and the doubles between the two.
pub fn bits_of_error(found: f64, exact: f64) -> f64 {
    if found.is_nan() {
        return WORST;
    }
    let steps = ordinal(found).abs_diff(ordinal(exact));
    (1.0 + steps as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_differ_by_one_place() {
        assert_eq!(ordinal(0.0), ordinal(-0.0));
        assert_eq!(ordinal(5e-324), 1);
        assert_eq!(ordinal(-5e-324), -1);
        for value in [1.5, -1.5, 0.0, f64::MAX, f64::MIN, 1e-310] {
            assert_eq!(from_ordinal(ordinal(value)), value);
        }
        assert_eq!(bits_of_error(1.0, 1.0), 0.0);
        assert_eq!(bits_of_error(1.0 + f64::EPSILON, 1.0), 1.0);
        assert_eq!(bits_of_error(f64::NAN, 1.0), WORST);
    }
}
