//! How every example ends.

use std::process::ExitCode;

/// Prints an error with its cause and leaves with 1.
pub fn exit_on_error(result: limbic::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
