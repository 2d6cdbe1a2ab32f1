//! One engine for every stack of P2: who gives a value, over layers in order.

/// What one layer says about one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Say {
    NotDefined,
    Defined,
    /// Wins over all layers before it (P2).
    Final,
}

/// The layer that gives the value: the last that is final, else the first that defines it.
///
/// The stacks differ in their order alone. The session policy stack (P2.1) goes from the jump item down. Group policies
/// (P2.2) are read from the lowest priority up, technician groups (P2.3) from the member's own group up to the root: so
/// "final against what comes after" and "locked for all below" are the same thing here.
pub fn resolve<L>(layers: impl IntoIterator<Item = (Say, L)>) -> Option<L> {
    let mut first = None;
    let mut last_final = None;
    for (say, layer) in layers {
        match say {
            Say::NotDefined => {}
            Say::Defined if first.is_none() => first = Some(layer),
            Say::Defined => {}
            Say::Final => last_final = Some(layer),
        }
    }
    last_final.or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Say::*;

    #[test]
    fn p2_the_first_layer_that_defines_a_value_gives_it() {
        assert_eq!(resolve([(NotDefined, 1), (Defined, 2), (Defined, 3)]), Some(2));
        assert_eq!(resolve([(NotDefined, 1), (NotDefined, 2)]), None);
        assert_eq!(resolve::<u8>([]), None);
    }

    #[test]
    fn p2_a_final_layer_wins_over_all_it_is_final_against() {
        assert_eq!(resolve([(Defined, 1), (Final, 2), (Defined, 3)]), Some(2));
        assert_eq!(resolve([(Defined, 1), (Final, 2), (Final, 3)]), Some(3));
    }
}
