//! The core's rules as stories: words in, events out; each is named by the rule it tells (docs/routing.md).

mod assignment;
mod by_hand;
mod consoles;
mod orphans;
mod story;
mod waiting;
