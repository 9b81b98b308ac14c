//! netapply with the feature `fault`: what src/main.rs is, under a name of its own, so that building it leaves the
//! program alone that all other tests run.

use std::process::ExitCode;

fn main() -> ExitCode {
    match netapply::cli::parse(std::env::args_os().skip(1)) {
        Ok(args) => ExitCode::from(netapply::run::run(&args) as u8),
        Err(instead) => {
            eprintln!("{instead:?}");
            ExitCode::FAILURE
        }
    }
}
