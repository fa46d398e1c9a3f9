//! The binary `tombolo`: command line, configuration, telemetry, start and stop.

mod cli;
mod commands;
mod config;
mod env;
mod folder;
mod output;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}
