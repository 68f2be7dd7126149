//! `completion`: scripts for shells that call the binary by its own name.
//!
//! `kubectl podlife <TAB>` goes another way; see [`super::complete`].

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// Print a completion script for a shell.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  # for this shell
  source <(kubectl podlife completion bash)

  # for `kubectl podlife <TAB>`: kubectl looks for a program of this name
  ln -s \"$(command -v kubectl-podlife)\" ~/.local/bin/kubectl_complete-podlife")]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: CompletionShell,
}

/// Shells there is a script for; kubectl's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash 4 and later.
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

/// The script, for the binary `kubectl-podlife`.
pub fn script(shell: CompletionShell, mut command: Command) -> String {
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
        CompletionShell::Powershell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "kubectl-podlife", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_has_a_script_for_the_binary() {
        for shell in CompletionShell::value_variants() {
            let command = Command::new("podlife").subcommand(Command::new("diagnose"));
            let script = script(*shell, command);
            assert!(script.contains("kubectl-podlife") && script.contains("diagnose"), "{shell:?}");
        }
    }
}
