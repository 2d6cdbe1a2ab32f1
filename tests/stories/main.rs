//! The core's rules as stories: words in, events out; each is named by the rule it tells (docs/routing.md).

mod assignment;
mod buttons;
mod by_hand;
mod consoles;
mod customers;
mod eligibility;
mod explain;
mod fallback;
mod history;
mod inactivity;
mod jumps;
mod logins;
mod offers;
mod orphans;
mod overdue;
mod people;
mod refusals;
mod skills;
mod story;
mod vocabulary;
mod waiting;
