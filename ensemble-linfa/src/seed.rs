//! One seed out of two: the fit's own and the learner's `random_state`.

/// A fixed mix (the finalizer of splitmix64) of a fit's seed with a learner's.
pub(crate) fn mixed(fit: u64, own: u64) -> u64 {
    let mut z = fit ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
