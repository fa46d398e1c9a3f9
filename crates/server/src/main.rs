//! The binary `tombolo`: command line, configuration, telemetry, start and stop.

mod cli;
mod commands;
mod config;
mod env;
mod folder;
mod listener;
mod mail;
mod open_files;
mod output;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

// The system's allocator keeps what a burst of requests and the password hash once took; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
