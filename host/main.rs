//! The command line: parse, dispatch, exit code.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cli::streams;

/// Runs node-graph image workflows without a screen: personalised pictures from one reference picture and a prompt.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 120,
    after_help = "Examples:
  dc-graph run graphs/personalize.json --set prompt=\"a mug on the moon\" --output pictures
  dc-graph validate graphs/personalize.json
  dc-graph nodes \"Sample With Cache\"

Exit codes: 0 done, 1 the run failed, 2 invalid graph or usage, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(cli::run::Args),
    Validate(cli::validate::Args),
    Nodes(cli::nodes::Args),
    Schema(cli::schema::Args),
    Devices(cli::devices::Args),
    Model(cli::model::Args),
    Cache(cli::cache::Args),
    Image(cli::image::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => cli::run::run(&args),
        Command::Validate(args) => cli::validate::run(&args),
        Command::Nodes(args) => cli::nodes::run(&args),
        Command::Schema(args) => cli::schema::run(&args),
        Command::Devices(args) => cli::devices::run(&args),
        Command::Model(args) => cli::model::run(&args),
        Command::Cache(args) => cli::cache::run(&args),
        Command::Image(args) => cli::image::run(&args),
    };
    let exit = result.unwrap_or_else(|error| {
        streams::talk(&format!("error: {error:#}"));
        cli::exit::Exit::Failed
    });
    exit.into()
}
