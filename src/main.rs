//! The whole program on one screen: arguments, command, exit code.

use std::process::ExitCode;

use netapply::cli::{self, Complaint, Instead};
use netapply::run::{self, Exit};

fn main() -> ExitCode {
    let exit = match cli::parse(std::env::args_os().skip(1)) {
        Ok(args) => run::run(&args),
        Err(Instead::Complaint(Complaint(what))) => {
            run::complain(&what);
            Exit::Usage
        }
        Err(Instead::Answer(text)) => {
            // A reader that has gone away is no failure.
            let _ = text.print();
            Exit::Success
        }
        Err(Instead::Wrong(text)) => {
            let _ = text.print();
            Exit::Usage
        }
    };
    ExitCode::from(exit as u8)
}
