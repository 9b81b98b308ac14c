//! How a row of the tables is written.

use super::{Attribute, Change, Form, Print};
use crate::model::BondMode;

/// A row that may change at any time, in every mode, on every kernel; [`Attribute`]'s other fields by the methods.
pub(super) const fn row(name: &'static str, nla: u16, form: Form) -> Attribute {
    Attribute {
        name,
        nla,
        form,
        change: Change::Anytime,
        modes: &[],
        since: "",
        print: Print::Value,
        range: None,
    }
}

impl Attribute {
    pub(super) const fn when(mut self, change: Change) -> Self {
        self.change = change;
        self
    }
    pub(super) const fn only(mut self, modes: &'static [BondMode]) -> Self {
        self.modes = modes;
        self
    }
    pub(super) const fn since(mut self, kernel: &'static str) -> Self {
        self.since = kernel;
        self
    }
    /// The range that the kernel accepts, if narrower than the form's.
    pub(super) const fn within(mut self, low: i64, high: i64) -> Self {
        self.range = Some((low, high));
        self
    }
    pub(super) const fn print(mut self, print: Print) -> Self {
        self.print = print;
        self
    }
}
