//! The skill tree: what a rep holds (R4.4, R4.5) and the search of R4.6, step by step.

use crate::{ids::SkillId, site::Skill};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Level {
    Less,
    More,
}

/// What a rep holds, by skill.
pub type Held = BTreeMap<SkillId, Level>;

/// R4.4: what is marked is held as more preferred, every descendant of it at least as less preferred.
pub fn held(tree: &BTreeMap<SkillId, Skill>, more: &BTreeSet<SkillId>) -> Held {
    let mut held = Held::new();
    if more.is_empty() {
        return held;
    }
    for &id in tree.keys() {
        if more.contains(&id) {
            held.insert(id, Level::More);
        } else if ancestors(tree, id).any(|above| more.contains(&above)) {
            held.insert(id, Level::Less);
        }
    }
    held
}

fn ancestors(tree: &BTreeMap<SkillId, Skill>, id: SkillId) -> impl Iterator<Item = SkillId> {
    let parent = |id: &SkillId| tree.get(id).and_then(|skill| skill.parent);
    std::iter::successors(parent(&id), parent).take(tree.len())
}

/// The skills still asked for at each step of R4.6, from all of them to none. Never empty; a list without skills has
/// one step. The lowest rank gives way first, among equals the one listed last; a parent that is asked for already is
/// not asked for twice.
pub fn steps(tree: &BTreeMap<SkillId, Skill>, skills: &[SkillId]) -> Vec<Vec<SkillId>> {
    let mut remaining: Vec<SkillId> = Vec::new();
    for skill in skills {
        if tree.contains_key(skill) && !remaining.contains(skill) {
            remaining.push(*skill);
        }
    }
    let mut steps = vec![remaining.clone()];
    let most = remaining.len() * (tree.len() + 1);
    while let Some(lowest) = lowest_ranked(tree, &remaining) {
        match tree[&remaining[lowest]].parent {
            Some(parent) if !remaining.contains(&parent) && tree.contains_key(&parent) && steps.len() <= most => {
                remaining[lowest] = parent;
            }
            _ => {
                remaining.remove(lowest);
            }
        }
        steps.push(remaining.clone());
    }
    steps
}

fn lowest_ranked(tree: &BTreeMap<SkillId, Skill>, remaining: &[SkillId]) -> Option<usize> {
    (0..remaining.len()).max_by_key(|&at| (tree[&remaining[at]].rank, at))
}

/// Does the rep match every skill asked for (R4.5)?
pub fn matches(held: &Held, asked: &[SkillId]) -> bool {
    asked.iter().all(|skill| held.contains_key(skill))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// antivirus(1) > norton(2) > live(3); network(4) > vpn(5). Roots rank 0 and 1.
    fn tree() -> BTreeMap<SkillId, Skill> {
        let skill =
            |code: &str, parent: Option<u32>, rank| Skill { code: code.into(), parent: parent.map(SkillId), rank };
        BTreeMap::from([
            (SkillId(1), skill("antivirus", None, 0)),
            (SkillId(2), skill("norton", Some(1), 0)),
            (SkillId(3), skill("live", Some(2), 0)),
            (SkillId(4), skill("network", None, 1)),
            (SkillId(5), skill("vpn", Some(4), 1)),
        ])
    }

    fn ids(numbers: &[u32]) -> Vec<SkillId> {
        numbers.iter().copied().map(SkillId).collect()
    }

    #[test]
    fn r4_4_marking_a_skill_more_preferred_makes_its_descendants_less_preferred() {
        let held = held(&tree(), &BTreeSet::from([SkillId(2)]));
        assert_eq!(held, Held::from([(SkillId(2), Level::More), (SkillId(3), Level::Less)]));
    }

    #[test]
    fn r4_5_holding_only_a_child_does_not_match_the_parent() {
        let held = held(&tree(), &BTreeSet::from([SkillId(2)]));
        assert!(matches(&held, &ids(&[2])) && matches(&held, &ids(&[3])) && !matches(&held, &ids(&[1])));
    }

    #[test]
    fn r4_6_the_lowest_rank_is_generalised_before_it_is_dropped() {
        let steps = steps(&tree(), &ids(&[5, 2]));
        assert_eq!(steps, [ids(&[5, 2]), ids(&[4, 2]), ids(&[2]), ids(&[1]), ids(&[])]);
    }

    #[test]
    fn r4_6_among_equals_in_rank_the_one_listed_last_goes_first() {
        assert_eq!(steps(&tree(), &ids(&[3, 1])), [ids(&[3, 1]), ids(&[3]), ids(&[2]), ids(&[1]), ids(&[])]);
        // The parent is asked for already: generalising to it leaves it once.
        assert_eq!(steps(&tree(), &ids(&[1, 2])), [ids(&[1, 2]), ids(&[1]), ids(&[])]);
    }
}
