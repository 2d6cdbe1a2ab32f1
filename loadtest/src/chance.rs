//! Numbers drawn from a seed (splitmix64): the same run for the same seed.

#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f20_of_a_million_draws_five_percent_are_below_five_percent() {
        let mut chance = Chance::new(1);
        let below = (0..1_000_000).filter(|_| chance.below(100) < 5).count();
        assert!((49_000..=51_000).contains(&below), "{below}");
    }
}
