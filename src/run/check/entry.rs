//! Diagnostics in the form for programs.

use serde::Serialize;

use crate::diagnostic::DiagnosticRecord;

/// A description with its diagnostics.
#[derive(Serialize)]
pub(super) struct CheckedSource {
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    pub(super) format: &'static str,
    pub(super) diagnostics: Vec<ToldDiagnostic>,
}

/// A diagnostic, and whether it is in the baseline.
#[derive(Serialize)]
pub(super) struct ToldDiagnostic {
    #[serde(flatten)]
    pub(super) record: DiagnosticRecord,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) known: bool,
}
