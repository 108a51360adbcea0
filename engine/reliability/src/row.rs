//! A row of the table: what is injected, how often, and the function that does it.

use crate::trials::Trials;

/// One kind of fault.
pub struct Row {
    /// Its number in the table.
    pub number: u8,
    /// What is injected or tried.
    pub title: &'static str,
    /// How often.
    pub tries: Tries,
    /// Makes the tries and the controls.
    pub run: fn(&mut Trials),
}

/// How many tries a row makes.
#[derive(Clone, Copy)]
pub struct Tries {
    /// As a test.
    pub small: u64,
    /// For the figures.
    pub full: u64,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// A few, as a test.
    Small,
    /// For the figures.
    Full,
}

impl Tries {
    /// The number for an amount.
    pub fn of(self, amount: Amount) -> u64 {
        match amount {
            Amount::Small => self.small,
            Amount::Full => self.full,
        }
    }
}
