//! The whole program on one screen: arguments, command, exit code.

use std::process::ExitCode;

use netapply::{cli, run};

fn main() -> ExitCode {
    let exit = match cli::parse(std::env::args_os().skip(1)) {
        Ok(args) => run::run(&args),
        Err(cli::Complaint(what)) => {
            eprintln!("netapply: {what}");
            run::Exit::Usage
        }
    };
    ExitCode::from(exit as u8)
}
