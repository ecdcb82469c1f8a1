//! Orders and seeds that are the same on every machine and in every release.

/// A permutation of `0..n` by Fisher and Yates from a splitmix64 stream: the same on every machine and in every release.
pub(crate) fn permutation(n: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2^32 rows")).collect();
    let mut state = seed;
    for i in (1..n).rev() {
        let bound = (i + 1) as u64;
        // Lemire's multiply-and-reject: unbiased.
        let pick = loop {
            let wide = u128::from(splitmix64(&mut state)) * u128::from(bound);
            if (wide as u64) >= bound.wrapping_neg() % bound {
                break (wide >> 64) as usize;
            }
        };
        order.swap(i, pick);
    }
    order
}

/// The next value of Steele, Lea and Flood's splitmix64.
pub(crate) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The seed of one fit, from where it stands and never from the thread that runs it.
pub(crate) fn seed_for(run: u64, layer: usize, learner: usize, fold: Option<usize>) -> u64 {
    let mut state = run;
    for part in [layer as u64, learner as u64, fold.map_or(u64::MAX, |f| f as u64)] {
        state = splitmix64(&mut state) ^ part;
    }
    splitmix64(&mut state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_permutation_holds_every_row_once(n in 1usize..500, seed: u64) {
            let mut order = permutation(n, seed);
            order.sort_unstable();
            prop_assert!(order.iter().enumerate().all(|(i, r)| i == *r as usize));
        }
    }
}
